// SPDX-License-Identifier: MIT
/* The Pit without a device: members, answers, errors, answers that are owed. */
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(pit)
{
	struct sbus_pit *pit;
	struct sbus_member *probe;
	struct sbus_error error;
	struct outcome outcome;
	struct outcome other;
};

FIXTURE_SETUP(pit)
{
	struct outcome empty = OUTCOME_INIT;

	memset(&self->error, 0, sizeof(self->error));
	self->outcome = self->other = empty;
	ASSERT_EQ(0, sbus_pit_new(&self->pit));
	ASSERT_EQ(0, sbus_pit_add(self->pit, &probe, NULL, &self->error));
	ASSERT_EQ(0, sbus_pit_start(self->pit, NULL, &self->error));
	self->probe = sbus_pit_lookup(self->pit, "probe");
	ASSERT_NE(NULL, self->probe);
}

FIXTURE_TEARDOWN(pit)
{
	sbus_pit_unref(self->pit);
	sbus_error_clear(&self->error);
	EXPECT_TRUE(single_threaded());
}

TEST_F(pit, method_answers_at_once_in_the_calling_thread)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"echo\",\"params\":{\"a\":[1,\"x\",null]}}", 0,
			      &self->outcome, NULL));
	EXPECT_EQ(1, self->outcome.count);
	EXPECT_STREQ("{\"a\":[1,\"x\",null]}", self->outcome.text);
	EXPECT_TRUE(pthread_equal(pthread_self(), self->outcome.thread));
}

TEST_F(pit, large_answer_outgrows_the_stack)
{
	char json[3000];
	int len = sprintf(json, "{\"params\":[0");

	while (len < 2900)
		len += sprintf(json + len, ",\"%d\"", len);
	sprintf(json + len, "],\"method\":\"echo\"}");
	EXPECT_EQ(0, pit_call(self->probe, json, 0, &self->outcome, NULL));
	EXPECT_EQ(0, strncmp(self->outcome.text, json + 10, strlen(self->outcome.text)));
	EXPECT_GT(strlen(self->outcome.text), 2800);
}

TEST_F(pit, no_answer_is_null)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"nothing\"}", 0, &self->outcome, NULL));
	EXPECT_EQ(0, self->outcome.error);
	EXPECT_STREQ("null", self->outcome.text);
}

TEST_F(pit, failure_reaches_the_caller_as_an_error)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"fail\",\"params\":5}", 0, &self->outcome,
			      NULL));
	EXPECT_EQ(-EREMOTEIO, self->outcome.error);
	EXPECT_EQ(7, self->outcome.code);
	EXPECT_STREQ("failed as asked", self->outcome.text);
}

TEST_F(pit, errno_of_a_method_is_the_code)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"errno\"}", 0, &self->outcome, NULL));
	EXPECT_EQ(-EREMOTEIO, self->outcome.error);
	EXPECT_EQ(EIO, self->outcome.code);
}

TEST_F(pit, unknown_method_is_named)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"frobnicate\"}", 0, &self->outcome, NULL));
	EXPECT_EQ(SBUS_CODE_METHOD_NOT_FOUND, self->outcome.code);
	EXPECT_NE(NULL, strstr(self->outcome.text, "frobnicate"));
	EXPECT_NE(NULL, strstr(self->outcome.text, "describe"));
}

TEST_F(pit, method_is_not_cut_at_a_nul)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"describe\\u0000x\"}", 0,
			      &self->outcome, NULL));
	EXPECT_EQ(SBUS_CODE_INVALID_REQUEST, self->outcome.code);
}

TEST_F(pit, message_without_method_is_refused)
{
	EXPECT_EQ(0, pit_call(self->probe, "[1,2]", 0, &self->outcome, NULL));
	EXPECT_EQ(SBUS_CODE_INVALID_REQUEST, self->outcome.code);
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":3}", 0, &self->other, NULL));
	EXPECT_EQ(SBUS_CODE_INVALID_REQUEST, self->other.code);
}

