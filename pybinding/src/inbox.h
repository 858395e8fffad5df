/* SPDX-License-Identifier: MIT */
/* Answers that come in threads which do not have the GIL, and never wait for it. */
#ifndef SYMPHONY_PY_INBOX_H
#define SYMPHONY_PY_INBOX_H

#include "call.h"
#include <pthread.h>

struct inbox {
	pthread_mutex_t lock;
	struct call *first;	/* newest first */
	int fd;			/* an eventfd: readable when there is something */
};

int inbox_init(struct inbox *inbox);
/* The descriptor, which is the caller's to close. */
int inbox_deinit(struct inbox *inbox);

/* From any thread: the call's answer is in call->answer. */
void inbox_post(struct inbox *inbox, struct call *call);

/* Moves what was posted to @finished, in order. */
void inbox_drain(struct inbox *inbox, struct call_list *finished);

#endif
