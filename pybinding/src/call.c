// SPDX-License-Identifier: MIT
/* A call that was made: what send_message() returns. */
#include "call.h"
#include "bus.h"
#include "errors.h"
#include "pit.h"
#include "stop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define SPARES_MAX 256

struct call *call_new(struct bus *bus)
{
	struct state *st = bus->st;
	struct call *call = st->spare_calls;

	if (call) {
		st->spare_calls = call->next;
		st->nr_spare_calls--;
		memset(&call->st, 0, sizeof(*call) - offsetof(struct call, st));
		PyObject_Init((PyObject *)call, st->call_type);
		PyObject_GC_Track(call);
	} else {
		call = (struct call *)st->call_type->tp_alloc(st->call_type, 0);
		if (!call)
			return NULL;
	}
	call->st = state_hold(st);
	call->bus = (struct bus *)Py_NewRef(bus);
	return call;
}

/* Was it made before a fork, and has no outcome? Then it never has one here. */
static bool is_foreign(const struct call *call)
{
	return call->bus && fork_since(call->bus->forks);
}

void call_unshare(struct call *call)
{
	if (!call->shared)
		return;
	*call->shared = call->next_shared;
	if (call->next_shared)
		call->next_shared->shared = call->shared;
	call->shared = NULL;
}

static void forget(struct call *call)
{
	struct sbus_slot *slot = call->slot;
	struct sbus_pending *pending = call->pending;

	call->slot = NULL;
	call->pending = NULL;
	call_unshare(call);
	if ((slot || pending) && !is_foreign(call)) {
		sbus_slot_unref(slot);
		sbus_pending_unref(pending);
	}
	Py_CLEAR(call->bus);
}

void call_finish(struct call *call, PyObject *value)
{
	PyObject *error = value ? NULL : PyErr_GetRaisedException();

	if (call->phase != CALL_PENDING) {
		Py_XDECREF(value);
		Py_XDECREF(error);
		return;
	}
	call->phase = value ? CALL_RETURNED : CALL_RAISED;
	call->value = value ? value : error;
	forget(call);
}

void call_share(struct call *call)
{
	struct bus *bus = call->bus;

	call->next_shared = bus->shared_calls;
	call->shared = &bus->shared_calls;
	if (call->next_shared)
		call->next_shared->shared = &call->next_shared;
	bus->shared_calls = call;
}

void call_end_shared(struct bus *bus)
{
	struct call *call;

	while ((call = bus->shared_calls)) {
		Py_INCREF(call);
		errors_raise_text(call->st, -ESHUTDOWN, NULL, "the bus was closed");
		/* Making the error runs Python code, so an outcome can have come meanwhile. */
		if (!call->shared) {
			PyErr_Clear();
			Py_DECREF(call);
			continue;
		}
		/* What is fetched later finds that it is too late. */
		sbus_slot_cancel(call->slot);
		call_finish(call, NULL);
		call_list_add(&bus->finished, call);
	}
}

/* --- waiters ------------------------------------------------------------ */

static PyObject *cancelled(struct call *call)
{
	PyObject *error = state_cancelled_error(call->st);

	if (!error)
		return NULL;
	if (!call->value || call->value == Py_None)
		return PyObject_CallNoArgs(error);
	return PyObject_CallOneArg(error, call->value);
}

static PyObject *outcome(struct call *call)
{
	PyObject *error;

	switch (call->phase) {
	case CALL_RETURNED:
		return Py_NewRef(call->value);
	case CALL_RAISED:
		call->retrieved = true;
		PyErr_SetRaisedException(Py_NewRef(call->value));
		return NULL;
	case CALL_CANCELLED:
		error = cancelled(call);
		if (error)
			PyErr_SetRaisedException(error);
		return NULL;
	default:
		PyErr_SetString(PyExc_RuntimeError, "the call has no outcome yet");
		return NULL;
	}
}

/* The loop that waits is the running one; it has to hear of the outcome. */
static int bind(struct call *call)
{
	if (is_foreign(call)) {
		fork_raise(call->st, NULL);
		return -1;
	}
	if (!call->loop) {
		call->loop = state_running_loop(call->st);
		if (!call->loop) {
			if (!PyErr_Occurred())
				PyErr_SetString(PyExc_RuntimeError,
						"waiting for a call needs a running event loop; without one use IPCBus.call()");
			return -1;
		}
	}
	return call->bus ? bus_attach(call->bus, call->loop) : 0;
}

/* --- the object --------------------------------------------------------- */

