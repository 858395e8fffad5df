// SPDX-License-Identifier: MIT
/* A descriptor that event loops watch. */
#include "source.h"

static int is_closed(struct state *st, PyObject *loop)
{
	PyObject *r = PyObject_CallMethodNoArgs(loop, st->str_is_closed);
	int closed = r ? PyObject_IsTrue(r) : -1;

	Py_XDECREF(r);
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

/* A loop of another thread may only be spoken to through its queue. */
static void remove_reader(struct state *st, PyObject *loop, int fd)
{
	PyObject *running, *remove = NULL, *number = PyLong_FromLong(fd), *r = NULL;
	int closed = is_closed(st, loop);

	running = state_running_loop(st);
	if (!closed && number && !PyErr_Occurred()) {
		remove = PyObject_GetAttr(loop, st->str_remove_reader);
		if (remove && running != loop &&
		    PyObject_HasAttrString(loop, "_thread_id")) {
			PyObject *owner = PyObject_GetAttrString(loop, "_thread_id");

			if (owner && owner != Py_None)
				r = PyObject_CallMethodObjArgs(
					loop, st->str_call_soon_threadsafe,
					remove, number, NULL);
			Py_XDECREF(owner);
		}
		if (remove && !r && !PyErr_Occurred())
			r = PyObject_CallOneArg(remove, number);
	}
	if (PyErr_Occurred())
		PyErr_WriteUnraisable(loop);
	Py_XDECREF(r);
	Py_XDECREF(remove);
	Py_XDECREF(number);
	Py_XDECREF(running);
}

void source_detach(struct source *source, struct state *st)
{
	PyObject *raised = PyErr_GetRaisedException();

	if (source->loop)
		remove_reader(st, source->loop, source->fd);
	for (Py_ssize_t i = 0; source->others &&
			       i < PyList_GET_SIZE(source->others); i++)
		remove_reader(st, PyList_GET_ITEM(source->others, i), source->fd);
	Py_CLEAR(source->loop);
	Py_CLEAR(source->others);
	source->fd = -1;
	PyErr_SetRaisedException(raised);
}

int source_traverse(struct source *source, visitproc visit, void *arg)
{
	Py_VISIT(source->loop);
	Py_VISIT(source->others);
	return 0;
}
