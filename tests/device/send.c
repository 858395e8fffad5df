// SPDX-License-Identifier: MIT
/* SEND: many requests under way, each with exactly one outcome. */
#include <kselftest_harness.h>

#include "device.h"

#define MANY	1000

FIXTURE(send)
{
	struct duo duo;
	int many;
	unsigned char outcomes[MANY];
};

FIXTURE_SETUP(send)
{
	struct symphony_query q = dev_limits();

	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	self->many = MANY;
	if (q.calls_max < MANY)
		self->many = q.calls_max;
	if (q.queue_max < (__u32)self->many)
		self->many = q.queue_max;
}

FIXTURE_TEARDOWN(send)
{
	duo_close(&self->duo);
}

/* Receive @n outcomes and see that there are no more: each cookie once. */
#define TAKEN	10	/* were received when the server dies */

static int collect(struct _test_data_send *self, int n, int status)
{
	const struct symphony_msg *msg;
	__u32 offsets[64];
	int got = 0, nr;

	while (got < n) {
		nr = ep_recv(&self->duo.client, offsets, ARRAY_SIZE(offsets), DEV_LONG);
		if (nr <= 0)
			return nr ?: -EPROTO;
		for (int i = 0; i < nr; i++, got++) {
			msg = ep_msg(&self->duo.client, offsets[i]);
			if (msg->type != SYMPHONY_MSG_REPLY ||
			    msg->status != (status && msg->cookie >= TAKEN ? -ECONNABORTED : status))
				return -EPROTO;
			if (msg->cookie >= (__u64)self->many ||
			    self->outcomes[msg->cookie]++)
				return -EEXIST;
			if (!status && !dev_filled(ep_body(msg), msg->body_len,
						   msg->cookie))
				return -EILSEQ;
			if (ep_release_at(&self->duo.client, offsets[i]))
				return -EINVAL;
		}
	}
	return ep_recv(&self->duo.client, offsets, 1, -1);
}

TEST_F(send, returns_before_there_is_an_answer)
{
	struct symphony_call call = ep_request(self->duo.svc, "x", 1);
	const struct symphony_msg *msg;

	call.cookie = 0xc00c1e;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	EXPECT_NE(0, call.id);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(call.id, msg->id);
	ASSERT_EQ(0, ep_reply(&self->duo.server, msg, "yes", 3, 0));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_REPLY, msg->type);
	EXPECT_EQ(0xc00c1e, msg->cookie);
	EXPECT_EQ(call.id, msg->id);
	EXPECT_EQ(self->duo.svc, msg->handle);
	EXPECT_EQ(self->duo.server.id, msg->sender);
	EXPECT_EQ(0, msg->status);
	EXPECT_EQ(3, msg->body_len);
	EXPECT_EQ(0, memcmp(ep_body(msg), "yes", 3));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
}

TEST_F(send, error_reply_is_marked)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, SYMPHONY_REPLY_ERROR));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_ERROR, msg->flags);
	EXPECT_EQ(0, msg->status);
}

TEST_F(send, a_thousand_are_each_answered_once)
{
	struct echo echo;

	for (int i = 0; i < self->many; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 16)) {
			TH_LOG("send %d", i);
		}
	}
	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	EXPECT_EQ(-EAGAIN, collect(self, self->many, 0));
	echo_stop(&echo);
	EXPECT_EQ(self->many, echo.served);
	EXPECT_EQ(0, echo.refused);
}

TEST_F(send, answered_in_any_order)
{
	__u32 offsets[100];

	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 16));
	}
	ASSERT_EQ(100, ep_recv(&self->duo.server, offsets, 100, DEV_LONG));
	for (int i = 0; i < 100; i++) {
		const struct symphony_msg *msg =
			ep_msg(&self->duo.server, offsets[(i * 37 + 11) % 100]);

		ASSERT_EQ(0, ep_reply(&self->duo.server, msg, ep_body(msg), 16,
				      SYMPHONY_REPLY_RELEASE));
	}
	EXPECT_EQ(-EAGAIN, collect(self, 100, 0));
}

TEST_F(send, arrives_in_order)
{
	__u32 offsets[100];

	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, i * 3));
	}
	ASSERT_EQ(100, ep_recv(&self->duo.server, offsets, 100, DEV_LONG));
	for (int i = 0; i < 100; i++) {
		const struct symphony_msg *msg = ep_msg(&self->duo.server, offsets[i]);

		EXPECT_EQ(i, msg->method);
		EXPECT_EQ(i * 3, msg->body_len);
		EXPECT_TRUE(dev_filled(ep_body(msg), i * 3, i));
	}
}

TEST_F(send, death_answers_all)
{
	int n = self->many < 300 ? self->many : 300;

	for (int i = 0; i < n; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 16));
	}
	ASSERT_EQ(TAKEN, ep_recv(&self->duo.server, (__u32[TAKEN]){}, TAKEN, DEV_LONG));
	ep_close(&self->duo.server);
	EXPECT_EQ(-EAGAIN, collect(self, n, -ECONNRESET));
}

TEST_F(send, its_buffer_is_free_at_once)
{
	char body[64] = "before";
	struct symphony_call call = ep_request(self->duo.svc, body, sizeof(body));
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	memset(body, 0xff, sizeof(body));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_STREQ("before", (const char *)ep_body(msg));
}

TEST_F(send, mixes_with_calls)
{
	struct symphony_call call;
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	for (int i = 0; i < 50; i++) {
		__u64 tag = 1000 + i;

		ASSERT_EQ(0, duo_send(&self->duo, i, 16));
		call = ep_request(self->duo.svc, &tag, sizeof(tag));
		ASSERT_EQ(0, ep_outcome(&self->duo.client, &call));
		EXPECT_EQ(tag, *(const __u64 *)ep_body(ep_msg(&self->duo.client,
							       call.offset)));
		ASSERT_EQ(0, ep_release_at(&self->duo.client, call.offset));
	}
	EXPECT_EQ(-EAGAIN, collect(self, 50, 0));
	echo_stop(&echo);
}

TEST_F(send, outcomes_survive_unclaim)
{
	const struct symphony_msg *msg;

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 16));
	}
	ASSERT_EQ(0, ep_unclaim(&self->duo.server, self->duo.svc));
	for (int i = 0; i < 10; i++) {
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, ep_reply(&self->duo.server, msg, ep_body(msg), 16,
				      SYMPHONY_REPLY_RELEASE));
	}
	EXPECT_EQ(-EAGAIN, collect(self, 10, 0));
}

TEST_F(send, releases_first)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	__u32 release;

	ASSERT_EQ(0, duo_send(&self->duo, 1, 16));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, 0));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	release = ep_offset(&self->duo.client, msg);
	call = ep_request(self->duo.svc, NULL, 0);
	call.release = (uintptr_t)&release;
	call.nr_release = SYMPHONY_BATCH_MAX + 1;
	EXPECT_EQ(-EINVAL, ep_send(&self->duo.client, &call));
	call.nr_release = 1;
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
	EXPECT_EQ(0, call.nr_release);
}

TEST_HARNESS_MAIN
