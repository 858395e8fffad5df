// SPDX-License-Identifier: MIT
/* symphony route: the policies that decide who gets a call, and who may make it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <symphony/router.h>

#include "cli.h"
#include "pin.h"
#include "route_show.h"
#include "snapshot.h"

struct arguments {
	bool all;		/* of the bus, instead of a service */
	uint64_t wait;		/* ns for the service to come */
	int hook;		/* enum sbus_hook, or -1 */
	const char *service;	/* NULL: all */
	int argc;		/* what is behind it */
	char **argv;
};

/* NAME=VALUE... as the library takes them; NULL when there is no memory. */
static char *join(int argc, char **argv)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	for (int i = 0; to && i < argc; i++)
		fprintf(to, "%s%s", i ? "," : "", argv[i]);
	if (to && fclose(to)) {
		free(text);
		text = NULL;
	}
	return text;
}

/* "service "x" on bus "y"" */
static const char *target(const char *bus, const char *service)
{
	static char text[2 * SBUS_NAME_MAX + 32];

	if (service)
		snprintf(text, sizeof(text), "service \"%s\" on bus \"%s\"", service, bus);
	else
		snprintf(text, sizeof(text), "bus \"%s\"", bus);
	return text;
}

static int print_route_json(const struct cli *cli, struct sbus_router *router,
			    const char *policy, const char *pin)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "bus", sbus_router_bus(router));
	cli_add_text(doc, root, "service", sbus_router_service(router));
	yyjson_mut_obj_add_str(doc, root, "hook", snapshot_hook(sbus_router_hook(router)));
	cli_add_text(doc, root, "policy", policy);
	cli_add_text(doc, root, "pin", pin);
	return cli_print_doc(cli, doc);
}

static int print_route(const struct cli *cli, struct sbus_router *router, const char *done,
		       const char *pin)
{
	const char *service = sbus_router_service(router);
	char policy[16] = "";

	sbus_router_policy(router, policy, NULL);
	if (cli->json)
		return print_route_json(cli, router, policy, pin);
	printf("%s: %s %s", target(sbus_router_bus(router), service), policy, done);
	if (pin)
		printf(", until \"symphony route detach%s%s\"", service ? " " : " --all",
		       service ? service : "");
	putchar('\n');
	return CLI_OK;
}

/* --- attaching ------------------------------------------------------------ */

static bool has_service(const struct snapshot *snapshot, const char *service)
{
	for (size_t i = 0; i < snapshot->nr_services; i++)
		if (!strcmp(snapshot->services[i].name, service))
			return true;
	return !service;
}

/* Until there is what to attach to, or the time is over: attaching says what is missing. */
static void wait_for(const char *bus, const struct arguments *arguments)
{
	const uint64_t end = sbus_now() + arguments->wait;
	bool there = false;

	while (!there && sbus_now() < end) {
		struct snapshot snapshot;

		if (!snapshot_take(&snapshot, bus, SNAPSHOT_SERVICES, NULL)) {
			there = !arguments->service || has_service(&snapshot, arguments->service);
			snapshot_free(&snapshot);
		}
		if (!there)
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	}
}

/* What the library would say in its own terms. */
static int check_policy(const char *policy, struct sbus_error *error)
{
	if (strpbrk(policy, "/."))
		return 0;
	for (const char *const *name = sbus_router_policies(); *name; name++)
		if (!strcmp(*name, policy))
			return 0;
	return sbus_error_set(error, -ENOENT, "there is no policy \"%s\": \"symphony route policies\" lists them; for an object file of yours give its path, as ./%s.bpf.o",
			      policy, policy);
}

/* Pinned, or not attached at all. */
static int attach(struct cli *cli, const struct arguments *arguments, bool shadow)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_router struct sbus_router *router = NULL;
	const char *bus = cli_bus_name(cli), *policy = arguments->argv[0];
	char *options = join(arguments->argc - 1, arguments->argv + 1), *path = NULL;
	int r = check_policy(policy, &error);

	if (!options)
		return cli_no_memory(cli);
	if (!r && arguments->wait)
		wait_for(bus, arguments);
	if (!r)
		r = (shadow ? sbus_router_shadow : sbus_router_attach)(&router, bus,
				arguments->service, policy, options, &error);
	if (!r)
		r = pin_router(router, &path, &error);
	r = r ? cli_fail(cli, &error) :
		print_route(cli, router, shadow ? "is the shadow" : "is attached", path);
	free(options);
	free(path);
	return r;
}

static int run_attach(struct cli *cli, const struct arguments *arguments)
{
	return attach(cli, arguments, false);
}

static int run_shadow(struct cli *cli, const struct arguments *arguments)
{
	return attach(cli, arguments, true);
}

/* --- what is attached ----------------------------------------------------- */

