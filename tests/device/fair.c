// SPDX-License-Identifier: MIT
/*
 * Round robin: a flood delays its own sender, nobody else. Senders have their
 * turns within those of their user, and a user who had nothing queued comes first.
 */
#include <kselftest_harness.h>

#include "device.h"

#define FLOOD	40

/* Of @turns others before it; one more may have been taken already. */
#define EXPECT_IN_TURN(at, turns)			\
	do {						\
		int place = (at);			\
							\
		EXPECT_GE(place, 0);			\
		EXPECT_LE(place, (turns) + 1);		\
	} while (0)

FIXTURE(fair)
{
	struct duo duo;		/* its client is the one that floods */
	struct ep polite[3];
};

FIXTURE_SETUP(fair)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	for (size_t i = 0; i < ARRAY_SIZE(self->polite); i++) {
		ASSERT_EQ(0, ep_join(&self->polite[i], MIB));
	}
	for (int i = 0; i < FLOOD; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
	}
}

FIXTURE_TEARDOWN(fair)
{
	duo_close(&self->duo);
	for (size_t i = 0; i < ARRAY_SIZE(self->polite); i++)
		ep_close(&self->polite[i]);
}

static int send_to(__u64 svc, struct ep *ep, __u64 method)
{
	struct symphony_call call = ep_request(svc, NULL, 0);

	call.method = method;
	call.reply_max = 1;
	return ep_send(ep, &call);
}

static int send_from(struct _test_data_fair *self, struct ep *ep, __u64 method)
{
	return send_to(self->duo.svc, ep, method);
}

/* How many messages come before the first from @sender, received singly. */
static int position(struct _test_data_fair *self, __u64 sender)
{
	const struct symphony_msg *msg;

	for (int i = 0;; i++) {
		msg = ep_next(&self->duo.server, -1);
		if (!msg)
			return -errno;
		if (msg->sender == sender)
			return i;
	}
}

TEST_F(fair, late_sender_waits_one_turn)
{
	ASSERT_EQ(0, send_from(self, &self->polite[0], 0));
	EXPECT_IN_TURN(position(self, self->polite[0].id), 1);
}

TEST_F(fair, late_senders_wait_one_round)
{
	for (size_t i = 0; i < ARRAY_SIZE(self->polite); i++) {
		ASSERT_EQ(0, send_from(self, &self->polite[i], i));
	}
	EXPECT_IN_TURN(position(self, self->polite[2].id), 3);
}

TEST_F(fair, joins_the_round_while_it_runs)
{
	for (int i = 0; i < 5; i++) {
		ASSERT_NE(NULL, ep_next(&self->duo.server, -1));
		ASSERT_EQ(0, send_from(self, &self->polite[0], i));
		EXPECT_IN_TURN(position(self, self->polite[0].id), 1);
	}
}

TEST_F(fair, turns_alternate_between_two)
{
	int last = 0, longest = 0, run = 0, from;

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, send_from(self, &self->polite[0], i));
	}
	for (int i = 0, polite = 0; polite < 10; i++) {
		const struct symphony_msg *msg = ep_next(&self->duo.server, -1);

		ASSERT_NE(NULL, msg);
		from = msg->sender == self->polite[0].id ? 2 : 1;
		/* Each sender's own order stays. */
		if (from == 2) {
			EXPECT_EQ(polite++, msg->method);
		}
		run = from == last ? run + 1 : 1;
		last = from;
		longest = run > longest ? run : longest;
	}
	EXPECT_LE(longest, 2);
}

TEST_F(fair, within_a_batch_too)
{
	__u32 offsets[FLOOD + 8];
	int at = -1, nr;

	ASSERT_EQ(0, send_from(self, &self->polite[0], 0));
	nr = ep_recv(&self->duo.server, offsets, ARRAY_SIZE(offsets), -1);
	ASSERT_EQ(FLOOD + 1, nr);
	for (int i = 0; i < nr; i++) {
		if (ep_msg(&self->duo.server, offsets[i])->sender == self->polite[0].id)
			at = i;
	}
	EXPECT_IN_TURN(at, 1);
}

TEST_F(fair, sender_that_dies_leaves_the_round)
{
	struct symphony_call call;
	struct echo echo;

	ASSERT_EQ(0, send_from(self, &self->polite[0], 0));
	ep_close(&self->duo.client);
	EXPECT_IN_TURN(position(self, self->polite[0].id), 0);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	call = ep_request(self->duo.svc, NULL, 0);
	EXPECT_EQ(0, ep_outcome(&self->polite[1], &call));
	echo_stop(&echo);
}

TEST_F(fair, outcomes_are_not_behind_the_flood)
{
	struct symphony_call call;
	__u64 handle;

	/* The server is itself a client of polite[0], which answers. */
	ASSERT_EQ(0, ep_claim(&self->polite[0], "polite", &handle));
	call = ep_request(handle, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->duo.server, &call));
	ASSERT_EQ(0, ep_reply(&self->polite[0], ep_next(&self->polite[0], DEV_LONG),
			      NULL, 0, 0));
	EXPECT_IN_TURN(position(self, self->polite[0].id), 1);
}

