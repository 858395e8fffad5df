// SPDX-License-Identifier: MIT
/*
 * What a process makes the kernel hold is charged to its memory cgroup: at the
 * limit of that its JOIN fails, nobody is killed, and others do not notice.
 */
#include <sys/stat.h>
#include <kselftest_harness.h>

#include "device.h"

#define ROOT	"/sys/fs/cgroup"

FIXTURE(memcg)
{
	char path[64];
	struct duo duo;		/* of others: outside of the cgroup */
};

FIXTURE_SETUP(memcg)
{
	dev_begin();
	self->path[0] = 0;
	if (geteuid() || access(ROOT "/cgroup.controllers", R_OK) ||
	    dev_write(ROOT "/cgroup.subtree_control", "+memory"))
		SKIP(return, "no memory cgroups");
	snprintf(self->path, sizeof(self->path), ROOT "/%s", dev_bus());
	ASSERT_EQ(0, mkdir(self->path, 0700));
	ASSERT_EQ(0, duo_join(&self->duo, MIB, 8 * MIB));
}

FIXTURE_TEARDOWN(memcg)
{
	if (!self->path[0])
		return;
	duo_close(&self->duo);
	/* Until the last of its processes is out of it. */
	for (int ms = 0; ms < DEV_LONG && rmdir(self->path); ms += 10)
		dev_nap(10);
}

static int set(const struct _test_data_memcg *self, const char *name, long value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", self->path, name);
	return dev_write(path, "%ld", value);
}

/* The number in @name; of the line that begins with @key, if there is one. */
static long get(const struct _test_data_memcg *self, const char *name,
		const char *key)
{
	char path[128], line[128];
	size_t len = key ? strlen(key) : 0;
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", self->path, name);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!key || (!strncmp(line, key, len) && line[len] == ' '))
			value = atol(line + len);
	if (file)
		fclose(file);
	return value;
}

/* Statistics and give-backs are gathered up, and come later. */
static long get_at_least(const struct _test_data_memcg *self, const char *name,
			 const char *key, long least)
{
	for (int ms = 0; ms < DEV_LONG && get(self, name, key) < least; ms += 20)
		dev_nap(20);
	return get(self, name, key);
}

static long get_at_most(const struct _test_data_memcg *self, const char *name,
			const char *key, long most)
{
	for (int ms = 0; ms < DEV_LONG && get(self, name, key) > most; ms += 20)
		dev_nap(20);
	return get(self, name, key);
}

static int one_call(struct duo *duo)
{
	const struct symphony_msg *msg;
	int ret = duo_send(duo, 7, 1000);

	msg = ret ? NULL : ep_next(&duo->server, DEV_LONG);
	if (!msg)
		return ret ?: -errno;
	ret = ep_reply(&duo->server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE);
	msg = ret ? NULL : ep_next(&duo->client, DEV_LONG);
	return msg ? ep_release(&duo->client, msg) : ret ?: -errno;
}

