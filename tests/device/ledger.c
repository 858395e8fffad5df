// SPDX-License-Identifier: MIT
/*
 * Every limit of a user stops the user at exactly that, says which it was, and
 * counts the users of its user namespaces with it; others do not notice.
 */
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

#define ALICE	1001
#define BOB	1002
#define SUBUIDS	"0 100000 1000"

/* What a user took, of the kind that a variant is about. */
struct tenant {
	struct ep ep;		/* where calls and services are taken from */
	int nr;
	int fds[64];
	struct { __u64 id; __u32 slot; } calls[256];
};

static int join(int *fd, const char *bus, __u32 flags, __u32 pool_size,
		__u32 *limit)
{
	struct symphony_join join = {
		.size = sizeof(join),
		.flags = flags,
		.name = (uintptr_t)bus,
		.name_len = strlen(bus),
		.pool_size = pool_size,
	};
	int ret;

	*fd = dev_open();
	if (*fd < 0)
		return *fd;
	ret = dev_ioctl(*fd, SYMPHONY_IOC_JOIN, &join);
	*limit = join.limit;
	if (ret)
		close(*fd);
	return ret;
}

static int take_bus(struct tenant *t, __u32 *limit)
{
	char name[SYMPHONY_NAME_MAX];

	snprintf(name, sizeof(name), "%s-%d-%d", dev_bus(), getpid(), t->nr);
	return join(&t->fds[t->nr], name, SYMPHONY_JOIN_CREATE,
		    SYMPHONY_POOL_MIN, limit);
}

static int take_endpoint(struct tenant *t, __u32 *limit)
{
	return join(&t->fds[t->nr], dev_bus(), 0, SYMPHONY_POOL_MIN, limit);
}

static int take_pool(struct tenant *t, __u32 *limit)
{
	return join(&t->fds[t->nr], dev_bus(), 0, MIB, limit);
}

static int drop_file(struct tenant *t)
{
	return close(t->fds[t->nr - 1]);
}

static int have_endpoint(struct tenant *t)
{
	return t->ep.pool ? 0 : ep_join_bus(&t->ep, dev_bus(), 0, 0, 0);
}

static int take_call_with(struct tenant *t, __u32 *limit, __u32 nr_fds)
{
	struct symphony_call call = ep_request(0, NULL, 0);
	int ret = have_endpoint(t) ?: ep_resolve(&t->ep, "svc", &call.handle);
	int file = STDERR_FILENO;

	call.fds = (uintptr_t)&file;
	call.nr_fds = nr_fds;
	call.deadline = 0;
	call.reply_max = 1;
	ret = ret ?: ep_send(&t->ep, &call);
	t->calls[t->nr].id = call.id;
	t->calls[t->nr].slot = call.slot;
	*limit = call.limit;
	return ret;
}

static int take_call(struct tenant *t, __u32 *limit)
{
	return take_call_with(t, limit, 0);
}

static int take_file(struct tenant *t, __u32 *limit)
{
	return take_call_with(t, limit, 1);
}

static int drop_call(struct tenant *t)
{
	int last = t->nr - 1;
	int ret = ep_cancel(&t->ep, t->calls[last].id, t->calls[last].slot);
	const struct symphony_msg *msg = ret ? NULL : ep_next(&t->ep, DEV_LONG);

	return msg ? ep_release(&t->ep, msg) : ret ?: -errno;
}

static int take_service(struct tenant *t, __u32 *limit)
{
	char name[SYMPHONY_NAME_MAX];
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)name,
		.name_len = snprintf(name, sizeof(name), "svc-%d-%d", getpid(),
				     t->nr),
	};
	int ret = have_endpoint(t) ?:
		  dev_ioctl(t->ep.fd, SYMPHONY_IOC_CLAIM, &service);

	*limit = service.limit;
	return ret;
}

/* A name that another endpoint of the bus claimed, so that only claims count. */
static int take_claim(struct tenant *t, __u32 *limit)
{
	struct symphony_service service = { .size = sizeof(service) };
	char name[SYMPHONY_NAME_MAX];
	int ret = have_endpoint(t);

	service.name = (uintptr_t)name;
	service.name_len = snprintf(name, sizeof(name), "svc-%d-%d", getpid(), t->nr);
	ret = ret ?: dev_ioctl(t->ep.fd, SYMPHONY_IOC_CLAIM, &service);
	t->calls[t->nr].id = service.handle;
	*limit = service.limit;
	return ret;
}

