// SPDX-License-Identifier: MIT
/* The C part of an Extension: a replica that serves with Python functions. */
#include "server.h"
#include "body.h"
#include "errors.h"
#include "request.h"
#include "state.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

struct server {
	PyObject_HEAD
	struct state *st;
	struct sbus *bus;
	PyObject *methods;	/* name: function */
	PyObject *on_message;	/* function of a whole message, or None */
	PyObject *on_failure;	/* told of exceptions out of them */
	PyObject *queue;	/* process(): Requests */
	PyThreadState *thread;	/* serve(): while without the GIL */
	PyObject *raised;	/* serve(): the exception that ends it */
	bool busy;
	struct buffer buffer;
};

/* --- one request, served by plain functions ------------------------------ */

static PyObject *call_method(struct sbus_message *request, PyObject *function,
			     PyObject *message, struct state *st)
{
	PyObject *params = PyDict_GetItemString(message, "params");
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
	sbus_reply_error(request, SBUS_CODE_INVALID_PARAMS, NULL, "%s",
			 value ? PyUnicode_AsUTF8(value) : "wrong parameters");
	Py_XDECREF(value);
	Py_DECREF(error);
	PyErr_Clear();
	return NULL;
}

/* NULL without an exception: the request has been answered. */
static PyObject *dispatch(struct server *server, struct sbus_message *request)
{
	PyObject *message, *method = NULL, *function = NULL, *value = NULL;
	const void *data;
	size_t len;

	data = sbus_message_body(request, &len);
	message = body_decode(sbus_message_content(request), data, len);
	if (!message) {
		if (PyErr_ExceptionMatches(PyExc_ValueError)) {
			PyErr_Clear();
			sbus_reply_error(request, SBUS_CODE_PARSE, NULL,
					 "the message cannot be read as JSON");
		}
		return NULL;
	}
	if (PyDict_Check(message))
		method = PyDict_GetItemString(message, "method");
	if (method && PyUnicode_Check(method))
		function = PyDict_GetItemWithError(server->methods, method);
	if (function)
		value = call_method(request, function, message, server->st);
	else if (server->on_message != Py_None)
		value = PyObject_CallOneArg(server->on_message, message);
	else if (method && PyUnicode_Check(method))
		sbus_reply_error(request, SBUS_CODE_METHOD_NOT_FOUND, NULL,
				 "'%s' has no method '%s'; \"describe\" lists them",
				 sbus_message_extension(request),
				 PyUnicode_AsUTF8(method));
	else
		sbus_reply_error(request, SBUS_CODE_INVALID_REQUEST, NULL,
				 "'%s' takes {\"method\": NAME, \"params\": {...}}",
				 sbus_message_extension(request));
	Py_DECREF(message);
	return value;
}

static int answer(struct server *server, struct sbus_message *request,
		  PyObject *value)
{
	struct body body;

	if (body_encode(&body, value, &server->buffer) < 0)
		return -1;
	/* JSON stands in our buffer until the next request; bytes are copied. */
	if (body.content == SBUS_JSON)
		sbus_reply_take(request, SBUS_JSON, body.data, body.len, NULL);
	else
		sbus_reply_raw(request, body.data, body.len);
	body_drop(&body);
	return 0;
}

static void failed(struct server *server, struct sbus_message *request)
{
	PyObject *error = PyErr_GetRaisedException(), *r;

	if (PyErr_GivenExceptionMatches(error, PyExc_KeyboardInterrupt) ||
	    PyErr_GivenExceptionMatches(error, PyExc_SystemExit)) {
		Py_XSETREF(server->raised, Py_NewRef(error));
		sbus_stop(server->bus);
	} else {
		r = PyObject_CallOneArg(server->on_failure, error);
		if (!r)
			PyErr_WriteUnraisable(server->on_failure);
		Py_XDECREF(r);
	}
	PyErr_SetRaisedException(error);
	request_reply_raised(server->st, request);
}

static void serve_one(struct server *server, struct sbus_message *request)
{
	PyObject *value;

	request_enter(server->st, request);
	value = dispatch(server, request);
	if (value ? answer(server, request, value) < 0 : !!PyErr_Occurred())
		failed(server, request);
	Py_XDECREF(value);
	request_enter(NULL, NULL);
}

