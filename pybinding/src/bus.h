/* SPDX-License-Identifier: MIT */
/* A connection as Python sees it: the Pit, and an endpoint for all the others. */
#ifndef SYMPHONY_PY_BUS_H
#define SYMPHONY_PY_BUS_H

#include "blocked.h"
#include "body.h"
#include "call.h"
#include "fork.h"
#include "inbox.h"
#include "source.h"
#include "state.h"

struct bus {
	PyObject_HEAD
	struct state *st;
	unsigned int forks;	/* fork_count when it was made */
	bool ready;		/* initialize() was called */
	bool closed;

	/* As the constructor got them. */
	PyObject *name;		/* str or None, so is device; NULL: it was not called */
	PyObject *device;
	PyObject *config;
	PyObject *plugins;
	PyObject *reserve;
	bool with_pit;
	bool grants;
	unsigned int mode;
	uint32_t owner_flags;	/* SBUS_OPEN_OWNER, SBUS_OPEN_ANY_OWNER or 0 */
	uid_t owner;
	unsigned int threads;
	unsigned int pool_size;

	struct sbus *client;	/* NULL without the device */
	struct sbus *server;	/* serves the Pit to other processes */
	struct sbus_pit *pit;

	/*
	 * The bus of an Extension that serves calls through the connection that
	 * serves, as only there the kernel knows what a call is made for.
	 */
	struct sbus *shared;
	PyObject *process;	/* has it processed; NULL: it cannot be */
	PyObject *ended;	/* as of request_ended() */
	struct call *shared_calls;	/* made through it, without an outcome */

	struct source outcomes;	/* the client's descriptor */
	struct source late;	/* the inbox's */
	struct inbox inbox;
	struct call_list finished;
	struct buffer buffer;
	struct blocked_list blocked;	/* in call() */
	unsigned int burst;	/* calls to others since something came from them */
	struct sbus *corked;	/* a connection, until @turning calls _on_turn() */
	PyObject *turning;	/* a loop */
	unsigned int held;	/* calls since then */
	uint64_t timer;		/* when the timer of @timing fires, 0: there is none */
	PyObject *timing;	/* a loop */
};

/* What send_message() and call() were given. */
struct bus_request {
	PyObject *id;
	PyObject *message;
	const char *extension;
	uint64_t deadline;
	uint64_t key;
	uint32_t reply_max;
	bool idempotent;
	bool detached;
};

extern PyType_Spec bus_spec;

/* As METH_FASTCALL | METH_KEYWORDS; what it points to are the arguments. */
int bus_request_parse(struct bus_request *request, PyObject *const *args,
		      Py_ssize_t nargs, PyObject *names);

/* Has @loop hear of the outcomes of this bus's calls. */
int bus_attach(struct bus *bus, PyObject *loop);

/* Converts owner=, a uid, "any" or None, for PyArg_Parse()'s O&: to struct sbus_params. */
int bus_owner(PyObject *owner, void *params);

/* Was it made, and in this process? 0, or -1 with an exception set. */
int bus_check(struct bus *bus);

/* Starts the Pit and opens the endpoint; 0 or -1 with an exception set. */
int bus_initialize(struct bus *bus);

/* Serves the Pit to other processes, where there is a device. */
int bus_serve_pit(struct bus *bus);

/* Gives everything back; outcomes of what was outstanding are in @finished. */
void bus_shut(struct bus *bus, bool release_gil);

/* Drops a reference to a struct sbus: for source_detach(). */
void bus_drop(void *sbus);

/* Opens the endpoint if there is none yet: -1 with a BusError set. */
int bus_connect(struct bus *bus, const char *extension);

/* Sends the calls that wait for others of the same turn of the loop. */
void bus_uncork(struct bus *bus);

/* Its methods grant() and limits(). */
PyObject *bus_grant(PyObject *self, PyObject *id);
PyObject *bus_limits(PyObject *self, PyObject *none);

#endif
