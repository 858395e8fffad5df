// SPDX-License-Identifier: MIT
/* symphony describe: what an extension says it is. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "table.h"

#define TIMEOUT 30000000000ULL

static const char *text_of(yyjson_val *object, const char *key)
{
	const char *text = yyjson_get_str(yyjson_obj_get(object, key));

	return text ? text : "";
}

/* "a: integer, b?: string" of a JSON schema of an object. */
static void print_params(FILE *to, yyjson_val *schema)
{
	yyjson_val *required = yyjson_obj_get(schema, "required"), *key, *value, *name;
	size_t i, max, j, nr;
	bool first = true;

	yyjson_obj_foreach(yyjson_obj_get(schema, "properties"), i, max, key, value) {
		bool needed = false;

		yyjson_arr_foreach(required, j, nr, name)
			needed = needed || yyjson_equals(name, key);
		fprintf(to, "%s%s%s", first ? "" : ", ", yyjson_get_str(key), needed ? "" : "?");
		if (*text_of(value, "type"))
			fprintf(to, ": %s", text_of(value, "type"));
		first = false;
	}
}

static void print_methods(yyjson_val *methods)
{
	static const struct column columns[] = {
		{ "METHOD", 0, 0 },
		{ "PARAMETERS", COLUMN_SHRINKS, 0 },
		{ "SUMMARY", COLUMN_SHRINKS, 1 },
	};
	struct table *table = table_new(columns, NR(columns));
	yyjson_val *method;
	size_t i, max;

	yyjson_arr_foreach(methods, i, max, method) {
		char *params = NULL;
		size_t len;
		FILE *to = open_memstream(&params, &len);

		if (to) {
			print_params(to, yyjson_obj_get(method, "params"));
			fclose(to);
		}
		table_cell(table, "%s", text_of(method, "name"));
		table_cell(table, "%s", params ? params : "");
		table_cell(table, "%s", text_of(method, "summary"));
		free(params);
	}
	table_print(table, stdout, cli_width());
	table_free(table);
}

static void print_line(const char *title, const char *text)
{
	if (!*text)
		return;
	printf("%-10s", title);
	cli_print_text(stdout, text);
	putchar('\n');
}

static void print_for_people(const char *id, yyjson_val *root)
{
	print_line("Id", id);
	print_line("Version", text_of(root, "version"));
	print_line("Summary", text_of(root, "summary"));
	print_line("Messages", yyjson_get_bool(yyjson_obj_get(root, "messages")) ?
			"it takes any, besides those to its methods" : "");
	putchar('\n');
	print_methods(yyjson_obj_get(root, "methods"));
}

static int run(struct cli *cli, int argc, char **argv)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_message struct sbus_message *reply = NULL;
	sbus_cleanup_bus struct sbus *bus = NULL;
	yyjson_mut_doc *doc;
	yyjson_val *root;
	int r;

	if (cli_getopt(cli, &describe_command, argc, argv, CLI_NO_OPTIONS) != -1)
		return CLI_USAGE;
	if (argc - optind != 1)
		return cli_usage(cli, &describe_command, "give the id of one extension");
	r = cli_open(cli, &bus, &error);
	r = r ? r : sbus_call_method(bus, argv[optind], "describe", NULL, TIMEOUT, &reply, &error);
	r = r ? r : sbus_message_json(reply, &root, &error);
	if (r)
		return cli_fail(cli, &error);
	if (!cli->json) {
		print_for_people(argv[optind], root);
		return CLI_OK;
	}
	doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_doc_set_root(doc, yyjson_val_mut_copy(doc, root));
	return cli_print_doc(cli, doc);
}

const struct command describe_command = {
	.name = "describe",
	.arguments = "ID",
	.summary = "print what an extension is and its methods",
	.help = ".\n",
	.run = run,
};