static PyObject *call_add_done_callback(PyObject *self, PyObject *const *args,
					Py_ssize_t nargs, PyObject *names)
{
	struct call *call = (struct call *)self;
	PyObject *context = Py_None, *pair;
	int r;

	if (nargs != 1 || (names && (PyTuple_GET_SIZE(names) != 1 ||
				     PyUnicode_CompareWithASCIIString(
					     PyTuple_GET_ITEM(names, 0), "context")))) {
		PyErr_SetString(PyExc_TypeError,
				"add_done_callback(callback, *, context=None)");
		return NULL;
	}
	if (bind(call) < 0)
		return NULL;
	if (names)
		context = args[1];
	context = context == Py_None ? PyContext_CopyCurrent() : Py_NewRef(context);
	if (!context)
		return NULL;
	if (call->phase != CALL_PENDING) {
		r = call_schedule(call, call->st->str_call_soon, args[0], context);
		Py_DECREF(context);
		if (r < 0)
			return NULL;
		Py_RETURN_NONE;
	}
	if (!call->callback && !call->more) {
		call->callback = Py_NewRef(args[0]);
		call->context = context;
		Py_RETURN_NONE;
	}
	pair = PyTuple_Pack(2, args[0], context);
	Py_DECREF(context);
	if (!call->more)
		call->more = PyList_New(0);
	r = pair && call->more ? PyList_Append(call->more, pair) : -1;
	Py_XDECREF(pair);
	if (r < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *call_remove_done_callback(PyObject *self, PyObject *callback)
{
	struct call *call = (struct call *)self;
	long removed = 0;
	int same;

	if (call->callback) {
		same = PyObject_RichCompareBool(call->callback, callback, Py_EQ);
		if (same < 0)
			return NULL;
		if (same) {
			Py_CLEAR(call->callback);
			Py_CLEAR(call->context);
			removed++;
		}
	}
	for (Py_ssize_t i = 0; call->more && i < PyList_GET_SIZE(call->more);) {
		PyObject *other = PyTuple_GET_ITEM(PyList_GET_ITEM(call->more, i), 0);

		same = PyObject_RichCompareBool(other, callback, Py_EQ);
		if (same < 0)
			return NULL;
		if (!same) {
			i++;
			continue;
		}
		if (PyList_SetSlice(call->more, i, i + 1, NULL) < 0)
			return NULL;
		removed++;
	}
	return PyLong_FromLong(removed);
}

static PyObject *call_cancel(PyObject *self, PyObject *const *args,
			     Py_ssize_t nargs, PyObject *names)
{
	struct call *call = (struct call *)self;

	if (nargs + (names ? PyTuple_GET_SIZE(names) : 0) > 1 ||
	    (names && PyTuple_GET_SIZE(names) == 1 &&
	     PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "msg"))) {
		PyErr_SetString(PyExc_TypeError, "cancel(msg=None)");
		return NULL;
	}
	if (call->phase != CALL_PENDING)
		Py_RETURN_FALSE;
	call->phase = CALL_CANCELLED;
	if (nargs || names)
		call->value = Py_NewRef(args[0]);
	if (!is_foreign(call)) {
		/* Nobody may have waited yet; the loop takes the outcome all the same. */
		if (bind(call) < 0)
			PyErr_Clear();
		/* It still comes, and finds that it is too late. */
		if (call->slot)
			sbus_slot_cancel(call->slot);
		if (call->pending)
			pit_cancel(call, call->pending);
	}
	forget(call);
	if (call_wake(call, NULL) < 0)
		return NULL;
	Py_RETURN_TRUE;
}

static PyObject *call_done(PyObject *self, PyObject *none)
{
	return PyBool_FromLong(((struct call *)self)->phase != CALL_PENDING);
}

static PyObject *call_cancelled(PyObject *self, PyObject *none)
{
	return PyBool_FromLong(((struct call *)self)->phase == CALL_CANCELLED);
}

static PyObject *not_done(void)
{
	PyObject *events = state_import("asyncio", "InvalidStateError");

	if (events)
		PyErr_SetString(events, "the call has no outcome yet");
	Py_XDECREF(events);
	return NULL;
}

static PyObject *call_result(PyObject *self, PyObject *none)
{
	struct call *call = (struct call *)self;

	return call->phase == CALL_PENDING ? not_done() : outcome(call);
}

static PyObject *call_exception(PyObject *self, PyObject *none)
{
	struct call *call = (struct call *)self;

	switch (call->phase) {
	case CALL_PENDING:
		return not_done();
	case CALL_CANCELLED:
		return outcome(call);
	case CALL_RAISED:
		call->retrieved = true;
		return Py_NewRef(call->value);
	default:
		Py_RETURN_NONE;
	}
}

static PyObject *call_make_cancelled_error(PyObject *self, PyObject *none)
{
	return cancelled((struct call *)self);
}

static PyObject *call_get_loop(PyObject *self, PyObject *none)
{
	struct call *call = (struct call *)self;

	return bind(call) < 0 ? NULL : Py_NewRef(call->loop);
}

/* One step of "await": the outcome, or the call itself for a task to wait on. */
static PySendResult call_send_step(PyObject *self, PyObject *arg,
				   PyObject **result)
{
	struct call *call = (struct call *)self;

	*result = NULL;
	if (call->phase != CALL_PENDING) {
		*result = outcome(call);
		return *result ? PYGEN_RETURN : PYGEN_ERROR;
	}
	if (call->blocking) {
		PyErr_SetString(PyExc_RuntimeError,
				"a call was awaited by something that does not wait for futures");
		return PYGEN_ERROR;
	}
	if (bind(call) < 0)
		return PYGEN_ERROR;
	call->blocking = true;
	*result = Py_NewRef(self);
	return PYGEN_NEXT;
}

static PyObject *step(PyObject *self)
{
	PyObject *result;

	switch (call_send_step(self, Py_None, &result)) {
	case PYGEN_NEXT:
		return result;
	case PYGEN_RETURN:
		stop_raise(((struct call *)self)->st, result);
		return NULL;
	default:
		return NULL;
	}
}

static PyObject *call_throw(PyObject *self, PyObject *const *args,
			    Py_ssize_t nargs)
{
	PyObject *error, *r;

	if (nargs < 1 || nargs > 3) {
		PyErr_SetString(PyExc_TypeError, "throw(exception)");
		return NULL;
	}
	/* A task that is cancelled before it came to wait for the call. */
	r = call_cancel(self, NULL, 0, NULL);
	if (!r)
		return NULL;
	Py_DECREF(r);
	if (PyExceptionInstance_Check(args[0]))
		error = Py_NewRef(args[0]);
	else if (PyExceptionClass_Check(args[0]))
		error = nargs > 1 && args[1] != Py_None ?
			PyObject_CallOneArg(args[0], args[1]) :
			PyObject_CallNoArgs(args[0]);
	else
		return PyErr_Format(PyExc_TypeError,
				    "throw() takes an exception, not %T", args[0]);
	if (error && !PyExceptionInstance_Check(error)) {
		PyErr_Format(PyExc_TypeError, "%R did not make an exception", args[0]);
		Py_CLEAR(error);
	}
	if (error)
		PyErr_SetRaisedException(error);
	return NULL;
}

static PyObject *call_close(PyObject *self, PyObject *none)
{
	PyObject *r = call_cancel(self, NULL, 0, NULL);

	if (!r)
		return NULL;
	Py_DECREF(r);
	Py_RETURN_NONE;
}

static PyObject *get_blocking(PyObject *self, void *closure)
{
	return PyBool_FromLong(((struct call *)self)->blocking);
}

static int set_blocking(PyObject *self, PyObject *value, void *closure)
{
	int r = value ? PyObject_IsTrue(value) : -1;

	if (!value)
		PyErr_SetString(PyExc_AttributeError, "cannot be deleted");
	if (r < 0)
		return -1;
	((struct call *)self)->blocking = r;
	return 0;
}

static PyObject *get_cancel_message(PyObject *self, void *closure)
{
	struct call *call = (struct call *)self;

	return Py_NewRef(call->phase == CALL_CANCELLED && call->value ?
			 call->value : Py_None);
}

static PyObject *get_pid(PyObject *self, void *closure)
{
	pid_t pid = ((struct call *)self)->pid;

	return pid ? PyLong_FromLong(pid) : Py_NewRef(Py_None);
}

static PyObject *get_replica(PyObject *self, void *closure)
{
	uint64_t replica = ((struct call *)self)->replica;

	return replica ? PyLong_FromUnsignedLongLong(replica) : Py_NewRef(Py_None);
}

static PyObject *call_repr(PyObject *self)
{
	static const char *const phases[] = {
		[CALL_PENDING] = "pending",
		[CALL_RETURNED] = "returned",
		[CALL_RAISED] = "raised",
		[CALL_CANCELLED] = "cancelled",
	};

	return PyUnicode_FromFormat("<symphony_ipc.Call %s at %p>",
				    phases[((struct call *)self)->phase], self);
}

static int call_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct call *call = (struct call *)self;

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(call->st->module);
	Py_VISIT(call->bus);
	Py_VISIT(call->value);
	Py_VISIT(call->loop);
	Py_VISIT(call->callback);
	Py_VISIT(call->context);
	Py_VISIT(call->more);
	return 0;
}

