// SPDX-License-Identifier: MIT
/* Asynchronous calls: order, waiting for room, cancelling, closing. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

FIXTURE(async)
{
	struct server server;
	struct sbus *bus;
	struct sbus_error error;
};

FIXTURE_SETUP(async)
{
	ASSERT_EQ(0, server_start(&self->server, "echo", 1, 64 << 10));
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	memset(&self->error, 0, sizeof(self->error));
}

FIXTURE_TEARDOWN(async)
{
	sbus_error_clear(&self->error);
	sbus_unref(self->bus);
	EXPECT_EQ(0, server_stop(&self->server));
}

struct count {
	struct sbus *bus;
	int told, errors, last, disordered, again;
};

static void count(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct count *count = userdata;
	size_t len;
	int nr;

	count->told++;
	if (error) {
		count->errors++;
		return;
	}
	nr = strtol((const char *)sbus_message_body(reply, &len), NULL, 10);
	if (nr < count->last)
		count->disordered++;
	count->last = nr;
}

/* Processes until @told outcomes came or nothing happens for long. */
static void process_until(struct sbus *bus, int *told, int nr)
{
	while (*told < nr && sbus_wait(bus, sbus_now() + 8000 * MS) > 0)
		if (sbus_process(bus) < 0)
			break;
}

static int send_numbers(struct sbus *bus, const char *method, int nr, size_t len,
			sbus_reply_fn fn, void *userdata, struct sbus_error *error)
{
	char *body = malloc(len);
	int r = 0;

	memset(body, ' ', len);
	for (int i = 0; i < nr && !r; i++) {
		struct sbus_request request = request_for("echo", method, body, len);

		sprintf(body, "%d", i);
		request.reply_max = len;
		r = sbus_call_async(bus, &request, fn, userdata, NULL, error);
	}
	free(body);
	return r;
}

TEST_F(async, thousand_calls_in_flight_come_back_in_order)
{
	struct count counted = { .last = -1 };

	ASSERT_EQ(0, send_numbers(self->bus, "echo", 1000, 16, count, &counted, &self->error))
		TH_LOG("%s", self->error.message);
	process_until(self->bus, &counted.told, 1000);
	EXPECT_EQ(1000, counted.told);
	EXPECT_EQ(0, counted.errors);
	EXPECT_EQ(0, counted.disordered);
	EXPECT_EQ(UINT64_MAX, sbus_get_timeout(self->bus));
}

TEST_F(async, calls_wait_for_room_and_keep_their_order)
{
	struct count counted = { .last = -1 };

	ASSERT_EQ(0, send_numbers(self->bus, "echo", 500, 20000, count, &counted, &self->error))
		TH_LOG("%s", self->error.message);
	EXPECT_NE(UINT64_MAX, sbus_get_timeout(self->bus));
	process_until(self->bus, &counted.told, 500);
	EXPECT_EQ(500, counted.told);
	EXPECT_EQ(0, counted.errors);
	EXPECT_EQ(0, counted.disordered);
}

TEST_F(async, call_goes_on_when_others_make_room)
{
	struct count counted = { .last = -1 }, others = { .last = -1 };
	struct sbus *other = test_open();

	ASSERT_EQ(0, send_numbers(other, "keep", 4, 8000, count, &others, NULL));
	server_wait_kept(&self->server, 2);
	ASSERT_EQ(0, send_numbers(self->bus, "echo", 1, 30000, count, &counted, &self->error));
	/* The kernel is going to tell: there is no hurry. */
	EXPECT_LT(sbus_now() + 300 * MS, sbus_get_timeout(self->bus));
	EXPECT_NE(UINT64_MAX, sbus_get_timeout(self->bus));
	while (others.told < 4) {
		server_answer_kept(&self->server, true);
		sbus_wait(other, sbus_now() + 10 * MS);
		sbus_process(other);
	}
	process_until(self->bus, &counted.told, 1);
	EXPECT_EQ(1, counted.told);
	EXPECT_EQ(0, counted.errors);
	sbus_unref(other);
}

