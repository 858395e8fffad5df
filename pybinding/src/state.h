/* SPDX-License-Identifier: MIT */
/*
 * What one import of the module owns, and the few helpers everybody needs.
 *
 * Objects of the module's types use the state until they are deallocated, and in a
 * cycle that is collected as a whole, such as everything at the end of an interpreter,
 * the collector clears module and types before that. So each object holds the module,
 * and the state has all its members until the module is deallocated: there is no
 * m_clear. A cycle through the module also goes through one of its types, which the
 * collector clears.
 *
 * What runs Python code when an object ends does so in tp_finalize, which comes before
 * anything is cleared.
 */
#ifndef SYMPHONY_PY_STATE_H
#define SYMPHONY_PY_STATE_H

#include <Python.h>

/* Interned names: of what is called on event loops, and of members of messages. */
#define STATE_NAMES(X)				\
	X(add_reader)				\
	X(call_exception_handler)		\
	X(call_later)				\
	X(call_soon)				\
	X(call_soon_threadsafe)			\
	X(cancel)				\
	X(context)				\
	X(create_task)				\
	X(get_task_factory)			\
	X(is_closed)				\
	X(is_running)				\
	X(method)				\
	X(params)				\
	X(remove_reader)

/* How many names of members are kept: see convert.c. */
#define STATE_KEYS 256

struct state {
	PyObject *module;	/* the one it is the state of; borrowed */
	PyTypeObject *bus_type;
	PyTypeObject *call_type;
	PyTypeObject *request_type;
	PyTypeObject *server_type;
	PyTypeObject *work_type;
	PyTypeObject *view_type;
	PyTypeObject *stop_type;

	PyObject *current;		/* ContextVar: the Request that is served */
	PyObject *make_error;		/* errors.from_errno() */
	PyObject *describe_failure;	/* errors.describe_failure() */
	PyObject *asyncio_events;	/* the name of that module */

	/* asyncio is imported by those who use it: NULL until then. */
	PyObject *get_running_loop;
	PyObject *cancelled_error;

	PyObject *keys[STATE_KEYS];	/* NULL, or a str */
	struct call *spare_calls;	/* memory of calls that are over */
	unsigned int nr_spare_calls;
	PyObject *spare_stop;		/* as of stop.c */

#define STATE_NAME(name) PyObject *str_##name;
	STATE_NAMES(STATE_NAME)
#undef STATE_NAME
};

extern struct PyModuleDef symphony_module;

/* For an object: the module's state, and a reference to the module. */
struct state *state_hold(struct state *st);

/* The same for a type, or a subclass: NULL and an exception on failure. */
struct state *state_hold_of(PyTypeObject *type);

/* Drops the reference; @st can be NULL. */
void state_drop(struct state *st);

/*
 * The running event loop, a new reference; NULL when there is none, with an
 * exception set only for a failure.
 */
PyObject *state_running_loop(struct state *st);

/* An attribute of a module that is imported for it; a new reference. */
PyObject *state_import(const char *module, const char *name);

/* asyncio.CancelledError, borrowed. */
PyObject *state_cancelled_error(struct state *st);

#endif