static int drop_claim(struct tenant *t)
{
	return ep_unclaim(&t->ep, t->calls[t->nr - 1].id);
}

/* Each is sent to by an endpoint of its own; that is dropped with what it sent. */
static int take_lane(struct tenant *t, __u32 *limit)
{
	struct symphony_call call = ep_request(0, NULL, 0);
	struct ep ep = {};
	int ret = ep_join_bus(&ep, dev_bus(), 0, 0, SYMPHONY_POOL_MIN);

	if (!ret) {
		munmap((void *)ep.pool, ep.size);
		ret = ep_resolve(&ep, "svc", &call.handle) ?: ep_send(&ep, &call);
	}
	if (ret && ep.pool)
		close(ep.fd);
	t->fds[t->nr] = ep.fd;
	*limit = call.limit;
	return ret;
}

static int take_watch(struct tenant *t, __u32 *limit)
{
	struct ep target;
	int ret = have_endpoint(t) ?:
		  ep_join_bus(&target, dev_bus(), 0, 0, SYMPHONY_POOL_MIN);

	if (ret)
		return ret;
	munmap((void *)target.pool, target.size);
	ret = ep_watch(&t->ep, target.id, 0, 0);
	*limit = ret == -EDQUOT ? SYMPHONY_LIMIT_USER_RECORDS : 0;
	if (ret)
		close(target.fd);
	t->fds[t->nr] = target.fd;
	t->calls[t->nr].id = target.id;
	return ret;
}

static int drop_watch(struct tenant *t)
{
	int ret = ep_watch(&t->ep, t->calls[t->nr - 1].id, 0, SYMPHONY_WATCH_REMOVE);

	close(t->fds[t->nr - 1]);
	return ret;
}

/* A target that died is counted until the watcher received that. */
static int drop_gone(struct tenant *t)
{
	const struct symphony_msg *msg;

	close(t->fds[t->nr - 1]);
	msg = ep_next(&t->ep, DEV_LONG);
	return msg ? ep_release(&t->ep, msg) : -errno;
}

FIXTURE(ledger)
{
	struct ep server;	/* on a bus for everybody */
	__u64 svc;
	long before;		/* the limit */
};

FIXTURE_VARIANT(ledger)
{
	const char *param;
	long max;		/* what it is set to */
	int fits;		/* how many can be had then */
	int lot;		/* how many are charged at once */
	enum symphony_limit limit;
	size_t use;		/* of struct symphony_query */
	__u64 used;		/* when it is full */
	int (*take)(struct tenant *t, __u32 *limit);
	int (*drop)(struct tenant *t);	/* NULL: until the bus goes */
};

FIXTURE_VARIANT_ADD(ledger, buses) {
	.param = "user_buses_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_BUSES,
	.use = offsetof(struct symphony_query, user_buses), .used = 4,
	.take = take_bus, .drop = drop_file,
};
FIXTURE_VARIANT_ADD(ledger, endpoints) {
	.param = "user_endpoints_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_ENDPOINTS,
	.use = offsetof(struct symphony_query, user_endpoints), .used = 4,
	.take = take_endpoint, .drop = drop_file,
};
FIXTURE_VARIANT_ADD(ledger, pool_bytes) {
	.param = "user_pool_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_POOL,
	.use = offsetof(struct symphony_query, user_pool), .used = 4 * MIB,
	.take = take_pool, .drop = drop_file,
};
FIXTURE_VARIANT_ADD(ledger, calls) {
	.param = "user_calls_max", .max = 130, .fits = 128, .lot = 32,
	.limit = SYMPHONY_LIMIT_USER_CALLS,
	.use = offsetof(struct symphony_query, user_calls), .used = 128,
	.take = take_call, .drop = drop_call,
};
FIXTURE_VARIANT_ADD(ledger, files) {
	.param = "user_files_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_FILES,
	.use = offsetof(struct symphony_query, user_files), .used = 4,
	.take = take_file, .drop = drop_call,
};
FIXTURE_VARIANT_ADD(ledger, services) {
	.param = "user_services_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_SERVICES,
	.use = offsetof(struct symphony_query, user_services), .used = 4,
	.take = take_service,
};

