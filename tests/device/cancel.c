// SPDX-License-Identifier: MIT
/* CANCEL and WAIT: giving a call up, wherever it is, and its one outcome. */
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(cancel)
{
	struct duo duo;
	struct symphony_call call;	/* sent, in the server's queue */
};

FIXTURE_SETUP(cancel)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	self->call = ep_request(self->duo.svc, "x", 1);
	self->call.cookie = 42;
	ASSERT_EQ(0, ep_send(&self->duo.client, &self->call));
}

FIXTURE_TEARDOWN(cancel)
{
	duo_close(&self->duo);
}

static int cancel(struct _test_data_cancel *self)
{
	return ep_cancel(&self->duo.client, self->call.id, self->call.slot);
}

/* Its outcome is @status, and there is one. */
static int outcome_is(struct _test_data_cancel *self, int status)
{
	const struct symphony_msg *msg = ep_next(&self->duo.client, DEV_LONG);

	if (!msg)
		return -errno;
	if (msg->type != SYMPHONY_MSG_REPLY || msg->cookie != 42 ||
	    msg->id != self->call.id || msg->status != status)
		return -EPROTO;
	if (status && (msg->sender || msg->body_len))
		return -EPROTO;
	if (ep_release(&self->duo.client, msg))
		return -EINVAL;
	return ep_recv(&self->duo.client, (__u32[1]){}, 1, -1) == -EAGAIN ? 0 :
									     -EEXIST;
}

TEST_F(cancel, of_a_queued_request_withdraws_it)
{
	EXPECT_EQ(0, cancel(self));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(cancel, while_served_refuses_the_answer)
{
	const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);

	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, cancel(self));
	EXPECT_EQ('x', *(const char *)ep_body(msg));
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, msg, "late", 4, 0));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
}

TEST_F(cancel, while_served_and_released_frees_the_request)
{
	const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);
	__u32 slot;

	ASSERT_NE(NULL, msg);
	slot = ep_offset(&self->duo.server, msg);
	ASSERT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(0, cancel(self));
	EXPECT_EQ(-ESRCH, ep_reply_at(&self->duo.server, self->call.id, slot, NULL, 0, 0));
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
}

TEST_F(cancel, twice_is_ealready)
{
	EXPECT_EQ(0, cancel(self));
	EXPECT_EQ(-EALREADY, cancel(self));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	EXPECT_EQ(-ESRCH, cancel(self));
}

TEST_F(cancel, after_the_answer_is_ealready)
{
	const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_reply(&self->duo.server, msg, "done", 4, 0));
	EXPECT_EQ(-EALREADY, cancel(self));
	EXPECT_EQ(0, outcome_is(self, 0));
	EXPECT_EQ(-ESRCH, cancel(self));
}

TEST_F(cancel, after_death_is_ealready)
{
	ep_close(&self->duo.server);
	EXPECT_EQ(-EALREADY, cancel(self));
	EXPECT_EQ(0, outcome_is(self, -ECONNABORTED));
}

TEST_F(cancel, after_the_outcome_was_received_is_esrch)
{
	const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_reply(&self->duo.server, msg, "done", 4, 0));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	/* Received, though not released yet. */
	EXPECT_EQ(-ESRCH, cancel(self));
	EXPECT_EQ(0, memcmp(ep_body(msg), "done", 4));
	EXPECT_EQ(0, ep_release(&self->duo.client, msg));
}

TEST_F(cancel, needs_the_right_name)
{
	struct ep *client = &self->duo.client;
	static const __u32 slots[] = {
		1, 64, 128, 128 * 100, 0x80000000, 0xffffff80, SYMPHONY_NO_OFFSET,
	};

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		EXPECT_EQ(-ESRCH, ep_cancel(client, self->call.id,
					    self->call.slot ^ slots[i]))
			TH_LOG("slot ^ %#x", slots[i]);
	}
	EXPECT_EQ(-ESRCH, ep_cancel(client, self->call.id + 1, self->call.slot));
	EXPECT_EQ(-ESRCH, ep_cancel(client, 0, self->call.slot));
	EXPECT_EQ(-ESRCH, ep_cancel(client, ~0ULL, self->call.slot));
	EXPECT_EQ(-ESRCH, ep_cancel(&self->duo.server, self->call.id, self->call.slot));
	EXPECT_EQ(0, cancel(self));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
}

