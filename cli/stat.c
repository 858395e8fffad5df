// SPDX-License-Identifier: MIT
/* symphony stat: how a bus does, or a service of it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "view.h"

#define STATS "/sys/module/symphony/parameters/stats"

static const struct sbus_service_info *find(const struct snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->nr_services; i++)
		if (!strcmp(snapshot->services[i].name, name))
			return &snapshot->services[i];
	return NULL;
}

static void print_times(const char *title, const uint64_t times[SBUS_TIME_BUCKETS])
{
	char half[32], most[32];

	printf("%-10s half below %s, 99 %% below %s\n", title, view_percentile(half, times, 50),
	       view_percentile(most, times, 99));
}

static void print_counters(const struct sbus_service_info *service)
{
	char some[32];

	printf("Answered   %" PRIu64 ", of them %" PRIu64 " with an error\n", service->replies,
	       service->error_replies);
	printf("Failed     %" PRIu64 " timed out, %" PRIu64 " cancelled, %" PRIu64 " replica died, %" PRIu64 " refused, %" PRIu64 " else\n",
	       service->timeouts, service->cancels, service->resets, service->refusals,
	       service->others);
	printf("Copied     %s", view_bytes(service->request_bytes));
	printf(" to replicas, %s to callers\n", view_bytes(service->answer_bytes));
	if (!strcmp(view_percentile(some, service->queue_times, 50), "-")) {
		printf("Times      none taken: echo 1 >" STATS " (as root)\n");
		return;
	}
	print_times("In queue", service->queue_times);
	print_times("At work", service->service_times);
}

static void print_service(const struct snapshot *snapshot, const struct sbus_service_info *service)
{
	const struct view_sum sum = view_sum(snapshot, service);

	printf("Service    %s on bus %s, of %s, handle %u%s\n", service->name, service->bus,
	       view_user(service->uid), service->handle,
	       service->reserved ? ", claimed by grant" : "");
	printf("Replicas   %u, of them %u draining\n", service->nr_replicas, sum.draining);
	printf("Requests   %" PRIu64 " not answered, %u of them held by the activator\n", sum.load,
	       service->parked);
	print_counters(service);
	printf("Recovery   %s\n", snapshot_recovery(service));
	printf("Policies   %s\n\n", view_programs(snapshot, service->bus_id, service->name));
	view_replicas(snapshot, service);
}

static void print_bus(const struct snapshot *snapshot)
{
	const struct sbus_bus_info *bus = snapshot->buses;
	uint64_t load = 0, queued = 0, calls = 0, size = 0, used = 0;

	for (size_t i = 0; i < snapshot->nr_endpoints; i++) {
		load += snapshot->endpoints[i].load;
		queued += snapshot->endpoints[i].queued;
		calls += snapshot->endpoints[i].calls;
		size += snapshot->endpoints[i].pool_size;
		used += snapshot->endpoints[i].pool_used;
	}
	printf("Bus        %s, of %s, mode %04o, id %" PRIu64 "\n", bus->name, view_user(bus->uid),
	       bus->mode, bus->id);
	printf("Endpoints  %u\n", bus->nr_endpoints);
	printf("Requests   %" PRIu64 " not answered; %" PRIu64 " messages not received\n", load,
	       queued);
	printf("Calls      %" PRIu64 " without an outcome fetched\n", calls);
	printf("Pools      %s", view_bytes(used));
	printf(" of %s in use\n", view_bytes(size));
	printf("Policies   %s\n\n", view_programs(snapshot, bus->id, NULL));
	view_services(snapshot);
}

static int print_json(const struct cli *cli, const struct snapshot *snapshot,
		      const struct sbus_service_info *service)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root, *services;

	if (service) {
		yyjson_mut_doc_set_root(doc, view_service(doc, snapshot, service));
		return cli_print_doc(cli, doc);
	}
	root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_val(doc, root, "bus", view_bus(doc, snapshot->buses));
	services = yyjson_mut_arr(doc);
	yyjson_mut_obj_add_val(doc, root, "services", services);
	for (size_t i = 0; i < snapshot->nr_services; i++)
		yyjson_mut_arr_add_val(services,
				       view_service(doc, snapshot, &snapshot->services[i]));
	return cli_print_doc(cli, doc);
}

static int print(const struct cli *cli, const struct snapshot *snapshot, const char *name)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	const struct sbus_service_info *service = name ? find(snapshot, name) : NULL;

	if (name && !service) {
		sbus_error_set(&error, -ENOENT, "nobody ever claimed \"%s\" on bus \"%s\": \"symphony list\" shows what there is",
			       name, snapshot->buses->name);
		return cli_fail(cli, &error);
	}
	if (cli->json)
		return print_json(cli, snapshot, service);
	if (service)
		print_service(snapshot, service);
	else
		print_bus(snapshot);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct snapshot snapshot;
	int r;

	if (cli_getopt(cli, &stat_command, argc, argv, CLI_NO_OPTIONS) != -1)
		return CLI_USAGE;
	if (argc - optind > 1)
		return cli_usage(cli, &stat_command, "\"%s\" is too much", argv[optind + 1]);
	r = snapshot_take(&snapshot, cli_bus_name(cli), SNAPSHOT_BUSES | SNAPSHOT_ENDPOINTS |
			  SNAPSHOT_SERVICES | SNAPSHOT_REPLICAS | SNAPSHOT_PROGRAMS, &error);
	if (r)
		return cli_fail(cli, &error);
	r = print(cli, &snapshot, optind < argc ? argv[optind] : NULL);
	snapshot_free(&snapshot);
	return r;
}

const struct command stat_command = {
	.name = "stat",
	.arguments = "[ID]",
	.summary = "print how a bus does, or a service and its replicas",
	.help = ".\n",
	.run = run,
};
