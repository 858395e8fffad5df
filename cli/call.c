// SPDX-License-Identifier: MIT
/* symphony call: one call, and its answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct options {
	uint64_t timeout;
	uint64_t key;
};

/* All of @file, NULs too; NULL when it cannot be read. */
static char *read_all(FILE *file, size_t *len)
{
	size_t room = 0, got;
	char *text = NULL, *grown;

	*len = 0;
	do {
		room = room ? 2 * room : 65536;
		grown = realloc(text, room);
		if (!grown)
			break;
		text = grown;
		got = fread(text + *len, 1, room - *len, file);
		*len += got;
	} while (got && *len == room);
	if (!grown || ferror(file)) {
		free(text);
		return NULL;
	}
	return text;
}

static int compare_keys(const void *one, const void *two)
{
	yyjson_val *a = *(yyjson_val *const *)one, *b = *(yyjson_val *const *)two;
	size_t len_a = yyjson_get_len(a), len_b = yyjson_get_len(b);
	int r = memcmp(yyjson_get_str(a), yyjson_get_str(b), len_a < len_b ? len_a : len_b);

	return r ? r : (len_a > len_b) - (len_a < len_b);
}

/* The name of a member that @object has twice, or NULL. */
static const char *twice(yyjson_val *object)
{
	size_t nr = yyjson_obj_size(object), i, max;
	yyjson_val **keys = calloc(nr ? nr : 1, sizeof(*keys)), *key, *value;
	const char *found = NULL;

	yyjson_obj_foreach(object, i, max, key, value)
		if (keys)
			keys[i] = key;
	if (keys && nr)
		qsort(keys, nr, sizeof(*keys), compare_keys);
	for (i = 1; keys && i < nr && !found; i++)
		if (!compare_keys(&keys[i - 1], &keys[i]))
			found = yyjson_get_str(keys[i]);
	free(keys);
	return found;
}

/* What the receiver would not see as it was typed, or refuse; false after saying so. */
static bool check(const struct cli *cli, yyjson_val *value, unsigned int depth)
{
	const char *name = yyjson_is_obj(value) ? twice(value) : NULL;
	yyjson_val *key, *member;
	size_t i, max;

	if (name)
		cli_usage(cli, &call_command, "that JSON has the member \"%s\" twice", name);
	else if (yyjson_is_ctn(value) && depth == SBUS_DEPTH_MAX)
		cli_usage(cli, &call_command, "that JSON nests deeper than %d levels", depth);
	if (name || (yyjson_is_ctn(value) && depth == SBUS_DEPTH_MAX))
		return false;
	yyjson_obj_foreach(value, i, max, key, member)
		if (!check(cli, member, depth + 1))
			return false;
	yyjson_arr_foreach(value, i, max, member)
		if (!check(cli, member, depth + 1))
			return false;
	return true;
}

/*
 * @text, or stdin for "-"; NULL after saying why not. Numbers stay the text that they
 * are: to read them would round what 64 bits or a double cannot hold.
 */
static yyjson_doc *parse(const struct cli *cli, const char *text)
{
	size_t len = strlen(text);
	char *read = NULL;
	yyjson_read_err problem;
	yyjson_doc *doc;

	if (!strcmp(text, "-")) {
		read = read_all(stdin, &len);
		if (!read) {
			cli_usage(cli, &call_command, "stdin cannot be read: %s", strerrordesc_np(errno));
			return NULL;
		}
		text = read;
	}
	doc = yyjson_read_opts((char *)text, len, YYJSON_READ_NUMBER_AS_RAW, NULL, &problem);
	free(read);
	if (!doc) {
		cli_usage(cli, &call_command, "that is not JSON: %s at byte %zu", problem.msg,
			  problem.pos);
	} else if (!check(cli, yyjson_doc_get_root(doc), 0)) {
		yyjson_doc_free(doc);
		doc = NULL;
	}
	return doc;
}

/* Is @text JSON, or "-", rather than the name of a method? */
static bool looks_like_json(const char *text)
{
	text += strspn(text, " \t\r\n");
	return !*text || strchr("{[\"-0123456789", *text) || !strcmp(text, "null") ||
	       !strcmp(text, "true") || !strcmp(text, "false");
}

