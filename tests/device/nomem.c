// SPDX-License-Identifier: MIT
/*
 * Each allocation and each copy of an operation fails in turn: it says so, and
 * nothing is left, on the user's account or elsewhere. Needs a kernel with
 * fault injection.
 */
#include <fcntl.h>
#include <kselftest_harness.h>

#include "device.h"

#define DEBUG	"/sys/kernel/debug/"

FIXTURE(nomem)
{
	struct duo duo;
	int nth;	/* /proc/thread-self/fail-nth */
};

FIXTURE_SETUP(nomem)
{
	dev_begin();
	self->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (self->nth < 0 || dev_write(DEBUG "failslab/ignore-gfp-wait", "N") ||
	    dev_write(DEBUG "fail_page_alloc/ignore-gfp-wait", "N"))
		SKIP(return, "no fault injection");
	dev_write(DEBUG "fail_page_alloc/min-order", "0");
	dev_write(DEBUG "failslab/verbose", "0");
	dev_write(DEBUG "fail_page_alloc/verbose", "0");
	dev_write(DEBUG "fail_usercopy/verbose", "0");
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
}

FIXTURE_TEARDOWN(nomem)
{
	duo_close(&self->duo);
	close(self->nth);
}

/* An operation of which the @nth thing that can fail does. */
struct trial {
	int ret;
	bool failed;	/* it had so many */
};

static struct trial try(int nth_fd, int nth, int fd, unsigned long op, void *arg)
{
	char number[16], left[16] = "";
	struct trial trial;
	ssize_t len = snprintf(number, sizeof(number), "%d", nth);

	if (pwrite(nth_fd, number, len, 0) != len)
		return (struct trial){ .ret = -EIO };
	trial.ret = dev_ioctl(fd, op, arg);
	/* Reading copies, too: if it fails, that was what was left to fail. */
	trial.failed = pread(nth_fd, left, sizeof(left), 0) > 0 && !atoi(left);
	pwrite(nth_fd, "0", 1, 0);
	return trial;
}

/* How many do depends on what is in the caches of the allocator. */
#define EXPECT_SOME_FAILED(nr)	EXPECT_LE(2, nr)

/* What it gives when something failed: that, or it did without. */
#define EXPECT_FAILED(trial)						\
	EXPECT_TRUE((trial).ret == 0 || (trial).ret == -ENOMEM ||	\
		    (trial).ret == -EFAULT)				\
		TH_LOG("number %d gave %d", nth, (trial).ret)

static bool is_same_use(const struct symphony_query *before)
{
	struct symphony_query now = dev_limits();

	return !memcmp(before, &now, sizeof(now));
}

TEST_F(nomem, join_leaves_nothing)
{
	struct symphony_query before = dev_limits();
	struct trial trial = { .failed = true };
	int nth, nr = 0;

	for (nth = 1; trial.failed && nth < 1000; nth++) {
		struct symphony_join join = {
			.size = sizeof(join),
			.flags = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL,
			.name = (uintptr_t)"test-nomem", .name_len = 10,
			.pool_size = SYMPHONY_POOL_MIN,
			.reserve = (uintptr_t)"one\0two", .reserve_len = 8,
		};
		int fd = dev_open();

		trial = try(self->nth, nth, fd, SYMPHONY_IOC_JOIN, &join);
		EXPECT_FAILED(trial);
		if (trial.ret) {
			nr++;
			EXPECT_TRUE(is_same_use(&before)) TH_LOG("number %d", nth);
		}
		close(fd);
		EXPECT_TRUE(is_same_use(&before)) TH_LOG("number %d, closed", nth);
	}
	EXPECT_EQ(0, trial.ret);
	/* Each page of the pool, for a start. */
	EXPECT_LT(16, nr);
}

