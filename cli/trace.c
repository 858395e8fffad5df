// SPDX-License-Identifier: MIT
/* symphony trace: where the time of calls goes. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "calls.h"
#include "cli.h"
#include "loop.h"

#define BAR 40

static const struct {
	const char *name;
	const char *text;
} stages[CALLS_NR_STAGES] = {
	[CALLS_QUEUE] = { "queue", "in the queue until it is received" },
	[CALLS_SERVICE] = { "service", "from received until the end" },
	[CALLS_TOTAL] = { "total", "from made until the end" },
};

struct outcome {
	struct calls_outcome_key key;
	uint64_t count;
};

struct results {
	const char *bus;
	double seconds;
	struct outcome *outcomes;	/* sorted by service */
	size_t nr;
};

/* --- what was counted ------------------------------------------------------ */

static int compare(const void *one, const void *two)
{
	const struct outcome *a = one, *b = two;
	int r = strcmp(a->key.service.text, b->key.service.text);

	/* Answers first. */
	return r ? r : (a->key.status < b->key.status) - (a->key.status > b->key.status);
}

static void read_outcomes(const struct calls *calls, struct results *results)
{
	int map = calls_outcomes_map(calls);
	struct calls_outcome_key key, *last = NULL;

	while (!bpf_map_get_next_key(map, last, &key)) {
		struct outcome *at = reallocarray(results->outcomes, results->nr + 1, sizeof(*at));

		if (!at)
			break;
		results->outcomes = at;
		at[results->nr].key = key;
		if (!bpf_map_lookup_elem(map, &key, &at[results->nr].count))
			results->nr++;
		last = &key;
	}
	if (results->nr)
		qsort(results->outcomes, results->nr, sizeof(*results->outcomes), compare);
}

static bool read_times(const struct calls *calls, const union calls_name *service,
		       enum calls_stage stage, struct calls_times *times)
{
	const struct calls_times_key key = { .service = *service, .stage = stage };

	return !bpf_map_lookup_elem(calls_times_map(calls), &key, times);
}

static const char *outcome_name(int64_t status)
{
	const char *name = strerrorname_np(-status);

	return !status ? "answered" : name ? name : "?";
}

/* --- as a picture ---------------------------------------------------------- */

/* The end of the bucket in which the part of @percent ends. */
static uint64_t percentile(const struct calls_times *times, unsigned int percent)
{
	uint64_t count = 0;

	for (int i = 0; i < CALLS_BUCKETS; i++) {
		count += times->buckets[i];
		if (count * 100 >= times->count * percent)
			return 2ULL << i;
	}
	return times->max;
}

static void print_buckets(const struct calls_times *times)
{
	int first = 0, last = CALLS_BUCKETS - 1;
	uint64_t most = 1;

	while (first < last && !times->buckets[first])
		first++;
	while (last > first && !times->buckets[last])
		last--;
	for (int i = first; i <= last; i++)
		most = times->buckets[i] > most ? times->buckets[i] : most;
	for (int i = first; i <= last; i++) {
		char from[32], to[32];
		int len = (times->buckets[i] * BAR + most - 1) / most;

		printf("  %8s - %8s %10" PRIu64 " |", cli_duration(from, 1ULL << i),
		       cli_duration(to, 2ULL << i), (uint64_t)times->buckets[i]);
		for (int j = 0; j < len; j++)
			putchar('#');
		putchar('\n');
	}
}

static void print_stage(const struct calls *calls, const union calls_name *service,
			enum calls_stage stage)
{
	char mean[32], half[32], most[32], max[32];
	struct calls_times times;

	if (!read_times(calls, service, stage, &times) || !times.count)
		return;
	printf("\n %s: %s\n", stages[stage].name, stages[stage].text);
	printf("  mean %s, half below %s, 99 %% below %s, longest %s\n",
	       cli_duration(mean, (double)times.sum / times.count),
	       cli_duration(half, percentile(&times, 50)), cli_duration(most, percentile(&times, 99)),
	       cli_duration(max, times.max));
	print_buckets(&times);
}

/* Those of one service, from @at on; returns how many. */
static size_t same_service(const struct results *results, size_t at)
{
	size_t nr = 1;

	while (at + nr < results->nr && !strcmp(results->outcomes[at].key.service.text,
						results->outcomes[at + nr].key.service.text))
		nr++;
	return nr;
}

static void print_results(const struct calls *calls, const struct results *results)
{
	for (size_t at = 0, nr; at < results->nr; at += nr) {
		const struct outcome *outcome = &results->outcomes[at];
		uint64_t sum = 0;

		nr = same_service(results, at);
		for (size_t i = 0; i < nr; i++)
			sum += outcome[i].count;
		printf("%s%s on bus %s: %" PRIu64 " calls in %.1f s:", at ? "\n" : "",
		       *outcome->key.service.text ? outcome->key.service.text : "(no service)",
		       results->bus, sum, results->seconds);
		for (size_t i = 0; i < nr; i++)
			printf("%s %" PRIu64 " %s", i ? "," : "", outcome[i].count,
			       cli_outcome(outcome[i].key.status));
		putchar('\n');
		for (int stage = 0; stage < CALLS_NR_STAGES; stage++)
			print_stage(calls, &outcome->key.service, stage);
	}
	if (!results->nr)
		printf("no call ended on bus %s in %.1f s\n", results->bus, results->seconds);
}

