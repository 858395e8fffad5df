// SPDX-License-Identifier: MIT
/* Operations that a ring submits: what they do, refuse, and leave behind. */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest_harness.h>

#include "../without/rings.h"
#include "claim.h"
#include "ring.h"

#define BATCH	32

FIXTURE(uring)
{
	struct duo duo;
	struct io_uring client, server;
	struct symphony_call calls[BATCH];
	__u32 offsets[BATCH];
};

FIXTURE_VARIANT(uring)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring, plain) { .flags = RING_PLAIN };
FIXTURE_VARIANT_ADD(uring, defer) { .flags = RING_DEFER };
FIXTURE_VARIANT_ADD(uring, sqpoll) { .flags = RING_SQPOLL };

FIXTURE_SETUP(uring)
{
	if (rings_are_forbidden())
		SKIP(return, "io_uring is forbidden");
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	ASSERT_EQ(0, ring_open(&self->client, 2 * BATCH, variant->flags));
	ASSERT_EQ(0, ring_open(&self->server, 2 * BATCH, variant->flags));
}

FIXTURE_TEARDOWN(uring)
{
	io_uring_queue_exit(&self->client);
	io_uring_queue_exit(&self->server);
	duo_close(&self->duo);
}

#define CLIENT	(&self->duo.client)
#define SERVER	(&self->duo.server)

/* Put CALL number @i, whose body is that number. */
static bool put_call(struct _test_data_uring *self, int i)
{
	static int bodies[BATCH];

	bodies[i] = i;
	self->calls[i] = ep_request(self->duo.svc, &bodies[i], sizeof(bodies[i]));
	return ring_put(&self->client, CLIENT, SYMPHONY_IOC_CALL, &self->calls[i], i);
}

/* Receive over the server's ring: how many, at @self->offsets. */
static int receive(struct _test_data_uring *self, __u32 max)
{
	struct symphony_recv recv = recv_to(self->offsets, max);

	return ring_do(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv);
}

static struct symphony_reply answer_to(const struct ep *ep, __u32 offset)
{
	const struct symphony_msg *msg = ep_msg(ep, offset);

	return (struct symphony_reply){
		.size = sizeof(struct symphony_reply),
		.flags = SYMPHONY_REPLY_RELEASE,
		.id = msg->id,
		.slot = offset,
		.body = (uintptr_t)ep_body(msg),
		.body_len = msg->body_len,
	};
}

TEST_F(uring, calls_and_is_answered)
{
	struct symphony_reply reply;
	const struct symphony_msg *msg;
	__u64 data;
	int ret;

	ASSERT_TRUE(put_call(self, 7));
	ASSERT_LT(0, ring_submit(&self->client));
	ASSERT_EQ(1, receive(self, BATCH));
	EXPECT_NE(0, self->calls[7].id);
	reply = answer_to(SERVER, self->offsets[0]);
	EXPECT_EQ(0, ring_do(&self->server, SERVER, SYMPHONY_IOC_REPLY, &reply));
	ret = ring_next(&self->client, DEV_LONG, &data);
	ASSERT_LE(0, ret);
	EXPECT_EQ(7, data);
	msg = ep_msg(CLIENT, ret);
	EXPECT_EQ(SYMPHONY_MSG_REPLY, msg->type);
	EXPECT_EQ(self->calls[7].id, msg->id);
	EXPECT_EQ(0, msg->status);
	EXPECT_EQ(7, *(const int *)ep_body(msg));
	EXPECT_EQ(SERVER->id, msg->sender);
	EXPECT_EQ(0, ep_release(CLIENT, msg));
	EXPECT_EQ(-EINVAL, ep_release(CLIENT, msg));
}