static int on_request(struct sbus_message *message, void *userdata)
{
	struct server *server = userdata;
	PyObject *request;
	int r;

	if (server->queue) {
		request = request_new(server->st, message);
		r = request ? PyList_Append(server->queue, request) : -1;
		Py_XDECREF(request);
		return r < 0 ? -ENOMEM : 0;
	}
	PyEval_RestoreThread(server->thread);
	serve_one(server, message);
	server->thread = PyEval_SaveThread();
	return 0;
}

/* --- serve(): a loop without Python around the functions ------------------ */

/*
 * A signal between Python's last look and the wait for a request would be seen
 * only after the next one, so those that stop us do it from their handler. The
 * second one of a kind has its default effect.
 */
#define NR_SIGNALS 2
static struct sbus *volatile stop_target;

static void on_signal(int number)
{
	struct sbus *bus = stop_target;

	if (bus)
		sbus_stop(bus);
}

static int catch_signals(const int *numbers, struct sigaction *old, int nr)
{
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = SA_RESETHAND,
	};

	sigemptyset(&action.sa_mask);
	for (int i = 0; i < nr; i++) {
		if (sigaction(numbers[i], &action, &old[i]) == 0)
			continue;
		PyErr_SetFromErrno(PyExc_OSError);
		while (i--)
			sigaction(numbers[i], &old[i], NULL);
		return -1;
	}
	return 0;
}

static int on_interrupt(void *userdata)
{
	struct server *server = userdata;
	int r = 0;

	PyEval_RestoreThread(server->thread);
	if (PyErr_CheckSignals() < 0) {
		Py_XSETREF(server->raised, PyErr_GetRaisedException());
		r = -EINTR;
	}
	server->thread = PyEval_SaveThread();
	return r;
}

static int check_open(struct server *server)
{
	if (!server->bus)
		errors_raise_text(server->st, -ESHUTDOWN, NULL,
				  "the extension was closed");
	else if (server->busy)
		PyErr_SetString(PyExc_RuntimeError, "the extension serves already");
	else
		return 0;
	return -1;
}

static PyObject *serve_serve(PyObject *self, PyObject *args)
{
	struct server *server = (struct server *)self;
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_serve_params params = {
		.size = sizeof(params),
		.interrupted = on_interrupt,
		.interrupted_data = server,
	};
	struct sigaction old[NR_SIGNALS];
	int numbers[NR_SIGNALS], nr = PyTuple_GET_SIZE(args), r;
	struct sbus *bus;

	if (nr > NR_SIGNALS) {
		PyErr_SetString(PyExc_TypeError, "too many signals");
		return NULL;
	}
	for (int i = 0; i < nr; i++) {
		numbers[i] = PyLong_AsLong(PyTuple_GET_ITEM(args, i));
		if (numbers[i] == -1 && PyErr_Occurred())
			return NULL;
	}
	if (check_open(server) < 0)
		return NULL;
	bus = sbus_ref(server->bus);
	if (nr)
		stop_target = bus;
	if (catch_signals(numbers, old, nr) < 0) {
		sbus_unref(bus);
		return NULL;
	}
	server->busy = true;
	server->thread = PyEval_SaveThread();
	r = sbus_serve(bus, &params, &error);
	PyEval_RestoreThread(server->thread);
	server->busy = false;
	for (int i = 0; i < nr; i++)
		sigaction(numbers[i], &old[i], NULL);
	if (nr)
		stop_target = NULL;
	sbus_unref(bus);
	if (server->raised) {
		PyErr_SetRaisedException(server->raised);
		server->raised = NULL;
	} else if (r < 0) {
		errors_raise(server->st, &error);
	}
	sbus_error_clear(&error);
	if (PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

/* --- process(): for an event loop ----------------------------------------- */

static PyObject *serve_process(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;
	PyObject *queue;
	int r;

	if (check_open(server) < 0)
		return NULL;
	queue = PyList_New(0);
	if (!queue)
		return NULL;
	server->queue = queue;
	r = sbus_process(server->bus);
	server->queue = NULL;
	if (r < 0 && !PyErr_Occurred())
		errors_raise_text(server->st, r, NULL, "receiving failed");
	if (PyErr_Occurred())
		Py_CLEAR(queue);
	return queue;
}

static PyObject *serve_fileno(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	return check_open(server) < 0 ?
		NULL : PyLong_FromLong(sbus_get_fd(server->bus));
}

static PyObject *serve_stop(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	if (server->bus)
		sbus_stop(server->bus);
	Py_RETURN_NONE;
}

static PyObject *serve_unclaim(PyObject *self, PyObject *id)
{
	struct server *server = (struct server *)self;
	const char *text = PyUnicode_AsUTF8(id);
	int r;

	if (!text)
		return NULL;
	r = server->bus ? sbus_unclaim(server->bus, text) : -ESHUTDOWN;
	return r < 0 ? errors_raise_text(server->st, r, text, strerror(-r)) :
		       Py_NewRef(Py_None);
}

static PyObject *serve_close(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	if (server->bus && check_open(server) < 0)
		return NULL;
	server->bus = sbus_unref(server->bus);
	Py_RETURN_NONE;
}

/* --- the object --------------------------------------------------------- */

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "id", "methods", "on_message", "on_failure",
				 "bus", "pool_size", NULL };
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_params params = {
		.size = sizeof(params),
		.flags = SBUS_OPEN_CREATE,
	};
	PyObject *methods, *on_message, *on_failure;
	struct server *server;
	const char *id;
	int r;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO!OO|zI:Server", names,
					 &id, &PyDict_Type, &methods,
					 &on_message, &on_failure, &params.bus,
					 &params.pool_size))
		return NULL;
	server = (struct server *)type->tp_alloc(type, 0);
	if (!server)
		return NULL;
	server->st = state_of((PyObject *)server);
	server->methods = Py_NewRef(methods);
	server->on_message = Py_NewRef(on_message);
	server->on_failure = Py_NewRef(on_failure);
	if (!server->st) {
		Py_DECREF(server);
		return NULL;
	}
	r = sbus_open(&server->bus, &params, &error);
	if (r == 0) {
		sbus_set_handler(server->bus, on_request, server);
		r = sbus_claim(server->bus, id, &error);
	}
	if (r < 0) {
		errors_raise(server->st, &error);
		sbus_error_clear(&error);
		Py_CLEAR(server);
	}
	return (PyObject *)server;
}

