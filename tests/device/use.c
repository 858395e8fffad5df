// SPDX-License-Identifier: MIT
/*
 * What a user is said to use is what it uses: nothing is left on the account
 * by an operation that failed, a process that was killed, or what others keep.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <kselftest_harness.h>

#include "claim.h"

#define ALICE	1001
#define BOB	1002

struct use {
	__u64 buses, endpoints, pool, calls, services;
};

/* Of the calling user; without what keeps Alice's ledger. */
static struct use use(void)
{
	struct symphony_query q = dev_limits();
	int kept = geteuid() == ALICE;

	return (struct use){
		q.user_buses.used - kept, q.user_endpoints.used - kept,
		q.user_pool.used - kept * SYMPHONY_POOL_MIN,
		q.user_calls.used, q.user_services.used,
	};
}

static struct use use_of(uid_t uid)
{
	struct use got = {};
	struct kid kid;
	__s64 value;

	if (!kid_fork(&kid)) {
		if (dev_become(uid, uid))
			_exit(2);
		got = use();
		for (size_t i = 0; i < sizeof(got) / sizeof(__u64); i++)
			kid_tell(&kid, ((__u64 *)&got)[i]);
		_exit(0);
	}
	for (size_t i = 0; i < sizeof(got) / sizeof(__u64); i++)
		((__u64 *)&got)[i] = kid_hear(&kid, &value) ? -1 : value;
	kid_reap(&kid);
	return got;
}

#define EXPECT_USE(seen, nr_buses, nr_endpoints, pool_bytes, nr_calls, nr_services) do { \
	struct use is = (seen);						\
									\
	EXPECT_EQ(nr_buses, is.buses);					\
	EXPECT_EQ(nr_endpoints, is.endpoints);				\
	EXPECT_EQ(pool_bytes, is.pool);					\
	EXPECT_EQ(nr_calls, is.calls);					\
	EXPECT_EQ(nr_services, is.services);				\
} while (0)

#define EXPECT_UNUSED(seen)	EXPECT_USE(seen, 0, 0, 0, 0, 0)

FIXTURE(use)
{
	struct ep server;	/* root's, on a bus for everybody */
	__u64 svc;
	long calls, services, pool;	/* limits, as they were */
};

/*
 * A ledger that nobody is on is forgotten, with whatever was left on it by
 * mistake. So Alice has an endpoint on a bus of its own all the time.
 */
static int keep_ledger(void)
{
	struct kid keeper;
	struct ep ep;
	__s64 ret;

	if (!kid_fork(&keeper)) {
		ret = dev_become(ALICE, ALICE);
		/* The one of the test before ends with that test, in its own time. */
		for (int ms = 0; ms < DEV_LONG && dev_limits().user_pool.used; ms++)
			dev_nap(1);
		kid_tell(&keeper, ret ?:
				  ep_join_bus(&ep, "kept", SYMPHONY_JOIN_CREATE, 0,
					      SYMPHONY_POOL_MIN));
		for (;;)
			pause();
	}
	return kid_hear(&keeper, &ret) ?: ret;
}

FIXTURE_SETUP(use)
{
	dev_begin();
	self->calls = -1;
	if (geteuid())
		SKIP(return, "needs root");
	/* First, so that it inherits no files. */
	ASSERT_EQ(0, keep_ledger());
	ASSERT_EQ(0, ep_join_bus(&self->server, dev_bus(), SYMPHONY_JOIN_CREATE,
				 0666, 0));
	ASSERT_EQ(0, ep_claim(&self->server, "svc", &self->svc));
	self->pool = dev_param("user_pool_max", 4);
	self->services = dev_param("user_services_max", 8);
	self->calls = dev_param("user_calls_max", 64);
	ASSERT_GT(self->calls, 0);
}

FIXTURE_TEARDOWN_PARENT(use)
{
	if (self->calls > 0) {
		dev_param("user_pool_max", self->pool);
		dev_param("user_services_max", self->services);
		dev_param("user_calls_max", self->calls);
	}
}

/* In a kid, as Alice. */
#define AS_ALICE(kid)							\
	for (bool here = !kid_fork(kid) && !dev_become(ALICE, ALICE); here; _exit(0))

