// SPDX-License-Identifier: MIT
/* Calls that are held back and sent together, and calls that are one way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

#define POOL (256 << 10)

FIXTURE(cork)
{
	struct server server;
	struct sbus *bus;
};

FIXTURE_SETUP(cork)
{
	ASSERT_EQ(0, server_start(&self->server, "echo", 1, POOL));
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
}

FIXTURE_TEARDOWN(cork)
{
	sbus_unref(self->bus);
	EXPECT_EQ(0, server_stop(&self->server));
}

struct count {
	struct sbus *bus;
	int told, errors, error, next, wrong;
};

/* The answers come in the order of the calls, which is that of their numbers. */
static void count(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct count *count = userdata;
	size_t len;

	count->told++;
	if (error) {
		count->errors++;
		count->error = error->error;
		return;
	}
	if (strtol(sbus_message_body(reply, &len), NULL, 10) != count->next++)
		count->wrong++;
}

static void process_until(struct sbus *bus, const int *told, int nr)
{
	uint64_t until = sbus_now() + 10000 * MS;

	while (*told < nr && sbus_now() < until)
		if (!sbus_process(bus))
			sbus_wait(bus, sbus_now() + 50 * MS);
}

static int call(struct sbus *bus, const char *method, int number, size_t len, sbus_reply_fn fn,
		void *userdata, struct sbus_slot **slot)
{
	char *body = calloc(1, len);
	struct sbus_request request = request_for("echo", method, body, len);
	int r;

	memset(body, ' ', len);
	snprintf(body, len, "%d", number);
	request.reply_max = fn ? len : 0;
	r = sbus_call_async(bus, &request, fn, userdata, slot, NULL);
	/* What is held back is held as a copy. */
	memset(body, 'x', len);
	free(body);
	return r;
}

static bool handles(struct server *server, int nr)
{
	for (int i = 0; i < 10000 && server->handled < nr; i++)
		usleep(1000);
	return server->handled == nr;
}

TEST_F(cork, holds_calls_back)
{
	struct count counted = { };

	sbus_cork(self->bus, SBUS_CALLS);
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, call(self->bus, "echo", i, 16, count, &counted, NULL));
	usleep(20000);
	EXPECT_EQ(0, self->server.handled);
	EXPECT_EQ(UINT64_MAX, sbus_get_timeout(self->bus));
	sbus_uncork(self->bus, SBUS_CALLS);
	process_until(self->bus, &counted.told, 100);
	EXPECT_EQ(100, counted.told);
	EXPECT_EQ(0, counted.errors);
	EXPECT_EQ(0, counted.wrong);
	EXPECT_EQ(UINT64_MAX, sbus_get_timeout(self->bus));
}

TEST_F(cork, keeps_the_order_of_small_and_large_ones)
{
	struct count counted = { };

	for (int i = 0; i < 200; i++) {
		if (i % 40 == 0)
			sbus_cork(self->bus, SBUS_CALLS);
		ASSERT_EQ(0, call(self->bus, "echo", i, i % 7 ? 16 : 20000, count, &counted, NULL));
		if (i % 40 == 30)
			sbus_uncork(self->bus, SBUS_CALLS);
	}
	sbus_uncork(self->bus, SBUS_CALLS);
	process_until(self->bus, &counted.told, 200);
	EXPECT_EQ(200, counted.told);
	EXPECT_EQ(0, counted.errors);
	EXPECT_EQ(0, counted.wrong);
}

TEST_F(cork, waits_for_room_in_order)
{
	struct count counted = { };

	sbus_cork(self->bus, SBUS_CALLS);
	for (int i = 0; i < 500; i++)
		ASSERT_EQ(0, call(self->bus, "echo", i, 10000, count, &counted, NULL));
	sbus_uncork(self->bus, SBUS_CALLS);
	process_until(self->bus, &counted.told, 500);
	EXPECT_EQ(500, counted.told);
	EXPECT_EQ(0, counted.errors);
	EXPECT_EQ(0, counted.wrong);
}

/* One of a batch that cannot be made ends with its error; the others are made. */
TEST_F(cork, tells_each_call_what_is_wrong_with_it)
{
	struct sbus_params params = { .size = sizeof(params), .bus = test_bus() };
	struct count counted = { }, large = { };
	struct sbus *bus;

	params.pool_size = 64 << 10;
	ASSERT_EQ(0, sbus_open(&bus, &params, NULL));
	sbus_cork(bus, SBUS_CALLS);
	for (int i = 0; i < 10; i++) {
		struct sbus_request request = request_for("echo", "echo", NULL, 0);

		ASSERT_EQ(0, call(bus, "echo", i, 16, count, &counted, NULL));
		/* More than its own pool has room for. */
		request.reply_max = 10 << 20;
		ASSERT_EQ(0, sbus_call_async(bus, &request, count, &large, NULL, NULL));
	}
	sbus_uncork(bus, SBUS_CALLS);
	EXPECT_EQ(0, sbus_get_timeout(bus));
	process_until(bus, &counted.told, 10);
	process_until(bus, &large.told, 10);
	EXPECT_EQ(10, counted.told);
	EXPECT_EQ(0, counted.errors);
	EXPECT_EQ(0, counted.wrong);
	EXPECT_EQ(10, large.told);
	EXPECT_EQ(10, large.errors);
	EXPECT_EQ(-EMSGSIZE, large.error);
	sbus_unref(bus);
}

