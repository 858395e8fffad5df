// SPDX-License-Identifier: MIT
/* REPLY: one answer to each call, by who received it, and then the next. */
#include <signal.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(reply)
{
	struct duo duo;
	struct ep bystander;
	const struct symphony_msg *msg;	/* a request, received */
	__u64 id;
	__u32 slot;
};

FIXTURE_SETUP(reply)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	ASSERT_EQ(0, ep_join(&self->bystander, 0));
	ASSERT_EQ(0, duo_send(&self->duo, 1, 100));
	self->msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, self->msg);
	self->id = self->msg->id;
	self->slot = ep_offset(&self->duo.server, self->msg);
}

FIXTURE_TEARDOWN(reply)
{
	duo_close(&self->duo);
	ep_close(&self->bystander);
}

/* The outcome of the one call is @body, and there is no other. */
static int answered_with(struct _test_data_reply *self, const char *body)
{
	const struct symphony_msg *msg = ep_next(&self->duo.client, DEV_LONG);
	int ret = 0;

	if (!msg)
		return -errno;
	if (msg->type != SYMPHONY_MSG_REPLY || msg->status || msg->id != self->id)
		return -EPROTO;
	if (msg->body_len != strlen(body) ||
	    memcmp(ep_body(msg), body, msg->body_len))
		ret = -EILSEQ;
	if (ep_release(&self->duo.client, msg))
		return -EINVAL;
	if (ep_recv(&self->duo.client, (__u32[1]){}, 1, -1) != -EAGAIN)
		return -EEXIST;
	return ret;
}

static int reply_recv(struct ep *ep, __u64 id, __u32 slot, __u32 flags, int ms,
		      __u32 *offset, __u32 *nr)
{
	struct symphony_reply reply = {
		.size = sizeof(reply), .id = id, .slot = slot,
		.flags = SYMPHONY_REPLY_RECV | flags,
		.offsets = (uintptr_t)offset, .max = 1,
		.deadline = dev_after(ms), .nr = 77,
	};
	int ret = dev_ioctl(ep->fd, SYMPHONY_IOC_REPLY, &reply);

	*nr = reply.nr;
	return ret;
}

TEST_F(reply, twice_is_esrch)
{
	ASSERT_EQ(0, ep_reply(&self->duo.server, self->msg, "one", 3, 0));
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, self->msg, "two", 3, 0));
	EXPECT_EQ(0, answered_with(self, "one"));
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, self->msg, "two", 3, 0));
	EXPECT_EQ(0, ep_release(&self->duo.server, self->msg));
	EXPECT_EQ(-ESRCH, ep_reply_at(&self->duo.server, self->id, self->slot,
				      "two", 3, 0));
}

TEST_F(reply, forged_names_are_esrch)
{
	struct ep *server = &self->duo.server;
	static const __u32 slots[] = {
		1, 64, 128 * 100, MIB - 128, MIB, MIB + 128, 0x80000000,
		0xffffff80, SYMPHONY_NO_OFFSET,
	};
	static const __u64 ids[] = { 0, 1, ~0ULL, 1ULL << 63 };

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		EXPECT_EQ(-ESRCH, ep_reply_at(server, self->id, self->slot ^ slots[i],
					      "no", 2, 0))
			TH_LOG("slot %#x", self->slot ^ slots[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		EXPECT_EQ(-ESRCH, ep_reply_at(server, ids[i], self->slot, "no", 2, 0));
	}
	EXPECT_EQ(-ESRCH, ep_reply_at(server, self->id + 1, self->slot, "no", 2, 0));
	EXPECT_EQ(-ESRCH, ep_reply_at(server, self->id - 1, self->slot, "no", 2, 0));
	EXPECT_EQ(0, ep_reply(server, self->msg, "yes", 3, 0));
	EXPECT_EQ(0, answered_with(self, "yes"));
}

TEST_F(reply, is_for_the_endpoint_that_received)
{
	EXPECT_EQ(-ESRCH, ep_reply_at(&self->bystander, self->id, self->slot,
				      "no", 2, 0));
	EXPECT_EQ(-ESRCH, ep_reply_at(&self->duo.client, self->id, self->slot,
				      "no", 2, 0));
	EXPECT_EQ(0, ep_reply(&self->duo.server, self->msg, "yes", 3, 0));
	EXPECT_EQ(0, answered_with(self, "yes"));
}

TEST_F(reply, before_it_is_received_is_esrch)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	/* The offset can be guessed, the id is known to the caller. */
	for (__u32 slot = 0; slot < MIB; slot += SYMPHONY_POOL_ALIGN) {
		ASSERT_EQ(-ESRCH, ep_reply_at(&self->duo.server, call.id, slot,
					      NULL, 0, 0));
	}
	ASSERT_NE(NULL, ep_next(&self->duo.server, -1));
}

