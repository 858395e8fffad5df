// SPDX-License-Identifier: MIT
/*
 * Sizes: the largest body, room set aside for answers, answers that do not
 * fit, and the limit of calls under way.
 */
#include <kselftest_harness.h>

#include "device.h"

#define HEADER	sizeof(struct symphony_msg)

FIXTURE(limits)
{
	struct duo duo;
	struct symphony_query q;
	unsigned char *body;
};

FIXTURE_SETUP(limits)
{
	dev_begin();
	self->q = dev_limits();
	self->body = calloc(1, 2 * MIB);
	ASSERT_NE(NULL, self->body);
	ASSERT_EQ(0, duo_join(&self->duo, SYMPHONY_POOL_MIN, MIB));
}

FIXTURE_TEARDOWN(limits)
{
	duo_close(&self->duo);
	free(self->body);
}

static int send_sized(struct _test_data_limits *self, __u32 len, __u32 reply_max)
{
	struct symphony_call call = ep_request(self->duo.svc, self->body, len);

	call.reply_max = reply_max;
	return ep_send(&self->duo.client, &call);
}

TEST_F(limits, half_the_pool_is_the_largest_body)
{
	__u32 largest = MIB / 2 - HEADER;
	const struct symphony_msg *msg;

	if (self->q.share_max < 50)
		SKIP(return, "one sender may hold %u%% only", self->q.share_max);
	dev_fill(self->body, largest, 5);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-EMSGSIZE, send_sized(self, largest + 1, 1));
		ASSERT_EQ(0, send_sized(self, largest, 1));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(largest, msg->body_len);
		EXPECT_TRUE(dev_filled(ep_body(msg), largest, 5));
		EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0,
				      SYMPHONY_REPLY_RELEASE));
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(0, ep_release(&self->duo.client, msg));
	}
}

TEST_F(limits, half_the_pool_fits_beside_what_the_server_holds_itself)
{
	ASSERT_EQ(0, ep_watch(&self->duo.server, self->duo.client.id, 0, 0));
	EXPECT_EQ(0, send_sized(self, MIB / 2 - HEADER, 1));
	EXPECT_EQ(-EAGAIN, send_sized(self, MIB / 2 - HEADER, 1));
}

TEST_F(limits, too_large_bodies_are_emsgsize)
{
	static const __u32 bad[] = {
		MIB - HEADER, MIB, MIB + 1, 0x7fffffff, 0x80000000, 0xffffff00,
		0xffffff7f, 0xffffff80, 0xffffff81, 0xffffffff,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct symphony_call call = ep_request(self->duo.svc, self->body,
						       bad[i]);

		/* Too large for ever, so that there is nothing to wait for. */
		EXPECT_EQ(-EMSGSIZE, ep_call(&self->duo.client, &call))
			TH_LOG("body of %u", bad[i]);
		EXPECT_EQ(-EMSGSIZE, ep_send(&self->duo.client, &call))
			TH_LOG("body of %u", bad[i]);
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(limits, too_large_reply_max_is_emsgsize)
{
	static const __u32 bad[] = {
		SYMPHONY_POOL_MIN, SYMPHONY_POOL_MIN + 1, 0x7fffffff, 0x80000000,
		0xffffff00, 0xffffff7f, 0xffffff80, 0xffffff81, 0xffffffff,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EMSGSIZE, send_sized(self, 1, bad[i]))
			TH_LOG("reply_max of %u", bad[i]);
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, send_sized(self, 1, SYMPHONY_POOL_MIN / 2 - HEADER));
}

TEST_F(limits, reply_without_room_is_emsgsize_on_both_sides)
{
	struct symphony_call call = ep_request(self->duo.svc, "x", 1);
	const struct symphony_msg *msg;
	struct caller caller;

	call.reply_max = 100;
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, caller_start(&caller, &self->duo.client, call));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(-EMSGSIZE, ep_reply(&self->duo.server, msg, self->body,
					      100000, SYMPHONY_REPLY_RELEASE));
		ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
		EXPECT_EQ(0, caller.ret);
		EXPECT_EQ(-EMSGSIZE, caller.call.status);
		EXPECT_EQ(100000, caller.call.needed);
		EXPECT_EQ(SYMPHONY_NO_OFFSET, caller.call.offset);
		/* That was the outcome: there is no second answer. */
		EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, msg, "y", 1, 0));
		ep_release(&self->duo.server, msg);
	}
}

