// SPDX-License-Identifier: MIT
/* WATCH: one GONE message when an endpoint dies, however it dies. */
#include <signal.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(watch)
{
	struct ep watcher, target;
};

FIXTURE_SETUP(watch)
{
	dev_begin();
	ASSERT_EQ(0, ep_join(&self->watcher, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_join(&self->target, SYMPHONY_POOL_MIN));
}

FIXTURE_TEARDOWN(watch)
{
	ep_close(&self->watcher);
	ep_close(&self->target);
}

/* One GONE of @endpoint with @cookie, and then nothing. */
static int gone_once(struct ep *watcher, __u64 endpoint, __u64 cookie)
{
	const struct symphony_msg *msg = ep_next(watcher, DEV_LONG);

	if (!msg)
		return -errno;
	if (msg->type != SYMPHONY_MSG_GONE || msg->sender != endpoint ||
	    msg->cookie != cookie || msg->id || msg->body_len || msg->status ||
	    msg->flags || msg->header_len < sizeof(*msg))
		return -EPROTO;
	if (ep_release(watcher, msg))
		return -EINVAL;
	dev_nap(DEV_BEAT);
	return ep_recv(watcher, (__u32[1]){}, 1, -1) == -EAGAIN ? 0 : -EEXIST;
}

static void kid_with_endpoint(struct kid *kid, __s64 *id)
{
	if (!kid_fork(kid)) {
		struct ep ep;
		__s64 how;

		if (ep_join(&ep, SYMPHONY_POOL_MIN))
			_exit(2);
		kid_tell(kid, ep.id);
		kid_hear(kid, &how);
		if (how == 'c') {
			ep_close(&ep);
			kid_tell(kid, 0);
			kid_hear(kid, &how);
		}
		_exit(0);
	}
	if (kid_hear(kid, id))
		*id = -1;
}

TEST_F(watch, close_is_gone)
{
	__u64 id = self->target.id;

	ASSERT_EQ(0, ep_watch(&self->watcher, id, 7, 0));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->watcher, (__u32[1]){}, 1, -1));
	ep_close(&self->target);
	EXPECT_EQ(0, gone_once(&self->watcher, id, 7));
}

TEST_F(watch, exit_is_gone)
{
	struct kid kid;
	__s64 id;

	kid_with_endpoint(&kid, &id);
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 8, 0));
	kid_tell(&kid, 'x');
	EXPECT_EQ(0, gone_once(&self->watcher, id, 8));
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(watch, sigkill_is_gone)
{
	struct kid kid;
	__s64 id;

	kid_with_endpoint(&kid, &id);
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 9, 0));
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_EQ(0, gone_once(&self->watcher, id, 9));
}

TEST_F(watch, close_and_exit_are_gone_once)
{
	struct kid kid;
	__s64 id, ok;

	kid_with_endpoint(&kid, &id);
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 10, 0));
	kid_tell(&kid, 'c');
	ASSERT_EQ(0, kid_hear(&kid, &ok));
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_EQ(0, gone_once(&self->watcher, id, 10));
}

TEST_F(watch, wakes_a_receiver)
{
	struct kid kid;
	__s64 id;
	__u64 start;

	kid_with_endpoint(&kid, &id);
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 11, 0));
	start = dev_now();
	kill(kid.pid, SIGKILL);
	ASSERT_NE(NULL, ep_next(&self->watcher, DEV_LONG));
	EXPECT_LE(dev_now() - start, 2000000000ULL);
	kid_reap(&kid);
}

TEST_F(watch, removed_is_silent)
{
	__u64 id = self->target.id;

	ASSERT_EQ(0, ep_watch(&self->watcher, id, 7, 0));
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 0, SYMPHONY_WATCH_REMOVE));
	EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, id, 0, SYMPHONY_WATCH_REMOVE));
	ep_close(&self->target);
	dev_nap(DEV_BEAT);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->watcher, (__u32[1]){}, 1, -1));
}

TEST_F(watch, removed_can_be_set_again)
{
	__u64 id = self->target.id;

	for (int i = 0; i < (dev_slow() ? 100 : 1000); i++) {
		ASSERT_EQ(0, ep_watch(&self->watcher, id, i, 0));
		ASSERT_EQ(0, ep_watch(&self->watcher, id, 0, SYMPHONY_WATCH_REMOVE));
	}
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 5, 0));
	ep_close(&self->target);
	EXPECT_EQ(0, gone_once(&self->watcher, id, 5));
}

