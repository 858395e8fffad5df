/* SPDX-License-Identifier: MIT */
/* A request being served, with the kernel's word on who made it. */
#ifndef SYMPHONY_PY_REQUEST_H
#define SYMPHONY_PY_REQUEST_H

#include "state.h"
#include <symphony/bus.h>

extern PyType_Spec request_spec;

/* A Request that holds the message until it is answered. */
PyObject *request_new(struct state *st, struct sbus_message *message);

/* Says what this thread serves from now on; NULL: nothing more. */
void request_enter(struct state *st, struct sbus_message *message);

/* The module's serving(). */
PyObject *request_serving(PyObject *module, PyObject *none);

/* Answers with the exception that is set, and clears it. */
void request_reply_raised(struct state *st, struct sbus_message *message);

#endif