static PyObject *get_endpoint(PyObject *self, void *closure)
{
	struct server *server = (struct server *)self;

	if (!server->bus)
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLongLong(sbus_endpoint(server->bus));
}

static PyObject *get_name(PyObject *self, void *closure)
{
	struct server *server = (struct server *)self;

	if (!server->bus)
		Py_RETURN_NONE;
	return PyUnicode_FromString(sbus_name(server->bus));
}

static int server_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct server *server = (struct server *)self;

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(server->methods);
	Py_VISIT(server->on_message);
	Py_VISIT(server->on_failure);
	Py_VISIT(server->raised);
	return 0;
}

static int server_clear(PyObject *self)
{
	struct server *server = (struct server *)self;

	Py_CLEAR(server->methods);
	Py_CLEAR(server->on_message);
	Py_CLEAR(server->on_failure);
	Py_CLEAR(server->raised);
	return 0;
}

static void server_dealloc(PyObject *self)
{
	struct server *server = (struct server *)self;
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	sbus_unref(server->bus);
	server_clear(self);
	buffer_free(&server->buffer);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyMethodDef server_methods[] = {
	{ "serve", serve_serve, METH_VARARGS,
	  PyDoc_STR("Serve until stop(), or one of the signals that are given.") },
	{ "process", serve_process, METH_NOARGS,
	  PyDoc_STR("The requests that are there, a batch at most; does not wait.") },
	{ "fileno", serve_fileno, METH_NOARGS,
	  PyDoc_STR("Readable when process() has something.") },
	{ "stop", serve_stop, METH_NOARGS, PyDoc_STR("Make serve() return.") },
	{ "unclaim", serve_unclaim, METH_O,
	  PyDoc_STR("Take no more requests for the id.") },
	{ "close", serve_close, METH_NOARGS, PyDoc_STR("Leave the bus.") },
	{ }
};

static PyGetSetDef server_getset[] = {
	{ "endpoint", get_endpoint, NULL, PyDoc_STR("The endpoint's id."), NULL },
	{ "name", get_name, NULL, PyDoc_STR("The name of the bus."), NULL },
	{ }
};

static PyType_Slot server_slots[] = {
	{ Py_tp_doc, (void *)PyDoc_STR("The C part of Extension.") },
	{ Py_tp_new, server_new },
	{ Py_tp_methods, server_methods },
	{ Py_tp_getset, server_getset },
	{ Py_tp_traverse, server_traverse },
	{ Py_tp_clear, server_clear },
	{ Py_tp_dealloc, server_dealloc },
	{ }
};

PyType_Spec server_spec = {
	.name = "symphony_ipc._symphony.Server",
	.basicsize = sizeof(struct server),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = server_slots,
};