TEST_F(pit, describe_tells_the_methods_and_their_schemas)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"describe\"}", 0, &self->outcome, NULL));
	EXPECT_NE(NULL, strstr(self->outcome.text, "\"id\":\"probe\",\"version\":\"1.2\""));
	EXPECT_NE(NULL, strstr(self->outcome.text,
			       "{\"name\":\"echo\",\"summary\":\"gives its params back\",\"params\":{\"type\":\"object\"},\"result\":{}}"));
	EXPECT_NE(NULL, strstr(self->outcome.text, "\"name\":\"describe\""));
}

TEST_F(pit, promise_without_completion_is_an_internal_error)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"broken\"}", 0, &self->outcome, NULL));
	EXPECT_EQ(SBUS_CODE_INTERNAL, self->outcome.code);
}

TEST_F(pit, method_that_defers_may_answer_at_once_all_the_same)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"both\",\"params\":1}", 0, &self->outcome,
			      NULL));
	EXPECT_STREQ("1", self->outcome.text);
	EXPECT_EQ(0, probe_seen.cancelled);
}

TEST_F(pit, missing_parameter_is_named)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"later\",\"params\":{}}", 0, &self->outcome,
			      NULL));
	EXPECT_EQ(SBUS_CODE_INVALID_PARAMS, self->outcome.code);
	EXPECT_STREQ("later: \"ms\" is missing: give an integer", self->outcome.text);
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"later\",\"params\":{\"ms\":\"x\"}}", 0,
			      &self->other, NULL));
	EXPECT_STREQ("later: \"ms\" is a string: give an integer", self->other.text);
}

TEST_F(pit, number_out_of_range_is_told_the_range)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"later\",\"params\":{\"ms\":-1}}", 0,
			      &self->outcome, NULL));
	EXPECT_STREQ("later: \"ms\" has to be an integer from 0 to 10000", self->outcome.text);
}

TEST_F(pit, held_call_is_answered_by_another_method_after_the_mutex_is_released)
{
	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"hold\"}", 0, &self->outcome, NULL));
	EXPECT_EQ(0, self->outcome.count);
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"release\",\"params\":\"go\"}", 0,
			      &self->other, NULL));
	EXPECT_EQ(1, self->outcome.count);
	EXPECT_STREQ("\"go\"", self->outcome.text);
	EXPECT_STREQ("1", self->other.text);
}

TEST_F(pit, held_call_is_answered_from_another_thread)
{
	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"later\",\"params\":{\"ms\":20}}", 0,
					 &self->outcome, NULL));
	EXPECT_EQ(0, outcome_wait(&self->outcome));
	EXPECT_EQ(0, self->outcome.error);
	EXPECT_FALSE(pthread_equal(pthread_self(), self->outcome.thread));
	usleep(20000);
}

TEST_F(pit, timers_answer_held_calls_in_their_order)
{
	uint64_t start = sbus_now();

	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"alarm\",\"params\":{\"ms\":50}}", 0,
					 &self->outcome, NULL));
	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"alarm\",\"params\":{\"ms\":10}}", 0,
					 &self->other, NULL));
	EXPECT_EQ(0, outcome_wait(&self->other));
	EXPECT_EQ(0, outcome_wait(&self->outcome));
	EXPECT_LT(self->other.order, self->outcome.order);
	EXPECT_GE(sbus_now() - start, 50 * MS);
	EXPECT_EQ(0, self->outcome.error);
}

TEST_F(pit, deadline_ends_a_held_call_and_the_member_is_told)
{
	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"hold\"}", sbus_now() + 20 * MS,
					 &self->outcome, NULL));
	EXPECT_EQ(0, outcome_wait(&self->outcome));
	EXPECT_EQ(-ETIMEDOUT, self->outcome.error);
	while (!probe_seen.cancelled)
		usleep(1000);
	EXPECT_EQ(-ETIMEDOUT, probe_seen.reason);
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"release\"}", 0, &self->other, NULL));
	EXPECT_STREQ("0", self->other.text);
	EXPECT_EQ(1, self->outcome.count);
}

