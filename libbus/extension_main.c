// SPDX-License-Identifier: MIT
/* A process that is one extension. */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"
#include "pit.h"

struct options {
	struct sbus_params open;
	const char *id;
	const char *config;
	unsigned int threads;
	bool describe;
	struct sbus_claim_params claim;
};

static void usage(FILE *to, const char *program, const struct symphony_extension *extension)
{
	fprintf(to,
		"Usage: %s [OPTION]...\n"
		"%s\n\n"
		"  --bus NAME      the bus to join ($SYMPHONY_BUS, or else symphony-UID)\n"
		"  --owner UID     whose bus it is, if it is another user's; or \"any\"\n"
		"                  (of $SYMPHONY_BUS: $SYMPHONY_BUS_OWNER)\n"
		"  --id ID         the id to serve (%s)\n"
		"  --threads N     threads that serve (1)\n"
		"  --config JSON   configuration of the extension\n"
		"  --takeover      serve instead of those who do; they finish what they have\n"
		"  --recovery HOW  what becomes of the calls of a replica that dies: fail,\n"
		"                  requeue (those not received), reissue (idempotent ones too)\n"
		"  --grant FD      descriptor that allows to claim the id ($SYMPHONY_GRANT)\n"
		"  --describe      print what the extension is and its methods, and exit\n"
		"  --help          print this, and exit\n",
		program, extension->summary ? extension->summary : "An extension.",
		extension->name);
}

static bool parse_number(const char *text, unsigned long min, unsigned long max,
			 unsigned long *number)
{
	char *end;

	*number = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && *number >= min && *number <= max;
}

static bool parse_recovery(const char *text, uint32_t *recovery)
{
	static const char *const names[] = {
		[SBUS_RECOVERY_FAIL] = "fail",
		[SBUS_RECOVERY_REQUEUE] = "requeue",
		[SBUS_RECOVERY_REISSUE] = "reissue",
	};

	for (*recovery = 0; *recovery < sizeof(names) / sizeof(*names); ++*recovery)
		if (!strcmp(names[*recovery], text))
			return true;
	return false;
}

static bool parse_grant(const char *text, struct sbus_claim_params *claim)
{
	unsigned long number;

	if (!parse_number(text, 0, INT_MAX, &number))
		return false;
	claim->grant = number;
	claim->flags |= SBUS_CLAIM_GRANT;
	return true;
}

static int impossible(const char *program, const char *option, const char *value, const char *give)
{
	fprintf(stderr, "%s: %s %s: give %s\n", program, option, value, give);
	return 2;
}

/* -1 to go on, or an exit status. */
static int parse_options(const struct symphony_extension *extension, int argc, char **argv,
			 struct options *options)
{
	static const struct option known[] = {
		{ "bus", required_argument, NULL, 'b' },
		{ "owner", required_argument, NULL, 'w' },
		{ "id", required_argument, NULL, 'i' },
		{ "threads", required_argument, NULL, 't' },
		{ "config", required_argument, NULL, 'c' },
		{ "takeover", no_argument, NULL, 'o' },
		{ "recovery", required_argument, NULL, 'r' },
		{ "grant", required_argument, NULL, 'g' },
		{ "describe", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const char *grant = getenv("SYMPHONY_GRANT");
	unsigned long number;
	int option;

	if (grant && !parse_grant(grant, &options->claim))
		return impossible(argv[0], "SYMPHONY_GRANT", grant, "a descriptor");
	/* Neither this nor the descriptor is for what the extension starts. */
	unsetenv("SYMPHONY_GRANT");
	optind = 1;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'b':
			options->open.bus = optarg;
			break;
		case 'w':
			if (sbus_owner_parse(optarg, &options->open))
				return impossible(argv[0], "--owner", optarg, "a uid, or any");
			break;
		case 'i':
			options->id = optarg;
			break;
		case 'c':
			options->config = optarg;
			break;
		case 'd':
			options->describe = true;
			break;
		case 't':
			if (!parse_number(optarg, 1, 1024, &number))
				return impossible(argv[0], "--threads", optarg, "a number from 1 to 1024");
			options->threads = number;
			break;
		case 'o':
			options->claim.flags |= SBUS_CLAIM_TAKEOVER;
			break;
		case 'r':
			if (!parse_recovery(optarg, &options->claim.recovery))
				return impossible(argv[0], "--recovery", optarg,
						  "fail, requeue or reissue");
			break;
		case 'g':
			if (!parse_grant(optarg, &options->claim))
				return impossible(argv[0], "--grant", optarg, "a descriptor");
			break;
		case 'h':
			usage(stdout, argv[0], extension);
			return 0;
		default:
			usage(stderr, argv[0], extension);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: \"%s\" is not an option\n", argv[0], argv[optind]);
		usage(stderr, argv[0], extension);
		return 2;
	}
	return -1;
}

