// SPDX-License-Identifier: MIT
/*
 * Time namespaces: each process gives and reads deadlines by its own clock, in
 * whatever role, and a request that moves is dated by the clock of its receiver.
 */
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#include <kselftest_harness.h>

#include "claim.h"

#define SECOND		1000000000LL
#define DUE		10000	/* ms, for what is answered long before */

/* The test's process has the host's clock, and its kids another one. */
FIXTURE(timens)
{
	struct ep client, server;
	__u64 svc;
	__s64 offset;		/* of a kid's clock, in ns */
};

FIXTURE_VARIANT(timens)
{
	long seconds;
};

FIXTURE_VARIANT_ADD(timens, day_ahead)
{
	.seconds = 86400,
};

FIXTURE_VARIANT_ADD(timens, behind)
{
	.seconds = -5,
};

/* Set the current process's clock, which has a single thread. 0 or errno. */
static int enter(long seconds)
{
	int fd, ret = 0;

	if (unshare(CLONE_NEWTIME))
		return errno;
	ret = -dev_write("/proc/self/timens_offsets", "monotonic %ld 0", seconds);
	if (ret)
		return ret;
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	ret = setns(fd, CLONE_NEWTIME) ? errno : 0;
	close(fd);
	return ret;
}

FIXTURE_SETUP(timens)
{
	struct kid kid;
	int ret;

	dev_begin();
	/* A clock does not go below 0. */
	while (dev_now() < 6 * SECOND)
		dev_nap(100);
	if (!kid_fork(&kid))
		_exit(enter(variant->seconds));
	ret = kid_reap(&kid);
	if (ret)
		SKIP(return, "no time namespaces (%d)", ret);
	self->offset = variant->seconds * SECOND;
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	ASSERT_EQ(0, ep_join(&self->server, MIB));
	ASSERT_EQ(0, ep_claim_with(&self->server, "svc", SYMPHONY_CLAIM_REQUEUE, 0,
				   &self->svc));
}

FIXTURE_TEARDOWN(timens)
{
	ep_close(&self->client);
	ep_close(&self->server);
}

/* A kid with the other clock, and an endpoint. */
static bool kid_elsewhen(struct kid *kid, struct ep *ep, long seconds)
{
	if (kid_fork(kid))
		return false;
	if (enter(seconds) || ep_join(ep, MIB))
		_exit(1);
	return true;
}

static struct symphony_call due(__u64 handle, unsigned int ms)
{
	struct symphony_call call = ep_request(handle, "x", 1);

	call.deadline = dev_after(ms);
	return call;
}

/* Both say that the time is over. */
static bool timed_out(int status)
{
	return status == -ETIMEDOUT || status == -ETIME;
}

/* Now is after @deadline, and not much. */
static bool just_after(__u64 deadline)
{
	__u64 now = dev_now();

	return now >= deadline && now < deadline + 5 * SECOND;
}

TEST_F(timens, a_call_from_elsewhen_ends_in_its_time)
{
	struct kid kid;
	struct ep ep;

	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		struct symphony_call call = due(self->svc, 200);
		const struct symphony_msg *msg;

		EXPECT_TRUE(timed_out(ep_outcome(&ep, &call)));
		EXPECT_TRUE(just_after(call.deadline));
		call = due(self->svc, 200);
		EXPECT_EQ(0, ep_send(&ep, &call));
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_TRUE(msg && timed_out(msg->status));
		EXPECT_TRUE(just_after(call.deadline));
		/* What is over was never sent. */
		call = due(self->svc, 0);
		EXPECT_TRUE(timed_out(ep_outcome(&ep, &call)));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(timens, a_call_from_elsewhen_is_answered)
{
	struct echo echo;
	struct kid kid;
	struct ep ep;

	/* Before there is a thread. */
	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		struct symphony_call call = due(self->svc, DUE);

		EXPECT_EQ(0, ep_outcome(&ep, &call));
		_exit(0);
	}
	ASSERT_EQ(0, echo_start(&echo, &self->server));
	EXPECT_EQ(0, kid_reap(&kid));
	echo_stop(&echo);
}