TEST_F(pit, answer_after_the_deadline_is_told_to_be_late)
{
	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"later\",\"params\":{\"ms\":60}}",
					 sbus_now() + 10 * MS, &self->outcome, NULL));
	EXPECT_EQ(0, outcome_wait(&self->outcome));
	EXPECT_EQ(-ETIMEDOUT, self->outcome.error);
	while (!probe_seen.late)
		usleep(1000);
	EXPECT_EQ(1, self->outcome.count);
}

TEST_F(pit, cancelled_call_has_one_outcome_and_the_member_is_told)
{
	struct sbus_pending *pending = NULL;

	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"hold\"}", 0, &self->outcome,
					 &pending));
	EXPECT_EQ(0, sbus_pending_cancel(pending));
	EXPECT_EQ(-ECANCELED, self->outcome.error);
	EXPECT_EQ(1, probe_seen.cancelled);
	EXPECT_EQ(-EALREADY, sbus_pending_cancel(pending));
	EXPECT_EQ(1, self->outcome.count);
	sbus_pending_unref(pending);
}

TEST_F(pit, answered_call_cannot_be_cancelled)
{
	struct sbus_pending *pending = NULL;

	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"hold\"}", 0, &self->outcome,
					 &pending));
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"release\"}", 0, &self->other, NULL));
	EXPECT_EQ(-EALREADY, sbus_pending_cancel(pending));
	EXPECT_EQ(0, probe_seen.cancelled);
	EXPECT_EQ(1, self->outcome.count);
	sbus_pending_unref(pending);
}

TEST_F(pit, stop_ends_what_is_owed_and_start_begins_again)
{
	EXPECT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"hold\"}", 0, &self->outcome, NULL));
	sbus_pit_stop(self->pit);
	EXPECT_EQ(-ESHUTDOWN, self->outcome.error);
	EXPECT_EQ(-ESHUTDOWN, probe_seen.reason);
	EXPECT_EQ(1, probe_seen.finis);
	EXPECT_EQ(-ESHUTDOWN, pit_call(self->probe, "{\"method\":\"nothing\"}", 0, &self->other, NULL));
	EXPECT_EQ(0, self->other.count);
	EXPECT_EQ(0, sbus_pit_start(self->pit, NULL, NULL));
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"nothing\"}", 0, &self->other, NULL));
	EXPECT_EQ(2, probe_seen.inits);
}

static void call_again(yyjson_mut_val *result, const struct sbus_error *error, void *userdata)
{
	struct outcome *outcome = userdata;
	struct sbus_member *member = *(struct sbus_member **)outcome->text;

	(void)result;
	(void)error;
	memset(outcome->text, 0, sizeof(outcome->text));
	pit_call(member, "{\"method\":\"echo\",\"params\":\"again\"}", 0, outcome, NULL);
}

TEST_F(pit, sink_may_call_the_same_member)
{
	yyjson_doc *doc = yyjson_read("{\"method\":\"hold\"}", 17, 0);

	memcpy(self->outcome.text, &self->probe, sizeof(self->probe));
	EXPECT_EQ(SBUS_PENDING, sbus_pit_call(self->probe, yyjson_doc_get_root(doc), 0, call_again,
					      &self->outcome, NULL));
	yyjson_doc_free(doc);
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"release\"}", 0, &self->other, NULL));
	EXPECT_STREQ("\"again\"", self->outcome.text);
}

TEST_F(pit, caller_in_this_process_is_endpoint_0_and_can_be_watched)
{
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"who\"}", 0, &self->outcome, NULL));
	EXPECT_NE(NULL, strstr(self->outcome.text, "\"sender\":0,"));
	EXPECT_EQ(0, pit_call(self->probe, "{\"method\":\"watch\"}", 0, &self->other, NULL));
	EXPECT_EQ(0, self->other.error);
}

TEST_F(pit, other_callers_cannot_be_watched_without_a_device)
{
	sbus_member_lock(self->probe);
	EXPECT_EQ(-ENODEV, sbus_member_watch(self->probe, 12345));
	sbus_member_unlock(self->probe);
}

