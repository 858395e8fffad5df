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

/* All of stdin, terminated; NULL when it cannot be read. */
static char *read_stdin(void)
{
	char *text = NULL;
	size_t size = 0;

	errno = 0;
	if (getdelim(&text, &size, 0, stdin) < 0 && !feof(stdin)) {
		free(text);
		return NULL;
	}
	return text ? text : strdup("");
}

/* @text, or stdin for "-"; NULL after saying why not. */
static yyjson_doc *parse(const char *text, const char *hint)
{
	char *read = NULL;
	yyjson_read_err problem;
	yyjson_doc *doc;

	if (!strcmp(text, "-")) {
		read = read_stdin();
		if (!read) {
			cli_usage(&call_command, "stdin cannot be read: %s", strerrordesc_np(errno));
			return NULL;
		}
		text = read;
	}
	doc = yyjson_read_opts((char *)text, strlen(text), 0, NULL, &problem);
	free(read);
	if (!doc)
		cli_usage(&call_command, "that is not JSON: %s at byte %zu%s", problem.msg,
			  problem.pos, hint);
	return doc;
}

/* The message: @json itself, or as the parameters of @method. */
static yyjson_mut_doc *message_of(const char *method, yyjson_doc *json)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *value = yyjson_val_mut_copy(doc, yyjson_doc_get_root(json)), *root = value;

	if (method) {
		root = yyjson_mut_obj(doc);
		yyjson_mut_obj_add_str(doc, root, "method", method);
		yyjson_mut_obj_add_val(doc, root, "params", value);
	}
	yyjson_mut_doc_set_root(doc, root);
	return doc;
}

static const char *method_of(yyjson_mut_doc *message)
{
	return yyjson_mut_get_str(yyjson_mut_obj_get(yyjson_mut_doc_get_root(message), "method"));
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
	request.method = sbus_method_id(method_of(message));
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
	yyjson_mut_doc *message;
	yyjson_doc *json;
	int option, status;
	bool method;

	while ((option = cli_getopt(cli, &call_command, argc, argv, known)) != -1) {
		if (option == 't' && cli_parse_seconds(optarg, &options.timeout))
			continue;
		if (option == 'k' && cli_parse_u64(optarg, &options.key))
			continue;
		return option == CLI_BAD_OPTION ? CLI_USAGE :
			cli_usage(&call_command, option == 't' ? "--timeout %s: give seconds" :
							       "--key %s: give a number", optarg);
	}
	argv += optind;
	argc -= optind;
	if (argc < 2 || argc > 3)
		return cli_usage(&call_command, "give an id, perhaps a method, and JSON");
	method = argc == 3;
	json = parse(argv[argc - 1], method ? "" : "; for a method without parameters: ID METHOD {}");
	if (!json)
		return CLI_USAGE;
	message = message_of(method ? argv[1] : NULL, json);
	status = send_message(cli, argv[0], message, &options);
	yyjson_mut_doc_free(message);
	yyjson_doc_free(json);
	return status;
}

const struct command call_command = {
	.name = "call",
	.arguments = "[OPTION]... ID JSON\n[OPTION]... ID METHOD JSON",
	.summary = "call an extension and print its answer",
	.help = "; JSON is the message,\n"
		"or the parameters of METHOD; - reads it from stdin.\n\n"
		"  --timeout SECONDS  how long to wait for the answer (30)\n"
		"  --key NUMBER       the key that policies route by\n",
	.run = run,
};
