// SPDX-License-Identifier: MIT
/* SEND_BATCH: several messages in one operation, in order, up to the first that fails. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest_harness.h>

#include "claim.h"
#include "ring.h"
#include "../without/rings.h"

#define BATCH	SYMPHONY_BATCH_MAX
#define POOL	SYMPHONY_POOL_MIN

FIXTURE(send_batch)
{
	struct duo duo;
	struct symphony_call calls[BATCH];
	struct symphony_send_batch arg;
	int bodies[BATCH];
};

#define CLIENT	(&self->duo.client)
#define SERVER	(&self->duo.server)

/* Make the message at @i one that was not sent, with the number @i in it. */
static void make(struct _test_data_send_batch *self, int i, __u32 flags)
{
	self->bodies[i] = i;
	self->calls[i] = (struct symphony_call){
		.size = sizeof(self->calls[i]),
		.flags = flags,
		.handle = self->duo.svc,
		.body = (uintptr_t)&self->bodies[i],
		.body_len = sizeof(self->bodies[i]),
		.cookie = i,
		.reply_max = flags & SYMPHONY_CALL_ONEWAY ? 0 : 1,
	};
}

FIXTURE_SETUP(send_batch)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, POOL));
	self->arg = (struct symphony_send_batch){
		.size = sizeof(self->arg),
		.calls = (uintptr_t)self->calls,
		.stride = sizeof(self->calls[0]),
		.nr = BATCH,
	};
	for (int i = 0; i < BATCH; i++)
		make(self, i, SYMPHONY_CALL_ONEWAY);
}

FIXTURE_TEARDOWN(send_batch)
{
	duo_close(&self->duo);
}

/* Send from message @from on, @nr of them: how many were made, or -errno. */
static int send_some(struct _test_data_send_batch *self, int from, __u32 nr)
{
	int ret;

	self->arg.calls = (uintptr_t)(self->calls + from);
	self->arg.nr = nr;
	ret = dev_ioctl(CLIENT->fd, SYMPHONY_IOC_SEND_BATCH, &self->arg);
	return ret ?: (int)self->arg.nr;
}

/* The numbers in what the server can receive now, that have to go on from @next. */
static int received(struct _test_data_send_batch *self, int next)
{
	const struct symphony_msg *msg;

	while ((msg = ep_next(SERVER, -1))) {
		if (*(const int *)ep_body(msg) != next)
			return -EPROTO;
		next++;
		if (ep_release(SERVER, msg))
			return -EIO;
	}
	return next;
}

TEST_F(send_batch, arrives_whole_and_in_order)
{
	__u64 last = 0;

	ASSERT_EQ(100, send_some(self, 0, 100));
	for (int i = 0; i < 100; i++) {
		EXPECT_LT(last, self->calls[i].id);
		last = self->calls[i].id;
	}
	EXPECT_EQ(0, self->calls[100].id);
	EXPECT_EQ(100, received(self, 0));
}