TEST_F(reply, an_outcome_is_not_answered)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_reply(&self->duo.server, self->msg, "yes", 3, 0));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.client, msg, "no", 2, 0));
}

TEST_F(reply, bad_bodies_leave_it_answerable)
{
	unsigned char *cliff = dev_cliff();
	struct { const void *body; __u32 len; } bad[] = {
		{ NULL, 1 }, { cliff, 1 }, { cliff - 10, 20 },
		{ cliff - 4096, 8192 }, { (void *)0xffff888000000000, 64 },
	};

	for (int i = 0; i < 100; i++) {
		size_t at = i % ARRAY_SIZE(bad);

		EXPECT_EQ(-EFAULT, ep_reply(&self->duo.server, self->msg, bad[at].body,
					    bad[at].len, i & 1 ? SYMPHONY_REPLY_RELEASE : 0));
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_reply(&self->duo.server, self->msg, "yes", 3, 0));
	EXPECT_EQ(0, answered_with(self, "yes"));
}

TEST_F(reply, with_release_gives_the_request_back)
{
	ASSERT_EQ(0, ep_reply(&self->duo.server, self->msg, "yes", 3,
			      SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, self->slot));
	EXPECT_EQ(0, answered_with(self, "yes"));
}

TEST_F(reply, without_release_keeps_the_request)
{
	ASSERT_EQ(0, ep_reply(&self->duo.server, self->msg, "yes", 3, 0));
	EXPECT_EQ(0, answered_with(self, "yes"));
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, 50, 1000));
	}
	EXPECT_TRUE(dev_filled(ep_body(self->msg), 100, 1));
	EXPECT_EQ(0, ep_release(&self->duo.server, self->msg));
}

TEST_F(reply, released_request_stays_until_it_is_answered)
{
	ASSERT_EQ(0, ep_release(&self->duo.server, self->msg));
	EXPECT_EQ(-EINVAL, ep_release(&self->duo.server, self->msg));
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, 50, 100));
	}
	EXPECT_EQ(self->id, self->msg->id);
	EXPECT_TRUE(dev_filled(ep_body(self->msg), 100, 1));
	EXPECT_EQ(0, ep_reply_at(&self->duo.server, self->id, self->slot, "yes", 3, 0));
	EXPECT_EQ(0, answered_with(self, "yes"));
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, self->slot));
	EXPECT_EQ(-ESRCH, ep_reply_at(&self->duo.server, self->id, self->slot, "no", 2, 0));
}

TEST_F(reply, released_request_answered_with_release_goes_once)
{
	ASSERT_EQ(0, ep_release(&self->duo.server, self->msg));
	/* Released already: either way the call is answered once at most. */
	if (ep_reply_at(&self->duo.server, self->id, self->slot, "yes", 3,
			SYMPHONY_REPLY_RELEASE)) {
		EXPECT_EQ(0, ep_reply_at(&self->duo.server, self->id, self->slot,
					 "yes", 3, 0));
	}
	EXPECT_EQ(0, answered_with(self, "yes"));
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, self->slot));
}

