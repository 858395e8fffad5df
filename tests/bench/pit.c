// SPDX-License-Identifier: MIT
/*
 * A method called through the Pit's host, and the same function called without
 * one: the difference is what the host costs. Once with a method that answers
 * null, once with one that answers a value; without a host the latter has to
 * make and free the document of its answer itself.
 */
#include "bench.h"

#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <symphony/pit.h>

#define ROUNDS	20000

static unsigned int calls, outcomes;

static int nothing(void *self, struct sbus_invocation *inv)
{
	(void)self;
	(void)inv;
	calls++;
	return 0;
}

static int answer(void *self, struct sbus_invocation *inv)
{
	yyjson_mut_doc *doc = sbus_result(inv);

	(void)self;
	if (!doc)
		return -ENOMEM;
	yyjson_mut_doc_set_root(doc, yyjson_mut_uint(doc, calls++));
	return 0;
}

static int answer_directly(void *self, struct sbus_invocation *inv)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	(void)self;
	(void)inv;
	if (!doc)
		return -ENOMEM;
	yyjson_mut_doc_set_root(doc, yyjson_mut_uint(doc, calls++));
	yyjson_mut_doc_free(doc);
	return 0;
}

static const struct symphony_method methods[] = {
	{ .name = "nothing", .fn = nothing },
	{ .name = "answer", .fn = answer },
	{ }
};

static const struct symphony_extension extension = {
	SYMPHONY_EXTENSION_INIT,
	.name = "bench",
	.version = "1",
	.methods = methods,
};

static void count_outcome(yyjson_mut_val *result, const struct sbus_error *error, void *userdata)
{
	bool answered = userdata;

	if (error || !!result != answered ||
	    (answered && yyjson_mut_get_uint(result) + 1 != calls))
		errx(1, "wrong outcome");
	outcomes++;
}

static void through_host(const char *name, struct sbus_member *member, const char *text,
			 void *answered)
{
	yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
	yyjson_val *message = yyjson_doc_get_root(doc);
	uint64_t ns;

	calls = outcomes = 0;
	for (int i = 0; i < BENCH_WARMUP; i++)
		if (sbus_pit_call(member, message, 0, count_outcome, answered, NULL))
			errx(1, "the call failed");
	bench_begin();
	for (int i = 0; i < ROUNDS; i++)
		if (sbus_pit_call(member, message, 0, count_outcome, answered, NULL))
			errx(1, "the call failed");
	ns = bench_end();
	if (calls != outcomes || calls != ROUNDS + BENCH_WARMUP)
		errx(1, "%u calls and %u outcomes", calls, outcomes);
	bench_print(name, "-", ns, ROUNDS);
	yyjson_doc_free(doc);
}

/* By a pointer that the compiler cannot see through, as the host calls it. */
static void directly(const char *name, symphony_method_fn fn)
{
	struct sbus_invocation inv = { .method = "nothing" };
	symphony_method_fn volatile method = fn;
	uint64_t ns;

	for (int i = 0; i < BENCH_WARMUP; i++)
		method(NULL, &inv);
	bench_begin();
	for (int i = 0; i < ROUNDS; i++)
		if (method(NULL, &inv))
			errx(1, "the method failed");
	ns = bench_end();
	bench_print(name, "-", ns, ROUNDS);
}

int main(void)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_member *member;
	struct sbus_pit *pit;

	bench_pin();
	if (sbus_pit_new(&pit) || sbus_pit_add(pit, &extension, NULL, &error) ||
	    sbus_pit_start(pit, NULL, &error))
		errx(1, "%s", sbus_error_message(&error));
	member = sbus_pit_lookup(pit, "bench");

	directly("pit-value-direct", answer_directly);
	through_host("pit-value", member, "{\"method\":\"answer\",\"params\":{}}", &outcomes);
	directly("pit-null-direct", nothing);
	through_host("pit-null", member, "{\"method\":\"nothing\",\"params\":{}}", NULL);
	sbus_pit_unref(pit);
	return 0;
}
