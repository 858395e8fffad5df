// SPDX-License-Identifier: MIT
/* A connection as Python sees it: the Pit, and an endpoint for all the others. */
#include "bus.h"
#include "convert.h"
#include "errors.h"
#include "pit.h"
#include "remote.h"
#include "server.h"
#include "text.h"

#include <errno.h>

/* --- outcomes ----------------------------------------------------------- */

/* libsymphony wants to be processed at a time, whatever the descriptor says. */
static int arm(struct bus *bus, PyObject *loop)
{
	uint64_t when = UINT64_MAX, now;
	PyObject *on_timer, *handle;

	if (bus->client)
		when = sbus_get_timeout(bus->client);
	if (bus->process) {
		now = sbus_get_timeout(bus->shared);
		when = now < when ? now : when;
	}

	if (when == UINT64_MAX ||
	    (bus->timer && bus->timer <= when && bus->timing == loop))
		return 0;
	on_timer = PyObject_GetAttrString((PyObject *)bus, "_on_timer");
	if (!on_timer)
		return -1;
	now = sbus_now();
	handle = PyObject_CallMethod(loop, "call_later", "dO",
				     when > now ? (when - now) * 1e-9 : 0.0,
				     on_timer);
	Py_DECREF(on_timer);
	if (!handle)
		return -1;
	Py_DECREF(handle);
	bus->timer = when ? when : 1;
	Py_XSETREF(bus->timing, Py_NewRef(loop));
	return 0;
}

static int watch(struct bus *bus, struct source *source, PyObject *loop,
		 const char *method)
{
	PyObject *callback;
	int r;

	if (source->loop == loop || source->fd < 0)
		return 0;
	callback = PyObject_GetAttrString((PyObject *)bus, method);
	if (!callback)
		return -1;
	r = source_attach(source, bus->st, loop, callback);
	Py_DECREF(callback);
	return r;
}

int bus_attach(struct bus *bus, PyObject *loop)
{
	/* The turn of another loop can be far, or never come. */
	if (bus->corked && bus->turning != loop)
		bus_uncork(bus);
	if (watch(bus, &bus->outcomes, loop, "_on_readable") < 0 ||
	    watch(bus, &bus->late, loop, "_on_late") < 0)
		return -1;
	return arm(bus, loop);
}

