// SPDX-License-Identifier: MIT
/*
 * Neighbours: what a client's calls take while another user does its worst, and
 * what that one is told.
 *
 * Who has the processor is the scheduler's to say, not the bus's. So the server
 * and the client that is measured run at SCHED_FIFO, where nobody delays them by
 * burning time, and the offenders, who try again at once whatever they are told,
 * at SCHED_OTHER and, if there is one, on another CPU. The client stands above
 * the server: it calls in the middle of whatever the server is at. While it works
 * the server also waits for something, as servers do, and leaves its CPU to
 * others. In an ICOUNT=1 guest, what is measured are instructions.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

#define CLIENT		1001
#define OFFENDER	1002
#define SUBUIDS		100000

#define WORK		30000	/* instructions, of a handler that has some */
#define WAIT		10000	/* ns, in the middle of it */
#define ROUNDS		101
#define TRIES		5	/* where time passes as the machine likes */
#define CROWD		1024	/* endpoints that a user may have */
#define LARGEST		(MIB / 2 - sizeof(struct symphony_msg))
#define NR_LIMITS	(SYMPHONY_LIMIT_USER_RECORDS + 1)

struct refusal {
	int limit, err;
};

/* The handles of the server's two services; the second is never received. */
static __u64 svc, sink;

/* What the offender was told, by limit: shared with it. */
static atomic_int *told;

static void fifo(int priority)
{
	struct sched_param param = { .sched_priority = priority };

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		abort();
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void spin(unsigned long instructions)
{
	unsigned long loops = instructions / 2;

	asm volatile("1: dec %0\n\tjnz 1b" : "+r"(loops));
}

static void rest(long ns)
{
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = ns }, NULL);
}

/* Whether the clock counts instructions. Another one is not that even. */
static bool counting(void)
{
	int exact = 0;
	__u64 took;

	for (int i = 0; i < 9; i++) {
		took = dev_now();
		spin(200000);
		took = dev_now() - took;
		exact += took >= 200000 && took < 201000;
	}
	return exact >= 6;
}

/* The server: a thread of the test itself. */
struct server {
	struct ep ep, idle;
	pthread_t thread;
	bool works;
	atomic_bool stop;
};