TEST_F(async, descriptor_is_readable_when_there_is_an_outcome)
{
	struct pollfd pollfd = { .fd = sbus_get_fd(self->bus), .events = sbus_get_events(self->bus) };
	struct count counted = { .last = -1 };

	EXPECT_EQ(0, poll(&pollfd, 1, 0));
	ASSERT_EQ(0, send_numbers(self->bus, "echo", 1, 16, count, &counted, &self->error));
	EXPECT_EQ(1, poll(&pollfd, 1, 5000));
	EXPECT_EQ(1, sbus_process(self->bus));
	EXPECT_EQ(1, counted.told);
	EXPECT_EQ(0, poll(&pollfd, 1, 0));
	EXPECT_EQ(0, sbus_process(self->bus));
}

TEST_F(async, error_reply_is_an_error)
{
	struct outcome outcome = OUTCOME_INIT;
	struct sbus_request request = request_for("echo", "error", "", 0);

	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &outcome, NULL, NULL));
	process_until(self->bus, &outcome.count, 1);
	EXPECT_EQ(-EREMOTEIO, outcome.error);
	EXPECT_EQ(5, outcome.code);
}

TEST_F(async, sent_call_is_cancelled_with_one_outcome)
{
	struct outcome outcome = OUTCOME_INIT;
	struct sbus_request request = request_for("echo", "keep", "", 0);
	struct sbus_slot *slot;

	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &outcome, &slot, NULL));
	server_wait_kept(&self->server, 1);
	EXPECT_EQ(0, outcome.count);
	EXPECT_EQ(0, sbus_slot_cancel(slot));
	process_until(self->bus, &outcome.count, 1);
	EXPECT_EQ(-ECANCELED, outcome.error);
	EXPECT_EQ(-EALREADY, sbus_slot_cancel(slot));
	sbus_slot_unref(slot);
	EXPECT_EQ(1, server_answer_kept(&self->server, true));
	EXPECT_EQ(0, sbus_process(self->bus));
	EXPECT_EQ(1, outcome.count);
}

TEST_F(async, waiting_call_is_cancelled_and_expires)
{
	struct outcome cancelled = OUTCOME_INIT, expired = OUTCOME_INIT;
	static char body[30000];
	struct sbus_request request = request_for("echo", "keep", body, sizeof(body));
	struct count counted = { .last = -1 };
	struct sbus_slot *slot;

	ASSERT_EQ(0, send_numbers(self->bus, "keep", 4, sizeof(body), count, &counted, NULL));
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &cancelled, &slot, NULL));
	request.timeout = 30 * MS;
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &expired, NULL, NULL));
	EXPECT_EQ(0, sbus_slot_cancel(slot));
	EXPECT_EQ(0, cancelled.count);
	EXPECT_EQ(0, sbus_get_timeout(self->bus));
	process_until(self->bus, &cancelled.count, 1);
	EXPECT_EQ(-ECANCELED, cancelled.error);
	process_until(self->bus, &expired.count, 1);
	EXPECT_EQ(-ETIME, expired.error);
	/* They were never sent, and say so. */
	EXPECT_TRUE(cancelled.retry_safe);
	EXPECT_NE(NULL, strstr(cancelled.text, "nothing was done"));
	EXPECT_TRUE(expired.retry_safe);
	EXPECT_NE(NULL, strstr(expired.text, "nothing was done"));
	sbus_slot_unref(slot);
	while (counted.told < 4) {
		server_answer_kept(&self->server, true);
		sbus_wait(self->bus, sbus_now() + 10 * MS);
		sbus_process(self->bus);
	}
}

TEST_F(async, too_many_waiting_calls_are_refused)
{
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .queue_max = 3,
	};
	struct count counted = { .last = -1 };
	struct sbus *bus;

	ASSERT_EQ(0, sbus_open(&bus, &params, &self->error));
	EXPECT_EQ(-ENOBUFS, send_numbers(bus, "keep", 20, 30000, count, &counted, &self->error));
	EXPECT_EQ(0, counted.told);
	sbus_unref(bus);
	EXPECT_LE(3, counted.told);
	EXPECT_EQ(counted.told, counted.errors);
}

