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

/* Nothing that belongs to the other side's call works on this side. */
static void try_all(struct __test_metadata *_metadata, struct ep *ep, __u64 id,
		    __u32 slot, __u64 endpoint, __u64 svc)
{
	struct symphony_call call = ep_request(svc, NULL, 0);

	EXPECT_EQ(-ESRCH, ep_reply_at(ep, id, slot, NULL, 0, 0));
	EXPECT_EQ(-ESRCH, ep_cancel(ep, id, slot));
	call.id = id;
	call.slot = slot;
	EXPECT_EQ(-ESRCH, ep_wait(ep, &call, SYMPHONY_WAIT_DONTWAIT));
	call.id = 0;
	call.slot = 0;
	call.parent = id;
	call.parent_slot = slot;
	EXPECT_EQ(-ESRCH, ep_send(ep, &call));
	EXPECT_EQ(-ESRCH, ep_watch(ep, endpoint, 0, 0));
	EXPECT_EQ(-ESRCH, ep_watch(ep, endpoint, 0, SYMPHONY_WATCH_REMOVE));
}

TEST_F(netns, what_is_the_others_is_out_of_reach)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	__s64 id, slot, endpoint;
	struct kid kid;

	/* In both, a service that holds a call of its own. */
	call = ep_request(self->svc, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	msg = ep_next(&self->ep, DEV_LONG);
	ASSERT_NE(NULL, msg);
	if (!kid_fork(&kid)) {
		struct symphony_call own;
		__u64 svc = 0;
		struct ep ep;

		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, 0));
		EXPECT_EQ(0, ep_claim(&ep, "svc", &svc));
		own = ep_request(svc, NULL, 0);
		EXPECT_EQ(0, ep_send(&ep, &own));
		msg = ep_next(&ep, DEV_LONG);
		kid_tell(&kid, own.id);
		kid_tell(&kid, own.slot);
		kid_tell(&kid, ep_offset(&ep, msg));
		kid_tell(&kid, ep.id);
		try_all(_metadata, &ep, call.id, call.slot, self->ep.id, svc);
		try_all(_metadata, &ep, call.id, own.slot, self->ep.id, svc);
		try_all(_metadata, &ep, call.id, ep_offset(&ep, msg), self->ep.id, svc);
		kid_hear(&kid, (__s64[1]){});
		/* And one's own is not hurt. */
		EXPECT_EQ(0, ep_reply(&ep, msg, NULL, 0, 0));
		EXPECT_NE(NULL, msg = ep_next(&ep, -1));
		EXPECT_EQ(own.id, msg->id);
		EXPECT_EQ(-EAGAIN, ep_recv(&ep, (__u32[1]){}, 1, -1));
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &id));
	ASSERT_EQ(0, kid_hear(&kid, &slot));
	try_all(_metadata, &self->ep, id, slot, 0, self->svc);
	try_all(_metadata, &self->ep, id, call.slot, 0, self->svc);
	try_all(_metadata, &self->ep, id, ep_offset(&self->ep, msg), 0, self->svc);
	ASSERT_EQ(0, kid_hear(&kid, &slot));
	ASSERT_EQ(0, kid_hear(&kid, &endpoint));
	try_all(_metadata, &self->ep, id, slot, endpoint, self->svc);
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->ep, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_reply(&self->ep, msg, NULL, 0, 0));
}

TEST_F(netns, belongs_to_the_root_of_its_user_namespace)
{
	struct kid kid;
	int ret;

	/* A container: its root may in its own what root may outside. */
	if (!kid_fork(&kid)) {
		struct kid user, root;
		struct ep ep;

		if (kid_unshare(&kid, CLONE_NEWUSER | CLONE_NEWNET))
			_exit(1);
		if (!kid_fork(&user)) {
			EXPECT_EQ(0, dev_become(5, 5));
			EXPECT_EQ(0, ep_join_bus(&ep, "inner", SYMPHONY_JOIN_CREATE,
						 0600, 0));
			kid_tell(&user, 0);
			kid_hear(&user, (__s64[1]){});
			_exit(0);
		}
		EXPECT_EQ(0, kid_hear(&user, (__s64[1]){}));
		if (!kid_fork(&root)) {
			EXPECT_EQ(0, syscall(SYS_setresuid, 0, 0, 0));
			EXPECT_EQ(0, ep_join_bus(&ep, "inner", 0, 0, 0));
			EXPECT_EQ(0, dev_become(6, 6));
			EXPECT_EQ(-EACCES, ep_join_bus(&ep, "inner", 0, 0, 0));
			_exit(0);
		}
		EXPECT_EQ(0, kid_reap(&root));
		kid_tell(&user, 0);
		_exit(kid_reap(&user));
	}
	ret = kid_map(&kid, "0 100000 1000");
	if (ret)
		SKIP(return, "no user namespaces (%d)", ret);
	EXPECT_EQ(0, kid_reap(&kid));
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
