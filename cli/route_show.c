// SPDX-License-Identifier: MIT
/* symphony route show: which policies there are, and how they do. */
#include "route_show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <symphony/router.h>

#include "pin.h"
#include "snapshot.h"
#include "table.h"

/* One of them; what only root can see is NULL for others. */
struct row {
	char *bus;
	char *service;		/* NULL: all */
	uint32_t hook;
	char *policy;
	char *options;
	char *pin;
	uint32_t link;
	uint32_t errors;
	char *disabled;
	uint64_t same, different;
	bool fail_closed;
	bool closed;
	bool gone;		/* the bus is */
};

struct rows {
	struct row *at;
	size_t nr;
	const struct cli *cli;
	const char *service;
};

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static struct row *add(struct rows *rows)
{
	struct row *at = reallocarray(rows->at, rows->nr + 1, sizeof(*at));

	if (!at)
		return NULL;
	rows->at = at;
	at[rows->nr] = (struct row){ 0 };
	return &at[rows->nr++];
}

static void rows_free(struct rows *rows)
{
	for (size_t i = 0; i < rows->nr; i++) {
		struct row *row = &rows->at[i];

		free(row->bus);
		free(row->service);
		free(row->policy);
		free(row->options);
		free(row->pin);
		free(row->disabled);
	}
	free(rows->at);
}

static void look_into(struct row *row, struct sbus_router *router)
{
	char policy[16];

	if (!sbus_router_policy(router, policy, NULL))
		row->policy = strdup(policy);
	if (sbus_router_options(router, &row->options, NULL))
		row->options = NULL;
}

static void add_program(struct rows *rows, const struct sbus_program_info *program)
{
	sbus_cleanup_router struct sbus_router *router = NULL;
	struct row *row = add(rows);

	if (!row)
		return;
	row->bus = strdup(program->bus);
	row->service = copy(program->service);
	row->hook = program->hook;
	row->link = program->link;
	row->errors = program->errors;
	row->disabled = copy(program->disabled);
	row->same = program->same;
	row->different = program->different;
	row->fail_closed = program->fail_closed;
	row->closed = program->closed;
	if (!row->link || sbus_router_open_link(&router, row->link, NULL))
		return;
	look_into(row, router);
	row->pin = pin_path(program->bus, program->service, program->hook);
	if (row->pin && pin_link(row->pin) != row->link) {
		free(row->pin);
		row->pin = NULL;
	}
}

/* A pin of none of the programs that there are, but for other network namespaces'. */
static int add_pin(const char *path, void *userdata)
{
	sbus_cleanup_router struct sbus_router *router = NULL;
	struct rows *rows = userdata;
	const char *service;
	struct row *row;
	char *own;
	bool mine;

	if (sbus_router_open(&router, path, NULL))
		return 0;
	service = sbus_router_service(router);
	if ((rows->cli->bus && strcmp(rows->cli->bus, sbus_router_bus(router))) ||
	    (rows->service && strcmp(rows->service, service ? service : "")))
		return 0;
	own = pin_path(sbus_router_bus(router), service, sbus_router_hook(router));
	mine = own && !strcmp(own, path);
	free(own);
	for (size_t i = 0; i < rows->nr && mine; i++)
		mine = !rows->at[i].pin || strcmp(rows->at[i].pin, path);
	row = mine ? add(rows) : NULL;
	if (!row)
		return 0;
	row->bus = strdup(sbus_router_bus(router));
	row->service = copy(service);
	row->hook = sbus_router_hook(router);
	row->link = pin_link(path);
	row->pin = strdup(path);
	row->gone = true;
	look_into(row, router);
	return 0;
}

/* --- printing ------------------------------------------------------------- */

