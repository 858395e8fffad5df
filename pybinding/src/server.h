/* SPDX-License-Identifier: MIT */
/* The C part of an Extension: a replica that serves with Python functions. */
#ifndef SYMPHONY_PY_SERVER_H
#define SYMPHONY_PY_SERVER_H

#include <Python.h>
#include <symphony/bus.h>

extern PyType_Spec server_spec;

/* Of a Server; NULL once it is closed. No reference is taken. */
struct sbus *server_connection(PyObject *self);

#endif