TEST_F(watch, twice_is_ealready)
{
	__u64 id = self->target.id;

	ASSERT_EQ(0, ep_watch(&self->watcher, id, 7, 0));
	EXPECT_EQ(-EALREADY, ep_watch(&self->watcher, id, 8, 0));
	ep_close(&self->target);
	EXPECT_EQ(0, gone_once(&self->watcher, id, 7));
}

TEST_F(watch, unknown_is_esrch)
{
	static const __u64 bad[] = { 0, ~0ULL, 1ULL << 63, 0x123456789abcdef };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, bad[i], 0, 0));
		EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, bad[i], 0,
					   SYMPHONY_WATCH_REMOVE));
	}
}

TEST_F(watch, dead_is_esrch)
{
	__u64 id = self->target.id;

	ep_close(&self->target);
	EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, id, 0, 0));
}

TEST_F(watch, another_bus_is_esrch)
{
	struct ep other;

	ASSERT_EQ(0, ep_join_bus(&other, "test-elsewhere", SYMPHONY_JOIN_CREATE, 0, 0));
	EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, other.id, 0, 0));
	ep_close(&other);
}

TEST_F(watch, not_watched_is_esrch_to_remove)
{
	EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, self->target.id, 0,
				   SYMPHONY_WATCH_REMOVE));
	/* Watched by somebody else. */
	ASSERT_EQ(0, ep_watch(&self->target, self->watcher.id, 0, 0));
	EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, self->target.id, 0,
				   SYMPHONY_WATCH_REMOVE));
}

TEST_F(watch, after_gone_is_esrch)
{
	__u64 id = self->target.id;

	ASSERT_EQ(0, ep_watch(&self->watcher, id, 7, 0));
	ep_close(&self->target);
	EXPECT_EQ(0, gone_once(&self->watcher, id, 7));
	EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, id, 0, SYMPHONY_WATCH_REMOVE));
	EXPECT_EQ(-ESRCH, ep_watch(&self->watcher, id, 0, 0));
}

TEST_F(watch, everybody_who_watches_is_told)
{
	struct ep watchers[8];
	__u64 id = self->target.id;

	for (size_t i = 0; i < ARRAY_SIZE(watchers); i++) {
		ASSERT_EQ(0, ep_join(&watchers[i], SYMPHONY_POOL_MIN));
		ASSERT_EQ(0, ep_watch(&watchers[i], id, i, 0));
	}
	ep_close(&watchers[3]);
	ep_close(&self->target);
	for (size_t i = 0; i < ARRAY_SIZE(watchers); i++) {
		if (i == 3)
			continue;
		EXPECT_EQ(0, gone_once(&watchers[i], id, i));
		ep_close(&watchers[i]);
	}
}

TEST_F(watch, several_deaths_are_told_each_once)
{
	struct ep targets[16];
	__u64 ids[16];
	unsigned int seen = 0;

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		ASSERT_EQ(0, ep_join(&targets[i], SYMPHONY_POOL_MIN));
		ids[i] = targets[i].id;
		ASSERT_EQ(0, ep_watch(&self->watcher, ids[i], i, 0));
	}
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		ep_close(&targets[(i * 5) % ARRAY_SIZE(targets)]);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		const struct symphony_msg *msg = ep_next(&self->watcher, DEV_LONG);

		ASSERT_NE(NULL, msg);
		ASSERT_LT(msg->cookie, ARRAY_SIZE(targets));
		EXPECT_EQ(ids[msg->cookie], msg->sender);
		EXPECT_FALSE(seen & (1U << msg->cookie));
		seen |= 1U << msg->cookie;
	}
	EXPECT_EQ(0xffff, seen);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->watcher, (__u32[1]){}, 1, -1));
}

