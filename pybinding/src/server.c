// SPDX-License-Identifier: MIT
/* The C part of an Extension: a replica that serves with Python functions. */
#include "bus.h"
#include "server.h"
#include "convert.h"
#include "errors.h"
#include "fork.h"
#include "handler.h"
#include "request.h"
#include "work.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

struct server {
	PyObject_HEAD
	struct state *st;
	unsigned int forks;	/* fork_count when it was made */
	struct sbus *bus;
	PyObject *id;
	struct handler handler;
	struct works works;	/* process(): those that go on */
	PyObject *queue;	/* process(): Requests, */
	PyObject *ended;	/* and the ids of those that nobody waits for */
	PyThreadState *thread;	/* serve(): while without the GIL */
	PyObject *raised;	/* serve(): the exception that ends it */
	bool busy;		/* a thread is in serve() */
	atomic_bool taken_over;
};

/* --- one request, served by plain functions ------------------------------ */

static void failed(struct server *server, struct sbus_message *request)
{
	if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) &&
	    !PyErr_ExceptionMatches(PyExc_SystemExit)) {
		handler_failed(&server->handler, request);
		return;
	}
	Py_XSETREF(server->raised, PyErr_GetRaisedException());
	PyErr_SetRaisedException(Py_NewRef(server->raised));
	sbus_stop(server->bus);
	request_reply_raised(server->st, request);
}

static void serve_one(struct server *server, struct sbus_message *request)
{
	PyObject *current = request_enter(server->st, request, server->id);
	PyObject *value = NULL;

	if (current)
		value = handler_call(&server->handler, request);
	if (value ? handler_answer(&server->handler, request, value) < 0 : !!PyErr_Occurred())
		failed(server, request);
	Py_XDECREF(value);
	if (current)
		request_leave(current);
}

static int on_request(struct sbus_message *message, void *userdata)
{
	struct server *server = userdata;
	PyObject *request;
	int r;

	if (server->queue) {
		request = request_new(server->st, message, server->id);
		r = request ? PyList_Append(server->queue, request) : -1;
		Py_XDECREF(request);
		return r < 0 ? -ENOMEM : 0;
	}
	PyEval_RestoreThread(server->thread);
	serve_one(server, message);
	server->thread = PyEval_SaveThread();
	return 0;
}

/* In process() with the GIL, in serve() without it. */
static void on_notice(const struct sbus_notice *notice, void *userdata)
{
	struct server *server = userdata;

	if (notice->type == SBUS_NOTICE_TAKEOVER) {
		atomic_store(&server->taken_over, true);
		if (!server->queue)
			sbus_stop(server->bus);
	} else if (notice->type == SBUS_NOTICE_CANCELLED && server->queue) {
		request_ended(server->ended, notice->call);
	}
}

/* --- serve(): a loop without Python around the functions ------------------ */

/*
 * A signal between Python's last look and the wait for a request would be seen
 * only after the next one, so those that stop us do it from their handler. The
 * second one of a kind has its default effect.
 */
#define NR_SIGNALS 2
static struct sbus *volatile stop_target;

static void on_signal(int number)
{
	struct sbus *bus = stop_target;

	if (bus)
		sbus_stop(bus);
}

static int catch_signals(const int *numbers, struct sigaction *old, int nr)
{
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = SA_RESETHAND,
	};

	sigemptyset(&action.sa_mask);
	for (int i = 0; i < nr; i++) {
		if (sigaction(numbers[i], &action, &old[i]) == 0)
			continue;
		PyErr_SetFromErrno(PyExc_OSError);
		while (i--)
			sigaction(numbers[i], &old[i], NULL);
		return -1;
	}
	return 0;
}

static int on_interrupt(void *userdata)
{
	struct server *server = userdata;
	int r = 0;

	PyEval_RestoreThread(server->thread);
	if (PyErr_CheckSignals() < 0) {
		Py_XSETREF(server->raised, PyErr_GetRaisedException());
		r = -EINTR;
	}
	server->thread = PyEval_SaveThread();
	return r;
}