TEST_F(send_batch, each_has_its_own_outcome)
{
	const struct symphony_msg *msg;

	for (int i = 0; i < 10; i++)
		make(self, i, 0);
	ASSERT_EQ(10, send_some(self, 0, 10));
	for (int i = 9; i >= 0; i--)
		EXPECT_EQ(0, ep_cancel(CLIENT, self->calls[i].id, self->calls[i].slot));
	for (int i = 9; i >= 0; i--) {
		msg = ep_next(CLIENT, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(i, msg->cookie);
		EXPECT_EQ(-ECANCELED, msg->status);
		EXPECT_EQ(0, ep_release(CLIENT, msg));
	}
	EXPECT_TRUE(ep_is_quiet(SERVER));
}

TEST_F(send_batch, ends_before_the_first_that_fails)
{
	self->calls[2].handle = ~0ULL;
	EXPECT_EQ(2, send_some(self, 0, 5));
	EXPECT_EQ(-ENOENT, send_some(self, 2, 3));
	EXPECT_EQ(0, self->arg.nr);
	EXPECT_EQ(0, self->calls[2].id);
	EXPECT_EQ(0, self->calls[3].id);
	EXPECT_EQ(2, received(self, 0));
	self->calls[2].handle = self->duo.svc;
	EXPECT_EQ(3, send_some(self, 2, 3));
	EXPECT_EQ(5, received(self, 2));
}

/* A service that it went to before is not where another handle leads. */
TEST_F(send_batch, goes_to_the_service_of_each)
{
	const struct symphony_msg *msg;
	struct ep other;
	__u64 handle;

	ASSERT_EQ(0, ep_join(&other, MIB));
	ASSERT_EQ(0, ep_claim(&other, "other", &handle));
	for (int i = 0; i < 8; i += 2)
		self->calls[i].handle = handle;
	ASSERT_EQ(8, send_some(self, 0, 8));
	for (int i = 0; i < 8; i++) {
		msg = ep_next(i % 2 ? SERVER : &other, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(i, *(const int *)ep_body(msg));
		EXPECT_EQ(i % 2 ? self->duo.svc : handle, msg->handle);
	}
	ep_close(&other);
}

TEST_F(send_batch, ends_where_there_is_no_room)
{
	int sent = 0, seen = 0, rounds = 0, ret;

	for (; sent < BATCH; rounds++) {
		ret = send_some(self, sent, BATCH - sent);
		if (ret == -EAGAIN) {
			EXPECT_NE(SYMPHONY_LIMIT_NONE, self->calls[sent].limit);
			ret = 0;
		}
		ASSERT_LE(0, ret);
		sent += ret;
		seen = received(self, seen);
		ASSERT_EQ(sent, seen);
	}
	EXPECT_LT(1, rounds);
}

TEST_F(send_batch, refuses_what_makes_no_sense)
{
	EXPECT_EQ(-EINVAL, send_some(self, 0, 0));
	EXPECT_EQ(-EINVAL, send_some(self, 0, BATCH + 1));
	self->arg.stride = 0;
	EXPECT_EQ(-EINVAL, send_some(self, 0, 1));
	self->arg.stride = sizeof(self->calls[0]) + 4;
	EXPECT_EQ(-EINVAL, send_some(self, 0, 1));
	self->arg.stride = sizeof(self->calls[0]);
	self->arg.flags = 1;
	EXPECT_EQ(-EINVAL, send_some(self, 0, 1));
	self->arg.flags = 0;
	self->calls[0].flags = ~0U;
	EXPECT_EQ(-EINVAL, send_some(self, 0, 1));
	EXPECT_TRUE(ep_is_quiet(SERVER));
}

/* Structures of a longer kind stand further apart. */
TEST_F(send_batch, steps_by_its_stride)
{
	for (int i = 0; i < 8; i += 2)
		memset(&self->calls[i + 1], 0xff, sizeof(self->calls[0]));
	self->arg.stride = 2 * sizeof(self->calls[0]);
	ASSERT_EQ(4, send_some(self, 0, 4));
	for (int i = 0; i < 8; i += 2)
		EXPECT_EQ(i, *(const int *)ep_body(ep_next(SERVER, DEV_LONG)));
}

TEST_F(send_batch, memory_that_is_not_there)
{
	unsigned char *cliff = dev_cliff();
	struct symphony_send_batch *there;

	/* The second structure begins where memory ends. */
	memcpy(cliff - sizeof(self->calls[0]), self->calls, sizeof(self->calls[0]));
	self->arg.calls = (uintptr_t)cliff - sizeof(self->calls[0]);
	self->arg.nr = 2;
	EXPECT_EQ(0, dev_ioctl(CLIENT->fd, SYMPHONY_IOC_SEND_BATCH, &self->arg));
	EXPECT_EQ(1, self->arg.nr);
	EXPECT_EQ(1, received(self, 0));
	/* What was made could not be told. */
	there = (void *)(cliff - 4096);
	*there = self->arg;
	there->calls = (uintptr_t)self->calls;
	there->nr = 1;
	ASSERT_EQ(0, mprotect(there, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, dev_ioctl(CLIENT->fd, SYMPHONY_IOC_SEND_BATCH, there));
	EXPECT_TRUE(ep_is_quiet(SERVER));
}

struct hail {
	pthread_t target;
	atomic_bool stop;
};

static void *hail(void *arg)
{
	struct hail *h = arg;

	while (!h->stop) {
		pthread_kill(h->target, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

TEST_F(send_batch, loses_nothing_to_signals)
{
	struct hail h = { .target = pthread_self() };
	int sent = 0, seen = 0, rounds = dev_slow() ? 20 : 200, ret;
	pthread_t thread;

	dev_on_usr1(0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, hail, &h));
	for (int i = 0; i < rounds; i++) {
		for (int at = 0; at < 64; at += ret) {
			for (int n = at; n < 64; n++) {
				make(self, n, SYMPHONY_CALL_ONEWAY);
				self->bodies[n] = sent + n - at;
			}
			ret = send_some(self, at, 64 - at);
			ASSERT_LT(0, ret);
			sent += ret;
			seen = received(self, seen);
			ASSERT_EQ(sent, seen);
		}
	}
	h.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(64 * rounds, seen);
}

TEST_F(send_batch, goes_through_a_ring)
{
	static const unsigned int ways[] = { RING_PLAIN, RING_DEFER, RING_SQPOLL };
	struct io_uring ring;

	if (rings_are_forbidden())
		SKIP(return, "io_uring is forbidden");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		ASSERT_EQ(0, ring_open(&ring, 4, ways[i]));
		for (int n = 0; n < 32; n++)
			make(self, n, SYMPHONY_CALL_ONEWAY);
		self->arg.nr = 32;
		EXPECT_EQ(0, ring_do(&ring, CLIENT, SYMPHONY_IOC_SEND_BATCH, &self->arg));
		EXPECT_EQ(32, self->arg.nr);
		EXPECT_EQ(32, received(self, 0));
		self->calls[0].id = 0;
		self->calls[0].handle = ~0ULL;
		EXPECT_EQ(-ENOENT,
			  ring_do(&ring, CLIENT, SYMPHONY_IOC_SEND_BATCH, &self->arg));
		EXPECT_EQ(0, self->arg.nr);
		io_uring_queue_exit(&ring);
	}
}

TEST_HARNESS_MAIN
