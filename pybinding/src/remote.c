// SPDX-License-Identifier: MIT
/* Calls to extensions in other processes, through the endpoint. */
#include "remote.h"
#include "errors.h"
#include "request.h"

#include <errno.h>

/*
 * Runs where the endpoint is processed or closed: with the GIL, but inside
 * libsymphony, so no Python code may run: a failure becomes an exception later.
 */
static void on_reply(struct sbus_message *reply, const struct sbus_error *error,
		     void *userdata)
{
	struct call *call = userdata;
	PyObject *value;

	if (call->phase != CALL_PENDING) {
		Py_DECREF(call);
		return;
	}
	call_unshare(call);
	call_list_add(&call->bus->finished, call);
	if (reply) {
		call->pid = sbus_message_pid(reply);
		call->replica = sbus_message_sender(reply);
	}
	if (error) {
		sbus_error_copy(&call->answer.error, error);
		/* Then who works on that is told first. */
		if (call->parent && call->bus->ended &&
		    (error->error == -ECANCELED || error->error == -ETIMEDOUT ||
		     error->error == -ETIME))
			request_ended(call->bus->ended, call->parent);
		return;
	}
	value = body_decode(call->st, reply);
	if (value || !PyErr_ExceptionMatches(PyExc_ValueError)) {
		call_finish(call, value);
		return;
	}
	PyErr_Clear();
	sbus_error_set(&call->answer.error, -EBADMSG,
		       "the answer of '%s' is not a JSON text that can be read",
		       sbus_message_extension(reply));
}

/*
 * What a call is made for is the context's to say, not the thread's: an event loop
 * serves many requests in one.
 */
static void request_init(struct sbus_request *out, const struct body *body,
			 const struct bus_request *request,
			 struct sbus_message *parent)
{
	*out = (struct sbus_request){
		.size = sizeof(*out),
		.extension = request->extension,
		.body = body->data,
		.body_len = body->len,
		.content_type = body->content,
		.reply_max = request->reply_max,
		.method = body->method,
		.key = request->key,
		.deadline = request->deadline,
		.parent = parent,
		.flags = (parent ? 0 : SBUS_CALL_DETACHED) |
			 (request->idempotent ? SBUS_CALL_IDEMPOTENT : 0),
	};
}

/* One whose outcomes reach an event loop; NULL and an exception. */
static struct sbus *connection(struct bus *bus, const char *extension)
{
	if (bus->process)
		return bus->shared;
	return bus_connect(bus, extension) < 0 ? NULL : bus->client;
}

static struct sbus_message *parent_of(struct bus *bus, const struct bus_request *request,
				      struct sbus *connection)
{
	if (connection != bus->shared || request->detached)
		return NULL;
	return request_parent(bus->st, connection);
}

/* So many calls in a row are worth it that the next ones wait for each other, */
#define BURST 8
/* and so many go out before the turn is over. */
#define HELD_MAX 64

/*
 * Calls go out together at the end of this turn of the loop. Runs Python code: nothing
 * that other threads can change may be in use. -1 and an exception only if that is
 * to end the program; otherwise they go out one by one.
 */
static int cork(struct bus *bus)
{
	PyObject *loop, *on_turn = NULL, *handle = NULL;
	struct sbus *connection;
	int r = 0;

	if (!bus->corked && bus->burst < BURST)
		return 0;
	loop = state_running_loop(bus->st);
	/* The turn of another loop can be far, or never come. */
	if (bus->corked && bus->turning != loop)
		bus_uncork(bus);
	if (loop && !bus->corked)
		on_turn = PyObject_GetAttrString((PyObject *)bus, "_on_turn");
	if (on_turn)
		handle = PyObject_CallMethodOneArg(loop, bus->st->str_call_soon, on_turn);
	connection = bus->process ? bus->shared : bus->client;
	if (handle && connection && !bus->corked) {
		bus->corked = sbus_ref(connection);
		bus->held = 0;
		Py_XSETREF(bus->turning, Py_NewRef(loop));
		sbus_cork(connection, SBUS_CALLS);
	}
	if (PyErr_Occurred()) {
		if (PyErr_ExceptionMatches(PyExc_Exception))
			PyErr_Clear();
		else
			r = -1;
	}
	Py_XDECREF(handle);
	Py_XDECREF(on_turn);
	Py_XDECREF(loop);
	return r;
}

