// SPDX-License-Identifier: MIT
/* The Pit's members called from other processes, and processes of one extension. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

FIXTURE(pit_serve)
{
	struct sbus_pit *pit;
	struct sbus *served;
	struct sbus *bus;
	struct sbus_message *reply;
	struct sbus_error error;
};

FIXTURE_SETUP(pit_serve)
{
	memset(&self->error, 0, sizeof(self->error));
	self->reply = NULL;
	self->served = test_open();
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	ASSERT_EQ(0, sbus_pit_new(&self->pit));
	ASSERT_EQ(0, sbus_pit_add(self->pit, &probe, NULL, &self->error));
	EXPECT_EQ(-EINVAL, sbus_pit_serve(self->pit, self->served, 0, NULL));
	ASSERT_EQ(0, sbus_pit_start(self->pit, NULL, &self->error));
	ASSERT_EQ(0, sbus_pit_serve(self->pit, self->served, 2, &self->error))
		TH_LOG("%s", self->error.message);
}

FIXTURE_TEARDOWN(pit_serve)
{
	sbus_message_unref(self->reply);
	sbus_error_clear(&self->error);
	sbus_unref(self->bus);
	sbus_pit_unref(self->pit);
	sbus_unref(self->served);
	EXPECT_TRUE(single_threaded());
}

static int call(struct sbus *bus, const char *json, struct sbus_message **reply,
		struct sbus_error *error)
{
	sbus_message_unref(*reply);
	*reply = NULL;
	return sbus_call_json(bus, "probe", json, strlen(json), 0, reply, error);
}

#define CALL(json) call(self->bus, json, &self->reply, &self->error)

static bool answered(struct sbus_message *reply, const char *text)
{
	size_t len;
	const char *body = sbus_message_body(reply, &len);

	return len == strlen(text) && !memcmp(body, text, len);
}

TEST_F(pit_serve, member_answers_other_processes_with_parsed_values)
{
	yyjson_val *root;

	ASSERT_EQ(0, CALL("{\"method\":\"echo\",\"params\":[1,{\"a\":2.5}]}"))
		TH_LOG("%s", self->error.message);
	EXPECT_TRUE(answered(self->reply, "[1,{\"a\":2.5}]"));
	ASSERT_EQ(0, sbus_message_json(self->reply, &root, NULL));
	EXPECT_EQ(2, yyjson_arr_size(root));
}

TEST_F(pit_serve, caller_is_who_the_kernel_says)
{
	char text[128];

	ASSERT_EQ(0, CALL("{\"method\":\"who\"}"));
	sprintf(text, "{\"sender\":%llu,\"pid\":%d,\"uid\":%d,\"gid\":%d,\"deadline\":false}",
		(unsigned long long)sbus_endpoint(self->bus), getpid(), getuid(), getgid());
	EXPECT_TRUE(answered(self->reply, text));
}

TEST_F(pit_serve, error_reply_has_code_message_and_data)
{
	EXPECT_EQ(-EREMOTEIO, CALL("{\"method\":\"fail\",\"params\":{\"why\":1}}"));
	EXPECT_EQ(7, self->error.code);
	EXPECT_STREQ("failed as asked", self->error.message);
	EXPECT_EQ(1, yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(self->error.data), "why")));
}

TEST_F(pit_serve, body_that_is_not_json_is_refused)
{
	EXPECT_EQ(-EREMOTEIO, CALL("{\"method\":"));
	EXPECT_EQ(SBUS_CODE_PARSE, self->error.code);
	EXPECT_EQ(-EREMOTEIO, sbus_call_raw(self->bus, "probe", "1", 1, 0, NULL, &self->error));
	EXPECT_EQ(SBUS_CODE_INVALID_REQUEST, self->error.code);
}

TEST_F(pit_serve, held_call_is_answered_later)
{
	struct outcome outcome = OUTCOME_INIT;

	ASSERT_EQ(0, CALL("{\"method\":\"later\",\"params\":{\"ms\":20}}"));
	EXPECT_TRUE(answered(self->reply, "null"));
	ASSERT_EQ(0, CALL("{\"method\":\"alarm\",\"params\":{\"ms\":20}}"));
	EXPECT_TRUE(answered(self->reply, "null"));
	EXPECT_EQ(0, pit_call(sbus_pit_lookup(self->pit, "probe"), "{\"method\":\"echo\"}", 0,
			      &outcome, NULL));
}

TEST_F(pit_serve, members_can_be_called_in_process_at_the_same_time)
{
	struct sbus_request request = SBUS_REQUEST_INIT("probe");
	static struct outcome remote = OUTCOME_INIT;
	struct outcome local = OUTCOME_INIT;

	request.content_type = SBUS_JSON;
	request.body = "{\"method\":\"hold\"}";
	request.body_len = 17;
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &remote, NULL, NULL));
	while (!local.count || !strcmp(local.text, "0")) {
		local.count = 0;
		usleep(1000);
		ASSERT_EQ(0, pit_call(sbus_pit_lookup(self->pit, "probe"),
				      "{\"method\":\"release\",\"params\":[3]}", 0, &local, NULL));
	}
	EXPECT_STREQ("1", local.text);
	EXPECT_EQ(1, sbus_wait(self->bus, sbus_now() + 5000 * MS));
	sbus_process(self->bus);
	EXPECT_STREQ("[3]", remote.text);
}

TEST_F(pit_serve, deadline_of_the_caller_ends_what_is_owed)
{
	EXPECT_EQ(-ETIMEDOUT, sbus_call_json(self->bus, "probe", "{\"method\":\"hold\"}", 17, 500 * MS,
					     NULL, &self->error))
		TH_LOG("%s", self->error.message);
	for (int i = 0; i < 2000 && !probe_seen.cancelled; i++)
		usleep(1000);
	EXPECT_EQ(1, probe_seen.cancelled);
	EXPECT_EQ(-ETIMEDOUT, probe_seen.reason);
}

TEST_F(pit_serve, caller_that_gives_up_cancels_what_is_owed)
{
	struct sbus_request request = SBUS_REQUEST_INIT("probe");
	static struct outcome remote = OUTCOME_INIT;
	struct sbus_slot *slot;

	request.content_type = SBUS_JSON;
	request.body = "{\"method\":\"hold\"}";
	request.body_len = 17;
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &remote, &slot, NULL));
	while (!probe_seen.held)
		usleep(1000);
	EXPECT_EQ(0, sbus_slot_cancel(slot));
	sbus_slot_unref(slot);
	while (!probe_seen.cancelled)
		usleep(1000);
	EXPECT_EQ(-ECANCELED, probe_seen.reason);
	ASSERT_EQ(0, CALL("{\"method\":\"release\"}"));
	EXPECT_TRUE(answered(self->reply, "0"));
	EXPECT_EQ(1, probe_seen.cancelled);
}

TEST_F(pit_serve, death_of_a_caller_cancels_what_is_owed_and_is_told)
{
	struct sbus_request request = SBUS_REQUEST_INIT("probe");
	static struct outcome remote = OUTCOME_INIT;
	uint64_t endpoint = sbus_endpoint(self->bus);

	ASSERT_EQ(0, CALL("{\"method\":\"watch\"}")) TH_LOG("%s", self->error.message);
	ASSERT_EQ(0, CALL("{\"method\":\"watch\"}"));
	request.content_type = SBUS_JSON;
	request.body = "{\"method\":\"hold\"}";
	request.body_len = 17;
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &remote, NULL, NULL));
	usleep(50000);
	sbus_message_unref(self->reply);
	self->reply = NULL;
	self->bus = sbus_unref(self->bus);
	for (int i = 0; i < 2000 && (!probe_seen.cancelled || !probe_seen.gone); i++)
		usleep(1000);
	EXPECT_EQ(1, probe_seen.cancelled);
	EXPECT_EQ(-ECONNRESET, probe_seen.reason);
	EXPECT_EQ(1, probe_seen.gone);
	EXPECT_EQ(endpoint, probe_seen.endpoint);
}

TEST_F(pit_serve, stop_ends_remote_calls_with_an_error_and_frees_the_id)
{
	struct sbus_request request = SBUS_REQUEST_INIT("probe");
	static struct outcome remote = OUTCOME_INIT;

	request.content_type = SBUS_JSON;
	request.body = "{\"method\":\"hold\"}";
	request.body_len = 17;
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &remote, NULL, NULL));
	usleep(50000);
	sbus_pit_stop(self->pit);
	EXPECT_EQ(1, sbus_wait(self->bus, sbus_now() + 5000 * MS));
	sbus_process(self->bus);
	EXPECT_EQ(1, remote.count);
	EXPECT_NE(0, remote.error);
	EXPECT_EQ(-ECONNREFUSED, CALL("{\"method\":\"echo\"}"));
	ASSERT_EQ(0, sbus_pit_start(self->pit, NULL, &self->error));
	ASSERT_EQ(0, sbus_pit_serve(self->pit, self->served, 1, &self->error));
	EXPECT_EQ(-EBUSY, sbus_pit_serve(self->pit, self->served, 1, &self->error));
	EXPECT_EQ(0, CALL("{\"method\":\"echo\"}"));
}

TEST_F(pit_serve, process_of_one_extension_serves_and_ends_with_sigterm)
{
	struct sbus_message *reply = NULL;
	pid_t pid = serve_child(self->bus, "child", "--threads", "2", NULL);

	ASSERT_LT(0, pid);
	EXPECT_EQ(0, sbus_call_json(self->bus, "child", "{\"method\":\"echo\",\"params\":7}", 28, 0,
				    &reply, &self->error));
	EXPECT_TRUE(answered(reply, "7"));
	EXPECT_EQ(pid, sbus_message_pid(reply));
	sbus_message_unref(reply);
	EXPECT_EQ(0, stop_child(pid));
	EXPECT_EQ(-ECONNREFUSED, sbus_call_json(self->bus, "child", "1", 1, 0, NULL, NULL));
}

TEST_F(pit_serve, two_replicas_share_the_calls)
{
	pid_t a = serve_child(self->bus, "pair", NULL);
	pid_t b = serve_child(self->bus, "pair", NULL);
	int of_a = 0, of_b = 0;

	ASSERT_LT(0, a);
	ASSERT_LT(0, b);
	for (int i = 0; i < 200 && (!of_a || !of_b); i++) {
		struct sbus_message *reply = NULL;

		ASSERT_EQ(0, sbus_call_json(self->bus, "pair", "{\"method\":\"nothing\"}", 20, 0,
					    &reply, &self->error));
		if (sbus_message_pid(reply) == a)
			of_a++;
		else
			of_b++;
		sbus_message_unref(reply);
		usleep(2000);
	}
	EXPECT_LT(0, of_a);
	EXPECT_LT(0, of_b);
	EXPECT_EQ(0, stop_child(a));
	EXPECT_EQ(0, stop_child(b));
}

static int main_status(const char *option, const char *value)
{
	const char *argv[] = { "probe", option, value, NULL };
	pid_t pid = run_probe(argv, true);
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(options_of_an_extension_process)
{
	EXPECT_EQ(0, main_status("--help", NULL));
	EXPECT_EQ(0, main_status("--describe", NULL));
	EXPECT_EQ(2, main_status("--frobnicate", NULL));
	EXPECT_EQ(2, main_status("extra", NULL));
	EXPECT_EQ(2, main_status("--threads", "0"));
	EXPECT_EQ(1, main_status("--config", "{"));
	EXPECT_EQ(1, main_status("--id", "No Id"));
	EXPECT_EQ(1, main_status("--bus", "No Bus"));
}

TEST_HARNESS_MAIN