TEST_F(uring, calls_and_serves_in_batches)
{
	struct symphony_reply replies[BATCH];
	bool seen[BATCH] = { };
	__u64 data;
	int i, n, ret;

	for (int round = 0; round < 20; round++) {
		memset(seen, 0, sizeof(seen));
		for (i = 0; i < BATCH; i++)
			ASSERT_TRUE(put_call(self, i));
		ASSERT_LT(0, ring_submit(&self->client));
		for (n = 0; n < BATCH; n += ret) {
			ret = receive(self, BATCH);
			ASSERT_LT(0, ret);
			for (i = 0; i < ret; i++) {
				replies[i] = answer_to(SERVER, self->offsets[i]);
				ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_REPLY,
						     &replies[i], i));
			}
			ASSERT_LT(0, ring_submit(&self->server));
			for (i = 0; i < ret; i++)
				ASSERT_EQ(0, ring_next(&self->server, DEV_LONG, NULL));
		}
		for (i = 0; i < BATCH; i++) {
			ret = ring_next(&self->client, DEV_LONG, &data);
			ASSERT_LE(0, ret);
			ASSERT_GT(BATCH, data);
			EXPECT_FALSE(seen[data]);
			seen[data] = true;
			EXPECT_EQ(data, *(const int *)ep_body(ep_msg(CLIENT, ret)));
			EXPECT_EQ(0, ep_release_at(CLIENT, ret));
		}
	}
	EXPECT_TRUE(ring_is_quiet(&self->client));
}

TEST_F(uring, receives_what_comes_later)
{
	struct symphony_recv recv = recv_to(self->offsets, BATCH);
	int got, ret;

	ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv, 3));
	ASSERT_LT(0, ring_submit(&self->server));
	EXPECT_TRUE(ring_is_quiet(&self->server));
	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, duo_send(&self->duo, i, 100));
	got = ring_next(&self->server, DEV_LONG, NULL);
	ASSERT_LT(0, got);
	while (got < 5) {
		ret = receive(self, BATCH);
		ASSERT_LT(0, ret);
		got += ret;
	}
	EXPECT_EQ(5, got);
}

TEST_F(uring, sends_and_replies_with_the_next)
{
	struct symphony_call call = ep_request(self->duo.svc, "a", 1);
	struct symphony_reply reply;
	const struct symphony_msg *msg;

	call.cookie = 17;
	ASSERT_EQ(0, ring_do(&self->client, CLIENT, SYMPHONY_IOC_SEND, &call));
	ASSERT_EQ(1, receive(self, 1));
	reply = answer_to(SERVER, self->offsets[0]);
	reply.flags |= SYMPHONY_REPLY_RECV;
	reply.offsets = (uintptr_t)self->offsets;
	reply.max = 1;
	ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_REPLY, &reply, 0));
	ASSERT_LT(0, ring_submit(&self->server));
	msg = ep_next(CLIENT, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(17, msg->cookie);
	EXPECT_TRUE(ring_is_quiet(&self->server));
	call.id = 0;
	call.slot = 0;
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	EXPECT_EQ(1, ring_next(&self->server, DEV_LONG, NULL));
	EXPECT_EQ(call.id, ep_msg(SERVER, self->offsets[0])->id);
	/* What was answered is told as that, whatever becomes of the rest. */
	reply = answer_to(SERVER, self->offsets[0]);
	reply.flags |= SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_DONTWAIT;
	reply.offsets = (uintptr_t)self->offsets;
	reply.max = 1;
	EXPECT_EQ(0, ring_do(&self->server, SERVER, SYMPHONY_IOC_REPLY, &reply));
	EXPECT_EQ(-ESRCH, ring_do(&self->server, SERVER, SYMPHONY_IOC_REPLY, &reply));
}

/* The status of the outcome that CALL number @i has. */
static int outcome(struct _test_data_uring *self, int i)
{
	const struct symphony_msg *msg;
	__u64 data;
	int ret = ring_next(&self->client, DEV_LONG, &data);

	if (ret < 0)
		return ret;
	msg = ep_msg(CLIENT, ret);
	if (data != i || msg->type != SYMPHONY_MSG_REPLY || msg->id != self->calls[i].id)
		return -EBADMSG;
	ret = msg->status;
	return ep_release(CLIENT, msg) ?: ret;
}

