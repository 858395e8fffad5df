/* SPDX-License-Identifier: MIT */
/* The functions of an extension, and how a request comes to one and is answered. */
#ifndef SYMPHONY_PY_HANDLER_H
#define SYMPHONY_PY_HANDLER_H

#include "body.h"
#include "state.h"
#include <symphony/bus.h>

struct handler {
	struct state *st;
	PyObject *methods;	/* name: function */
	PyObject *on_message;	/* function of a whole message, or None */
	PyObject *on_failure;	/* told of exceptions out of them; false: no answer */
	struct buffer buffer;
};

/*
 * What the function that a request is for returned. NULL without an exception: the
 * request has been answered.
 */
PyObject *handler_call(struct handler *handler, struct sbus_message *request);

/* Answers with a value; -1 and an exception when that cannot be sent. */
int handler_answer(struct handler *handler, struct sbus_message *request, PyObject *value);

/* Answers with the exception that is set, and clears it. */
void handler_failed(struct handler *handler, struct sbus_message *request);

int handler_traverse(struct handler *handler, visitproc visit, void *arg);
void handler_clear(struct handler *handler);

#endif
