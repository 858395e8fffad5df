// SPDX-License-Identifier: MIT
/*
 * Copies that stall: the body of an answer in memory that userfaultfd withholds.
 * The call has its outcome by its deadline, a cancel and either side's death
 * all the same, and what the copier writes then is nobody's message.
 */
#include "stall.h"

/* A call of duo.client's that its server has received. */
static const struct symphony_msg *received(struct _test_data_stall *self,
					   __u64 deadline, struct symphony_call *call)
{
	*call = ep_request(self->duo.svc, "x", 1);
	call->cookie = 42;
	call->deadline = deadline;
	call->reply_max = PAGE;
	if (ep_send(&self->duo.client, call))
		return NULL;
	return ep_next(&self->duo.server, DEV_LONG);
}

TEST_F(stall, reply_is_seen_when_it_is_whole)
{
	const struct symphony_msg *msg;
	struct symphony_call call;

	msg = received(self, 0, &call);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, 0));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	/* One at a time: a second answer has lost already. */
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, msg, "second", 6, 0));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 4));
	EXPECT_EQ(0, ep_release(&self->duo.client, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, reply_is_what_it_was_when_it_was_given)
{
	const struct symphony_msg *msg;
	struct symphony_call call;

	msg = received(self, 0, &call);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, 0));
	self->copier.reply = (struct symphony_reply){
		.flags = SYMPHONY_REPLY_ERROR, .body = (uintptr_t)"other",
		.body_len = 5, .content_type = 7,
	};
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(call.id, msg->id);
	EXPECT_EQ(0, msg->flags);
	EXPECT_EQ(0, msg->content_type);
	EXPECT_EQ(PAGE, msg->body_len);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 4));
	EXPECT_EQ(0, ep_release(&self->duo.client, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, reply_delays_nobody_else)
{
	struct symphony_call call;
	const struct symphony_msg *msg = received(self, 0, &call);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, others_go_on(self));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(0, outcome_is(self, 0));
}

TEST_F(stall, reply_does_not_hold_up_the_deadline)
{
	struct symphony_call call;
	const struct symphony_msg *msg = received(self, dev_after(100), &call);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, outcome_is(self, -ETIMEDOUT));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ESRCH, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, replier_is_told_once_that_nobody_waits)
{
	struct ep *server = &self->duo.server;
	struct symphony_service claim = {
		.size = sizeof(claim), .flags = SYMPHONY_CLAIM_NOTIFY,
		.name = (uintptr_t)"told", .name_len = 4,
	};
	const struct symphony_msg *msg;
	struct symphony_call call;

	ASSERT_EQ(0, dev_ioctl(server->fd, SYMPHONY_IOC_CLAIM, &claim));
	call = ep_request(claim.handle, "x", 1);
	call.cookie = 42;
	call.reply_max = PAGE;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	msg = ep_next(server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, server, msg, 0));
	ASSERT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	/* That says it: there is no notice beside it. */
	EXPECT_EQ(-ESRCH, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_release(server, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, reply_after_cancel_writes_nobodys_message)
{
	struct symphony_call call, next[200];
	const struct symphony_msg *msg = received(self, 0, &call);
	static unsigned char body[PAGE];
	int sent = 0;

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, 0));
	EXPECT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));

	/* The pool fills with answers, in every place that is free. */
	dev_fill(body, PAGE, 77);
	while (sent < 200) {
		next[sent] = ep_request(self->duo.svc, NULL, 0);
		next[sent].reply_max = PAGE;
		if (ep_send(&self->duo.client, &next[sent]))
			break;
		sent++;
	}
	EXPECT_GT(sent, 100);
	for (int i = 0; i < sent; i++) {
		ASSERT_EQ(0, ep_reply(&self->duo.server, ep_next(&self->duo.server, -1),
				      body, PAGE, SYMPHONY_REPLY_RELEASE));
	}
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ESRCH, self->copier.ret);
	for (int i = 0; i < sent; i++) {
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, msg->status);
		ASSERT_TRUE(dev_filled(ep_body(msg), PAGE, 77));
		ASSERT_EQ(0, ep_release(&self->duo.client, msg));
	}
}

