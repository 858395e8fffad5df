/* SPDX-License-Identifier: MIT */
/* Calls that threads wait in, so that close() can end them. */
#ifndef SYMPHONY_PY_BLOCKED_H
#define SYMPHONY_PY_BLOCKED_H

#include "state.h"
#include <stdbool.h>
#include <symphony/bus.h>

/* On the heap: at the end of the interpreter a daemon thread dies inside its call. */
struct blocked {
	struct blocked *next;
	struct blocked **link;
	struct sbus_cancel *cancel;
	unsigned int refs;
	bool closed;		/* by blocked_end_all() */
};

/* All of a bus. */
struct blocked_list {
	struct blocked *first;
	struct blocked *spare;
};

/* A thread is about to call, with @cancel; NULL and an exception on failure. */
struct blocked *blocked_enter(struct blocked_list *list);

/* It has returned. Was the call ended? */
bool blocked_leave(struct blocked_list *list, struct blocked *blocked);

/* Ends all calls; releases the GIL meanwhile. */
void blocked_end_all(struct blocked_list *list);

void blocked_forget(struct blocked_list *list);

#endif
