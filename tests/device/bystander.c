// SPDX-License-Identifier: MIT
/*
 * What one user does delays no other: a large death, also at the limit of memory;
 * a crowd of moves; and processes that are throttled, of the idle class or stopped
 * in the middle of what they do. Bystanders JOIN, CLAIM, take over and die beside
 * them, and say how long that took.
 *
 * DEATH_ENDPOINTS and DEATH_CLAIMS (of each endpoint) make the death larger,
 * MOVES the crowd; up to 1024, 16384 and 60000. ROUNDS is how often the bystanders
 * do what they do. What they say is meant for a quiet machine; what is asserted
 * holds on a busy emulator, and did not while strangers shared a sleeping lock.
 */
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <kselftest_harness.h>

#include "claim.h"

#define CGROUP	"/sys/fs/cgroup"
#define ALICE	60001
#define BOB	60002

/* What nothing of a bystander takes on any machine that works, and what a JOIN, a
 * CLAIM and a takeover mostly do not, in ms. */
#define BOUND	5000
#define MEDIAN	40

enum what { JOIN, CLAIM, TAKEOVER, GONE, EXIT, NR_WHATS };

struct seen {
	__s64 median[NR_WHATS], worst[NR_WHATS];	/* us */
};

static const char *const names[NR_WHATS] = {
	"JOIN", "CLAIM", "takeover", "SIGKILL to GONE", "exit",
};

struct times {
	int nr;
	__u64 us[NR_WHATS][512];
};

static long scale(const char *name, long by_default)
{
	const char *text = getenv(name);

	return text ? atol(text) : by_default;
}

static int compare(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

static __u64 since(__u64 start)
{
	return (dev_now() - start) / 1000;
}

static void join(struct ep *ep, const char *bus)
{
	if (ep_join_bus(ep, bus, SYMPHONY_JOIN_CREATE, 0, SYMPHONY_POOL_MIN))
		_exit(11);
}

/* One round of a bystander, on a bus of its own. */
static void bystand(struct times *times, const char *bus)
{
	struct ep client, servers[2];
	struct symphony_call call;
	struct kid kid;
	__u64 svc, start;
	__s64 id;
	int n = times->nr++;

	start = dev_now();
	join(&client, bus);
	times->us[JOIN][n] = since(start);
	join(&servers[0], bus);
	join(&servers[1], bus);
	start = dev_now();
	if (ep_claim(&servers[0], "svc", &svc))
		_exit(12);
	times->us[CLAIM][n] = since(start);
	call = ep_request(svc, "x", 1);
	if (ep_send(&client, &call))
		_exit(13);
	start = dev_now();
	if (ep_claim_with(&servers[1], "svc", SYMPHONY_CLAIM_TAKEOVER, 0, &svc) ||
	    ep_serve(&servers[1]) < 0)
		_exit(14);
	times->us[TAKEOVER][n] = since(start);
	if (!ep_next(&client, DEV_LONG))
		_exit(15);
	if (!kid_fork(&kid)) {
		struct ep ep;

		join(&ep, bus);
		kid_tell(&kid, ep.id);
		for (;;)
			pause();
	}
	if (kid_hear(&kid, &id) || ep_watch(&client, id, 0, 0))
		_exit(16);
	start = dev_now();
	kill(kid.pid, SIGKILL);
	if (!ep_next(&client, DEV_LONG))
		_exit(17);
	times->us[GONE][n] = since(start);
	kid_reap(&kid);
	times->us[EXIT][n] = since(start);
	ep_close(&servers[0]);
	ep_close(&servers[1]);
	ep_close(&client);
}

/* Until the kid says something, however long that takes: the alarm comes. */
static int hear(struct kid *kid)
{
	__s64 value;
	int ret;

	do {
		ret = kid_hear(kid, &value);
	} while (ret == -ETIMEDOUT);
	return ret;
}

/* Some rounds as BOB, in a process of his own. */
static void bystanders(struct __test_metadata *_metadata, const char *beside,
		       const char *bus, int rounds, struct seen *seen)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		static struct times times;

		if (dev_become(BOB, BOB))
			_exit(10);
		for (int i = 0; i < rounds; i++)
			bystand(&times, bus);
		for (int i = 0; i < NR_WHATS; i++) {
			qsort(times.us[i], rounds, sizeof(__u64), compare);
			kid_tell(&kid, 0);
			kid_tell(&kid, times.us[i][rounds / 2]);
			kid_tell(&kid, times.us[i][rounds - 1 - rounds / 100]);
			kid_tell(&kid, times.us[i][rounds - 1]);
		}
		_exit(0);
	}
	for (int i = 0; i < NR_WHATS; i++) {
		__s64 p99;

		ASSERT_EQ(0, hear(&kid));
		ASSERT_EQ(0, kid_hear(&kid, &seen->median[i]));
		ASSERT_EQ(0, kid_hear(&kid, &p99));
		ASSERT_EQ(0, kid_hear(&kid, &seen->worst[i]));
		TH_LOG("%s: %s: median %lld, p99 %lld, worst %lld us", beside,
		       names[i], seen->median[i], p99, seen->worst[i]);
	}
	ASSERT_EQ(0, kid_reap(&kid));
}

