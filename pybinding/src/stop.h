/* SPDX-License-Identifier: MIT */
/* The end of an awaitable that has a value, as an exception that costs little. */
#ifndef SYMPHONY_PY_STOP_H
#define SYMPHONY_PY_STOP_H

#include "state.h"

/* The type, to be made with StopIteration as its base. */
extern PyType_Spec stop_spec;

/* Raises StopIteration(@value), whose reference is taken. */
void stop_raise(struct state *st, PyObject *value);

/* What stop_raise() keeps for the next time. */
void stop_forget(struct state *st);

#endif
