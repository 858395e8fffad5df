// SPDX-License-Identifier: MIT
/* Blocking calls through the device, and answering them. */
#include <linux/symphony.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

FIXTURE(call)
{
	struct server server;
	struct sbus *bus;
	struct sbus_message *reply;
	struct sbus_error error;
};

FIXTURE_SETUP(call)
{
	ASSERT_EQ(0, server_start(&self->server, "echo", 2, 0));
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	self->reply = NULL;
	memset(&self->error, 0, sizeof(self->error));
}

FIXTURE_TEARDOWN(call)
{
	sbus_message_unref(self->reply);
	sbus_error_clear(&self->error);
	sbus_unref(self->bus);
	EXPECT_EQ(0, server_stop(&self->server));
	EXPECT_TRUE(single_threaded());
}

static int call(struct sbus *bus, const char *method, const void *body, size_t len,
		struct sbus_message **reply, struct sbus_error *error)
{
	struct sbus_request request = request_for("echo", method, body, len);

	sbus_message_unref(*reply);
	*reply = NULL;
	return sbus_call(bus, &request, reply, error);
}

#define CALL(method, body) call(self->bus, method, body, strlen(body), &self->reply, &self->error)

static bool answered(struct sbus_message *reply, const char *text)
{
	size_t len;
	const char *body = sbus_message_body(reply, &len);

	return len == strlen(text) && !memcmp(body, text, len);
}

TEST_F(call, answer_is_in_the_pool_and_says_who_sent_it)
{
	ASSERT_EQ(0, CALL("echo", "hello"));
	EXPECT_TRUE(answered(self->reply, "hello"));
	EXPECT_EQ(SBUS_RAW, sbus_message_content(self->reply));
	EXPECT_EQ(sbus_endpoint(self->server.bus), sbus_message_sender(self->reply));
	EXPECT_EQ(getpid(), sbus_message_pid(self->reply));
	EXPECT_EQ(getuid(), sbus_message_uid(self->reply));
	EXPECT_STREQ("echo", sbus_message_extension(self->reply));
	EXPECT_NE(0, sbus_message_id(self->reply));
}

TEST_F(call, empty_body_goes_both_ways)
{
	ASSERT_EQ(0, CALL("echo", ""));
	EXPECT_TRUE(answered(self->reply, ""));
}

TEST_F(call, reply_of_no_interest_is_given_back)
{
	struct sbus_request request = request_for("echo", "echo", "x", 1);

	for (int i = 0; i < 3000; i++)
		ASSERT_EQ(0, sbus_call(self->bus, &request, NULL, &self->error));
}

TEST_F(call, many_sizes_come_back_whole)
{
	static char body[200000];

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = i * 7;
	for (size_t len = 1; len < sizeof(body); len = len * 3 + 1) {
		for (int take = 0; take < 2; take++) {
			struct sbus_request request =
				request_for("echo", take ? "take" : "echo", body, len);
			size_t got;

			request.reply_max = len;
			sbus_message_unref(self->reply);
			self->reply = NULL;
			ASSERT_EQ(0, sbus_call(self->bus, &request, &self->reply, &self->error))
				TH_LOG("%zu: %s", len, self->error.message);
			ASSERT_EQ(0, memcmp(sbus_message_body(self->reply, &got), body, len));
			ASSERT_EQ(len, got);
		}
	}
}

TEST_F(call, error_reply_is_an_error_with_code_message_and_data)
{
	EXPECT_EQ(-EREMOTEIO, CALL("error", ""));
	EXPECT_EQ(NULL, self->reply);
	EXPECT_EQ(5, self->error.code);
	EXPECT_STREQ("error 5 of \"echo\"", self->error.message);
	EXPECT_STREQ("more", yyjson_get_str(yyjson_doc_get_root(self->error.data)));
	EXPECT_STREQ("echo", self->error.extension);
	EXPECT_NE(0, self->error.call);
}

TEST_F(call, error_that_json_cannot_say_is_not_lost)
{
	EXPECT_EQ(-EREMOTEIO, CALL("odd-error", ""));
	EXPECT_EQ(6, self->error.code);
	EXPECT_STREQ("a??????\xe2\x82\xac\xf0\x9f\x8e\xbb", self->error.message);
	EXPECT_EQ(NULL, self->error.data);
}

TEST_F(call, errno_of_a_handler_is_an_error_reply)
{
	EXPECT_EQ(-EREMOTEIO, CALL("errno", ""));
	EXPECT_EQ(EIO, self->error.code);
}

TEST_F(call, dropped_request_is_answered_with_an_error)
{
	EXPECT_EQ(-EREMOTEIO, CALL("drop", ""));
	EXPECT_EQ(SBUS_CODE_INTERNAL, self->error.code);
	ASSERT_EQ(0, CALL("echo", "still there"));
}

