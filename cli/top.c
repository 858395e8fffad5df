// SPDX-License-Identifier: MIT
/* symphony top: the services that have most to do, again and again. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "view.h"

#define ALL (SNAPSHOT_BUSES | SNAPSHOT_ENDPOINTS | SNAPSHOT_SERVICES | SNAPSHOT_REPLICAS | \
	     SNAPSHOT_PROGRAMS)

/* Of a terminal: the other screen, no cursor; and back. */
#define SCREEN_BEGIN "\033[?1049h\033[?25l"
#define SCREEN_END "\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H"
#define LINE_END "\033[K\n"
#define SCREEN_REST "\033[J"

struct top {
	const struct cli *cli;
	bool screen;
	bool keys;
	uint64_t delay;
	uint64_t left;		/* times to print, UINT64_MAX: any number */
	struct termios before;
	struct snapshot last;	/* what was printed, and when */
	uint64_t last_time;
	uint64_t time;
};

struct ranked {
	const struct sbus_service_info *service;
	struct view_sum sum;
	double rate;		/* calls that ended, a second; negative: not known */
	double failed;		/* of them without an answer */
};

static int compare(const void *one, const void *two)
{
	const struct ranked *a = one, *b = two;

	if (a->sum.load != b->sum.load)
		return a->sum.load < b->sum.load ? 1 : -1;
	/* As they were: by their names. */
	return (a->service > b->service) - (a->service < b->service);
}

static void add_rates(struct ranked *ranked, const struct top *top)
{
	const struct sbus_service_info *now = ranked->service;
	double seconds = (top->time - top->last_time) / 1e9;

	ranked->rate = ranked->failed = -1;
	for (size_t i = 0; i < top->last.nr_services; i++) {
		const struct sbus_service_info *before = &top->last.services[i];

		if (before->bus_id != now->bus_id || before->handle != now->handle)
			continue;
		ranked->rate = (view_ended(now) - view_ended(before)) / seconds;
		ranked->failed = (view_failed(now) - view_failed(before)) / seconds;
		return;
	}
}

static struct ranked *rank(const struct top *top, const struct snapshot *snapshot)
{
	struct ranked *ranked = calloc(snapshot->nr_services + 1, sizeof(*ranked));

	for (size_t i = 0; ranked && i < snapshot->nr_services; i++) {
		ranked[i].service = &snapshot->services[i];
		ranked[i].sum = view_sum(snapshot, &snapshot->services[i]);
		add_rates(&ranked[i], top);
	}
	if (ranked)
		qsort(ranked, snapshot->nr_services, sizeof(*ranked), compare);
	return ranked;
}

static void rate_cell(struct table *table, double rate)
{
	if (rate < 0)
		table_cell(table, "-");
	else
		table_cell(table, rate < 10 ? "%.1f" : "%.0f", rate);
}

/* --- what is printed ------------------------------------------------------- */

static void print_head(FILE *to, const struct snapshot *snapshot)
{
	uint64_t load = 0, queued = 0, calls = 0;
	time_t now = time(NULL);
	struct tm day;
	char text[32];

	for (size_t i = 0; i < snapshot->nr_endpoints; i++) {
		load += snapshot->endpoints[i].load;
		queued += snapshot->endpoints[i].queued;
		calls += snapshot->endpoints[i].calls;
	}
	localtime_r(&now, &day);
	strftime(text, sizeof(text), "%H:%M:%S", &day);
	fprintf(to, "%s  %zu buses, %zu services, %zu connections\n", text, snapshot->nr_buses,
		snapshot->nr_services, snapshot->nr_endpoints);
	fprintf(to, "requests not answered %" PRIu64 ", messages not received %" PRIu64 ", calls open %" PRIu64 "\n\n",
		load, queued, calls);
}