FIXTURE_VARIANT_ADD(ledger, claims) {
	.param = "user_claims_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_CLAIMS,
	.use = offsetof(struct symphony_query, user_claims), .used = 4,
	.take = take_claim, .drop = drop_claim,
};
FIXTURE_VARIANT_ADD(ledger, lanes) {
	.param = "user_records_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_RECORDS,
	.use = offsetof(struct symphony_query, user_records), .used = 4,
	.take = take_lane, .drop = drop_file,
};
FIXTURE_VARIANT_ADD(ledger, watches) {
	.param = "user_records_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_RECORDS,
	.use = offsetof(struct symphony_query, user_records), .used = 4,
	.take = take_watch, .drop = drop_watch,
};
FIXTURE_VARIANT_ADD(ledger, gone) {
	.param = "user_records_max", .max = 4, .fits = 4, .lot = 1,
	.limit = SYMPHONY_LIMIT_USER_RECORDS,
	.use = offsetof(struct symphony_query, user_records), .used = 4,
	.take = take_watch, .drop = drop_gone,
};

FIXTURE_SETUP(ledger)
{
	dev_begin();
	self->before = -1;
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join_bus(&self->server, dev_bus(), SYMPHONY_JOIN_CREATE,
				 0666, 0));
	ASSERT_EQ(0, ep_claim(&self->server, "svc", &self->svc));
	self->before = dev_param(variant->param, variant->max);
	ASSERT_GT(self->before, 0);
}

/* Also when the test was killed. */
FIXTURE_TEARDOWN_PARENT(ledger)
{
	if (self->before > 0)
		dev_param(variant->param, self->before);
}

enum order { TAKE, TAKE_ALL, DROP };

/* An error, and which limit it was about, in one number. */
static __s64 verdict(int err, __u32 limit)
{
	return err ? err - 1000LL * limit : 0;
}

static __s64 obey_one(struct tenant *t, enum order order,
		      const FIXTURE_VARIANT(ledger) *variant)
{
	__u32 limit = 0;
	int ret;

	switch (order) {
	case TAKE:
		ret = variant->take(t, &limit);
		t->nr += !ret;
		return verdict(ret, limit);
	case TAKE_ALL:
		while (!variant->take(t, &limit))
			t->nr++;
		return t->nr;
	default:
		ret = variant->drop(t);
		t->nr--;
		return ret;
	}
}

/* A process of @uid that takes and drops as it is told. */
static void start(struct kid *kid, uid_t uid,
		  const FIXTURE_VARIANT(ledger) *variant)
{
	struct tenant tenant = {};
	__s64 order;

	if (kid_fork(kid))
		return;
	if (dev_become(uid, uid))
		_exit(2);
	while (!kid_hear(kid, &order))
		kid_tell(kid, obey_one(&tenant, order, variant));
	_exit(0);
}

static __s64 answer(struct kid *kid)
{
	__s64 value;

	return kid_hear(kid, &value) ? -EPROTO : value;
}

static __s64 tell(struct kid *kid, enum order order)
{
	kid_tell(kid, order);
	return answer(kid);
}

static __u64 use_of(uid_t uid, size_t use)
{
	struct kid kid;
	__s64 used;

	if (!kid_fork(&kid)) {
		struct symphony_query query;

		if (dev_become(uid, uid))
			_exit(2);
		query = dev_limits();
		memcpy(&used, (char *)&query + use, sizeof(used));
		kid_tell(&kid, used);
		_exit(0);
	}
	used = answer(&kid);
	kid_reap(&kid);
	return used;
}

TEST_F(ledger, stops_a_user_at_its_maximum)
{
	__s64 full = verdict(-EDQUOT, variant->limit);
	struct kid alice, bob;

	start(&alice, ALICE, variant);
	start(&bob, BOB, variant);
	for (int i = 0; i < variant->fits; i++) {
		ASSERT_EQ(0, tell(&alice, TAKE)) TH_LOG("number %d", i);
	}
	EXPECT_EQ(variant->used, use_of(ALICE, variant->use));
	EXPECT_EQ(full, tell(&alice, TAKE));
	EXPECT_EQ(full, tell(&alice, TAKE));
	EXPECT_EQ(variant->used, use_of(ALICE, variant->use));
	EXPECT_EQ(0, tell(&bob, TAKE));
	for (int i = 0; variant->drop && i < 3; i++) {
		EXPECT_EQ(0, tell(&alice, DROP));
		EXPECT_EQ(0, tell(&alice, TAKE));
		EXPECT_EQ(full, tell(&alice, TAKE));
	}
	kid_kill(&alice, SIGKILL);
	kid_kill(&bob, SIGKILL);
}