TEST_F(call, second_answer_is_refused)
{
	ASSERT_EQ(0, CALL("twice", "1"));
	EXPECT_TRUE(answered(self->reply, "1"));
}

TEST_F(call, kept_request_is_answered_from_another_thread)
{
	struct outcome outcome = OUTCOME_INIT;
	struct sbus_request request = request_for("echo", "keep", "", 0);

	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &outcome, NULL,
				     &self->error));
	server_wait_kept(&self->server, 1);
	EXPECT_EQ(1, server_answer_kept(&self->server, true));
	EXPECT_EQ(1, sbus_wait(self->bus, sbus_now() + 5000 * MS));
	EXPECT_LT(0, sbus_process(self->bus));
	EXPECT_STREQ("kept", outcome.text);
}

TEST_F(call, handler_may_call_while_its_own_answer_waits)
{
	struct server inner;

	ASSERT_EQ(0, server_start(&inner, "inner", 1, 0));
	ASSERT_EQ(0, CALL("call", "inner")) TH_LOG("%s", self->error.message);
	EXPECT_TRUE(answered(self->reply, "inner"));
	EXPECT_EQ(-EREMOTEIO, CALL("call", "nobody"));
	EXPECT_EQ(ENOENT, self->error.code);
	EXPECT_EQ(0, server_stop(&inner));
}

TEST_F(call, parsed_values_and_methods_become_json)
{
	struct sbus_request request = SBUS_REQUEST_INIT("echo");
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *params = yyjson_mut_obj(doc);
	yyjson_val *root;

	yyjson_mut_obj_add_str(doc, params, "a", "\xc3\xa4\"");
	ASSERT_EQ(0, sbus_call_method(self->bus, "echo", "m", params, 0, &self->reply, NULL));
	EXPECT_TRUE(answered(self->reply, "{\"method\":\"m\",\"params\":{\"a\":\"\xc3\xa4\\\"\"}}"));
	EXPECT_EQ(-EMEDIUMTYPE, sbus_message_json(self->reply, &root, &self->error));
	sbus_message_unref(self->reply);
	ASSERT_EQ(0, sbus_call_mut(self->bus, "echo", params, 0, &self->reply, NULL));
	EXPECT_TRUE(answered(self->reply, "{\"a\":\"\xc3\xa4\\\"\"}"));
	yyjson_mut_doc_free(doc);
	(void)request;
}

TEST_F(call, value_that_is_no_json_is_refused)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	EXPECT_EQ(-EILSEQ, sbus_call_mut(self->bus, "echo", yyjson_mut_str(doc, "\xff"), 0,
					 &self->reply, &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "UTF-8"));
	yyjson_mut_doc_free(doc);
}

TEST_F(call, unknown_extension_is_named_in_the_error)
{
	EXPECT_EQ(-ENOENT, sbus_call_json(self->bus, "nobody", "1", 1, 0, &self->reply, &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "\"nobody\""));
	EXPECT_TRUE(self->error.retry_safe);
	EXPECT_STREQ("nobody", self->error.extension);
	EXPECT_EQ(-EINVAL, sbus_call_json(self->bus, "No Body", "1", 1, 0, NULL, &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "\"No Body\""));
}

TEST_F(call, extension_without_replica_is_refused_and_comes_back)
{
	ASSERT_EQ(0, CALL("echo", "1"));
	ASSERT_EQ(0, sbus_unclaim(self->server.bus, "echo"));
	EXPECT_EQ(-ECONNREFUSED, CALL("echo", "2"));
	EXPECT_NE(NULL, strstr(self->error.message, "no replica of \"echo\""));
	EXPECT_TRUE(self->error.retry_safe);
	EXPECT_EQ(-ENOENT, sbus_unclaim(self->server.bus, "echo"));
	ASSERT_EQ(0, sbus_claim(self->server.bus, "echo", NULL));
	EXPECT_EQ(-EALREADY, sbus_claim(self->server.bus, "echo", &self->error));
	EXPECT_EQ(0, CALL("echo", "3"));
}

TEST_F(call, timeout_and_deadline_end_a_call)
{
	struct sbus_request request = request_for("echo", "keep", "", 0);
	uint64_t start = sbus_now();

	request.timeout = 30 * MS;
	request.deadline = start + 60000 * MS;
	EXPECT_EQ(-ETIMEDOUT, sbus_call(self->bus, &request, &self->reply, &self->error));
	EXPECT_GE(sbus_now() - start, 30 * MS);
	EXPECT_NE(0, self->error.call);
	EXPECT_FALSE(self->error.retry_safe);
	EXPECT_NE(NULL, strstr(self->error.message, "may still do the work"));
	request.timeout = 60000 * MS;
	request.deadline = sbus_now() + 30 * MS;
	EXPECT_EQ(-ETIMEDOUT, sbus_call(self->bus, &request, &self->reply, &self->error));
	request.deadline = 1;
	EXPECT_GT(0, sbus_call(self->bus, &request, &self->reply, &self->error));
	EXPECT_TRUE(self->error.error == -ETIME || self->error.error == -ETIMEDOUT);
	EXPECT_TRUE(self->error.retry_safe);
	server_wait_kept(&self->server, 2);
	EXPECT_EQ(2, server_answer_kept(&self->server, true));
	ASSERT_EQ(0, CALL("echo", "and on"));
}