static int check_bus(struct server *server)
{
	if (fork_since(server->forks)) {
		fork_raise(server->st, PyUnicode_AsUTF8(server->id));
		return -1;
	}
	if (server->bus)
		return 0;
	errors_raise_text(server->st, -ESHUTDOWN, NULL, "the extension was closed");
	return -1;
}

static int check_open(struct server *server)
{
	if (check_bus(server) < 0)
		return -1;
	if (!server->busy)
		return 0;
	PyErr_SetString(PyExc_RuntimeError, "the extension serves already");
	return -1;
}

/* serve() is over: NULL if there is an exception. */
static PyObject *leave(struct server *server, PyObject *token)
{
	PyObject *raised = PyErr_GetRaisedException();
	int r = PyContextVar_Reset(server->st->current, token);

	Py_DECREF(token);
	if (raised)
		PyErr_SetRaisedException(raised);
	return raised || r < 0 ? NULL : Py_NewRef(Py_None);
}

/* Those who wait in the queue when it ends get their answers. */
static int serve_all(struct server *server, struct sbus *bus, const char *id,
		     const struct sbus_serve_params *params,
		     struct sbus_error *error)
{
	int r = sbus_serve(bus, params, error);

	if (r < 0 || server->raised)
		return r;
	sbus_unclaim(bus, id);
	while (!server->raised && sbus_process(bus) > 0)
		;
	return 0;
}

static PyObject *serve_serve(PyObject *self, PyObject *args)
{
	struct server *server = (struct server *)self;
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_serve_params params = {
		.size = sizeof(params),
		.interrupted = on_interrupt,
		.interrupted_data = server,
	};
	struct sigaction old[NR_SIGNALS];
	int numbers[NR_SIGNALS], nr = PyTuple_GET_SIZE(args), r;
	const char *id = PyUnicode_AsUTF8(server->id);
	PyObject *token;
	struct sbus *bus;

	if (nr > NR_SIGNALS) {
		PyErr_SetString(PyExc_TypeError, "too many signals");
		return NULL;
	}
	for (int i = 0; i < nr; i++) {
		numbers[i] = PyLong_AsInt(PyTuple_GET_ITEM(args, i));
		if (numbers[i] == -1 && PyErr_Occurred())
			return NULL;
	}
	if (check_open(server) < 0)
		return NULL;
	token = PyContextVar_Set(server->st->current, Py_None);
	if (!token)
		return NULL;
	bus = sbus_ref(server->bus);
	if (nr)
		stop_target = bus;
	if (catch_signals(numbers, old, nr) < 0) {
		sbus_unref(bus);
		Py_DECREF(token);
		return NULL;
	}
	server->busy = true;
	server->thread = PyEval_SaveThread();
	r = serve_all(server, bus, id, &params, &error);
	PyEval_RestoreThread(server->thread);
	server->busy = false;
	for (int i = 0; i < nr; i++)
		sigaction(numbers[i], &old[i], NULL);
	if (nr)
		stop_target = NULL;
	sbus_unref(bus);
	if (server->raised) {
		PyErr_SetRaisedException(server->raised);
		server->raised = NULL;
	} else if (r < 0) {
		errors_raise(server->st, &error);
	}
	sbus_error_clear(&error);
	return leave(server, token);
}

/* --- process(): for an event loop ----------------------------------------- */

/* The Requests that were received; NULL and an exception. */
static PyObject *receive(struct server *server, PyObject *ended)
{
	PyObject *queue = PyList_New(0);
	int r;

	if (!queue)
		return NULL;
	server->queue = queue;
	server->ended = ended;
	r = sbus_process(server->bus);
	server->queue = NULL;
	server->ended = NULL;
	if (r < 0 && !PyErr_Occurred())
		errors_raise_text(server->st, r, NULL, "receiving failed");
	if (PyErr_Occurred())
		Py_CLEAR(queue);
	return queue;
}