TEST_F(ledger, has_it_all_back_from_the_dead)
{
	struct kid alice;

	for (int i = 0; i < 3; i++) {
		start(&alice, ALICE, variant);
		ASSERT_EQ(variant->fits, tell(&alice, TAKE_ALL));
		EXPECT_EQ(128 + SIGKILL, kid_kill(&alice, SIGKILL));
		/* A service goes with its bus. */
		if (!variant->drop) {
			ep_close(&self->server);
			ASSERT_EQ(0, ep_join_bus(&self->server, dev_bus(),
						 SYMPHONY_JOIN_CREATE, 0666, 0));
		}
		EXPECT_EQ(0, use_of(ALICE, variant->use));
	}
}

TEST_F(ledger, is_not_passed_by_racing_for_it)
{
	struct kid kids[4];
	int total = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
		start(&kids[i], ALICE, variant);
	for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
		kid_tell(&kids[i], TAKE_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
		total += answer(&kids[i]);
	EXPECT_EQ(variant->fits, total);
	for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
		kid_kill(&kids[i], SIGKILL);
}

TEST_F(ledger, holds_for_a_namespaces_users_together)
{
	static const uid_t subuids[] = { 0, 1, 500, 999 };
	__s64 full = verdict(-EDQUOT, variant->limit);
	struct kid ns, kids[ARRAY_SIZE(subuids)];
	int ret;

	if (!kid_fork(&ns)) {
		if (dev_become(ALICE, ALICE) || kid_unshare(&ns, CLONE_NEWUSER))
			_exit(1);
		for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
			start(&kids[i], subuids[i], variant);
		for (int i = 0; i < variant->fits; i++) {
			size_t whose = i / variant->lot % ARRAY_SIZE(kids);

			EXPECT_EQ(0, tell(&kids[whose], TAKE))
				TH_LOG("number %d", i);
		}
		/* Each has a part of it; together they have what is Alice's. */
		for (size_t i = 0; i < ARRAY_SIZE(kids); i++) {
			EXPECT_EQ(full, tell(&kids[i], TAKE));
		}
		kid_tell(&ns, 0);
		kid_hear(&ns, (__s64[1]){});
		for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
			kid_kill(&kids[i], SIGKILL);
		_exit(0);
	}
	ret = kid_map(&ns, SUBUIDS);
	if (ret)
		SKIP(return, "no user namespaces (%d)", ret);
	ASSERT_EQ(0, answer(&ns));
	EXPECT_EQ(variant->used, use_of(ALICE, variant->use));
	EXPECT_EQ(variant->used / 4, use_of(100500, variant->use));
	start(&kids[0], ALICE, variant);
	start(&kids[1], BOB, variant);
	EXPECT_EQ(full, tell(&kids[0], TAKE));
	EXPECT_EQ(0, tell(&kids[1], TAKE));
	kid_kill(&kids[0], SIGKILL);
	kid_kill(&kids[1], SIGKILL);
	kid_tell(&ns, 0);
	EXPECT_EQ(0, kid_reap(&ns));
}

static int drop_capability(int cap)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &header, caps))
		return -errno;
	caps[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	return syscall(SYS_capset, &header, caps) ? -errno : 0;
}

TEST_F(ledger, is_for_those_without_cap_sys_resource)
{
	struct tenant tenant = {};
	struct kid root;

	if (!kid_fork(&root)) {
		/* Root's, of which the fixture has some. */
		for (int i = 0; i < variant->fits + variant->lot; i++) {
			EXPECT_EQ(0, obey_one(&tenant, TAKE, variant));
		}
		EXPECT_EQ(0, drop_capability(CAP_SYS_RESOURCE));
		EXPECT_EQ(verdict(-EDQUOT, variant->limit),
			  obey_one(&tenant, TAKE, variant));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&root));
}

TEST_HARNESS_MAIN
