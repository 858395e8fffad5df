// SPDX-License-Identifier: MIT
/*
 * Shares of a pool: one sender has at most half of what is free, one user at
 * most three quarters of the pool, and there is room for one more of either.
 */
#include <kselftest_harness.h>

#include "device.h"

#define ALICE	1001
#define BOB	1002
#define CAROL	1003
#define ALL	(SYMPHONY_POOL_MIN / SYMPHONY_POOL_ALIGN)

FIXTURE(share)
{
	struct ep server;
	struct ep alice[4], bob, carol;
	__u64 svc;
	unsigned char body[SYMPHONY_POOL_MIN];
};

FIXTURE_SETUP(share)
{
	dev_begin();
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join_bus(&self->server, dev_bus(), SYMPHONY_JOIN_CREATE, 0666,
				 SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_claim(&self->server, "svc", &self->svc));
	for (size_t i = 0; i < ARRAY_SIZE(self->alice); i++) {
		ASSERT_EQ(0, ep_join_as(&self->alice[i], ALICE, 0));
	}
	ASSERT_EQ(0, ep_join_as(&self->bob, BOB, 0));
	ASSERT_EQ(0, ep_join_as(&self->carol, CAROL, 0));
}

FIXTURE_TEARDOWN(share)
{
}

/* The limit that a SEND met, 0 for none. */
static int attempt(struct _test_data_share *self, struct ep *ep, __u32 len)
{
	struct symphony_call call = ep_request(self->svc, self->body, len);
	int err;

	call.reply_max = 1;
	call.deadline = 0;
	err = ep_send(ep, &call);
	return err == -EAGAIN ? (int)call.limit : err;
}

/* SEND what takes one granule each, until it fails: how many, and the limit. */
static __u32 fill(struct _test_data_share *self, struct ep *ep, int *limit)
{
	__u32 sent = 0;

	while (!(*limit = attempt(self, ep, 0)))
		sent++;
	return sent;
}

/* Serve the next message, which is @from's. */
static int serve(struct _test_data_share *self, struct ep *from)
{
	const struct symphony_msg *msg = ep_next(&self->server, -1);

	while (msg && msg->sender != from->id)
		msg = ep_next(&self->server, -1);
	return msg ? ep_reply(&self->server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE) : -errno;
}

TEST_F(share, of_a_sender_is_half)
{
	int limit;

	EXPECT_EQ(ALL / 2, fill(self, &self->alice[0], &limit));
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, limit);
}

TEST_F(share, of_a_sender_counts_bytes)
{
	/* Two quarters, with their headers: no half of the pool is left. */
	__u32 quarter = SYMPHONY_POOL_MIN / 4 - sizeof(struct symphony_msg);

	EXPECT_EQ(0, attempt(self, &self->alice[0], quarter));
	EXPECT_EQ(0, attempt(self, &self->alice[0], quarter));
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, attempt(self, &self->alice[0], 0));
}

TEST_F(share, leaves_room_for_another_endpoint)
{
	int limit;
	__u32 first = fill(self, &self->alice[0], &limit);

	/* One of two leaves as much as it has for a third. */
	EXPECT_EQ((ALL - first) / 3, fill(self, &self->alice[1], &limit));
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, limit);
}

TEST_F(share, of_a_user_is_three_quarters)
{
	__u32 sum = 0;
	int limit = 0;

	for (size_t i = 0; i < ARRAY_SIZE(self->alice); i++)
		sum += fill(self, &self->alice[i], &limit);
	EXPECT_EQ(ALL * 3 / 4, sum);
	EXPECT_EQ(SYMPHONY_LIMIT_USER_SHARE, limit);
	/* Nor has the first any more than before. */
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, attempt(self, &self->alice[0], 0));
}

TEST_F(share, leaves_room_for_other_users)
{
	__u32 left = ALL / 4;
	int limit;

	for (size_t i = 0; i < ARRAY_SIZE(self->alice); i++)
		fill(self, &self->alice[i], &limit);
	EXPECT_EQ(left / 3, fill(self, &self->bob, &limit));
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, limit);
	left -= left / 3;
	EXPECT_EQ(left / 4, fill(self, &self->carol, &limit));
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, limit);
}

TEST_F(share, of_who_holds_more_than_its_own_shrinks_first)
{
	int limit;
	__u32 alices = fill(self, &self->alice[0], &limit);

	fill(self, &self->bob, &limit);
	/* She has more than a third: what she frees is not hers again, but Bob's. */
	EXPECT_EQ(0, serve(self, &self->alice[0]));
	EXPECT_EQ(0, serve(self, &self->alice[0]));
	EXPECT_EQ(0, serve(self, &self->alice[0]));
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, attempt(self, &self->alice[0], 0));
	EXPECT_EQ(0, attempt(self, &self->bob, 0));
	while (!serve(self, &self->alice[0]))
		alices--;
	EXPECT_EQ(3, alices);
	EXPECT_EQ(0, attempt(self, &self->alice[0], 0));
}

TEST_F(share, is_back_when_the_server_is_done)
{
	int limit, again;

	EXPECT_EQ(ALL / 2, fill(self, &self->alice[0], &limit));
	while (!serve(self, &self->alice[0]))
		;
	EXPECT_EQ(ALL / 2, fill(self, &self->bob, &again));
}

TEST_F(share, is_back_when_the_sender_is_gone)
{
	int limit;

	EXPECT_EQ(ALL / 2, fill(self, &self->alice[0], &limit));
	ep_close(&self->alice[0]);
	EXPECT_EQ(ALL / 2, fill(self, &self->alice[1], &limit));
}

TEST_F(share, is_for_requests_the_server_took_too)
{
	int limit;

	fill(self, &self->alice[0], &limit);
	while (ep_next(&self->server, -1))
		;
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, attempt(self, &self->alice[0], 0));
	EXPECT_EQ(0, attempt(self, &self->bob, 0));
}

TEST_HARNESS_MAIN