static int call_clear(PyObject *self)
{
	struct call *call = (struct call *)self;

	forget(call);
	Py_CLEAR(call->value);
	Py_CLEAR(call->loop);
	Py_CLEAR(call->callback);
	Py_CLEAR(call->context);
	Py_CLEAR(call->more);
	return 0;
}

/* A failure that nobody looked at is told, as asyncio does it. */
static void call_finalize(PyObject *self)
{
	struct call *call = (struct call *)self;
	PyObject *raised;

	if (call->phase != CALL_RAISED || call->retrieved || !call->value)
		return;
	raised = PyErr_GetRaisedException();
	if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
			     "the failure of a call was never retrieved: %R",
			     call->value) < 0)
		PyErr_WriteUnraisable(self);
	PyErr_SetRaisedException(raised);
}

/* An object is finalized once in its life, so such a one is not used again. */
static void call_free(struct call *call, PyTypeObject *type)
{
	struct state *st = call->st;

	if (st->nr_spare_calls < SPARES_MAX && !PyObject_GC_IsFinalized((PyObject *)call)) {
		call->next = st->spare_calls;
		st->spare_calls = call;
		st->nr_spare_calls++;
	} else {
		type->tp_free(call);
	}
	state_drop(st);
}

static void call_dealloc(PyObject *self)
{
	struct call *call = (struct call *)self;
	PyTypeObject *type = Py_TYPE(self);

	if (call->phase == CALL_RAISED && PyObject_CallFinalizerFromDealloc(self) < 0)
		return;
	PyObject_GC_UnTrack(self);
	call_clear(self);
	if (call->answer.doc || call->answer.error.error)
		answer_drop(&call->answer);
	call_free(call, type);
	Py_DECREF(type);
}

