// SPDX-License-Identifier: MIT
/* Answers that come in threads which do not have the GIL, and never wait for it. */
#include "inbox.h"

#include <sys/eventfd.h>

int inbox_init(struct inbox *inbox)
{
	inbox->first = NULL;
	inbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (inbox->fd < 0) {
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	pthread_mutex_init(&inbox->lock, NULL);
	return 0;
}

int inbox_deinit(struct inbox *inbox)
{
	int fd = inbox->fd;

	inbox->fd = -1;
	pthread_mutex_destroy(&inbox->lock);
	return fd;
}

void inbox_post(struct inbox *inbox, struct call *call)
{
	pthread_mutex_lock(&inbox->lock);
	call->next = inbox->first;
	inbox->first = call;
	/* Under the lock: whoever drains may be about to close the inbox. */
	if (!call->next)
		eventfd_write(inbox->fd, 1);
	pthread_mutex_unlock(&inbox->lock);
}

void inbox_drain(struct inbox *inbox, struct call_list *finished)
{
	struct call *call, *next, *oldest = NULL;
	eventfd_t count;

	pthread_mutex_lock(&inbox->lock);
	eventfd_read(inbox->fd, &count);
	call = inbox->first;
	inbox->first = NULL;
	pthread_mutex_unlock(&inbox->lock);

	for (; call; call = next) {
		next = call->next;
		call->next = oldest;
		oldest = call;
	}
	for (call = oldest; call; call = next) {
		next = call->next;
		call_list_add(finished, call);
	}
}
