// SPDX-License-Identifier: MIT
/* symphony monitor: what happens on the buses, as it happens. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <symphony/control.h>

#include "cli.h"
#include "loop.h"
#include "monitor_calls.h"
#include "snapshot.h"

struct monitor {
	const struct cli *cli;
	uint64_t left;		/* events to tell, UINT64_MAX: any number */
};

static const char *event_name(uint32_t type)
{
	static const char *const names[] = {
		[SBUS_EVENT_BUS_ADDED] = "bus-added",
		[SBUS_EVENT_BUS_GONE] = "bus-gone",
		[SBUS_EVENT_ENDPOINT_JOINED] = "joined",
		[SBUS_EVENT_ENDPOINT_DIED] = "died",
		[SBUS_EVENT_CLAIMED] = "claimed",
		[SBUS_EVENT_UNCLAIMED] = "unclaimed",
		[SBUS_EVENT_PROGRAM_ATTACHED] = "policy-attached",
		[SBUS_EVENT_PROGRAM_REPLACED] = "policy-replaced",
		[SBUS_EVENT_PROGRAM_DETACHED] = "policy-detached",
		[SBUS_EVENT_PROGRAM_DISABLED] = "policy-disabled",
	};

	return type < NR(names) && names[type] ? names[type] : "unknown";
}

static const char *bus_of(const struct sbus_event *event)
{
	return event->bus ? event->bus->name : event->endpoint ? event->endpoint->bus :
	       event->replica ? event->replica->bus : event->program ? event->program->bus : "";
}

void monitor_print_time(void)
{
	struct timespec now;
	struct tm day;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &day);
	strftime(text, sizeof(text), "%H:%M:%S", &day);
	printf("%s.%06ld ", text, now.tv_nsec / 1000);
}

static void print(const struct sbus_event *event)
{
	monitor_print_time();
	printf("%-16s bus=%s", event_name(event->type), bus_of(event));
	if (event->bus)
		printf(" uid=%u mode=%04o", event->bus->uid, event->bus->mode);
	if (event->endpoint)
		printf(" endpoint=%" PRIu64 " uid=%u", event->endpoint->id, event->endpoint->uid);
	if (event->replica)
		printf(" service=%s endpoint=%" PRIu64 "%s", event->replica->service,
		       event->replica->endpoint, event->activator ? " as=activator" : "");
	if (event->program) {
		printf(" service=%s hook=%s", event->program->service ? event->program->service : "*",
		       snapshot_hook(event->program->hook));
		if (event->program->closed)
			printf(" calls=refused");
		if (event->program->disabled)
			printf(" because=\"%s\"", event->program->disabled);
	}
	putchar('\n');
	fflush(stdout);
}

static void print_json(const struct sbus_event *event)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_real(doc, root, "time", now.tv_sec + now.tv_nsec / 1e9);
	yyjson_mut_obj_add_str(doc, root, "event", event_name(event->type));
	yyjson_mut_obj_add_str(doc, root, "bus", bus_of(event));
	if (event->bus) {
		yyjson_mut_obj_add_uint(doc, root, "uid", event->bus->uid);
		yyjson_mut_obj_add_uint(doc, root, "mode", event->bus->mode);
	}
	if (event->endpoint) {
		yyjson_mut_obj_add_uint(doc, root, "endpoint", event->endpoint->id);
		yyjson_mut_obj_add_uint(doc, root, "uid", event->endpoint->uid);
	}
	if (event->replica) {
		yyjson_mut_obj_add_str(doc, root, "service", event->replica->service);
		yyjson_mut_obj_add_uint(doc, root, "endpoint", event->replica->endpoint);
		yyjson_mut_obj_add_bool(doc, root, "activator", event->activator);
	}
	if (event->program) {
		cli_add_text(doc, root, "service", event->program->service);
		yyjson_mut_obj_add_str(doc, root, "hook", snapshot_hook(event->program->hook));
		yyjson_mut_obj_add_bool(doc, root, "closed", event->program->closed);
		cli_add_text(doc, root, "disabled", event->program->disabled);
	}
	cli_print_line(doc);
}

static int take(const struct sbus_event *event, void *userdata)
{
	struct monitor *monitor = userdata;
	const char *bus = monitor->cli->bus;

	if (bus && strcmp(bus, bus_of(event)))
		return 0;
	if (monitor->cli->json)
		print_json(event);
	else
		print(event);
	if (monitor->left != UINT64_MAX)
		monitor->left--;
	return monitor->left ? 0 : -ECANCELED;
}

static int listen(struct monitor *monitor, uint64_t until)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_monitor *events;
	enum loop_event event;
	int r;

	r = sbus_monitor_open(&events, &error);
	if (r)
		return cli_fail(monitor->cli, &error);
	loop_begin();
	r = 0;
	while (r >= 0 && monitor->left) {
		event = loop_wait(sbus_monitor_get_fd(events), until);
		if (event == LOOP_ENDED || event == LOOP_TIME)
			break;
		r = event == LOOP_READABLE ? sbus_monitor_process(events, take, monitor) : 0;
		if (r == -ENOBUFS) {
			cli_warn(monitor->cli, "events were lost: list anew what there is");
			r = 0;
		}
	}
	sbus_monitor_close(events);
	if (r >= 0 || !monitor->left)
		return CLI_OK;
	sbus_error_set(&error, r, "the kernel tells of no more events: %s", strerrordesc_np(-r));
	return cli_fail(monitor->cli, &error);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option known[] = {
		{ "calls", no_argument, NULL, 'c' },
		{ "count", required_argument, NULL, 'n' },
		{ "duration", required_argument, NULL, 'd' },
		{ }
	};
	struct monitor monitor = { .cli = cli, .left = UINT64_MAX };
	uint64_t time = 0, until;
	bool calls = false;
	int option;

	while ((option = cli_getopt(cli, &monitor_command, argc, argv, known)) != -1) {
		if (option == CLI_BAD_OPTION)
			return CLI_USAGE;
		if (option == 'c')
			calls = true;
		if (option == 'n' && (!cli_parse_u64(optarg, &monitor.left) || !monitor.left))
			return cli_usage(cli, &monitor_command, "--count %s: give a number, at least 1", optarg);
		if (option == 'd' && !cli_parse_seconds(optarg, &time))
			return cli_usage(cli, &monitor_command, "--duration %s: give seconds, more than 0", optarg);
	}
	if (argc - optind > (calls ? 1 : 0))
		return cli_usage(cli, &monitor_command, "\"%s\" is too much", argv[argc - 1]);
	until = time ? sbus_now() + time : 0;
	if (calls)
		return monitor_calls(cli, optind < argc ? argv[optind] : NULL, monitor.left, until);
	return listen(&monitor, until);
}

const struct command monitor_command = {
	.name = "monitor",
	.arguments = "[OPTION]...\n[OPTION]... --calls [ID]",
	.summary = "print what happens on the buses, as it happens",
	.help = ":\n"
		"endpoints that join and die, claims, policies; on all buses, or the one that --bus\n"
		"names. It needs CAP_NET_ADMIN. With --json each event is a line of JSON.\n\n"
		"  --calls             print the calls of one bus, or of one service of it, instead:\n"
		"                      caller, replica, time and outcome, no bodies. It needs root\n"
		"  --count N           end after N lines\n"
		"  --duration SECONDS  end after that time\n",
	.run = run,
};
