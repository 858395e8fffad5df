// SPDX-License-Identifier: MIT
/* The module symphony_ipc._symphony: its types, its state, its functions. */
#include "state.h"
#include "bus.h"
#include "call.h"
#include "convert.h"
#include "fork.h"
#include "request.h"
#include "server.h"
#include "stop.h"
#include "text.h"
#include "work.h"

struct state *state_hold(struct state *st)
{
	Py_INCREF(st->module);
	return st;
}

struct state *state_hold_of(PyTypeObject *type)
{
	PyObject *module = PyType_GetModuleByDef(type, &symphony_module);

	return module ? state_hold(PyModule_GetState(module)) : NULL;
}

void state_drop(struct state *st)
{
	if (st)
		Py_DECREF(st->module);
}

PyObject *state_running_loop(struct state *st)
{
	PyObject *events, *loop;

	if (!st->get_running_loop) {
		/* Without the module there is no loop that could run. */
		events = PyImport_GetModule(st->asyncio_events);
		if (!events)
			return NULL;
		st->get_running_loop =
			PyObject_GetAttrString(events, "_get_running_loop");
		Py_DECREF(events);
		if (!st->get_running_loop)
			return NULL;
	}
	loop = PyObject_CallNoArgs(st->get_running_loop);
	if (loop == Py_None) {
		Py_DECREF(loop);
		return NULL;
	}
	return loop;
}

PyObject *state_import(const char *module, const char *name)
{
	PyObject *imported = PyImport_ImportModule(module);
	PyObject *attribute;

	if (!imported)
		return NULL;
	attribute = PyObject_GetAttrString(imported, name);
	Py_DECREF(imported);
	return attribute;
}

PyObject *state_cancelled_error(struct state *st)
{
	if (!st->cancelled_error)
		st->cancelled_error = state_import("asyncio.exceptions",
						  "CancelledError");
	return st->cancelled_error;
}

static PyMethodDef module_methods[] = {
	{ "current_request", request_current, METH_NOARGS,
	  PyDoc_STR("current_request()\n--\n\n"
		    "The request being served: who asks (pid, uid, sender), by when; or None.") },
	{ "cancelled", request_is_cancelled, METH_NOARGS,
	  PyDoc_STR("cancelled()\n--\n\n"
		    "Does nobody wait any more for the answer to the request being served?") },
	{ "check_message", convert_check, METH_O,
	  PyDoc_STR("check_message(value, /)\n--\n\n"
		    "Raises what sending the value as JSON would.") },
	{ "check_name", text_check_name, METH_VARARGS,
	  PyDoc_STR("check_name(name, what, /)\n--\n\n"
		    "The name, if it can be an id or a bus's; otherwise an error that says what it is for.") },
	{ }
};

static int add_type(PyObject *module, PyTypeObject **type, PyType_Spec *spec)
{
	*type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
	return *type ? PyModule_AddType(module, *type) : -1;
}

/* Those that have no name in the module. */
static int make_types(PyObject *module, struct state *st)
{
	st->view_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &view_spec, NULL);
	st->stop_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &stop_spec,
								 PyExc_StopIteration);
	return st->view_type && st->stop_type ? 0 : -1;
}

static int module_exec(PyObject *module)
{
	struct state *st = PyModule_GetState(module);

	if (fork_watch() < 0)
		return -1;
	st->module = module;
#define STATE_NAME(name)						\
	st->str_##name = PyUnicode_InternFromString(#name);		\
	if (!st->str_##name)						\
		return -1;
	STATE_NAMES(STATE_NAME)
#undef STATE_NAME

	st->asyncio_events = PyUnicode_InternFromString("asyncio.events");
	if (!st->asyncio_events)
		return -1;
	st->current = PyContextVar_New("symphony_ipc.current_request", Py_None);
	if (!st->current || PyModule_AddObjectRef(module, "current", st->current) < 0)
		return -1;
	st->make_error = state_import("symphony_ipc.errors", "from_errno");
	st->describe_failure = state_import("symphony_ipc.errors",
					    "describe_failure");
	if (!st->make_error || !st->describe_failure)
		return -1;

	if (add_type(module, &st->call_type, &call_spec) < 0 ||
	    add_type(module, &st->bus_type, &bus_spec) < 0 ||
	    add_type(module, &st->request_type, &request_spec) < 0 ||
	    add_type(module, &st->server_type, &server_spec) < 0 ||
	    add_type(module, &st->work_type, &work_spec) < 0 ||
	    make_types(module, st) < 0)
		return -1;
	return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
	struct state *st = PyModule_GetState(module);

	Py_VISIT(st->bus_type);
	Py_VISIT(st->call_type);
	Py_VISIT(st->request_type);
	Py_VISIT(st->server_type);
	Py_VISIT(st->work_type);
	Py_VISIT(st->view_type);
	Py_VISIT(st->stop_type);
	Py_VISIT(st->current);
	Py_VISIT(st->make_error);
	Py_VISIT(st->describe_failure);
	Py_VISIT(st->get_running_loop);
	Py_VISIT(st->cancelled_error);
	return 0;
}

/* No object of its types is left: each holds it. */
static void module_free(void *module)
{
	struct state *st = PyModule_GetState(module);

	Py_CLEAR(st->bus_type);
	call_forget(st);
	stop_forget(st);
	Py_CLEAR(st->call_type);
	Py_CLEAR(st->request_type);
	Py_CLEAR(st->server_type);
	Py_CLEAR(st->work_type);
	Py_CLEAR(st->view_type);
	Py_CLEAR(st->stop_type);
	for (int i = 0; i < STATE_KEYS; i++)
		Py_CLEAR(st->keys[i]);
	Py_CLEAR(st->current);
	Py_CLEAR(st->make_error);
	Py_CLEAR(st->describe_failure);
	Py_CLEAR(st->get_running_loop);
	Py_CLEAR(st->cancelled_error);
	Py_CLEAR(st->asyncio_events);
#define STATE_NAME(name) Py_CLEAR(st->str_##name);
	STATE_NAMES(STATE_NAME)
#undef STATE_NAME
}

static PyModuleDef_Slot module_slots[] = {
	{ Py_mod_exec, module_exec },
	{ Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED },
	{ }
};

struct PyModuleDef symphony_module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "symphony_ipc._symphony",
	.m_doc = PyDoc_STR("The C side of symphony_ipc."),
	.m_size = sizeof(struct state),
	.m_methods = module_methods,
	.m_slots = module_slots,
	.m_traverse = module_traverse,
	.m_free = module_free,
};

PyMODINIT_FUNC PyInit__symphony(void)
{
	return PyModuleDef_Init(&symphony_module);
}
