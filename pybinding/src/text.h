/* SPDX-License-Identifier: MIT */
/* Text of Python's as C takes it: nothing is cut, names are what names can be. */
#ifndef SYMPHONY_PY_TEXT_H
#define SYMPHONY_PY_TEXT_H

#include <Python.h>

/*
 * UTF-8 that lives as long as @text. NULL and an exception, which calls it @what, where
 * @text is no str, or has a NUL: C would take that for its end.
 */
const char *text_utf8(PyObject *text, const char *what);

/* The same of an id or the name of a bus. */
const char *text_name(PyObject *text, const char *what);

/* Bytes for a message: with escapes in place of what UTF-8, or a string of C, cannot have. */
PyObject *text_printable(PyObject *text);

/* The module's check_name(name, what): the name, if it is one. */
PyObject *text_check_name(PyObject *module, PyObject *args);

#endif