TEST_F(limits, send_is_told_of_a_reply_without_room)
{
	struct symphony_call call = ep_request(self->duo.svc, "x", 1);
	const struct symphony_msg *msg;

	call.cookie = 99;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(-EMSGSIZE, ep_reply(&self->duo.server, msg, self->body, 70000, 0));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_REPLY, msg->type);
	EXPECT_EQ(99, msg->cookie);
	EXPECT_EQ(-EMSGSIZE, msg->status);
	EXPECT_EQ(70000, msg->needed);
	EXPECT_EQ(0, msg->body_len);
	EXPECT_EQ(0, msg->sender);
}

TEST_F(limits, absurd_replies_are_emsgsize)
{
	static const __u32 bad[] = { 0x7fffffff, 0x80000000, 0xffffff80, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct symphony_msg *msg;

		ASSERT_EQ(0, send_sized(self, 1, 1));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(-EMSGSIZE, ep_reply(&self->duo.server, msg, self->body,
					      bad[i], SYMPHONY_REPLY_RELEASE));
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(-EMSGSIZE, msg->status);
		EXPECT_EQ(bad[i], msg->needed);
		EXPECT_EQ(0, ep_release(&self->duo.client, msg));
	}
}

TEST_F(limits, larger_reply_takes_free_room)
{
	/* Both the room set aside and the room taken come back, or it ends. */
	for (int i = 0; i < 100; i++) {
		const struct symphony_msg *msg;

		ASSERT_EQ(0, send_sized(self, 1, 20000));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		dev_fill(self->body, 30000, i);
		ASSERT_EQ(0, ep_reply(&self->duo.server, msg, self->body, 30000,
				      SYMPHONY_REPLY_RELEASE));
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(30000, msg->body_len);
		ASSERT_TRUE(dev_filled(ep_body(msg), 30000, i));
		ASSERT_EQ(0, ep_release(&self->duo.client, msg));
	}
}

TEST_F(limits, larger_replies_have_a_senders_share)
{
	int held = 0, ret = 0;

	if (self->q.share_max > 50)
		SKIP(return, "one sender may hold %u%%", self->q.share_max);
	/* The caller keeps what it gets; the room it asked for is small. */
	while (!ret) {
		const struct symphony_msg *msg;

		ASSERT_EQ(0, send_sized(self, 1, 1));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ret = ep_reply(&self->duo.server, msg, self->body, 4000,
			       SYMPHONY_REPLY_RELEASE);
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(ret, msg->status);
		held += !ret;
	}
	EXPECT_EQ(-EMSGSIZE, ret);
	EXPECT_GE(held, 1);
	EXPECT_LE((__u64)held * 4128 * 100,
		  (__u64)SYMPHONY_POOL_MIN * self->q.share_max);
	/* The rest is the caller's own, to set aside. */
	EXPECT_EQ(0, send_sized(self, 1, 4000));
}