/* The body is found to be bad after the wait for it. */
TEST_F(stall, bad_reply_leaves_the_call_or_says_that_it_ended)
{
	const struct symphony_msg *msg;
	struct symphony_call call;

	for (int ended = 0; ended < 2; ended++) {
		msg = received(self, 0, &call);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, 0));
		if (ended) {
			EXPECT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
			EXPECT_EQ(0, outcome_is(self, -ECANCELED));
		}
		ASSERT_EQ(0, stall_spoil(&self->stall));
		ASSERT_EQ(0, copier_join(&self->copier));
		EXPECT_EQ(ended ? -ESRCH : -EFAULT, self->copier.ret);
		if (!ended) {
			EXPECT_EQ(0, ep_reply(&self->duo.server, msg, "x", 1, 0));
			EXPECT_EQ(0, outcome_is(self, 0));
			ASSERT_EQ(0, mprotect(self->stall.page, PAGE, PROT_READ | PROT_WRITE));
		}
		EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	}
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, larger_reply_gives_its_room_back)
{
	const struct symphony_msg *msg;
	struct symphony_call call;

	/* More than was set aside: a share of the caller's pool. */
	call = ep_request(self->duo.svc, "x", 1);
	call.cookie = 42;
	call.reply_max = 1;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, 0));
	EXPECT_EQ(0, others_go_on(self));
	EXPECT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ESRCH, self->copier.ret);
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, reply_does_not_hold_up_a_takeover)
{
	struct symphony_call call;
	const struct symphony_msg *msg = received(self, 0, &call);
	__u64 svc, start = dev_now();

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, ep_claim_with(&self->other, "svc", SYMPHONY_CLAIM_TAKEOVER, 0, &svc));
	EXPECT_LE(dev_now() - start, SOON);
	/* What was received is answered where it is. */
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(0, outcome_is(self, 0));
}

TEST_F(stall, reply_does_not_hold_up_drain_and_unclaim)
{
	struct symphony_call call;
	const struct symphony_msg *msg = received(self, 0, &call);
	__u64 start = dev_now();

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, ep_drain(&self->duo.server, self->duo.svc, false));
	EXPECT_EQ(0, ep_unclaim(&self->duo.server, self->duo.svc));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(0, outcome_is(self, 0));
}

TEST_F(stall, reply_does_not_hold_up_the_callers_exit)
{
	const struct symphony_msg *msg;
	struct kid kid;
	__u64 start;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;

		if (ep_join(&ep, MIB))
			_exit(2);
		call = ep_request(self->duo.svc, "x", 1);
		ep_call(&ep, &call);
		_exit(3);
	}
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	start = dev_now();
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ESRCH, self->copier.ret);
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, replier_can_be_killed)
{
	struct symphony_call call;
	struct kid kid;
	__s64 svc = -1, hit = -1;
	__u64 start;

	if (!kid_fork(&kid)) {
		const struct symphony_msg *msg;
		struct _test_data_stall mine = {};
		__u64 handle = 0;
		struct ep ep;

		if (stall_init(&mine.stall) || ep_join(&ep, MIB) ||
		    ep_claim(&ep, "stalling", &handle))
			_exit(2);
		kid_tell(&kid, handle);
		msg = ep_next(&ep, DEV_LONG);
		if (!msg)
			_exit(3);
		kid_tell(&kid, stall_reply(&mine, &ep, msg, 0));
		for (;;)
			pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &svc));
	call = ep_request(svc, "x", 1);
	call.cookie = 42;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	ASSERT_EQ(0, kid_hear(&kid, &hit));
	ASSERT_EQ(0, hit);
	start = dev_now();
	kill(kid.pid, SIGKILL);
	EXPECT_EQ(0, outcome_is(self, -ECONNRESET));
	EXPECT_EQ(128 + SIGKILL, kid_reap(&kid));
	EXPECT_LE(dev_now() - start, SOON);
	EXPECT_EQ(0, room_is_back(self));
}

struct reader {
	int mem;
	const void *from;
	void *to;
	pthread_t thread;
};

static void *reader_run(void *arg)
{
	struct reader *reader = arg;

	return (void *)pread(reader->mem, reader->to, 8, (uintptr_t)reader->from);
}

TEST_F(stall, reader_of_the_owners_memory_does_not_hold_up_its_death)
{
	struct reader reader = { .from = &self->stall, .to = self->stall.page };
	struct symphony_call call;
	char path[64];
	struct kid kid;
	__s64 svc;
	__u64 start;
	int held;

	if (!kid_fork(&kid)) {
		__u64 handle = 0;
		struct ep ep;

		if (ep_join(&ep, MIB) || ep_claim(&ep, "read", &handle))
			_exit(2);
		kid_pass(&kid, ep.fd);
		kid_tell(&kid, handle);
		for (;;)
			pause();
	}
	held = kid_take(&kid);
	ASSERT_GE(held, 0);
	ASSERT_EQ(0, kid_hear(&kid, &svc));
	snprintf(path, sizeof(path), "/proc/%d/mem", kid.pid);
	reader.mem = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(reader.mem, 0);
	call = ep_request(svc, "x", 1);
	call.cookie = 42;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	/* As a debugger might: the address space stays while it reads. */
	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, reader_run, &reader));
	ASSERT_EQ(0, stall_hit(&self->stall));
	start = dev_now();
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_EQ(0, outcome_is(self, -ECONNABORTED));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	pthread_join(reader.thread, NULL);
	close(reader.mem);
	close(held);
}

TEST_HARNESS_MAIN