TEST_F(cork, is_cancelled_before_it_was_sent)
{
	struct count counted = { }, cancelled = { };
	struct sbus_slot *slot;

	sbus_cork(self->bus, SBUS_CALLS);
	ASSERT_EQ(0, call(self->bus, "echo", 0, 16, count, &counted, NULL));
	ASSERT_EQ(0, call(self->bus, "echo", 7, 16, count, &cancelled, &slot));
	ASSERT_EQ(0, call(self->bus, "echo", 1, 16, count, &counted, NULL));
	EXPECT_EQ(0, sbus_slot_cancel(slot));
	EXPECT_EQ(0, cancelled.told);
	sbus_uncork(self->bus, SBUS_CALLS);
	process_until(self->bus, &counted.told, 2);
	EXPECT_EQ(2, counted.told);
	EXPECT_EQ(0, counted.wrong);
	EXPECT_EQ(1, cancelled.told);
	EXPECT_EQ(-ECANCELED, cancelled.error);
	EXPECT_TRUE(handles(&self->server, 2));
	sbus_slot_unref(slot);
}

TEST_F(cork, ends_with_the_connection)
{
	struct count counted = { };

	sbus_cork(self->bus, SBUS_CALLS);
	for (int i = 0; i < 10; i++)
		ASSERT_EQ(0, call(self->bus, "echo", i, 16, count, &counted, NULL));
	sbus_close(self->bus);
	EXPECT_EQ(10, counted.told);
	EXPECT_EQ(10, counted.errors);
	sbus_uncork(self->bus, SBUS_CALLS);
	EXPECT_EQ(10, counted.told);
}

TEST_F(cork, too_many_are_sent_before)
{
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .queue_max = 10,
	};
	struct count counted = { };
	struct sbus *bus;

	ASSERT_EQ(0, sbus_open(&bus, &params, NULL));
	sbus_cork(bus, SBUS_CALLS);
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, call(bus, "echo", i, 16, count, &counted, NULL));
	sbus_uncork(bus, SBUS_CALLS);
	process_until(bus, &counted.told, 100);
	EXPECT_EQ(100, counted.told);
	EXPECT_EQ(0, counted.errors);
	EXPECT_EQ(0, counted.wrong);
	sbus_unref(bus);
}

TEST_F(cork, one_way_calls_arrive)
{
	for (int corked = 0; corked < 2; corked++) {
		if (corked)
			sbus_cork(self->bus, SBUS_CALLS);
		for (int i = 0; i < 300; i++)
			ASSERT_EQ(0, call(self->bus, i % 2 ? "echo" : "drop", i, 16, NULL, NULL,
					  NULL));
		sbus_uncork(self->bus, SBUS_CALLS);
		EXPECT_TRUE(handles(&self->server, 300 * (corked + 1)));
	}
	EXPECT_EQ(0, sbus_process(self->bus));
	EXPECT_EQ(UINT64_MAX, sbus_get_timeout(self->bus));
}

/* What a handler calls for a request that is one way is made for nobody. */
TEST_F(cork, one_way_handlers_can_call)
{
	struct sbus_request request = request_for("echo", "call", "other", 5);
	struct server other;

	ASSERT_EQ(0, server_start(&other, "other", 1, POOL));
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, NULL, NULL, NULL, NULL));
	EXPECT_TRUE(handles(&other, 1));
	EXPECT_TRUE(handles(&self->server, 1));
	EXPECT_EQ(0, server_stop(&other));
}

/* An answer comes after the calls that were made before it. */
TEST_F(cork, calls_go_before_answers)
{
	struct count counted = { };
	struct server other;

	ASSERT_EQ(0, server_start(&other, "other", 1, POOL));
	ASSERT_EQ(0, call(self->bus, "keep", 0, 16, count, &counted, NULL));
	server_wait_kept(&self->server, 1);
	sbus_cork(self->server.bus, SBUS_CALLS);
	for (int i = 0; i < 3; i++) {
		struct sbus_request request = request_for("other", "echo", NULL, 0);

		ASSERT_EQ(0, sbus_call_async(self->server.bus, &request, NULL, NULL, NULL, NULL));
	}
	usleep(20000);
	EXPECT_EQ(0, other.handled);
	EXPECT_EQ(1, server_answer_kept(&self->server, true));
	EXPECT_TRUE(handles(&other, 3));
	sbus_uncork(self->server.bus, SBUS_CALLS);
	process_until(self->bus, &counted.told, 1);
	EXPECT_EQ(1, counted.told);
	EXPECT_EQ(0, server_stop(&other));
}

TEST_F(cork, one_way_calls_wait_for_room)
{
	for (int i = 0; i < 200; i++)
		ASSERT_EQ(0, call(self->bus, "drop", i, 10000, NULL, NULL, NULL));
	for (int i = 0; i < 10000 && self->server.handled < 200; i++) {
		sbus_wait(self->bus, sbus_now() + 10 * MS);
		sbus_process(self->bus);
	}
	EXPECT_EQ(200, self->server.handled);
}

TEST_F(cork, one_way_calls_have_nothing_to_wait_for)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_request request = request_for("echo", "echo", NULL, 0);
	struct sbus_slot *slot;

	EXPECT_EQ(-EINVAL, sbus_call_async(self->bus, &request, NULL, NULL, &slot, &error));
	EXPECT_NE(NULL, strstr(error.message, "one way"));
	sbus_error_clear(&error);
	request.reply_max = 1;
	EXPECT_EQ(-EINVAL, sbus_call_async(self->bus, &request, NULL, NULL, NULL, NULL));
	request.reply_max = 0;
	request.extension = "nobody";
	EXPECT_EQ(-ENOENT, sbus_call_async(self->bus, &request, NULL, NULL, NULL, NULL));
}

TEST_HARNESS_MAIN
