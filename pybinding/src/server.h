/* SPDX-License-Identifier: MIT */
/* The C part of an Extension: a replica that serves with Python functions. */
#ifndef SYMPHONY_PY_SERVER_H
#define SYMPHONY_PY_SERVER_H

#include <Python.h>
#include <symphony/bus.h>

extern PyType_Spec server_spec;

/*
 * Of a Server. No reference is taken. NULL and an exception once it is closed, and in a
 * child that was forked meanwhile.
 */
struct sbus *server_connection(PyObject *self);

#endif