TEST_F(nomem, claim_leaves_nothing)
{
	static const __u32 ways[] = {
		0, SYMPHONY_CLAIM_ACTIVATOR, SYMPHONY_CLAIM_TAKEOVER,
	};
	struct ep *server = &self->duo.server;
	int nr = 0;

	for (size_t way = 0; way < ARRAY_SIZE(ways); way++) {
		struct trial trial = { .failed = true };

		for (int nth = 1; trial.failed && nth < 1000; nth++) {
			char name[32];
			struct symphony_service service = {
				.size = sizeof(service), .flags = ways[way],
				.name = (uintptr_t)name,
				.name_len = snprintf(name, sizeof(name), "svc-%zu-%d",
						     way, nth),
			};
			__u64 handle;

			/* Something to take over. */
			if (ways[way] == SYMPHONY_CLAIM_TAKEOVER) {
				ASSERT_EQ(0, ep_claim(&self->duo.client, name, &handle));
			}
			trial = try(self->nth, nth, server->fd, SYMPHONY_IOC_CLAIM,
				    &service);
			EXPECT_FAILED(trial);
			nr += trial.ret != 0;
			/* It is no replica, and can become one. */
			if (trial.ret == -ENOMEM) {
				EXPECT_EQ(0, dev_ioctl(server->fd, SYMPHONY_IOC_CLAIM,
						       &service));
			}
		}
		EXPECT_EQ(0, trial.ret);
	}
	EXPECT_SOME_FAILED(nr);
}

TEST_F(nomem, grant_leaves_no_file)
{
	struct trial trial = { .failed = true };
	struct symphony_service service;
	int before = dup(self->nth), after, nr = 0;

	close(before);
	for (int nth = 1; trial.failed && nth < 1000; nth++) {
		service = (struct symphony_service){
			.size = sizeof(service), .name = (uintptr_t)"svc",
			.name_len = 3,
		};
		trial = try(self->nth, nth, self->duo.server.fd, SYMPHONY_IOC_GRANT,
			    &service);
		EXPECT_FAILED(trial);
		nr += trial.ret != 0;
		if (!trial.ret)
			close(service.grant);
		after = dup(self->nth);
		close(after);
		EXPECT_EQ(before, after) TH_LOG("number %d", nth);
	}
	EXPECT_EQ(0, trial.ret);
	EXPECT_SOME_FAILED(nr);
}

TEST_F(nomem, call_leaves_nothing)
{
	struct symphony_query before;
	struct trial trial = { .failed = true };
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct ep client;
	int nr = 0;

	for (int nth = 1; trial.failed && nth < 1000; nth++) {
		/* The first between two endpoints needs the most. */
		ASSERT_EQ(0, ep_join(&client, SYMPHONY_POOL_MIN));
		before = dev_limits();
		call = ep_request(self->duo.svc, "body", 4);
		trial = try(self->nth, nth, client.fd, SYMPHONY_IOC_SEND, &call);
		EXPECT_FAILED(trial);
		msg = ep_next(&self->duo.server, -1);
		if (trial.ret) {
			nr++;
			EXPECT_EQ(NULL, msg) TH_LOG("number %d", nth);
			/* A lot of calls stays charged. */
			before.user_calls = dev_limits().user_calls;
			EXPECT_TRUE(is_same_use(&before)) TH_LOG("number %d", nth);
		} else {
			ASSERT_NE(NULL, msg);
			EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0,
					      SYMPHONY_REPLY_RELEASE));
		}
		ep_close(&client);
	}
	EXPECT_EQ(0, trial.ret);
	EXPECT_SOME_FAILED(nr);
}

TEST_F(nomem, watch_leaves_nothing)
{
	struct trial trial = { .failed = true };
	int nr = 0;

	for (int nth = 1; trial.failed && nth < 1000; nth++) {
		struct symphony_watch watch = {
			.size = sizeof(watch), .endpoint = self->duo.server.id,
		};

		trial = try(self->nth, nth, self->duo.client.fd, SYMPHONY_IOC_WATCH,
			    &watch);
		EXPECT_FAILED(trial);
		nr += trial.ret != 0;
		EXPECT_EQ(trial.ret ? -ESRCH : 0,
			  ep_watch(&self->duo.client, self->duo.server.id, 0,
				   SYMPHONY_WATCH_REMOVE));
	}
	EXPECT_EQ(0, trial.ret);
	EXPECT_SOME_FAILED(nr);
}

TEST_HARNESS_MAIN
