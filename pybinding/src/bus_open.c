// SPDX-License-Identifier: MIT
/* Opening and closing a bus: the Pit, the endpoint, the one that serves. */
#include "bus.h"
#include "convert.h"
#include "errors.h"

#include <errno.h>
#include <string.h>

static const char *text_or_null(PyObject *object)
{
	return object == Py_None ? NULL : PyUnicode_AsUTF8(object);
}

static int open_endpoint(struct bus *bus, struct sbus **endpoint,
			 struct sbus_error *error)
{
	struct sbus_params params = {
		.size = sizeof(params),
		.flags = SBUS_OPEN_CREATE,
		.bus = text_or_null(bus->name),
		.device = text_or_null(bus->device),
		.pool_size = bus->pool_size,
	};

	return sbus_open(endpoint, &params, error);
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

int bus_connect(struct bus *bus, const char *extension)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	PyObject *text;
	int r;

	if (bus->client)
		return 0;
	if (bus->closed)
		return not_open(bus, extension);
	r = open_endpoint(bus, &bus->client, &error);
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

static int make_pit(struct bus *bus, struct sbus_pit **out,
		    struct sbus_error *error)
{
	sbus_cleanup_pit struct sbus_pit *pit = NULL;
	yyjson_val *config = NULL;
	PyObject *plugins = NULL;
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
	if (r == 0) {
		plugins = PySequence_Fast(bus->plugins, "plugins is a sequence of paths");
		r = plugins ? 0 : -EINVAL;
	}
	for (Py_ssize_t i = 0; r == 0 && i < PySequence_Fast_GET_SIZE(plugins); i++) {
		const char *path = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(plugins, i));

		r = path ? sbus_pit_load(pit, path, NULL, error) : -EINVAL;
	}
	Py_XDECREF(plugins);
	if (config)
		convert_drop(&c);
	if (r < 0)
		return r;
	Py_BEGIN_ALLOW_THREADS
	r = sbus_pit_start(pit, NULL, error);
	Py_END_ALLOW_THREADS
	if (r < 0)
		return r;
	*out = pit;
	pit = NULL;
	return 0;
}

int bus_initialize(struct bus *bus)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_pit *pit;
	int r;

	if (bus->closed)
		return not_open(bus, NULL);
	if (bus->ready)
		return 0;
	if (bus_connect(bus, NULL) < 0) {
		/* Without the device the Pit works. */
		PyObject *raised = PyErr_GetRaisedException();
		PyObject *number = PyObject_GetAttrString(raised, "errno");
		bool absent = number && PyLong_Check(number) &&
			      PyLong_AsLong(number) == ENODEV;

		Py_XDECREF(number);
		if (!bus->with_pit || !absent) {
			PyErr_SetRaisedException(raised);
			return -1;
		}
		Py_DECREF(raised);
	}
	if (bus->with_pit && !bus->pit) {
		if (bus->inbox.fd < 0 && inbox_init(&bus->inbox) < 0)
			return -1;
		bus->late.fd = bus->inbox.fd;
		r = make_pit(bus, &pit, &error);
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
		/* The GIL was released: another thread can have been faster. */
		if (bus->pit || bus->closed)
			sbus_pit_unref(pit);
		else
			bus->pit = pit;
		if (bus->closed)
			return not_open(bus, NULL);
	}
	bus->ready = true;
	return 0;
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
	r = open_endpoint(bus, &server, &error);
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

void bus_shut(struct bus *bus, bool release_gil)
{
	struct sbus *client = bus->client, *server = bus->server;
	struct sbus_pit *pit = bus->pit;

	bus->closed = true;
	source_detach(&bus->outcomes, bus->st);
	source_detach(&bus->late, bus->st);
	bus->client = NULL;
	bus->server = NULL;
	bus->pit = NULL;
	/* Its threads do not need the GIL, but joining them can take a moment. */
	if (pit && release_gil) {
		Py_BEGIN_ALLOW_THREADS
		sbus_pit_stop(pit);
		Py_END_ALLOW_THREADS
	}
	sbus_pit_unref(pit);
	sbus_unref(server);
	if (client)
		sbus_close(client);
	sbus_unref(client);
	if (bus->inbox.fd >= 0)
		inbox_drain(&bus->inbox, &bus->finished);
	inbox_deinit(&bus->inbox);
}