/* Has all of the queue answered, but what was given up before it was begun. */
static int begin(struct server *server, PyObject *queue, PyObject *ended, PyObject *loop)
{
	Py_ssize_t nr = PyList_GET_SIZE(queue);
	int r = 0;

	for (Py_ssize_t i = 0; i < nr && r == 0; i++) {
		PyObject *request = PyList_GET_ITEM(queue, i), *id;
		int over = 0;

		/* A handler forked, and this is the child. */
		if (fork_since(server->forks)) {
			fork_raise(server->st, NULL);
			return -1;
		}

		if (PyList_GET_SIZE(ended)) {
			id = request_id(request);
			over = id ? PySequence_Contains(ended, id) : -1;
			Py_XDECREF(id);
		}
		r = over ? over : works_begin(&server->works, (PyObject *)server, request, loop);
		if (r > 0)
			r = 0;
	}
	return r;
}

static int end(struct server *server, PyObject *ended)
{
	Py_ssize_t nr;
	int r = 0;

	while (r == 0 && (nr = PyList_GET_SIZE(ended))) {
		PyObject *id = Py_NewRef(PyList_GET_ITEM(ended, nr - 1));

		r = PyList_SetSlice(ended, nr - 1, nr, NULL);
		if (r == 0)
			r = works_ended(&server->works, id);
		Py_DECREF(id);
	}
	return r;
}

static PyObject *serve_uncork(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	if (server->works.bus && !fork_since(server->forks))
		works_uncork(&server->works);
	Py_RETURN_NONE;
}

static int open_works(struct server *server)
{
	PyObject *uncork;

	if (server->works.bus)
		return 0;
	uncork = PyObject_GetAttrString((PyObject *)server, "_uncork");
	return uncork ? works_init(&server->works, server->st, &server->handler,
				   server->bus, uncork) : -1;
}

static PyObject *serve_process(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
	struct server *server = (struct server *)self;
	PyObject *queue, *raised;
	Py_ssize_t nr;
	int r;

	if (nargs != 2 || !PyList_Check(args[1])) {
		PyErr_SetString(PyExc_TypeError, "process(loop, ended)");
		return NULL;
	}
	if (check_open(server) < 0 || open_works(server) < 0)
		return NULL;
	queue = receive(server, args[1]);
	if (!queue)
		return NULL;
	server->works.beginning = true;
	sbus_cork(server->bus, SBUS_ANSWERS);
	r = begin(server, queue, args[1], args[0]);
	if (r == 0)
		r = end(server, args[1]);
	server->works.beginning = false;
	raised = PyErr_GetRaisedException();
	works_uncork(&server->works);
	PyErr_SetRaisedException(raised);
	nr = PyList_GET_SIZE(queue);
	Py_DECREF(queue);
	return r < 0 ? NULL : PyLong_FromSsize_t(nr);
}

static PyObject *serve_tasks(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	return server->works.by_id ? works_tasks(&server->works) : PyList_New(0);
}

static PyObject *serve_fileno(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	return check_open(server) < 0 ?
		NULL : PyLong_FromLong(sbus_get_fd(server->bus));
}

static PyObject *serve_stop(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	if (server->bus && !fork_since(server->forks))
		sbus_stop(server->bus);
	Py_RETURN_NONE;
}

/* What came of a request to the kernel about the id. */
static PyObject *about_id(struct server *server, int r)
{
	return r < 0 ? errors_raise_text(server->st, r, PyUnicode_AsUTF8(server->id),
					 strerror(-r)) :
		       Py_NewRef(Py_None);
}

/* After a takeover there is nothing to be given up. */
static PyObject *serve_unclaim(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;
	int r;

	if (check_bus(server) < 0)
		return NULL;
	r = sbus_unclaim(server->bus, PyUnicode_AsUTF8(server->id));
	return about_id(server, r == -ENOENT ? 0 : r);
}

static PyObject *serve_drain(PyObject *self, PyObject *resume)
{
	struct server *server = (struct server *)self;

	if (check_bus(server) < 0)
		return NULL;
	return about_id(server, sbus_drain(server->bus, PyUnicode_AsUTF8(server->id),
					   resume == Py_True));
}

/* Leaves the bus. */
static void shut(struct server *server)
{
	struct sbus *bus = server->bus;

	server->bus = NULL;
	if (fork_since(server->forks))
		server->works.bus = bus = NULL;
	works_clear(&server->works);
	if (!bus)
		return;
	/* A body that somebody holds keeps the endpoint. */
	sbus_unclaim(bus, PyUnicode_AsUTF8(server->id));
	sbus_close(bus);
	sbus_unref(bus);
}

