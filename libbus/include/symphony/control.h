/* SPDX-License-Identifier: MIT */
/*
 * libsymphony: what there is on the buses of this machine, and what happens there.
 *
 *	static int print(const struct sbus_bus_info *bus, void *userdata)
 *	{
 *		return printf("%s\n", bus->name) < 0 ? -EIO : 0;
 *	}
 *
 *	r = sbus_control_open(&control, &error);
 *	r = sbus_list_buses(control, NULL, print, NULL, &error);
 *
 * The kernel answers, over generic netlink: no bus is joined. What is told is of the
 * network namespace in which the control was opened, and of the buses that the
 * caller may join; of all of them with CAP_NET_ADMIN, CAP_SYS_ADMIN or
 * CAP_DAC_OVERRIDE. Ids of users and processes are as the caller's namespaces see
 * them. The conventions are those of <symphony/bus.h>, except that a control or a
 * monitor is used by one thread at a time.
 *
 * A list is no snapshot: what is there all the time is told once, what comes or goes
 * meanwhile may be told or not. The structures begin with their size as the library
 * knows it; a member behind what that says is not there. They, and what they point
 * to, are valid until the callback returns.
 */
#ifndef SYMPHONY_CONTROL_H
#define SYMPHONY_CONTROL_H

#include <symphony/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sbus_control;
struct sbus_monitor;

/**
 * sbus_control_open() - ask about buses
 * @control: (out) to be closed with sbus_control_close()
 * @error: filled on failure
 *
 * Errors: ENODEV (the module is not loaded), EMFILE, ENOMEM.
 */
SBUS_API int sbus_control_open(struct sbus_control **control, struct sbus_error *error);

/**
 * sbus_control_close() - free it
 * @control: the control, or NULL
 *
 * Return: NULL.
 */
SBUS_API struct sbus_control *sbus_control_close(struct sbus_control *control);

/**
 * struct sbus_bus_info - a bus
 * @size: of this structure
 * @name: its name
 * @id: never used twice, unlike the name
 * @uid: of its creator
 * @gid: likewise
 * @mode: its permission bits
 * @nr_endpoints: how many live on it
 * @nr_services: how many ids were claimed or reserved there
 */
struct sbus_bus_info {
	size_t size;
	const char *name;
	uint64_t id;
	uid_t uid;
	gid_t gid;
	uint32_t mode;
	uint32_t nr_endpoints;
	uint32_t nr_services;
};

/**
 * struct sbus_endpoint_info - a connection
 * @size: of this structure
 * @bus: name of the bus
 * @bus_id: its id
 * @id: sbus_endpoint()
 * @pid: of the process, 0 when it has none here
 * @uid: its effective uid when it joined
 * @pool_size: of its receive pool, in bytes
 * @pool_used: bytes of it in use
 * @queued: messages that it has not received, and calls that it holds as an activator
 * @load: requests that it has not answered, received or not
 * @calls: calls that it made and has not fetched the outcome of
 */
struct sbus_endpoint_info {
	size_t size;
	const char *bus;
	uint64_t bus_id;
	uint64_t id;
	pid_t pid;
	uid_t uid;
	uint32_t pool_size;
	uint32_t pool_used;
	uint32_t queued;
	uint32_t load;
	uint32_t calls;
};

/* Of a histogram of times. */
#define SBUS_TIME_BUCKETS 24

/**
 * struct sbus_service_info - an extension's id
 * @size: of this structure
 * @bus: name of the bus
 * @bus_id: its id
 * @name: the id
 * @handle: its number on the bus
 * @uid: who can claim it
 * @requeue: calls that nobody received move to another replica when theirs dies
 * @reissue: received ones too, if they are idempotent
 * @reserved: claiming it needs a grant
 * @nr_replicas: how many serve it
 * @parked: calls that its activator holds
 * @activator: endpoint id of that, 0 for none
 * @replies: calls that were answered, ever
 * @error_replies: of these, by an error of the extension's
 * @timeouts: calls that came to ETIMEDOUT or ETIME
 * @cancels: ECANCELED
 * @resets: ECONNRESET or ECONNABORTED
 * @others: too large an answer, or the caller died
 * @refusals: calls that were never made, as a program refused them or nobody was there
 * @queue_times: calls by the time from when they were there to when they were received:
 *	the first less than 2 us, each other less than twice as long as the one before,
 *	the last all that is longer. Counted while the module's parameter "stats" is on,
 *	or a program takes times
 * @service_times: likewise: from then to the outcome
 * @request_bytes: of bodies of requests that were copied to replicas; once more for
 *	each move
 * @answer_bytes: of bodies of answers that were copied to callers
 */
