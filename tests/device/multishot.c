// SPDX-License-Identifier: MIT
/* A RECV that a ring submits once, and that tells of messages again and again. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <kselftest_harness.h>

#include "claim.h"
#include "ring.h"
#include "../without/rings.h"

#define BUFFERS	16	/* more than there is room for completions */
#define ROOM	4	/* offsets in one */
#define GROUP	3
#define NUMBERS	4096

FIXTURE(multishot)
{
	struct duo duo;
	struct io_uring ring;
	struct io_uring_buf_ring *group;
	__u32 buffers[BUFFERS][ROOM];
	int order[BUFFERS], first, nr;	/* those that were offered and not told of */
	__u32 last[ROOM];	/* where the last completion's are */
	int sent, completions;
	bool more;
	unsigned char seen[NUMBERS];
};

FIXTURE_VARIANT(multishot)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(multishot, plain) { .flags = RING_PLAIN };
FIXTURE_VARIANT_ADD(multishot, defer) { .flags = RING_DEFER };
FIXTURE_VARIANT_ADD(multishot, sqpoll) { .flags = RING_SQPOLL };

#define CLIENT	(&self->duo.client)
#define SERVER	(&self->duo.server)

/* Buffer @id can be used (again). */
static void offer(struct _test_data_multishot *self, int id)
{
	io_uring_buf_ring_add(self->group, self->buffers[id], sizeof(self->buffers[id]), id,
			      io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(self->group, 1);
	self->order[(self->first + self->nr++) % BUFFERS] = id;
}

/* The next of them is used: which. */
static int use(struct _test_data_multishot *self)
{
	int id = self->order[self->first];

	self->first = (self->first + 1) % BUFFERS;
	self->nr--;
	return id;
}

static struct io_uring_sqe *put(struct _test_data_multishot *self, struct symphony_recv *recv)
{
	struct io_uring_sqe *sqe;

	*recv = (struct symphony_recv){
		.size = sizeof(*recv), .offsets = (uintptr_t)self->last, .max = ROOM,
	};
	sqe = ring_put(&self->ring, SERVER, SYMPHONY_IOC_RECV, recv, 1);
	if (sqe) {
		sqe->uring_cmd_flags = IORING_URING_CMD_MULTISHOT;
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = GROUP;
	}
	return sqe;
}

static int arm(struct _test_data_multishot *self)
{
	static struct symphony_recv recv;
	int ret;

	if (!put(self, &recv))
		return -ENOSPC;
	ret = ring_submit(&self->ring);
	self->more = true;
	return ret < 0 ? ret : 0;
}

static bool kernel_has_it(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname uts;

	uname(&uts);
	sscanf(uts.release, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 18);
}

FIXTURE_SETUP(multishot)
{
	int ret;

	dev_begin();
	if (rings_are_forbidden())
		SKIP(return, "io_uring is forbidden");
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	ASSERT_EQ(0, ring_open(&self->ring, 4, variant->flags));
	self->group = io_uring_setup_buf_ring(&self->ring, BUFFERS, GROUP, 0, &ret);
	ASSERT_NE(NULL, self->group);
	for (int i = 0; i < BUFFERS; i++)
		offer(self, i);
	if (!kernel_has_it()) {
		ASSERT_EQ(0, arm(self));
		EXPECT_EQ(-EOPNOTSUPP, ring_next(&self->ring, DEV_LONG, NULL));
		SKIP(return, "needs Linux 6.18");
	}
}

FIXTURE_TEARDOWN(multishot)
{
	io_uring_queue_exit(&self->ring);
	duo_close(&self->duo);
}

/* SEND @nr more messages, one way, with their numbers in them. */
static int send_numbers(struct _test_data_multishot *self, int nr)
{
	for (int i = 0; i < nr; i++) {
		struct symphony_call call = {
			.size = sizeof(call), .flags = SYMPHONY_CALL_ONEWAY,
			.handle = self->duo.svc, .body = (uintptr_t)&self->sent,
			.body_len = sizeof(self->sent),
		};
		int ret = ep_send(CLIENT, &call);

		if (ret)
			return ret;
		self->sent++;
	}
	return 0;
}

/* Each was received once, and is released: how many, or -errno. */
static int take(struct _test_data_multishot *self, const __u32 *offsets, int nr)
{
	for (int i = 0; i < nr; i++) {
		const struct symphony_msg *msg = ep_msg(SERVER, offsets[i]);
		int number = *(const int *)ep_body(msg);

		if (number < 0 || number >= self->sent || self->seen[number]++)
			return -EPROTO;
		if (ep_release(SERVER, msg))
			return -EIO;
	}
	return nr;
}

/*
 * The next completion within @ms: how many messages it told of, or its error.
 * The last one (not @more) names no buffer.
 */
static int reap(struct _test_data_multishot *self, int ms)
{
	struct __kernel_timespec timeout = {
		.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L,
	};
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe_timeout(&self->ring, &cqe, &timeout), id;

	if (ret)
		return ret;
	ret = cqe->res;
	self->completions++;
	self->more = cqe->flags & IORING_CQE_F_MORE;
	if (self->more != !!(cqe->flags & IORING_CQE_F_BUFFER) ||
	    (self->more && ret % sizeof(__u32))) {
		ret = -EPROTO;
	} else if (self->more) {
		id = use(self);
		ret = id == cqe->flags >> IORING_CQE_BUFFER_SHIFT ?
			take(self, self->buffers[id], ret / sizeof(__u32)) : -EPROTO;
		offer(self, id);
	} else if (ret > 0) {
		ret = take(self, self->last, ret);
		offer(self, use(self));
	}
	io_uring_cqe_seen(&self->ring, cqe);
	return ret;
}

TEST_F(multishot, tells_of_messages_again_and_again)
{
	int got = 0, ret;

	ASSERT_EQ(0, arm(self));
	for (int round = 0; round < 100; round++) {
		ASSERT_EQ(0, send_numbers(self, 1 + round % 7));
		while (got < self->sent) {
			ret = reap(self, DEV_LONG);
			ASSERT_LT(0, ret);
			ASSERT_TRUE(self->more);
			got += ret;
		}
	}
	EXPECT_EQ(self->sent, got);
	EXPECT_LE(self->completions, got);
	EXPECT_TRUE(ring_is_quiet(&self->ring));
}

TEST_F(multishot, takes_what_was_there_before)
{
	int got = 0;

	ASSERT_EQ(0, send_numbers(self, 20));
	ASSERT_EQ(0, arm(self));
	while (got < 20) {
		int ret = reap(self, DEV_LONG);

		ASSERT_LT(0, ret);
		ASSERT_LE(ret, ROOM);
		got += ret;
	}
	EXPECT_TRUE(self->more);
}

/* Without a buffer it ends, and takes nothing. */
TEST_F(multishot, ends_when_buffers_do)
{
	struct io_uring_cqe *cqe;
	int got = 0;
	__u64 data;

	ASSERT_EQ(0, arm(self));
	for (int i = 0; i < BUFFERS; i++) {
		struct __kernel_timespec timeout = { .tv_sec = DEV_LONG / 1000 };

		ASSERT_EQ(0, send_numbers(self, 1));
		ASSERT_EQ(0, io_uring_wait_cqe_timeout(&self->ring, &cqe, &timeout));
		ASSERT_EQ(sizeof(__u32), cqe->res);
		ASSERT_EQ(1, take(self, self->buffers[use(self)], 1));
		io_uring_cqe_seen(&self->ring, cqe);
	}
	ASSERT_EQ(0, send_numbers(self, 3));
	EXPECT_EQ(-ENOBUFS, ring_next(&self->ring, DEV_LONG, &data));
	EXPECT_TRUE(ring_is_quiet(&self->ring));
	for (int i = 0; i < BUFFERS; i++)
		offer(self, i);
	ASSERT_EQ(0, arm(self));
	while (got < 3) {
		int ret = reap(self, DEV_LONG);

		ASSERT_LT(0, ret);
		got += ret;
	}
}

/* Where no completion has room the last one tells of messages that were taken. */
TEST_F(multishot, loses_nothing_when_completions_have_no_room)
{
	int got = 0, ends = 0, ret;

	ASSERT_EQ(0, arm(self));
	for (int round = 0; round < 40; round++) {
		/* The ring has room for eight. */
		for (int i = 0; i < 24; i++) {
			ASSERT_EQ(0, send_numbers(self, 1));
			if (variant->flags == RING_DEFER)
				io_uring_get_events(&self->ring);
			else
				dev_nap(1);
		}
		while (got < self->sent) {
			ret = reap(self, DEV_LONG);
			ASSERT_LT(0, ret);
			got += ret;
			if (!self->more) {
				ends++;
				ASSERT_EQ(0, arm(self));
			}
		}
	}
	EXPECT_EQ(self->sent, got);
	/* Otherwise it was not tried, as often as there are buffers. */
	EXPECT_LT(BUFFERS, ends);
}

TEST_F(multishot, is_given_up)
{
	struct symphony_wait cancel = {
		.size = sizeof(cancel), .flags = SYMPHONY_CANCEL_RECV,
		.id = (uintptr_t)self->last,
	};

	ASSERT_EQ(0, arm(self));
	ASSERT_EQ(0, send_numbers(self, 1));
	ASSERT_EQ(1, reap(self, DEV_LONG));
	EXPECT_EQ(0, dev_ioctl(SERVER->fd, SYMPHONY_IOC_CANCEL, &cancel));
	EXPECT_EQ(-ECANCELED, reap(self, DEV_LONG));
	EXPECT_FALSE(self->more);
	EXPECT_EQ(-ESRCH, dev_ioctl(SERVER->fd, SYMPHONY_IOC_CANCEL, &cancel));
	/* What comes now is for somebody else. */
	ASSERT_EQ(0, send_numbers(self, 1));
	EXPECT_NE(NULL, ep_next(SERVER, DEV_LONG));
}

TEST_F(multishot, refuses_what_makes_no_sense)
{
	struct symphony_release release = { .size = sizeof(release) };
	struct symphony_recv recv;
	struct io_uring_sqe *sqe;

	ASSERT_NE(NULL, put(self, &recv));
	recv.flags = SYMPHONY_RECV_DONTWAIT;
	ASSERT_LT(0, ring_submit(&self->ring));
	EXPECT_EQ(-EINVAL, ring_next(&self->ring, DEV_LONG, NULL));
	ASSERT_NE(NULL, put(self, &recv));
	recv.max = 0;
	ASSERT_LT(0, ring_submit(&self->ring));
	EXPECT_EQ(-EINVAL, ring_next(&self->ring, DEV_LONG, NULL));
	/* Only RECV goes on. */
	sqe = ring_put(&self->ring, SERVER, SYMPHONY_IOC_RELEASE, &release, 1);
	ASSERT_NE(NULL, sqe);
	sqe->uring_cmd_flags = IORING_URING_CMD_MULTISHOT;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	ASSERT_LT(0, ring_submit(&self->ring));
	EXPECT_EQ(-EINVAL, ring_next(&self->ring, DEV_LONG, NULL));
	/* A group that is not there. */
	sqe = put(self, &recv);
	ASSERT_NE(NULL, sqe);
	sqe->buf_group = GROUP + 1;
	ASSERT_LT(0, ring_submit(&self->ring));
	ASSERT_EQ(0, send_numbers(self, 1));
	EXPECT_EQ(-ENOBUFS, ring_next(&self->ring, DEV_LONG, NULL));
	/* The message is there still. */
	EXPECT_NE(NULL, ep_next(SERVER, DEV_LONG));
}

/* A buffer that cannot hold an offset, or cannot be written: nothing is taken. */
TEST_F(multishot, takes_nothing_without_a_place_for_it)
{
	struct { void *start; int len, error; } bad[] = {
		{ self->buffers[0], sizeof(__u32) - 1, -EINVAL },
		{ (void *)64, sizeof(__u32), -EFAULT },	/* where nothing is mapped, */
		{ (void *)-EAGAIN, sizeof(__u32), 0 },	/* of the kernel's: it, or the core, sees */
		{ NULL, sizeof(__u32), -ENOBUFS },
	};
	struct io_uring_buf_ring *group;
	struct symphony_recv recv;
	struct io_uring_sqe *sqe;
	int ret;

	ASSERT_EQ(0, send_numbers(self, 1));
	for (int i = 0; i < ARRAY_SIZE(bad); i++) {
		group = io_uring_setup_buf_ring(&self->ring, 1, GROUP + 1 + i, 0, &ret);
		ASSERT_NE(NULL, group);
		io_uring_buf_ring_add(group, bad[i].start, bad[i].len, 0,
				      io_uring_buf_ring_mask(1), 0);
		io_uring_buf_ring_advance(group, 1);
		sqe = put(self, &recv);
		ASSERT_NE(NULL, sqe);
		sqe->buf_group = GROUP + 1 + i;
		ASSERT_LT(0, ring_submit(&self->ring));
		ret = ring_next(&self->ring, DEV_LONG, NULL);
		EXPECT_TRUE(ret == bad[i].error ||
			    (!bad[i].error && (ret == -EFAULT || ret == -ENOBUFS)))
			TH_LOG("buffer %d: %d", i, ret);
	}
	EXPECT_NE(NULL, ep_next(SERVER, DEV_LONG));
}

/* Whatever moment its ring, or its process, ends at. */
TEST_F(multishot, ends_with_its_ring)
{
	for (int i = 0; i < 40; i++) {
		ASSERT_EQ(0, arm(self));
		ASSERT_EQ(0, send_numbers(self, i % 5));
		if (i % 3 == 0)
			reap(self, 20);
		io_uring_free_buf_ring(&self->ring, self->group, BUFFERS, GROUP);
		io_uring_queue_exit(&self->ring);
		while (ep_next(SERVER, -1))
			;
		ASSERT_EQ(0, ring_open(&self->ring, 4, variant->flags));
		self->group = io_uring_setup_buf_ring(&self->ring, BUFFERS, GROUP, 0, &(int){ 0 });
		ASSERT_NE(NULL, self->group);
		self->nr = 0;
		for (int n = 0; n < BUFFERS; n++)
			offer(self, n);
		/* What was received and not released goes with the endpoint. */
		duo_close(&self->duo);
		ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	}
}

TEST_F(multishot, ends_with_its_process)
{
	for (int i = 0; i < 20; i++) {
		struct kid kid;
		struct ep other;
		__u64 svc;
		__s64 word;

		if (!kid_fork(&kid)) {
			io_uring_queue_exit(&self->ring);
			if (ep_join(&other, MIB) || ep_claim(&other, "other", &svc) ||
			    ring_open(&self->ring, 4, variant->flags))
				_exit(1);
			self->duo.server = other;
			self->group = io_uring_setup_buf_ring(&self->ring, BUFFERS, GROUP, 0,
							      &(int){ 0 });
			self->nr = 0;
			for (int n = 0; n < BUFFERS; n++)
				offer(self, n);
			kid_tell(&kid, arm(self));
			for (;;)
				io_uring_get_events(&self->ring);
		}
		ASSERT_EQ(0, kid_hear(&kid, &word));
		ASSERT_EQ(0, word);
		ASSERT_EQ(0, ep_resolve(CLIENT, "other", &svc));
		for (int n = 0; n < 3 * i; n++) {
			struct symphony_call call = ep_request(svc, &n, sizeof(n));

			ASSERT_EQ(0, ep_send(CLIENT, &call));
		}
		EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
		for (int n = 0; n < 3 * i; n++) {
			const struct symphony_msg *msg = ep_next(CLIENT, DEV_LONG);

			ASSERT_NE(NULL, msg);
			/* Whether it had been received, or not. */
			EXPECT_TRUE(msg->status == -ECONNRESET || msg->status == -ECONNABORTED);
			EXPECT_EQ(0, ep_release(CLIENT, msg));
		}
	}
}

TEST_HARNESS_MAIN