static void print_state(struct table *table, const struct row *row)
{
	if (row->gone)
		table_cell(table, "bus is gone");
	else if (row->closed)
		table_cell(table, "refuses all");
	else if (row->disabled)
		table_cell(table, "disabled: %s", row->disabled);
	else if (row->errors)
		table_cell(table, "errors %u/1024", row->errors);
	else if (row->hook == SBUS_HOOK_SHADOW && row->same + row->different)
		table_cell(table, "same %.1f%% of %" PRIu64,
			   100. * row->same / (row->same + row->different),
			   row->same + row->different);
	else
		table_cell(table, "ok");
}

static void print_table(const struct rows *rows)
{
	static const struct column columns[] = {
		{ "BUS", COLUMN_SHRINKS, 0 },
		{ "SERVICE", COLUMN_SHRINKS, 0 },
		{ "HOOK", 0, 0 },
		{ "POLICY", 0, 0 },
		{ "OPTIONS", COLUMN_SHRINKS, 1 },
		{ "STATE", COLUMN_SHRINKS, 0 },
		{ "LINK", COLUMN_RIGHT, 2 },
		{ "PINNED", 0, 3 },
	};
	struct table *table = table_new(columns, NR(columns));

	for (size_t i = 0; i < rows->nr; i++) {
		const struct row *row = &rows->at[i];

		table_cell(table, "%s", row->bus);
		table_cell(table, "%s", row->service ? row->service : "*");
		table_cell(table, "%s", snapshot_hook(row->hook));
		table_cell(table, "%s", row->policy ? row->policy : "?");
		table_cell(table, "%s", row->options && *row->options ? row->options : "-");
		print_state(table, row);
		table_cell(table, "%u", row->link);
		table_cell(table, "%s", row->pin ? row->pin : "-");
	}
	table_print(table, stdout, cli_width());
	table_free(table);
}

static int print_json(const struct cli *cli, const struct rows *rows)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_arr(doc);

	yyjson_mut_doc_set_root(doc, root);
	for (size_t i = 0; i < rows->nr; i++) {
		const struct row *row = &rows->at[i];
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, root);

		yyjson_mut_obj_add_str(doc, object, "bus", row->bus);
		cli_add_text(doc, object, "service", row->service);
		yyjson_mut_obj_add_str(doc, object, "hook", snapshot_hook(row->hook));
		cli_add_text(doc, object, "policy", row->policy);
		cli_add_text(doc, object, "options", row->options);
		yyjson_mut_obj_add_uint(doc, object, "link", row->link);
		cli_add_text(doc, object, "pin", row->pin);
		yyjson_mut_obj_add_uint(doc, object, "errors", row->errors);
		if (row->hook == SBUS_HOOK_SHADOW) {
			yyjson_mut_obj_add_uint(doc, object, "same", row->same);
			yyjson_mut_obj_add_uint(doc, object, "different", row->different);
		}
		cli_add_text(doc, object, "disabled", row->disabled);
		yyjson_mut_obj_add_bool(doc, object, "fail_closed", row->fail_closed);
		yyjson_mut_obj_add_bool(doc, object, "closed", row->closed);
		yyjson_mut_obj_add_bool(doc, object, "bus_gone", row->gone);
	}
	return cli_print_doc(cli, doc);
}

int route_show(const struct cli *cli, const char *service)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct rows rows = { .cli = cli, .service = service };
	struct snapshot snapshot;
	int r;

	r = snapshot_take(&snapshot, cli->bus, SNAPSHOT_PROGRAMS, &error);
	if (r)
		return cli_fail(cli, &error);
	for (size_t i = 0; i < snapshot.nr_programs; i++) {
		const struct sbus_program_info *program = &snapshot.programs[i];

		if (!service || (program->service && !strcmp(program->service, service)))
			add_program(&rows, program);
	}
	snapshot_free(&snapshot);
	pin_each(add_pin, &rows);
	if (cli->json)
		r = print_json(cli, &rows);
	else if (rows.nr)
		print_table(&rows);
	else
		printf("no policies: where there is none, the replica with the fewest calls has the next\n");
	rows_free(&rows);
	return r;
}