TEST_F(pit, members_are_added_before_the_start_and_once)
{
	EXPECT_EQ(-EBUSY, sbus_pit_add(self->pit, &probe, NULL, &self->error));
	sbus_pit_stop(self->pit);
	EXPECT_EQ(-EEXIST, sbus_pit_add(self->pit, &probe, NULL, &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "\"probe\""));
	EXPECT_EQ(NULL, sbus_pit_lookup(self->pit, "prob"));
	EXPECT_EQ(self->probe, sbus_pit_next(self->pit, NULL));
	EXPECT_EQ(NULL, sbus_pit_next(self->pit, self->probe));
}

#define THREADS 4
#define CALLS 2000

static void *caller(void *arg)
{
	struct sbus_member *member = arg;
	long wrong = 0;

	for (int i = 0; i < CALLS; i++) {
		struct outcome outcome = OUTCOME_INIT;
		struct outcome released = OUTCOME_INIT;

		if (i % 2) {
			wrong += pit_call(member, "{\"method\":\"echo\",\"params\":1}", 0, &outcome,
					  NULL) != 0;
		} else {
			wrong += pit_call(member, "{\"method\":\"hold\"}", sbus_now() + 2000 * MS,
					  &outcome, NULL) != SBUS_PENDING;
			wrong += pit_call(member, "{\"method\":\"release\"}", 0, &released, NULL) != 0;
		}
		wrong += outcome_wait(&outcome) != 0;
		pthread_mutex_lock(&outcome.lock);
		wrong += outcome.count != 1 || outcome.error;
		pthread_mutex_unlock(&outcome.lock);
	}
	return (void *)wrong;
}

TEST_F(pit, threads_call_at_once_and_each_call_has_one_outcome)
{
	pthread_t threads[THREADS];
	void *wrong;

	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, caller, self->probe));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &wrong);
		EXPECT_EQ(NULL, wrong);
	}
}

static void *canceller(void *arg)
{
	usleep(rand() % 200);
	sbus_pending_cancel(arg);
	sbus_pending_unref(arg);
	return NULL;
}

TEST_F(pit, cancel_and_answer_at_once_give_one_outcome)
{
	for (int i = 0; i < 300; i++) {
		struct outcome outcome = OUTCOME_INIT, other = OUTCOME_INIT;
		struct sbus_pending *pending = NULL;
		pthread_t thread;

		ASSERT_EQ(SBUS_PENDING, pit_call(self->probe, "{\"method\":\"hold\"}",
						 sbus_now() + rand() % 400000, &outcome, &pending));
		ASSERT_EQ(0, pthread_create(&thread, NULL, canceller, pending));
		usleep(rand() % 200);
		pit_call(self->probe, "{\"method\":\"release\"}", 0, &other, NULL);
		pthread_join(thread, NULL);
		ASSERT_EQ(0, outcome_wait(&outcome));
		ASSERT_EQ(1, outcome.count);
	}
}

TEST(built_in_members_start_and_describe_themselves)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_member *member = NULL;
	struct sbus_pit *pit;
	int nr = 0;

	ASSERT_EQ(0, sbus_pit_new(&pit));
	ASSERT_EQ(0, sbus_pit_add_builtin(pit, NULL, &error)) TH_LOG("%s", error.message);
	ASSERT_EQ(0, sbus_pit_start(pit, NULL, &error)) TH_LOG("%s", error.message);
	while ((member = sbus_pit_next(pit, member))) {
		struct outcome outcome = OUTCOME_INIT;

		EXPECT_EQ(0, pit_call(member, "{\"method\":\"describe\"}", 0, &outcome, NULL));
		EXPECT_EQ(0, outcome.error);
		nr++;
	}
	EXPECT_LT(0, nr);
	sbus_pit_unref(pit);
}

static int add(struct sbus_error *error, struct symphony_extension extension)
{
	struct sbus_pit *pit;
	int r;

	sbus_pit_new(&pit);
	r = sbus_pit_add(pit, &extension, NULL, error);
	sbus_pit_unref(pit);
	return r;
}