TEST_F(cancel, a_request_is_not_cancelled_by_its_receiver)
{
	const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);

	ASSERT_NE(NULL, msg);
	EXPECT_EQ(-ESRCH, ep_cancel(&self->duo.server, msg->id,
				    ep_offset(&self->duo.server, msg)));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, 0));
	EXPECT_EQ(0, outcome_is(self, 0));
}

TEST_F(cancel, the_slot_of_a_pending_call_cannot_be_released)
{
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.client, self->call.slot));
	EXPECT_EQ(0, cancel(self));
	/* Nor of an outcome that was not received. */
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.client, self->call.slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
}

TEST_F(cancel, ends_a_call_that_another_thread_makes)
{
	const struct symphony_msg *msg;
	struct caller caller;

	ASSERT_NE(NULL, ep_next(&self->duo.server, DEV_LONG));
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client,
				  ep_request(self->duo.svc, "y", 1)));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, ep_cancel(&self->duo.client, msg->id,
			       *(volatile __u32 *)&caller.call.slot));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(-ECANCELED, caller.call.status);
	EXPECT_EQ(SYMPHONY_NO_OFFSET, caller.call.offset);
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, msg, NULL, 0, 0));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
}

TEST_F(cancel, wait_is_not_for_sends)
{
	EXPECT_EQ(-EINVAL, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(-EINVAL, ep_wait(&self->duo.client, &self->call,
				   SYMPHONY_WAIT_DONTWAIT));
	EXPECT_EQ(0, cancel(self));
	EXPECT_EQ(-EINVAL, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &self->call, 0));
}

TEST_F(cancel, wait_needs_the_right_name)
{
	struct symphony_call call = self->call;

	call.id++;
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &call, 0));
	call.id = 0;
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &call, 0));
	call = self->call;
	call.slot += 128;
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &call, 0));
	call.slot = SYMPHONY_NO_OFFSET;
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &call, 0));
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.server, &self->call, 0));
}

TEST_F(cancel, wait_while_another_thread_waits_is_ebusy)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct caller caller;

	ASSERT_NE(NULL, ep_next(&self->duo.server, DEV_LONG));
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client,
				  ep_request(self->duo.svc, "y", 1)));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	dev_nap(DEV_BEAT);
	call = *(volatile struct symphony_call *)&caller.call;
	EXPECT_EQ(msg->id, call.id);
	EXPECT_EQ(-EBUSY, ep_wait(&self->duo.client, &call, 0));
	EXPECT_EQ(-EBUSY, ep_call(&self->duo.client, &call));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, 0));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &call, 0));
}

TEST_F(cancel, races_with_the_answer_for_one_outcome)
{
	int cancelled = 0, answered = 0;
	struct echo echo;

	EXPECT_EQ(0, cancel(self));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	for (int i = 0; i < 300; i++) {
		int ret, status;

		self->call = ep_request(self->duo.svc, "x", 1);
		self->call.cookie = 42;
		ASSERT_EQ(0, ep_send(&self->duo.client, &self->call));
		for (volatile int spin = 0; spin < i * 50; spin++)
			;
		ret = cancel(self);
		ASSERT_TRUE(ret == 0 || ret == -EALREADY) TH_LOG("gave %d", ret);
		status = ret ? 0 : -ECANCELED;
		ASSERT_EQ(0, outcome_is(self, status));
		cancelled += !ret;
		answered += !!ret;
	}
	TH_LOG("%d cancelled, %d answered", cancelled, answered);
	echo_stop(&echo);
	EXPECT_TRUE(echo.last_error == 0 || echo.last_error == -ESRCH);
}

TEST_HARNESS_MAIN
