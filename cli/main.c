// SPDX-License-Identifier: MIT
/* symphony: look at buses, call extensions, say who gets which call. */
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
	      "  -b, --bus NAME   the bus ($SYMPHONY_BUS, or else symphony)\n"
	      "  -j, --json       print JSON, for programs\n"
	      "  -h, --help       print this; after a command: its arguments\n"
	      "      --version    print the version\n\n"
	      "Exit status: 0 done, 1 failed, 2 wrong arguments, 3 the extension answered with an\n"
	      "error, 4 no such bus, extension or policy, 5 the time was over, 6 not permitted,\n"
	      "7 the module is not loaded, 8 whoever had the call died. See symphony(1).\n",
	      to);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < NR(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int run(int argc, char **argv)
{
	static const struct option known[] = {
		{ "bus", required_argument, NULL, 'b' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ }
	};
	const struct command *command;
	struct cli cli = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "+b:jh", known, NULL)) != -1) {
		switch (option) {
		case 'b':
			cli.bus = optarg;
			break;
		case 'j':
			cli.json = true;
			break;
		case 'h':
			help(stdout);
			return CLI_OK;
		case 'v':
			puts("symphony " CLI_VERSION);
			return CLI_OK;
		default:
			help(stderr);
			return CLI_USAGE;
		}
	}
	if (optind == argc) {
		help(stderr);
		return CLI_USAGE;
	}
	command = find(argv[optind]);
	if (!command) {
		fprintf(stderr, "symphony: there is no command \"%s\": symphony --help lists them\n",
			argv[optind]);
		return CLI_USAGE;
	}
	argc -= optind;
	argv += optind;
	/* To begin anew, with another array. */
	optind = 0;
	return command->run(&cli, argc, argv);
}

int main(int argc, char **argv)
{
	int status;

	setlocale(LC_CTYPE, "");
	status = run(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		perror("symphony: stdout");
		status = status ? status : CLI_FAILED;
	}
	return status;
}