TEST_F(use, is_what_one_has)
{
	struct symphony_call call;
	struct kid kid;

	AS_ALICE(&kid) {
		struct ep a, b;
		__u64 handle;

		EXPECT_UNUSED(use());
		EXPECT_EQ(0, ep_join_bus(&a, "alices", SYMPHONY_JOIN_CREATE, 0, MIB));
		EXPECT_USE(use(), 1, 1, MIB, 0, 0);
		EXPECT_EQ(0, ep_join_bus(&b, "alices", SYMPHONY_JOIN_CREATE, 0,
					 SYMPHONY_POOL_MIN));
		EXPECT_USE(use(), 1, 2, MIB + SYMPHONY_POOL_MIN, 0, 0);
		EXPECT_EQ(0, ep_claim(&a, "one", &handle));
		EXPECT_EQ(0, ep_claim(&a, "two", &handle));
		EXPECT_EQ(0, ep_claim(&b, "two", &handle));
		EXPECT_USE(use(), 1, 2, MIB + SYMPHONY_POOL_MIN, 0, 2);
		call = ep_request(handle, NULL, 0);
		EXPECT_EQ(0, ep_send(&b, &call));
		/* Calls are charged in lots. */
		EXPECT_USE(use(), 1, 2, MIB + SYMPHONY_POOL_MIN, 32, 2);
		EXPECT_EQ(0, ep_unclaim(&a, handle));
		EXPECT_USE(use(), 1, 2, MIB + SYMPHONY_POOL_MIN, 32, 2);
		ep_close(&a);
		EXPECT_USE(use(), 1, 1, SYMPHONY_POOL_MIN, 32, 2);
		ep_close(&b);
		EXPECT_UNUSED(use());
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

static int join_raw(struct symphony_join *join)
{
	int fd = dev_open(), ret;

	ret = dev_ioctl(fd, SYMPHONY_IOC_JOIN, join);
	close(fd);
	return ret;
}

#define JOIN(bus, ...)							\
	(&(struct symphony_join){					\
		.size = sizeof(struct symphony_join),			\
		.name = (uintptr_t)(bus), .name_len = strlen(bus),	\
		__VA_ARGS__ })

TEST_F(use, is_none_after_a_join_that_failed)
{
	const __u32 excl = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL;
	struct symphony_join *join;
	struct ep closed;
	struct kid kid;

	ASSERT_EQ(0, ep_join_bus(&closed, "test-closed", SYMPHONY_JOIN_CREATE, 0600, 0));
	AS_ALICE(&kid) {
		EXPECT_EQ(-ENOENT, join_raw(JOIN("alices")));
		EXPECT_EQ(-EACCES, join_raw(JOIN("test-closed")));
		EXPECT_EQ(-EACCES, join_raw(JOIN("test-closed", .flags = SYMPHONY_JOIN_CREATE)));
		EXPECT_EQ(-EEXIST, join_raw(JOIN("test-closed", .flags = excl,
						 .reserve = (uintptr_t)"x\0y",
						 .reserve_len = 4)));
		EXPECT_EQ(-EINVAL, join_raw(JOIN("alices", .flags = excl,
						 .reserve = (uintptr_t)"x\0x",
						 .reserve_len = 4)));
		/* The last of what a JOIN takes is too much. */
		join = JOIN("alices", .flags = SYMPHONY_JOIN_CREATE, .pool_size = 5 * MIB);
		EXPECT_EQ(-EDQUOT, join_raw(join));
		EXPECT_EQ(SYMPHONY_LIMIT_USER_POOL, join->limit);
		/* It cannot be told what it got. */
		join = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*join = *JOIN("alices", .flags = excl, .reserve = (uintptr_t)"x\0y",
			      .reserve_len = 4);
		EXPECT_EQ(0, mprotect(join, 4096, PROT_READ));
		EXPECT_EQ(-EFAULT, join_raw(join));
		EXPECT_UNUSED(use());
		EXPECT_EQ(-ENOENT, join_raw(JOIN("alices")));
	}
	EXPECT_EQ(0, kid_reap(&kid));
	ep_close(&closed);
}

TEST_F(use, is_none_after_reserving_too_much)
{
	const __u32 excl = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL;
	static const char names[] = "a\0b\0c\0d\0e\0f\0g\0h\0i";
	struct symphony_join *join;
	struct kid kid;

	AS_ALICE(&kid) {
		join = JOIN("alices", .flags = excl, .reserve = (uintptr_t)names,
			    .reserve_len = sizeof(names));
		EXPECT_EQ(-EDQUOT, join_raw(join));
		EXPECT_EQ(SYMPHONY_LIMIT_USER_SERVICES, join->limit);
		EXPECT_UNUSED(use());
		/* Eight is what the fixture left. */
		EXPECT_EQ(0, join_raw(JOIN("alices", .flags = excl,
					   .reserve = (uintptr_t)names,
					   .reserve_len = sizeof(names) - 2)));
		EXPECT_UNUSED(use());
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(use, is_none_after_a_claim_that_failed)
{
	struct kid kid;

	AS_ALICE(&kid) {
		struct symphony_service takeover = {
			.size = sizeof(takeover),
			.flags = SYMPHONY_CLAIM_TAKEOVER,
			.name = (uintptr_t)"hers", .name_len = 4,
			.endpoint = ~0ULL,
		};
		struct ep ep;
		__u64 handle;

		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(-EPERM, ep_claim(&ep, "svc", &handle));
		EXPECT_EQ(-EINVAL, ep_claim(&ep, "SVC", &handle));
		EXPECT_EQ(-ESRCH, dev_ioctl(ep.fd, SYMPHONY_IOC_CLAIM, &takeover));
		EXPECT_EQ(-ENOENT, ep_resolve(&ep, "hers", &handle));
		EXPECT_USE(use(), 0, 1, SYMPHONY_POOL_MIN, 0, 0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(use, does_not_grow_by_calls_that_fail)
{
	struct kid kid;

	AS_ALICE(&kid) {
		struct symphony_call call;
		struct ep ep;
		__u64 dead;

		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(0, ep_claim(&ep, "dead", &dead));
		EXPECT_EQ(0, ep_unclaim(&ep, dead));
		for (int i = 0; i < 200; i++) {
			call = ep_request(self->svc, NULL, 0);
			call.handle = ~0ULL;
			EXPECT_EQ(-ENOENT, ep_send(&ep, &call));
			call.handle = dead;
			EXPECT_EQ(-ECONNREFUSED, ep_send(&ep, &call));
			call.handle = self->svc;
			call.body_len = 1;
			EXPECT_EQ(-EFAULT, ep_send(&ep, &call));
			call.body_len = 16 * MIB;
			EXPECT_EQ(-EMSGSIZE, ep_send(&ep, &call));
			call.body_len = 0;
			call.parent = 1;
			EXPECT_EQ(-ESRCH, ep_send(&ep, &call));
			call.parent = 0;
			call.reply_max = MIB;
			EXPECT_EQ(-EMSGSIZE, ep_send(&ep, &call));
			EXPECT_EQ(SYMPHONY_LIMIT_REPLY, call.limit);
		}
		EXPECT_LE(use().calls, 32);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(use, counts_outcomes_not_fetched)
{
	struct kid kid;

	AS_ALICE(&kid) {
		const struct symphony_msg *msg;
		struct symphony_call call;
		struct ep ep;
		int ret, nr = 0;

		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, MIB));
		do {
			call = ep_request(self->svc, NULL, 0);
			call.reply_max = 1;
			ret = ep_send(&ep, &call);
			nr += !ret;
		} while (!ret);
		EXPECT_EQ(64, nr);
		EXPECT_EQ(-EDQUOT, ret);
		/* Root answers all of them. */
		kid_tell(&kid, 0);
		kid_hear(&kid, (__s64[1]){});
		EXPECT_EQ(64, use().calls);
		EXPECT_EQ(-EDQUOT, ep_send(&ep, &call));
		EXPECT_EQ(SYMPHONY_LIMIT_USER_CALLS, call.limit);
		EXPECT_EQ(-EDQUOT, ep_call(&ep, &call));
		EXPECT_EQ(SYMPHONY_LIMIT_USER_CALLS, call.limit);
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_EQ(0, ep_release(&ep, msg));
		EXPECT_EQ(0, ep_send(&ep, &call));
		EXPECT_EQ(0, ep_cancel(&ep, call.id, call.slot));
		for (nr = 0; nr < 64; nr++)
			ep_release(&ep, ep_next(&ep, DEV_LONG));
		EXPECT_EQ(32, use().calls);
	}
	ASSERT_EQ(0, kid_hear(&kid, (__s64[1]){}));
	for (int i = 0; i < 64; i++) {
		ASSERT_EQ(0, ep_reply(&self->server, ep_next(&self->server, DEV_LONG),
				      NULL, 0, SYMPHONY_REPLY_RELEASE));
	}
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(use, counts_the_wish_to_hear_of_room)
{
	static const char body[12 << 10];
	struct kid kid;

	AS_ALICE(&kid) {
		struct symphony_call call;
		struct ep ep;
		int nr = 0;

		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, MIB));
		for (;; nr++) {
			call = ep_request(self->svc, body, sizeof(body));
			call.reply_max = 1;
			if (ep_send(&ep, &call))
				break;
		}
		/* Of two lots, so that another call is charged already. */
		EXPECT_GT(nr, 32);
		EXPECT_LT(nr, 64);
		EXPECT_EQ(-EAGAIN, ep_send(&ep, &call));
		call.flags = SYMPHONY_CALL_NOTIFY;
		EXPECT_EQ(-EDQUOT, ep_send(&ep, &call));
		EXPECT_EQ(SYMPHONY_LIMIT_USER_CALLS, call.limit);
		EXPECT_EQ(64, use().calls);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

/* SEND requests without an answer until there is no room, with @flags at the end. */
static int fill(struct ep *ep, __u64 svc, __u32 flags)
{
	static const char body[12 << 10];
	struct symphony_call call;
	int ret;

	do {
		call = ep_request(svc, body, sizeof(body));
		call.flags = SYMPHONY_CALL_ONEWAY;
		call.reply_max = 0;
		call.deadline = 0;
		ret = ep_send(ep, &call);
	} while (!ret);
	if (!flags)
		return ret;
	call.flags |= flags;
	return ep_send(ep, &call);
}

/* Nobody can be told any more. */
TEST_F(use, is_none_of_wishes_of_the_dead)
{
	struct kid kid;

	/* Of three lots, one for each endpoint that calls. */
	dev_param("user_calls_max", 100);
	AS_ALICE(&kid) {
		struct ep server, filler, ep;
		__u64 svc;

		EXPECT_EQ(0, ep_join_bus(&server, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(0, ep_claim(&server, "stuck", &svc));
		EXPECT_EQ(0, ep_join_bus(&filler, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(-EAGAIN, fill(&filler, svc, 0));
		EXPECT_EQ(32, use().calls);
		for (int i = 0; i < 100; i++) {
			EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
			EXPECT_EQ(-EAGAIN, fill(&ep, svc, SYMPHONY_CALL_NOTIFY));
			ep_close(&ep);
			EXPECT_EQ(32, use().calls);
			EXPECT_EQ(1, dev_limits().user_records.used);
		}
		ep_close(&filler);
		ep_close(&server);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(use, counts_notices_until_they_are_received)
{
	struct kid kid;

	AS_ALICE(&kid) {
		struct ep server, client, other;
		struct symphony_call call;
		__u64 svc, act;

		EXPECT_EQ(0, ep_join_bus(&server, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(0, ep_join_bus(&client, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(0, ep_join_bus(&other, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		/* ROOM counts as a call. */
		EXPECT_EQ(0, ep_claim_with(&server, "svc-a", SYMPHONY_CLAIM_NOTIFY, 0, &svc));
		EXPECT_EQ(-EAGAIN, fill(&client, svc, SYMPHONY_CALL_NOTIFY));
		EXPECT_EQ(33, use().calls);
		for (const struct symphony_msg *msg; (msg = ep_next(&server, -1)); )
			EXPECT_EQ(0, ep_release(&server, msg));
		EXPECT_TRUE(dev_until(use().calls == 33));
		dev_nap(20);
		EXPECT_EQ(33, use().calls);
		EXPECT_EQ(0, ep_release(&client, ep_expect(&client, SYMPHONY_MSG_ROOM, 0)));
		EXPECT_EQ(32, use().calls);
		/* CANCELLED counts as a record of the server, beside the client's. */
		EXPECT_EQ(1, dev_limits().user_records.used);
		call = ep_request(svc, NULL, 0);
		EXPECT_EQ(0, ep_send(&client, &call));
		EXPECT_EQ(0, ep_release(&server, ep_next(&server, DEV_LONG)));
		EXPECT_EQ(0, ep_cancel(&client, call.id, call.slot));
		EXPECT_EQ(2, dev_limits().user_records.used);
		ep_expect(&server, SYMPHONY_MSG_CANCELLED, 0);
		EXPECT_EQ(1, dev_limits().user_records.used);
		/* GONE is a record, as its watch was. */
		EXPECT_EQ(0, ep_watch(&server, client.id, 0, 0));
		EXPECT_EQ(2, dev_limits().user_records.used);
		ep_close(&client);
		EXPECT_EQ(1, dev_limits().user_records.used);
		ep_expect(&server, SYMPHONY_MSG_GONE, 0);
		EXPECT_EQ(0, dev_limits().user_records.used);
		/* TAKEOVER is a claim, as the one that was taken over. */
		EXPECT_EQ(1, dev_limits().user_claims.used);
		EXPECT_EQ(0, ep_claim_with(&other, "svc-a", SYMPHONY_CLAIM_TAKEOVER, 0, &svc));
		EXPECT_EQ(2, dev_limits().user_claims.used);
		ep_expect(&server, SYMPHONY_MSG_TAKEOVER, 0);
		EXPECT_EQ(1, dev_limits().user_claims.used);
		/* ACTIVATE is another claim, however often it is told. */
		EXPECT_EQ(0, ep_claim_with(&server, "svc-b", SYMPHONY_CLAIM_ACTIVATOR, 0, &act));
		EXPECT_EQ(3, dev_limits().user_claims.used);
		for (int i = 0; i < 3; i++) {
			call = ep_request(act, NULL, 0);
			EXPECT_EQ(0, ep_send(&other, &call));
			ep_expect(&server, SYMPHONY_MSG_ACTIVATE, 0);
			EXPECT_EQ(3, dev_limits().user_claims.used);
			EXPECT_EQ(0, ep_claim(&other, "svc-b", &act));
			ep_release(&other, ep_next(&other, DEV_LONG));
			EXPECT_EQ(0, ep_unclaim(&other, act));
		}
		EXPECT_EQ(0, ep_unclaim(&server, act));
		EXPECT_EQ(1, dev_limits().user_claims.used);
		ep_close(&other);
		ep_close(&server);
		EXPECT_EQ(0, dev_limits().user_claims.used);
		EXPECT_EQ(0, dev_limits().user_records.used);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

/* Whatever the activator does not receive, there is one notice. */
TEST_F(use, of_an_activator_does_not_grow_with_what_it_is_not_told)
{
	struct kid kid;

	AS_ALICE(&kid) {
		struct symphony_call call;
		struct ep activator, ep;
		__u64 svc;
		int nr = 0;

		EXPECT_EQ(0, ep_join_bus(&activator, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		EXPECT_EQ(0, ep_claim_with(&activator, "svc-b", SYMPHONY_CLAIM_ACTIVATOR, 0,
					   &svc));
		for (int i = 0; i < 100; i++) {
			call = ep_request(svc, NULL, 0);
			call.reply_max = 1;
			EXPECT_EQ(0, ep_send(&ep, &call));
			EXPECT_EQ(0, ep_claim(&ep, "svc-b", &svc));
			ep_release(&ep, ep_next(&ep, DEV_LONG));
			EXPECT_EQ(0, ep_unclaim(&ep, svc));
			EXPECT_EQ(0, ep_cancel(&ep, call.id, call.slot));
			ep_release(&ep, ep_next(&ep, DEV_LONG));
		}
		while (ep_next(&activator, -1))
			nr++;
		EXPECT_EQ(1, nr);
		ep_close(&ep);
		ep_close(&activator);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(use, of_records_ends_with_either_side)
{
	struct kid kid;

	AS_ALICE(&kid) {
		struct ep server, client;
		struct symphony_call call;
		const struct symphony_msg *msg;
		__u64 svc;

		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(0, ep_join_bus(&server, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
			EXPECT_EQ(0, ep_claim(&server, "svc-a", &svc));
			EXPECT_EQ(0, ep_join_bus(&client, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
			call = ep_request(svc, NULL, 0);
			call.flags = SYMPHONY_CALL_ONEWAY;
			call.reply_max = 0;
			EXPECT_EQ(0, ep_send(&client, &call));
			EXPECT_EQ(1, dev_limits().user_records.used);
			if (i == 0) {
				/* What it sent keeps the record of a dead sender. */
				ep_close(&client);
				EXPECT_EQ(1, dev_limits().user_records.used);
				msg = ep_next(&server, DEV_LONG);
				EXPECT_EQ(1, dev_limits().user_records.used);
				EXPECT_EQ(0, ep_release(&server, msg));
			} else if (i == 1) {
				EXPECT_EQ(0, ep_release(&server, ep_next(&server, DEV_LONG)));
				EXPECT_EQ(1, dev_limits().user_records.used);
				ep_close(&client);
			} else {
				ep_close(&server);
			}
			EXPECT_EQ(0, dev_limits().user_records.used);
			ep_close(&server);
			ep_close(&client);
		}
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

/* Everything that is charged, as fast as it can. */
static void hurry(__u64 svc)
{
	struct symphony_call call;
	struct ep own, ep;
	__u64 handle;

	for (;;) {
		ep_join_bus(&own, "alices", SYMPHONY_JOIN_CREATE, 0, SYMPHONY_POOL_MIN);
		ep_join_bus(&ep, dev_bus(), 0, 0, SYMPHONY_POOL_MIN);
		ep_claim(&own, "hers", &handle);
		call = ep_request(svc, NULL, 0);
		call.reply_max = 1;
		ep_send(&ep, &call);
		call.deadline = dev_after(1);
		ep_call(&ep, &call);
		ep_close(&ep);
		ep_close(&own);
	}
}

TEST_F(use, is_none_after_sigkill_in_the_middle)
{
	for (int i = 0; i < (dev_slow() ? 10 : 40); i++) {
		struct kid kids[2];

		for (size_t k = 0; k < ARRAY_SIZE(kids); k++) {
			AS_ALICE(&kids[k])
				hurry(self->svc);
		}
		dev_nap(i);
		for (size_t k = 0; k < ARRAY_SIZE(kids); k++) {
			EXPECT_EQ(128 + SIGKILL, kid_kill(&kids[k], SIGKILL));
		}
		EXPECT_UNUSED(use_of(ALICE));
	}
}

TEST_F(use, is_none_of_the_dead_whatever_others_keep)
{
	struct symphony_call call;
	struct kid kid;
	__s64 handle;
	int fd;

	AS_ALICE(&kid) {
		struct ep ep;
		__u64 hers = 0;

		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, MIB));
		EXPECT_EQ(0, ep_claim(&ep, "hers", &hers));
		kid_pass(&kid, ep.fd);
		kid_tell(&kid, hers);
		pause();
	}
	fd = kid_take(&kid);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kid_hear(&kid, &handle));
	call = ep_request(handle, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->server, &call));
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	/* Root has her file, and an outcome that it does not fetch. */
	EXPECT_USE(use_of(ALICE), 0, 0, 0, 0, 1);
	close(fd);
	EXPECT_USE(use_of(ALICE), 0, 0, 0, 0, 1);
	ep_close(&self->server);
	EXPECT_UNUSED(use_of(ALICE));
}

/* A child can have the mapping of a dead endpoint: it goes on counting. */
TEST_F(use, is_what_a_child_has_of_a_pool)
{
	struct kid alice;

	AS_ALICE(&alice) {
		struct kid owner;
		struct ep ep;
		__s64 pid = 0;

		/* So that it can wait for the owner's child. */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		if (!kid_fork(&owner)) {
			EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, MIB));
			/* 7.3 refuses. */
			if (!madvise((void *)ep.pool, ep.size, MADV_DOFORK)) {
				pid = fork();
				if (!pid) {
					close(ep.fd);
					for (;;)
						pause();
				}
			}
			kid_tell(&owner, pid);
			_exit(0);
		}
		EXPECT_EQ(0, kid_hear(&owner, &pid));
		EXPECT_EQ(0, kid_reap(&owner));
		EXPECT_USE(use(), 0, 0, pid ? MIB : 0, 0, 0);
		if (pid) {
			EXPECT_EQ(0, kill(pid, SIGKILL));
			EXPECT_EQ(pid, waitpid(pid, NULL, 0));
			EXPECT_UNUSED(use());
		}
	}
	EXPECT_EQ(0, kid_reap(&alice));
}

static int join_and_exit(void *ep)
{
	return ep_join_bus(ep, dev_bus(), 0, 0, MIB);
}

/* So can a process with the memory of one that exited. */
TEST_F(use, is_what_shared_memory_has_of_a_pool)
{
	struct kid kid;

	AS_ALICE(&kid) {
		static char stack[64 << 10] __attribute__((aligned(16)));
		struct ep ep = {};
		int status;
		pid_t pid;

		pid = clone(join_and_exit, stack + sizeof(stack), CLONE_VM | SIGCHLD, &ep);
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_USE(use(), 0, 0, MIB, 0, 0);
		EXPECT_EQ(0, munmap((void *)ep.pool, ep.size));
		EXPECT_UNUSED(use());
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(use, in_nested_namespaces_is_each_owners)
{
	struct kid outer;
	int ret;

	if (!kid_fork(&outer)) {
		struct ep ep;
		struct kid inner;

		/* Alice's, in which 7 has one, in which it is 3. */
		if (dev_become(ALICE, ALICE) || kid_unshare(&outer, CLONE_NEWUSER))
			_exit(1);
		if (!kid_fork(&inner)) {
			EXPECT_EQ(0, dev_become(7, 7));
			EXPECT_EQ(0, unshare(CLONE_NEWUSER));
			EXPECT_EQ(0, dev_write("/proc/self/uid_map", "3 7 1"));
			EXPECT_EQ(0, ep_join_bus(&ep, "inner", SYMPHONY_JOIN_CREATE,
						 0, SYMPHONY_POOL_MIN));
			EXPECT_USE(use(), 1, 1, SYMPHONY_POOL_MIN, 0, 0);
			kid_tell(&inner, 0);
			pause();
		}
		EXPECT_EQ(0, kid_hear(&inner, (__s64[1]){}));
		EXPECT_EQ(0, dev_become(5, 5));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, MIB));
		EXPECT_USE(use(), 0, 1, MIB, 0, 0);
		kid_tell(&outer, 0);
		pause();
	}
	ret = kid_map(&outer, "0 100000 1000");
	if (ret)
		SKIP(return, "no user namespaces (%d)", ret);
	ASSERT_EQ(0, kid_hear(&outer, (__s64[1]){}));
	EXPECT_USE(use_of(ALICE), 1, 2, MIB + SYMPHONY_POOL_MIN, 0, 0);
	EXPECT_USE(use_of(100007), 1, 1, SYMPHONY_POOL_MIN, 0, 0);
	EXPECT_USE(use_of(100005), 0, 1, MIB, 0, 0);
	EXPECT_UNUSED(use_of(100000));
	EXPECT_UNUSED(use_of(BOB));
	kid_kill(&outer, SIGKILL);
	for (int ms = 0; ms < DEV_LONG && use_of(ALICE).pool; ms += 10)
		dev_nap(10);
	EXPECT_UNUSED(use_of(ALICE));
	EXPECT_UNUSED(use_of(100007));
}

TEST_F(use, in_a_namespace_of_roots_is_roots)
{
	struct use before = use();
	struct kid kid;
	struct ep ep;
	int ret;

	if (!kid_fork(&kid)) {
		if (kid_unshare(&kid, CLONE_NEWUSER) || dev_become(5, 5))
			_exit(1);
		EXPECT_EQ(0, ep_join_bus(&ep, "inner", SYMPHONY_JOIN_CREATE, 0, MIB));
		kid_tell(&kid, 0);
		pause();
	}
	ret = kid_map(&kid, "0 100000 1000");
	if (ret)
		SKIP(return, "no user namespaces (%d)", ret);
	ASSERT_EQ(0, kid_hear(&kid, (__s64[1]){}));
	EXPECT_USE(use(), before.buses + 1, before.endpoints + 1, before.pool + MIB,
		   before.calls, before.services);
	EXPECT_USE(use_of(100005), 1, 1, MIB, 0, 0);
	kid_kill(&kid, SIGKILL);
	EXPECT_TRUE(dev_until(!memcmp(&before, (struct use[1]){ use() }, sizeof(before))));
}

TEST_HARNESS_MAIN