static void *serve(void *arg)
{
	struct server *server = arg;
	const struct symphony_msg *msg;

	fifo(1);
	pin(0);
	while (!server->stop) {
		msg = ep_next(&server->ep, 20);
		if (!msg)
			continue;
		if (server->works) {
			spin(WORK / 2);
			rest(WAIT);
			spin(WORK / 2);
		}
		if (ep_reply(&server->ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
			ep_release(&server->ep, msg);
	}
	return NULL;
}

static void server_start(struct server *server, bool works)
{
	server->works = works;
	server->stop = false;
	if (pthread_create(&server->thread, NULL, serve, server))
		abort();
}

static void server_stop(struct server *server)
{
	server->stop = true;
	pthread_join(server->thread, NULL);
}

/* What some calls took, in ns. */
struct latency {
	__s64 median, high;
};

static int by_value(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return (x > y) - (x < y);
}

static struct latency call_some(struct ep *ep)
{
	static unsigned int seed = 1;
	__u64 took[ROUNDS];
	__u8 body[64] = {};

	for (int i = 0; i < ROUNDS; i++) {
		struct symphony_call call = ep_request(svc, body, sizeof(body));

		rest(20000 + rand_r(&seed) % 130000);
		took[i] = dev_now();
		if (ep_outcome(ep, &call))
			_exit(3);
		took[i] = dev_now() - took[i];
		ep_release_at(ep, call.offset);
	}
	qsort(took, ROUNDS, sizeof(took[0]), by_value);
	return (struct latency){ took[ROUNDS / 2], took[ROUNDS * 99 / 100] };
}

/* The client: calls when it is told to. */
static void client(struct kid *kid)
{
	struct latency latency;
	struct ep ep;
	__s64 go;

	fifo(2);
	pin(0);
	if (dev_become(CLIENT, CLIENT) || ep_join_bus(&ep, dev_bus(), 0, 0, 0))
		_exit(2);
	while (!kid_hear(kid, &go)) {
		latency = call_some(&ep);
		kid_tell(kid, latency.median);
		kid_tell(kid, latency.high);
	}
	_exit(0);
}

/* JOIN without a mapping, as an offender needs none; the file, or -errno. */
static int join(__u32 pool_size)
{
	struct symphony_join join = {
		.size = sizeof(join),
		.name = (uintptr_t)dev_bus(),
		.name_len = strlen(dev_bus()),
		.pool_size = pool_size,
	};
	int fd = dev_open(), err;

	err = dev_ioctl(fd, SYMPHONY_IOC_JOIN, &join);
	if (!err)
		return fd;
	told[join.limit] = err;
	close(fd);
	return err;
}

static int attempt(struct ep *ep, __u64 handle, const void *body, __u32 len)
{
	struct symphony_call call = ep_request(handle, body, len);
	int err;

	call.reply_max = 1;
	call.deadline = 0;
	err = ep_send(ep, &call);
	if (err)
		told[call.limit] = err;
	return err;
}

static void fetch(struct ep *ep)
{
	__u32 offsets[SYMPHONY_BATCH_MAX];
	int nr = ep_recv(ep, offsets, SYMPHONY_BATCH_MAX, -1);

	while (nr > 0)
		ep_release_at(ep, offsets[--nr]);
}

static void flood_with(__u32 len)
{
	unsigned char *body = calloc(1, len + 1);
	struct ep ep = { .fd = join(0) };

	for (;;) {
		while (!attempt(&ep, svc, body, len))
			;
		attempt(&ep, svc, body, len + 1);
		fetch(&ep);
	}
}

static void flood_small(void)
{
	flood_with(8);
}

static void flood_large(void)
{
	flood_with(LARGEST);
}

static void never_fetch(void)
{
	struct ep ep = { .fd = join(8 * MIB) };

	for (;;)
		attempt(&ep, svc, "", 1);
}

static void fill_sink(void)
{
	struct ep ep = { .fd = join(8 * MIB) };

	for (;;)
		attempt(&ep, sink, NULL, 0);
}

static void next_subuid(int nr)
{
	if (syscall(SYS_setresuid, -1, 0, -1) || syscall(SYS_setresuid, -1, nr, -1))
		_exit(4);
}

/* As many endpoints as there can be; with @subuids each is another user's. */
static void flood_from_all(bool subuids)
{
	static struct ep eps[CROWD + 1];
	int nr = 0;

	for (;;) {
		if (subuids)
			next_subuid(nr);
		eps[nr].fd = join(SYMPHONY_POOL_MIN);
		if (eps[nr].fd >= 0) {
			nr++;
			continue;
		}
		for (int i = 0; i < nr; i++) {
			if (attempt(&eps[i], svc, "", 1))
				fetch(&eps[i]);
		}
	}
}

static void many_endpoints(void)
{
	flood_from_all(false);
}

static void many_subuids(void)
{
	if (syscall(SYS_setresuid, 0, 0, 0))
		_exit(5);
	flood_from_all(true);
}

FIXTURE(flood)
{
	struct server server;
	struct kid client, offender;
	bool counting;
	long endpoints_max, calls_max;	/* what they were */
};

FIXTURE_VARIANT(flood)
{
	void (*attack)(void);
	struct refusal told[3];	/* each of these, in the end */
	bool served;		/* after some answers */
	bool subuids;
};

FIXTURE_VARIANT_ADD(flood, small_messages) {
	.attack = flood_small,
	.told = { { SYMPHONY_LIMIT_SHARE, -EAGAIN } },
};

FIXTURE_VARIANT_ADD(flood, largest_bodies) {
	.attack = flood_large,
	.told = { { SYMPHONY_LIMIT_SHARE, -EAGAIN }, { SYMPHONY_LIMIT_BODY, -EMSGSIZE } },
};

FIXTURE_VARIANT_ADD(flood, outcomes_never_fetched) {
	.attack = never_fetch,
	.told = { { SYMPHONY_LIMIT_CALLS, -EDQUOT } },
	.served = true,
};

FIXTURE_VARIANT_ADD(flood, endpoint_that_never_receives) {
	.attack = fill_sink,
	.told = { { SYMPHONY_LIMIT_QUEUE, -EAGAIN } },
};

FIXTURE_VARIANT_ADD(flood, thousand_endpoints) {
	.attack = many_endpoints,
	.told = { { SYMPHONY_LIMIT_SHARE, -EAGAIN }, { SYMPHONY_LIMIT_USER_ENDPOINTS, -EDQUOT } },
};

FIXTURE_VARIANT_ADD(flood, thousand_subuids) {
	.attack = many_subuids,
	.told = { { SYMPHONY_LIMIT_SHARE, -EAGAIN }, { SYMPHONY_LIMIT_USER_ENDPOINTS, -EDQUOT } },
	.subuids = true,
};

FIXTURE_SETUP(flood)
{
	struct rlimit files = { 2 * CROWD, 2 * CROWD };

	dev_begin();
	pin(1);
	if (geteuid())
		SKIP(return, "needs root");
	self->counting = counting();
	told = mmap(NULL, NR_LIMITS * sizeof(*told), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, told);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	ASSERT_EQ(0, ep_join_bus(&self->server.ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, 0));
	ASSERT_EQ(0, ep_join_bus(&self->server.idle, dev_bus(), 0, 0, 0));
	ASSERT_EQ(0, ep_claim(&self->server.ep, "svc", &svc));
	ASSERT_EQ(0, ep_claim(&self->server.idle, "sink", &sink));
	if (!kid_fork(&self->client))
		client(&self->client);
	self->calls_max = self->endpoints_max = -1;
	if (dev_slow()) {
		self->endpoints_max = dev_param("user_endpoints_max", CROWD / 10);
		if (variant->served)
			self->calls_max = dev_param("calls_max", CROWD);
	}
}

FIXTURE_TEARDOWN(flood)
{
	if (self->endpoints_max >= 0)
		dev_param("user_endpoints_max", self->endpoints_max);
	if (self->calls_max >= 0)
		dev_param("calls_max", self->calls_max);
	kid_kill(&self->client, SIGKILL);
}

static struct latency measure(struct _test_data_flood *self, bool works)
{
	struct latency latency = {};

	server_start(&self->server, works);
	if (kid_tell(&self->client, 1) || kid_hear(&self->client, &latency.median) ||
	    kid_hear(&self->client, &latency.high))
		abort();
	server_stop(&self->server);
	return latency;
}

static int offender_start(struct kid *kid, const struct _fixture_variant_flood *variant)
{
	char map[64];

	if (!kid_fork(kid)) {
		if (dev_become(OFFENDER, OFFENDER) ||
		    (variant->subuids && kid_unshare(kid, CLONE_NEWUSER)))
			_exit(2);
		variant->attack();
	}
	snprintf(map, sizeof(map), "0 %d %d", SUBUIDS, CROWD + 1);
	return variant->subuids ? kid_map(kid, map) : 0;
}

/* Wait until the offender meets all its limits, from now on. */
static bool refused(const struct _fixture_variant_flood *variant)
{
	__u64 until = dev_after(DEV_LONG);
	const struct refusal *r;

	for (int i = 0; i < NR_LIMITS; i++)
		told[i] = 0;
	for (r = variant->told; r < variant->told + ARRAY_SIZE(variant->told); r++) {
		while (r->err && told[r->limit] != r->err) {
			if (dev_now() > until)
				return false;
			dev_nap(1);
		}
	}
	return true;
}

TEST_F(flood, delays_another_user_by_less_than_a_call)
{
	struct latency alone[2], beside;

	for (int works = 0; works < 2; works++)
		alone[works] = measure(self, works);
	ASSERT_EQ(0, offender_start(&self->offender, variant));
	if (variant->served) {
		server_start(&self->server, false);
		EXPECT_TRUE(refused(variant));
		server_stop(&self->server);
	}
	for (int works = 0; works < 2; works++) {
		for (int i = 0; i < (self->counting ? 1 : TRIES); i++) {
			EXPECT_TRUE(refused(variant));
			beside = measure(self, works);
			printf("# %s: median %lld after %lld, p99 %lld after %lld %s\n",
			       works ? "working" : "idle",
			       beside.median, alone[works].median,
			       beside.high, alone[works].high,
			       self->counting ? "instructions" : "ns");
			if (beside.median <= 2 * alone[works].median)
				break;
		}
		EXPECT_LE(beside.median, 2 * alone[works].median);
		if (self->counting) {
			EXPECT_LE(beside.high, 3 * alone[works].high);
		}
	}
	EXPECT_EQ(128 + SIGKILL, kid_kill(&self->offender, SIGKILL));
}

TEST_HARNESS_MAIN