static void print_services(FILE *to, const struct top *top, const struct snapshot *snapshot,
			   unsigned int width, unsigned int rows)
{
	static const struct column columns[] = {
		{ "SERVICE", COLUMN_SHRINKS, 0 },
		{ "BUS", COLUMN_SHRINKS, 0 },
		{ "REPLICAS", COLUMN_RIGHT, 0 },
		{ "LOAD", COLUMN_RIGHT, 0 },
		{ "QUEUED", COLUMN_RIGHT, 0 },
		{ "RATE/S", COLUMN_RIGHT, 0 },
		{ "FAILED/S", COLUMN_RIGHT, 1 },
		{ "99% BELOW", COLUMN_RIGHT, 2 },
		{ "PARKED", COLUMN_RIGHT, 3 },
		{ "CALLS", COLUMN_RIGHT, 3 },
		{ "POOL", COLUMN_RIGHT, 2 },
		{ "DRAINING", COLUMN_RIGHT, 4 },
		{ "POLICIES", 0, 3 },
		{ "USER", 0, 4 },
		{ "RECOVERY", 0, 4 },
	};
	struct table *table = table_new(columns, NR(columns));
	struct ranked *ranked = rank(top, snapshot);
	size_t nr = ranked ? snapshot->nr_services : 0;

	for (size_t i = 0; i < nr && i < rows; i++) {
		const struct sbus_service_info *service = ranked[i].service;
		const struct view_sum *sum = &ranked[i].sum;
		char time[32];

		table_cell(table, "%s", service->name);
		table_cell(table, "%s", service->bus);
		table_cell(table, "%u", service->nr_replicas);
		table_cell(table, "%" PRIu64, sum->load);
		table_cell(table, "%" PRIu64, sum->queued);
		rate_cell(table, ranked[i].rate);
		rate_cell(table, ranked[i].failed);
		table_cell(table, "%s", view_percentile(time, service->service_times, 99));
		table_cell(table, "%u", service->parked);
		table_cell(table, "%" PRIu64, sum->calls);
		table_cell(table, "%.0f%%", sum->pool_size ? 100. * sum->pool_used / sum->pool_size : 0.);
		table_cell(table, "%u", sum->draining);
		table_cell(table, "%s", view_programs(snapshot, service->bus_id, service->name));
		table_cell(table, "%s", view_user(service->uid));
		table_cell(table, "%s", snapshot_recovery(service));
	}
	table_print(table, to, width);
	table_free(table);
	free(ranked);
}

static void print_line_json(const struct top *top, const struct snapshot *snapshot)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *services;
	struct ranked *ranked = rank(top, snapshot);

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_int(doc, root, "time", time(NULL));
	services = yyjson_mut_obj_add_arr(doc, root, "services");
	for (size_t i = 0; ranked && i < snapshot->nr_services; i++) {
		yyjson_mut_val *object = view_service(doc, snapshot, ranked[i].service);

		if (ranked[i].rate >= 0)
			yyjson_mut_obj_add_real(doc, object, "rate", ranked[i].rate);
		yyjson_mut_arr_add_val(services, object);
	}
	free(ranked);
	cli_print_line(doc);
}

/* In one write, so that nothing flickers; a line is never longer than the screen. */
static void show(const struct top *top, const struct snapshot *snapshot,
		 const struct winsize *size)
{
	char *text = NULL, *line, *rest;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	unsigned int lines = 0;

	if (!to)
		return;
	print_head(to, snapshot);
	print_services(to, top, snapshot, size->ws_col, size->ws_row);
	if (fclose(to)) {
		free(text);
		return;
	}
	fputs(SCREEN_HOME, stdout);
	/* The last line is left empty: to end it would scroll. */
	for (line = text; *line && ++lines < size->ws_row; line = rest + 1) {
		rest = strchr(line, '\n');
		printf("%.*s" LINE_END, (int)(rest - line), line);
	}
	fputs(SCREEN_REST, stdout);
	fflush(stdout);
	free(text);
}