static bool is_meant(const struct sbus_program_info *program, const struct arguments *arguments)
{
	const char *service = arguments->service ? arguments->service : "";

	return program->link && !strcmp(program->service ? program->service : "", service) &&
	       (arguments->hook < 0 || (uint32_t)arguments->hook == program->hook);
}

/* The id of the only BPF link that is meant; *@link 0 where there is none. */
static int find_link(const char *bus, const struct arguments *arguments, uint32_t *link,
		     struct sbus_error *error)
{
	struct snapshot snapshot;
	uint32_t hook = 0;
	int r = snapshot_take(&snapshot, bus, SNAPSHOT_PROGRAMS, error);

	*link = 0;
	if (r)
		return r;
	for (size_t i = 0; i < snapshot.nr_programs && !r; i++) {
		const struct sbus_program_info *program = &snapshot.programs[i];

		if (!is_meant(program, arguments))
			continue;
		if (*link)
			r = sbus_error_set(error, -EINVAL, "%s has policies of several kinds: say --hook %s or --hook %s",
					   target(bus, arguments->service), snapshot_hook(hook),
					   snapshot_hook(program->hook));
		*link = program->link;
		hook = program->hook;
	}
	snapshot_free(&snapshot);
	return r;
}

/* What is attached now, or what is pinned of a bus that is gone. */
static int open_router(struct sbus_router **router, const char *bus,
		       const struct arguments *arguments, bool gone_too, struct sbus_error *error)
{
	uint32_t link = 0;
	int r = find_link(bus, arguments, &link, error), hook;

	if (!r && link)
		return sbus_router_open_link(router, link, error);
	for (hook = 0; gone_too && (!r || r == -ENOENT) && hook <= SBUS_HOOK_SHADOW; hook++) {
		char *path = pin_path(bus, arguments->service, hook);
		int opened = -1;

		if (path && (arguments->hook < 0 || arguments->hook == hook))
			opened = sbus_router_open(router, path, NULL);
		free(path);
		if (!opened) {
			sbus_error_clear(error);
			return 0;
		}
	}
	return r ? r : sbus_error_set(error, -ENOENT, "%s has no policy: attach one",
				      target(bus, arguments->service));
}

static int run_replace(struct cli *cli, const struct arguments *arguments)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_router struct sbus_router *router = NULL;
	char *options = join(arguments->argc - 1, arguments->argv + 1);
	int r = check_policy(arguments->argv[0], &error);

	if (!options)
		return cli_no_memory(cli);
	r = r ? r : open_router(&router, cli_bus_name(cli), arguments, false, &error);
	if (!r)
		r = sbus_router_replace(router, arguments->argv[0], options, &error);
	free(options);
	return r ? cli_fail(cli, &error) : print_route(cli, router, "has taken its place", NULL);
}

static int run_set(struct cli *cli, const struct arguments *arguments)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_router struct sbus_router *router = NULL;
	char *options = join(arguments->argc, arguments->argv);
	int r;

	if (!options)
		return cli_no_memory(cli);
	r = open_router(&router, cli_bus_name(cli), arguments, false, &error);
	if (!r)
		r = sbus_router_set(router, options, &error);
	free(options);
	return r ? cli_fail(cli, &error) : print_route(cli, router, "has these options now", NULL);
}

static int run_detach(struct cli *cli, const struct arguments *arguments)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_router struct sbus_router *router = NULL;
	char *path, policy[16] = "";
	int r;

	r = open_router(&router, cli_bus_name(cli), arguments, true, &error);
	if (r)
		return cli_fail(cli, &error);
	path = pin_path(sbus_router_bus(router), sbus_router_service(router),
			sbus_router_hook(router));
	sbus_router_policy(router, policy, NULL);
	r = sbus_router_detach(router, &error);
	if (!r && path)
		pin_remove(path);
	free(path);
	if (r)
		return cli_fail(cli, &error);
	if (cli->json)
		return print_route_json(cli, router, policy, NULL);
	printf("%s: %s is detached%s\n",
	       target(sbus_router_bus(router), sbus_router_service(router)), policy,
	       sbus_router_hook(router) == SBUS_HOOK_ADMIT ?
	       "; after an acl calls are refused until another is attached" : "");
	return CLI_OK;
}

static int run_policies(struct cli *cli, const struct arguments *arguments)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;

	(void)arguments;
	if (!cli->json) {
		for (const char *const *name = sbus_router_policies(); *name; name++)
			puts(*name);
		return CLI_OK;
	}
	doc = yyjson_mut_doc_new(NULL);
	root = yyjson_mut_arr(doc);
	yyjson_mut_doc_set_root(doc, root);
	for (const char *const *name = sbus_router_policies(); *name; name++)
		yyjson_mut_arr_add_str(doc, root, *name);
	return cli_print_doc(cli, doc);
}

