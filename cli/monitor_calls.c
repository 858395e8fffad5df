// SPDX-License-Identifier: MIT
/* symphony monitor --calls: the calls of a bus, as they happen. */
#include "monitor_calls.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "calls.h"
#include "loop.h"
#include "snapshot.h"

struct watch {
	const struct cli *cli;
	const char *bus;
	const char *service;
	uint64_t left;
	struct snapshot snapshot;	/* names of handles */
};

static const char *const whats[] = {
	[CALLS_MADE] = "made",
	[CALLS_QUEUED] = "queued",
	[CALLS_RECEIVED] = "received",
	[CALLS_DONE] = "done",
};

static const char *find_name(const struct snapshot *snapshot, uint64_t handle)
{
	for (size_t i = 0; i < snapshot->nr_services; i++)
		if (snapshot->services[i].handle == handle)
			return snapshot->services[i].name;
	return NULL;
}

/* A call that is made has no name of a service yet. */
static const char *name_of(struct watch *watch, uint64_t handle)
{
	const char *name = find_name(&watch->snapshot, handle);

	if (name)
		return name;
	snapshot_free(&watch->snapshot);
	if (snapshot_take(&watch->snapshot, watch->bus, SNAPSHOT_SERVICES, NULL))
		return "?";
	name = find_name(&watch->snapshot, handle);
	return name ? name : "?";
}

static void print(const struct calls_event *event, const char *service)
{
	monitor_print_time();
	printf("%-8s call=%" PRIu64 " service=%s", whats[event->what], (uint64_t)event->call, service);
	if (event->what == CALLS_MADE)
		printf(" caller=%" PRIu64 " method=%#" PRIx64 " body=%u", (uint64_t)event->caller,
		       (uint64_t)event->method, event->body_len);
	if (event->what != CALLS_MADE && event->server)
		printf(" server=%" PRIu64, (uint64_t)event->server);
	if (event->what == CALLS_QUEUED || event->what == CALLS_RECEIVED)
		printf(" load=%u", event->load);
	if (event->what == CALLS_DONE)
		printf(" caller=%" PRIu64 " outcome=\"%s\"", (uint64_t)event->caller,
		       cli_outcome(event->status));
	putchar('\n');
	fflush(stdout);
}

static void print_json(const struct calls_event *event, const char *service)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "event", whats[event->what]);
	yyjson_mut_obj_add_uint(doc, root, "monotonic_ns", event->time);
	yyjson_mut_obj_add_uint(doc, root, "call", event->call);
	yyjson_mut_obj_add_str(doc, root, "service", service);
	if (event->caller)
		yyjson_mut_obj_add_uint(doc, root, "caller", event->caller);
	if (event->server)
		yyjson_mut_obj_add_uint(doc, root, "server", event->server);
	if (event->what == CALLS_MADE) {
		yyjson_mut_obj_add_uint(doc, root, "method", event->method);
		yyjson_mut_obj_add_uint(doc, root, "body_len", event->body_len);
	}
	if (event->what == CALLS_QUEUED || event->what == CALLS_RECEIVED)
		yyjson_mut_obj_add_uint(doc, root, "load", event->load);
	if (event->what == CALLS_DONE)
		yyjson_mut_obj_add_int(doc, root, "status", event->status);
	cli_print_line(doc);
}

static int take(void *userdata, void *data, size_t size)
{
	const struct calls_event *event = data;
	struct watch *watch = userdata;
	const char *service = event->service.text;

	if (size < sizeof(*event) || event->what >= NR(whats) || !watch->left)
		return 0;
	if (event->what == CALLS_MADE)
		service = name_of(watch, event->handle);
	if (watch->service && strcmp(service, watch->service))
		return 0;
	if (watch->cli->json)
		print_json(event, service);
	else
		print(event, service);
	if (watch->left != UINT64_MAX)
		watch->left--;
	return 0;
}

static int follow(struct watch *watch, const struct calls *calls, uint64_t until)
{
	struct ring_buffer *ring;
	enum loop_event event = LOOP_RESIZED;
	uint64_t lost = 0, now_lost;

	ring = ring_buffer__new(calls_events_map(calls), take, watch, NULL);
	if (!ring)
		return -errno;
	loop_begin();
	while (watch->left && event > LOOP_TIME) {
		event = loop_wait(ring_buffer__epoll_fd(ring), until);
		ring_buffer__consume(ring);
		now_lost = calls_lost(calls);
		if (now_lost != lost)
			cli_warn(watch->cli, "%" PRIu64 " events were lost", now_lost - lost);
		lost = now_lost;
	}
	ring_buffer__free(ring);
	return 0;
}

int monitor_calls(const struct cli *cli, const char *service, uint64_t left, uint64_t until)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct watch watch = {
		.cli = cli,
		.bus = cli_bus_name(cli),
		.service = service,
		.left = left,
	};
	struct calls *calls;
	int r;

	r = calls_open(&calls, watch.bus, service, true, &error);
	if (r)
		return cli_fail(cli, &error);
	r = follow(&watch, calls, until);
	snapshot_free(&watch.snapshot);
	calls_close(calls);
	if (!r)
		return CLI_OK;
	sbus_error_set(&error, r, "the events of calls cannot be read: %s", strerrordesc_np(-r));
	return cli_fail(cli, &error);
}
