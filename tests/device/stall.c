// SPDX-License-Identifier: MIT
/*
 * Copies that stall: the body of a request in memory that userfaultfd withholds.
 * Nobody else waits for the copier: not other senders, deadlines, cancel, nor
 * anyone's exit; and it holds no room.
 */
#include "stall.h"

TEST_F(stall, request_reaches_the_server_when_it_is_whole)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 3));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, outcome_is(self, 0));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_is_what_it_was_when_it_was_sent)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	self->copier.call = ep_request(~0ULL, "other", 5);
	self->copier.call.method = 7;
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, msg->method);
	EXPECT_EQ(0, msg->deadline);
	EXPECT_EQ(PAGE, msg->body_len);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 3));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, outcome_is(self, 0));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_delays_nobody_else)
{
	struct symphony_call call;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	EXPECT_EQ(0, others_go_on(self));
	/* Nor the same endpoint's other threads. */
	call = ep_request(self->duo.svc, "x", 1);
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
	ASSERT_NE(NULL, ep_next(&self->duo.server, -1));
	EXPECT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
}

TEST_F(stall, request_is_over_at_its_deadline)
{
	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, dev_after(100)));
	/* Either now, or when SEND returns with the error. */
	if (ep_recv(&self->duo.client, (__u32[1]){}, 1, 400) == 1) {
		ASSERT_EQ(0, stall_end(&self->stall, 3));
		ASSERT_EQ(0, copier_join(&self->copier));
		EXPECT_EQ(0, self->copier.ret);
	} else {
		ASSERT_EQ(0, stall_end(&self->stall, 3));
		ASSERT_EQ(0, copier_join(&self->copier));
		EXPECT_EQ(-ETIME, self->copier.ret);
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(stall, call_is_over_at_its_deadline)
{
	int ret;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_CALL, dev_after(100)));
	dev_nap(200);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	ret = self->copier.ret ?: self->copier.call.status;
	EXPECT_EQ(-ETIME, ret);
	/* Nobody serves what nobody waits for. */
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_can_be_cancelled)
{
	volatile struct symphony_call *call = &self->copier.call;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	if (!call->id) {
		ASSERT_EQ(0, stall_end(&self->stall, 3));
		SKIP(return, "the id is written after the copy");
	}
	EXPECT_EQ(0, ep_cancel(&self->duo.client, call->id, call->slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, call_can_be_cancelled)
{
	volatile struct symphony_call *call = &self->copier.call;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_CALL, 0));
	if (call->id) {
		EXPECT_EQ(0, ep_cancel(&self->duo.client, call->id, call->slot));
	}
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	if (!call->id)
		SKIP(return, "the id is written after the copy");
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ECANCELED, self->copier.ret ?: self->copier.call.status);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_does_not_hold_up_the_servers_death)
{
	__u64 start, id = self->duo.server.id;

	ASSERT_EQ(0, ep_watch(&self->other, id, 0, 0));
	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_CALL, dev_after(DEV_LONG)));
	start = dev_now();
	ep_close(&self->duo.server);
	EXPECT_NE(NULL, ep_next(&self->other, DEV_LONG));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	/* No replica was left to take it to. */
	EXPECT_EQ(-ECONNREFUSED, self->copier.ret ?: self->copier.call.status);
}

TEST_F(stall, request_moves_to_the_replica_that_lives)
{
	const struct symphony_msg *msg;
	__u64 svc;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	ASSERT_EQ(0, ep_claim(&self->other, "svc", &svc));
	ep_close(&self->duo.server);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	ASSERT_EQ(0, self->copier.ret);
	msg = ep_next(&self->other, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 3));
	EXPECT_EQ(0, ep_reply(&self->other, msg, NULL, 0, 0));
	EXPECT_EQ(0, outcome_is(self, 0));
}

/* Once the copy of the SEND is whole, it is @ep's to answer. */
static int ends_up_with(struct _test_data_stall *self, struct ep *ep)
{
	int ret = stall_end(&self->stall, 3) ?: copier_join(&self->copier) ?: self->copier.ret;
	const struct symphony_msg *msg = ret ? NULL : ep_next(ep, DEV_LONG);

	while (msg && msg->type != SYMPHONY_MSG_CALL)
		msg = ep_next(ep, DEV_LONG);
	if (!msg)
		return ret ?: -errno;
	if (!dev_filled(ep_body(msg), PAGE, 3))
		return -EBADMSG;
	return ep_reply(ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE) ?: outcome_is(self, 0);
}