/* What a slot was used for before does not show in what it is used for next. */
TEST_F(async, every_accepted_call_has_one_outcome_also_where_others_are_refused)
{
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .queue_max = 8,
	};
	struct count before = { .last = -1 }, counted = { .last = -1 };
	int accepted = 0, refused = 0, r;
	static char body[20000];
	struct sbus *bus;

	ASSERT_EQ(0, sbus_open(&bus, &params, &self->error));
	/* From here on there are slots to be used again. */
	ASSERT_EQ(0, send_numbers(bus, "echo", 64, 16, count, &before, &self->error));
	process_until(bus, &before.told, 64);
	ASSERT_EQ(64, before.told);
	for (int i = 0; i < 64; i++) {
		struct sbus_request request = request_for("echo", "keep", body, sizeof(body));

		request.timeout = 300 * MS;
		r = sbus_call_async(bus, &request, count, &counted, NULL, &self->error);
		ASSERT_TRUE(!r || r == -ENOBUFS) TH_LOG("%d", r);
		accepted += !r;
		refused += !!r;
	}
	EXPECT_LT(0, refused);
	process_until(bus, &counted.told, accepted);
	EXPECT_EQ(accepted, counted.told);
	EXPECT_EQ(accepted, counted.errors);
	sbus_unref(bus);
	EXPECT_EQ(accepted, counted.told);
}

/* A message that is kept keeps the endpoint; the calls end all the same. */
TEST_F(async, close_tells_the_replica_although_a_message_is_kept)
{
	struct sbus_request echo = request_for("echo", "echo", "kept", 4);
	struct count counted = { .last = -1 };
	struct sbus_message *reply;
	int reason = 0;

	ASSERT_EQ(0, sbus_call(self->bus, &echo, &reply, &self->error));
	ASSERT_EQ(0, send_numbers(self->bus, "keep", 1, 16, count, &counted, NULL));
	server_wait_kept(&self->server, 1);
	sbus_close(self->bus);
	EXPECT_EQ(1, counted.errors);
	for (int i = 0; i < 4000 && !reason; i++) {
		reason = sbus_message_cancelled(self->server.kept[0]);
		usleep(2000);
	}
	EXPECT_NE(0, reason);
	server_answer_kept(&self->server, false);
	EXPECT_EQ(0, memcmp(sbus_message_body(reply, NULL), "kept", 4));
	sbus_message_unref(reply);
}

TEST_F(async, close_ends_every_call_once)
{
	struct count counted = { .last = -1 };

	ASSERT_EQ(0, send_numbers(self->bus, "keep", 50, 5000, count, &counted, &self->error));
	sbus_close(self->bus);
	EXPECT_EQ(50, counted.told);
	EXPECT_EQ(50, counted.errors);
	sbus_close(self->bus);
	EXPECT_EQ(50, counted.told);
}

TEST_F(async, slot_outlives_the_users_connection)
{
	struct outcome outcome = OUTCOME_INIT;
	struct sbus_request request = request_for("echo", "keep", "", 0);
	struct sbus_slot *slot;

	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &outcome, &slot, NULL));
	sbus_unref(self->bus);
	self->bus = NULL;
	EXPECT_EQ(0, outcome.count);
	EXPECT_EQ(0, sbus_slot_cancel(slot));
	sbus_slot_unref(slot);
	EXPECT_EQ(1, outcome.count);
	EXPECT_EQ(-ESHUTDOWN, outcome.error);
}

static void call_again(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct count *counted = userdata;
	struct sbus_request request = request_for("echo", "echo", "1", 1);

	count(reply, error, counted);
	if (counted->told < counted->again)
		sbus_call_async(counted->bus, &request, call_again, counted, NULL, NULL);
}

TEST_F(async, callback_may_call_again)
{
	struct count counted = { .bus = self->bus, .last = -1, .again = 200 };

	ASSERT_EQ(0, send_numbers(self->bus, "echo", 1, 16, call_again, &counted, NULL));
	process_until(self->bus, &counted.told, 200);
	EXPECT_EQ(200, counted.told);
	EXPECT_EQ(0, counted.errors);
}

TEST_F(async, connection_is_processed_by_one_thread_at_a_time)
{
	struct sbus_request request = request_for("echo", "echo", "", 0);

	ASSERT_EQ(0, sbus_call(self->bus, &request, NULL, &self->error));
	EXPECT_EQ(-EBUSY, sbus_process(self->server.bus));
	EXPECT_EQ(-EBUSY, sbus_serve(self->server.bus, NULL, &self->error));
}

TEST_HARNESS_MAIN
