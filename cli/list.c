// SPDX-License-Identifier: MIT
/* symphony list: what there is. */
#include <string.h>

#include "view.h"

#define REPLICAS (SNAPSHOT_REPLICAS | SNAPSHOT_ENDPOINTS)

static void add_buses(yyjson_mut_doc *doc, yyjson_mut_val *array, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->nr_buses; i++)
		yyjson_mut_arr_add_val(array, view_bus(doc, &snapshot->buses[i]));
}

static void add_endpoints(yyjson_mut_doc *doc, yyjson_mut_val *array,
			  const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->nr_endpoints; i++)
		yyjson_mut_arr_add_val(array, view_endpoint(doc, &snapshot->endpoints[i]));
}

static void add_services(yyjson_mut_doc *doc, yyjson_mut_val *array,
			 const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->nr_services; i++)
		yyjson_mut_arr_add_val(array, view_service(doc, snapshot, &snapshot->services[i]));
}

static void add_replicas(yyjson_mut_doc *doc, yyjson_mut_val *array,
			 const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->nr_replicas; i++)
		yyjson_mut_arr_add_val(array,
				       view_replica(doc, snapshot, &snapshot->replicas[i]));
}

static void print_replicas(const struct snapshot *snapshot)
{
	view_replicas(snapshot, NULL);
}

static const struct kind {
	const char *name;
	unsigned int parts;
	void (*print)(const struct snapshot *snapshot);
	void (*add)(yyjson_mut_doc *doc, yyjson_mut_val *array, const struct snapshot *snapshot);
} kinds[] = {
	{ "services", SNAPSHOT_SERVICES | SNAPSHOT_PROGRAMS | REPLICAS, view_services,
	  add_services },
	{ "buses", SNAPSHOT_BUSES | SNAPSHOT_PROGRAMS, view_buses, add_buses },
	{ "replicas", REPLICAS, print_replicas, add_replicas },
	{ "endpoints", SNAPSHOT_ENDPOINTS, view_endpoints, add_endpoints },
};

static int list(const struct cli *cli, const struct kind *kind)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct snapshot snapshot;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
	int r;

	r = snapshot_take(&snapshot, cli->bus, kind->parts, &error);
	if (r)
		return cli_fail(cli, &error);
	if (cli->json) {
		doc = yyjson_mut_doc_new(NULL);
		root = yyjson_mut_arr(doc);
		yyjson_mut_doc_set_root(doc, root);
		kind->add(doc, root, &snapshot);
		r = cli_print_doc(cli, doc);
	} else {
		kind->print(&snapshot);
	}
	snapshot_free(&snapshot);
	return r;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const struct kind *kind = kinds;

	if (cli_getopt(cli, &list_command, argc, argv, CLI_NO_OPTIONS) != -1)
		return CLI_USAGE;
	if (argc - optind > 1)
		return cli_usage(cli, &list_command, "\"%s\" is too much", argv[optind + 1]);
	if (optind == argc)
		return list(cli, kind);
	for (; kind < kinds + NR(kinds); kind++)
		if (!strcmp(argv[optind], kind->name))
			return list(cli, kind);
	return cli_usage(cli, &list_command, "there is nothing called \"%s\" to list", argv[optind]);
}

const struct command list_command = {
	.name = "list",
	.arguments = "[services|buses|replicas|endpoints]",
	.summary = "print what there is: services, buses, replicas, connections",
	.help = ",\n"
		"of all buses that this user may join, or of the one that --bus names.\n",
	.run = run,
};
