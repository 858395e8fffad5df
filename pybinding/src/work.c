// SPDX-License-Identifier: MIT
/*
 * What async handlers work on: requests that a task of an event loop answers.
 *
 * A Work is what the task runs, in place of a coroutine around the handler's: it hands
 * everything on, and when the handler is through, it answers. The task begins at
 * once (it is an "eager" one), so a handler that does not wait costs no turn of the
 * loop. What is answered in the same turn is sent together.
 */
#include "work.h"
#include "request.h"

#include <stddef.h>

/* So many others are being worked on that answers are worth waiting for. */
#define MANY 8

struct work {
	PyObject_HEAD
	struct works *works;	/* @owner's */
	PyObject *owner;
	PyObject *request;
	PyObject *coroutine;	/* NULL: it is through */
	PyObject *task;
	PyObject *loop;
	bool given_up;
};

/* Has the loop send what is answered until then: no exception, that is not needed. */
static void cork(struct works *works, PyObject *loop)
{
	PyObject *raised, *handle;

	if (!works->bus || works->beginning || works->corked ||
	    PyDict_GET_SIZE(works->by_id) < MANY)
		return;
	raised = PyErr_GetRaisedException();
	handle = PyObject_CallMethodOneArg(loop, works->handler->st->str_call_soon,
					   works->uncork);
	if (handle) {
		works->corked = true;
		sbus_cork(works->bus, SBUS_ANSWERS);
		Py_DECREF(handle);
	} else {
		PyErr_Clear();
	}
	PyErr_SetRaisedException(raised);
}

void works_uncork(struct works *works)
{
	works->corked = false;
	sbus_uncork(works->bus, SBUS_ANSWERS);
}

/* Nobody works on it any more. */
static void over(struct work *work)
{
	PyObject *raised, *id;

	raised = PyErr_GetRaisedException();
	Py_CLEAR(work->coroutine);
	if (!work->task) {
		PyErr_SetRaisedException(raised);
		return;
	}
	/* Without a table the server was closed. */
	id = work->works->by_id ? request_id(work->request) : NULL;
	if (id ? PyDict_DelItem(work->works->by_id, id) < 0 : !!PyErr_Occurred())
		PyErr_WriteUnraisable(work->request);
	Py_XDECREF(id);
	Py_CLEAR(work->task);
	PyErr_SetRaisedException(raised);
}

/* Is a CancelledError that is set the handler's own: did nobody cancel its task? */
static bool is_own(struct state *st, const struct work *work)
{
	PyObject *raised = PyErr_GetRaisedException(), *cancelling;
	PyObject *type = state_cancelled_error(st);
	bool own = type && PyErr_GivenExceptionMatches(raised, type) &&
		   !(work && work->given_up);

	if (own && work && work->task) {
		cancelling = PyObject_CallMethod(work->task, "cancelling", NULL);
		own = cancelling && PyObject_Not(cancelling) == 1;
		Py_XDECREF(cancelling);
	}
	PyErr_SetRaisedException(raised);
	return own;
}

/*
 * Answers with a value, or NULL and an exception: -1 if that is to go further. @work is
 * NULL if there is no task.
 */
static int answer(struct handler *handler, const struct work *work, PyObject *request,
		  PyObject *value)
{
	struct sbus_message *message = request_message(request);

	/* A child that was forked meanwhile answers nothing. */
	if (!message) {
		Py_XDECREF(value);
		request_over(request);
		if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
			return -1;
		PyErr_Clear();
		return 0;
	}
	if (value) {
		handler_answer(handler, message, value);
		Py_DECREF(value);
	}
	if (PyErr_Occurred()) {
		if (!PyErr_ExceptionMatches(PyExc_Exception) && !is_own(handler->st, work)) {
			request_over(request);
			return -1;
		}
		handler_failed(handler, message);
	}
	request_over(request);
	return 0;
}

