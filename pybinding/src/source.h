/* SPDX-License-Identifier: MIT */
/* A descriptor that event loops watch. */
#ifndef SYMPHONY_PY_SOURCE_H
#define SYMPHONY_PY_SOURCE_H

#include "state.h"

struct source {
	int fd;			/* -1: nothing to watch */
	PyObject *loop;		/* the loop that was attached last */
	PyObject *others;	/* list of those before, while they are open */
};

/* Has @loop call @callback whenever @fd is readable, until source_detach(). */
int source_attach(struct source *source, struct state *st, PyObject *loop,
		  PyObject *callback);

/*
 * Every loop forgets the descriptor. @release(@owner) closes it: at once, or after a
 * loop that runs in another thread has come to it, as the number would otherwise be
 * watched there when it is used again. @release needs the GIL.
 */
void source_detach(struct source *source, struct state *st, void (*release)(void *),
		   void *owner);

/* The loops are dropped, and keep on watching. */
void source_clear(struct source *source);

int source_traverse(struct source *source, visitproc visit, void *arg);

#endif
