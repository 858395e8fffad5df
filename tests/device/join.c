// SPDX-License-Identifier: MIT
/* JOIN: buses come and go by name; names, sizes and modes are checked. */
#include <sys/mman.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(join)
{
	struct ep ep;
	int fd;
};

FIXTURE_SETUP(join)
{
	dev_begin();
	self->ep.fd = -1;
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(join)
{
	ep_close(&self->ep);
	close(self->fd);
}

static int join_raw(int fd, const char *name, __u32 len, __u32 flags,
		    __u32 mode, __u32 pool, __u32 *got)
{
	struct symphony_join join = {
		.size = sizeof(join), .flags = flags, .mode = mode,
		.name = (uintptr_t)name, .name_len = len, .pool_size = pool,
	};
	int ret = dev_ioctl(fd, SYMPHONY_IOC_JOIN, &join);

	if (!ret && got)
		*got = join.pool_size;
	return ret;
}

static int join_name(const char *name, __u32 len)
{
	int fd = dev_open(), ret;

	ret = join_raw(fd, name, len, SYMPHONY_JOIN_CREATE, 0, SYMPHONY_POOL_MIN,
		       NULL);
	close(fd);
	return ret;
}

TEST_F(join, needs_create_for_a_new_bus)
{
	EXPECT_EQ(-ENOENT, ep_join_bus(&self->ep, dev_bus(), 0, 0, 0));
	EXPECT_EQ(0, ep_join(&self->ep, 0));
	EXPECT_NE(0, self->ep.id);
}

TEST_F(join, finds_an_existing_bus)
{
	struct ep other, third;

	ASSERT_EQ(0, ep_join(&self->ep, 0));
	EXPECT_EQ(0, ep_join_bus(&other, dev_bus(), 0, 0, 0));
	EXPECT_EQ(0, ep_join_bus(&third, dev_bus(), SYMPHONY_JOIN_CREATE, 0, 0));
	EXPECT_NE(self->ep.id, other.id);
	EXPECT_NE(third.id, other.id);
	ep_close(&other);
	ep_close(&third);
}

TEST_F(join, excl_refuses_an_existing_bus)
{
	struct ep other;
	__u32 flags = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL;

	ASSERT_EQ(0, ep_join_bus(&self->ep, dev_bus(), flags, 0, 0));
	EXPECT_EQ(-EEXIST, ep_join_bus(&other, dev_bus(), flags, 0, 0));
	ep_close(&self->ep);
	EXPECT_EQ(0, ep_join_bus(&self->ep, dev_bus(), flags, 0, 0));
}

TEST_F(join, excl_is_about_creating)
{
	EXPECT_EQ(-EINVAL, ep_join_bus(&self->ep, dev_bus(), SYMPHONY_JOIN_EXCL, 0, 0));
}

TEST_F(join, twice_is_eisconn)
{
	ASSERT_EQ(0, ep_join(&self->ep, 0));
	EXPECT_EQ(-EISCONN, join_raw(self->ep.fd, dev_bus(), strlen(dev_bus()),
				     SYMPHONY_JOIN_CREATE, 0, 0, NULL));
	EXPECT_EQ(-EISCONN, join_raw(self->ep.fd, "other-bus", 9,
				     SYMPHONY_JOIN_CREATE, 0, 0, NULL));
}

TEST_F(join, works_after_it_failed)
{
	EXPECT_EQ(-ENOENT, join_raw(self->fd, "no-such-bus", 11, 0, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, join_raw(self->fd, "No", 2, SYMPHONY_JOIN_CREATE, 0, 0,
				    NULL));
	EXPECT_EQ(-EINVAL, join_raw(self->fd, dev_bus(), strlen(dev_bus()),
				    SYMPHONY_JOIN_CREATE, 0, 1, NULL));
	EXPECT_EQ(0, join_raw(self->fd, dev_bus(), strlen(dev_bus()),
			      SYMPHONY_JOIN_CREATE, 0, 0, NULL));
}

TEST_F(join, failure_leaves_no_bus)
{
	struct symphony_query q = dev_limits();

	EXPECT_EQ(-EINVAL, join_raw(self->fd, dev_bus(), strlen(dev_bus()),
				    SYMPHONY_JOIN_CREATE, 0, q.pool_max + 4096,
				    NULL));
	EXPECT_EQ(-ENOENT, ep_join_bus(&self->ep, dev_bus(), 0, 0, 0));
}

TEST_F(join, names_are_checked)
{
	static const char *const bad[] = {
		"A", "Bus", "9bus", "-bus", ".bus", "_bus", "b us", "b/us", "b\n",
		"b\xc3\xbc", "b:", "b@", "b\x7f", " ", "bU",
	};
	static const char *const good[] = { "b", "b9", "b_-.", "b..", "zz-top" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, join_name(bad[i], strlen(bad[i])))
			TH_LOG("name \"%s\"", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(0, join_name(good[i], strlen(good[i])))
			TH_LOG("name \"%s\"", good[i]);
	}
	EXPECT_EQ(-EINVAL, join_name("", 0));
	EXPECT_EQ(-EINVAL, join_name("bus\0", 4));
	EXPECT_EQ(-EINVAL, join_name("b\0us", 4));
}

TEST_F(join, names_have_a_limit)
{
	char name[SYMPHONY_NAME_MAX + 2];

	memset(name, 'x', sizeof(name));
	EXPECT_EQ(0, join_name(name, SYMPHONY_NAME_MAX));
	EXPECT_EQ(-ENAMETOOLONG, join_name(name, SYMPHONY_NAME_MAX + 1));
	EXPECT_EQ(-ENAMETOOLONG, join_name(name, 0x7fffffff));
	EXPECT_EQ(-ENAMETOOLONG, join_name(name, 0xffffffff));
}

TEST_F(join, longest_names_are_told_apart)
{
	char name[SYMPHONY_NAME_MAX + 1] = {};
	struct ep other;

	memset(name, 'x', SYMPHONY_NAME_MAX);
	ASSERT_EQ(0, ep_join_bus(&self->ep, name, SYMPHONY_JOIN_CREATE, 0, 0));
	name[SYMPHONY_NAME_MAX - 1] = 'y';
	EXPECT_EQ(-ENOENT, ep_join_bus(&other, name, 0, 0, 0));
	name[SYMPHONY_NAME_MAX - 1] = 0;
	EXPECT_EQ(-ENOENT, ep_join_bus(&other, name, 0, 0, 0));
}

TEST_F(join, name_ends_where_its_length_says)
{
	char *edge = (char *)dev_cliff() - 4;
	struct ep other;

	memcpy(edge, "edge", 4);
	ASSERT_EQ(0, join_raw(self->fd, edge, 4, SYMPHONY_JOIN_CREATE, 0, 0, NULL));
	EXPECT_EQ(0, ep_join_bus(&other, "edge", 0, 0, 0));
	ep_close(&other);
	EXPECT_EQ(-EFAULT, join_name(edge, 5));
	EXPECT_EQ(-EFAULT, join_name(NULL, 3));
	EXPECT_EQ(-EFAULT, join_name((char *)0xffff888000000000, 3));
}

TEST_F(join, pool_sizes_are_checked)
{
	struct symphony_query q = dev_limits();
	__u32 bad[] = {
		1, 4096, SYMPHONY_POOL_MIN - 4096, SYMPHONY_POOL_MIN + 128,
		SYMPHONY_POOL_MIN + 1, q.pool_max + 4096, 0x80000000, 0xfffff000,
		0xffffffff,
	};
	__u32 got = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, join_raw(self->fd, dev_bus(), strlen(dev_bus()),
					    SYMPHONY_JOIN_CREATE, 0, bad[i], NULL))
			TH_LOG("pool of %u", bad[i]);
	}
	EXPECT_EQ(0, join_raw(self->fd, dev_bus(), strlen(dev_bus()),
			      SYMPHONY_JOIN_CREATE, 0, 0, &got));
	EXPECT_EQ(q.pool_default, got);
}