TEST_F(fair, a_call_is_answered_during_a_flood)
{
	struct symphony_call call = ep_request(self->duo.svc, "x", 1);
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	for (int i = 0; i < 5; i++) {
		struct symphony_call again = call;

		EXPECT_EQ(0, ep_outcome(&self->polite[0], &again));
	}
	echo_stop(&echo);
}

#define ALICE	1001
#define BOB	1002
#define CAROL	1003

FIXTURE(users)
{
	struct ep server;
	struct ep alice[2], bob;
	struct ep others[6];	/* each of another user */
	__u64 svc;
};

FIXTURE_SETUP(users)
{
	dev_begin();
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join_bus(&self->server, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, 0));
	ASSERT_EQ(0, ep_claim(&self->server, "svc", &self->svc));
	ASSERT_EQ(0, ep_join_as(&self->alice[0], ALICE, 0));
	ASSERT_EQ(0, ep_join_as(&self->alice[1], ALICE, 0));
	ASSERT_EQ(0, ep_join_as(&self->bob, BOB, 0));
	for (size_t i = 0; i < ARRAY_SIZE(self->others); i++) {
		ASSERT_EQ(0, ep_join_as(&self->others[i], CAROL + i, 0));
	}
}

FIXTURE_TEARDOWN(users)
{
}

static int backlog(struct _test_data_users *self, struct ep *ep)
{
	int err = 0;

	for (int i = 0; i < FLOOD && !err; i++)
		err = send_to(self->svc, ep, i);
	return err;
}

static __u64 next_sender(struct _test_data_users *self)
{
	const struct symphony_msg *msg = ep_next(&self->server, -1);

	return msg ? msg->sender : 0;
}

TEST_F(users, who_had_nothing_queued_come_first)
{
	ASSERT_EQ(0, backlog(self, &self->alice[0]));
	ASSERT_EQ(0, backlog(self, &self->alice[1]));
	EXPECT_NE(0, next_sender(self));
	EXPECT_NE(0, next_sender(self));
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, send_to(self->svc, &self->bob, i));
		EXPECT_EQ(self->bob.id, next_sender(self));
		EXPECT_NE(self->bob.id, next_sender(self));
	}
}

TEST_F(users, who_have_a_backlog_are_served_every_second_time)
{
	__u64 alice = self->alice[0].id;

	ASSERT_EQ(0, backlog(self, &self->alice[0]));
	EXPECT_EQ(alice, next_sender(self));
	EXPECT_EQ(alice, next_sender(self));
	/* However many come who had nothing queued, and come again. */
	for (size_t i = 0; i < ARRAY_SIZE(self->others); i++) {
		ASSERT_EQ(0, send_to(self->svc, &self->others[i], i));
	}
	for (size_t i = 0; i < ARRAY_SIZE(self->others); i++) {
		EXPECT_EQ(self->others[i].id, next_sender(self));
		EXPECT_EQ(alice, next_sender(self));
		ASSERT_EQ(0, send_to(self->svc, &self->others[i], i));
	}
}

TEST_F(users, have_equal_turns_with_any_number_of_endpoints)
{
	int alices[2] = {}, bobs = 0;
	__u64 sender;

	ASSERT_EQ(0, backlog(self, &self->alice[0]));
	ASSERT_EQ(0, backlog(self, &self->alice[1]));
	ASSERT_EQ(0, backlog(self, &self->bob));
	/* Until none of them is new any more. */
	for (int i = 0; i < 4; i++) {
		EXPECT_NE(0, next_sender(self));
	}
	for (int i = 0; i < 40; i++) {
		sender = next_sender(self);
		alices[0] += sender == self->alice[0].id;
		alices[1] += sender == self->alice[1].id;
		bobs += sender == self->bob.id;
	}
	EXPECT_EQ(20, bobs);
	EXPECT_EQ(10, alices[0]);
	EXPECT_EQ(10, alices[1]);
}

TEST_F(users, take_turns_within_a_batch_too)
{
	__u32 offsets[4];

	ASSERT_EQ(0, backlog(self, &self->alice[0]));
	EXPECT_NE(0, next_sender(self));
	EXPECT_NE(0, next_sender(self));
	ASSERT_EQ(0, send_to(self->svc, &self->others[0], 0));
	ASSERT_EQ(0, send_to(self->svc, &self->others[1], 1));
	ASSERT_EQ(4, ep_recv(&self->server, offsets, 4, -1));
	EXPECT_EQ(self->others[0].id, ep_msg(&self->server, offsets[0])->sender);
	EXPECT_EQ(self->alice[0].id, ep_msg(&self->server, offsets[1])->sender);
	EXPECT_EQ(self->others[1].id, ep_msg(&self->server, offsets[2])->sender);
	EXPECT_EQ(self->alice[0].id, ep_msg(&self->server, offsets[3])->sender);
}

TEST_HARNESS_MAIN