TEST_F(memcg, a_pool_is_charged_to_who_joins)
{
	const long size = 16 * MIB, spare = MIB;
	struct kid kid;

	if (!kid_fork(&kid)) {
		long before, kernel;
		struct ep ep;

		EXPECT_EQ(0, set(self, "cgroup.procs", 0));
		/* Once, so that what is needed once is there. */
		EXPECT_EQ(0, ep_join(&ep, SYMPHONY_POOL_MIN));
		ep_close(&ep);
		before = get(self, "memory.current", NULL);
		kernel = get(self, "memory.stat", "kernel");
		EXPECT_EQ(0, ep_join(&ep, size));
		EXPECT_LE(before + size - spare, get(self, "memory.current", NULL));
		EXPECT_GE(before + size + size / 2, get(self, "memory.current", NULL));
		EXPECT_LE(kernel + size - spare,
			  get_at_least(self, "memory.stat", "kernel",
				       kernel + size - spare));
		ep_close(&ep);
		EXPECT_GE(before + spare, get_at_most(self, "memory.current", NULL,
						      before + spare));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(memcg, what_is_sent_there_is_not_charged_again)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		static char body[40000];
		struct ep ep;
		__u64 svc;
		long before;

		EXPECT_EQ(0, set(self, "cgroup.procs", 0));
		EXPECT_EQ(0, ep_join(&ep, 4 * MIB));
		EXPECT_EQ(0, ep_resolve(&ep, "svc", &svc));
		before = get(self, "memory.current", NULL);
		for (int i = 0; i < 50; i++) {
			call = ep_request(svc, body, sizeof(body));
			EXPECT_EQ(0, ep_send(&ep, &call));
		}
		/* Half, as charges are made some dozen pages at a time. */
		EXPECT_GE(before + 50 * (long)sizeof(body) / 2,
			  get(self, "memory.current", NULL));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(memcg, join_at_the_limit_is_enomem_and_nobody_is_killed)
{
	struct symphony_query before = dev_limits(), after;
	struct kid kid;

	ASSERT_EQ(0, set(self, "memory.max", 24 * MIB));
	set(self, "memory.swap.max", 0);
	if (!kid_fork(&kid)) {
		struct ep eps[16], *last = NULL;
		struct symphony_call call;
		int nr = 0, ret = 0;
		__u64 svc;

		EXPECT_EQ(0, set(self, "cgroup.procs", 0));
		while (nr < ARRAY_SIZE(eps) &&
		       !(ret = ep_join(&eps[nr], 4 * MIB)))
			last = &eps[nr++];
		EXPECT_EQ(-ENOMEM, ret);
		EXPECT_LE(2, nr);
		EXPECT_GE(6, nr);
		/* It stays so, and takes nothing along. */
		for (int i = 0; i < 5; i++) {
			EXPECT_EQ(-ENOMEM, ep_join(&eps[nr], 4 * MIB));
		}
		after = dev_limits();
		EXPECT_EQ(before.user_endpoints.used + nr, after.user_endpoints.used);
		EXPECT_EQ(before.user_pool.used + nr * 4ULL * MIB, after.user_pool.used);
		/* What it has works, and room that it makes is its own. */
		EXPECT_EQ(0, ep_resolve(last, "svc", &svc));
		call = ep_request(svc, "x", 1);
		EXPECT_EQ(0, ep_send(last, &call));
		ep_close(&eps[0]);
		for (int ms = 0; ms < DEV_LONG && ret; ms += 20) {
			ret = ep_join(&eps[0], 4 * MIB);
			dev_nap(20);
		}
		EXPECT_EQ(0, ret);
		kid_tell(&kid, nr);
		kid_hear(&kid, (__s64[1]){});
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, (__s64[1]){}));
	EXPECT_LT(0, get(self, "memory.events", "max"));
	EXPECT_EQ(0, get(self, "memory.events", "oom_kill"));
	/* Meanwhile, outside. */
	ASSERT_NE(NULL, ep_next(&self->duo.server, DEV_LONG));
	for (int i = 0; i < 20; i++) {
		struct ep ep;

		ASSERT_EQ(0, ep_join(&ep, 4 * MIB));
		EXPECT_EQ(0, one_call(&self->duo));
		ep_close(&ep);
	}
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(memcg, calls_are_charged_to_who_makes_them)
{
	const int nr = 2000, least = 200;	/* calls, bytes of each */
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;
		__u64 svc;
		long before;

		EXPECT_EQ(0, set(self, "cgroup.procs", 0));
		EXPECT_EQ(0, ep_join(&ep, MIB));
		EXPECT_EQ(0, ep_resolve(&ep, "svc", &svc));
		call = ep_request(svc, NULL, 0);
		call.reply_max = 1;
		call.deadline = 0;
		EXPECT_EQ(0, ep_send(&ep, &call));
		before = get(self, "memory.current", NULL);
		for (int i = 0; i < nr; i++) {
			call.id = 0;
			call.slot = 0;
			EXPECT_EQ(0, ep_send(&ep, &call));
		}
		EXPECT_LE(before + nr * least, get(self, "memory.current", NULL));
		ep_close(&ep);
		EXPECT_GE(before, get_at_most(self, "memory.current", NULL, before));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_HARNESS_MAIN
