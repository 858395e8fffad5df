// SPDX-License-Identifier: MIT
/*
 * Another thread writes to a structure while an operation reads it: what counts is
 * one copy. Nobody's messages are written over, and a length is that of the body.
 */
#include <string.h>
#include <kselftest_harness.h>

#include "device.h"

#define ROUNDS	2000
/* They differ in one byte, as a processor may copy a byte at a time. */
#define SHORT	0x0008
#define LONG	0x0f08
#define KEPT	32

FIXTURE(racing)
{
	struct duo duo;
	pthread_t thread;
	atomic_bool stop;
	__u32 *length;
	unsigned char body[LONG];
};

FIXTURE_SETUP(racing)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	self->length = NULL;
}

FIXTURE_TEARDOWN(racing)
{
	duo_close(&self->duo);
}

/* Now the one, now the other; the pause in between is another each time. */
static void *change(void *arg)
{
	FIXTURE_DATA(racing) *self = arg;

	for (unsigned int i = 0; !self->stop; i++) {
		__atomic_store_n(self->length, i % 2 ? SHORT : LONG,
				 __ATOMIC_RELAXED);
		for (volatile unsigned int spin = i % 64; spin; spin--)
			;
	}
	return NULL;
}

static int change_start(FIXTURE_DATA(racing) *self, __u32 *length)
{
	self->length = length;
	self->stop = false;
	return -pthread_create(&self->thread, NULL, change, self);
}

static void change_stop(FIXTURE_DATA(racing) *self)
{
	self->stop = true;
	pthread_join(self->thread, NULL);
}

/* Messages of one granule of body all over @ep's pool, with as much free between. */
static int keep_some(FIXTURE_DATA(racing) *self, const struct symphony_msg **kept)
{
	struct ep *server = &self->duo.server;
	const struct symphony_msg *msg;

	for (int i = 0; i < 2 * KEPT; i++)
		if (duo_send(&self->duo, i + 1, SHORT))
			return -1;
	for (int i = 0; i < 2 * KEPT; i++) {
		msg = ep_next(server, DEV_LONG);
		if (!msg)
			return -1;
		if (i % 2)
			kept[i / 2] = msg;
		else if (ep_reply(server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
			return -1;
	}
	return 0;
}

static int changed(const struct symphony_msg **kept)
{
	int nr = 0;

	for (int i = 0; i < KEPT; i++)
		nr += kept[i]->method != 2U * i + 2 || kept[i]->body_len != SHORT ||
		      !dev_filled(ep_body(kept[i]), SHORT, 2 * i + 2);
	return nr;
}

/* Is @msg one of the two, and the body all of it? */
static bool is_whole(const struct symphony_msg *msg, unsigned char byte)
{
	const unsigned char *body = ep_body(msg);

	if (msg->body_len != SHORT && msg->body_len != LONG)
		return false;
	for (__u32 i = 0; i < msg->body_len; i++)
		if (body[i] != byte)
			return false;
	return true;
}

TEST_F(racing, length_of_a_request_is_read_once)
{
	struct ep *client = &self->duo.client, *server = &self->duo.server;
	struct symphony_call call = ep_request(self->duo.svc, self->body, SHORT);
	const struct symphony_msg *kept[KEPT], *msg;
	int lengths[2] = {};

	ASSERT_EQ(0, keep_some(self, kept));
	while ((msg = ep_next(client, -1)))
		ASSERT_EQ(0, ep_release(client, msg));
	call.deadline = 0;
	ASSERT_EQ(0, change_start(self, &call.body_len));
	for (int i = 0; i < ROUNDS; i++) {
		call.id = 0;
		/* Nothing of the round before is taken for it. */
		memset(self->body, i, sizeof(self->body));
		ASSERT_EQ(0, ep_send(client, &call));
		msg = ep_next(server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_TRUE(is_whole(msg, i)) TH_LOG("body of %u", msg->body_len);
		lengths[msg->body_len == LONG]++;
		ASSERT_EQ(0, ep_reply(server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
		msg = ep_next(client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, ep_release(client, msg));
		ASSERT_EQ(0, changed(kept)) TH_LOG("in round %d", i);
	}
	change_stop(self);
	TH_LOG("%d short, %d long", lengths[0], lengths[1]);
	EXPECT_LT(0, lengths[0]);
	EXPECT_LT(0, lengths[1]);
}

TEST_F(racing, length_of_an_answer_is_read_once)
{
	struct ep *client = &self->duo.client, *server = &self->duo.server;
	const struct symphony_msg *kept[KEPT], *msg;
	struct symphony_reply reply = {
		.size = sizeof(reply), .flags = SYMPHONY_REPLY_RELEASE,
		.body = (uintptr_t)self->body, .body_len = SHORT,
	};
	struct symphony_call call;

	/* The client keeps answers with room for eight bytes. */
	for (int i = 0; i < KEPT; i++) {
		call = ep_request(self->duo.svc, NULL, 0);
		call.reply_max = SHORT;
		call.deadline = 0;
		ASSERT_EQ(0, ep_send(client, &call));
		msg = ep_next(server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		dev_fill(self->body, SHORT, i);
		ASSERT_EQ(0, ep_reply(server, msg, self->body, SHORT,
				      SYMPHONY_REPLY_RELEASE));
		kept[i] = ep_next(client, DEV_LONG);
		ASSERT_NE(NULL, kept[i]);
		if (i % 2)
			ASSERT_EQ(0, ep_release(client, kept[i]));
	}
	ASSERT_EQ(0, change_start(self, &reply.body_len));
	for (int i = 0; i < ROUNDS; i++) {
		call = ep_request(self->duo.svc, NULL, 0);
		call.reply_max = SHORT;
		call.deadline = 0;
		ASSERT_EQ(0, ep_send(client, &call));
		msg = ep_next(server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		reply.id = msg->id;
		reply.slot = ep_offset(server, msg);
		memset(self->body, i, sizeof(self->body));
		ASSERT_EQ(0, dev_ioctl(server->fd, SYMPHONY_IOC_REPLY, &reply));
		msg = ep_next(client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_TRUE(is_whole(msg, i)) TH_LOG("body of %u", msg->body_len);
		ASSERT_EQ(0, ep_release(client, msg));
		for (int k = 0; k < KEPT; k += 2)
			ASSERT_TRUE(dev_filled(ep_body(kept[k]), SHORT, k))
				TH_LOG("in round %d", i);
	}
	change_stop(self);
}

TEST_HARNESS_MAIN
