// SPDX-License-Identifier: MIT
/* What the module allows, and what of it this user has. */
#include "bus.h"
#include "errors.h"

static PyObject *use(const struct sbus_use *use)
{
	return Py_BuildValue("{s:K,s:K}", "used", (unsigned long long)use->used,
			     "max", (unsigned long long)use->max);
}

PyObject *bus_limits(PyObject *self, PyObject *none)
{
	struct bus *bus = (struct bus *)self;
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_info info = { .size = sizeof(info) };

	if (fork_since(bus->forks))
		return fork_raise(bus->st, NULL);
	if (sbus_query(bus->client ? bus->client : bus->shared, &info, &error) < 0) {
		errors_raise(bus->st, &error);
		sbus_error_clear(&error);
		return NULL;
	}
	return Py_BuildValue("{s:I,s:I,s:I,s:I,s:I,s:N,s:N,s:N,s:N,s:N,s:N,s:N,s:N}",
			     "pool_default", info.pool_default,
			     "pool_max", info.pool_max,
			     "calls_max", info.calls_max,
			     "queue_max", info.queue_max,
			     "share_max", info.share_max,
			     "user_buses", use(&info.user_buses),
			     "user_endpoints", use(&info.user_endpoints),
			     "user_pool", use(&info.user_pool),
			     "user_calls", use(&info.user_calls),
			     "user_services", use(&info.user_services),
			     "user_files", use(&info.user_files),
			     "user_claims", use(&info.user_claims),
			     "user_records", use(&info.user_records));
}
