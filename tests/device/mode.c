// SPDX-License-Identifier: MIT
/*
 * The mode of a bus, as of a file: r joins, resolves and calls, w also claims.
 * A service belongs to the uid that claimed it first.
 */
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

#define ALICE	1001
#define BOB	1002

FIXTURE(mode)
{
	struct ep ep;
};

FIXTURE_SETUP(mode)
{
	dev_begin();
	self->ep.fd = -1;
	if (geteuid())
		SKIP(return, "needs root");
}

FIXTURE_TEARDOWN(mode)
{
	ep_close(&self->ep);
}

/* What @uid gets: the errno of JOIN and, if there is an endpoint, of CLAIM. */
struct verdict {
	int join, claim, resolve;
};

static struct verdict judge(uid_t uid, gid_t gid, const char *name)
{
	struct verdict verdict = { -EPROTO, -EPROTO, -EPROTO };
	struct kid kid;
	__s64 value;

	if (!kid_fork(&kid)) {
		struct verdict mine = { -EPROTO, -EPROTO, -EPROTO };
		struct ep ep;
		__u64 handle;

		if (dev_become(uid, gid))
			_exit(2);
		mine.join = ep_join_bus(&ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0, 0);
		if (!mine.join) {
			mine.claim = ep_claim(&ep, name, &handle);
			mine.resolve = ep_resolve(&ep, "root-svc", &handle);
		}
		kid_tell(&kid, mine.join);
		kid_tell(&kid, mine.claim);
		kid_tell(&kid, mine.resolve);
		_exit(0);
	}
	if (!kid_hear(&kid, &value))
		verdict.join = value;
	if (!kid_hear(&kid, &value))
		verdict.claim = value;
	if (!kid_hear(&kid, &value))
		verdict.resolve = value;
	kid_reap(&kid);
	return verdict;
}

static int create(struct ep *ep, __u32 mode)
{
	__u64 handle;

	return ep_join_bus(ep, dev_bus(), SYMPHONY_JOIN_CREATE, mode, 0) ?:
	       ep_claim(ep, "root-svc", &handle);
}

TEST_F(mode, default_is_for_the_owner_alone)
{
	ASSERT_EQ(0, create(&self->ep, 0));
	EXPECT_EQ(-EACCES, judge(ALICE, ALICE, "svc").join);
	EXPECT_EQ(-EACCES, judge(ALICE, 0, "svc").join);
	EXPECT_EQ(0, judge(0, 0, "svc").join);
}

TEST_F(mode, read_joins_but_does_not_claim)
{
	struct verdict verdict;

	ASSERT_EQ(0, create(&self->ep, 0644));
	verdict = judge(ALICE, ALICE, "svc");
	EXPECT_EQ(0, verdict.join);
	EXPECT_EQ(-EACCES, verdict.claim);
	EXPECT_EQ(0, verdict.resolve);
}

TEST_F(mode, write_claims)
{
	ASSERT_EQ(0, create(&self->ep, 0666));
	EXPECT_EQ(0, judge(ALICE, ALICE, "svc").claim);
}

TEST_F(mode, group_bits_are_the_creators_groups)
{
	struct verdict verdict;

	ASSERT_EQ(0, create(&self->ep, 0640));
	verdict = judge(ALICE, 0, "svc");
	EXPECT_EQ(0, verdict.join);
	EXPECT_EQ(-EACCES, verdict.claim);
	EXPECT_EQ(-EACCES, judge(ALICE, ALICE, "svc").join);
}

TEST_F(mode, is_that_of_the_first_join)
{
	struct ep other;

	ASSERT_EQ(0, create(&self->ep, 0600));
	/* Another JOIN with CREATE and a wider mode changes nothing. */
	ASSERT_EQ(0, ep_join_bus(&other, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, 0));
	EXPECT_EQ(-EACCES, judge(ALICE, ALICE, "svc").join);
	ep_close(&other);
}

TEST_F(mode, failed_claim_leaves_nothing)
{
	struct ep other;
	__u64 handle;

	ASSERT_EQ(0, create(&self->ep, 0644));
	EXPECT_EQ(-EACCES, judge(ALICE, ALICE, "half").claim);
	EXPECT_EQ(-ENOENT, ep_resolve(&self->ep, "half", &handle));
	ASSERT_EQ(0, ep_join(&other, 0));
	EXPECT_EQ(0, ep_claim(&other, "half", &handle));
	ep_close(&other);
}

TEST_F(mode, write_alone_does_nothing)
{
	ASSERT_EQ(0, create(&self->ep, 0622));
	EXPECT_EQ(-EACCES, judge(ALICE, ALICE, "svc").join);
	EXPECT_EQ(-EACCES, judge(ALICE, 0, "svc").join);
}