static PyObject *serve_close(PyObject *self, PyObject *none)
{
	struct server *server = (struct server *)self;

	if (server->bus && !fork_since(server->forks) && check_open(server) < 0)
		return NULL;
	if (server->works.beginning) {
		PyErr_SetString(PyExc_RuntimeError,
				"the extension cannot be closed by a handler that runs in process()");
		return NULL;
	}
	shut(server);
	Py_RETURN_NONE;
}

/* --- the object --------------------------------------------------------- */

struct sbus *server_connection(PyObject *self)
{
	struct server *server = (struct server *)self;

	return check_bus(server) < 0 ? NULL : server->bus;
}

static int parse_recovery(const char *text, uint32_t *recovery)
{
	static const char *const names[] = {
		[SBUS_RECOVERY_FAIL] = "fail",
		[SBUS_RECOVERY_REQUEUE] = "requeue",
		[SBUS_RECOVERY_REISSUE] = "reissue",
	};

	for (*recovery = 0; *recovery < Py_ARRAY_LENGTH(names); ++*recovery)
		if (strcmp(names[*recovery], text) == 0)
			return 0;
	PyErr_Format(PyExc_ValueError,
		     "recovery is 'fail', 'requeue' or 'reissue', not '%s'", text);
	return -1;
}

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "id", "methods", "on_message", "on_failure",
				 "bus", "pool_size", "recovery", "takeover",
				 "grant", "owner", NULL };
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_params params = {
		.size = sizeof(params),
		.flags = SBUS_OPEN_CREATE,
	};
	struct sbus_claim_params claim = { .size = sizeof(claim), .grant = -1 };
	PyObject *id, *methods, *on_message, *on_failure, *pool_size = NULL;
	PyObject *grant = Py_None;
	uint64_t number;
	const char *recovery = "fail";
	struct server *server;
	int takeover = 0, r;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "UO!OO|zOspOO&:Server", names,
					 &id, &PyDict_Type, &methods,
					 &on_message, &on_failure, &params.bus,
					 &pool_size, &recovery, &takeover, &grant,
					 bus_owner, &params) ||
	    parse_recovery(recovery, &claim.recovery) < 0 || !PyUnicode_AsUTF8(id))
		return NULL;
	if (pool_size) {
		if (convert_number(pool_size, "pool_size", UINT32_MAX, &number) < 0)
			return NULL;
		params.pool_size = number;
	}
	if (grant != Py_None) {
		if (convert_number(grant, "grant", INT_MAX, &number) < 0)
			return NULL;
		claim.grant = number;
	}
	if (takeover)
		claim.flags |= SBUS_CLAIM_TAKEOVER;
	if (claim.grant >= 0)
		claim.flags |= SBUS_CLAIM_GRANT;
	server = (struct server *)type->tp_alloc(type, 0);
	if (!server)
		return NULL;
	server->forks = fork_count;
	server->st = state_hold_of(type);
	server->id = Py_NewRef(id);
	server->handler = (struct handler){
		.st = server->st,
		.methods = Py_NewRef(methods),
		.on_message = Py_NewRef(on_message),
		.on_failure = Py_NewRef(on_failure),
	};
	if (!server->st) {
		Py_DECREF(server);
		return NULL;
	}
	r = sbus_open(&server->bus, &params, &error);
	if (r == 0) {
		sbus_set_handler(server->bus, on_request, server);
		sbus_set_notice_handler(server->bus, on_notice, server);
		r = sbus_claim_with(server->bus, PyUnicode_AsUTF8(id), &claim,
				    &error);
	}
	if (r < 0) {
		errors_raise(server->st, &error);
		sbus_error_clear(&error);
		Py_CLEAR(server);
	}
	return (PyObject *)server;
}

static PyObject *get_endpoint(PyObject *self, void *closure)
{
	struct server *server = (struct server *)self;

	if (!server->bus)
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLongLong(sbus_endpoint(server->bus));
}

static PyObject *get_name(PyObject *self, void *closure)
{
	struct server *server = (struct server *)self;

	if (!server->bus)
		Py_RETURN_NONE;
	return PyUnicode_FromString(sbus_name(server->bus));
}

