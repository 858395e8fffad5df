// SPDX-License-Identifier: MIT
/* Opening and closing a bus: the Pit, the endpoint, the one that serves. */
#include "bus.h"
#include "convert.h"
#include "errors.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Of those that the constructor has checked. */
static const char *text_or_null(PyObject *object)
{
	return object == Py_None ? NULL : PyUnicode_AsUTF8(object);
}

int bus_owner(PyObject *owner, void *params)
{
	PyObject *text;
	const char *utf8;
	int r;

	if (owner == Py_None)
		return 1;
	if (PyBool_Check(owner) || !(PyLong_Check(owner) || PyUnicode_Check(owner))) {
		PyErr_Format(PyExc_TypeError, "owner is a uid or 'any', not %T", owner);
		return 0;
	}
	text = PyObject_Str(owner);
	utf8 = text ? text_utf8(text, "owner") : NULL;
	r = utf8 ? sbus_owner_parse(utf8, params) : 0;
	Py_XDECREF(text);
	if (r < 0)
		PyErr_Format(PyExc_ValueError, "owner is a uid or 'any', not %R", owner);
	return utf8 && r == 0;
}

static int open_endpoint(struct bus *bus, const char *const *reserve,
			 const char *const *of_pit, struct sbus **endpoint,
			 struct sbus_error *error)
{
	struct sbus_params params = {
		.size = sizeof(params),
		.flags = SBUS_OPEN_CREATE | (bus->grants ? SBUS_OPEN_GRANTS : 0) |
			 bus->owner_flags,
		.mode = bus->mode,
		.bus = text_or_null(bus->name),
		.device = text_or_null(bus->device),
		.pool_size = bus->pool_size,
		.reserve = reserve,
		.owner = bus->owner,
		.reserve_new = of_pit,
	};

	return sbus_open(endpoint, &params, error);
}

/*
 * The ids that the constructor got, in @ids, to be freed: 0, or -1 with an exception
 * set. They stay @list's.
 */
static int reserved(PyObject *list, const char ***ids)
{
	Py_ssize_t nr = PyTuple_GET_SIZE(list);

	*ids = PyMem_New(const char *, nr + 1);
	if (!*ids) {
		PyErr_NoMemory();
		return -1;
	}
	for (Py_ssize_t i = 0; i < nr; i++) {
		(*ids)[i] = PyUnicode_AsUTF8(PyTuple_GET_ITEM(list, i));
		if (!(*ids)[i]) {
			PyMem_Free(*ids);
			return -1;
		}
	}
	(*ids)[nr] = NULL;
	return 0;
}

static int fail(struct bus *bus, struct sbus_error *error)
{
	errors_raise(bus->st, error);
	sbus_error_clear(error);
	return -1;
}

static int not_open(struct bus *bus, const char *extension)
{
	errors_raise_text(bus->st, -ESHUTDOWN, extension, "the bus is closed");
	return -1;
}

/*
 * A bus that is created has the ids of @pit reserved, which can be NULL. One that is
 * there need not: an extension can have been the first.
 */
static int connect_with(struct bus *bus, struct sbus_pit *pit, const char *extension)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	const char **ids;
	PyObject *text;
	int r;

	if (reserved(bus->reserve, &ids) < 0)
		return -1;
	r = open_endpoint(bus, ids, pit ? sbus_pit_ids(pit) : NULL, &bus->client, &error);
	PyMem_Free(ids);
	if (r == -ENODEV && bus->with_pit && extension) {
		text = PyUnicode_FromFormat("'%s' is not in the Pit, and no other process can be called: %s",
					    extension, sbus_error_message(&error));
		sbus_error_clear(&error);
		if (text)
			errors_raise_text(bus->st, r, extension,
					  PyUnicode_AsUTF8(text));
		Py_XDECREF(text);
		return -1;
	}
	if (r < 0)
		return fail(bus, &error);
	bus->outcomes.fd = sbus_get_fd(bus->client);
	return 0;
}

