// SPDX-License-Identifier: MIT
/* CALL: a round trip of every size, and what the headers say on the way. */
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(call)
{
	struct duo duo;
	struct echo echo;
	bool echoing;
};

FIXTURE_SETUP(call)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
}

FIXTURE_TEARDOWN(call)
{
	if (self->echoing)
		echo_stop(&self->echo);
	duo_close(&self->duo);
}

static int serve(struct _test_data_call *self)
{
	self->echoing = !echo_start(&self->echo, &self->duo.server);
	return self->echoing ? 0 : -EAGAIN;
}

/* One echo of @len bytes: 0, or what went wrong. */
static int echo_once(struct duo *duo, __u32 len, __u32 reply_max)
{
	unsigned char *body = malloc(len ?: 1);
	const struct symphony_msg *msg;
	struct symphony_call call;
	int ret;

	dev_fill(body, len, len);
	call = ep_request(duo->svc, body, len);
	call.reply_max = reply_max;
	ret = ep_outcome(&duo->client, &call);
	if (!ret) {
		msg = ep_msg(&duo->client, call.offset);
		if (msg->body_len != len || !dev_filled(ep_body(msg), len, len))
			ret = -EILSEQ;
		else
			ret = ep_release(&duo->client, msg);
	}
	free(body);
	return ret;
}

TEST_F(call, echoes_every_size)
{
	static const __u32 sizes[] = {
		0, 1, 7, 63, 64, 65, 127, 128, 129, 1000, 4095, 4096, 4097,
		65535, 65536, 65537, 200000,
	};

	ASSERT_EQ(0, serve(self));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(0, echo_once(&self->duo, sizes[i], sizes[i]))
			TH_LOG("size %u", sizes[i]);
		/* Also when the answer has to take free room. */
		EXPECT_EQ(0, echo_once(&self->duo, sizes[i], 0))
			TH_LOG("size %u without reply_max", sizes[i]);
	}
}

TEST_F(call, goes_on_for_ever)
{
	ASSERT_EQ(0, serve(self));
	for (int i = 0; i < 300; i++) {
		ASSERT_EQ(0, echo_once(&self->duo, (i * 7919) % 9000, 9000));
	}
}

TEST_F(call, request_header_says_who_and_what)
{
	struct symphony_call call = ep_request(self->duo.svc, "body", 4);
	const struct symphony_msg *msg;
	struct caller caller;

	call.method = 0x1122334455667788;
	call.key = 0x99aabbccddeeff00;
	call.content_type = 77;
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, call));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_CALL, msg->type);
	EXPECT_EQ(0, msg->flags);
	EXPECT_GE(msg->header_len, sizeof(*msg));
	EXPECT_NE(0, msg->id);
	EXPECT_EQ(caller.call.id, msg->id);
	EXPECT_EQ(self->duo.client.id, msg->sender);
	EXPECT_EQ(self->duo.svc, msg->handle);
	EXPECT_EQ(0x1122334455667788, msg->method);
	EXPECT_EQ(0x99aabbccddeeff00, msg->key);
	EXPECT_EQ(call.deadline, msg->deadline);
	EXPECT_EQ(4, msg->body_len);
	EXPECT_EQ(77, msg->content_type);
	EXPECT_EQ(0, msg->status);
	EXPECT_EQ(0, msg->needed);
	EXPECT_EQ(getpid(), msg->pid);
	EXPECT_EQ(geteuid(), msg->uid);
	EXPECT_EQ(getegid(), msg->gid);
	EXPECT_EQ(0, msg->nr_fds);
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, msg->reserved[i]);
	}
	EXPECT_EQ(0, memcmp(ep_body(msg), "body", 4));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, 0));
	EXPECT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
}

TEST_F(call, reply_header_says_who_and_what)
{
	struct symphony_call call = ep_request(self->duo.svc, "body", 4);
	const struct symphony_msg *msg;
	struct symphony_reply reply = { .size = sizeof(reply) };
	struct caller caller;

	call.cookie = 4711;
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, call));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	reply.id = msg->id;
	reply.slot = ep_offset(&self->duo.server, msg);
	reply.body = (uintptr_t)"answer";
	reply.body_len = 6;
	reply.content_type = 78;
	ASSERT_EQ(0, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_REPLY, &reply));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	ASSERT_EQ(0, caller.ret);
	ASSERT_EQ(0, caller.call.status);
	ASSERT_NE(SYMPHONY_NO_OFFSET, caller.call.offset);
	EXPECT_EQ(0, caller.call.offset % SYMPHONY_POOL_ALIGN);
	msg = ep_msg(&self->duo.client, caller.call.offset);
	EXPECT_EQ(SYMPHONY_MSG_REPLY, msg->type);
	EXPECT_EQ(0, msg->flags);
	EXPECT_EQ(caller.call.id, msg->id);
	EXPECT_EQ(self->duo.server.id, msg->sender);
	EXPECT_EQ(self->duo.svc, msg->handle);
	EXPECT_EQ(6, msg->body_len);
	EXPECT_EQ(78, msg->content_type);
	EXPECT_EQ(0, msg->status);
	EXPECT_EQ(getpid(), msg->pid);
	EXPECT_EQ(0, memcmp(ep_body(msg), "answer", 6));
	/* The outcome of a CALL is not received a second time. */
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
}

