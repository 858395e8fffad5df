// SPDX-License-Identifier: MIT
/* The functions of an extension, and how a request comes to one and is answered. */
#include "handler.h"
#include "request.h"
#include "text.h"

/* Answers with an error of which @text tells; NULL and an exception: of that. */
static void refuse(struct sbus_message *request, int code, PyObject *text)
{
	PyObject *printable = text ? text_printable(text) : NULL;

	if (printable)
		sbus_reply_error(request, code, NULL, "%s", PyBytes_AS_STRING(printable));
	Py_XDECREF(printable);
}

static PyObject *call_method(struct sbus_message *request, PyObject *function,
			     PyObject *message, struct state *st)
{
	PyObject *params = PyDict_GetItemWithError(message, st->str_params);
	PyObject *value, *error, *trace;

	if (params && params != Py_None && !PyDict_Check(params)) {
		sbus_reply_error(request, SBUS_CODE_INVALID_PARAMS, NULL,
				 "params is an object with a member for each parameter");
		return NULL;
	}
	value = PyObject_VectorcallDict(function, NULL, 0,
					params == Py_None ? NULL : params);
	if (value || !PyErr_ExceptionMatches(PyExc_TypeError))
		return value;
	/* Without a frame it never came into the function: it is the params. */
	error = PyErr_GetRaisedException();
	trace = PyException_GetTraceback(error);
	if (trace) {
		Py_DECREF(trace);
		PyErr_SetRaisedException(error);
		return NULL;
	}
	value = PyObject_Str(error);
	refuse(request, SBUS_CODE_INVALID_PARAMS, value);
	Py_XDECREF(value);
	Py_DECREF(error);
	return NULL;
}

static void no_method(struct sbus_message *request, PyObject *method)
{
	PyObject *text = PyUnicode_FromFormat("'%s' has no method '%U'; \"describe\" lists them",
					      sbus_message_extension(request), method);

	refuse(request, SBUS_CODE_METHOD_NOT_FOUND, text);
	Py_XDECREF(text);
}

PyObject *handler_call(struct handler *handler, struct sbus_message *request)
{
	PyObject *message, *method = NULL, *function = NULL, *value = NULL;

	message = body_decode(handler->st, request);
	if (!message) {
		if (PyErr_ExceptionMatches(PyExc_ValueError)) {
			PyErr_Clear();
			sbus_reply_error(request, SBUS_CODE_PARSE, NULL,
					 "the message cannot be read as JSON");
		}
		return NULL;
	}
	if (PyDict_Check(message))
		method = PyDict_GetItemWithError(message, handler->st->str_method);
	if (method && PyUnicode_Check(method))
		function = PyDict_GetItemWithError(handler->methods, method);
	if (function)
		value = call_method(request, function, message, handler->st);
	else if (handler->on_message != Py_None)
		value = PyObject_CallOneArg(handler->on_message, message);
	else if (method && PyUnicode_Check(method))
		no_method(request, method);
	else
		sbus_reply_error(request, SBUS_CODE_INVALID_REQUEST, NULL,
				 "'%s' takes {\"method\": NAME, \"params\": {...}}",
				 sbus_message_extension(request));
	Py_DECREF(message);
	return value;
}

int handler_answer(struct handler *handler, struct sbus_message *request, PyObject *value)
{
	struct body body;

	if (body_encode(&body, value, &handler->buffer) < 0)
		return -1;
	/* JSON stands in our buffer until the next request; bytes are copied. */
	if (body.content == SBUS_JSON)
		sbus_reply_take(request, SBUS_JSON, body.data, body.len, NULL);
	else
		sbus_reply_raw(request, body.data, body.len);
	body_drop(&body);
	return 0;
}

void handler_failed(struct handler *handler, struct sbus_message *request)
{
	PyObject *error = PyErr_GetRaisedException();
	PyObject *r = NULL;
	bool needless;

	/* It is NULL after the collector cleared the owner. */
	if (handler->on_failure)
		r = PyObject_CallOneArg(handler->on_failure, error);
	needless = r == Py_False;
	if (PyErr_Occurred())
		PyErr_WriteUnraisable(handler->on_failure);
	Py_XDECREF(r);
	if (needless) {
		Py_DECREF(error);
		return;
	}
	PyErr_SetRaisedException(error);
	request_reply_raised(handler->st, request);
}

int handler_traverse(struct handler *handler, visitproc visit, void *arg)
{
	Py_VISIT(handler->methods);
	Py_VISIT(handler->on_message);
	Py_VISIT(handler->on_failure);
	return 0;
}

void handler_clear(struct handler *handler)
{
	Py_CLEAR(handler->methods);
	Py_CLEAR(handler->on_message);
	Py_CLEAR(handler->on_failure);
}