TEST_F(join, pool_sizes_are_given_as_asked)
{
	static const __u32 good[] = {
		SYMPHONY_POOL_MIN, SYMPHONY_POOL_MIN + 4096, 1000 * 4096, 8 * MIB,
	};
	struct symphony_query q = dev_limits();

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (good[i] > q.pool_max)
			continue;
		EXPECT_EQ(0, ep_join(&self->ep, good[i]));
		EXPECT_EQ(good[i], self->ep.size);
		ep_close(&self->ep);
	}
}

TEST_F(join, fresh_pool_is_zero)
{
	const size_t len = 8 * MIB;
	void *dirt = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Single pages, which then are what the kernel hands out next. */
	ASSERT_NE(MAP_FAILED, dirt);
	madvise(dirt, len, MADV_NOHUGEPAGE);
	memset(dirt, 0xaa, len);
	munmap(dirt, len);
	ASSERT_EQ(0, ep_join(&self->ep, MIB));
	for (__u32 i = 0; i < self->ep.size; i += 8) {
		ASSERT_EQ(0, *(const __u64 *)(self->ep.pool + i));
	}
}

TEST_F(join, modes_have_permission_bits_only)
{
	static const __u32 bad[] = { 01000, 04000, 0100000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, join_raw(self->fd, dev_bus(), strlen(dev_bus()),
					    SYMPHONY_JOIN_CREATE, bad[i], 0, NULL))
			TH_LOG("mode %#o", bad[i]);
	}
}

