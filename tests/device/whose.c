// SPDX-License-Identifier: MIT
/* JOIN says whose bus it joined, and what that bus keeps others from. */
#include <sched.h>
#include <kselftest_harness.h>

#include "device.h"

#define ALICE	1001
#define BOB	1002
#define EXCL	(SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL)
#define NOBODY	0xffffffffU

static const char reserved[] = "pool\0dag";

FIXTURE(whose)
{
	struct ep alice;	/* has the bus, where others may come */
};

FIXTURE_SETUP(whose)
{
	dev_begin();
	self->alice.fd = -1;
	if (geteuid())
		SKIP(return, "needs root");
}

FIXTURE_TEARDOWN(whose)
{
	ep_close(&self->alice);
}

/* JOIN with nothing but what says whose it is; 0 or -errno. */
static int ask(struct symphony_join *join, __u32 flags, const void *names, __u32 len)
{
	int fd = dev_open(), ret;

	*join = (struct symphony_join){
		.size = sizeof(*join), .flags = flags, .name = (uintptr_t)dev_bus(),
		.name_len = strlen(dev_bus()), .pool_size = SYMPHONY_POOL_MIN,
		.reserve = (uintptr_t)names, .reserve_len = len,
		.bus_flags = 77, .bus_uid = 77, .bus_gid = 77, .bus_mode = 77,
	};
	ret = dev_ioctl(fd, SYMPHONY_IOC_JOIN, join);
	close(fd);
	return ret;
}

TEST_F(whose, the_creator_is_told_that_it_created)
{
	struct symphony_join join;

	ASSERT_EQ(0, ask(&join, SYMPHONY_JOIN_CREATE, NULL, 0));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_CREATED, join.bus_flags);
	EXPECT_EQ(0, join.bus_uid);
	EXPECT_EQ(0, join.bus_gid);
	EXPECT_EQ(0600, join.bus_mode);
	ASSERT_EQ(0, ask(&join, EXCL | SYMPHONY_JOIN_GRANTS, reserved, sizeof(reserved)));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_CREATED | SYMPHONY_BUS_GRANTS |
		  SYMPHONY_BUS_RESERVED, join.bus_flags);
}

TEST_F(whose, others_are_told_whose_it_is)
{
	struct symphony_join join;
	struct kid kid;

	if (!kid_fork(&kid)) {
		__s64 value;

		EXPECT_EQ(0, dev_become(ALICE, BOB));
		EXPECT_EQ(0, ep_join_bus(&self->alice, dev_bus(), SYMPHONY_JOIN_CREATE,
					 0644, 0));
		EXPECT_EQ(0, kid_tell(&kid, 0));
		kid_hear(&kid, &value);
		/* Of the same uid. */
		EXPECT_EQ(0, ask(&join, SYMPHONY_JOIN_CREATE, NULL, 0));
		EXPECT_EQ(SYMPHONY_BUS_MINE, join.bus_flags);
		EXPECT_EQ(ALICE, join.bus_uid);
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, (__s64[1]){}));
	EXPECT_EQ(0, ask(&join, SYMPHONY_JOIN_CREATE, NULL, 0));
	EXPECT_EQ(0, join.bus_flags);
	EXPECT_EQ(ALICE, join.bus_uid);
	EXPECT_EQ(BOB, join.bus_gid);
	EXPECT_EQ(0644, join.bus_mode);
	EXPECT_EQ(-EEXIST, ask(&join, EXCL, NULL, 0));
	EXPECT_EQ(ALICE, join.bus_uid);
	EXPECT_EQ(-EPERM, ask(&join, SYMPHONY_JOIN_INHERIT, NULL, 0));
	EXPECT_EQ(ALICE, join.bus_uid);
	EXPECT_EQ(0, kid_tell(&kid, 0));
	EXPECT_EQ(0, kid_reap(&kid));
	self->alice = (struct ep){ .fd = -1 };
}