TEST_F(uring, is_told_what_the_kernel_decides)
{
	struct symphony_wait cancel = { .size = sizeof(cancel) };
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_TRUE(put_call(self, i));
	self->calls[0].deadline = dev_after(DEV_BEAT);
	ASSERT_LT(0, ring_submit(&self->client));
	EXPECT_EQ(-ETIME, outcome(self, 0));
	cancel.id = self->calls[1].id;
	cancel.slot = self->calls[1].slot;
	ASSERT_TRUE(ring_put(&self->client, CLIENT, SYMPHONY_IOC_CANCEL, &cancel, 99));
	ASSERT_LT(0, ring_submit(&self->client));
	for (i = 0; i < 2; i++) {
		__u64 data;
		int ret = ring_next(&self->client, DEV_LONG, &data);

		ASSERT_LE(0, ret);
		if (data == 99)
			continue;
		EXPECT_EQ(1, data);
		EXPECT_EQ(-ECANCELED, ep_msg(CLIENT, ret)->status);
	}
	EXPECT_EQ(-ESRCH, ring_do(&self->client, CLIENT, SYMPHONY_IOC_CANCEL, &cancel));
	ep_close(SERVER);
	EXPECT_EQ(-ECONNABORTED, outcome(self, 2));
}

TEST_F(uring, refuses_what_is_wrong)
{
	struct symphony_recv recv = recv_to(self->offsets, 1);
	struct symphony_call call = ep_request(self->duo.svc + 1, NULL, 0);
	struct symphony_query query = { .size = sizeof(query) };
	struct symphony_release release = { .size = sizeof(release) };
	struct symphony_uring *cmd;
	struct io_uring_sqe *sqe;
	struct ep nobody = { };
	struct kid kid;

	recv.deadline = dev_after(1000);
	EXPECT_EQ(-EINVAL, ring_do(&self->client, CLIENT, SYMPHONY_IOC_RECV, &recv));
	EXPECT_EQ(-ENOENT, ring_do(&self->client, CLIENT, SYMPHONY_IOC_CALL, &call));
	EXPECT_EQ(0, call.id);
	EXPECT_EQ(-EFAULT, ring_do(&self->client, CLIENT, SYMPHONY_IOC_CALL, (void *)16));
	EXPECT_EQ(-EOPNOTSUPP, ring_do(&self->client, CLIENT, SYMPHONY_IOC_QUERY, &query));
	EXPECT_EQ(-EOPNOTSUPP, ring_do(&self->client, CLIENT, 0, &query));
	sqe = ring_put(&self->client, CLIENT, SYMPHONY_IOC_CALL, &call, 0);
	ASSERT_NE(NULL, sqe);
	cmd = (void *)sqe->cmd;
	cmd->reserved = 1;
	ASSERT_LT(0, ring_submit(&self->client));
	EXPECT_EQ(-EINVAL, ring_next(&self->client, DEV_LONG, NULL));
	sqe = ring_put(&self->client, CLIENT, SYMPHONY_IOC_RELEASE, &release, 0);
	ASSERT_NE(NULL, sqe);
	sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	ASSERT_LT(0, ring_submit(&self->client));
	EXPECT_GT(0, ring_next(&self->client, DEV_LONG, NULL));
	nobody.fd = dev_open();
	ASSERT_LE(0, nobody.fd);
	EXPECT_EQ(-ENOTCONN, ring_do(&self->client, &nobody, SYMPHONY_IOC_CALL, &call));
	close(nobody.fd);
	/* Another process, with a ring of its own. */
	if (!kid_fork(&kid)) {
		struct io_uring ring;

		_exit(ring_open(&ring, 4, RING_PLAIN) ||
		      ring_do(&ring, CLIENT, SYMPHONY_IOC_CALL, &call) != -EPERM);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	/* A call has one outcome, and is not entered twice. */
	call = ep_request(self->duo.svc, NULL, 0);
	call.id = 1;
	EXPECT_EQ(-EINVAL, ring_do(&self->client, CLIENT, SYMPHONY_IOC_CALL, &call));
}

TEST_F(uring, does_not_wait_for_room)
{
	struct symphony_call call;
	int why;

	ASSERT_LT(0, duo_flood(&self->duo, 4096, 1, &why));
	ASSERT_EQ(-EAGAIN, why);
	call = ep_request(self->duo.svc, self->duo.server.pool, 4096);
	call.cookie = 5;
	call.flags = SYMPHONY_CALL_NOTIFY;
	EXPECT_EQ(-EAGAIN, ring_do(&self->client, CLIENT, SYMPHONY_IOC_CALL, &call));
	EXPECT_NE(SYMPHONY_LIMIT_NONE, call.limit);
	EXPECT_EQ(0, call.id);
}

TEST_F(uring, gives_up_a_receive)
{
	struct symphony_recv recv = recv_to(self->offsets, 1);
	struct symphony_wait cancel = recv_cancel(self->offsets);

	ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv, 1));
	ASSERT_LT(0, ring_submit(&self->server));
	EXPECT_TRUE(ring_is_quiet(&self->server));
	EXPECT_EQ(0, dev_ioctl(SERVER->fd, SYMPHONY_IOC_CANCEL, &cancel));
	EXPECT_EQ(-ECANCELED, ring_next(&self->server, DEV_LONG, NULL));
	EXPECT_EQ(-ESRCH, dev_ioctl(SERVER->fd, SYMPHONY_IOC_CANCEL, &cancel));
	ASSERT_EQ(0, duo_send(&self->duo, 1, 10));
	EXPECT_TRUE(ring_is_quiet(&self->server));
	EXPECT_EQ(1, receive(self, 1));
}

