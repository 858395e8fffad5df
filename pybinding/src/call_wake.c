// SPDX-License-Identifier: MIT
/* Telling those who wait for a call. */
#include "call.h"

int call_schedule(struct call *call, PyObject *name, PyObject *callback,
		    PyObject *context)
{
	PyObject *args[] = { call->loop, callback, (PyObject *)call, context };
	PyObject *names = PyTuple_Pack(1, call->st->str_context);
	PyObject *handle;

	if (!names)
		return -1;
	handle = PyObject_VectorcallMethod(name, args,
					   3 | PY_VECTORCALL_ARGUMENTS_OFFSET,
					   names);
	Py_DECREF(names);
	Py_XDECREF(handle);
	return handle ? 0 : -1;
}

/* What a loop does with an exception out of a callback. */
static int report(struct call *call)
{
	PyObject *error, *context, *r;

	if (PyErr_ExceptionMatches(PyExc_SystemExit) ||
	    PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
		return -1;
	error = PyErr_GetRaisedException();
	context = Py_BuildValue("{s:s,s:N,s:O}", "message",
				"Exception in a callback of a call",
				"exception", error, "future", call);
	if (!context)
		return -1;
	r = PyObject_CallMethodOneArg(call->loop,
				      call->st->str_call_exception_handler,
				      context);
	Py_DECREF(context);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

/*
 * Continues a waiter inside the loop's own callback. A loop would do this one
 * turn later; nothing but that turn lies between, since no task runs now.
 */
static int run(struct call *call, PyObject *callback, PyObject *context)
{
	PyObject *r, *error;

	if (PyContext_Enter(context) < 0) {
		/* The callback's context is the one we are in. */
		PyErr_Clear();
		return call_schedule(call, call->st->str_call_soon, callback, context);
	}
	r = PyObject_CallOneArg(callback, (PyObject *)call);
	if (r) {
		Py_DECREF(r);
		return PyContext_Exit(context);
	}
	error = PyErr_GetRaisedException();
	if (PyContext_Exit(context) < 0)
		PyErr_Clear();
	PyErr_SetRaisedException(error);
	return report(call);
}

static int wake_one(struct call *call, PyObject *here, PyObject *callback,
		    PyObject *context)
{
	PyObject *name = call->st->str_call_soon_threadsafe;
	PyObject *running;

	if (here && call->loop == here)
		return run(call, callback, context);
	running = state_running_loop(call->st);
	if (running == call->loop)
		name = call->st->str_call_soon;
	Py_XDECREF(running);
	if (call_schedule(call, name, callback, context) == 0)
		return 0;
	/* A loop that was closed has nobody left who waits. */
	if (PyErr_ExceptionMatches(PyExc_RuntimeError))
		PyErr_Clear();
	return PyErr_Occurred() ? -1 : 0;
}

int call_wake(struct call *call, PyObject *here)
{
	PyObject *callback = call->callback, *context = call->context;
	PyObject *more = call->more;
	int r = 0;

	call->callback = NULL;
	call->context = NULL;
	call->more = NULL;
	if (callback)
		r = wake_one(call, here, callback, context);
	for (Py_ssize_t i = 0; more && i < PyList_GET_SIZE(more); i++) {
		PyObject *pair = PyList_GET_ITEM(more, i);
		PyObject *raised = PyErr_GetRaisedException();

		if (wake_one(call, raised ? NULL : here, PyTuple_GET_ITEM(pair, 0),
			     PyTuple_GET_ITEM(pair, 1)) < 0)
			r = -1;
		if (raised)
			PyErr_SetRaisedException(raised);
	}
	Py_XDECREF(callback);
	Py_XDECREF(context);
	Py_XDECREF(more);
	return r;
}

void call_list_init(struct call_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

void call_list_add(struct call_list *list, struct call *call)
{
	call->next = NULL;
	*list->end = call;
	list->end = &call->next;
}

int call_list_wake(struct call_list *list, PyObject *here)
{
	struct call *call, *next = list->first;
	int r = 0;

	call_list_init(list);
	for (call = next; call; call = call->next)
		if (call->phase == CALL_PENDING)
			call_finish(call, answer_take(call->st, &call->answer));
	while ((call = next)) {
		PyObject *raised = PyErr_GetRaisedException();

		next = call->next;
		/* After an exception that ends the loop nothing more is run. */
		if (call_wake(call, raised ? NULL : here) < 0)
			r = -1;
		if (raised)
			PyErr_SetRaisedException(raised);
		Py_DECREF(call);
	}
	return r;
}

void call_list_drop(struct call_list *list)
{
	struct call *call, *next;

	for (call = list->first; call; call = next) {
		next = call->next;
		Py_DECREF(call);
	}
	call_list_init(list);
}