int bus_connect(struct bus *bus, const char *extension)
{
	if (bus->client)
		return 0;
	if (bus->closed)
		return not_open(bus, extension);
	if (connect_with(bus, bus->pit, extension) < 0)
		return -1;
	if (bus->pit)
		sbus_pit_set_creator(bus->pit, bus->client);
	return 0;
}

/* Members of @config that are nobody's would be options without an effect. */
static int check_config(struct sbus_pit *pit, yyjson_val *config, struct sbus_error *error)
{
	struct sbus_member *member = NULL;
	char list[512] = "", *at = list;
	yyjson_val *key, *value;
	size_t i, max;

	yyjson_obj_foreach(config, i, max, key, value) {
		const char *id = yyjson_get_str(key);
		bool cut = strlen(id) != yyjson_get_len(key);

		if (!cut && sbus_pit_lookup(pit, id))
			continue;
		while ((member = sbus_pit_next(pit, member)) &&
		       at + SBUS_NAME_MAX + 3 < list + sizeof(list))
			at += sprintf(at, "%s%s", at == list ? "" : ", ", sbus_member_id(member));
		return sbus_error_set(error, -EINVAL, "config is for \"%s%s\", which is no member of the Pit: the members are %s",
				      id, cut ? "\\x00..." : "", list);
	}
	return 0;
}

/* A Pit that is not started. */
static int make_pit(struct bus *bus, struct sbus_pit **out,
		    struct sbus_error *error)
{
	sbus_cleanup_pit struct sbus_pit *pit = NULL;
	yyjson_val *config = NULL;
	struct convert c;
	int r;

	if (bus->config != Py_None) {
		config = convert_from_py(&c, bus->config);
		if (!config)
			return -EINVAL;
	}
	r = sbus_pit_new(&pit);
	if (r == 0)
		r = sbus_pit_add_builtin(pit, config, error);
	for (Py_ssize_t i = 0; r == 0 && i < PyTuple_GET_SIZE(bus->plugins); i++)
		r = sbus_pit_load(pit, PyBytes_AS_STRING(PyTuple_GET_ITEM(bus->plugins, i)),
				  config, error);
	if (r == 0)
		r = check_config(pit, config, error);
	if (config)
		convert_drop(&c);
	if (r < 0)
		return r;
	*out = pit;
	pit = NULL;
	return 0;
}

/* Without the device the Pit works. */
static int connect_if_device(struct bus *bus, struct sbus_pit *pit)
{
	PyObject *raised, *number;
	bool absent;

	if (bus->client || connect_with(bus, pit, NULL) == 0)
		return 0;
	raised = PyErr_GetRaisedException();
	number = PyObject_GetAttrString(raised, "errno");
	absent = number && PyLong_Check(number) && PyLong_AsLong(number) == ENODEV;
	Py_XDECREF(number);
	if (absent) {
		Py_DECREF(raised);
		return 0;
	}
	PyErr_SetRaisedException(raised);
	return -1;
}

/* The Pit comes first, as a bus is created with what is reserved for it. */
static int initialize_pit(struct bus *bus)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_pit struct sbus_pit *pit = NULL;
	int r;

	if (bus->inbox.fd < 0 && inbox_init(&bus->inbox) < 0)
		return -1;
	bus->late.fd = bus->inbox.fd;
	r = make_pit(bus, &pit, &error);
	if (r == 0) {
		if (connect_if_device(bus, pit) < 0)
			return -1;
		sbus_pit_set_creator(pit, bus->client);
		Py_BEGIN_ALLOW_THREADS
		r = sbus_pit_start(pit, NULL, &error);
		Py_END_ALLOW_THREADS
	}
	if (r < 0 && PyErr_Occurred()) {
		sbus_error_clear(&error);
		return -1;
	}
	if (r < 0) {
		if (!error.error)
			sbus_error_set(&error, r, "the Pit cannot start: %s",
				       strerror(-r));
		return fail(bus, &error);
	}
	if (bus->closed)
		return not_open(bus, NULL);
	/* The GIL was released: another thread can have been faster. */
	if (!bus->pit)
		bus->pit = sbus_pit_ref(pit);
	return 0;
}