static void hear_length(struct sbus_message *reply, const struct sbus_error *error,
			void *userdata)
{
	int *lengths = userdata;
	size_t len = 0;

	if (!error)
		sbus_message_body(reply, &len);
	lengths[len == 60000]++;
}

/* However the answer is sent: within the handler, from its pieces, in a batch, corked. */
TEST_F(call, answer_larger_than_the_room_for_it_comes_in_a_file)
{
	struct sbus_request requests[] = {
		request_for("few", "big", "60000", 5), request_for("few", "echo", NULL, 60000),
		request_for("few", "iov", NULL, 60000), request_for("few", "take", NULL, 60000),
	};
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .pool_size = SYMPHONY_POOL_MIN,
	};
	char *body = calloc(1, 60000);
	struct server server;
	struct sbus *bus;
	size_t len;

	ASSERT_EQ(0, server_start_batch(&server, "few", 1, 0, 16));
	ASSERT_EQ(0, sbus_open(&bus, &params, &self->error));
	for (size_t i = 0; i < 4; i++) {
		struct sbus_message *reply;
		int lengths[2] = { };

		if (i)
			requests[i].body = body;
		for (int n = 0; n < 3; n++) {
			ASSERT_EQ(0, sbus_call(bus, &requests[i], &reply, &self->error))
				TH_LOG("%zu: %s", i, self->error.message);
			sbus_message_body(reply, &len);
			EXPECT_EQ(60000, len);
			sbus_message_unref(reply);
		}
		for (int n = 0; n < 20; n++)
			ASSERT_EQ(0, sbus_call_async(bus, &requests[i], hear_length, lengths, NULL,
						     &self->error));
		while (lengths[0] + lengths[1] < 20 && sbus_wait(bus, sbus_now() + 8000 * MS) > 0)
			sbus_process(bus);
		EXPECT_EQ(20, lengths[1]) TH_LOG("%zu", i);
	}
	sbus_unref(bus);
	EXPECT_EQ(0, server_stop(&server));
	free(body);
}

TEST_F(call, answer_too_large_says_what_would_do)
{
	struct sbus_request request = request_for("plain", "big", "200000", 6);
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .pool_size = 128 << 10,
	};
	struct server server;
	struct sbus *bus;

	server_sealed_min = UINT32_MAX;
	ASSERT_EQ(0, server_start(&server, "plain", 1, 0));
	ASSERT_EQ(0, sbus_open(&bus, &params, &self->error));
	EXPECT_EQ(-EMSGSIZE, sbus_call(bus, &request, NULL, &self->error));
	EXPECT_FALSE(self->error.retry_safe);
	EXPECT_EQ(200000, self->error.needed);
	EXPECT_NE(NULL, strstr(self->error.message, "reply_max = 200000"));
	request.body = "50000";
	request.body_len = 5;
	EXPECT_EQ(0, sbus_call(bus, &request, NULL, &self->error));
	sbus_unref(bus);
	EXPECT_EQ(0, server_stop(&server));
}

TEST_F(call, body_too_large_is_refused)
{
	size_t len = 64 << 20;
	char *body = calloc(1, len);
	struct sbus_request request = request_for("echo", "echo", body, len);
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .sealed_min = UINT32_MAX,
	};
	struct sbus *bus;

	ASSERT_EQ(0, sbus_open(&bus, &params, &self->error));
	EXPECT_EQ(-EMSGSIZE, sbus_call(bus, &request, &self->reply, &self->error));
	EXPECT_EQ(0, self->error.call);
	sbus_unref(bus);
	free(body);
}

struct cancelled {
	struct sbus *bus;
	struct sbus_cancel *cancel;
	int result;
};

static void *call_to_cancel(void *arg)
{
	struct cancelled *cancelled = arg;
	struct sbus_request request = request_for("echo", "keep", "", 0);

	request.cancel = cancelled->cancel;
	cancelled->result = sbus_call(cancelled->bus, &request, NULL, NULL);
	return NULL;
}

