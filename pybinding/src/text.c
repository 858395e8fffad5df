// SPDX-License-Identifier: MIT
/* Text of Python's as C takes it: nothing is cut, names are what names can be. */
#include "text.h"

#include <string.h>
#include <symphony/bus.h>

const char *text_utf8(PyObject *text, const char *what)
{
	const char *utf8;
	Py_ssize_t len;

	if (!PyUnicode_Check(text)) {
		PyErr_Format(PyExc_TypeError, "%s is a str, not %T", what, text);
		return NULL;
	}
	if (PyUnicode_IS_COMPACT_ASCII(text)) {
		utf8 = PyUnicode_DATA(text);
		len = PyUnicode_GET_LENGTH(text);
	} else {
		utf8 = PyUnicode_AsUTF8AndSize(text, &len);
	}
	if (utf8 && strlen(utf8) != (size_t)len) {
		PyErr_Format(PyExc_ValueError, "%s has no NUL character, but this is %R", what, text);
		return NULL;
	}
	return utf8;
}

const char *text_name(PyObject *text, const char *what)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	const char *utf8 = text_utf8(text, what);

	if (!utf8 || !sbus_check_name(utf8, &error))
		return utf8;
	PyErr_Format(PyExc_ValueError, "%s: %s", what, sbus_error_message(&error));
	sbus_error_clear(&error);
	return NULL;
}

PyObject *text_printable(PyObject *text)
{
	PyObject *utf8 = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace"), *escaped;

	if (!utf8)
		return NULL;
	escaped = PyObject_CallMethod(utf8, "replace", "y#y", "", (Py_ssize_t)1, "\\x00");
	Py_DECREF(utf8);
	return escaped;
}

PyObject *text_check_name(PyObject *module, PyObject *args)
{
	const char *what;
	PyObject *name;

	if (!PyArg_ParseTuple(args, "Os:check_name", &name, &what) || !text_name(name, what))
		return NULL;
	return Py_NewRef(name);
}