/* Also one that was woken for what another receiver then took. */
TEST_F(uring, gives_up_a_receive_that_was_woken)
{
	struct symphony_recv recv = recv_to(self->offsets, 1);
	struct symphony_wait cancel = recv_cancel(self->offsets);

	for (int i = 0; i < 5; i++) {
		int got, ret;

		ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv, 1));
		ASSERT_LT(0, ring_submit(&self->server));
		EXPECT_TRUE(ring_is_quiet(&self->server));
		ASSERT_EQ(0, duo_send(&self->duo, 1, 10));
		got = ep_recv(SERVER, (__u32[1]){}, 1, -1);
		ret = dev_ioctl(SERVER->fd, SYMPHONY_IOC_CANCEL, &cancel);
		/* Which of both received it depends on the way completions go. */
		EXPECT_EQ(got == 1 ? 0 : -ESRCH, ret);
		EXPECT_EQ(got == 1 ? -ECANCELED : 1, ring_next(&self->server, DEV_LONG, NULL));
		EXPECT_TRUE(ring_is_quiet(&self->server));
	}
}

TEST_F(uring, ends_with_the_endpoint)
{
	struct symphony_recv recv = recv_to(self->offsets, 1);
	struct ep other;

	/* The ring's file keeps the endpoint's: only its owner's exit ends it. */
	ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv, 1));
	ASSERT_LT(0, ring_submit(&self->server));
	EXPECT_TRUE(ring_is_quiet(&self->server));
	ep_close(SERVER);
	ASSERT_EQ(0, ep_join(&other, MIB));
	io_uring_queue_exit(&self->server);
	EXPECT_TRUE(dev_until(ep_watch(&other, SERVER->id, 0, 0) == -ESRCH));
	ASSERT_EQ(0, ring_open(&self->server, 4, variant->flags));
	ep_close(&other);
}

/* What this user has of calls: the ledger's word, in lots of 32. */
static __u64 calls_used(void)
{
	return dev_limits().user_calls.used;
}