TEST_F(call, another_thread_cancels_a_call)
{
	for (int i = 0; i < 100; i++) {
		struct cancelled cancelled = { .bus = self->bus, .result = 1 };
		pthread_t thread;

		ASSERT_EQ(0, sbus_cancel_new(&cancelled.cancel));
		ASSERT_EQ(0, pthread_create(&thread, NULL, call_to_cancel, &cancelled));
		usleep(rand() % 500);
		sbus_cancel_trigger(cancelled.cancel);
		pthread_join(thread, NULL);
		ASSERT_EQ(-ECANCELED, cancelled.result);
		sbus_cancel_unref(cancelled.cancel);
	}
	ASSERT_EQ(0, CALL("echo", "and on"));
}

static atomic_int interruptions;

static void on_signal(int signal)
{
	(void)signal;
}

static int interrupted(void *data)
{
	return ++interruptions < *(int *)data ? 0 : -EINTR;
}

static void *interrupt(void *arg)
{
	for (int i = 0; i < 200 && !pthread_kill(*(pthread_t *)arg, SIGUSR1); i++)
		usleep(5000);
	return NULL;
}

TEST_F(call, signal_asks_whether_to_wait_on)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct sbus_request request = request_for("echo", "keep", "", 0);
	pthread_t me = pthread_self(), thread;
	int most = 3;

	sigaction(SIGUSR1, &action, NULL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, interrupt, &me));
	request.interrupted = interrupted;
	request.interrupted_data = &most;
	EXPECT_EQ(-EINTR, sbus_call(self->bus, &request, &self->reply, &self->error));
	EXPECT_EQ(3, interruptions);
	request = request_for("echo", "echo", "x", 1);
	for (int i = 0; i < 2000; i++)
		ASSERT_EQ(0, sbus_call(self->bus, &request, NULL, &self->error));
	pthread_join(thread, NULL);
	/* None, when three signals were faster than the request. */
	EXPECT_GE(1, server_answer_kept(&self->server, true));
}

TEST_F(call, killed_replica_is_an_outcome)
{
	struct sbus_request request = request_for("victim", "hold", "{\"method\":\"hold\"}", 17);
	struct outcome outcomes[100];
	int status, told = 0;
	pid_t pid = serve_child(self->bus, "victim", "--threads", "2", NULL);

	ASSERT_LT(0, pid);
	request.content_type = SBUS_JSON;
	for (int i = 0; i < 100; i++) {
		outcomes[i] = (struct outcome)OUTCOME_INIT;
		ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &outcomes[i],
					     NULL, &self->error));
	}
	usleep(20000);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (told < 100 && sbus_wait(self->bus, sbus_now() + 5000 * MS) > 0) {
		ASSERT_LE(0, sbus_process(self->bus));
		told = 0;
		for (int i = 0; i < 100; i++)
			told += outcomes[i].count;
	}
	EXPECT_EQ(0, sbus_process(self->bus));
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(1, outcomes[i].count);
		ASSERT_TRUE(outcomes[i].error == -ECONNRESET ||
			    outcomes[i].error == -ECONNABORTED);
		ASSERT_EQ(outcomes[i].error == -ECONNABORTED, outcomes[i].retry_safe);
	}
	EXPECT_EQ(-ECONNREFUSED, sbus_call(self->bus, &request, NULL, &self->error));
}

TEST_F(call, forked_child_may_not_use_the_connection)
{
	struct sbus_request request = request_for("echo", "echo", "x", 1);
	int status;
	pid_t pid;

	ASSERT_EQ(0, CALL("echo", "x"));
	pid = fork();
	if (!pid)
		_exit(-sbus_call(self->bus, &request, NULL, NULL));
	waitpid(pid, &status, 0);
	EXPECT_EQ(EPERM, WEXITSTATUS(status));
	ASSERT_EQ(0, CALL("echo", "x"));
}

TEST_F(call, closed_connection_refuses)
{
	ASSERT_EQ(0, CALL("echo", "body"));
	sbus_close(self->bus);
	EXPECT_TRUE(answered(self->reply, "body"));
	EXPECT_EQ(-ESHUTDOWN, call(self->bus, "echo", "", 0, &(struct sbus_message *){ NULL },
				   &self->error));
	EXPECT_EQ(-ESHUTDOWN, sbus_process(self->bus));
}

static void *call_many(void *arg)
{
	struct sbus_request request = SBUS_REQUEST_INIT("echo");
	char text[64];
	long wrong = 0;

	for (int i = 0; i < 1000; i++) {
		struct sbus_message *reply = NULL;

		request.body_len = sprintf(text, "%p %d", (void *)pthread_self(), i);
		request.body = text;
		wrong += sbus_call(arg, &request, &reply, NULL) || !answered(reply, text);
		sbus_message_unref(reply);
	}
	return (void *)wrong;
}

TEST_F(call, threads_share_a_connection)
{
	pthread_t threads[4];
	void *wrong;

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, call_many, self->bus));
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		EXPECT_EQ(NULL, wrong);
	}
}

TEST_HARNESS_MAIN