/* A call was made, or is held back. */
static void count(struct bus *bus)
{
	bus->burst++;
	if (!bus->corked || ++bus->held < HELD_MAX)
		return;
	bus->held = 0;
	sbus_uncork(bus->corked, 0);
}

PyObject *remote_send(struct bus *bus, const struct bus_request *request)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_message *parent;
	struct sbus_request out;
	struct sbus *client;
	struct body body;
	struct call *call;
	int r;

	if (cork(bus) < 0 || body_encode(&body, request->message, &bus->buffer) < 0)
		return NULL;
	call = call_new(bus);
	if (!call)
		goto out;
	client = connection(bus, request->extension);
	if (!client) {
		call_finish(call, NULL);
		goto out;
	}
	parent = parent_of(bus, request, client);
	request_init(&out, &body, request, parent);
	call->parent = parent ? sbus_message_id(parent) : 0;
	Py_INCREF(call);
	r = sbus_call_async(client, &out, on_reply, call, &call->slot, &error);
	sbus_message_unref(parent);
	if (r < 0) {
		Py_DECREF(call);
		errors_raise(bus->st, &error);
		call_finish(call, NULL);
		sbus_error_clear(&error);
	} else {
		if (client == bus->shared && call->phase == CALL_PENDING)
			call_share(call);
		count(bus);
	}
out:
	body_drop(&body);
	return (PyObject *)call;
}

static int on_interrupt(void *userdata)
{
	PyThreadState **thread = userdata;
	int r;

	PyEval_RestoreThread(*thread);
	r = PyErr_CheckSignals() < 0 ? -EINTR : 0;
	*thread = PyEval_SaveThread();
	return r;
}

PyObject *remote_call(struct bus *bus, const struct bus_request *request)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_message *reply = NULL;
	struct sbus_message *parent;
	struct buffer buffer = bus->buffer;
	struct blocked *blocked;
	PyObject *value = NULL;
	PyThreadState *thread;
	struct sbus_request out;
	struct sbus *client;
	struct body body;
	int r;

	/* Other threads may call meanwhile, with a buffer of their own. */
	bus->buffer = (struct buffer){ };
	if (body_encode(&body, request->message, &buffer) < 0)
		goto out;
	/* The outcome comes to this thread, whoever processes the connection. */
	if (!bus->shared && bus_connect(bus, request->extension) < 0)
		goto out_body;
	/* After what was sent before it. */
	bus_uncork(bus);
	blocked = blocked_enter(&bus->blocked);
	if (!blocked)
		goto out_body;
	client = sbus_ref(bus->shared ? bus->shared : bus->client);
	parent = parent_of(bus, request, client);
	request_init(&out, &body, request, parent);
	out.cancel = blocked->cancel;
	out.interrupted = on_interrupt;
	out.interrupted_data = &thread;
	thread = PyEval_SaveThread();
	r = sbus_call(client, &out, &reply, &error);
	PyEval_RestoreThread(thread);
	if (blocked_leave(&bus->blocked, blocked) && r == -ECANCELED) {
		errors_raise_text(bus->st, -ESHUTDOWN, request->extension,
				  "the bus was closed while the call waited for its answer; the extension may have done the work");
	} else if (r == 0) {
		value = body_decode(bus->st, reply);
		if (!value && PyErr_ExceptionMatches(PyExc_ValueError)) {
			PyErr_Clear();
			errors_raise_text(bus->st, -EBADMSG, request->extension,
					  "the answer is not a JSON text that can be read");
		}
	} else if (!PyErr_Occurred()) {
		errors_raise(bus->st, &error);
	}
	sbus_message_unref(reply);
	sbus_message_unref(parent);
	sbus_error_clear(&error);
	sbus_unref(client);
out_body:
	body_drop(&body);
out:
	buffer_free(&bus->buffer);
	bus->buffer = buffer;
	return value;
}