TEST_F(timens, a_server_reads_a_deadline_by_its_own_clock)
{
	struct symphony_call call;
	const struct symphony_msg *msg;
	struct kid kid;
	__s64 deadline;
	struct ep ep;

	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		__u64 handle;

		/* Here is the caller, */
		call = due(self->svc, DUE);
		EXPECT_EQ(0, ep_send(&ep, &call));
		EXPECT_EQ(0, kid_tell(&kid, call.deadline));
		/* and here the server. */
		EXPECT_EQ(0, ep_claim(&ep, "there", &handle));
		EXPECT_EQ(0, kid_tell(&kid, handle));
		EXPECT_EQ(0, kid_hear(&kid, &deadline));
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_TRUE(msg && msg->deadline == (__u64)(deadline + self->offset));
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_TRUE(msg && !msg->deadline);
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &deadline));
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(deadline - self->offset, msg->deadline);
	ASSERT_EQ(0, kid_hear(&kid, &deadline));
	call = due(deadline, DUE);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_EQ(0, kid_tell(&kid, call.deadline));
	call.id = call.deadline = 0;
	ASSERT_EQ(0, ep_send(&self->client, &call));
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(timens, recv_waits_until_its_own_deadline)
{
	struct kid kid;
	struct ep ep;

	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		__u64 until = dev_after(200), handle;
		const struct symphony_msg *msg;
		struct symphony_call call;
		struct symphony_reply reply;
		__u32 offset;

		EXPECT_EQ(-ETIMEDOUT, ep_recv(&ep, &offset, 1, 200));
		EXPECT_TRUE(just_after(until));
		/* And with a REPLY. */
		EXPECT_EQ(0, ep_claim(&ep, "there", &handle));
		call = due(handle, DUE);
		EXPECT_EQ(0, ep_send(&ep, &call));
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_TRUE(msg && msg->deadline == call.deadline);
		reply = (struct symphony_reply){
			.size = sizeof(reply),
			.flags = SYMPHONY_REPLY_RECV,
			.id = msg->id,
			.slot = ep_offset(&ep, msg),
			.deadline = dev_after(200),
			.offsets = (uintptr_t)&offset,
			.max = 1,
		};
		/* The answer; then nothing. */
		EXPECT_EQ(0, dev_ioctl(ep.fd, SYMPHONY_IOC_REPLY, &reply));
		EXPECT_EQ(1, reply.nr);
		until = dev_after(200);
		EXPECT_EQ(-ETIMEDOUT, ep_recv(&ep, &offset, 1, 200));
		EXPECT_TRUE(just_after(until));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(timens, an_extreme_deadline_stays_one)
{
	const struct symphony_msg *msg;
	struct kid kid;
	struct ep ep;

	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		static const __u64 late[] = {
			~0ULL, ~0ULL - 1, 1ULL << 63, (1ULL << 63) - 1,
		};
		const __u64 early[] = { 1, self->offset > 0 ? self->offset : 2 };
		struct symphony_call call = ep_request(self->svc, NULL, 0);

		for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
			call.deadline = early[i];
			EXPECT_TRUE(timed_out(ep_outcome(&ep, &call)));
		}
		for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
			call.id = 0;
			call.deadline = late[i];
			EXPECT_EQ(0, ep_send(&ep, &call));
		}
		EXPECT_EQ(0, kid_tell(&kid, ARRAY_SIZE(late)));
		EXPECT_TRUE(ep_is_quiet(&ep));
		_exit(0);
	}
	for (__s64 nr; !kid_hear(&kid, &nr);) {
		while (nr--) {
			msg = ep_next(&self->server, DEV_LONG);
			ASSERT_NE(NULL, msg);
			EXPECT_GT(msg->deadline, 1ULL << 62);
		}
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(timens, a_request_that_moves_is_dated_anew)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct ep ep, heir;
	struct kid kid;
	__s64 deadline;

	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		__u64 handle;

		/* Two are queued at the server, and come here. */
		EXPECT_EQ(0, kid_hear(&kid, &deadline));
		EXPECT_EQ(0, ep_claim_with(&ep, "svc", SYMPHONY_CLAIM_TAKEOVER |
					   SYMPHONY_CLAIM_REQUEUE, 0, &handle));
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_TRUE(msg && msg->deadline == (__u64)(deadline + self->offset));
		/* The other one goes back when this dies. */
		EXPECT_EQ(0, kid_tell(&kid, 0));
		pause();
	}
	call = due(self->svc, DUE);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	call.id = 0;
	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_EQ(0, kid_tell(&kid, call.deadline));
	ASSERT_EQ(0, kid_hear(&kid, &deadline));
	ASSERT_EQ(0, ep_join(&heir, MIB));
	ASSERT_EQ(0, ep_claim_with(&heir, "svc", SYMPHONY_CLAIM_REQUEUE, 0,
				   &self->svc));
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	msg = ep_next(&heir, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(call.deadline, msg->deadline);
	ep_close(&heir);
}

