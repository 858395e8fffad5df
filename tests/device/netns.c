// SPDX-License-Identifier: MIT
/* Network namespaces have buses of their own. */
#include <sched.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(netns)
{
	struct ep ep;
	__u64 svc;
};

FIXTURE_SETUP(netns)
{
	struct kid kid;
	int ret;

	dev_begin();
	if (!kid_fork(&kid))
		_exit(unshare(CLONE_NEWNET) ? errno : 0);
	ret = kid_reap(&kid);
	if (ret)
		SKIP(return, "no network namespaces (%d)", ret);
	ASSERT_EQ(0, ep_join_bus(&self->ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &self->svc));
}

FIXTURE_TEARDOWN(netns)
{
	ep_close(&self->ep);
}

TEST_F(netns, does_not_see_the_others_bus)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(-ENOENT, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(netns, has_its_own_of_the_same_name)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep, peer;
		__u64 svc;

		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), SYMPHONY_JOIN_CREATE |
					 SYMPHONY_JOIN_EXCL, 0, 0));
		EXPECT_EQ(-ENOENT, ep_resolve(&ep, "svc", &svc));
		call = ep_request(self->svc, NULL, 0);
		EXPECT_EQ(-ENOENT, ep_send(&ep, &call));
		EXPECT_EQ(-ESRCH, ep_watch(&ep, self->ep.id, 0, 0));
		/* And it works. */
		EXPECT_EQ(0, ep_claim(&ep, "svc", &svc));
		EXPECT_EQ(0, ep_join_bus(&peer, dev_bus(), 0, 0, 0));
		EXPECT_EQ(0, ep_resolve(&peer, "svc", &svc));
		call = ep_request(svc, NULL, 0);
		EXPECT_EQ(0, ep_send(&peer, &call));
		EXPECT_NE(NULL, ep_next(&ep, DEV_LONG));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->ep, (__u32[1]){}, 1, -1));
}

TEST_F(netns, of_join_counts_not_of_open)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct symphony_join join = {
			.size = sizeof(join), .name = (uintptr_t)dev_bus(),
			.name_len = strlen(dev_bus()),
		};
		int fd = dev_open();

		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(-ENOENT, dev_ioctl(fd, SYMPHONY_IOC_JOIN, &join));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(netns, of_join_counts_not_the_present_one)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;
		__u64 svc;

		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(0, ep_resolve(&ep, "svc", &svc));
		EXPECT_EQ(self->svc, svc);
		call = ep_request(svc, "x", 1);
		EXPECT_EQ(0, ep_outcome(&ep, &call));
		_exit(0);
	}
	EXPECT_EQ(0, ep_reply(&self->ep, ep_next(&self->ep, DEV_LONG), NULL, 0, 0));
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(netns, can_go_away_before_its_bus)
{
	struct kid kid;

	/* The last process in it leaves, its endpoint stays behind. */
	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep a, b;
		__u64 svc;

		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(0, ep_join(&a, 0));
		EXPECT_EQ(0, ep_join(&b, 0));
		EXPECT_EQ(0, ep_claim(&b, "svc", &svc));
		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		dev_nap(10 * DEV_BEAT);
		call = ep_request(svc, "x", 1);
		EXPECT_EQ(0, ep_send(&a, &call));
		EXPECT_NE(NULL, ep_next(&b, DEV_LONG));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(netns, come_and_go)
{
	for (int i = 0; i < (dev_slow() ? 3 : 10); i++) {
		struct kid kid;

		if (!kid_fork(&kid)) {
			struct ep ep;

			EXPECT_EQ(0, unshare(CLONE_NEWNET));
			EXPECT_EQ(0, ep_join(&ep, SYMPHONY_POOL_MIN));
			_exit(0);
		}
		EXPECT_EQ(0, kid_reap(&kid));
	}
}

TEST_HARNESS_MAIN
