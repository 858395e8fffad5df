// SPDX-License-Identifier: MIT
/* Calls to members of the Pit: Python objects to parsed values, and a function call. */
#include "pit.h"
#include "convert.h"
#include "errors.h"

#include <errno.h>
#include <semaphore.h>

/*
 * Whose answer this thread can take as it is: it has the GIL and is inside
 * libsymphony for that call. Any other answer is copied, whatever thread brings
 * it, since a thread that serves other processes never waits for the GIL.
 */
static _Thread_local const void *within;

static PyObject *to_py(struct state *st, yyjson_mut_val *result,
		       const struct sbus_error *error)
{
	if (error)
		return errors_raise(st, error);
	return result ? convert_mut_to_py(st, result) : Py_NewRef(Py_None);
}

static void on_answer(yyjson_mut_val *result, const struct sbus_error *error,
		      void *userdata)
{
	struct call *call = userdata;

	if (within != call) {
		answer_copy(&call->answer, result, error);
		inbox_post(call->inbox, call);
		return;
	}
	if (call->phase == CALL_PENDING)
		call_finish(call, to_py(call->st, result, error));
	Py_DECREF(call);
}

PyObject *pit_send(struct bus *bus, struct sbus_member *member,
		   const struct bus_request *request)
{
	const void *outer = within;
	struct convert c;
	struct call *call;
	yyjson_val *root;
	int r;

	root = convert_from_py(&c, request->message);
	if (!root)
		return NULL;
	call = call_new(bus);
	if (!call)
		goto out;
	call->inbox = &bus->inbox;
	within = Py_NewRef(call);
	r = sbus_pit_call(member, root, request->deadline, on_answer, call,
			  &call->pending);
	within = outer;
	if (r < 0) {
		Py_DECREF(call);
		errors_raise_text(bus->st, r, request->extension,
				  "the Pit is not running");
		call_finish(call, NULL);
	}
out:
	convert_drop(&c);
	return (PyObject *)call;
}

void pit_cancel(struct call *call, struct sbus_pending *pending)
{
	const void *outer = within;

	within = call;
	sbus_pending_cancel(pending);
	within = outer;
}

/* --- without a loop ----------------------------------------------------- */

struct waiter {
	struct state *st;
	bool direct;
	PyObject *value;	/* direct: the answer, or NULL and an exception */
	struct answer answer;	/* otherwise, once posted */
	sem_t posted;
};

static void on_waited(yyjson_mut_val *result, const struct sbus_error *error,
		      void *userdata)
{
	struct waiter *waiter = userdata;

	if (within == waiter) {
		waiter->value = to_py(waiter->st, result, error);
		waiter->direct = true;
		return;
	}
	answer_copy(&waiter->answer, result, error);
	sem_post(&waiter->posted);
}

static int wait_posted(struct waiter *waiter)
{
	int r;

	Py_BEGIN_ALLOW_THREADS
	r = sem_wait(&waiter->posted) < 0 ? -errno : 0;
	Py_END_ALLOW_THREADS
	return r;
}

static PyObject *wait_answer(struct waiter *waiter, struct sbus_pending *pending)
{
	PyObject *raised, *value;

	while (wait_posted(waiter) < 0) {
		if (PyErr_CheckSignals() == 0)
			continue;
		raised = PyErr_GetRaisedException();
		if (pending)
			sbus_pending_cancel(pending);
		while (wait_posted(waiter) < 0)
			;
		value = answer_take(waiter->st, &waiter->answer);
		Py_XDECREF(value);
		PyErr_SetRaisedException(raised);
		return NULL;
	}
	return answer_take(waiter->st, &waiter->answer);
}

PyObject *pit_call(struct bus *bus, struct sbus_member *member,
		   const struct bus_request *request)
{
	struct waiter waiter = { .st = bus->st };
	struct sbus_pending *pending = NULL;
	const void *outer = within;
	struct convert c;
	yyjson_val *root;
	int r;

	root = convert_from_py(&c, request->message);
	if (!root)
		return NULL;
	sem_init(&waiter.posted, 0, 0);
	within = &waiter;
	r = sbus_pit_call(member, root, request->deadline, on_waited, &waiter,
			  &pending);
	within = outer;
	convert_drop(&c);
	if (r < 0)
		errors_raise_text(bus->st, r, request->extension,
				  "the Pit is not running");
	else if (!waiter.direct)
		waiter.value = wait_answer(&waiter, pending);
	sbus_pending_unref(pending);
	sem_destroy(&waiter.posted);
	return waiter.value;
}