static PyObject *wake_finished(struct bus *bus, PyObject *here)
{
	struct call_list list = bus->finished;
	int r;

	if (!list.first)
		Py_RETURN_NONE;
	call_list_init(&bus->finished);
	r = call_list_wake(&list, here);
	if (r < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *process(struct bus *bus)
{
	PyObject *loop, *r = NULL;
	int err;

	if (!bus->client || fork_since(bus->forks))
		Py_RETURN_NONE;
	bus->burst = 0;
	err = sbus_process(bus->client);
	loop = state_running_loop(bus->st);
	if (err < 0 && err != -EBUSY) {
		/* The descriptor stays readable: nobody may look at it again. */
		source_detach(&bus->outcomes, bus->st, bus_drop, sbus_ref(bus->client));
		errors_raise_text(bus->st, err, NULL, "receiving from the bus failed");
	} else if (!loop || arm(bus, loop) == 0) {
		r = wake_finished(bus, loop);
	}
	Py_XDECREF(loop);
	return r;
}

static PyObject *bus_on_readable(PyObject *self, PyObject *none)
{
	return process((struct bus *)self);
}

static PyObject *bus_on_timer(PyObject *self, PyObject *none)
{
	struct bus *bus = (struct bus *)self;
	PyObject *r;

	bus->timer = 0;
	if (bus->process && !fork_since(bus->forks)) {
		r = PyObject_CallNoArgs(bus->process);
		if (!r)
			return NULL;
		Py_DECREF(r);
	}
	return process(bus);
}

void bus_uncork(struct bus *bus)
{
	struct sbus *corked = bus->corked;

	bus->corked = NULL;
	if (corked && !fork_since(bus->forks)) {
		sbus_uncork(corked, SBUS_CALLS);
		sbus_unref(corked);
	}
	Py_CLEAR(bus->turning);
}

static PyObject *bus_on_turn(PyObject *self, PyObject *none)
{
	struct bus *bus = (struct bus *)self;
	PyObject *loop;
	int r;

	bus_uncork(bus);
	loop = state_running_loop(bus->st);
	r = loop && !bus->closed ? arm(bus, loop) : 0;
	Py_XDECREF(loop);
	if (r < 0 || PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *bus_on_late(PyObject *self, PyObject *none)
{
	struct bus *bus = (struct bus *)self;
	PyObject *loop, *r;

	if (bus->inbox.fd < 0 || fork_since(bus->forks))
		Py_RETURN_NONE;
	inbox_drain(&bus->inbox, &bus->finished);
	loop = state_running_loop(bus->st);
	r = wake_finished(bus, loop);
	Py_XDECREF(loop);
	return r;
}

/* --- an Extension's ----------------------------------------------------- */

static PyObject *bus_share(PyObject *self, PyObject *args)
{
	struct bus *bus = (struct bus *)self;
	PyObject *server, *process = NULL, *ended = NULL;
	struct sbus *connection;

	if (bus_check(bus) < 0 ||
	    !PyArg_ParseTuple(args, "O!|OO!:_share", bus->st->server_type, &server,
			      &process, &PyList_Type, &ended))
		return NULL;
	connection = server_connection(server);
	if (!connection)
		return NULL;
	sbus_unref(bus->shared);
	bus->shared = sbus_ref(connection);
	Py_XSETREF(bus->process, Py_XNewRef(process));
	Py_XSETREF(bus->ended, Py_XNewRef(ended));
	Py_RETURN_NONE;
}

/* The shared connection was processed: for a turn of the loop. */
static PyObject *bus_on_processed(PyObject *self, PyObject *none)
{
	struct bus *bus = (struct bus *)self;
	PyObject *loop, *r = NULL;

	if (fork_since(bus->forks))
		Py_RETURN_NONE;
	loop = state_running_loop(bus->st);
	bus->burst = 0;
	if (!loop || arm(bus, loop) == 0)
		r = wake_finished(bus, loop);
	Py_XDECREF(loop);
	return r;
}

/* --- opening and closing ------------------------------------------------ */

int bus_check(struct bus *bus)
{
	if (bus->name && !fork_since(bus->forks))
		return 0;
	if (bus->name)
		fork_raise(bus->st, NULL);
	else
		PyErr_SetString(PyExc_RuntimeError,
				"the bus was not made: __init__() of a subclass has to call super().__init__()");
	return -1;
}

static PyObject *on_initialize(PyObject *self, PyObject *none)
{
	if (bus_initialize((struct bus *)self) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *on_serve_pit(PyObject *self, PyObject *none)
{
	if (bus_serve_pit((struct bus *)self) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *bus_close(PyObject *self, PyObject *none)
{
	struct bus *bus = (struct bus *)self;

	if (!bus->closed)
		bus_shut(bus, true);
	if (fork_since(bus->forks))
		Py_RETURN_NONE;
	return wake_finished(bus, NULL);
}

/* --- calling ------------------------------------------------------------ */

static PyObject *bus_send_message(PyObject *self, PyObject *const *args,
				  Py_ssize_t nargs, PyObject *names)
{
	struct bus *bus = (struct bus *)self;
	struct sbus_member *member = NULL;
	struct bus_request request;

	if (bus_request_parse(&request, args, nargs, names) < 0)
		return NULL;
	if ((!bus->ready || fork_since(bus->forks)) && bus_initialize(bus) < 0)
		return NULL;
	if (bus->pit)
		member = sbus_pit_lookup(bus->pit, request.extension);
	return member ? pit_send(bus, member, &request) :
			remote_send(bus, &request);
}

static PyObject *bus_call(PyObject *self, PyObject *const *args,
			  Py_ssize_t nargs, PyObject *names)
{
	struct bus *bus = (struct bus *)self;
	struct sbus_member *member = NULL;
	struct bus_request request;

	if (bus_request_parse(&request, args, nargs, names) < 0)
		return NULL;
	if ((!bus->ready || fork_since(bus->forks)) && bus_initialize(bus) < 0)
		return NULL;
	if (bus->pit)
		member = sbus_pit_lookup(bus->pit, request.extension);
	return member ? pit_call(bus, member, &request) :
			remote_call(bus, &request);
}

/* --- the object --------------------------------------------------------- */

static PyObject *bus_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	struct bus *bus = (struct bus *)type->tp_alloc(type, 0);

	if (!bus)
		return NULL;
	bus->outcomes.fd = -1;
	bus->late.fd = -1;
	bus->inbox.fd = -1;
	call_list_init(&bus->finished);
	bus->forks = fork_count;
	bus->st = state_hold_of(type);
	if (!bus->st)
		Py_CLEAR(bus);
	return (PyObject *)bus;
}

/* More than the processors of any machine. */
#define THREADS_MAX 65536

static PyObject *id_of(PyObject *id)
{
	return text_name(id, "an id in reserve") ? Py_NewRef(id) : NULL;
}

/* Bytes, as dlopen() takes them. */
static PyObject *path_of(PyObject *path)
{
	PyObject *bytes;

	return PyUnicode_FSConverter(path, &bytes) ? bytes : NULL;
}

/* A tuple of what @of makes of each. A str is a sequence too, which nobody means. */
static PyObject *tuple_of(PyObject *values, const char *what, PyObject *(*of)(PyObject *value))
{
	PyObject *tuple, *made;

	if (PyUnicode_Check(values) || PyBytes_Check(values)) {
		PyErr_Format(PyExc_TypeError, "%s, not %R", what, values);
		return NULL;
	}
	values = PySequence_Tuple(values);
	if (!values)
		return NULL;
	tuple = PyTuple_New(PyTuple_GET_SIZE(values));
	for (Py_ssize_t i = 0; tuple && i < PyTuple_GET_SIZE(values); i++) {
		made = of(PyTuple_GET_ITEM(values, i));
		if (made)
			PyTuple_SET_ITEM(tuple, i, made);
		else
			Py_CLEAR(tuple);
	}
	Py_DECREF(values);
	return tuple;
}

static int check_init(PyObject *name, PyObject *device, PyObject *config)
{
	if ((name != Py_None && !text_name(name, "name")) ||
	    (device != Py_None && !text_utf8(device, "device")))
		return -1;
	if (config != Py_None && !PyDict_Check(config)) {
		PyErr_Format(PyExc_TypeError, "config is {member: configuration}, not %T", config);
		return -1;
	}
	return 0;
}

static int bus_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "name", "pit", "config", "plugins", "threads",
				 "device", "pool_size", "mode", "grants",
				 "reserve", "owner", NULL };
	struct sbus_params whose = { .size = sizeof(whose) };
	struct bus *bus = (struct bus *)self;
	PyObject *name = Py_None, *device = Py_None, *config = Py_None;
	PyObject *none, *plugins = NULL, *reserve = NULL;
	PyObject *threads = NULL, *pool_size = NULL, *mode = NULL;
	uint64_t nr_threads = 1, pool_bytes = 0, mode_bits = 0;
	int pit = 1, grants = 0;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$pOOOOOOpOO&:IPCBus",
					 names, &name, &pit, &config, &plugins,
					 &threads, &device, &pool_size, &mode,
					 &grants, &reserve, bus_owner,
					 &whose) ||
	    check_init(name, device, config) < 0 ||
	    (threads && convert_number(threads, "threads", THREADS_MAX, &nr_threads) < 0) ||
	    (pool_size &&
	     convert_number(pool_size, "pool_size", UINT32_MAX, &pool_bytes) < 0) ||
	    (mode && convert_number(mode, "mode", 0777, &mode_bits) < 0))
		return -1;
	if (bus->name) {
		PyErr_SetString(PyExc_RuntimeError, "an IPCBus is made once");
		return -1;
	}
	none = PyTuple_New(0);
	if (!none)
		return -1;
	bus->plugins = tuple_of(plugins ? plugins : none, "plugins is a list of paths", path_of);
	bus->reserve = tuple_of(reserve ? reserve : none, "reserve is a list of ids", id_of);
	Py_DECREF(none);
	if (!bus->plugins || !bus->reserve)
		return -1;
	if (!pit && (config != Py_None || PyTuple_GET_SIZE(bus->plugins))) {
		PyErr_SetString(PyExc_ValueError,
				"config and plugins are for the Pit, which pit=False leaves out");
		return -1;
	}
	bus->name = Py_NewRef(name);
	bus->device = Py_NewRef(device);
	bus->config = Py_NewRef(config);
	bus->with_pit = pit;
	bus->grants = grants;
	bus->mode = mode_bits;
	bus->owner_flags = whose.flags;
	bus->owner = whose.owner;
	bus->threads = nr_threads;
	bus->pool_size = pool_bytes;
	return 0;
}

static PyObject *get_name(PyObject *self, void *closure)
{
	struct bus *bus = (struct bus *)self;

	struct sbus *any = bus->shared ? bus->shared : bus->client;

	if (any)
		return PyUnicode_FromString(sbus_name(any));
	return Py_NewRef(bus->name ? bus->name : Py_None);
}

static PyObject *get_endpoint(PyObject *self, void *closure)
{
	struct bus *bus = (struct bus *)self;

	struct sbus *any = bus->shared ? bus->shared : bus->client;

	if (!any)
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLongLong(sbus_endpoint(any));
}

static PyObject *get_pit(PyObject *self, void *closure)
{
	struct bus *bus = (struct bus *)self;
	struct sbus_member *member = NULL;
	PyObject *list = PyList_New(0), *ids;

	while (list && bus->pit && (member = sbus_pit_next(bus->pit, member))) {
		PyObject *id = PyUnicode_FromString(sbus_member_id(member));

		if (!id || PyList_Append(list, id) < 0)
			Py_CLEAR(list);
		Py_XDECREF(id);
	}
	ids = list ? PyList_AsTuple(list) : NULL;
	Py_XDECREF(list);
	return ids;
}

static PyObject *get_serving(PyObject *self, void *closure)
{
	return PyBool_FromLong(!!((struct bus *)self)->server);
}

static PyObject *get_closed(PyObject *self, void *closure)
{
	struct bus *bus = (struct bus *)self;

	return PyBool_FromLong(bus->closed || fork_since(bus->forks));
}

static int bus_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct bus *bus = (struct bus *)self;
	int r;

	Py_VISIT(Py_TYPE(self));
	if (bus->st)
		Py_VISIT(bus->st->module);
	Py_VISIT(bus->config);
	Py_VISIT(bus->plugins);
	Py_VISIT(bus->reserve);
	Py_VISIT(bus->process);
	Py_VISIT(bus->ended);
	Py_VISIT(bus->turning);
	Py_VISIT(bus->timing);
	r = source_traverse(&bus->outcomes, visit, arg);
	return r ? r : source_traverse(&bus->late, visit, arg);
}

/* Before what it refers to is cleared: this runs Python code of loops. */
static void bus_finalize(PyObject *self)
{
	struct bus *bus = (struct bus *)self;
	PyObject *raised = PyErr_GetRaisedException(), *r = Py_None;

	if (bus->st && !bus->closed)
		bus_shut(bus, false);
	if (!fork_since(bus->forks))
		r = wake_finished(bus, NULL);
	if (!r)
		PyErr_WriteUnraisable(NULL);
	PyErr_SetRaisedException(raised);
}

static int bus_clear(PyObject *self)
{
	struct bus *bus = (struct bus *)self;

	/* It is open if a __del__() of a subclass kept bus_finalize() from it. */
	source_clear(&bus->outcomes);
	source_clear(&bus->late);
	Py_CLEAR(bus->config);
	Py_CLEAR(bus->plugins);
	Py_CLEAR(bus->reserve);
	Py_CLEAR(bus->process);
	Py_CLEAR(bus->ended);
	Py_CLEAR(bus->turning);
	Py_CLEAR(bus->timing);
	return 0;
}

static void bus_dealloc(PyObject *self)
{
	struct bus *bus = (struct bus *)self;
	PyTypeObject *type = Py_TYPE(self);

	if (PyObject_CallFinalizerFromDealloc(self) < 0)
		return;
	PyObject_GC_UnTrack(self);
	bus_clear(self);
	if (bus->st && !bus->closed)
		bus_shut(bus, false);
	call_list_drop(&bus->finished);
	blocked_forget(&bus->blocked);
	Py_CLEAR(bus->name);
	Py_CLEAR(bus->device);
	buffer_free(&bus->buffer);
	state_drop(bus->st);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyMethodDef bus_methods[] = {
	{ "initialize", on_initialize, METH_NOARGS,
	  PyDoc_STR("initialize($self)\n--\n\n"
		    "Start the Pit and join the bus, if there is a device.") },
	{ "send_message", _PyCFunction_CAST(bus_send_message),
	  METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("send_message($self, extension_id, message, *, timeout=None, reply_max=0, key=0,\n"
		    "             idempotent=False, detached=False)\n--\n\n"
		    "Call an extension; the result is to be awaited.") },
	{ "call", _PyCFunction_CAST(bus_call), METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("call($self, extension_id, message, *, timeout=None, reply_max=0, key=0,\n"
		    "     idempotent=False, detached=False)\n--\n\n"
		    "Call an extension and wait for its answer, without an event loop.") },
	{ "serve_pit", on_serve_pit, METH_NOARGS,
	  PyDoc_STR("serve_pit($self)\n--\n\n"
		    "Serve the Pit to other processes, from threads without Python.") },
	{ "grant", bus_grant, METH_O,
	  PyDoc_STR("grant($self, extension_id, /)\n--\n\n"
		    "A descriptor that lets its holder claim an id on the bus created here.") },
	{ "limits", bus_limits, METH_NOARGS,
	  PyDoc_STR("limits($self)\n--\n\n"
		    "What the module allows, and what of it this user has.") },
	{ "close", bus_close, METH_NOARGS,
	  PyDoc_STR("close($self)\n--\n\n"
		    "Leave the bus and stop the Pit; calls outstanding, in all threads, fail.") },
	{ "_on_readable", bus_on_readable, METH_NOARGS, NULL },
	{ "_on_timer", bus_on_timer, METH_NOARGS, NULL },
	{ "_on_late", bus_on_late, METH_NOARGS, NULL },
	{ "_on_turn", bus_on_turn, METH_NOARGS, NULL },
	{ "_on_processed", bus_on_processed, METH_NOARGS, NULL },
	{ "_share", bus_share, METH_VARARGS, NULL },
	{ }
};

static PyGetSetDef bus_getset[] = {
	{ "name", get_name, NULL, PyDoc_STR("The name of the bus."), NULL },
	{ "endpoint", get_endpoint, NULL,
	  PyDoc_STR("The endpoint's id, None without the device."), NULL },
	{ "pit", get_pit, NULL, PyDoc_STR("The ids of the Pit's members."), NULL },
	{ "serving", get_serving, NULL,
	  PyDoc_STR("Can other processes call the Pit?"), NULL },
	{ "closed", get_closed, NULL,
	  PyDoc_STR("Was it closed, or does it belong to the parent of a fork?"), NULL },
	{ }
};

static PyType_Slot bus_slots[] = {
	{ Py_tp_doc, (void *)PyDoc_STR(
		"Bus(name=None, *, pit=True, config=None, plugins=(), threads=1, device=None, pool_size=0,\n"
		"    mode=0, grants=False, reserve=(), owner=None)\n--\n\n"
		"The C part of IPCBus.") },
	{ Py_tp_new, bus_new },
	{ Py_tp_init, bus_init },
	{ Py_tp_methods, bus_methods },
	{ Py_tp_getset, bus_getset },
	{ Py_tp_traverse, bus_traverse },
	{ Py_tp_clear, bus_clear },
	{ Py_tp_finalize, bus_finalize },
	{ Py_tp_dealloc, bus_dealloc },
	{ }
};

PyType_Spec bus_spec = {
	.name = "symphony_ipc._symphony.Bus",
	.basicsize = sizeof(struct bus),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
		 Py_TPFLAGS_IMMUTABLETYPE,
	.slots = bus_slots,
};
