/* SPDX-License-Identifier: MIT */
/* A request being served, with the kernel's word on who made it. */
#ifndef SYMPHONY_PY_REQUEST_H
#define SYMPHONY_PY_REQUEST_H

#include "state.h"
#include <symphony/bus.h>

extern PyType_Spec request_spec;

/* A Request that holds the message until it is answered; @id is what was called. */
PyObject *request_new(struct state *st, struct sbus_message *message,
		      PyObject *id);

/*
 * Makes a Request the current one of this context, until request_leave(). NULL and
 * an exception on failure.
 */
PyObject *request_enter(struct state *st, struct sbus_message *message,
			PyObject *id);

/* It is over; steals the reference. */
void request_leave(PyObject *request);

/* It was answered, or will not be. */
void request_over(PyObject *request);

/* Borrowed; NULL once it is over, and in a child that was forked meanwhile. */
struct sbus_message *request_message(PyObject *request);

PyObject *request_id(PyObject *request);

/*
 * What a call through @bus is made for: the current request, if it came there
 * and is not over. A new reference, or NULL.
 */
struct sbus_message *request_parent(struct state *st, const struct sbus *bus);

/* Appends the id of a request that nobody may wait for any more to the list @ended. */
void request_ended(PyObject *ended, uint64_t id);

/* The module's current_request() and cancelled(). */
PyObject *request_current(PyObject *module, PyObject *none);
PyObject *request_is_cancelled(PyObject *module, PyObject *none);

/* Answers with the exception that is set, and clears it. */
void request_reply_raised(struct state *st, struct sbus_message *message);

#endif
