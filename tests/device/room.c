// SPDX-License-Identifier: MIT
/*
 * No room at the receiver: SEND gets EAGAIN, CALL waits its turn until its
 * deadline, other senders are not concerned, and room that is freed is usable.
 */
#include <signal.h>
#include <kselftest_harness.h>

#include "device.h"

#define BODY	4000

FIXTURE(room)
{
	struct duo duo;
	unsigned char body[BODY];
	struct symphony_query q;
};

FIXTURE_SETUP(room)
{
	dev_begin();
	self->q = dev_limits();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, SYMPHONY_POOL_MIN));
}

FIXTURE_TEARDOWN(room)
{
	duo_close(&self->duo);
}

static struct symphony_call large(struct _test_data_room *self, __u64 method)
{
	struct symphony_call call = ep_request(self->duo.svc, self->body, BODY);

	call.method = method;
	call.reply_max = 1;
	return call;
}

/* Serve one message; its method, or -errno. */
static long serve_one(struct _test_data_room *self)
{
	const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);
	long method;

	if (!msg)
		return -errno;
	method = msg->method;
	return ep_reply(&self->duo.server, msg, NULL, 0,
			SYMPHONY_REPLY_RELEASE) ?: method;
}

TEST_F(room, send_gets_eagain_until_the_receiver_drains)
{
	struct symphony_call call;
	int why, sent = duo_flood(&self->duo, BODY, 1, &why);

	EXPECT_EQ(-EAGAIN, why);
	EXPECT_GE(sent, 1);
	EXPECT_LE(sent * (BODY + 128), SYMPHONY_POOL_MIN);
	call = large(self, 0);
	EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
	EXPECT_EQ(0, serve_one(self));
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
	call = large(self, 0);
	EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
}

TEST_F(room, received_is_not_yet_room)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	int why;

	duo_flood(&self->duo, BODY, 1, &why);
	ASSERT_EQ(-EAGAIN, why);
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	call = large(self, 0);
	EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, 0));
	EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
}

TEST_F(room, one_sender_has_its_share_and_no_more)
{
	int why, sent = duo_flood(&self->duo, 1000, 1, &why);

	EXPECT_EQ(-EAGAIN, why);
	EXPECT_LE((__u64)sent * 1128 * 100,
		  (__u64)SYMPHONY_POOL_MIN * self->q.share_max);
	EXPECT_GE((__u64)sent * 1280 * 100,
		  (__u64)SYMPHONY_POOL_MIN * self->q.share_max * 8 / 10);
}

TEST_F(room, messages_are_limited_too)
{
	long before = dev_param("queue_max", 10);
	int why, sent, again;

	if (before < 0)
		SKIP(return, "no module parameters (%ld)", before);
	sent = duo_flood(&self->duo, 1, 1, &why);
	/* Served, they are no longer there. */
	serve_one(self);
	again = duo_send(&self->duo, 1, 1);
	EXPECT_EQ(10, dev_param("queue_max", before));
	EXPECT_EQ(10, sent);
	EXPECT_EQ(-EAGAIN, why);
	EXPECT_EQ(0, again);
}

TEST_F(room, another_sender_is_not_concerned)
{
	struct symphony_call call = large(self, 5);
	struct ep other;
	int why;

	if (self->q.share_max > 50)
		SKIP(return, "one sender may hold %u%%", self->q.share_max);
	ASSERT_EQ(0, ep_join(&other, MIB));
	duo_flood(&self->duo, BODY, 1, &why);
	ASSERT_EQ(-EAGAIN, why);
	call.body_len = 1000;
	EXPECT_EQ(0, ep_send(&other, &call));
	ep_close(&other);
}

TEST_F(room, dontwait_gets_eagain)
{
	struct symphony_call call = large(self, 0);
	int why;

	duo_flood(&self->duo, BODY, 1, &why);
	call.flags = SYMPHONY_CALL_DONTWAIT;
	EXPECT_EQ(-EAGAIN, ep_call(&self->duo.client, &call));
	EXPECT_EQ(0, call.id);
}

TEST_F(room, call_waits_until_its_deadline)
{
	struct symphony_call call = large(self, 77);
	__u64 start = dev_now();
	int why, sent = duo_flood(&self->duo, BODY, 1, &why);

	call.deadline = dev_after(200);
	EXPECT_EQ(-ETIMEDOUT, ep_call(&self->duo.client, &call));
	EXPECT_GE(dev_now(), call.deadline);
	EXPECT_LE(dev_now(), start + 5000000000ULL);
	/* Nobody sees a call that was an error. */
	for (int i = 0; i < sent; i++) {
		EXPECT_EQ(0, serve_one(self));
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(room, call_goes_on_when_there_is_room)
{
	struct caller caller;
	int why, sent = duo_flood(&self->duo, BODY, 1, &why);

	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, large(self, 77)));
	EXPECT_EQ(-ETIMEDOUT, caller_join(&caller, DEV_BEAT));
	for (int i = 0; i < sent; i++) {
		EXPECT_EQ(0, serve_one(self));
	}
	EXPECT_EQ(77, serve_one(self));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(0, caller.call.status);
}

/* Receive what fills the server's pool; none of it is room yet. */
static int hold_all(struct _test_data_room *self, const struct symphony_msg **held)
{
	int n = 0;

	while (n < 512 && (held[n] = ep_next(&self->duo.server, -1)))
		n++;
	return n;
}

