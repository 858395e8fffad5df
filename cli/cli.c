// SPDX-License-Identifier: MIT
/* What the subcommands share: options, exit statuses, printing. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

/* --- options -------------------------------------------------------------- */

static void print_help(const struct command *command)
{
	const char *form = command->arguments;

	printf("Usage:\n");
	do {
		size_t len = strcspn(form, "\n");

		printf("  symphony %s%s%.*s\n", command->name, len ? " " : "", (int)len, form);
		form += len + (form[len] == '\n');
	} while (*form);
	printf("%s%s", command->summary, command->help);
	printf("\n  -b, --bus NAME   the bus ($SYMPHONY_BUS, or else symphony-UID)\n"
	       "      --owner UID  whose bus it is, if it is another user's; or \"any\"\n"
	       "  -j, --json       print JSON, for programs\n");
}

#define OWNER 256	/* has no letter */

/* What getopt_long() stumbled over: all of a long option, or a letter. */
static int bad_option(const struct cli *cli, const struct command *command, char **argv,
		      const struct option *known, const char *problem)
{
	char letter[3] = { '-', optopt, 0 };
	bool long_one = !optopt;

	/* One that is known can be wrong only in its value, and then all of it was read. */
	for (; known->name && !long_one; known++)
		long_one = known->val == optopt;
	cli_usage(cli, command, "\"%s\" %s", long_one ? argv[optind - 1] : letter, problem);
	return CLI_BAD_OPTION;
}

int cli_getopt(struct cli *cli, const struct command *command, int argc, char **argv,
	       const struct option *own)
{
	struct option known[32] = {
		{ "bus", required_argument, NULL, 'b' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "owner", required_argument, NULL, OWNER },
	};
	struct sbus_params params = { .size = sizeof(params) };
	int option;

	for (size_t i = 4; i + 1 < NR(known) && own->name; i++)
		known[i] = *own++;
	opterr = 0;
	while ((option = getopt_long(argc, argv, command ? ":b:jh" : "+:b:jh", known, NULL)) != -1) {
		switch (option) {
		case 'b':
			cli->bus = optarg;
			break;
		case OWNER:
			if (sbus_owner_parse(optarg, &params)) {
				cli_usage(cli, command, "--owner %s: give a uid, or any", optarg);
				return CLI_BAD_OPTION;
			}
			cli->owner = optarg;
			break;
		case 'j':
			cli->json = true;
			break;
		case 'h':
			if (!command)
				return option;
			print_help(command);
			exit(fflush(stdout) ? CLI_FAILED : CLI_OK);
		case ':':
			return bad_option(cli, command, argv, known, "needs a value");
		case '?':
			return bad_option(cli, command, argv, known, "is not an option");
		default:
			return option;
		}
	}
	return -1;
}

bool cli_parse_seconds(const char *text, uint64_t *ns)
{
	double seconds;
	char *end;

	errno = 0;
	seconds = strtod(text, &end);
	if (end == text || *end || errno || !isfinite(seconds) || seconds <= 0 || seconds > 1e9)
		return false;
	*ns = seconds * 1e9;
	/* Less than that is not 0, which is for ever. */
	if (!*ns)
		*ns = 1;
	return true;
}

bool cli_parse_u64(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	/* A 0 in front does not make it octal. */
	*number = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* --- failing -------------------------------------------------------------- */

int cli_status(int error)
{
	switch (-error) {
	case 0:
		return CLI_OK;
	case EINVAL:
		return CLI_USAGE;
	case EREMOTEIO:
		return CLI_REPLIED_ERROR;
	case ENOENT:
	case ECONNREFUSED:
	case ESRCH:
		return CLI_NOT_THERE;
	case ETIMEDOUT:
	case ETIME:
		return CLI_TIMED_OUT;
	case EPERM:
	case EACCES:
		return CLI_NOT_PERMITTED;
	case ENODEV:
		return CLI_NO_MODULE;
	case ECONNRESET:
	case ECONNABORTED:
	case ECANCELED:
		return CLI_NO_ANSWER;
	default:
		return CLI_FAILED;
	}
}

/* One line on stderr. Frees @doc. */
static void print_problem(yyjson_mut_doc *doc)
{
	char *text = yyjson_mut_write(doc, 0, NULL);

	fprintf(stderr, "%s\n", text ? text : "{\"error\":{}}");
	free(text);
	yyjson_mut_doc_free(doc);
}

static void print_error_json(const struct sbus_error *error, int status)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *inner = yyjson_mut_obj(doc);
	const char *name = strerrorname_np(-error->error);

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_val(doc, root, "error", inner);
	yyjson_mut_obj_add_int(doc, inner, "status", status);
	yyjson_mut_obj_add_int(doc, inner, "errno", -error->error);
	if (name)
		yyjson_mut_obj_add_str(doc, inner, "name", name);
	yyjson_mut_obj_add_str(doc, inner, "message", sbus_error_message(error));
	if (error->retry_safe)
		yyjson_mut_obj_add_true(doc, inner, "retry_safe");
	if (error->error == -EREMOTEIO) {
		yyjson_mut_obj_add_int(doc, inner, "code", error->code);
		if (error->data)
			yyjson_mut_obj_add_val(doc, inner, "data",
				yyjson_val_mut_copy(doc, yyjson_doc_get_root(error->data)));
	}
	print_problem(doc);
}