/* The handler is through, as above. */
static int finish(struct work *work, PyObject *value)
{
	int r;

	cork(work->works, work->loop);
	r = answer(work->works->handler, work, work->request, value);
	over(work);
	return r;
}

/* --- as a coroutine ----------------------------------------------------- */

static PySendResult work_step(PyObject *self, PyObject *arg, PyObject **result)
{
	struct work *work = (struct work *)self;
	PySendResult r;

	if (!work->coroutine) {
		PyErr_SetString(PyExc_RuntimeError, "the request was answered before");
		*result = NULL;
		return PYGEN_ERROR;
	}
	r = PyIter_Send(work->coroutine, arg, result);
	if (r == PYGEN_NEXT)
		return r;
	if (finish(work, *result) < 0) {
		*result = NULL;
		return PYGEN_ERROR;
	}
	*result = Py_NewRef(Py_None);
	return PYGEN_RETURN;
}

static PyObject *work_send(PyObject *self, PyObject *arg)
{
	PyObject *result;

	switch (work_step(self, arg, &result)) {
	case PYGEN_NEXT:
		return result;
	case PYGEN_RETURN:
		Py_DECREF(result);
		PyErr_SetNone(PyExc_StopIteration);
		return NULL;
	default:
		return NULL;
	}
}

static PyObject *work_next(PyObject *self)
{
	return work_send(self, Py_None);
}

/* The value of the StopIteration that is set, and clears it; NULL: it is another one. */
static PyObject *stopped(void)
{
	PyObject *error, *value;

	if (!PyErr_ExceptionMatches(PyExc_StopIteration))
		return NULL;
	error = PyErr_GetRaisedException();
	value = Py_NewRef(((PyStopIterationObject *)error)->value);
	Py_DECREF(error);
	return value;
}

static PyObject *work_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
	struct work *work = (struct work *)self;
	PyObject *throw, *r;

	if (nargs != 1 || !PyExceptionInstance_Check(args[0])) {
		PyErr_SetString(PyExc_TypeError, "throw(exception)");
		return NULL;
	}
	throw = NULL;
	if (work->coroutine &&
	    PyObject_GetOptionalAttrString(work->coroutine, "throw", &throw) < 0)
		return NULL;
	if (throw) {
		r = PyObject_CallOneArg(throw, args[0]);
		Py_DECREF(throw);
		if (r)
			return r;
	} else {
		PyErr_SetRaisedException(Py_NewRef(args[0]));
	}
	if (work->coroutine && finish(work, stopped()) == 0)
		PyErr_SetNone(PyExc_StopIteration);
	return NULL;
}

/* The request is dropped. */
static PyObject *work_close(PyObject *self, PyObject *none)
{
	struct work *work = (struct work *)self;
	PyObject *close = NULL, *r = NULL;

	if (work->coroutine &&
	    PyObject_GetOptionalAttrString(work->coroutine, "close", &close) < 0)
		return NULL;
	if (close)
		r = PyObject_CallNoArgs(close);
	Py_XDECREF(close);
	if (close && !r)
		return NULL;
	Py_XDECREF(r);
	request_over(work->request);
	over(work);
	Py_RETURN_NONE;
}

/* What is looked at to show where a task is: the handler's. */
static PyObject *get_inner(PyObject *self, void *name)
{
	struct work *work = (struct work *)self;

	return work->coroutine ? PyObject_GetAttrString(work->coroutine, name) :
				 Py_NewRef(Py_None);
}

static PyObject *get_name(PyObject *self, void *none)
{
	struct work *work = (struct work *)self;
	PyObject *name = NULL;

	if (work->coroutine)
		name = PyObject_GetAttrString(work->coroutine, "__qualname__");
	if (name)
		return name;
	PyErr_Clear();
	return PyUnicode_FromString("a handler");
}

static int work_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct work *work = (struct work *)self;

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(work->owner);
	Py_VISIT(work->coroutine);
	Py_VISIT(work->task);
	Py_VISIT(work->loop);
	return 0;
}