static int run_show(struct cli *cli, const struct arguments *arguments)
{
	return route_show(cli, arguments->argc ? arguments->argv[0] : NULL);
}

/* --- the command line ------------------------------------------------------ */

static const struct action {
	const char *name;
	bool targeted;		/* it is about a service, or --all */
	bool waits, hooked;	/* it takes --wait, --hook */
	int least, most;	/* arguments behind that */
	int (*run)(struct cli *cli, const struct arguments *arguments);
} actions[] = {
	{ "show", false, false, false, 0, 1, run_show },
	{ "policies", false, false, false, 0, 0, run_policies },
	{ "attach", true, true, false, 1, 256, run_attach },
	{ "shadow", true, true, false, 1, 256, run_shadow },
	{ "replace", true, false, true, 1, 256, run_replace },
	{ "set", true, false, true, 1, 256, run_set },
	{ "detach", true, false, true, 0, 0, run_detach },
};

static int parse_hook(const char *text)
{
	for (uint32_t hook = 0; hook <= SBUS_HOOK_SHADOW; hook++)
		if (!strcmp(text, snapshot_hook(hook)))
			return hook;
	return -1;
}

/* An option that this action does not take, or NULL. */
static const char *needless(const struct cli *cli, const struct action *action,
			    const struct arguments *arguments)
{
	return arguments->all && !action->targeted ? "--all" :
	       arguments->wait && !action->waits ? "--wait" :
	       arguments->hook >= 0 && !action->hooked ? "--hook" :
	       cli->bus && action->run == run_policies ? "--bus" : NULL;
}

static int run_action(struct cli *cli, const struct action *action, struct arguments *arguments)
{
	const char *option = needless(cli, action, arguments);

	if (option)
		return cli_usage(cli, &route_command, "%s: it takes no %s", action->name, option);
	if (action->targeted && !arguments->all) {
		if (!arguments->argc)
			return cli_usage(cli, &route_command, "%s: give the id of a service, or --all for those without a policy of their own",
					 action->name);
		arguments->service = arguments->argv[0];
		arguments->argc--;
		arguments->argv++;
	}
	if (arguments->argc < action->least)
		return cli_usage(cli, &route_command, "%s: give %s", action->name,
				 action->run == run_set ? "OPTION=VALUE" : "a policy");
	if (arguments->argc > action->most)
		return cli_usage(cli, &route_command, "%s: \"%s\" is too much", action->name,
				 arguments->argv[action->most]);
	return action->run(cli, arguments);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option known[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "wait", required_argument, NULL, 'w' },
		{ "hook", required_argument, NULL, 'k' },
		{ }
	};
	struct arguments arguments = { .hook = -1 };
	int option;

	while ((option = cli_getopt(cli, &route_command, argc, argv, known)) != -1) {
		switch (option) {
		case 'a':
			arguments.all = true;
			break;
		case 'w':
			if (!cli_parse_seconds(optarg, &arguments.wait))
				return cli_usage(cli, &route_command, "--wait %s: give seconds, more than 0", optarg);
			break;
		case 'k':
			arguments.hook = parse_hook(optarg);
			if (arguments.hook < 0)
				return cli_usage(cli, &route_command, "--hook %s: give route, shadow or admit",
						 optarg);
			break;
		default:
			return CLI_USAGE;
		}
	}
	arguments.argc = argc - optind - 1;
	arguments.argv = argv + optind + 1;
	if (optind == argc)
		return cli_usage(cli, &route_command, "give one of show, attach, replace, set, shadow, detach, policies");
	for (size_t i = 0; i < NR(actions); i++)
		if (!strcmp(argv[optind], actions[i].name))
			return run_action(cli, &actions[i], &arguments);
	return cli_usage(cli, &route_command, "there is no action \"%s\"", argv[optind]);
}

const struct command route_command = {
	.name = "route",
	.arguments = "show [ID]\n"
		     "policies\n"
		     "attach ID|--all POLICY [OPTION=VALUE]...\n"
		     "shadow ID|--all POLICY [OPTION=VALUE]...\n"
		     "replace ID|--all POLICY [OPTION=VALUE]...\n"
		     "set ID|--all OPTION=VALUE...\n"
		     "detach ID|--all",
	.summary = "show, attach and replace the policies that choose replicas",
	.help = ". POLICY\n"
		"is a name that \"symphony route policies\" lists, or the path of an object file, with a\n"
		"\"/\" or a \".\" in it. An attached policy is pinned in " PINS ":\n"
		"it stays until it is detached or its bus is gone. A shadow sees the calls and decides\n"
		"nothing.\n\n"
		"      --all           all services of the bus that have no policy of their own\n"
		"      --wait SECONDS  attach, shadow: wait until the service is there\n"
		"      --hook HOOK     replace, set, detach: which policy, route, shadow or admit\n",
	.run = run,
};
