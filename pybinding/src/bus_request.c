// SPDX-License-Identifier: MIT
/* The arguments of send_message() and call(). */
#include "bus.h"
#include "convert.h"
#include "text.h"

#include <math.h>
#include <string.h>
#include <symphony/bus.h>

static int parse_timeout(PyObject *timeout, uint64_t *deadline)
{
	double seconds;

	if (timeout == Py_None)
		return 0;
	seconds = PyFloat_AsDouble(timeout);
	if (seconds == -1.0 && PyErr_Occurred())
		return -1;
	if (isnan(seconds) || seconds < 0) {
		PyErr_Format(PyExc_ValueError,
			     "timeout is seconds from 0 on, or None to wait for ever, not %R",
			     timeout);
		return -1;
	}
	if (seconds < 1e9)	/* beyond: for ever, for all purposes */
		*deadline = sbus_now() + (uint64_t)(seconds * 1e9);
	return 0;
}

static int parse_flag(PyObject *value, bool *flag)
{
	int r = PyObject_IsTrue(value);

	*flag = r > 0;
	return r < 0 ? -1 : 0;
}

static int parse_object(PyObject **object, PyObject *name, PyObject *value)
{
	if (*object) {
		PyErr_Format(PyExc_TypeError, "%U is given twice", name);
		return -1;
	}
	*object = value;
	return 0;
}

static int parse_option(struct bus_request *request, PyObject *name,
			PyObject *value)
{
	uint64_t number;

	if (PyUnicode_CompareWithASCIIString(name, "message") == 0)
		return parse_object(&request->message, name, value);
	if (PyUnicode_CompareWithASCIIString(name, "extension_id") == 0)
		return parse_object(&request->id, name, value);
	if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0)
		return parse_timeout(value, &request->deadline);
	if (PyUnicode_CompareWithASCIIString(name, "key") == 0)
		return convert_number(value, "key", UINT64_MAX, &request->key);
	if (PyUnicode_CompareWithASCIIString(name, "reply_max") == 0) {
		if (convert_number(value, "reply_max", UINT32_MAX, &number) < 0)
			return -1;
		request->reply_max = number;
		return 0;
	}
	if (PyUnicode_CompareWithASCIIString(name, "idempotent") == 0)
		return parse_flag(value, &request->idempotent);
	if (PyUnicode_CompareWithASCIIString(name, "detached") == 0)
		return parse_flag(value, &request->detached);
	PyErr_Format(PyExc_TypeError, "unexpected keyword argument %R", name);
	return -1;
}

int bus_request_parse(struct bus_request *request, PyObject *const *args,
		      Py_ssize_t nargs, PyObject *names)
{
	memset(request, 0, sizeof(*request));
	if (nargs > 0)
		request->id = args[0];
	if (nargs > 1)
		request->message = args[1];
	for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++)
		if (parse_option(request, PyTuple_GET_ITEM(names, i),
				 args[nargs + i]) < 0)
			return -1;
	if (nargs > 2 || !request->id || !request->message) {
		PyErr_SetString(PyExc_TypeError,
				"an extension id and a message are needed; options are given by name");
		return -1;
	}
	request->extension = text_utf8(request->id, "an extension id");
	return request->extension ? 0 : -1;
}
