// SPDX-License-Identifier: MIT
/* Being told when another endpoint dies. */
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(watch)
{
	struct sbus *bus;
	struct sbus *other;
	uint64_t endpoint;
};

FIXTURE_SETUP(watch)
{
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	self->other = test_open();
	self->endpoint = sbus_endpoint(self->other);
}

FIXTURE_TEARDOWN(watch)
{
	sbus_unref(self->bus);
	sbus_unref(self->other);
}

struct seen {
	int count;
	uint64_t endpoint;
	struct sbus_slot *cancel;
};

static void gone(uint64_t endpoint, void *userdata)
{
	struct seen *seen = userdata;

	seen->count++;
	seen->endpoint = endpoint;
	if (seen->cancel)
		sbus_slot_cancel(seen->cancel);
}

static void process(struct sbus *bus)
{
	while (sbus_wait(bus, sbus_now() + 100 * MS) > 0)
		sbus_process(bus);
}

TEST_F(watch, every_watch_of_a_dead_endpoint_is_told_once)
{
	struct seen first = { 0 }, second = { 0 };

	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &first, NULL));
	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &second, NULL));
	self->other = sbus_unref(self->other);
	process(self->bus);
	EXPECT_EQ(1, first.count);
	EXPECT_EQ(1, second.count);
	EXPECT_EQ(self->endpoint, first.endpoint);
	EXPECT_EQ(-ESRCH, sbus_watch(self->bus, self->endpoint, gone, &first, NULL));
}

TEST_F(watch, cancelled_watch_is_not_told)
{
	struct seen first = { 0 }, second = { 0 };
	struct sbus_slot *a, *b;

	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &first, &a));
	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &second, &b));
	EXPECT_EQ(0, sbus_slot_cancel(a));
	EXPECT_EQ(-EALREADY, sbus_slot_cancel(a));
	self->other = sbus_unref(self->other);
	process(self->bus);
	EXPECT_EQ(0, first.count);
	EXPECT_EQ(1, second.count);
	EXPECT_EQ(-EALREADY, sbus_slot_cancel(b));
	sbus_slot_unref(a);
	sbus_slot_unref(b);
}

TEST_F(watch, endpoint_is_watched_again_after_the_last_watch_was_cancelled)
{
	struct seen seen = { 0 };
	struct sbus_slot *slot;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &seen, &slot));
		ASSERT_EQ(0, sbus_slot_cancel(slot));
		sbus_slot_unref(slot);
	}
	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &seen, NULL));
	self->other = sbus_unref(self->other);
	process(self->bus);
	EXPECT_EQ(1, seen.count);
}

TEST_F(watch, callback_may_cancel_another_watch_of_the_same_endpoint)
{
	struct seen first = { 0 }, second = { 0 };

	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &first, NULL));
	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &second, &first.cancel));
	self->other = sbus_unref(self->other);
	process(self->bus);
	EXPECT_EQ(1, first.count);
	EXPECT_EQ(0, second.count);
	sbus_slot_unref(first.cancel);
}

TEST_F(watch, closing_forgets_watches)
{
	struct seen seen = { 0 };
	struct sbus_slot *slot;

	ASSERT_EQ(0, sbus_watch(self->bus, self->endpoint, gone, &seen, &slot));
	sbus_close(self->bus);
	EXPECT_EQ(-EALREADY, sbus_slot_cancel(slot));
	sbus_slot_unref(slot);
	EXPECT_EQ(0, seen.count);
	EXPECT_EQ(-ESHUTDOWN, sbus_watch(self->bus, self->endpoint, gone, &seen, NULL));
}

TEST_F(watch, nobody_is_not_there)
{
	EXPECT_EQ(-ESRCH, sbus_watch(self->bus, 0, gone, NULL, NULL));
	EXPECT_EQ(-ESRCH, sbus_watch(self->bus, 1ULL << 60, gone, NULL, NULL));
}

TEST_HARNESS_MAIN