TEST(bad_descriptor_is_refused_and_the_error_says_why)
{
	static const struct symphony_method twice[] = {
		{ .name = "m" }, { }
	};
	struct sbus_error error = SBUS_ERROR_INIT;
	struct symphony_extension extension = probe;

	extension.abi_version = 99;
	EXPECT_EQ(-EPROTONOSUPPORT, add(&error, extension));
	EXPECT_NE(NULL, strstr(error.message, "99"));
	extension = probe;
	extension.size = 8;
	EXPECT_EQ(-EINVAL, add(&error, extension));
	extension = probe;
	extension.name = "Probe!";
	EXPECT_EQ(-EINVAL, add(&error, extension));
	EXPECT_NE(NULL, strstr(error.message, "Probe!"));
	extension = probe;
	extension.methods = NULL;
	EXPECT_EQ(-EINVAL, add(&error, extension));
	extension = probe;
	extension.methods = twice;
	EXPECT_EQ(-EINVAL, add(&error, extension));
	EXPECT_NE(NULL, strstr(error.message, "\"m\" has no function"));
	sbus_error_clear(&error);
}

TEST(methods_are_unique_and_describe_is_reserved)
{
	struct symphony_method methods[] = {
		{ .name = "m", .fn = probe.methods->fn },
		{ .name = "m", .fn = probe.methods->fn },
		{ }
	};
	struct sbus_error error = SBUS_ERROR_INIT;
	struct symphony_extension extension = probe;

	extension.methods = methods;
	EXPECT_EQ(-EINVAL, add(&error, extension));
	EXPECT_NE(NULL, strstr(error.message, "twice"));
	methods[1].name = "describe";
	EXPECT_EQ(-EINVAL, add(&error, extension));
	methods[1].name = "n";
	methods[1].params = "[not json";
	EXPECT_EQ(-EINVAL, add(&error, extension));
	EXPECT_NE(NULL, strstr(error.message, "schema"));
	methods[1].params = NULL;
	EXPECT_EQ(0, add(&error, extension));
	sbus_error_clear(&error);
}

TEST(failed_start_leaves_no_member_started)
{
	struct symphony_extension second = probe;
	struct sbus_error error = SBUS_ERROR_INIT;
	yyjson_doc *config = yyjson_read("{\"refuse\":true}", 15, 0);
	struct sbus_pit *pit;

	second.name = "second";
	ASSERT_EQ(0, sbus_pit_new(&pit));
	ASSERT_EQ(0, sbus_pit_add(pit, &probe, NULL, &error));
	ASSERT_EQ(0, sbus_pit_add(pit, &second, yyjson_doc_get_root(config), &error));
	yyjson_doc_free(config);
	EXPECT_EQ(-EDOM, sbus_pit_start(pit, NULL, &error));
	EXPECT_STREQ("refused as configured", error.message);
	EXPECT_STREQ("second", error.extension);
	EXPECT_EQ(1, probe_seen.inits);
	EXPECT_EQ(1, probe_seen.finis);
	sbus_error_clear(&error);
	sbus_pit_unref(pit);
}

static int nothing(void *self, struct sbus_invocation *inv)
{
	(void)self;
	(void)inv;
	return 0;
}

TEST(configuration_needs_an_init)
{
	static const struct symphony_extension plain = {
		SYMPHONY_EXTENSION_INIT, .name = "plain", .version = "1", .call = nothing,
	};
	yyjson_doc *some = yyjson_read("{}", 2, 0), *none = yyjson_read("null", 4, 0);
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_pit *pit;

	ASSERT_EQ(0, sbus_pit_new(&pit));
	EXPECT_EQ(-EINVAL, sbus_pit_add(pit, &plain, yyjson_doc_get_root(some), &error));
	EXPECT_NE(NULL, strstr(error.message, "\"plain\" takes no configuration"));
	EXPECT_EQ(0, sbus_pit_add(pit, &plain, yyjson_doc_get_root(none), NULL));
	yyjson_doc_free(some);
	yyjson_doc_free(none);
	sbus_error_clear(&error);
	sbus_pit_unref(pit);
}

TEST_HARNESS_MAIN