static PyObject *get_inherited(PyObject *self, void *closure)
{
	return PyBool_FromLong(fork_since(((struct server *)self)->forks));
}

static PyObject *get_taken_over(PyObject *self, void *closure)
{
	return PyBool_FromLong(atomic_load(&((struct server *)self)->taken_over));
}

static int server_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct server *server = (struct server *)self;

	int r;

	Py_VISIT(Py_TYPE(self));
	if (server->st)
		Py_VISIT(server->st->module);
	Py_VISIT(server->raised);
	r = handler_traverse(&server->handler, visit, arg);
	return r ? r : works_traverse(&server->works, visit, arg);
}

/* Before what it refers to is cleared: this ends handlers. */
static void server_finalize(PyObject *self)
{
	PyObject *raised = PyErr_GetRaisedException();

	shut((struct server *)self);
	PyErr_SetRaisedException(raised);
}

static int server_clear(PyObject *self)
{
	struct server *server = (struct server *)self;

	handler_clear(&server->handler);
	works_clear(&server->works);
	Py_CLEAR(server->raised);
	return 0;
}

static void server_dealloc(PyObject *self)
{
	struct server *server = (struct server *)self;
	PyTypeObject *type = Py_TYPE(self);

	if (PyObject_CallFinalizerFromDealloc(self) < 0)
		return;
	PyObject_GC_UnTrack(self);
	shut(server);
	server_clear(self);
	Py_CLEAR(server->id);
	state_drop(server->st);
	buffer_free(&server->handler.buffer);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyMethodDef server_methods[] = {
	{ "serve", serve_serve, METH_VARARGS,
	  PyDoc_STR("Serve until stop(), or one of the signals that are given.") },
	{ "process", _PyCFunction_CAST(serve_process), METH_FASTCALL,
	  PyDoc_STR("process($self, loop, ended, /)\n--\n\n"
		    "Answer the requests that are there, or have tasks on the running loop do so;\n"
		    "does not wait. Tells how many there were. A list has the ids of requests that\n"
		    "nobody may wait for any more: their tasks are cancelled, and it is emptied.") },
	{ "tasks", serve_tasks, METH_NOARGS,
	  PyDoc_STR("tasks($self, /)\n--\n\nThe tasks of process() that are not through.") },
	{ "_uncork", serve_uncork, METH_NOARGS, PyDoc_STR("Send what was answered.") },
	{ "fileno", serve_fileno, METH_NOARGS,
	  PyDoc_STR("Readable when process() has something.") },
	{ "stop", serve_stop, METH_NOARGS, PyDoc_STR("Make serve() return.") },
	{ "unclaim", serve_unclaim, METH_NOARGS,
	  PyDoc_STR("Serve the id no more; what is queued here still comes.") },
	{ "drain", serve_drain, METH_O,
	  PyDoc_STR("False: get no new requests, but stay; True: get them again.") },
	{ "close", serve_close, METH_NOARGS, PyDoc_STR("Leave the bus.") },
	{ }
};

static PyGetSetDef server_getset[] = {
	{ "endpoint", get_endpoint, NULL, PyDoc_STR("The endpoint's id."), NULL },
	{ "name", get_name, NULL, PyDoc_STR("The name of the bus."), NULL },
	{ "taken_over", get_taken_over, NULL,
	  PyDoc_STR("Does another process serve the id instead?"), NULL },
	{ "inherited", get_inherited, NULL,
	  PyDoc_STR("Does it belong to the parent of a fork?"), NULL },
	{ }
};

static PyType_Slot server_slots[] = {
	{ Py_tp_doc, (void *)PyDoc_STR("The C part of Extension.") },
	{ Py_tp_new, server_new },
	{ Py_tp_methods, server_methods },
	{ Py_tp_getset, server_getset },
	{ Py_tp_traverse, server_traverse },
	{ Py_tp_clear, server_clear },
	{ Py_tp_finalize, server_finalize },
	{ Py_tp_dealloc, server_dealloc },
	{ }
};

PyType_Spec server_spec = {
	.name = "symphony_ipc._symphony.Server",
	.basicsize = sizeof(struct server),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = server_slots,
};
