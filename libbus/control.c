// SPDX-License-Identifier: MIT
/* Control: what there is on the buses of this machine. */
#include <stdlib.h>

#include "bus.h"
#include "error.h"
#include "info.h"
#include "netlink.h"

struct sbus_control {
	uint64_t mark;			/* fork.h */
	struct netlink nl;
};

SBUS_API int sbus_control_open(struct sbus_control **ret, struct sbus_error *error)
{
	struct sbus_control *control = malloc(sizeof(*control));
	int r;

	if (!control || fork_mark(&control->mark)) {
		free(control);
		return sbus_error_set(error, -ENOMEM, "out of memory");
	}
	r = netlink_open(&control->nl, error);
	if (r) {
		free(control);
		return r;
	}
	*ret = control;
	return 0;
}

SBUS_API struct sbus_control *sbus_control_close(struct sbus_control *control)
{
	if (control && !fork_is_foreign(control->mark)) {
		netlink_close(&control->nl);
		free(control);
	}
	return NULL;
}

/* Whom to tell, and what came of it. */
struct listener {
	union {
		sbus_bus_info_fn bus;
		sbus_endpoint_info_fn endpoint;
		sbus_service_info_fn service;
		sbus_replica_info_fn replica;
		sbus_program_info_fn program;
	};
	void *userdata;
	int r;
};

static int tell(int command, struct nlattr *const *attrs, void *data)
{
	struct listener *to = data;

	if (command == SYMPHONY_CMD_BUS_GET) {
		struct sbus_bus_info info = info_bus(attrs);

		to->r = to->bus(&info, to->userdata);
	} else if (command == SYMPHONY_CMD_ENDPOINT_GET) {
		struct sbus_endpoint_info info = info_endpoint(attrs);

		to->r = to->endpoint(&info, to->userdata);
	} else if (command == SYMPHONY_CMD_SERVICE_GET) {
		struct sbus_service_info info = info_service(attrs);

		to->r = to->service(&info, to->userdata);
	} else if (command == SYMPHONY_CMD_REPLICA_GET) {
		struct sbus_replica_info info = info_replica(attrs);

		to->r = to->replica(&info, to->userdata);
	} else if (command == SYMPHONY_CMD_PROGRAM_GET) {
		struct sbus_program_info info = info_program(attrs);

		to->r = to->program(&info, to->userdata);
	}
	return to->r;
}

static int list(struct sbus_control *control, int command, const char *bus,
		struct listener *to, struct sbus_error *error)
{
	int r = bus ? sbus_check_name(bus, error) : 0;

	if (fork_is_foreign(control->mark))
		return sbus_error_set(error, -EPERM, "this control connection belongs to another process: open one after fork");
	if (r)
		return r;
	r = netlink_dump(&control->nl, command, bus, tell, to);
	if (!r || to->r)
		return r;
	if (r == -ENODEV)
		return sbus_error_set(error, r, "the module was unloaded: modprobe symphony");
	return sbus_error_set(error, r, "the module did not answer: %s", error_text(r));
}

SBUS_API int sbus_list_buses(struct sbus_control *control, const char *bus,
			     sbus_bus_info_fn fn, void *userdata, struct sbus_error *error)
{
	struct listener to = { .bus = fn, .userdata = userdata };

	return list(control, SYMPHONY_CMD_BUS_GET, bus, &to, error);
}

SBUS_API int sbus_list_endpoints(struct sbus_control *control, const char *bus,
				 sbus_endpoint_info_fn fn, void *userdata,
				 struct sbus_error *error)
{
	struct listener to = { .endpoint = fn, .userdata = userdata };

	return list(control, SYMPHONY_CMD_ENDPOINT_GET, bus, &to, error);
}

SBUS_API int sbus_list_services(struct sbus_control *control, const char *bus,
				sbus_service_info_fn fn, void *userdata,
				struct sbus_error *error)
{
	struct listener to = { .service = fn, .userdata = userdata };

	return list(control, SYMPHONY_CMD_SERVICE_GET, bus, &to, error);
}

SBUS_API int sbus_list_replicas(struct sbus_control *control, const char *bus,
				sbus_replica_info_fn fn, void *userdata,
				struct sbus_error *error)
{
	struct listener to = { .replica = fn, .userdata = userdata };

	return list(control, SYMPHONY_CMD_REPLICA_GET, bus, &to, error);
}

SBUS_API int sbus_list_programs(struct sbus_control *control, const char *bus,
				sbus_program_info_fn fn, void *userdata,
				struct sbus_error *error)
{
	struct listener to = { .program = fn, .userdata = userdata };

	return list(control, SYMPHONY_CMD_PROGRAM_GET, bus, &to, error);
}
