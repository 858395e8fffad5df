// SPDX-License-Identifier: MIT
/*
 * The end of an awaitable that has a value, as an exception that costs little.
 *
 * "await" of what is no generator takes its value out of a StopIteration, to make one
 * of which costs more than a call to the Pit. So one is kept, of a type of its own that
 * notices when it is dropped: the interpreter does so right away. Who holds it on, or
 * writes to it, keeps it.
 */
#include "stop.h"

#include <stdbool.h>

void stop_raise(struct state *st, PyObject *value)
{
	PyObject *stop = st->spare_stop, *args;

	if (stop) {
		st->spare_stop = NULL;
		PyObject_Init(stop, st->stop_type);
		PyObject_GC_Track(stop);
	} else {
		args = PyTuple_New(0);
		stop = args ? st->stop_type->tp_new(st->stop_type, args, NULL) : NULL;
		Py_XDECREF(args);
	}
	if (!stop) {
		Py_DECREF(value);
		return;
	}
	Py_XSETREF(((PyStopIterationObject *)stop)->value, value);
	PyErr_SetRaisedException(stop);
}

/* It is as it was when it was raised, but for its value. */
static bool untouched(const PyStopIterationObject *stop)
{
	return !stop->dict && !stop->notes && !stop->traceback && !stop->context &&
	       !stop->cause && PyTuple_GET_SIZE(stop->args) == 0;
}

static void stop_dealloc(PyObject *self)
{
	PyStopIterationObject *stop = (PyStopIterationObject *)self;
	PyTypeObject *type = Py_TYPE(self);
	/* NULL after the collector cleared the type. */
	PyObject *module = ((PyHeapTypeObject *)type)->ht_module;
	struct state *st = module ? PyModule_GetState(module) : NULL;

	if (st && untouched(stop)) {
		PyObject_GC_UnTrack(self);
		Py_CLEAR(stop->value);
		if (!st->spare_stop) {
			st->spare_stop = self;
			Py_DECREF(type);
			return;
		}
		PyObject_GC_Track(self);
	}
	((PyTypeObject *)PyExc_StopIteration)->tp_dealloc(self);
	Py_DECREF(type);
}

void stop_forget(struct state *st)
{
	if (st->spare_stop)
		PyObject_GC_Del(st->spare_stop);
	st->spare_stop = NULL;
}

static int stop_traverse(PyObject *self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(self));
	return ((PyTypeObject *)PyExc_StopIteration)->tp_traverse(self, visit, arg);
}

static int stop_clear(PyObject *self)
{
	return ((PyTypeObject *)PyExc_StopIteration)->tp_clear(self);
}

static PyType_Slot stop_slots[] = {
	{ Py_tp_traverse, stop_traverse },
	{ Py_tp_clear, stop_clear },
	{ Py_tp_dealloc, stop_dealloc },
	{ }
};

PyType_Spec stop_spec = {
	.name = "symphony_ipc._symphony.Stop",
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = stop_slots,
};
