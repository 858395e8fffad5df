// SPDX-License-Identifier: MIT
/* One-way: a SEND that wants no answer arrives, and leaves nothing behind. */
#include <signal.h>
#include <kselftest_harness.h>

#include "claim.h"

FIXTURE(oneway)
{
	struct duo duo;
};

FIXTURE_SETUP(oneway)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
}

FIXTURE_TEARDOWN(oneway)
{
	duo_close(&self->duo);
}

#define CLIENT	(&self->duo.client)
#define SERVER	(&self->duo.server)

static struct symphony_call message(__u64 svc, const void *body, __u32 len)
{
	return (struct symphony_call){
		.size = sizeof(struct symphony_call),
		.flags = SYMPHONY_CALL_ONEWAY,
		.handle = svc,
		.body = (uintptr_t)body,
		.body_len = len,
	};
}

static __u64 calls_used(void)
{
	return dev_limits().user_calls.used;
}

TEST_F(oneway, arrives_and_cannot_be_answered)
{
	struct symphony_call call = message(self->duo.svc, "word", 4);
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_send(CLIENT, &call));
	EXPECT_NE(0, call.id);
	EXPECT_EQ(SYMPHONY_NO_OFFSET, call.slot);
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_CALL, msg->type);
	EXPECT_EQ(SYMPHONY_MSG_ONEWAY, msg->flags);
	EXPECT_EQ(call.id, msg->id);
	EXPECT_EQ(CLIENT->id, msg->sender);
	EXPECT_EQ(4, msg->body_len);
	EXPECT_EQ(-ESRCH, ep_reply(SERVER, msg, NULL, 0, 0));
	EXPECT_EQ(0, ep_release(SERVER, msg));
	EXPECT_EQ(-EINVAL, ep_release(SERVER, msg));
	EXPECT_TRUE(ep_is_quiet(CLIENT));
	EXPECT_EQ(-ESRCH, ep_cancel(CLIENT, call.id, call.slot));
}

TEST_F(oneway, is_handed_to_who_waits)
{
	struct symphony_call call = message(self->duo.svc, "word", 4);
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, SERVER));
	for (int i = 0; i < 200; i++) {
		call.id = 0;
		call.slot = 0;
		ASSERT_EQ(0, ep_send(CLIENT, &call));
		if (i % 16 == 0)
			dev_nap(1);
	}
	EXPECT_TRUE(dev_until(echo.refused == 200));
	echo_stop(&echo);
	EXPECT_TRUE(ep_is_quiet(CLIENT));
}

TEST_F(oneway, refuses_what_makes_no_sense)
{
	struct symphony_call call = message(self->duo.svc, "word", 4);

	EXPECT_EQ(-EINVAL, ep_call(CLIENT, &call));
	call.reply_max = 1;
	EXPECT_EQ(-EINVAL, ep_send(CLIENT, &call));
	call.reply_max = 0;
	call.parent = 1;
	EXPECT_EQ(-EINVAL, ep_send(CLIENT, &call));
}

/* Without an end it counts against its sender; each end gives that back. */
TEST_F(oneway, is_on_the_ledger_until_it_is_received)
{
	struct symphony_call call = message(self->duo.svc, NULL, 0);
	__u64 before = calls_used();
	const int n = 300;
	int i;

	for (i = 0; i < n; i++) {
		call.id = 0;
		call.slot = 0;
		ASSERT_EQ(0, ep_send(CLIENT, &call));
	}
	EXPECT_LE(before + n - 32, calls_used());
	for (i = 0; i < n; i++)
		ASSERT_EQ(0, ep_release(SERVER, ep_next(SERVER, DEV_LONG)));
	EXPECT_GE(before + 64, calls_used());
	/* Its deadline. */
	call.deadline = dev_after(DEV_BEAT);
	for (i = 0; i < n; i++) {
		call.id = 0;
		call.slot = 0;
		if (ep_send(CLIENT, &call))
			break;
	}
	EXPECT_LT(0, i);
	dev_nap(3 * DEV_BEAT);
	EXPECT_TRUE(ep_is_quiet(SERVER));
	EXPECT_TRUE(dev_until(calls_used() <= before + 64));
	/* The replica's death. */
	call.deadline = 0;
	for (i = 0; i < n; i++) {
		call.id = 0;
		call.slot = 0;
		ASSERT_EQ(0, ep_send(CLIENT, &call));
	}
	ep_close(SERVER);
	EXPECT_TRUE(dev_until(calls_used() <= before + 64));
	EXPECT_TRUE(ep_is_quiet(CLIENT));
}

/*
 * A message that was received is over, long before its deadline. A call that its
 * timer kept would be here still when the module is unloaded, which is a warning.
 */
TEST_F(oneway, leaves_nothing_for_its_deadline)
{
	struct symphony_call call = message(self->duo.svc, "word", 4);

	for (int i = 0; i < 200; i++) {
		call.id = 0;
		call.slot = 0;
		call.deadline = dev_after(3600 * 1000);
		ASSERT_EQ(0, ep_send(CLIENT, &call));
		ASSERT_EQ(0, ep_release(SERVER, ep_next(SERVER, DEV_LONG)));
	}
}