static void print(const struct top *top, const struct snapshot *snapshot)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	if (top->cli->json) {
		print_line_json(top, snapshot);
	} else if (top->screen) {
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
		size.ws_row = size.ws_row ? size.ws_row : 24;
		size.ws_col = size.ws_col ? size.ws_col : 80;
		show(top, snapshot, &size);
	} else {
		print_head(stdout, snapshot);
		print_services(stdout, top, snapshot, cli_width(), UINT32_MAX);
		putchar('\n');
		fflush(stdout);
	}
}

/* --- the terminal ---------------------------------------------------------- */

static void screen_begin(struct top *top)
{
	struct termios raw;

	if (!top->screen)
		return;
	fputs(SCREEN_BEGIN, stdout);
	top->keys = !tcgetattr(STDIN_FILENO, &top->before);
	if (!top->keys)
		return;
	raw = top->before;
	raw.c_lflag &= ~(ICANON | ECHO);
	/* Stopped, it would leave the terminal as it is. */
	raw.c_cc[VSUSP] = _POSIX_VDISABLE;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void screen_end(struct top *top)
{
	if (!top->screen)
		return;
	if (top->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &top->before);
	fputs(SCREEN_END, stdout);
	fflush(stdout);
}

/* Until the next time to print; false: enough. */
static bool pause_for(struct top *top, uint64_t until)
{
	while (top->left) {
		switch (loop_wait(top->keys ? STDIN_FILENO : -1, until)) {
		case LOOP_ENDED:
			return false;
		case LOOP_READABLE: {
			char key;

			if (read(STDIN_FILENO, &key, 1) != 1)
				top->keys = false;
			else if (key == 'q' || key == 'Q')
				return false;
			else if (key == ' ')
				return true;
			break;
		}
		default:
			return true;
		}
	}
	return false;
}

static int watch(struct top *top)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct snapshot snapshot;
	int r;

	/* What fails at once is said on the screen that there is. */
	r = snapshot_take(&snapshot, top->cli->bus, ALL, &error);
	if (r)
		return cli_fail(top->cli, &error);
	loop_begin();
	screen_begin(top);
	for (;;) {
		top->time = sbus_now();
		print(top, &snapshot);
		snapshot_free(&top->last);
		top->last = snapshot;
		top->last_time = top->time;
		if (top->left != UINT64_MAX)
			top->left--;
		if (!pause_for(top, sbus_now() + top->delay))
			break;
		r = snapshot_take(&snapshot, top->cli->bus, ALL, &error);
		if (r)
			break;
	}
	screen_end(top);
	snapshot_free(&top->last);
	return r ? cli_fail(top->cli, &error) : CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option known[] = {
		{ "delay", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'n' },
		{ "plain", no_argument, NULL, 'p' },
		{ }
	};
	struct top top = { .cli = cli, .delay = 1000000000, .left = UINT64_MAX };
	bool plain = false;
	int option;

	while ((option = cli_getopt(cli, &top_command, argc, argv, known)) != -1) {
		if (option == CLI_BAD_OPTION)
			return CLI_USAGE;
		if (option == 'p')
			plain = true;
		if (option == 'd' && !cli_parse_seconds(optarg, &top.delay))
			return cli_usage(cli, &top_command, "--delay %s: give seconds, more than 0", optarg);
		if (option == 'n' && (!cli_parse_u64(optarg, &top.left) || !top.left))
			return cli_usage(cli, &top_command, "--count %s: give a number, at least 1", optarg);
	}
	if (optind < argc)
		return cli_usage(cli, &top_command, "\"%s\" is too much", argv[optind]);
	top.screen = !plain && !cli->json && isatty(STDOUT_FILENO);
	return watch(&top);
}

const struct command top_command = {
	.name = "top",
	.arguments = "[OPTION]...",
	.summary = "show the services with most load first, live",
	.help = "; q ends it,\n"
		"space asks again. It shows all buses that this user may join, or the one that --bus\n"
		"names. With --plain, and where stdout is no terminal, it prints table after table.\n\n"
		"  --delay SECONDS  time from one table to the next (1)\n"
		"  --count N        end after N tables\n"
		"  --plain          print, instead of taking the screen\n",
	.run = run,
};
