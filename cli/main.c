// SPDX-License-Identifier: MIT
/* symphony: look at buses, call extensions, say who gets which call. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct command *const commands[] = {
	&list_command,
	&stat_command,
	&top_command,
	&monitor_command,
	&call_command,
	&describe_command,
	&route_command,
	&trace_command,
	&doctor_command,
};

static void help(FILE *to)
{
	fputs("Usage: symphony [--bus NAME] [--json] COMMAND [ARGUMENT]...\n"
	      "The bus on which an application calls its extensions.\n\n",
	      to);
	for (size_t i = 0; i < NR(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n"
	      "  -b, --bus NAME   the bus ($SYMPHONY_BUS, or else symphony-UID)\n"
	      "      --owner UID  whose bus it is, if it is another user's; or \"any\"\n"
	      "  -j, --json       print JSON, for programs\n"
	      "  -h, --help       print this; after a command: its arguments\n"
	      "      --version    print the version\n\n"
	      "Exit status: 0 done, 1 failed, 2 wrong arguments, 3 the extension answered with\n"
	      "an error, 4 no such bus, extension or policy, 5 timed out, 6 not permitted,\n"
	      "7 the module is not loaded, 8 the replica died, or the call was cancelled.\n"
	      "See symphony(1).\n",
	      to);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < NR(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

/* Before anything can go wrong: what does is said as it is wanted. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "-j") || !strcmp(argv[i], "--json"))
			return true;
	return false;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option known[] = {
		{ "version", no_argument, NULL, 'v' },
		{ }
	};
	const struct command *command;
	int option;

	option = cli_getopt(cli, NULL, argc, argv, known);
	if (option == 'h') {
		help(stdout);
		return CLI_OK;
	}
	if (option == 'v') {
		puts("symphony " CLI_VERSION);
		return CLI_OK;
	}
	if (option == CLI_BAD_OPTION)
		return CLI_USAGE;
	if (optind == argc && !cli->json) {
		help(stderr);
		return CLI_USAGE;
	}
	if (optind == argc)
		return cli_usage(cli, NULL, "give a command");
	command = find(argv[optind]);
	if (!command)
		return cli_usage(cli, NULL, "there is no command \"%s\"", argv[optind]);
	argc -= optind;
	argv += optind;
	/* To begin anew, with another array. */
	optind = 0;
	return command->run(cli, argc, argv);
}

int main(int argc, char **argv)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct cli cli = { .json = wants_json(argc, argv) };
	int status;

	setlocale(LC_CTYPE, "");
	status = run(&cli, argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		sbus_error_set(&error, -EIO, "what was to be printed cannot be written to stdout: %s",
			       strerrordesc_np(errno));
		cli_fail(&cli, &error);
		status = status ? status : CLI_FAILED;
	}
	return status;
}
