/* SPDX-License-Identifier: MIT */
/* What the subcommands of symphony(1) share: options, exit statuses, printing. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <getopt.h>
#include <stdio.h>

#include <symphony/bus.h>

#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* Documented in symphony.1: scripts use them. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_REPLIED_ERROR = 3,	/* the extension answered with an error */
	CLI_NOT_THERE = 4,	/* no such bus, extension, replica, policy */
	CLI_TIMED_OUT = 5,
	CLI_NOT_PERMITTED = 6,
	CLI_NO_MODULE = 7,
	CLI_NO_ANSWER = 8,	/* the replica died, or the call was cancelled */
};

struct cli {
	const char *bus;	/* --bus, or NULL */
	const char *owner;	/* --owner, or NULL */
	bool json;
};

struct command {
	const char *name;
	const char *arguments;	/* a line for each form */
	const char *summary;
	const char *help;	/* its options */
	int (*run)(struct cli *cli, int argc, char **argv);
};

extern const struct command list_command;
extern const struct command stat_command;
extern const struct command top_command;
extern const struct command monitor_command;
extern const struct command call_command;
extern const struct command describe_command;
extern const struct command route_command;
extern const struct command trace_command;
extern const struct command doctor_command;

/*
 * The next of @own or of the options that all commands have, which it takes itself.
 * -1 at the end, CLI_BAD_OPTION after it said what is wrong. --help ends the program.
 * @command: NULL before there is one: then the first argument ends the options
 */
#define CLI_BAD_OPTION '?'
#define CLI_NO_OPTIONS ((const struct option[]){ { } })
int cli_getopt(struct cli *cli, const struct command *command, int argc, char **argv,
	       const struct option *own);
/*
 * All that is said about failures goes through the next few: text for people, or with
 * --json one object on a line of its own, always on stderr.
 */

/* Says what is wrong with the command line. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const struct command *command, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Says what went wrong; the status for it. */
int cli_fail(const struct cli *cli, const struct sbus_error *error);
int cli_status(int error);
int cli_no_memory(const struct cli *cli);
/* Says what is not as it should be, although the command goes on. */
void cli_warn(const struct cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The outcome of a call in a word or two: "answered", "timed out". */
const char *cli_outcome(int status);

/* The bus that is meant where only one can be, as sbus_open() would have it. */
const char *cli_bus_name(const struct cli *cli);
/* Joins it, if it is there. */
int cli_open(const struct cli *cli, struct sbus **bus, struct sbus_error *error);

/* Seconds, as "1.5", in ns. */
bool cli_parse_seconds(const char *text, uint64_t *ns);
bool cli_parse_u64(const char *text, uint64_t *number);
/* The effective capability of <linux/capability.h>. */
bool cli_capable(unsigned int capability);

/* Columns of the terminal that stdout is, 0 when it is none. */
unsigned int cli_width(void);
/* One JSON text and a newline, for people when it is a terminal. Frees @doc. */
int cli_print_doc(const struct cli *cli, yyjson_mut_doc *doc);
/* A member that is null without @text, which is not copied. */
void cli_add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const char *text);
/* The same on a line of its own, at once, for who reads while we go on. Frees @doc. */
void cli_print_line(yyjson_mut_doc *doc);
/* "1.5 ms", in @text. */
const char *cli_duration(char text[32], double ns);
/* @text without what a terminal would take for a command. */
void cli_print_text(FILE *to, const char *text);

#endif
