// SPDX-License-Identifier: MIT
/* Requests that nobody waits for any more: how their server learns of it. */
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

/* The extension "busy": its handler looks whether it was cancelled until it was. */
struct busy {
	struct sbus *bus;
	pthread_t thread;
	unsigned int threads;
	atomic_int inside;
	atomic_int reason;
	atomic_bool stop;
	/* what the connection was told */
	atomic_int notices;
	atomic_int last_reason;
	atomic_ullong last_call;
};

static struct busy busy;

static int busy_handle(struct sbus_message *request, void *userdata)
{
	int reason;

	(void)userdata;
	if (sbus_message_method(request) != sbus_method_id("look"))
		return sbus_reply_raw(request, "", 0);
	busy.inside++;
	do {
		reason = sbus_message_cancelled(request);
		usleep(1000);
	} while (!reason && !busy.stop);
	busy.reason = reason;
	busy.inside--;
	/* Reaches nobody, and hurts nobody. */
	return sbus_reply_raw(request, "late", 4);
}

static void busy_notice(const struct sbus_notice *notice, void *userdata)
{
	(void)userdata;
	if (notice->type != SBUS_NOTICE_CANCELLED || strcmp(notice->extension, "busy"))
		return;
	busy.last_reason = notice->reason;
	busy.last_call = notice->call;
	busy.notices++;
}

static void *busy_main(void *arg)
{
	struct sbus_serve_params params = { .size = sizeof(params), .threads = busy.threads };

	(void)arg;
	sbus_serve(busy.bus, &params, NULL);
	return NULL;
}

static int busy_start(unsigned int threads)
{
	int r;

	memset(&busy, 0, sizeof(busy));
	busy.threads = threads;
	busy.bus = test_open();
	sbus_set_handler(busy.bus, busy_handle, NULL);
	sbus_set_notice_handler(busy.bus, busy_notice, NULL);
	r = sbus_claim(busy.bus, "busy", NULL);
	return r ? r : -pthread_create(&busy.thread, NULL, busy_main, NULL);
}

static void busy_end(void)
{
	busy.stop = true;
	sbus_stop(busy.bus);
	pthread_join(busy.thread, NULL);
	sbus_unref(busy.bus);
}

FIXTURE(cancelled)
{
	struct sbus *bus;
	struct server server;
	struct outcome outcome;
	struct sbus_slot *slot;
};

FIXTURE_SETUP(cancelled)
{
	self->outcome = (struct outcome)OUTCOME_INIT;
	self->slot = NULL;
	ASSERT_EQ(0, server_start(&self->server, "keeper", 1, 0));
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
}

FIXTURE_TEARDOWN(cancelled)
{
	sbus_slot_unref(self->slot);
	EXPECT_EQ(0, server_stop(&self->server));
	sbus_unref(self->bus);
	EXPECT_TRUE(single_threaded());
}

static int begin(struct _test_data_cancelled *self, const char *id, const char *method,
		 uint64_t timeout)
{
	struct sbus_request request = request_for(id, method, "", 0);

	request.timeout = timeout;
	return sbus_call_async(self->bus, &request, outcome_reply, &self->outcome, &self->slot,
			       NULL);
}

static int wait_cancelled(const struct sbus_message *request)
{
	int reason;

	while (!(reason = sbus_message_cancelled(request)))
		usleep(1000);
	return reason;
}

static struct sbus_message *kept(struct _test_data_cancelled *self)
{
	server_wait_kept(&self->server, 1);
	return self->server.kept[0];
}

TEST_F(cancelled, kept_request_says_that_the_caller_gave_up)
{
	ASSERT_EQ(0, begin(self, "keeper", "keep", 0));
	EXPECT_EQ(0, sbus_message_cancelled(kept(self)));
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	EXPECT_EQ(-ECANCELED, wait_cancelled(kept(self)));
	EXPECT_EQ(-ESRCH, sbus_reply_raw(kept(self), "late", 4));
	EXPECT_EQ(-EALREADY, sbus_reply_raw(kept(self), "late", 4));
	EXPECT_EQ(-ECANCELED, sbus_message_cancelled(kept(self)));
}

