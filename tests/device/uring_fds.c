// SPDX-License-Identifier: MIT
/* Files with messages that a ring submits: the same as with system calls. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <kselftest_harness.h>

#include "../without/rings.h"
#include "files.h"
#include "ring.h"

FIXTURE(uring_fds)
{
	struct files f;
	struct io_uring client, server;
	__u32 offset;
};

FIXTURE_VARIANT(uring_fds)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring_fds, plain) { .flags = RING_PLAIN };
FIXTURE_VARIANT_ADD(uring_fds, defer) { .flags = RING_DEFER };
FIXTURE_VARIANT_ADD(uring_fds, sqpoll) { .flags = RING_SQPOLL };

FIXTURE_SETUP(uring_fds)
{
	if (rings_are_forbidden())
		SKIP(return, "io_uring is forbidden");
	ASSERT_EQ(0, files_begin(&self->f));
	ASSERT_EQ(0, ring_open(&self->client, 8, variant->flags));
	ASSERT_EQ(0, ring_open(&self->server, 8, variant->flags));
}

FIXTURE_TEARDOWN(uring_fds)
{
	io_uring_queue_exit(&self->client);
	io_uring_queue_exit(&self->server);
	EXPECT_TRUE(files_end(&self->f));
}

#define CLIENT	(&self->f.client)
#define SERVER	(&self->f.server)

/* Begin a CALL; its completion comes later. */
static int call_with(struct _test_data_uring_fds *self, struct symphony_call *call,
		     const int *fds, __u32 nr)
{
	*call = with_fds(self->f.svc, fds, nr);
	if (!ring_put(&self->client, CLIENT, SYMPHONY_IOC_CALL, call, 7))
		return -EBUSY;
	return ring_submit(&self->client);
}

static const struct symphony_msg *receive(struct _test_data_uring_fds *self)
{
	struct symphony_recv recv = recv_to(&self->offset, 1);
	int ret = ring_do(&self->server, SERVER, SYMPHONY_IOC_RECV, &recv);

	return ret == 1 ? ep_msg(SERVER, self->offset) : NULL;
}

static int answer_with(struct _test_data_uring_fds *self, const struct symphony_msg *msg,
		       const int *fds, __u32 nr)
{
	struct symphony_reply reply = answer_with_fds(SERVER, msg, fds, nr);

	return ring_do(&self->server, SERVER, SYMPHONY_IOC_REPLY, &reply);
}