static int work_clear(PyObject *self)
{
	struct work *work = (struct work *)self;

	Py_CLEAR(work->coroutine);
	Py_CLEAR(work->task);
	Py_CLEAR(work->loop);
	Py_CLEAR(work->owner);
	return 0;
}

static void work_dealloc(PyObject *self)
{
	struct work *work = (struct work *)self;
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	work_clear(self);
	Py_XDECREF(work->request);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyMethodDef work_methods[] = {
	{ "send", work_send, METH_O, NULL },
	{ "throw", _PyCFunction_CAST(work_throw), METH_FASTCALL, NULL },
	{ "close", work_close, METH_NOARGS, NULL },
	{ }
};

static PyGetSetDef work_getset[] = {
	{ "__name__", get_name, NULL, NULL, NULL },
	{ "__qualname__", get_name, NULL, NULL, NULL },
	{ "cr_await", get_inner, NULL, NULL, "cr_await" },
	{ "cr_code", get_inner, NULL, NULL, "cr_code" },
	{ "cr_frame", get_inner, NULL, NULL, "cr_frame" },
	{ "cr_running", get_inner, NULL, NULL, "cr_running" },
	{ }
};

static PyType_Slot work_slots[] = {
	{ Py_tp_doc, (void *)PyDoc_STR("A request that a task works on.") },
	{ Py_tp_methods, work_methods },
	{ Py_tp_getset, work_getset },
	{ Py_tp_traverse, work_traverse },
	{ Py_tp_clear, work_clear },
	{ Py_tp_dealloc, work_dealloc },
	{ Py_tp_iter, PyObject_SelfIter },
	{ Py_tp_iternext, work_next },
	{ Py_am_await, PyObject_SelfIter },
	{ Py_am_send, work_step },
	{ }
};

PyType_Spec work_spec = {
	.name = "symphony_ipc._symphony.Work",
	.basicsize = sizeof(struct work),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
		 Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = work_slots,
};

/* --- all of a server ---------------------------------------------------- */

int works_init(struct works *works, struct state *st, struct handler *handler,
	       struct sbus *bus, PyObject *uncork)
{
	works->handler = handler;
	works->bus = sbus_ref(bus);
	works->uncork = uncork;
	works->by_id = PyDict_New();
	works->task_type = state_import("asyncio", "Task");
	works->task_names = Py_BuildValue("(sss)", "loop", "context", "eager_start");
	return works->by_id && works->task_type && works->task_names ? 0 : -1;
}

int works_traverse(struct works *works, visitproc visit, void *arg)
{
	Py_VISIT(works->by_id);
	Py_VISIT(works->uncork);
	Py_VISIT(works->task_type);
	return 0;
}

void works_clear(struct works *works)
{
	struct sbus *bus = works->bus;

	if (bus)
		works_uncork(works);
	/* First: handlers that end now find that there is no connection. */
	works->bus = NULL;
	Py_CLEAR(works->by_id);
	Py_CLEAR(works->uncork);
	Py_CLEAR(works->task_type);
	Py_CLEAR(works->task_names);
	sbus_unref(bus);
}

/* What an awaitable is iterated with; NULL without an exception: it is none. */
static PyObject *iterator_of(PyObject *value)
{
	const PyAsyncMethods *async = Py_TYPE(value)->tp_as_async;

	if (PyCoro_CheckExact(value))
		return Py_NewRef(value);
	return async && async->am_await ? async->am_await(value) : NULL;
}

/*
 * Not the loop's create_task(), which would begin a turn later; but whoever set a
 * factory wants all tasks to be made by that.
 */
static PyObject *new_task(struct works *works, struct work *work, PyObject *context)
{
	struct state *st = works->handler->st;
	PyObject *args[] = { (PyObject *)work, work->loop, context, Py_True };
	PyObject *get = NULL, *factory = NULL, *task, *names;

	if (PyObject_GetOptionalAttr(work->loop, st->str_get_task_factory, &get) < 0)
		return NULL;
	if (get) {
		factory = PyObject_CallNoArgs(get);
		Py_DECREF(get);
		if (!factory)
			return NULL;
	}
	if (!factory || factory == Py_None) {
		Py_XDECREF(factory);
		return PyObject_Vectorcall(works->task_type, args, 1, works->task_names);
	}
	Py_DECREF(factory);
	names = PyTuple_Pack(1, st->str_context);
	if (!names)
		return NULL;
	args[0] = work->loop;
	args[1] = (PyObject *)work;
	task = PyObject_VectorcallMethod(st->str_create_task, args, 2, names);
	Py_DECREF(names);
	return task;
}

/* Takes @iterator. */
static int start(struct works *works, PyObject *owner, PyObject *request, PyObject *iterator,
		 PyObject *loop, PyObject *context)
{
	PyTypeObject *type = works->handler->st->work_type;
	struct work *work = (struct work *)type->tp_alloc(type, 0);
	PyObject *task, *id;
	int r = 0;

	if (!work) {
		Py_DECREF(iterator);
		return answer(works->handler, NULL, request, NULL);
	}
	work->works = works;
	work->owner = Py_NewRef(owner);
	work->request = Py_NewRef(request);
	work->coroutine = iterator;
	work->loop = Py_NewRef(loop);
	task = new_task(works, work, context);
	if (!task) {
		if (work->coroutine)
			r = finish(work, NULL);
		else
			r = -1;
	} else if (work->coroutine) {
		id = request_id(request);
		if (id && PyDict_SetItem(works->by_id, id, (PyObject *)work) == 0)
			work->task = Py_NewRef(task);
		else
			r = -1;
		Py_XDECREF(id);
	}
	Py_XDECREF(task);
	Py_DECREF(work);
	return r;
}

int works_begin(struct works *works, PyObject *owner, PyObject *request, PyObject *loop)
{
	struct state *st = works->handler->st;
	PyObject *context = PyContext_CopyCurrent(), *token, *value = NULL, *iterator = NULL;
	int r = 0;

	if (!context || PyContext_Enter(context) < 0) {
		Py_XDECREF(context);
		return -1;
	}
	token = PyContextVar_Set(st->current, request);
	if (token)
		value = handler_call(works->handler, request_message(request));
	Py_XDECREF(token);
	if (value)
		iterator = iterator_of(value);
	if (iterator || (value && PyErr_Occurred()))
		Py_CLEAR(value);
	if (!iterator && (value || PyErr_Occurred()))
		r = answer(works->handler, NULL, request, value);
	else if (!iterator)
		request_over(request);
	if (r < 0) {
		PyObject *raised = PyErr_GetRaisedException();

		PyContext_Exit(context);
		PyErr_SetRaisedException(raised);
	} else {
		r = PyContext_Exit(context);
	}
	if (iterator)
		r = start(works, owner, request, iterator, loop, context);
	Py_DECREF(context);
	return r;
}

int works_ended(struct works *works, PyObject *id)
{
	struct work *work = (struct work *)PyDict_GetItemWithError(works->by_id, id);
	struct sbus_message *message;
	PyObject *r;

	if (!work || work->given_up)
		return PyErr_Occurred() ? -1 : 0;
	message = request_message(work->request);
	/* Of an outcome it is a guess. */
	if (!message || !sbus_message_cancelled(message))
		return 0;
	work->given_up = true;
	Py_INCREF(work);
	r = PyObject_CallMethodNoArgs(work->task, works->handler->st->str_cancel);
	Py_DECREF(work);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

PyObject *works_tasks(struct works *works)
{
	PyObject *tasks = PyList_New(0), *id, *work;
	Py_ssize_t pos = 0;

	while (tasks && PyDict_Next(works->by_id, &pos, &id, &work))
		if (PyList_Append(tasks, ((struct work *)work)->task) < 0)
			Py_CLEAR(tasks);
	return tasks;
}
