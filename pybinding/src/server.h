/* SPDX-License-Identifier: MIT */
/* The C part of an Extension: a replica that serves with Python functions. */
#ifndef SYMPHONY_PY_SERVER_H
#define SYMPHONY_PY_SERVER_H

#include <Python.h>

extern PyType_Spec server_spec;

#endif
