// SPDX-License-Identifier: MIT
/* Monitor: what happens on the buses of this machine. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "fork.h"
#include "info.h"
#include "netlink.h"

struct sbus_monitor {
	uint64_t mark;			/* fork.h */
	struct netlink nl;
};

SBUS_API int sbus_monitor_open(struct sbus_monitor **ret, struct sbus_error *error)
{
	struct sbus_monitor *monitor = malloc(sizeof(*monitor));
	int r;

	if (!monitor || fork_mark(&monitor->mark)) {
		free(monitor);
		return sbus_error_set(error, -ENOMEM, "out of memory");
	}
	r = netlink_open(&monitor->nl, error);
	if (r) {
		free(monitor);
		return r;
	}
	r = netlink_listen(&monitor->nl);
	if (r) {
		sbus_monitor_close(monitor);
		if (r == -EPERM)
			return sbus_error_set(error, r, "listening takes CAP_NET_ADMIN: be "
					      "root, or list now and then");
		return sbus_error_set(error, r, "cannot listen to events: %s", error_text(r));
	}
	*ret = monitor;
	return 0;
}

SBUS_API struct sbus_monitor *sbus_monitor_close(struct sbus_monitor *monitor)
{
	if (monitor && !fork_is_foreign(monitor->mark)) {
		netlink_close(&monitor->nl);
		free(monitor);
	}
	return NULL;
}

SBUS_API int sbus_monitor_get_fd(const struct sbus_monitor *monitor)
{
	return fork_is_foreign(monitor->mark) ? -EPERM : nl_socket_get_fd(monitor->nl.socket);
}

struct listener {
	sbus_event_fn fn;
	void *userdata;
};

static const enum sbus_event_type types[SYMPHONY_CMD_MAX + 1] = {
	[SYMPHONY_CMD_BUS_ADD_NTF] = SBUS_EVENT_BUS_ADDED,
	[SYMPHONY_CMD_BUS_DEL_NTF] = SBUS_EVENT_BUS_GONE,
	[SYMPHONY_CMD_ENDPOINT_ADD_NTF] = SBUS_EVENT_ENDPOINT_JOINED,
	[SYMPHONY_CMD_ENDPOINT_DEL_NTF] = SBUS_EVENT_ENDPOINT_DIED,
	[SYMPHONY_CMD_SERVICE_CLAIM_NTF] = SBUS_EVENT_CLAIMED,
	[SYMPHONY_CMD_SERVICE_UNCLAIM_NTF] = SBUS_EVENT_UNCLAIMED,
	[SYMPHONY_CMD_PROGRAM_ATTACH_NTF] = SBUS_EVENT_PROGRAM_ATTACHED,
	[SYMPHONY_CMD_PROGRAM_REPLACE_NTF] = SBUS_EVENT_PROGRAM_REPLACED,
	[SYMPHONY_CMD_PROGRAM_DETACH_NTF] = SBUS_EVENT_PROGRAM_DETACHED,
	[SYMPHONY_CMD_PROGRAM_DISABLE_NTF] = SBUS_EVENT_PROGRAM_DISABLED,
};

static int tell(int command, struct nlattr *const *attrs, void *data)
{
	struct sbus_event event = { .size = sizeof(event) };
	struct listener *to = data;
	struct sbus_endpoint_info endpoint;
	struct sbus_replica_info replica;
	struct sbus_program_info program;
	struct sbus_bus_info bus;
	int r;

	if (command <= SYMPHONY_CMD_MAX)
		event.type = types[command];
	switch (event.type) {
	case SBUS_EVENT_BUS_ADDED:
	case SBUS_EVENT_BUS_GONE:
		bus = info_bus(attrs);
		event.bus = &bus;
		break;
	case SBUS_EVENT_ENDPOINT_JOINED:
	case SBUS_EVENT_ENDPOINT_DIED:
		endpoint = info_endpoint(attrs);
		event.endpoint = &endpoint;
		break;
	case SBUS_EVENT_CLAIMED:
	case SBUS_EVENT_UNCLAIMED:
		replica = info_replica(attrs);
		event.replica = &replica;
		event.activator = attrs[SYMPHONY_A_ACTIVATOR];
		break;
	case SBUS_EVENT_PROGRAM_ATTACHED:
	case SBUS_EVENT_PROGRAM_REPLACED:
	case SBUS_EVENT_PROGRAM_DETACHED:
	case SBUS_EVENT_PROGRAM_DISABLED:
		program = info_program(attrs);
		event.program = &program;
		break;
	default:
		/* Of a newer module. */
		return 0;
	}
	r = to->fn(&event, to->userdata);
	return r < 0 ? r : 0;
}

SBUS_API int sbus_monitor_process(struct sbus_monitor *monitor, sbus_event_fn fn,
				  void *userdata)
{
	struct listener to = { .fn = fn, .userdata = userdata };

	if (fork_is_foreign(monitor->mark))
		return -EPERM;
	return netlink_process(&monitor->nl, tell, &to);
}