static void print_error(const struct sbus_error *error)
{
	fputs("symphony: ", stderr);
	if (error->error == -EREMOTEIO)
		fprintf(stderr, "\"%s\" answered with error %lld: ", error->extension,
			(long long)error->code);
	cli_print_text(stderr, sbus_error_message(error));
	fputc('\n', stderr);
	if (error->data) {
		char *text = yyjson_write(error->data, YYJSON_WRITE_ESCAPE_UNICODE, NULL);

		fprintf(stderr, "symphony: its data: %s\n", text ? text : "");
		free(text);
	}
}

static int fail(const struct cli *cli, const struct sbus_error *error, int status)
{
	/* What was printed before comes before. */
	fflush(stdout);
	if (cli->json)
		print_error_json(error, status);
	else
		print_error(error);
	return status;
}

int cli_fail(const struct cli *cli, const struct sbus_error *error)
{
	return fail(cli, error, cli_status(error->error));
}

int cli_usage(const struct cli *cli, const struct command *command, const char *format, ...)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	const char *name = command ? command->name : "";
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sbus_error_set(&error, -EINVAL, "%s%s%s; see symphony %s%s--help", name,
		       command ? ": " : "", text, name, command ? " " : "");
	return fail(cli, &error, CLI_USAGE);
}

void cli_warn(const struct cli *cli, const char *format, ...)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fflush(stdout);
	if (!cli->json) {
		fprintf(stderr, "symphony: %s\n", text);
		return;
	}
	doc = yyjson_mut_doc_new(NULL);
	root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, yyjson_mut_obj_add_obj(doc, root, "warning"), "message", text);
	print_problem(doc);
}

const char *cli_outcome(int status)
{
	const char *name;

	switch (-status) {
	case 0:
		return "answered";
	case ECONNRESET:
		return "replica died";
	case ECONNABORTED:
		return "replica died before it had the call";
	case ETIMEDOUT:
		return "timed out";
	case ETIME:
		return "timed out before a replica had it";
	case ECANCELED:
		return "cancelled";
	case ECONNREFUSED:
		return "no replica";
	case EMSGSIZE:
		return "answer too large";
	default:
		name = strerrordesc_np(-status);
		return name ? name : "unknown";
	}
}

int cli_no_memory(const struct cli *cli)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;

	sbus_error_set(&error, -ENOMEM, "out of memory");
	return cli_fail(cli, &error);
}

/* --- the bus -------------------------------------------------------------- */

static struct sbus_params params_of(const struct cli *cli)
{
	struct sbus_params params = { .size = sizeof(params), .bus = cli->bus };

	if (cli->owner)
		sbus_owner_parse(cli->owner, &params);
	return params;
}

const char *cli_bus_name(const struct cli *cli)
{
	static char name[SBUS_NAME_MAX + 1];
	const struct sbus_params params = params_of(cli);

	return cli->bus ? cli->bus : sbus_bus_name(&params, name);
}

int cli_open(const struct cli *cli, struct sbus **bus, struct sbus_error *error)
{
	const struct sbus_params params = params_of(cli);

	return sbus_open(bus, &params, error);
}

bool cli_capable(unsigned int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	return !syscall(SYS_capget, &header, data) &&
	       data[capability / 32].effective & 1U << capability % 32;
}

/* --- printing ------------------------------------------------------------- */

unsigned int cli_width(void)
{
	struct winsize size = { 0 };

	if (!isatty(STDOUT_FILENO))
		return 0;
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	return size.ws_col ? size.ws_col : 80;
}

/* C1 controls, which in UTF-8 are two bytes: how many at @text. */
static bool is_c1(const unsigned char *text)
{
	return text[0] == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0;
}

void cli_print_text(FILE *to, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	for (; *at; at++) {
		if (is_c1(at)) {
			fputc('?', to);
			at++;
		} else {
			fputc((*at < ' ' && *at != '\n' && *at != '\t') || *at == 0x7f ? '?' : *at, to);
		}
	}
}

/* The writer escapes the other controls. Those of strings are the only ones there are. */
static void print_json(const char *json)
{
	const unsigned char *at = (const unsigned char *)json;

	for (; *at; at++) {
		if (is_c1(at) || *at == 0x7f)
			printf("\\u%04X", is_c1(at) ? *++at : *at);
		else
			putchar(*at);
	}
	putchar('\n');
}

int cli_print_doc(const struct cli *cli, yyjson_mut_doc *doc)
{
	bool people = isatty(STDOUT_FILENO);
	char *text = yyjson_mut_write(doc, people ? YYJSON_WRITE_PRETTY_TWO_SPACES : 0, NULL);

	yyjson_mut_doc_free(doc);
	if (!text)
		return cli_no_memory(cli);
	if (people)
		print_json(text);
	else
		puts(text);
	free(text);
	return CLI_OK;
}

void cli_add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const char *text)
{
	if (text)
		yyjson_mut_obj_add_str(doc, object, key, text);
	else
		yyjson_mut_obj_add_null(doc, object, key);
}

void cli_print_line(yyjson_mut_doc *doc)
{
	char *text = yyjson_mut_write(doc, 0, NULL);

	yyjson_mut_doc_free(doc);
	if (text)
		puts(text);
	fflush(stdout);
	free(text);
}

const char *cli_duration(char text[32], double ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	size_t unit = 0;

	for (; ns >= 1000 && unit + 1 < NR(units); unit++)
		ns /= 1000;
	snprintf(text, 32, ns < 10 ? "%.1f %s" : "%.0f %s", ns, units[unit]);
	return text;
}
