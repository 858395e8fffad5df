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

TEST_F(room, notice_of_room_comes_once)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	int why, replies = 0, rooms = 0;

	duo_flood(&self->duo, BODY, 1, &why);
	ASSERT_EQ(-EAGAIN, why);
	call = large(self, 0);
	call.flags = SYMPHONY_CALL_NOTIFY;
	call.cookie = 7;
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
	EXPECT_EQ(NULL, ep_next(&self->duo.client, DEV_BEAT));
	EXPECT_EQ(0, serve_one(self));
	while (replies + rooms < 2) {
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		replies += msg->type == SYMPHONY_MSG_REPLY;
		if (msg->type != SYMPHONY_MSG_ROOM)
			continue;
		rooms++;
		EXPECT_EQ(self->duo.server.id, msg->sender);
		EXPECT_EQ(self->duo.svc, msg->handle);
		EXPECT_EQ(7, msg->cookie);
	}
	EXPECT_EQ(1, rooms);
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
	EXPECT_EQ(NULL, ep_next(&self->duo.client, DEV_BEAT));
}

/* The answer's place is free again. */
static int give_up(struct ep *ep, const struct symphony_call *call)
{
	const struct symphony_msg *msg;
	int ret = ep_cancel(ep, call->id, call->slot);

	msg = ret ? NULL : ep_next(ep, DEV_LONG);
	return msg ? ep_release(ep, msg) : ret ?: -errno;
}

TEST_F(room, is_in_one_piece)
{
	struct symphony_call made[64], call;
	__u64 sink;
	int nr;

	ASSERT_EQ(0, ep_claim(&self->duo.client, "sink", &sink));
	for (nr = 0; nr < 64; nr++) {
		made[nr] = ep_request(sink, NULL, 0);
		made[nr].reply_max = BODY / 2;
		if (ep_send(&self->duo.server, &made[nr]))
			break;
	}
	ASSERT_GT(nr, 8);
	ASSERT_LT(nr, 64);
	for (int i = 0; i < nr; i += 2)
		EXPECT_EQ(0, give_up(&self->duo.server, &made[i]));
	call = large(self, 0);
	EXPECT_EQ(-EAGAIN, ep_send(&self->duo.client, &call));
	EXPECT_EQ(SYMPHONY_LIMIT_ROOM, call.limit);
	for (int i = 1; i < nr; i += 2)
		EXPECT_EQ(0, give_up(&self->duo.server, &made[i]));
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
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
	EXPECT_EQ(-ETIME, ep_call(&self->duo.client, &call));
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
	struct symphony_call hasty = large(self, 100), small = large(self, 101);
	const struct symphony_msg *held[512], *msg;
	struct caller first, second;
	int why, sent;

	sent = duo_flood(&self->duo, BODY, 1, &why);
	sent += duo_flood(&self->duo, 1, 1, &why);
	ASSERT_EQ(-EAGAIN, why);
	ASSERT_EQ(sent, hold_all(self, held));
	hasty.deadline = dev_after(5 * DEV_BEAT);
	ASSERT_EQ(0, caller_start(&first, &self->duo.client, hasty));
	dev_nap(DEV_BEAT);
	small.body_len = 1;
	ASSERT_EQ(0, caller_start(&second, &self->duo.client, small));
	dev_nap(DEV_BEAT);
	/* Enough for the second; nothing more is freed from here on. */
	EXPECT_EQ(0, ep_reply(&self->duo.server, held[sent - 1], NULL, 0,
			      SYMPHONY_REPLY_RELEASE));
	ASSERT_EQ(0, caller_join(&first, DEV_LONG));
	EXPECT_EQ(-ETIME, first.ret);
	msg = ep_next(&self->duo.server, DEV_LONG / 2);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(101, msg->method);
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
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

/* CALLs of several senders that wait for room, and a flood that holds it. */
FIXTURE(crowd)
{
	struct duo duo;		/* its client is the flood */
	struct ep eps[12];
	struct caller callers[12];
	unsigned char body[SYMPHONY_POOL_MIN / 2];
	int held;
	const struct symphony_msg *msgs[512];
};

FIXTURE_SETUP(crowd)
{
	int why;

	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, SYMPHONY_POOL_MIN));
	for (size_t i = 0; i < ARRAY_SIZE(self->eps); i++) {
		ASSERT_EQ(0, ep_join(&self->eps[i], 0));
	}
	self->held = duo_flood(&self->duo, BODY, 1, &why);
	ASSERT_GE(self->held, 5);
	for (int i = 0; i < self->held; i++) {
		self->msgs[i] = ep_next(&self->duo.server, -1);
		ASSERT_NE(NULL, self->msgs[i]);
	}
}