TEST_F(cancelled, kept_request_says_that_the_deadline_passed)
{
	ASSERT_EQ(0, begin(self, "keeper", "keep", 700 * MS));
	EXPECT_EQ(-ETIMEDOUT, wait_cancelled(kept(self)));
}

TEST_F(cancelled, kept_request_says_that_the_caller_died)
{
	ASSERT_EQ(0, begin(self, "keeper", "keep", 0));
	kept(self);
	self->slot = sbus_slot_unref(self->slot);
	self->bus = sbus_unref(self->bus);
	/* Until the notice is received it is only known that nobody waits. */
	while (wait_cancelled(kept(self)) != -ECONNRESET)
		usleep(1000);
}

TEST_F(cancelled, answered_request_is_not_cancelled)
{
	struct sbus_message *request;

	ASSERT_EQ(0, begin(self, "keeper", "keep", 0));
	request = sbus_message_ref(kept(self));
	EXPECT_EQ(1, server_answer_kept(&self->server, true));
	/* Fails or does nothing: there is an answer. */
	sbus_slot_cancel(self->slot);
	ASSERT_EQ(0, sbus_call_raw(self->bus, "keeper", "", 0, 0, NULL, NULL));
	EXPECT_EQ(0, sbus_message_cancelled(request));
	sbus_message_unref(request);
}

TEST_F(cancelled, running_handler_sees_it_when_another_thread_receives)
{
	ASSERT_EQ(0, busy_start(2));
	ASSERT_EQ(0, begin(self, "busy", "look", 0));
	while (!busy.inside)
		usleep(1000);
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	while (busy.inside)
		usleep(1000);
	EXPECT_EQ(-ECANCELED, busy.reason);
	busy_end();
}

TEST_F(cancelled, handler_finds_its_own_among_many)
{
	struct sbus_request request = request_for("busy", "look", "", 0);
	static struct outcome other = OUTCOME_INIT;
	struct sbus_slot *slot;

	ASSERT_EQ(0, busy_start(3));
	ASSERT_EQ(0, begin(self, "busy", "look", 0));
	while (busy.inside < 1)
		usleep(1000);
	for (int i = 0; i < 200; i++) {
		int notices = busy.notices;

		ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &other, &slot,
					     NULL));
		while (busy.inside < 2)
			usleep(100);
		EXPECT_EQ(0, sbus_slot_cancel(slot));
		sbus_slot_unref(slot);
		while (busy.inside > 1 || busy.notices == notices)
			usleep(100);
		ASSERT_EQ(-ECANCELED, busy.reason);
	}
	busy.reason = 0;
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	while (busy.inside)
		usleep(1000);
	EXPECT_EQ(-ECANCELED, busy.reason);
	busy_end();
}

TEST_F(cancelled, only_thread_can_ask_in_its_handler)
{
	ASSERT_EQ(0, busy_start(1));
	ASSERT_EQ(0, begin(self, "busy", "look", 0));
	while (!busy.inside)
		usleep(1000);
	usleep(50000);
	EXPECT_EQ(1, busy.inside);
	EXPECT_EQ(0, sbus_slot_cancel(self->slot));
	while (busy.inside)
		usleep(1000);
	EXPECT_EQ(-ECANCELED, busy.reason);
	/* Told it is afterwards. */
	while (!busy.notices)
		usleep(1000);
	EXPECT_EQ(-ECANCELED, busy.last_reason);
	busy_end();
}

TEST_F(cancelled, connection_is_told_which_call_and_why)
{
	struct sbus_request request = request_for("busy", "look", "", 0);
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;

	ASSERT_EQ(0, busy_start(2));
	request.timeout = 700 * MS;
	EXPECT_EQ(-ETIMEDOUT, sbus_call(self->bus, &request, NULL, &error));
	while (!busy.notices)
		usleep(1000);
	EXPECT_EQ(error.call, busy.last_call);
	EXPECT_EQ(-ETIMEDOUT, busy.last_reason);
	EXPECT_EQ(1, busy.notices);
	/* And serves on. */
	EXPECT_EQ(0, sbus_call_raw(self->bus, "busy", "", 0, 0, NULL, NULL));
	EXPECT_EQ(1, busy.notices);
	busy_end();
}

TEST_HARNESS_MAIN