TEST_F(stall, request_does_not_hold_up_a_takeover)
{
	const struct symphony_msg *msg;
	__u64 svc, start;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	start = dev_now();
	EXPECT_EQ(0, ep_claim_with(&self->other, "svc", SYMPHONY_CLAIM_TAKEOVER, 0, &svc));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_TAKEOVER, msg->type);
	EXPECT_LE(dev_now() - start, SOON);
	EXPECT_EQ(0, ends_up_with(self, &self->other));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(stall, request_does_not_hold_up_a_drain)
{
	__u64 svc, start;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	ASSERT_EQ(0, ep_claim(&self->other, "svc", &svc));
	start = dev_now();
	EXPECT_EQ(0, ep_drain(&self->duo.server, svc, false));
	EXPECT_LE(dev_now() - start, SOON);
	EXPECT_EQ(0, ends_up_with(self, &self->other));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(stall, request_does_not_hold_up_an_unclaim)
{
	__u64 start;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	start = dev_now();
	EXPECT_EQ(0, ep_unclaim(&self->duo.server, self->duo.svc));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ECONNREFUSED, self->copier.ret);
	EXPECT_EQ(0, ep_claim(&self->duo.server, "svc", &self->duo.svc));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, server_can_be_killed)
{
	const struct symphony_msg *msg;
	struct kid kid;
	__s64 svc, id;
	__u64 start;

	if (!kid_fork(&kid)) {
		__u64 handle = 0;
		struct ep ep;

		if (ep_join(&ep, MIB) || ep_claim(&ep, "killed", &handle))
			_exit(2);
		kid_tell(&kid, ep.id);
		kid_tell(&kid, handle);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &id));
	ASSERT_EQ(0, kid_hear(&kid, &svc));
	ASSERT_EQ(0, ep_watch(&self->other, id, 0, 0));
	ASSERT_EQ(0, stall_request_of(self, svc, PAGE, SYMPHONY_IOC_SEND, 0));
	start = dev_now();
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	msg = ep_next(&self->other, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_GONE, msg->type);
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ECONNREFUSED, self->copier.ret);
}

TEST_F(stall, request_holds_no_room)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, stall_request_of(self, self->duo.svc, LARGEST, SYMPHONY_IOC_SEND, 0));
	/* All of the pool is there for its own sender and for others. */
	EXPECT_EQ(0, room_is_back(self));
	EXPECT_EQ(0, others_go_on(self));
	EXPECT_EQ(0, room_is_back(self));
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(LARGEST, msg->body_len);
	EXPECT_TRUE(dev_filled(ep_body(msg) + LARGEST - PAGE, PAGE, 3));
}

TEST_F(stall, sender_can_be_killed)
{
	struct kid kid;
	__s64 hit = -1;
	__u64 start;

	if (!kid_fork(&kid)) {
		struct stall stall;
		struct caller caller;
		struct ep ep;
		__u64 svc;

		if (stall_init(&stall) || ep_join(&ep, MIB) ||
		    ep_resolve(&ep, "svc", &svc) ||
		    caller_start(&caller, &ep, ep_request(svc, stall.page, PAGE)))
			_exit(2);
		kid_tell(&kid, stall_hit(&stall));
		for (;;)
			pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &hit));
	ASSERT_EQ(0, hit);
	start = dev_now();
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_LE(dev_now() - start, SOON);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	dev_nap(DEV_BEAT);
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, receiver_delays_nobody_else)
{
	struct symphony_recv recv = {
		.size = sizeof(recv), .max = 4, .deadline = dev_after(DEV_LONG),
		.offsets = (uintptr_t)self->stall.page,
	};
	struct copier copier = { .ep = &self->duo.server };

	/* Where the offsets go is what is not there. */
	copier.op = SYMPHONY_IOC_RECV;
	memcpy(&copier.call, &recv, sizeof(recv));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
	}
	ASSERT_EQ(0, pthread_create(&copier.thread, NULL, copier_run, &copier));
	ASSERT_EQ(0, stall_hit(&self->stall));
	EXPECT_EQ(0, others_go_on(self));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	/* Others may have served what it had not taken yet. */
	ASSERT_EQ(0, duo_send(&self->duo, 9, 8));
	ASSERT_EQ(0, copier_join(&copier));
	EXPECT_EQ(0, copier.ret);
}

TEST_HARNESS_MAIN