FIXTURE_TEARDOWN(crowd)
{
	duo_close(&self->duo);
	for (size_t i = 0; i < ARRAY_SIZE(self->eps); i++)
		ep_close(&self->eps[i]);
}

/* The CALL of endpoint @i, which waits. */
static int wait_for(struct _test_data_crowd *self, int i, __u32 len)
{
	struct symphony_call call = ep_request(self->duo.svc, self->body, len);

	call.method = i;
	return caller_start(&self->callers[i], &self->eps[i], call);
}

/* SEND what endpoint @i may, received right away: why no more. */
static int fill_share(struct _test_data_crowd *self, int i)
{
	struct symphony_call call;
	int err;

	do {
		call = ep_request(self->duo.svc, self->body, BODY);
		call.reply_max = 1;
		err = ep_send(&self->eps[i], &call);
	} while (!err && ep_next(&self->duo.server, -1));
	return err;
}

static int flood_served(struct _test_data_crowd *self)
{
	return ep_reply(&self->duo.server, self->msgs[--self->held], NULL, 0,
			SYMPHONY_REPLY_RELEASE);
}

TEST_F(crowd, whose_request_fits_does_not_wait_for_another_senders)
{
	const struct symphony_msg *msg;

	/* With the flood there, nobody else can have a third of the pool. */
	ASSERT_EQ(0, wait_for(self, 0, SYMPHONY_POOL_MIN / 3));
	EXPECT_EQ(NULL, ep_next(&self->duo.server, DEV_BEAT));
	ASSERT_EQ(0, wait_for(self, 1, 1));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(1, msg->method);
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, caller_join(&self->callers[1], DEV_LONG));
	EXPECT_FALSE(self->callers[0].done);
}

TEST_F(crowd, one_that_fits_is_found_behind_many_that_do_not)
{
	const struct symphony_msg *msg = NULL;

	for (int i = 0; i < 11; i++) {
		ASSERT_EQ(0, wait_for(self, i, SYMPHONY_POOL_MIN / 3));
	}
	dev_nap(DEV_BEAT);
	/* The last has its share already, so that it waits too. */
	ASSERT_EQ(-EAGAIN, fill_share(self, 11));
	ASSERT_EQ(0, wait_for(self, 11, BODY));
	EXPECT_EQ(NULL, ep_next(&self->duo.server, DEV_BEAT));
	/* Some are looked at each time something is freed. */
	while (self->held && !msg) {
		EXPECT_EQ(0, flood_served(self));
		msg = ep_next(&self->duo.server, self->held ? DEV_BEAT : DEV_LONG);
	}
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(11, msg->method);
}

TEST_F(crowd, all_have_their_turn)
{
	struct echo echo;

	for (size_t i = 0; i < ARRAY_SIZE(self->eps); i++) {
		ASSERT_EQ(0, wait_for(self, i, SYMPHONY_POOL_MIN / (2 + i % 3) - 128));
	}
	dev_nap(DEV_BEAT);
	while (self->held) {
		EXPECT_EQ(0, flood_served(self));
	}
	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	for (size_t i = 0; i < ARRAY_SIZE(self->eps); i++) {
		EXPECT_EQ(0, caller_join(&self->callers[i], DEV_LONG));
		EXPECT_EQ(0, self->callers[i].ret ?: self->callers[i].call.status);
	}
	echo_stop(&echo);
}

TEST_F(crowd, room_goes_to_its_senders_in_turn)
{
	const struct symphony_msg *msg;
	struct caller more[6];
	int granted[2] = {};

	/* Two who have their share as well, and three threads each that wait. */
	ASSERT_EQ(-EAGAIN, fill_share(self, 0));
	ASSERT_EQ(-EAGAIN, fill_share(self, 1));
	for (int i = 0; i < 6; i++) {
		struct symphony_call call = ep_request(self->duo.svc, self->body, BODY);

		call.method = i / 3;
		ASSERT_EQ(0, caller_start(&more[i], &self->eps[i / 3], call));
	}
	dev_nap(DEV_BEAT);
	while (self->held) {
		EXPECT_EQ(0, flood_served(self));
	}
	for (int i = 0; i < 3; i++) {
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		granted[msg->method]++;
	}
	EXPECT_GE(granted[0], 1);
	EXPECT_GE(granted[1], 1);
	ep_close(&self->duo.server);
	for (int i = 0; i < 6; i++) {
		EXPECT_EQ(0, caller_join(&more[i], DEV_LONG));
	}
}

TEST_HARNESS_MAIN