TEST_F(join, endpoint_ids_are_never_used_twice)
{
	__u64 seen[64];

	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		ASSERT_EQ(0, ep_join(&self->ep, SYMPHONY_POOL_MIN));
		seen[i] = self->ep.id;
		for (size_t j = 0; j < i; j++) {
			ASSERT_NE(seen[j], seen[i]);
		}
		ep_close(&self->ep);
	}
}

TEST_F(join, bus_goes_with_its_last_endpoint)
{
	struct ep other;
	__u64 handle;

	ASSERT_EQ(0, ep_join(&self->ep, 0));
	ASSERT_EQ(0, ep_join(&other, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &handle));
	ep_close(&self->ep);
	EXPECT_EQ(0, ep_resolve(&other, "svc", &handle));
	ep_close(&other);
	EXPECT_EQ(-ENOENT, ep_join_bus(&other, dev_bus(), 0, 0, 0));
	ASSERT_EQ(0, ep_join(&other, 0));
	EXPECT_EQ(-ENOENT, ep_resolve(&other, "svc", &handle));
	ep_close(&other);
}

TEST_F(join, bus_that_ended_is_given_back_whatever_others_keep)
{
	struct symphony_query before = dev_limits(), after;
	struct kid kid;
	struct ep ep;
	__u64 handle;
	int fd;

	ASSERT_EQ(0, ep_join_bus(&ep, "kept", SYMPHONY_JOIN_CREATE, 0, 0));
	ASSERT_EQ(0, ep_claim(&ep, "svc", &handle));
	if (!kid_fork(&kid)) {
		struct ep theirs;

		EXPECT_EQ(0, ep_join_bus(&theirs, "kept", 0, 0, 0));
		kid_pass(&kid, theirs.fd);
		pause();
	}
	fd = kid_take(&kid);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	ep_close(&ep);
	/* The file of a dead endpoint, and so the memory of the bus, is there. */
	after = dev_limits();
	EXPECT_EQ(before.user_buses.used, after.user_buses.used);
	EXPECT_EQ(before.user_services.used, after.user_services.used);
	close(fd);
	after = dev_limits();
	EXPECT_EQ(before.user_buses.used, after.user_buses.used);
	EXPECT_EQ(before.user_services.used, after.user_services.used);
}

TEST_F(join, racing_creators_meet_on_one_bus)
{
	struct kid kids[4];
	__s64 go;

	for (size_t i = 0; i < ARRAY_SIZE(kids); i++) {
		if (kid_fork(&kids[i]))
			continue;
		kid_hear(&kids[i], &go);
		for (int round = 0; round < (dev_slow() ? 10 : 50); round++) {
			struct ep ep;
			int ret = ep_join(&ep, SYMPHONY_POOL_MIN);

			EXPECT_EQ(0, ret);
			if (!ret)
				ep_close(&ep);
		}
		_exit(0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
		kid_tell(&kids[i], 1);
	for (size_t i = 0; i < ARRAY_SIZE(kids); i++) {
		EXPECT_EQ(0, kid_reap(&kids[i]));
	}
	EXPECT_EQ(-ENOENT, ep_join_bus(&self->ep, dev_bus(), 0, 0, 0));
}

struct pest {
	pthread_t victim, thread;
	atomic_bool stop;
};

static void *pest_main(void *arg)
{
	struct pest *pest = arg;

	while (!pest->stop) {
		pthread_kill(pest->victim, SIGUSR1);
		usleep(dev_slow() ? 5000 : 500);
	}
	return NULL;
}

/* The kernel's list of whom to tell of the end of a process gives way to signals. */
TEST_F(join, signals_do_not_show)
{
	struct pest pest = { .victim = pthread_self() };

	dev_on_usr1(0);
	ASSERT_EQ(0, pthread_create(&pest.thread, NULL, pest_main, &pest));
	/* With the last endpoint goes what the process is known by. */
	for (__u64 end = dev_after(3000); dev_now() < end;) {
		int ret = ep_join(&self->ep, SYMPHONY_POOL_MIN);

		EXPECT_EQ(0, ret) {
			break;
		}
		ep_close(&self->ep);
	}
	pest.stop = true;
	pthread_join(pest.thread, NULL);
}

TEST_HARNESS_MAIN