TEST_F(whose, who_is_kept_out_is_told_too)
{
	struct kid kid;

	ASSERT_EQ(0, ep_join(&self->alice, 0));
	if (!kid_fork(&kid)) {
		struct symphony_join join;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(-EACCES, ask(&join, SYMPHONY_JOIN_CREATE, NULL, 0));
		EXPECT_EQ(0, join.bus_uid);
		/* What is not there is nobody's. */
		join.name_len--;
		join.flags = 0;
		join.bus_uid = 77;
		EXPECT_EQ(-ENOENT, dev_ioctl(dev_open(), SYMPHONY_IOC_JOIN, &join));
		EXPECT_EQ(77, join.bus_uid);
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(whose, all_names_are_reserved_or_the_flag_is_not_set)
{
	static const char other[] = "pool\0other", one[] = "dag";
	struct symphony_join join;
	__u64 handle;
	int fd = dev_open();

	join = (struct symphony_join){
		.size = sizeof(join), .flags = EXCL, .name = (uintptr_t)dev_bus(),
		.name_len = strlen(dev_bus()), .reserve = (uintptr_t)reserved,
		.reserve_len = sizeof(reserved), .mode = 0666,
	};
	ASSERT_EQ(0, dev_ioctl(fd, SYMPHONY_IOC_JOIN, &join));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_CREATED | SYMPHONY_BUS_RESERVED,
		  join.bus_flags);
	ASSERT_EQ(0, ep_join(&self->alice, 0));
	ASSERT_EQ(0, ep_claim(&self->alice, "other", &handle));

	EXPECT_EQ(0, ask(&join, SYMPHONY_JOIN_RESERVED, reserved, sizeof(reserved)));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_RESERVED, join.bus_flags);
	EXPECT_EQ(0, ask(&join, SYMPHONY_JOIN_RESERVED, one, sizeof(one)));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_RESERVED, join.bus_flags);
	EXPECT_EQ(0, ask(&join, SYMPHONY_JOIN_RESERVED, other, sizeof(other)));
	EXPECT_EQ(SYMPHONY_BUS_MINE, join.bus_flags);
	EXPECT_EQ(-EBUSY, ask(&join, SYMPHONY_JOIN_RESERVED | SYMPHONY_JOIN_INHERIT,
			      one, sizeof(one)));
	close(fd);
	EXPECT_EQ(0, ask(&join, SYMPHONY_JOIN_RESERVED | SYMPHONY_JOIN_INHERIT,
			 one, sizeof(one)));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_RESERVED, join.bus_flags);

	/* It is a question, about names, to a bus that is there. */
	EXPECT_EQ(-EINVAL, ask(&join, SYMPHONY_JOIN_RESERVED, NULL, 0));
	EXPECT_EQ(-EINVAL, ask(&join, SYMPHONY_JOIN_RESERVED | SYMPHONY_JOIN_CREATE,
			       one, sizeof(one)));
	EXPECT_EQ(-EINVAL, ask(&join, SYMPHONY_JOIN_RESERVED | EXCL, one, sizeof(one)));
	EXPECT_EQ(-EINVAL, ask(&join, 0, one, sizeof(one)));
}

TEST_F(whose, with_grants_every_name_is)
{
	static const char any[] = "any";
	struct symphony_join join;

	ASSERT_EQ(0, ep_join_bus(&self->alice, dev_bus(), EXCL | SYMPHONY_JOIN_GRANTS, 0,
				 0));
	EXPECT_EQ(0, ask(&join, SYMPHONY_JOIN_RESERVED, any, sizeof(any)));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_GRANTS | SYMPHONY_BUS_RESERVED,
		  join.bus_flags);
	EXPECT_EQ(0, ask(&join, 0, NULL, 0));
	EXPECT_EQ(SYMPHONY_BUS_MINE | SYMPHONY_BUS_GRANTS, join.bus_flags);
}

TEST_F(whose, ids_are_those_of_the_joiners_namespace)
{
	struct symphony_join join;
	struct kid kid;

	ASSERT_EQ(0, ep_join_bus(&self->alice, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, 0));
	if (!kid_fork(&kid)) {
		if (kid_unshare(&kid, CLONE_NEWUSER))
			_exit(2);
		/* Root of outside has another number, and is itself. */
		EXPECT_EQ(0, ask(&join, 0, NULL, 0));
		EXPECT_EQ(SYMPHONY_BUS_MINE, join.bus_flags);
		EXPECT_EQ(5, join.bus_uid);
		EXPECT_EQ(5, join.bus_gid);
		_exit(0);
	}
	EXPECT_EQ(0, kid_map(&kid, "5 0 1"));
	EXPECT_EQ(0, kid_reap(&kid));

	if (!kid_fork(&kid)) {
		if (dev_become(ALICE, ALICE) || kid_unshare(&kid, CLONE_NEWUSER))
			_exit(2);
		/* Its own root is not the one outside, which has no number here. */
		EXPECT_EQ(0, ask(&join, 0, NULL, 0));
		EXPECT_EQ(0, join.bus_flags);
		EXPECT_EQ(NOBODY, join.bus_uid);
		EXPECT_EQ(NOBODY, join.bus_gid);
		_exit(0);
	}
	EXPECT_EQ(0, kid_map(&kid, "0 1001 1"));
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_HARNESS_MAIN
