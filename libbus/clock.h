/* SPDX-License-Identifier: MIT */
/* The Pit's timers, and the thread that waits for them. */
#ifndef LIBBUS_CLOCK_H
#define LIBBUS_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <symphony/extension.h>

#include "list.h"

/* Of a member (then @fn runs with its mutex held), or a completion's deadline. */
struct sbus_timer {
	struct list node;		/* on the member's list */
	struct sbus_member *member;
	struct sbus_completion *completion;
	void (*fn)(void *self, void *arg);
	void *arg;
	/* the clock's lock */
	uint64_t when;
	size_t place;			/* in the heap, from 1; 0: not armed */
};

struct clock {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* lock */
	struct sbus_timer **heap;	/* from 1; the earliest first */
	size_t nr, size;
	bool running, stopping;
	pthread_t thread;
};

void clock_init(struct clock *clock);
/* Ends the thread. Timers are cleared before. */
void clock_stop(struct clock *clock);
void clock_deinit(struct clock *clock);
/* 0, -ENOMEM or -EAGAIN. */
int clock_set(struct clock *clock, struct sbus_timer *timer, uint64_t when);
void clock_clear(struct clock *clock, struct sbus_timer *timer);

#endif /* LIBBUS_CLOCK_H */