TEST_F(oneway, outlives_its_sender)
{
	__u64 before = calls_used();
	struct kid kid;
	__s64 sent;
	int i;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;
		__u64 svc;

		if (ep_join(&ep, MIB) || ep_resolve(&ep, "svc", &svc))
			_exit(1);
		call = message(svc, "late", 4);
		for (sent = 0; sent < 100; sent++) {
			call.id = 0;
			call.slot = 0;
			if (ep_send(&ep, &call))
				_exit(1);
		}
		kid_tell(&kid, sent);
		pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &sent));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, ep_release(SERVER, ep_next(SERVER, DEV_LONG)));
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	for (; i < sent; i++)
		ASSERT_EQ(0, ep_release(SERVER, ep_next(SERVER, DEV_LONG)));
	EXPECT_TRUE(dev_until(calls_used() == before));
}

TEST_F(oneway, moves_to_another_replica)
{
	struct symphony_call call = message(self->duo.svc, "word", 4);
	struct ep heir;
	__u64 svc;

	ASSERT_EQ(0, ep_join(&heir, MIB));
	for (int i = 0; i < 20; i++) {
		call.id = 0;
		call.slot = 0;
		ASSERT_EQ(0, ep_send(CLIENT, &call));
	}
	ASSERT_EQ(0, ep_claim_with(&heir, "svc", SYMPHONY_CLAIM_TAKEOVER, 0, &svc));
	for (int i = 0; i < 20; i++) {
		const struct symphony_msg *msg = ep_next(&heir, DEV_LONG);

		ASSERT_NE(NULL, msg);
		EXPECT_EQ(SYMPHONY_MSG_ONEWAY, msg->flags);
		EXPECT_EQ(0, ep_release(&heir, msg));
	}
	ep_close(&heir);
}

/* The one it moves to has forgotten its sender, which is dead, by then. */
TEST_F(oneway, moves_without_its_sender)
{
	struct symphony_call call;
	struct ep first, heir, sender;
	const struct symphony_msg *msg;
	__u64 x, y;

	ASSERT_EQ(0, ep_join(&first, MIB));
	ASSERT_EQ(0, ep_join(&heir, MIB));
	ASSERT_EQ(0, ep_join(&sender, MIB));
	ASSERT_EQ(0, ep_claim_with(&first, "x", SYMPHONY_CLAIM_REQUEUE, 0, &x));
	call = message(x, "late", 4);
	call.method = 77;
	ASSERT_EQ(0, ep_send(&sender, &call));
	ASSERT_EQ(0, ep_claim_with(&heir, "x", SYMPHONY_CLAIM_REQUEUE, 0, &x));
	ASSERT_EQ(0, ep_claim(&heir, "y", &y));
	for (int i = 0; i < 150; i++) {
		call = message(y, "x", 1);
		ASSERT_EQ(0, ep_send(&sender, &call));
		ASSERT_EQ(0, ep_release(&heir, ep_next(&heir, DEV_LONG)));
		ep_close(&sender);
		ASSERT_EQ(0, ep_join(&sender, SYMPHONY_POOL_MIN));
	}
	ep_close(&first);
	msg = ep_next(&heir, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(77, msg->method);
	EXPECT_EQ(0, ep_release(&heir, msg));
	ep_close(&sender);
	ep_close(&heir);
}

/*
 * One that found room is received and released while another one of the same dead
 * sender still waits for room: what is known of the sender stays for that.
 */
TEST_F(oneway, waits_for_room_without_its_sender)
{
	static char body[20000];
	const struct symphony_msg *held[64], *msg;
	struct ep first, heir, sender;
	struct symphony_call call;
	__u64 x, y;
	int nr = 0;

	ASSERT_EQ(0, ep_join(&first, MIB));
	ASSERT_EQ(0, ep_join(&heir, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_join(&sender, MIB));
	ASSERT_EQ(0, ep_claim(&heir, "y", &y));
	for (;;) {
		call = message(y, body, 3000);
		if (ep_send(CLIENT, &call))
			break;
		ASSERT_LT(nr, 64);
		held[nr] = ep_next(&heir, DEV_LONG);
		ASSERT_NE(NULL, held[nr++]);
	}
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, ep_claim_with(&first, "x", SYMPHONY_CLAIM_REQUEUE, 0, &x));
	call = message(x, body, 4);
	ASSERT_EQ(0, ep_send(&sender, &call));
	call = message(x, body, sizeof(body));
	ASSERT_EQ(0, ep_send(&sender, &call));
	ep_close(&sender);
	ASSERT_EQ(0, ep_claim_with(&heir, "x", SYMPHONY_CLAIM_REQUEUE, 0, &x));
	ep_close(&first);
	msg = ep_next(&heir, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(4, msg->body_len);
	EXPECT_EQ(0, ep_release(&heir, msg));
	EXPECT_TRUE(ep_is_quiet(&heir));
	while (nr)
		ASSERT_EQ(0, ep_release(&heir, held[--nr]));
	msg = ep_next(&heir, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(sizeof(body), msg->body_len);
	EXPECT_EQ(0, ep_release(&heir, msg));
	ep_close(&heir);
}

TEST_HARNESS_MAIN
