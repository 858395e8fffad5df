/* SPDX-License-Identifier: MIT */
/* What async handlers work on: requests that a task of an event loop answers. */
#ifndef SYMPHONY_PY_WORK_H
#define SYMPHONY_PY_WORK_H

#include "handler.h"

/* The works of one server. */
struct works {
	struct handler *handler;
	struct sbus *bus;	/* referenced */
	PyObject *by_id;	/* dict: id of the request: its Work */
	PyObject *uncork;	/* called by the loop: works_uncork() of the owner */
	PyObject *task_type;	/* asyncio.Task */
	PyObject *task_names;
	bool corked;		/* until the loop calls that */
	bool beginning;		/* works_begin() runs handlers; works_uncork() follows */
};

extern PyType_Spec work_spec;

/* @uncork is stolen. */
int works_init(struct works *works, struct state *st, struct handler *handler,
	       struct sbus *bus, PyObject *uncork);
void works_clear(struct works *works);
int works_traverse(struct works *works, visitproc visit, void *arg);

/*
 * Has a Request answered: at once, or by a task on @loop, which has come as far by
 * now as it can. @owner is who has @works. -1 and what is to end the loop.
 */
int works_begin(struct works *works, PyObject *owner, PyObject *request, PyObject *loop);

/* Cancels the task that works on a request, if nobody waits for that any more. */
int works_ended(struct works *works, PyObject *id);

/* A list of the tasks. */
PyObject *works_tasks(struct works *works);

/* Answers are sent from now on, and those that were held back. */
void works_uncork(struct works *works);

#endif