struct sbus_service_info {
	size_t size;
	const char *bus;
	uint64_t bus_id;
	const char *name;
	uint32_t handle;
	uid_t uid;
	bool requeue;
	bool reissue;
	bool reserved;
	uint32_t nr_replicas;
	uint32_t parked;
	uint64_t activator;
	uint64_t replies;
	uint64_t error_replies;
	uint64_t timeouts;
	uint64_t cancels;
	uint64_t resets;
	uint64_t others;
	uint64_t refusals;
	uint64_t queue_times[SBUS_TIME_BUCKETS];
	uint64_t service_times[SBUS_TIME_BUCKETS];
	uint64_t request_bytes;
	uint64_t answer_bytes;
};

/**
 * struct sbus_replica_info - an endpoint that serves a service
 * @size: of this structure
 * @bus: name of the bus
 * @bus_id: its id
 * @service: the service's id
 * @handle: its number on the bus
 * @draining: it gets no new calls
 * @load: requests that the endpoint has not answered, of all that it serves
 * @endpoint: the endpoint's id
 */
struct sbus_replica_info {
	size_t size;
	const char *bus;
	uint64_t bus_id;
	const char *service;
	uint32_t handle;
	bool draining;
	uint32_t load;
	uint64_t endpoint;
};

/**
 * enum sbus_hook - what a BPF program is asked
 * @SBUS_HOOK_ADMIT: who may call whom
 * @SBUS_HOOK_ROUTE: which replica
 * @SBUS_HOOK_SHADOW: likewise, its answers compared only
 */
enum sbus_hook {
	SBUS_HOOK_ADMIT = 0,
	SBUS_HOOK_ROUTE = 1,
	SBUS_HOOK_SHADOW = 2,
};

/**
 * struct sbus_program_info - a BPF program that decides about calls
 * @size: of this structure
 * @bus: name of the bus
 * @bus_id: its id
 * @service: the service's id, or NULL: it is for all
 * @handle: the service's number on the bus, or 0
 * @hook: enum sbus_hook
 * @link: id of its BPF link; 0 when that ended, and in an event
 * @errors: how much of its budget of 1024 it used
 * @disabled: why it is not asked any more, or NULL
 * @fail_closed: without it, calls are refused
 * @closed: it has gone and they are
 * @same: how often a shadow chose what was chosen
 * @different: how often it did not
 */
struct sbus_program_info {
	size_t size;
	const char *bus;
	uint64_t bus_id;
	const char *service;
	uint32_t handle;
	uint32_t hook;
	uint32_t link;
	uint32_t errors;
	const char *disabled;
	bool fail_closed;
	bool closed;
	uint64_t same;
	uint64_t different;
};

/* 0, or what the function that lists returns in the end: no more is told then. */
typedef int (*sbus_bus_info_fn)(const struct sbus_bus_info *info, void *userdata);
typedef int (*sbus_endpoint_info_fn)(const struct sbus_endpoint_info *info, void *userdata);
typedef int (*sbus_service_info_fn)(const struct sbus_service_info *info, void *userdata);
typedef int (*sbus_replica_info_fn)(const struct sbus_replica_info *info, void *userdata);
typedef int (*sbus_program_info_fn)(const struct sbus_program_info *info, void *userdata);

/**
 * sbus_list_buses() - tell the buses
 * @control: the control
 * @bus: name of the only one that is meant, or NULL
 * @fn: called for each, in the order of ids; not to use @control
 * @userdata: for @fn
 * @error: filled on failure, not when @fn fails
 *
 * Return: 0, what @fn returned if that was not 0, or an error: EINVAL (@bus is no
 * name), EIO, ENOBUFS, ENODEV (the module was unloaded), ENOMEM.
 */
SBUS_API int sbus_list_buses(struct sbus_control *control, const char *bus,
			     sbus_bus_info_fn fn, void *userdata, struct sbus_error *error);

/** sbus_list_endpoints() - tell the connections: as sbus_list_buses() */
SBUS_API int sbus_list_endpoints(struct sbus_control *control, const char *bus,
				 sbus_endpoint_info_fn fn, void *userdata,
				 struct sbus_error *error);

/** sbus_list_services() - tell the ids that were claimed or reserved: likewise */
SBUS_API int sbus_list_services(struct sbus_control *control, const char *bus,
				sbus_service_info_fn fn, void *userdata,
				struct sbus_error *error);