TEST_F(timens, a_parked_request_is_dated_for_the_replica)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct kid kid;
	__s64 deadline;
	__u64 handle;
	struct ep ep;

	ASSERT_EQ(0, ep_claim_with(&self->server, "later", SYMPHONY_CLAIM_ACTIVATOR, 0,
				   &handle));
	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		EXPECT_EQ(0, kid_hear(&kid, &deadline));
		EXPECT_EQ(0, ep_claim(&ep, "later", &handle));
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_TRUE(msg && msg->deadline == (__u64)(deadline + self->offset));
		_exit(0);
	}
	call = due(handle, DUE);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_EQ(0, kid_tell(&kid, call.deadline));
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(timens, the_earlier_deadline_of_a_chain_counts)
{
	const struct symphony_msg *parent, *msg;
	struct symphony_call call;
	struct kid kid;
	__s64 value;
	struct ep ep;

	/* The client here calls the kid, which calls the server here, twice. */
	if (kid_elsewhen(&kid, &ep, variant->seconds)) {
		__u64 handle;

		EXPECT_EQ(0, ep_claim(&ep, "there", &handle));
		EXPECT_EQ(0, kid_tell(&kid, handle));
		parent = ep_next(&ep, DEV_LONG);
		EXPECT_NE(NULL, parent);
		call = due(self->svc, 2 * DUE);
		call.parent = parent->id;
		call.parent_slot = ep_offset(&ep, parent);
		EXPECT_EQ(0, ep_send(&ep, &call));
		call.id = 0;
		call.deadline = dev_after(DUE / 2);
		EXPECT_EQ(0, ep_send(&ep, &call));
		EXPECT_EQ(0, kid_tell(&kid, call.deadline));
		EXPECT_EQ(0, kid_hear(&kid, &value));
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &value));
	call = due(value, DUE);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(call.deadline, msg->deadline);
	ASSERT_EQ(0, kid_hear(&kid, &value));
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(value - self->offset, msg->deadline);
	EXPECT_EQ(0, kid_tell(&kid, 0));
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(timens, entered_after_join_changes_what_is_given)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		const struct symphony_msg *msg;
		struct symphony_call call;
		__u64 handle, until;
		__u32 offset;
		struct ep ep;

		EXPECT_EQ(0, ep_join(&ep, MIB));
		EXPECT_EQ(0, enter(variant->seconds));
		call = due(self->svc, 200);
		EXPECT_TRUE(timed_out(ep_outcome(&ep, &call)));
		EXPECT_TRUE(just_after(call.deadline));
		until = dev_after(200);
		EXPECT_EQ(-ETIMEDOUT, ep_recv(&ep, &offset, 1, 200));
		EXPECT_TRUE(just_after(until));
		/* What is received has the clock of before. */
		EXPECT_EQ(0, ep_claim(&ep, "there", &handle));
		call = due(handle, DUE);
		EXPECT_EQ(0, ep_send(&ep, &call));
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_TRUE(msg && msg->deadline == call.deadline - self->offset);
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_HARNESS_MAIN
