// SPDX-License-Identifier: MIT
/* A descriptor that event loops watch. */
#include "source.h"

#include <stdbool.h>

static int is_closed(struct state *st, PyObject *loop)
{
	PyObject *r = PyObject_CallMethodNoArgs(loop, st->str_is_closed);
	int closed = r ? PyObject_IsTrue(r) : -1;

	Py_XDECREF(r);
	return closed;
}

/* The same whatever exception is set, which stays. */
static bool is_closed_now(struct state *st, PyObject *loop)
{
	PyObject *raised = PyErr_GetRaisedException();
	bool closed = is_closed(st, loop) > 0;

	PyErr_Clear();
	PyErr_SetRaisedException(raised);
	return closed;
}

/* Puts the current loop among the others, and drops those that are closed. */
static int set_aside(struct source *source, struct state *st)
{
	if (!source->others) {
		source->others = PyList_New(0);
		if (!source->others)
			return -1;
	}
	if (source->loop && PyList_Append(source->others, source->loop) < 0)
		return -1;
	Py_CLEAR(source->loop);
	for (Py_ssize_t i = PyList_GET_SIZE(source->others) - 1; i >= 0; i--) {
		int closed = is_closed(st, PyList_GET_ITEM(source->others, i));

		if (closed < 0 ||
		    (closed && PyList_SetSlice(source->others, i, i + 1, NULL) < 0))
			return -1;
	}
	return 0;
}

int source_attach(struct source *source, struct state *st, PyObject *loop,
		  PyObject *callback)
{
	Py_ssize_t at;
	PyObject *r;
	int known;

	if (source->loop == loop || source->fd < 0)
		return 0;
	if (set_aside(source, st) < 0)
		return -1;
	known = PySequence_Contains(source->others, loop);
	if (known < 0)
		return -1;
	if (known) {
		at = PySequence_Index(source->others, loop);
		if (at < 0 || PyList_SetSlice(source->others, at, at + 1, NULL) < 0)
			return -1;
	} else {
		r = PyObject_CallMethod(loop, "add_reader", "iO", source->fd,
					callback);
		if (!r)
			return -1;
		Py_DECREF(r);
	}
	source->loop = Py_NewRef(loop);
	return 0;
}

/* --- forgetting it ------------------------------------------------------- */

/* What closes the descriptor, with the last reference to a capsule of it. */
struct owner {
	void (*release)(void *owner);
	void *owner;
};

static void owner_free(PyObject *capsule)
{
	struct owner *owner = PyCapsule_GetPointer(capsule, NULL);

	owner->release(owner->owner);
	PyMem_Free(owner);
}

/* NULL without an exception: there is no memory for it. */
static PyObject *owner_new(void (*release)(void *), void *data)
{
	struct owner *owner = PyMem_Malloc(sizeof(*owner));
	PyObject *capsule = NULL;

	if (owner) {
		*owner = (struct owner){ .release = release, .owner = data };
		capsule = PyCapsule_New(owner, NULL, owner_free);
	}
	if (!capsule) {
		PyErr_Clear();
		PyMem_Free(owner);
	}
	return capsule;
}

/* @self is (loop.remove_reader, number, capsule). */
static PyObject *forget(PyObject *self, PyObject *none)
{
	return PyObject_CallOneArg(PyTuple_GET_ITEM(self, 0), PyTuple_GET_ITEM(self, 1));
}

static PyMethodDef forget_def = { "forget", forget, METH_NOARGS, NULL };

/* Does it run, in another thread? Then it may only be spoken to through its queue. */
static int runs_elsewhere(struct state *st, PyObject *loop)
{
	PyObject *running, *r;
	int runs;

	running = state_running_loop(st);
	Py_XDECREF(running);
	if (running == loop || PyErr_Occurred())
		return PyErr_Occurred() ? -1 : 0;
	r = PyObject_CallMethodNoArgs(loop, st->str_is_running);
	runs = r ? PyObject_IsTrue(r) : -1;
	Py_XDECREF(r);
	return runs;
}

static PyObject *forget_later(struct state *st, PyObject *loop, PyObject *remove,
			      PyObject *number, PyObject *capsule)
{
	PyObject *self = PyTuple_Pack(3, remove, number, capsule), *callback, *r;

	callback = self ? PyCFunction_New(&forget_def, self) : NULL;
	r = callback ? PyObject_CallMethodOneArg(loop, st->str_call_soon_threadsafe,
						 callback) : NULL;
	Py_XDECREF(callback);
	Py_XDECREF(self);
	return r;
}

static void remove_reader(struct state *st, PyObject *loop, int fd, PyObject *capsule)
{
	PyObject *remove = NULL, *number = NULL, *r = NULL;
	int closed = is_closed(st, loop), elsewhere = -1;

	if (closed == 0) {
		remove = PyObject_GetAttr(loop, st->str_remove_reader);
		number = PyLong_FromLong(fd);
	}
	if (remove && number)
		elsewhere = capsule ? runs_elsewhere(st, loop) : 0;
	if (elsewhere > 0)
		r = forget_later(st, loop, remove, number, capsule);
	else if (elsewhere == 0)
		r = PyObject_CallOneArg(remove, number);
	/* One that was closed meanwhile watches nothing, and at the end nothing works. */
	if (PyErr_Occurred() && (Py_IsFinalizing() || is_closed_now(st, loop)))
		PyErr_Clear();
	if (PyErr_Occurred())
		PyErr_WriteUnraisable(loop);
	Py_XDECREF(r);
	Py_XDECREF(remove);
	Py_XDECREF(number);
}

void source_detach(struct source *source, struct state *st, void (*release)(void *),
		   void *owner)
{
	PyObject *raised, *loop = source->loop, *others = source->others, *capsule;
	int fd = source->fd;

	*source = (struct source){ .fd = -1 };
	if (!loop && !others) {
		release(owner);
		return;
	}
	raised = PyErr_GetRaisedException();
	capsule = owner_new(release, owner);
	if (loop)
		remove_reader(st, loop, fd, capsule);
	for (Py_ssize_t i = 0; others && i < PyList_GET_SIZE(others); i++)
		remove_reader(st, PyList_GET_ITEM(others, i), fd, capsule);
	if (!capsule)
		release(owner);
	Py_XDECREF(capsule);
	Py_XDECREF(loop);
	Py_XDECREF(others);
	PyErr_SetRaisedException(raised);
}

void source_clear(struct source *source)
{
	Py_CLEAR(source->loop);
	Py_CLEAR(source->others);
}

int source_traverse(struct source *source, visitproc visit, void *arg)
{
	Py_VISIT(source->loop);
	Py_VISIT(source->others);
	return 0;
}