TEST_F(mode, the_first_class_that_matches_counts)
{
	struct kid kid;
	__s64 ret = -1;

	/* As for files: less for the group than for others. */
	ASSERT_EQ(0, create(&self->ep, 0606));
	EXPECT_EQ(-EACCES, judge(ALICE, 0, "svc").join);
	EXPECT_EQ(0, judge(ALICE, ALICE, "svc").claim);
	ep_close(&self->ep);

	/* And less for the owner, who is in no need of joining twice. */
	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0066, 0));
		kid_tell(&kid, 0);
		kid_hear(&kid, &ret);
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &ret));
	EXPECT_EQ(-EACCES, judge(ALICE, ALICE, "svc").join);
	EXPECT_EQ(0, judge(BOB, ALICE, "svc").claim);
	EXPECT_EQ(0, judge(BOB, BOB, "svc").claim);
	/* Root may, whatever the mode. */
	EXPECT_EQ(0, judge(0, 0, "roots").claim);
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(mode, supplementary_groups_count)
{
	struct kid kid;

	ASSERT_EQ(0, create(&self->ep, 0640));
	if (!kid_fork(&kid)) {
		gid_t root = 0;
		struct ep ep;

		EXPECT_EQ(0, syscall(SYS_setgroups, 1, &root));
		EXPECT_EQ(0, syscall(SYS_setresgid, BOB, BOB, BOB));
		EXPECT_EQ(0, syscall(SYS_setresuid, BOB, BOB, BOB));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

static int claim_as(struct ep *ep, const char *name, __u32 flags, __u64 target)
{
	struct symphony_service service = {
		.size = sizeof(service), .flags = flags, .name = (uintptr_t)name,
		.name_len = strlen(name), .endpoint = target,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_CLAIM, &service);
}

TEST_F(mode, another_uid_becomes_nothing_of_a_service)
{
	static const __u32 ways[] = {
		0, SYMPHONY_CLAIM_REQUEUE, SYMPHONY_CLAIM_TAKEOVER,
		SYMPHONY_CLAIM_ACTIVATOR, SYMPHONY_CLAIM_NOTIFY,
	};
	struct symphony_call call;
	struct kid kid;

	ASSERT_EQ(0, create(&self->ep, 0666));
	if (!kid_fork(&kid)) {
		__u64 handle = 0;
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
			EXPECT_EQ(-EPERM, claim_as(&ep, "root-svc", ways[i], 0))
				TH_LOG("flags %#x", ways[i]);
		}
		EXPECT_EQ(-EPERM, claim_as(&ep, "root-svc", SYMPHONY_CLAIM_TAKEOVER,
					   self->ep.id));
		/* What it does not serve it neither pauses nor gives up. */
		EXPECT_EQ(0, ep_resolve(&ep, "root-svc", &handle));
		EXPECT_EQ(-ENOENT, ep_unclaim(&ep, handle));
		EXPECT_EQ(-ENOENT, dev_ioctl(ep.fd, SYMPHONY_IOC_DRAIN,
					     (&(struct symphony_service){
			.size = sizeof(struct symphony_service), .handle = handle,
		})));
		call = ep_request(handle, NULL, 0);
		EXPECT_EQ(0, ep_outcome(&ep, &call));
		_exit(0);
	}
	EXPECT_EQ(0, ep_reply(&self->ep, ep_next(&self->ep, DEV_LONG), NULL, 0, 0));
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->ep, (__u32[1]){}, 1, -1));
}

TEST_F(mode, service_belongs_to_its_first_uid)
{
	ASSERT_EQ(0, create(&self->ep, 0666));
	EXPECT_EQ(-EPERM, judge(ALICE, ALICE, "root-svc").claim);
	EXPECT_EQ(0, judge(0, 0, "root-svc").claim);
}

TEST_F(mode, service_stays_its_first_uids_without_replicas)
{
	__u64 handle, again;

	ASSERT_EQ(0, create(&self->ep, 0666));
	ASSERT_EQ(0, ep_resolve(&self->ep, "root-svc", &handle));
	ASSERT_EQ(0, ep_unclaim(&self->ep, handle));
	EXPECT_EQ(-EPERM, judge(ALICE, ALICE, "root-svc").claim);
	EXPECT_EQ(0, ep_claim(&self->ep, "root-svc", &again));
	EXPECT_EQ(handle, again);

	/* The same when the first claimer has gone altogether. */
	EXPECT_EQ(0, judge(ALICE, ALICE, "hers").claim);
	EXPECT_EQ(-EPERM, judge(BOB, BOB, "hers").claim);
	EXPECT_EQ(-EPERM, ep_claim(&self->ep, "hers", &handle));
	EXPECT_EQ(0, judge(ALICE, ALICE, "hers").claim);
}

TEST_F(mode, effective_uid_at_join_counts)
{
	struct kid kid;
	__s64 value = -1;

	ASSERT_EQ(0, create(&self->ep, 0600));
	/* Joins as root, then drops it: the endpoint is root's still. */
	if (!kid_fork(&kid)) {
		struct ep ep;
		__u64 handle;

		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		kid_tell(&kid, ep_claim(&ep, "root-svc", &handle));
		_exit(0);
	}
	EXPECT_EQ(0, kid_hear(&kid, &value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_HARNESS_MAIN