static void expect_undisturbed(struct __test_metadata *_metadata,
			       const struct seen *seen)
{
	for (int i = 0; i < NR_WHATS; i++) {
		EXPECT_GT(BOUND * 1000, seen->worst[i])
			TH_LOG("%s", names[i]);
		if (i <= TAKEOVER)
			EXPECT_GT(MEDIAN * 1000, seen->median[i])
				TH_LOG("%s", names[i]);
	}
}

FIXTURE(bystander)
{
	char path[64], bus[64];
	struct seen seen;
};

static void begin(struct __test_metadata *_metadata, char *path)
{
	dev_begin();
	path[0] = 0;
	if (geteuid() || access(CGROUP "/cgroup.controllers", R_OK) ||
	    dev_write(CGROUP "/cgroup.subtree_control", "+memory +cpu"))
		return;
	snprintf(path, 64, CGROUP "/%s", dev_bus());
	ASSERT_EQ(0, mkdir(path, 0700));
}

static void end(const char *path)
{
	for (int ms = 0; *path && ms < DEV_LONG && rmdir(path); ms += 10)
		dev_nap(10);
}

static int set(const char *path, const char *name, const char *value)
{
	char file[128];

	snprintf(file, sizeof(file), "%s/%s", path, name);
	return dev_write(file, "%s", value);
}

FIXTURE_SETUP(bystander)
{
	begin(_metadata, self->path);
	if (!self->path[0])
		SKIP(return, "no cgroups");
	snprintf(self->bus, sizeof(self->bus), "%s-by", dev_bus());
	bystanders(_metadata, "before", self->bus, 5, &self->seen);
}

FIXTURE_TEARDOWN(bystander)
{
	end(self->path);
}

static int get(const char *path, const char *name, char *value, size_t size)
{
	char file[128];
	FILE *f;

	snprintf(file, sizeof(file), "%s/%s", path, name);
	f = fopen(file, "re");
	if (!f || !fgets(value, size, f))
		return -EIO;
	fclose(f);
	return 0;
}

/* Endpoints of one process that all claim the same services. */
static void claim_all(const char *bus, long nr_endpoints, long nr_claims)
{
	struct rlimit files = { nr_endpoints + 64, nr_endpoints + 64 };
	char name[32];
	struct ep ep;
	__u64 svc;

	setrlimit(RLIMIT_NOFILE, &files);
	for (long i = 0; i < nr_endpoints; i++) {
		join(&ep, bus);
		for (long s = 0; s < nr_claims; s++) {
			snprintf(name, sizeof(name), "s%ld", s);
			/* Or what there may be of them is there. */
			if (ep_claim(&ep, name, &svc))
				return;
		}
	}
}

/* Claims shared with others, so that each leaves an array of replicas; a limit. */
TEST_F(bystander, of_a_large_death_at_the_limit_of_memory)
{
	long nr_endpoints = scale("DEATH_ENDPOINTS", 4);
	long nr_claims = scale("DEATH_CLAIMS", dev_slow() ? 100 : 500);
	struct kid holder, dying;
	char bus[64], used[32];
	__u64 start;

	snprintf(bus, sizeof(bus), "%s-large", dev_bus());
	for (struct kid *kid = &holder;; kid = &dying) {
		if (!kid_fork(kid)) {
			if (kid == &dying && set(self->path, "cgroup.procs", "0"))
				_exit(1);
			if (dev_become(ALICE, ALICE))
				_exit(2);
			claim_all(bus, kid == &holder ? 12 : nr_endpoints, nr_claims);
			kid_tell(kid, 0);
			for (;;)
				pause();
		}
		ASSERT_EQ(0, hear(kid));
		if (kid == &dying)
			break;
	}
	/* From now on nothing more can be charged there. */
	ASSERT_EQ(0, get(self->path, "memory.current", used, sizeof(used)));
	ASSERT_EQ(0, set(self->path, "memory.max", used));
	start = dev_now();
	kill(dying.pid, SIGKILL);
	bystanders(_metadata, "beside the death", self->bus, scale("ROUNDS", 10), &self->seen);
	expect_undisturbed(_metadata, &self->seen);
	EXPECT_EQ(128 + SIGKILL, kid_reap(&dying));
	TH_LOG("the dead was gone within %llu ms", since(start) / 1000);
	EXPECT_EQ(128 + SIGKILL, kid_kill(&holder, SIGKILL));
}