/* Free the room of one request; the method of the call that then gets it. */
static long grant_one(struct _test_data_room *self, const struct symphony_msg *held)
{
	const struct symphony_msg *msg;
	int ret = ep_reply(&self->duo.server, held, NULL, 0, SYMPHONY_REPLY_RELEASE);

	msg = ret ? NULL : ep_next(&self->duo.server, DEV_LONG);
	return ret ?: msg ? (long)msg->method : -errno;
}

TEST_F(room, waiting_calls_go_first_come_first_served)
{
	const struct symphony_msg *held[512];
	struct caller callers[5];
	int why, sent = duo_flood(&self->duo, BODY, 1, &why);

	ASSERT_EQ(sent, hold_all(self, held));
	ASSERT_GE(sent, 5);
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		ASSERT_EQ(0, caller_start(&callers[i], &self->duo.client,
					  large(self, 100 + i)));
		dev_nap(DEV_BEAT);
	}
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		EXPECT_EQ(100 + i, grant_one(self, held[i]));
	}
	ep_close(&self->duo.server);
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		EXPECT_EQ(0, caller_join(&callers[i], DEV_LONG));
		EXPECT_EQ(-ECONNRESET, callers[i].ret ?: callers[i].call.status);
	}
}

TEST_F(room, a_small_call_does_not_overtake_a_large_one)
{
	struct symphony_call small = large(self, 101);
	const struct symphony_msg *held[512];
	struct caller first, second;
	int why, sent;
	long seen;

	sent = duo_flood(&self->duo, BODY, 1, &why);
	sent += duo_flood(&self->duo, 1, 1, &why);
	ASSERT_EQ(-EAGAIN, why);
	ASSERT_EQ(sent, hold_all(self, held));
	ASSERT_EQ(0, caller_start(&first, &self->duo.client, large(self, 100)));
	dev_nap(DEV_BEAT);
	small.body_len = 1;
	ASSERT_EQ(0, caller_start(&second, &self->duo.client, small));
	dev_nap(DEV_BEAT);
	/* Enough for the small one, which is not the first. */
	EXPECT_EQ(0, ep_reply(&self->duo.server, held[sent - 1], NULL, 0,
			      SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(-ETIMEDOUT, ep_recv(&self->duo.server, (__u32[1]){}, 1, DEV_BEAT));
	/* Then room for both, who may come in any order. */
	seen = grant_one(self, held[0]);
	seen += grant_one(self, held[1]);
	EXPECT_EQ(100 + 101, seen);
	ep_close(&self->duo.server);
	EXPECT_EQ(0, caller_join(&first, DEV_LONG));
	EXPECT_EQ(0, caller_join(&second, DEV_LONG));
}

TEST_F(room, a_waiter_that_gives_up_lets_the_next_go)
{
	struct symphony_call hasty = large(self, 100);
	struct caller first, second;
	int why, sent = duo_flood(&self->duo, BODY, 1, &why);

	hasty.deadline = dev_after(3 * DEV_BEAT);
	ASSERT_EQ(0, caller_start(&first, &self->duo.client, hasty));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, caller_start(&second, &self->duo.client, large(self, 101)));
	ASSERT_EQ(0, caller_join(&first, DEV_LONG));
	EXPECT_EQ(-ETIMEDOUT, first.ret);
	for (int i = 0; i < sent; i++) {
		EXPECT_EQ(0, serve_one(self));
	}
	EXPECT_EQ(101, serve_one(self));
	EXPECT_EQ(0, caller_join(&second, DEV_LONG));
	EXPECT_EQ(0, second.ret);
}

TEST_F(room, signal_while_waiting_means_no_call)
{
	struct caller caller;
	int why, sent = duo_flood(&self->duo, BODY, 1, &why);

	dev_on_usr1(0);
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, large(self, 77)));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, caller_interrupt(&caller));
	EXPECT_EQ(-EINTR, caller.ret);
	EXPECT_EQ(0, caller.call.id);
	for (int i = 0; i < sent; i++) {
		EXPECT_EQ(0, serve_one(self));
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(room, receivers_death_ends_the_wait)
{
	struct caller caller;
	int why;

	duo_flood(&self->duo, BODY, 1, &why);
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, large(self, 77)));
	dev_nap(DEV_BEAT);
	ep_close(&self->duo.server);
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(-ECONNREFUSED, caller.ret);
}

TEST_F(room, withdrawn_requests_give_theirs_back)
{
	struct symphony_call calls[64];
	int why, sent = duo_flood(&self->duo, BODY, 1, &why);
	struct symphony_call call;

	ASSERT_LE(sent, 64);
	ep_close(&self->duo.client);
	ASSERT_EQ(0, ep_join(&self->duo.client, MIB));
	for (int i = 0; i < sent; i++) {
		calls[i] = large(self, i);
		ASSERT_EQ(0, ep_send(&self->duo.client, &calls[i]));
	}
	call = large(self, 0);
	EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
	for (int i = 0; i < sent; i++) {
		EXPECT_EQ(0, ep_cancel(&self->duo.client, calls[i].id, calls[i].slot));
	}
	for (int i = 0; i < sent; i++) {
		ASSERT_EQ(0, ep_send(&self->duo.client, &call));
		call = large(self, 0);
	}
	EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
}

TEST_HARNESS_MAIN