int bus_initialize(struct bus *bus)
{
	int r = 0;

	if (bus_check(bus) < 0)
		return -1;
	if (bus->closed)
		return not_open(bus, NULL);
	if (bus->ready)
		return 0;
	if (bus->with_pit)
		r = initialize_pit(bus);
	else if (!bus->shared)
		r = bus_connect(bus, NULL);
	bus->ready = r == 0;
	return r;
}

int bus_serve_pit(struct bus *bus)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *server = NULL;
	struct sbus_pit *pit;
	int r;

	if (bus_initialize(bus) < 0)
		return -1;
	if (bus->server || !bus->pit || !bus->client)
		return 0;
	r = open_endpoint(bus, NULL, NULL, &server, &error);
	if (r < 0)
		return fail(bus, &error);
	bus->server = sbus_ref(server);
	pit = sbus_pit_ref(bus->pit);
	Py_BEGIN_ALLOW_THREADS
	r = sbus_pit_serve(pit, server, bus->threads, &error);
	Py_END_ALLOW_THREADS
	sbus_pit_unref(pit);
	/* close() in another thread takes it too. */
	if (r < 0 && bus->server == server)
		bus->server = sbus_unref(server);
	sbus_unref(server);
	return r < 0 ? fail(bus, &error) : 0;
}

PyObject *bus_grant(PyObject *self, PyObject *id)
{
	struct bus *bus = (struct bus *)self;
	struct sbus_error error = SBUS_ERROR_INIT;
	const char *text = text_utf8(id, "an extension id");
	int fd;

	if (!text || bus_initialize(bus) < 0 || bus_connect(bus, text) < 0)
		return NULL;
	fd = sbus_grant(bus->client, text, &error);
	if (fd >= 0)
		return PyLong_FromLong(fd);
	fail(bus, &error);
	return NULL;
}

/* --- closing ------------------------------------------------------------ */

void bus_drop(void *sbus)
{
	sbus_unref(sbus);
}

static void drop_number(void *fd)
{
	close((int)(intptr_t)fd);
}

/* In the child of a fork: see fork.c. */
static void abandon(struct bus *bus)
{
	bus->client = bus->server = bus->shared = NULL;
	bus->pit = NULL;
	source_clear(&bus->outcomes);
	source_clear(&bus->late);
	bus->outcomes.fd = bus->late.fd = bus->inbox.fd = -1;
}

/*
 * While the GIL is released other threads find a closed bus, and calls that they made
 * before end: those of threads that wait, by blocked_end_all() or when the Pit stops; those
 * of loops, with an outcome in @finished.
 */
void bus_shut(struct bus *bus, bool release_gil)
{
	struct sbus *client = bus->client, *server = bus->server, *shared = bus->shared;
	struct sbus_pit *pit = bus->pit;
	int fd;

	bus->closed = true;
	bus_uncork(bus);
	Py_CLEAR(bus->process);
	Py_CLEAR(bus->ended);
	if (fork_since(bus->forks)) {
		abandon(bus);
		return;
	}
	bus->client = bus->server = bus->shared = NULL;
	bus->pit = NULL;
	source_detach(&bus->outcomes, bus->st, bus_drop, sbus_ref(client));
	if (release_gil)
		blocked_end_all(&bus->blocked);
	/* Its threads do not need the GIL, but joining them can take a moment. */
	if (pit && release_gil) {
		Py_BEGIN_ALLOW_THREADS
		sbus_pit_stop(pit);
		Py_END_ALLOW_THREADS
	}
	sbus_pit_unref(pit);
	sbus_unref(server);
	call_end_shared(bus);
	sbus_unref(shared);
	if (client)
		sbus_close(client);
	sbus_unref(client);
	if (bus->inbox.fd < 0)
		return;
	inbox_drain(&bus->inbox, &bus->finished);
	fd = inbox_deinit(&bus->inbox);
	source_detach(&bus->late, bus->st, drop_number, (void *)(intptr_t)fd);
}