TEST_F(reply, can_be_made_of_the_request)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_reply(&self->duo.server, self->msg, ep_body(self->msg), 100,
			      SYMPHONY_REPLY_RELEASE));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(100, msg->body_len);
	EXPECT_TRUE(dev_filled(ep_body(msg), 100, 1));
}

TEST_F(reply, then_recv_takes_the_next)
{
	__u32 offset, nr;

	ASSERT_EQ(0, duo_send(&self->duo, 2, 8));
	ASSERT_EQ(0, reply_recv(&self->duo.server, self->id, self->slot,
				SYMPHONY_REPLY_RELEASE, DEV_LONG, &offset, &nr));
	ASSERT_EQ(1, nr);
	EXPECT_EQ(2, ep_msg(&self->duo.server, offset)->method);
	EXPECT_EQ(0, answered_with(self, ""));
}

TEST_F(reply, then_recv_without_a_message_is_zero_messages)
{
	struct ep *server = &self->duo.server;
	const struct symphony_msg *msg;
	__u32 offset, nr;

	ASSERT_EQ(0, reply_recv(server, self->id, self->slot,
				SYMPHONY_REPLY_DONTWAIT, DEV_LONG, &offset, &nr));
	EXPECT_EQ(0, nr);
	EXPECT_EQ(0, answered_with(self, ""));

	/* The deadline. */
	ASSERT_EQ(0, duo_send(&self->duo, 2, 8));
	msg = ep_next(server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, reply_recv(server, msg->id, ep_offset(server, msg), 0, 50,
				&offset, &nr));
	EXPECT_EQ(0, nr);
	EXPECT_NE(NULL, ep_next(&self->duo.client, -1));
}

struct server_thread {
	struct _test_data_reply *self;
	pthread_t thread;
	__u32 offset, nr;
	int ret;
	atomic_bool done;
};

static void *reply_and_wait(void *arg)
{
	struct server_thread *st = arg;

	st->ret = reply_recv(&st->self->duo.server, st->self->id, st->self->slot, 0,
			     DEV_LONG, &st->offset, &st->nr);
	st->done = true;
	return NULL;
}

TEST_F(reply, then_recv_answers_before_it_waits)
{
	struct server_thread st = { .self = self };

	ASSERT_EQ(0, pthread_create(&st.thread, NULL, reply_and_wait, &st));
	EXPECT_EQ(0, answered_with(self, ""));
	EXPECT_FALSE(st.done);
	ASSERT_EQ(0, duo_send(&self->duo, 9, 8));
	pthread_join(st.thread, NULL);
	EXPECT_EQ(0, st.ret);
	ASSERT_EQ(1, st.nr);
	EXPECT_EQ(9, ep_msg(&self->duo.server, st.offset)->method);
}

TEST_F(reply, then_recv_with_a_signal_is_zero_messages)
{
	struct server_thread st = { .self = self };

	dev_on_usr1(0);
	ASSERT_EQ(0, pthread_create(&st.thread, NULL, reply_and_wait, &st));
	EXPECT_EQ(0, answered_with(self, ""));
	dev_nap(DEV_BEAT);
	pthread_kill(st.thread, SIGUSR1);
	for (int i = 0; i < DEV_LONG && !st.done; i += 5)
		dev_nap(5);
	ASSERT_TRUE(st.done);
	pthread_join(st.thread, NULL);
	EXPECT_EQ(0, st.ret);
	EXPECT_EQ(0, st.nr);
}

TEST_F(reply, then_recv_with_sa_restart_does_not_answer_twice)
{
	struct server_thread st = { .self = self };

	dev_on_usr1(SA_RESTART);
	ASSERT_EQ(0, pthread_create(&st.thread, NULL, reply_and_wait, &st));
	EXPECT_EQ(0, answered_with(self, ""));
	dev_nap(DEV_BEAT);
	pthread_kill(st.thread, SIGUSR1);
	dev_nap(DEV_BEAT);
	/* Restarted as a whole it would find its own answer: ESRCH. */
	if (!st.done) {
		ASSERT_EQ(0, duo_send(&self->duo, 9, 8));
	}
	pthread_join(st.thread, NULL);
	EXPECT_EQ(0, st.ret);
}