/* An answer, or what the kernel says, where requests full of ones stood before. */
TEST_F(call, outcomes_show_nothing_of_what_stood_there)
{
	struct ep *ep = &self->duo.server;
	const struct symphony_msg *msg;
	struct symphony_call call;
	int nr = 0;

	for (;; nr++) {
		call = ep_request(self->duo.svc, "x", 1);
		call.method = call.key = call.deadline = call.cookie = ~0ULL;
		call.content_type = ~0U;
		call.reply_max = 1;
		if (ep_send(&self->duo.client, &call))
			break;
	}
	ASSERT_LT(100, nr);
	for (int i = 0; i < nr; i++) {
		msg = ep_next(ep, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, ep_reply(ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	}
	for (int i = 0; i < 100; i++) {
		call = ep_request(self->duo.svc, "x", 1);
		call.deadline = 0;
		call.reply_max = 1;
		ASSERT_EQ(0, ep_send(ep, &call));
		msg = ep_next(ep, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, i % 2 ? ep_reply(ep, msg, NULL, 0, 0) :
				     ep_cancel(ep, call.id, call.slot));
		msg = ep_next(ep, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(SYMPHONY_MSG_REPLY, msg->type);
		EXPECT_EQ(0, msg->method);
		EXPECT_EQ(0, msg->key);
		EXPECT_EQ(0, msg->deadline);
		EXPECT_EQ(0, msg->cookie);
		EXPECT_EQ(0, msg->content_type);
		EXPECT_EQ(i % 2 ? ep->id : 0, msg->sender);
	}
}

TEST_F(call, error_reply_is_marked)
{
	struct symphony_call call = ep_request(self->duo.svc, "why", 3);

	ASSERT_EQ(0, serve(self));
	call.method = ECHO_ERROR;
	ASSERT_EQ(0, ep_call(&self->duo.client, &call));
	EXPECT_EQ(0, call.status);
	ASSERT_NE(SYMPHONY_NO_OFFSET, call.offset);
	EXPECT_EQ(SYMPHONY_MSG_ERROR, ep_msg(&self->duo.client, call.offset)->flags);
	EXPECT_EQ(0, memcmp(ep_body(ep_msg(&self->duo.client, call.offset)), "why", 3));
}

TEST_F(call, ids_are_never_used_twice)
{
	__u64 last = 0;

	ASSERT_EQ(0, serve(self));
	for (int i = 0; i < 100; i++) {
		struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

		ASSERT_EQ(0, ep_outcome(&self->duo.client, &call));
		ASSERT_NE(0, call.id);
		ASSERT_NE(last, call.id);
		last = call.id;
		ASSERT_EQ(0, ep_release_at(&self->duo.client, call.offset));
	}
}

TEST_F(call, slot_without_a_parent_is_refused)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	ASSERT_EQ(0, serve(self));
	call.parent_slot = 1;
	EXPECT_EQ(-EINVAL, ep_call(&self->duo.client, &call));
	EXPECT_EQ(-EINVAL, ep_send(&self->duo.client, &call));
	EXPECT_EQ(0, call.id);
	EXPECT_EQ(0, self->echo.served);
}

TEST_F(call, unknown_parent_is_esrch)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	ASSERT_EQ(0, serve(self));
	call.parent = 0x123456789;
	EXPECT_EQ(-ESRCH, ep_call(&self->duo.client, &call));
	EXPECT_EQ(-ESRCH, ep_send(&self->duo.client, &call));
	EXPECT_EQ(0, call.id);
	EXPECT_EQ(0, self->echo.served);
}

TEST_F(call, unknown_handle_is_enoent)
{
	static const __u64 bad[] = { 0, 1ULL << 63, ~0ULL, 0xdeadbeef };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct symphony_call call = ep_request(bad[i], NULL, 0);

		EXPECT_EQ(-ENOENT, ep_call(&self->duo.client, &call));
		EXPECT_EQ(-ENOENT, ep_send(&self->duo.client, &call));
	}
}