static void print_result(yyjson_mut_val *result, const struct sbus_error *error, void *userdata)
{
	char *text;

	(void)userdata;
	if (error) {
		fprintf(stderr, "%s\n", sbus_error_message(error));
		return;
	}
	text = yyjson_mut_val_write(result, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
	puts(text ? text : "");
	free(text);
}

static int describe(struct sbus_pit *pit, struct sbus_error *error)
{
	static const char text[] = "{\"method\":\"describe\"}";
	yyjson_doc *message;
	int r;

	r = sbus_pit_start(pit, NULL, error);
	if (r)
		return r;
	message = yyjson_read(text, sizeof(text) - 1, 0);
	r = sbus_pit_call(sbus_pit_next(pit, NULL), yyjson_doc_get_root(message), 0, print_result,
			  NULL, NULL);
	yyjson_doc_free(message);
	return r;
}

/* SIGTERM and SIGINT are blocked everywhere; this thread takes them. */
static void *wait_for_signal(void *arg)
{
	sigset_t ends;
	int signal;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigwait(&ends, &signal);
	sbus_stop(arg);
	return NULL;
}

static int serve(struct sbus *bus, unsigned int threads, struct sbus_error *error)
{
	struct sbus_serve_params params = { .size = sizeof(params), .threads = threads };
	pthread_t signals;
	int r;

	r = -pthread_create(&signals, NULL, wait_for_signal, bus);
	if (r)
		return sbus_error_set(error, r, "no thread: %s", error_text(r));
	r = sbus_serve(bus, &params, error);
	pthread_kill(signals, SIGTERM);
	pthread_join(signals, NULL);
	return r;
}

static int run(struct sbus_pit *pit, const struct options *options, struct sbus_error *error)
{
	sbus_cleanup_bus struct sbus *bus = NULL;
	sigset_t ends, old;
	int r;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, &old);
	pit->leaves = true;
	r = sbus_open(&bus, &options->open, error);
	if (!r)
		r = sbus_pit_start(pit, NULL, error);
	if (!r)
		r = pit_serve_begin(pit, bus, &options->claim, error);
	if (options->claim.flags & SBUS_CLAIM_GRANT)
		close(options->claim.grant);
	if (!r) {
		r = serve(bus, options->threads, error);
		pit_serve_end(pit);
	}
	sbus_pit_stop(pit);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int add(struct sbus_pit *pit, const struct symphony_extension *extension,
	       const struct options *options, struct sbus_error *error)
{
	struct symphony_extension renamed = *extension;
	yyjson_doc *config = NULL;
	int r;

	if (options->config) {
		config = yyjson_read(options->config, strlen(options->config), 0);
		if (!config)
			return sbus_error_set(error, -EINVAL, "--config %s: that is not JSON",
					      options->config);
	}
	if (options->id)
		renamed.name = options->id;
	r = sbus_pit_add(pit, &renamed, yyjson_doc_get_root(config), error);
	yyjson_doc_free(config);
	return r;
}

SBUS_API int sbus_extension_main(const struct symphony_extension *extension, int argc, char **argv)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_pit struct sbus_pit *pit = NULL;
	struct options options = {
		.open = { .size = sizeof(options.open), .flags = SBUS_OPEN_CREATE },
		.threads = 1,
		.claim.size = sizeof(options.claim),
	};
	int r;

	r = parse_options(extension, argc, argv, &options);
	if (r >= 0)
		return r;
	r = sbus_pit_new(&pit);
	if (r)
		sbus_error_set(&error, r, "out of memory");
	if (!r)
		r = add(pit, extension, &options, &error);
	if (!r)
		r = options.describe ? describe(pit, &error) : run(pit, &options, &error);
	if (!r)
		return 0;
	fprintf(stderr, "%s: %s\n", argv[0], sbus_error_message(&error));
	return 1;
}