TEST_F(uring, leaves_nothing_when_a_ring_ends)
{
	struct symphony_recv recv = recv_to(self->offsets, 1);
	__u32 offsets[BATCH];
	int i, n;

	for (i = 0; i < BATCH; i++)
		ASSERT_TRUE(put_call(self, i));
	ASSERT_LT(0, ring_submit(&self->client));
	n = receive(self, BATCH / 2);
	ASSERT_LT(0, n);
	memcpy(offsets, self->offsets, sizeof(offsets));
	ASSERT_TRUE(ring_put(&self->client, CLIENT, SYMPHONY_IOC_RECV, &recv, BATCH));
	ASSERT_LT(0, ring_submit(&self->client));
	io_uring_queue_exit(&self->client);
	/* The calls end, perhaps a moment later. */
	for (i = 0; i < n; i++)
		EXPECT_TRUE(dev_until(ep_reply_at(SERVER, ep_msg(SERVER, offsets[i])->id,
						  offsets[i], NULL, 0, 0) == -ESRCH));
	EXPECT_TRUE(dev_until(ep_is_quiet(SERVER)));
	/* And all room for answers is there again. */
	EXPECT_TRUE(ep_is_quiet(CLIENT));
	for (n = 0; n < 3; n++) {
		struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

		call.reply_max = MIB / 2 - 4096;
		call.deadline = 0;
		ASSERT_EQ(0, ep_send(CLIENT, &call));
		ASSERT_EQ(0, ep_cancel(CLIENT, call.id, call.slot));
		ASSERT_EQ(0, ep_release(CLIENT, ep_next(CLIENT, DEV_LONG)));
	}
	ASSERT_EQ(0, ring_open(&self->client, 4, variant->flags));
}

/* What a ring was woken for and cannot take any more, another one takes. */
TEST_F(uring, passes_on_what_it_cannot_take)
{
	struct symphony_recv recv = recv_to(self->offsets, 1);
	__u32 other[1];
	struct symphony_recv recv_other = recv_to(other, 1);
	struct symphony_wait cancel = recv_cancel(self->offsets);
	const struct symphony_msg *msg;

	for (int i = 0; i < (dev_slow() ? 10 : 50); i++) {
		ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv, 1));
		ASSERT_TRUE(ring_put(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv_other, 2));
		ASSERT_LT(0, ring_submit(&self->server));
		if (i % 2)
			dev_nap(1);
		dev_ioctl(SERVER->fd, SYMPHONY_IOC_CANCEL, &cancel);
		ASSERT_EQ(0, duo_send(&self->duo, i, 10));
		for (int done = 0; done != 3; ) {
			__u64 data;
			int ret = ring_next(&self->server, DEV_LONG, &data);

			ASSERT_NE(-ETIME, ret);
			done |= data;
			if (ret == -ECANCELED)
				continue;
			ASSERT_EQ(1, ret);
			msg = ep_msg(SERVER, data == 1 ? self->offsets[0] : other[0]);
			EXPECT_EQ(0, ep_reply(SERVER, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
			if (done != 3) {
				ASSERT_EQ(0, duo_send(&self->duo, i, 10));
			}
		}
		while (ep_next(CLIENT, 0))
			;
	}
}

/* Killed in the middle of thousands of calls, with a ring that saw none end. */
TEST_F(uring, leaves_nothing_when_killed)
{
	__u64 before = calls_used();
	struct kid kid;
	__s64 made;
	int n;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct io_uring ring;
		struct ep ep;
		__s64 calls = !dev_slow() ? 10000 : variant->flags == RING_SQPOLL ? 200 : 2000;
		__u64 svc;

		if (ep_join(&ep, 16 * MIB) || ep_resolve(&ep, "svc", &svc) ||
		    ring_open(&ring, 4096, variant->flags))
			_exit(1);
		call = ep_request(svc, NULL, 0);
		call.reply_max = 1;
		for (made = 0; made < calls; made++) {
			call.id = 0;
			call.slot = 0;
			while (!ring_put(&ring, &ep, SYMPHONY_IOC_CALL, &call, made))
				ring_submit(&ring);
			if (variant->flags == RING_SQPOLL) {
				ring_submit(&ring);
				while (!call.id && !io_uring_cq_ready(&ring))
					sched_yield();
			} else if (made % 64 == 63) {
				ring_submit(&ring);
			}
		}
		ring_submit(&ring);
		kid_tell(&kid, io_uring_cq_ready(&ring));
		pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &made));
	for (n = 0; n < 100; n++) {
		const struct symphony_msg *msg = ep_next(SERVER, 0);

		if (!msg)
			break;
		EXPECT_EQ(0, ep_reply(SERVER, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	}
	EXPECT_LT(10, n);
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_TRUE(dev_until(calls_used() == before));
	EXPECT_TRUE(ep_is_quiet(SERVER));
}

TEST_HARNESS_MAIN
