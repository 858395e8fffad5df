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

/* Every loop forgets the descriptor; before it is closed. */
void source_detach(struct source *source, struct state *st);

int source_traverse(struct source *source, visitproc visit, void *arg);

#endif