static bool are_same(int one, int other)
{
	struct stat a, b;

	return !fstat(one, &a) && !fstat(other, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

TEST_F(uring_fds, of_a_call_and_of_its_answer_arrive)
{
	int file = memfd_create("test", MFD_CLOEXEC), got[2];
	const int sent[] = { file, self->f.probe.write };
	const struct symphony_msg *msg;
	struct symphony_call call;
	int ret;

	ASSERT_LT(0, call_with(self, &call, sent, 2));
	msg = receive(self);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(2, msg->nr_fds);
	EXPECT_EQ(self->f.used + 2, files_in_flight());
	ASSERT_EQ(0, take_fds(SERVER, msg, got, 2));
	EXPECT_EQ(self->f.used, files_in_flight());
	EXPECT_TRUE(are_same(file, got[0]));
	EXPECT_TRUE(probe_is(&self->f.probe, got[1]));
	EXPECT_EQ(-ENOENT, take_fds(SERVER, msg, got, 2));
	close(got[0]);
	ASSERT_EQ(0, answer_with(self, msg, &got[1], 1));
	close(got[1]);
	ret = ring_next(&self->client, DEV_LONG, NULL);
	ASSERT_LE(0, ret);
	msg = ep_msg(CLIENT, ret);
	EXPECT_EQ(1, msg->nr_fds);
	EXPECT_EQ(self->f.used + 1, files_in_flight());
	ASSERT_EQ(0, take_fds(CLIENT, msg, got, 1));
	EXPECT_TRUE(probe_is(&self->f.probe, got[0]));
	close(got[0]);
	close(file);
	EXPECT_EQ(0, ep_release(CLIENT, msg));
	probe_part(&self->f.probe);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(uring_fds, of_a_send_arrive)
{
	struct symphony_call call = with_fds(self->f.svc, &self->f.probe.write, 1);
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ring_do(&self->client, CLIENT, SYMPHONY_IOC_SEND, &call));
	ASSERT_TRUE(arrives(&self->f, SERVER, &msg));
	EXPECT_EQ(0, answer_with(self, msg, &self->f.probe.write, 1));
	ASSERT_TRUE(arrives(&self->f, CLIENT, &msg));
	call = (struct symphony_call){
		.size = sizeof(call), .flags = SYMPHONY_CALL_ONEWAY, .handle = self->f.svc,
		.fds = (uintptr_t)&self->f.probe.write, .nr_fds = 1,
	};
	ASSERT_EQ(0, ring_do(&self->client, CLIENT, SYMPHONY_IOC_SEND, &call));
	probe_part(&self->f.probe);
	ASSERT_TRUE(arrives(&self->f, SERVER, &msg));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(uring_fds, that_cannot_be_sent_are_refused)
{
	const struct { int fd, error; } bad[] = {
		{ -1, -EBADF }, { SERVER->fd, -ELOOP }, { self->client.ring_fd, -EINVAL },
	};
	int sent[2] = { self->f.probe.write };
	const struct symphony_msg *msg;
	struct symphony_call call;
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		sent[1] = bad[i].fd;
		ASSERT_LT(0, call_with(self, &call, sent, 2));
		EXPECT_EQ(bad[i].error, ring_next(&self->client, DEV_LONG, NULL));
		EXPECT_EQ(0, call.id);
	}
	ASSERT_LT(0, call_with(self, &call, sent, SYMPHONY_FDS_MAX + 1));
	EXPECT_EQ(-EINVAL, ring_next(&self->client, DEV_LONG, NULL));
	ASSERT_LT(0, call_with(self, &call, (int *)8, 1));
	EXPECT_EQ(-EFAULT, ring_next(&self->client, DEV_LONG, NULL));
	EXPECT_TRUE(ep_is_quiet(SERVER));
	EXPECT_EQ(self->f.used, files_in_flight());
	/* The call is as it was when its answer is refused. */
	ASSERT_LT(0, call_with(self, &call, NULL, 0));
	msg = receive(self);
	ASSERT_NE(NULL, msg);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		sent[1] = bad[i].fd;
		EXPECT_EQ(bad[i].error, answer_with(self, msg, sent, 2));
	}
	EXPECT_EQ(0, answer_with(self, msg, sent, 1));
	EXPECT_EQ(-ESRCH, answer_with(self, msg, sent, 1));
	ret = ring_next(&self->client, DEV_LONG, NULL);
	ASSERT_LE(0, ret);
	EXPECT_EQ(0, ep_release_at(CLIENT, ret));
	EXPECT_EQ(self->f.used, files_in_flight());
}

TEST_F(uring_fds, of_what_was_not_received_are_closed_with_the_ring)
{
	struct symphony_call call;

	ASSERT_LT(0, call_with(self, &call, &self->f.probe.write, 1));
	EXPECT_TRUE(dev_until(files_in_flight() == self->f.used + 1));
	probe_part(&self->f.probe);
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	io_uring_queue_exit(&self->client);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_TRUE(ep_is_quiet(SERVER));
	ASSERT_EQ(0, ring_open(&self->client, 4, variant->flags));
}

TEST_F(uring_fds, of_what_was_received_can_be_claimed_when_the_ring_is_gone)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	int fd;

	ASSERT_LT(0, call_with(self, &call, &self->f.probe.write, 1));
	msg = receive(self);
	ASSERT_NE(NULL, msg);
	probe_part(&self->f.probe);
	io_uring_queue_exit(&self->client);
	/* The call ends a moment later; until then an answer without a body is refused. */
	EXPECT_TRUE(dev_until(ep_reply_at(SERVER, msg->id, self->offset, (void *)16, 1, 0) ==
			      -ESRCH));
	ASSERT_EQ(0, take_fds(SERVER, msg, &fd, 1));
	EXPECT_TRUE(probe_is(&self->f.probe, fd));
	close(fd);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_EQ(0, ep_release(SERVER, msg));
	ASSERT_EQ(0, ring_open(&self->client, 4, variant->flags));
}

/* Its completion waits for this thread to ask, which it never does. */
TEST_F(uring_fds, of_an_answer_that_nobody_is_told_of_are_closed)
{
	const struct symphony_msg *msg;
	struct symphony_call call;

	if (variant->flags != RING_DEFER)
		SKIP(return, "of this ring it is told at once");
	ASSERT_LT(0, call_with(self, &call, NULL, 0));
	msg = receive(self);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, answer_with(self, msg, &self->f.probe.write, 1));
	probe_part(&self->f.probe);
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	io_uring_queue_exit(&self->client);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_TRUE(dev_until(files_in_flight() == self->f.used));
	ASSERT_EQ(0, ring_open(&self->client, 4, variant->flags));
}

TEST_HARNESS_MAIN