TEST_F(call, no_replica_is_econnrefused)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	ASSERT_EQ(0, ep_unclaim(&self->duo.server, self->duo.svc));
	EXPECT_EQ(-ECONNREFUSED, ep_call(&self->duo.client, &call));
	EXPECT_EQ(0, call.id);
}

TEST_F(call, unknown_id_is_not_waited_for)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	call.id = 0x123456789;
	EXPECT_EQ(-ESRCH, ep_call(&self->duo.client, &call));
	EXPECT_NE(0, ep_send(&self->duo.client, &call));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(call, bad_bodies_make_no_call)
{
	unsigned char *cliff = dev_cliff();
	struct { const void *body; __u32 len; } bad[] = {
		{ NULL, 1 }, { cliff, 1 }, { cliff - 100, 101 },
		{ cliff - 4096, 100000 }, { (void *)0xffff888000000000, 64 },
		{ (void *)~0ULL, 1 }, { (void *)(~0ULL - 10), 64 },
	};

	/* Often enough to notice room that does not come back. */
	for (int i = 0; i < 200; i++) {
		size_t at = i % ARRAY_SIZE(bad);
		struct symphony_call call = ep_request(self->duo.svc, bad[at].body,
						       bad[at].len);

		call.reply_max = 100000;
		EXPECT_EQ(-EFAULT, i & 1 ? ep_call(&self->duo.client, &call) :
					   ep_send(&self->duo.client, &call));
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	ASSERT_EQ(0, serve(self));
	EXPECT_EQ(0, echo_once(&self->duo, 200000, 200000));
}

TEST_F(call, an_endpoint_calls_itself)
{
	struct ep *server = &self->duo.server;
	struct symphony_call call = ep_request(self->duo.svc, "self", 4);

	ASSERT_EQ(0, serve(self));
	for (int i = 0; i < 20; i++) {
		struct symphony_call again = call;

		ASSERT_EQ(0, ep_outcome(server, &again));
		EXPECT_EQ(server->id, ep_msg(server, again.offset)->sender);
		EXPECT_EQ(0, memcmp(ep_body(ep_msg(server, again.offset)), "self", 4));
		EXPECT_EQ(0, ep_release_at(server, again.offset));
	}
}

TEST_F(call, releases_first)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);
	__u32 release[2];
	int served;

	ASSERT_EQ(0, serve(self));
	ASSERT_EQ(0, ep_outcome(&self->duo.client, &call));
	release[0] = call.offset;
	call = ep_request(self->duo.svc, NULL, 0);
	call.release = (uintptr_t)release;
	call.nr_release = 1;
	ASSERT_EQ(0, ep_outcome(&self->duo.client, &call));
	EXPECT_EQ(0, call.nr_release);
	EXPECT_EQ(call.offset == release[0] ? 0 : -EINVAL,
		  ep_release_at(&self->duo.client, release[0]));

	/* A bad one ends the operation, with the ones before it released. */
	call = ep_request(self->duo.svc, NULL, 0);
	ASSERT_EQ(0, ep_outcome(&self->duo.client, &call));
	release[0] = call.offset;
	release[1] = 128 * 7777;
	call = ep_request(self->duo.svc, NULL, 0);
	call.release = (uintptr_t)release;
	call.nr_release = 2;
	served = self->echo.served;
	EXPECT_EQ(-EINVAL, ep_call(&self->duo.client, &call));
	EXPECT_EQ(1, call.nr_release);
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.client, release[0]));
	EXPECT_EQ(served, self->echo.served);
}

TEST_F(call, many_threads_call_one_server)
{
	struct caller callers[16];
	__u64 tags[16];

	ASSERT_EQ(0, serve(self));
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		tags[i] = i * 1000003;
		ASSERT_EQ(0, caller_start(&callers[i], &self->duo.client,
					  ep_request(self->duo.svc, &tags[i], 8)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		const struct symphony_msg *msg;

		ASSERT_EQ(0, caller_join(&callers[i], DEV_LONG));
		ASSERT_EQ(0, callers[i].ret);
		ASSERT_EQ(0, callers[i].call.status);
		msg = ep_msg(&self->duo.client, callers[i].call.offset);
		EXPECT_EQ(0, memcmp(ep_body(msg), &tags[i], 8));
	}
}

TEST_HARNESS_MAIN