/** sbus_list_replicas() - tell who serves them: likewise, by service */
SBUS_API int sbus_list_replicas(struct sbus_control *control, const char *bus,
				sbus_replica_info_fn fn, void *userdata,
				struct sbus_error *error);

/** sbus_list_programs() - tell the BPF programs: likewise */
SBUS_API int sbus_list_programs(struct sbus_control *control, const char *bus,
				sbus_program_info_fn fn, void *userdata,
				struct sbus_error *error);

/* --- events ------------------------------------------------------------------ */

/**
 * enum sbus_event_type - what happened
 * @SBUS_EVENT_BUS_ADDED: there is a bus: @bus
 * @SBUS_EVENT_BUS_GONE: its last endpoint died: likewise
 * @SBUS_EVENT_ENDPOINT_JOINED: @endpoint
 * @SBUS_EVENT_ENDPOINT_DIED: likewise
 * @SBUS_EVENT_CLAIMED: @replica
 * @SBUS_EVENT_UNCLAIMED: likewise, also by a takeover or death
 * @SBUS_EVENT_PROGRAM_ATTACHED: @program
 * @SBUS_EVENT_PROGRAM_REPLACED: likewise, the new one
 * @SBUS_EVENT_PROGRAM_DETACHED: likewise, the old one
 * @SBUS_EVENT_PROGRAM_DISABLED: likewise
 */
enum sbus_event_type {
	SBUS_EVENT_BUS_ADDED = 1,
	SBUS_EVENT_BUS_GONE,
	SBUS_EVENT_ENDPOINT_JOINED,
	SBUS_EVENT_ENDPOINT_DIED,
	SBUS_EVENT_CLAIMED,
	SBUS_EVENT_UNCLAIMED,
	SBUS_EVENT_PROGRAM_ATTACHED,
	SBUS_EVENT_PROGRAM_REPLACED,
	SBUS_EVENT_PROGRAM_DETACHED,
	SBUS_EVENT_PROGRAM_DISABLED,
};

/**
 * struct sbus_event - something that happened
 * @size: of this structure
 * @type: enum sbus_event_type; a newer module may tell of more
 * @activator: CLAIMED, UNCLAIMED: as the activator, not as a replica
 * @bus: the bus: name, id, uid and mode; the rest is 0
 * @endpoint: the connection: bus, id and uid; the rest is 0
 * @replica: who and what: all but draining and load
 * @program: the program
 *
 * Those that the type does not name are NULL.
 */
struct sbus_event {
	size_t size;
	uint32_t type;
	bool activator;
	const struct sbus_bus_info *bus;
	const struct sbus_endpoint_info *endpoint;
	const struct sbus_replica_info *replica;
	const struct sbus_program_info *program;
};

typedef int (*sbus_event_fn)(const struct sbus_event *event, void *userdata);

/**
 * sbus_monitor_open() - listen to what happens from now on
 * @monitor: (out) to be closed with sbus_monitor_close()
 * @error: filled on failure
 *
 * Errors: EPERM (it takes CAP_NET_ADMIN), ENODEV (the module is not loaded),
 * EMFILE, ENOMEM.
 */
SBUS_API int sbus_monitor_open(struct sbus_monitor **monitor, struct sbus_error *error);

/**
 * sbus_monitor_close() - free it
 * @monitor: the monitor, or NULL
 *
 * Return: NULL.
 */
SBUS_API struct sbus_monitor *sbus_monitor_close(struct sbus_monitor *monitor);

/**
 * sbus_monitor_get_fd() - what to wait on
 * @monitor: the monitor
 *
 * Return: a descriptor that is readable (POLLIN) when sbus_monitor_process() has
 * something to do. It belongs to the monitor.
 */
SBUS_API int sbus_monitor_get_fd(const struct sbus_monitor *monitor);

/**
 * sbus_monitor_process() - tell what happened, without waiting
 * @monitor: the monitor
 * @fn: called for each event, in their order; not to use @monitor
 * @userdata: for @fn
 *
 * Return: how many were told; or what @fn returned if that was negative, which ends
 * it after this event; or an error: ENOBUFS (events were lost, as this was not called
 * in time: list anew what there is, and go on), EIO, ENOMEM.
 */
SBUS_API int sbus_monitor_process(struct sbus_monitor *monitor, sbus_event_fn fn,
				  void *userdata);

#ifdef __cplusplus
}
#endif

#endif /* SYMPHONY_CONTROL_H */