void call_forget(struct state *st)
{
	struct call *call;

	while ((call = st->spare_calls)) {
		st->spare_calls = call->next;
		PyObject_GC_Del(call);
	}
	st->nr_spare_calls = 0;
}

static PyMethodDef call_methods[] = {
	{ "add_done_callback", _PyCFunction_CAST(call_add_done_callback),
	  METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("Call callback(self) on the loop once there is an outcome.") },
	{ "remove_done_callback", call_remove_done_callback, METH_O,
	  PyDoc_STR("Forget a callback; returns how many there were.") },
	{ "cancel", _PyCFunction_CAST(call_cancel), METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("Give the call up. False if it has an outcome already.") },
	{ "done", call_done, METH_NOARGS, PyDoc_STR("Is there an outcome?") },
	{ "cancelled", call_cancelled, METH_NOARGS, PyDoc_STR("Was it given up?") },
	{ "result", call_result, METH_NOARGS, PyDoc_STR("The answer.") },
	{ "exception", call_exception, METH_NOARGS,
	  PyDoc_STR("Why there is no answer, or None.") },
	{ "get_loop", call_get_loop, METH_NOARGS,
	  PyDoc_STR("The event loop that waits.") },
	{ "throw", _PyCFunction_CAST(call_throw), METH_FASTCALL,
	  PyDoc_STR("As of an iterator that is awaited.") },
	{ "close", call_close, METH_NOARGS, PyDoc_STR("Give the call up.") },
	{ "_make_cancelled_error", call_make_cancelled_error, METH_NOARGS,
	  PyDoc_STR("What asyncio.gather() raises.") },
	{ }
};

static PyGetSetDef call_getset[] = {
	{ "pid", get_pid, NULL,
	  PyDoc_STR("The process that answered, or None."), NULL },
	{ "replica", get_replica, NULL,
	  PyDoc_STR("The id of the endpoint that answered, or None."), NULL },
	{ "_asyncio_future_blocking", get_blocking, set_blocking,
	  PyDoc_STR("How asyncio knows that this can be waited for."), NULL },
	{ "_cancel_message", get_cancel_message, NULL,
	  PyDoc_STR("What asyncio.gather() says."), NULL },
	{ }
};

static PyType_Slot call_slots[] = {
	{ Py_tp_doc, (void *)PyDoc_STR("A call that was made: await it.") },
	{ Py_tp_methods, call_methods },
	{ Py_tp_getset, call_getset },
	{ Py_tp_repr, call_repr },
	{ Py_tp_traverse, call_traverse },
	{ Py_tp_clear, call_clear },
	{ Py_tp_finalize, call_finalize },
	{ Py_tp_dealloc, call_dealloc },
	{ Py_tp_iter, PyObject_SelfIter },
	{ Py_tp_iternext, step },
	{ Py_am_await, PyObject_SelfIter },
	{ Py_am_send, call_send_step },
	{ }
};

PyType_Spec call_spec = {
	.name = "symphony_ipc._symphony.Call",
	.basicsize = sizeof(struct call),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
		 Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = call_slots,
};