/* Two endpoints that take over from each other what many have sent. */
static void move_crowd(const char *bus, long nr)
{
	struct ep servers[2], sender;
	struct symphony_call call;
	__u64 svc = 0;
	__u32 offset;
	long sent = 0;

	for (int i = 0; i < 2; i++)
		if (ep_join_bus(&servers[i], bus, SYMPHONY_JOIN_CREATE, 0, 16 * MIB))
			_exit(3);
	ep_claim(&servers[0], "svc", &svc);
	while (sent < nr) {
		join(&sender, bus);
		for (;; sent++) {
			call = ep_request(svc, NULL, 0);
			call.flags = SYMPHONY_CALL_ONEWAY;
			call.deadline = 0;
			call.reply_max = 0;
			if (sent == nr || ep_send(&sender, &call))
				break;
		}
	}
	for (long i = 1;; i++) {
		ep_claim_with(&servers[i % 2], "svc", SYMPHONY_CLAIM_TAKEOVER, 0, &svc);
		if (ep_recv(&servers[!(i % 2)], &offset, 1, -1) > 0)
			ep_release_at(&servers[!(i % 2)], offset);
	}
}

TEST_F(bystander, of_a_crowd_that_moves)
{
	long nr = scale("MOVES", dev_slow() ? 1000 : 20000);
	struct kid kid;

	if (!kid_fork(&kid)) {
		if (dev_become(ALICE, ALICE))
			_exit(2);
		move_crowd(dev_bus(), nr);
	}
	dev_nap(500);
	bystanders(_metadata, "beside moves", self->bus, scale("ROUNDS", 10), &self->seen);
	expect_undisturbed(_metadata, &self->seen);
	kid_kill(&kid, SIGKILL);
}

/* Does whatever takes a lock, on the bystanders' bus too. */
static void hammer(const char *bus)
{
	struct ep ep, other;
	__u64 svc;

	for (;;) {
		join(&other, "hammered");
		if (ep_join_bus(&ep, bus, 0, 0, SYMPHONY_POOL_MIN))
			_exit(21);
		if (!ep_claim(&ep, "hammered", &svc)) {
			for (int i = 0; i < 20; i++)
				ep_drain(&ep, svc, i % 2);
			ep_unclaim(&ep, svc);
		}
		ep_close(&ep);
		ep_close(&other);
	}
}

FIXTURE(tenant)
{
	char path[64];
	struct seen seen;
	struct ep keeper;
	struct kid kids[3];
};

enum how { THROTTLED, IDLE, STOPPED };

FIXTURE_VARIANT(tenant)
{
	const char *name;
	enum how how;
};

FIXTURE_VARIANT_ADD(tenant, throttled) { "a throttled tenant", THROTTLED };
FIXTURE_VARIANT_ADD(tenant, idle) { "an idle-class tenant", IDLE };
FIXTURE_VARIANT_ADD(tenant, stopped) { "a stopped tenant", STOPPED };

FIXTURE_SETUP(tenant)
{
	begin(_metadata, self->path);
	if (!self->path[0])
		SKIP(return, "no cgroups");
	ASSERT_EQ(0, ep_join_bus(&self->keeper, dev_bus(), SYMPHONY_JOIN_CREATE,
				 0666, SYMPHONY_POOL_MIN));
	bystanders(_metadata, "before", dev_bus(), 4, &self->seen);
	if (variant->how == THROTTLED && set(self->path, "cpu.max", "2000 200000"))
		SKIP(return, "this kernel does not throttle");
	for (int i = 0; i < ARRAY_SIZE(self->kids); i++) {
		struct sched_param param = {};

		if (kid_fork(&self->kids[i]))
			continue;
		if (variant->how == THROTTLED && set(self->path, "cgroup.procs", "0"))
			_exit(20);
		if (variant->how == IDLE) {
			cpu_set_t first;

			CPU_ZERO(&first);
			CPU_SET(0, &first);
			sched_setaffinity(0, sizeof(first), &first);
			/* One keeps the others from running. */
			while (!i)
				;
			sched_setscheduler(0, SCHED_IDLE, &param);
		}
		if (dev_become(ALICE, ALICE))
			_exit(20);
		hammer(dev_bus());
	}
}

FIXTURE_TEARDOWN(tenant)
{
	if (!self->path[0])
		return;
	for (int i = 0; i < ARRAY_SIZE(self->kids); i++)
		EXPECT_EQ(128 + SIGKILL, kid_kill(&self->kids[i], SIGKILL));
	ep_close(&self->keeper);
	end(self->path);
}

TEST_F(tenant, delays_no_bystander)
{
	struct kid stopper;

	if (variant->how == STOPPED && !kid_fork(&stopper)) {
		for (int i = 0;; i++) {
			kill(self->kids[i % ARRAY_SIZE(self->kids)].pid,
			     i / ARRAY_SIZE(self->kids) % 2 ? SIGCONT : SIGSTOP);
			dev_nap(3);
		}
	}
	bystanders(_metadata, variant->name, dev_bus(), scale("ROUNDS", 8),
		   &self->seen);
	expect_undisturbed(_metadata, &self->seen);
	if (variant->how == STOPPED)
		kid_kill(&stopper, SIGKILL);
}

TEST_HARNESS_MAIN