TEST_F(watch, has_its_room_set_aside)
{
	struct duo duo = { .client = self->watcher };
	__u64 id = self->target.id;
	int why;

	ASSERT_EQ(0, ep_join(&duo.server, MIB));
	ASSERT_EQ(0, ep_claim(&duo.server, "svc", &duo.svc));
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 7, 0));
	duo_flood(&duo, 1, 1, &why);
	ASSERT_EQ(-ENOBUFS, why);
	/* The pool is full: no room for another, but for the one there is. */
	EXPECT_EQ(-ENOBUFS, ep_watch(&self->watcher, duo.server.id, 0, 0) ?:
			    ep_watch(&self->watcher, self->watcher.id, 0, 0));
	ep_close(&self->target);
	EXPECT_EQ(0, gone_once(&self->watcher, id, 7));
	ep_close(&duo.server);
}

/* Wherever the pool had room at the time: a large body needs much in one piece. */
TEST_F(watch, does_not_stand_in_the_way_of_large_bodies)
{
	static const unsigned char body[24 << 10];
	struct symphony_call call = { .size = sizeof(call), .flags = SYMPHONY_CALL_ONEWAY };
	__u32 offsets[SYMPHONY_POOL_MIN / SYMPHONY_POOL_ALIGN], nr = 0;
	struct ep targets[8];
	int n;

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		ASSERT_EQ(0, ep_join(&targets[i], SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_claim(&self->watcher, "svc", &call.handle));
	/* One that sends gets half of the pool, two get more. */
	for (int i = 0; i < 2; i++)
		do
			call.id = 0;
		while (!ep_send(&targets[i], &call));
	while ((n = ep_recv(&self->watcher, offsets + nr, 16, -1)) > 0)
		nr += n;
	ASSERT_EQ(-EAGAIN, n);
	ASSERT_GE(nr, ARRAY_SIZE(offsets) / 2);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		__u32 *offset = &offsets[i * nr / ARRAY_SIZE(targets)];

		ASSERT_EQ(0, ep_release_at(&self->watcher, *offset));
		ASSERT_EQ(0, ep_watch(&self->watcher, targets[i].id, i, 0));
		*offset = SYMPHONY_NO_OFFSET;
	}
	for (__u32 i = 0; i < nr; i++)
		if (offsets[i] != SYMPHONY_NO_OFFSET)
			ASSERT_EQ(0, ep_release_at(&self->watcher, offsets[i]));
	call.id = 0;
	call.body = (uintptr_t)body;
	call.body_len = sizeof(body);
	EXPECT_EQ(0, ep_send(&targets[0], &call));
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		ep_close(&targets[i]);
	for (size_t i = 0; i < 1 + ARRAY_SIZE(targets); i++)
		EXPECT_NE(NULL, ep_next(&self->watcher, DEV_LONG));
}

TEST_F(watch, a_notice_not_received_goes_with_its_watcher)
{
	ASSERT_EQ(0, ep_watch(&self->watcher, self->target.id, 7, 0));
	ep_close(&self->target);
	ep_close(&self->watcher);
	ASSERT_EQ(0, ep_join(&self->watcher, SYMPHONY_POOL_MIN));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->watcher, (__u32[1]){}, 1, -1));
}

TEST_F(watch, of_each_other_ends)
{
	ASSERT_EQ(0, ep_watch(&self->watcher, self->target.id, 1, 0));
	ASSERT_EQ(0, ep_watch(&self->target, self->watcher.id, 2, 0));
	ep_close(&self->watcher);
	EXPECT_NE(NULL, ep_next(&self->target, DEV_LONG));
}

TEST_F(watch, removal_races_with_death)
{
	struct kid kid;
	__s64 id;

	for (int i = 0; i < (dev_slow() ? 8 : 30); i++) {
		int ret, expected;

		kid_with_endpoint(&kid, &id);
		ASSERT_EQ(0, ep_watch(&self->watcher, id, i, 0));
		kill(kid.pid, SIGKILL);
		for (volatile int spin = 0; spin < i * 2000; spin++)
			;
		ret = ep_watch(&self->watcher, id, 0, SYMPHONY_WATCH_REMOVE);
		ASSERT_TRUE(ret == 0 || ret == -ESRCH);
		kid_reap(&kid);
		/* Removed in time, or told: never both, never neither. */
		expected = ret ? 1 : -ETIMEDOUT;
		ASSERT_EQ(expected, ep_recv(&self->watcher, (__u32[1]){}, 1,
					    ret ? DEV_LONG : 20));
	}
}

TEST_HARNESS_MAIN