TEST_F(reply, that_fails_receives_nothing)
{
	__u32 offset, nr;

	ASSERT_EQ(0, duo_send(&self->duo, 2, 8));
	EXPECT_EQ(-ESRCH, reply_recv(&self->duo.server, self->id + 1000, self->slot,
				     0, DEV_LONG, &offset, &nr));
	EXPECT_NE(NULL, ep_next(&self->duo.server, -1));
}

TEST_F(reply, with_bad_recv_arguments_does_not_answer)
{
	struct symphony_reply reply = {
		.size = sizeof(reply), .id = self->id, .slot = self->slot,
		.flags = SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_DONTWAIT,
	};

	EXPECT_EQ(-EINVAL, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_REPLY, &reply));
	reply.max = SYMPHONY_BATCH_MAX + 1;
	EXPECT_EQ(-EINVAL, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_REPLY, &reply));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_reply(&self->duo.server, self->msg, "yes", 3, 0));
	EXPECT_EQ(0, answered_with(self, "yes"));
}

TEST_F(reply, releases_first_or_does_not_answer)
{
	struct symphony_reply reply = {
		.size = sizeof(reply), .id = self->id, .slot = self->slot,
	};
	const struct symphony_msg *msg;
	__u32 release[2];

	ASSERT_EQ(0, duo_send(&self->duo, 2, 8));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	release[0] = ep_offset(&self->duo.server, msg);
	release[1] = 128 * 5000;
	reply.release = (uintptr_t)release;
	reply.nr_release = 2;
	EXPECT_EQ(-EINVAL, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_REPLY, &reply));
	EXPECT_EQ(1, reply.nr_release);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	/* Its own request may stand there: it is the last moment that it is. */
	release[0] = self->slot;
	reply.nr_release = 1;
	EXPECT_EQ(0, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_REPLY, &reply));
	EXPECT_EQ(0, reply.nr_release);
	EXPECT_EQ(0, answered_with(self, ""));
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, self->slot));
}

TEST_F(reply, races_for_one_call_have_one_winner)
{
	for (int round = 0; round < 100; round++) {
		const struct symphony_msg *msg = self->msg;
		struct server_thread other = { .self = self };

		self->id = msg->id;
		self->slot = ep_offset(&self->duo.server, msg);
		ASSERT_EQ(0, pthread_create(&other.thread, NULL, reply_and_wait, &other));
		if (ep_reply(&self->duo.server, msg, NULL, 0, 0) == 0) {
			/* The other one lost, and does not receive. */
			pthread_join(other.thread, NULL);
			ASSERT_EQ(-ESRCH, other.ret);
		} else {
			ASSERT_EQ(0, duo_send(&self->duo, 9, 8));
			pthread_join(other.thread, NULL);
			ASSERT_EQ(0, other.ret);
			ASSERT_EQ(1, other.nr);
			ASSERT_EQ(0, ep_reply(&self->duo.server,
					      ep_msg(&self->duo.server, other.offset),
					      NULL, 0, SYMPHONY_REPLY_RELEASE));
			ASSERT_EQ(0, ep_release(&self->duo.client,
						ep_next(&self->duo.client, DEV_LONG)));
		}
		ASSERT_EQ(0, ep_release(&self->duo.client,
					ep_next(&self->duo.client, DEV_LONG)));
		ASSERT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
		ASSERT_EQ(0, ep_release(&self->duo.server, msg));
		ASSERT_EQ(0, duo_send(&self->duo, 1, 100));
		self->msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, self->msg);
	}
}

TEST_HARNESS_MAIN
