// SPDX-License-Identifier: MIT
/* Calls to extensions in other processes, through the endpoint. */
#include "remote.h"
#include "errors.h"

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
	const void *data;
	size_t len;

	if (call->phase != CALL_PENDING) {
		Py_DECREF(call);
		return;
	}
	call_list_add(&call->bus->finished, call);
	if (reply) {
		call->pid = sbus_message_pid(reply);
		call->replica = sbus_message_sender(reply);
	}
	if (error) {
		sbus_error_copy(&call->answer.error, error);
		return;
	}
	data = sbus_message_body(reply, &len);
	value = body_decode(sbus_message_content(reply), data, len);
	if (value || !PyErr_ExceptionMatches(PyExc_ValueError)) {
		call_finish(call, value);
		return;
	}
	PyErr_Clear();
	sbus_error_set(&call->answer.error, -EBADMSG,
		       "the answer of '%s' is not a JSON text that can be read",
		       sbus_message_extension(reply));
}

static void request_init(struct sbus_request *out, const struct body *body,
			 const struct bus_request *request)
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
	};
}

PyObject *remote_send(struct bus *bus, const struct bus_request *request)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_request out;
	struct body body;
	struct call *call;
	int r;

	if (body_encode(&body, request->message, &bus->buffer) < 0)
		return NULL;
	call = call_new(bus);
	if (!call)
		goto out;
	if (bus_connect(bus, request->extension) < 0) {
		call_finish(call, NULL);
		goto out;
	}
	request_init(&out, &body, request);
	Py_INCREF(call);
	r = sbus_call_async(bus->client, &out, on_reply, call, &call->slot,
			    &error);
	if (r < 0) {
		Py_DECREF(call);
		errors_raise(bus->st, &error);
		call_finish(call, NULL);
		sbus_error_clear(&error);
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
	struct buffer buffer = bus->buffer;
	PyObject *value = NULL;
	PyThreadState *thread;
	struct sbus_request out;
	struct sbus *client;
	struct body body;
	const void *data;
	size_t len;
	int r;

	/* Other threads may call meanwhile, with a buffer of their own. */
	bus->buffer = (struct buffer){ };
	if (body_encode(&body, request->message, &buffer) < 0)
		goto out;
	if (bus_connect(bus, request->extension) < 0)
		goto out_body;
	client = sbus_ref(bus->client);
	request_init(&out, &body, request);
	out.interrupted = on_interrupt;
	out.interrupted_data = &thread;
	thread = PyEval_SaveThread();
	r = sbus_call(client, &out, &reply, &error);
	PyEval_RestoreThread(thread);
	if (r == 0) {
		data = sbus_message_body(reply, &len);
		value = body_decode(sbus_message_content(reply), data, len);
		if (!value && PyErr_ExceptionMatches(PyExc_ValueError)) {
			PyErr_Clear();
			errors_raise_text(bus->st, -EBADMSG, request->extension,
					  "the answer is not a JSON text that can be read");
		}
	} else if (!PyErr_Occurred()) {
		errors_raise(bus->st, &error);
	}
	sbus_message_unref(reply);
	sbus_error_clear(&error);
	sbus_unref(client);
out_body:
	body_drop(&body);
out:
	buffer_free(&bus->buffer);
	bus->buffer = buffer;
	return value;
}