/* --- as JSON --------------------------------------------------------------- */

static void add_stage(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct calls *calls,
		      const union calls_name *service, enum calls_stage stage)
{
	yyjson_mut_val *inner, *buckets, *bucket;
	struct calls_times times = { 0 };

	read_times(calls, service, stage, &times);
	inner = yyjson_mut_obj_add_obj(doc, object, stages[stage].name);
	yyjson_mut_obj_add_uint(doc, inner, "count", times.count);
	yyjson_mut_obj_add_uint(doc, inner, "sum_ns", times.sum);
	yyjson_mut_obj_add_uint(doc, inner, "max_ns", times.max);
	buckets = yyjson_mut_obj_add_arr(doc, inner, "buckets");
	for (int i = 0; i < CALLS_BUCKETS; i++) {
		if (!times.buckets[i])
			continue;
		bucket = yyjson_mut_arr_add_obj(doc, buckets);
		yyjson_mut_obj_add_uint(doc, bucket, "from_ns", 1ULL << i);
		yyjson_mut_obj_add_uint(doc, bucket, "below_ns", 2ULL << i);
		yyjson_mut_obj_add_uint(doc, bucket, "count", times.buckets[i]);
	}
}

static int print_json(const struct cli *cli, const struct calls *calls,
		      const struct results *results)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_arr(doc), *object, *outcomes, *inner;

	yyjson_mut_doc_set_root(doc, root);
	for (size_t at = 0, nr; at < results->nr; at += nr) {
		const struct outcome *outcome = &results->outcomes[at];

		nr = same_service(results, at);
		object = yyjson_mut_arr_add_obj(doc, root);
		yyjson_mut_obj_add_str(doc, object, "bus", results->bus);
		yyjson_mut_obj_add_str(doc, object, "service", outcome->key.service.text);
		yyjson_mut_obj_add_real(doc, object, "seconds", results->seconds);
		outcomes = yyjson_mut_obj_add_obj(doc, object, "outcomes");
		for (size_t i = 0; i < nr; i++)
			yyjson_mut_obj_add_uint(doc, outcomes, outcome_name(outcome[i].key.status),
						outcome[i].count);
		inner = yyjson_mut_obj_add_obj(doc, object, "stages");
		for (int stage = 0; stage < CALLS_NR_STAGES; stage++)
			add_stage(doc, inner, calls, &outcome->key.service, stage);
	}
	return cli_print_doc(cli, doc);
}

/* --- the command ----------------------------------------------------------- */

static int trace(struct cli *cli, const char *service, uint64_t time)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct results results = { .bus = cli_bus_name(cli) };
	struct calls *calls;
	uint64_t start;
	int r;

	r = calls_open(&calls, results.bus, service, false, &error);
	if (r)
		return cli_fail(cli, &error);
	loop_begin();
	start = sbus_now();
	if (!cli->json)
		fprintf(stderr, "symphony: watching the calls of %s%sbus %s; end with Ctrl-C\n",
			service ? service : "", service ? " on " : "", results.bus);
	while (loop_wait(-1, time ? start + time : 0) == LOOP_RESIZED)
		;
	results.seconds = (sbus_now() - start) / 1e9;
	read_outcomes(calls, &results);
	r = CLI_OK;
	if (cli->json)
		r = print_json(cli, calls, &results);
	else
		print_results(calls, &results);
	free(results.outcomes);
	calls_close(calls);
	return r;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option known[] = {
		{ "duration", required_argument, NULL, 'd' },
		{ }
	};
	uint64_t time = 0;
	int option;

	while ((option = cli_getopt(cli, &trace_command, argc, argv, known)) != -1) {
		if (option == CLI_BAD_OPTION)
			return CLI_USAGE;
		if (!cli_parse_seconds(optarg, &time))
			return cli_usage(cli, &trace_command, "--duration %s: give seconds, more than 0", optarg);
	}
	if (argc - optind > 1)
		return cli_usage(cli, &trace_command, "\"%s\" is too much", argv[optind + 1]);
	return trace(cli, optind < argc ? argv[optind] : NULL, time);
}

const struct command trace_command = {
	.name = "trace",
	.arguments = "[--duration SECONDS] [ID]",
	.summary = "measure where the time of calls goes, as root",
	.help = ", by\n"
		"service and stage, until Ctrl-C. Without an ID it measures all services of the bus.\n\n"
		"  --duration SECONDS  end after that time\n",
	.run = run,
};