/* The message: @json itself, or, if there is a @method, that with @json as parameters. */
static yyjson_mut_doc *message_of(const char *method, yyjson_doc *json)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *value = yyjson_val_mut_copy(doc, yyjson_doc_get_root(json)), *root = value;

	if (method) {
		root = yyjson_mut_obj(doc);
		yyjson_mut_obj_add_str(doc, root, "method", method);
		if (json)
			yyjson_mut_obj_add_val(doc, root, "params", value);
	}
	yyjson_mut_doc_set_root(doc, root);
	return doc;
}

static uint64_t method_of(yyjson_mut_doc *message)
{
	yyjson_mut_val *method = yyjson_mut_obj_get(yyjson_mut_doc_get_root(message), "method");

	return sbus_method_id_n(yyjson_mut_get_str(method), yyjson_mut_get_len(method));
}

static int print_reply(const struct cli *cli, struct sbus_message *reply)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	yyjson_mut_doc *doc;
	yyjson_val *root;
	const void *body;
	size_t len;
	int r;

	if (sbus_message_content(reply) == SBUS_JSON) {
		r = sbus_message_json(reply, &root, &error);
		if (r)
			return cli_fail(cli, &error);
		doc = yyjson_mut_doc_new(NULL);
		yyjson_mut_doc_set_root(doc, yyjson_val_mut_copy(doc, root));
		return cli_print_doc(cli, doc);
	}
	body = sbus_message_body(reply, &len);
	if (cli->json || isatty(STDOUT_FILENO)) {
		sbus_error_set(&error, -EMEDIUMTYPE, "the answer is %zu bytes that are not JSON: without --json, and with the output in a file, you get them",
			       len);
		return cli_fail(cli, &error);
	}
	fwrite(body, 1, len, stdout);
	return CLI_OK;
}

static int send_message(const struct cli *cli, const char *id, yyjson_mut_doc *message,
			const struct options *options)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_message struct sbus_message *reply = NULL;
	struct sbus_request request = SBUS_REQUEST_INIT(id);
	sbus_cleanup_bus struct sbus *bus = NULL;
	char *body = yyjson_mut_write(message, 0, &request.body_len);
	int r;

	if (!body)
		return cli_no_memory(cli);
	request.body = body;
	request.content_type = SBUS_JSON;
	request.method = method_of(message);
	request.key = options->key;
	request.timeout = options->timeout;
	r = cli_open(cli, &bus, &error);
	r = r ? r : sbus_call(bus, &request, &reply, &error);
	free(body);
	return r ? cli_fail(cli, &error) : print_reply(cli, reply);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option known[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "key", required_argument, NULL, 'k' },
		{ }
	};
	struct options options = { .timeout = 30000000000 };
	const char *method, *text;
	yyjson_mut_doc *message;
	yyjson_doc *json = NULL;
	int option, status;

	while ((option = cli_getopt(cli, &call_command, argc, argv, known)) != -1) {
		if (option == CLI_BAD_OPTION)
			return CLI_USAGE;
		if (option == 't' && !cli_parse_seconds(optarg, &options.timeout))
			return cli_usage(cli, &call_command, "--timeout %s: give seconds, more than 0", optarg);
		if (option == 'k' && !cli_parse_u64(optarg, &options.key))
			return cli_usage(cli, &call_command, "--key %s: give a number below 2^64",
					 optarg);
	}
	argv += optind;
	argc -= optind;
	if (argc < 2 || argc > 3)
		return cli_usage(cli, &call_command, "give an id, and a method or a message");
	method = argc == 3 || !looks_like_json(argv[1]) ? argv[1] : NULL;
	text = argc == 3 ? argv[2] : method ? NULL : argv[1];
	if (text) {
		json = parse(cli, text);
		if (!json)
			return CLI_USAGE;
	}
	message = message_of(method, json);
	status = send_message(cli, argv[0], message, &options);
	yyjson_mut_doc_free(message);
	yyjson_doc_free(json);
	return status;
}

const struct command call_command = {
	.name = "call",
	.arguments = "[OPTION]... ID METHOD [JSON]\n[OPTION]... ID JSON",
	.summary = "call an extension and print its answer",
	.help = ".\n"
		"JSON is the parameters of METHOD, or without a METHOD the message itself. \"-\" reads\n"
		"it from stdin. Numbers are sent as they are typed.\n\n"
		"  --timeout SECONDS  how long to wait for the answer (30)\n"
		"  --key NUMBER       the key that policies route by\n",
	.run = run,
};