TEST_F(limits, own_pool_full_is_enobufs)
{
	int why, sent = duo_flood(&self->duo, 1, 4000, &why);
	const struct symphony_msg *msg;

	EXPECT_EQ(-ENOBUFS, why);
	EXPECT_GE(sent, 8);
	EXPECT_LE(sent, SYMPHONY_POOL_MIN / 4096);
	/* CALL does not wait for what only its caller can give back. */
	EXPECT_EQ(-ENOBUFS, ep_call(&self->duo.client, &(struct symphony_call){
		.size = sizeof(struct symphony_call), .handle = self->duo.svc,
		.reply_max = 4000, .deadline = dev_after(DEV_LONG),
	}));

	/* Every room that was set aside holds what it promised. */
	dev_fill(self->body, 4000, 9);
	for (int i = 0; i < sent; i++) {
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(0, ep_reply(&self->duo.server, msg, self->body, 4000,
				      SYMPHONY_REPLY_RELEASE));
	}
	for (int i = 0; i < sent; i++) {
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(0, msg->status);
		EXPECT_EQ(i, msg->cookie);
		EXPECT_TRUE(dev_filled(ep_body(msg), 4000, 9));
		/* Fetched, not released: still no room. */
		if (i == 0) {
			EXPECT_EQ(-ENOBUFS, send_sized(self, 1, 4000));
		}
		EXPECT_EQ(0, ep_release(&self->duo.client, msg));
		if (i == 0) {
			EXPECT_EQ(0, send_sized(self, 1, 4000));
		}
	}
}

static int call_for(struct _test_data_limits *self)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	call.reply_max = 1;
	call.deadline = 0;
	return ep_send(&self->duo.client, &call);
}

TEST_F(limits, calls_max_is_edquot)
{
	long before = dev_param("calls_max", 20);
	__u32 offset;
	int sent = 0, at_limit = 0, unfetched, fetched;

	if (before < 0)
		SKIP(return, "no module parameters (%ld)", before);
	/* No failure may leave here before the limit is what it was. */
	while (sent < 100 && !(at_limit = call_for(self)))
		sent++;
	for (int i = 0; i < sent; i++)
		ep_reply(&self->duo.server, ep_next(&self->duo.server, -1), NULL, 0,
			 SYMPHONY_REPLY_RELEASE);
	unfetched = call_for(self);
	ep_recv(&self->duo.client, &offset, 1, -1);
	fetched = call_for(self);
	EXPECT_EQ(20, dev_param("calls_max", before));

	EXPECT_EQ(20, sent);
	EXPECT_EQ(-EDQUOT, at_limit);
	/* An outcome that was not fetched still counts. */
	EXPECT_EQ(-EDQUOT, unfetched);
	EXPECT_EQ(0, fetched);
}

TEST_F(limits, calls_max_holds_for_calls_too)
{
	long before = dev_param("calls_max", 1);
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);
	int ret = call_for(self);

	if (before < 0)
		SKIP(return, "no module parameters (%ld)", before);
	/* It is the caller's own limit: there is nothing to wait for. */
	ret = ret ?: ep_call(&self->duo.client, &call);
	EXPECT_EQ(1, dev_param("calls_max", before));
	EXPECT_EQ(-EDQUOT, ret);
	EXPECT_EQ(0, call.id);
}

TEST_F(limits, services_max_is_edquot)
{
	long before = dev_param("services_max", 3);
	__u64 handle;
	int second, third, fourth, again;

	if (before < 0)
		SKIP(return, "no module parameters (%ld)", before);
	second = ep_claim(&self->duo.server, "second", &handle);
	third = ep_claim(&self->duo.server, "third", &handle);
	fourth = ep_claim(&self->duo.server, "fourth", &handle);
	/* Another replica of what there is takes no more. */
	again = ep_claim(&self->duo.client, "second", &handle);
	EXPECT_EQ(3, dev_param("services_max", before));
	EXPECT_EQ(0, second);
	EXPECT_EQ(0, third);
	EXPECT_EQ(-EDQUOT, fourth);
	EXPECT_EQ(0, again);
	EXPECT_EQ(-ENOENT, ep_resolve(&self->duo.client, "fourth", &handle));
	EXPECT_EQ(0, ep_claim(&self->duo.client, "fourth", &handle));
}

TEST_HARNESS_MAIN
