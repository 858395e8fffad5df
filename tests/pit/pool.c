// SPDX-License-Identifier: MIT
/* What pool_manager promises about room, turns, leases and models. */
#include <errno.h>
#include <string.h>
#include <kselftest_harness.h>

#include "expect.h"

FIXTURE(pool)
{
	struct sim *sim;
};

FIXTURE_SETUP(pool)
{
	self->sim = sim_new("pool_manager", "{\"capacity\":10}");
	ASSERT_NE(NULL, self->sim);
}

FIXTURE_TEARDOWN(pool)
{
	sim_free(self->sim);
}

#define ACQUIRE(...) CALL("acquire", __VA_ARGS__)
#define LEASE(call) sim_uint(call, "/lease")
#define RELEASE(call) \
	CALL("release", "{'lease':%llu}", (unsigned long long)LEASE(call))
#define REPORT(model, state) \
	CALL("report", "{'model':'%s','state':'%s'}", model, state)
#define STAT() CALL("stat", "{}")
#define MODEL(name) CALL("stat_model", "{'model':'%s'}", name)

#define EXPECT_STATE(model, state) \
	EXPECT_STREQ(state, sim_str(MODEL(model), "/state"))

/* Warms a model and lets it go: hot and idle. */
#define WARM(model, size) do {						\
	struct sim_call *w = ACQUIRE("{'model':'%s','size':%d}", model, size);	\
	EXPECT_GRANTED(w);						\
	EXPECT_GRANTED(REPORT(model, "hot"));				\
	EXPECT_GRANTED(RELEASE(w));					\
} while (0)

TEST_F(pool, acquire_needs_nothing_but_a_model)
{
	struct sim_call *c = ACQUIRE("{'model':'m'}");

	EXPECT_GRANTED(c);
	EXPECT_STREQ("default", sim_str(c, "/pool"));
	EXPECT_STREQ("m", sim_str(c, "/model"));
	EXPECT_STREQ("warming", sim_str(c, "/state"));
	EXPECT_TRUE(sim_bool(c, "/loader"));
	EXPECT_EQ(1, sim_uint(STAT(), "/used"));
}

TEST_F(pool, acquire_without_parameters_leases_one_unit)
{
	EXPECT_GRANTED(sim_call_val(self->sim, 0, "acquire", NULL));
	EXPECT_EQ(1, sim_uint(STAT(), "/used"));
}

TEST_F(pool, released_units_go_to_who_waits)
{
	struct sim_call *a = ACQUIRE("{'units':7}");
	struct sim_call *b = ACQUIRE("{'units':7}");

	EXPECT_GRANTED(a);
	EXPECT_WAITS(b);
	EXPECT_EQ(1, sim_uint(STAT(), "/waiting"));
	sim_advance(self->sim, 30);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(b);
	EXPECT_EQ(30, sim_uint(b, "/waited_ms"));
	EXPECT_EQ(7, sim_uint(STAT(), "/used"));
	EXPECT_EQ(1, sim_uint(STAT(), "/counters/granted_late"));
	EXPECT_EQ(30000, sim_uint(STAT(), "/counters/wait_us"));
}

TEST_F(pool, a_small_request_does_not_overtake_a_large_one)
{
	struct sim_call *a = ACQUIRE("{'units':6}");
	struct sim_call *large = ACQUIRE("{'units':8}");
	struct sim_call *small = ACQUIRE("{'units':1}");

	EXPECT_WAITS(large);
	EXPECT_WAITS(small);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(large);
	EXPECT_GRANTED(small);
	EXPECT_LT(large->order, small->order);
}

TEST_F(pool, requests_for_a_hot_model_queue_like_the_others)
{
	struct sim_call *a, *large, *hot;

	WARM("m", 1);
	a = ACQUIRE("{'units':9}");
	EXPECT_GRANTED(a);
	large = ACQUIRE("{'units':5}");
	hot = ACQUIRE("{'model':'m'}");
	EXPECT_WAITS(large);
	EXPECT_WAITS(hot);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(large);
	EXPECT_GRANTED(hot);
	EXPECT_LT(large->order, hot->order);
}

TEST_F(pool, a_timed_out_request_leaves_and_the_order_stays)
{
	struct sim_call *a = ACQUIRE("{'units':10}");
	struct sim_call *b = ACQUIRE("{'units':3}");
	struct sim_call *c = ACQUIRE("{'units':10,'timeout_ms':50}");
	struct sim_call *d = ACQUIRE("{'units':3}");
	struct sim_call *e = ACQUIRE("{'units':3}");

	sim_advance(self->sim, 49);
	EXPECT_WAITS(c);
	sim_advance(self->sim, 1);
	EXPECT_FAILS(c, ETIMEDOUT);
	EXPECT_EQ(10, sim_uint(c, "/needed"));
	EXPECT_EQ(0, sim_uint(c, "/free"));
	EXPECT_WAITS(b);
	EXPECT_WAITS(d);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(b);
	EXPECT_GRANTED(d);
	EXPECT_GRANTED(e);
	EXPECT_LT(b->order, d->order);
	EXPECT_LT(d->order, e->order);
}

TEST_F(pool, the_head_timing_out_lets_the_next_in)
{
	struct sim_call *a = ACQUIRE("{'units':5}");
	struct sim_call *b = ACQUIRE("{'units':9,'timeout_ms':10}");
	struct sim_call *c = ACQUIRE("{'units':5}");

	EXPECT_GRANTED(a);
	EXPECT_WAITS(c);
	sim_advance(self->sim, 10);
	EXPECT_FAILS(b, ETIMEDOUT);
	EXPECT_GRANTED(c);
}

TEST_F(pool, the_head_cancelled_lets_the_next_in)
{
	struct sim_call *b, *c;

	EXPECT_GRANTED(ACQUIRE("{'units':5}"));
	b = ACQUIRE("{'units':9}");
	c = ACQUIRE("{'units':5}");
	sim_cancel(b);
	EXPECT_GRANTED(c);
	EXPECT_EQ(1, sim_uint(STAT(), "/counters/cancelled"));
}

TEST_F(pool, a_granted_request_does_not_time_out_later)
{
	struct sim_call *a = ACQUIRE("{'units':10}");
	struct sim_call *b = ACQUIRE("{'units':10,'timeout_ms':50}");

	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(b);
	sim_advance(self->sim, 100);
	EXPECT_EQ(10, sim_uint(STAT(), "/used"));
}

TEST_F(pool, timeout_0_fails_at_once_and_says_what_is_missing)
{
	struct sim_call *c;

	EXPECT_GRANTED(ACQUIRE("{'units':8}"));
	c = ACQUIRE("{'units':3,'timeout_ms':0}");
	EXPECT_FAILS(c, EAGAIN);
	EXPECT_EQ(3, sim_uint(c, "/needed"));
	EXPECT_EQ(2, sim_uint(c, "/free"));
	EXPECT_EQ(8, sim_uint(STAT(), "/used"));
	EXPECT_EQ(0, sim_uint(STAT(), "/waiting"));
}

TEST_F(pool, more_than_the_capacity_is_refused_at_once)
{
	EXPECT_FAILS(ACQUIRE("{'units':11}"), ERANGE);
	EXPECT_FAILS(ACQUIRE("{'model':'m','size':11}"), ERANGE);
	EXPECT_FAILS(ACQUIRE("{'model':'m','size':8,'units':3}"), ERANGE);
	/* Nothing is left of them. */
	EXPECT_FAILS(MODEL("m"), ENOENT);
}

TEST_F(pool, a_grant_nobody_gets_goes_to_the_next)
{
	struct sim_call *a = ACQUIRE("{'units':10}");
	struct sim_call *b = ACQUIRE("{'units':10}");
	struct sim_call *c = ACQUIRE("{'units':10}");

	sim_abandon(b);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(c);
	EXPECT_EQ(1, sim_uint(STAT(), "/leases"));
}

/* --- holders ----------------------------------------------------------------- */

TEST_F(pool, leases_of_a_dead_holder_are_returned)
{
	struct sim_call *a = FROM(A, "acquire", "{'units':4}");
	struct sim_call *b = FROM(A, "acquire", "{'units':4}");
	struct sim_call *c = FROM(B, "acquire", "{'units':9}");

	EXPECT_GRANTED(a);
	EXPECT_GRANTED(b);
	EXPECT_WAITS(c);
	EXPECT_TRUE(sim_watches(self->sim, A));
	sim_die(self->sim, A);
	EXPECT_GRANTED(c);
	EXPECT_EQ(2, sim_uint(STAT(), "/counters/reclaimed"));
	EXPECT_FAILS(RELEASE(a), ENOENT);
}

TEST_F(pool, what_a_dead_endpoint_waits_for_is_dropped)
{
	struct sim_call *a = FROM(B, "acquire", "{'units':10}");
	struct sim_call *b = FROM(A, "acquire", "{'units':10}");
	struct sim_call *c = FROM(B, "acquire", "{'units':10}");

	EXPECT_WAITS(b);
	sim_die(self->sim, A);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(c);
	EXPECT_EQ(0, sim_uint(STAT(), "/waiting"));
}

TEST_F(pool, an_endpoint_is_watched_only_while_it_holds)
{
	struct sim_call *a = FROM(A, "acquire", "{}");

	EXPECT_TRUE(sim_watches(self->sim, A));
	EXPECT_GRANTED(FROM(A, "release", "{'lease':%llu}",
			    (unsigned long long)LEASE(a)));
	EXPECT_FALSE(sim_watches(self->sim, A));
}

TEST_F(pool, nothing_is_leased_to_who_is_dead_already)
{
	sim_die(self->sim, A);
	EXPECT_FAILS(FROM(A, "acquire", "{}"), ESRCH);
	EXPECT_EQ(0, sim_uint(STAT(), "/used"));
}

TEST_F(pool, only_the_holder_and_the_conductor_release)
{
	struct sim_call *a = FROM(A, "acquire", "{}");
	struct sim_call *b = FROM(A, "acquire", "{}");

	EXPECT_FAILS(FROM(B, "release", "{'lease':%llu}",
			  (unsigned long long)LEASE(a)), EPERM);
	EXPECT_GRANTED(FROM(A, "release", "{'lease':%llu}",
			    (unsigned long long)LEASE(a)));
	EXPECT_GRANTED(RELEASE(b));
	EXPECT_FAILS(RELEASE(b), ENOENT);
}

/* --- models ------------------------------------------------------------------ */

TEST_F(pool, the_first_lease_warms_and_a_report_makes_hot)
{
	struct sim_call *a = ACQUIRE("{'model':'m','size':4}");
	struct sim_call *b = ACQUIRE("{'model':'m'}");

	EXPECT_TRUE(sim_bool(a, "/loader"));
	EXPECT_FALSE(sim_bool(b, "/loader"));
	EXPECT_STATE("m", "warming");
	EXPECT_GRANTED(REPORT("m", "hot"));
	EXPECT_STATE("m", "hot");
	EXPECT_STREQ("hot", sim_str(ACQUIRE("{'model':'m'}"), "/state"));
	/* Resident once, however many leases. */
	EXPECT_EQ(4, sim_uint(STAT(), "/used"));
	EXPECT_EQ(3, sim_uint(MODEL("m"), "/leases"));
	EXPECT_EQ(2, sim_uint(MODEL("m"), "/counters/hits"));
}

TEST_F(pool, wait_hot_waits_for_the_report)
{
	struct sim_call *a = ACQUIRE("{'model':'m','wait_hot':true}");
	struct sim_call *b = ACQUIRE("{'model':'m','wait_hot':true}");
	struct sim_call *c = ACQUIRE("{'model':'m','wait_hot':true,'timeout_ms':5}");

	EXPECT_GRANTED(a);
	EXPECT_TRUE(sim_bool(a, "/loader"));
	EXPECT_WAITS(b);
	sim_advance(self->sim, 5);
	EXPECT_FAILS(c, ETIMEDOUT);
	EXPECT_GRANTED(REPORT("m", "hot"));
	EXPECT_GRANTED(b);
	EXPECT_STREQ("hot", sim_str(b, "/state"));
	EXPECT_EQ(2, sim_uint(MODEL("m"), "/leases"));
}

TEST_F(pool, a_loader_that_gives_up_hands_over)
{
	struct sim_call *a = FROM(A, "acquire", "{'model':'m'}");
	struct sim_call *b = ACQUIRE("{'model':'m','wait_hot':true}");
	struct sim_call *c = ACQUIRE("{'model':'m','wait_hot':true}");
	struct sim_call *d = ACQUIRE("{'model':'m','wait_hot':true}");

	EXPECT_GRANTED(a);
	sim_abandon(b);
	sim_die(self->sim, A);
	/* The first that is still there, and nobody else. */
	EXPECT_GRANTED(c);
	EXPECT_TRUE(sim_bool(c, "/loader"));
	EXPECT_WAITS(d);
	EXPECT_GRANTED(REPORT("m", "hot"));
	EXPECT_GRANTED(d);
}

TEST_F(pool, a_model_nobody_warmed_is_cold_when_it_is_let_go)
{
	struct sim_call *a = ACQUIRE("{'model':'m','size':4}");

	EXPECT_GRANTED(RELEASE(a));
	EXPECT_STATE("m", "cold");
	EXPECT_EQ(0, sim_uint(STAT(), "/used"));
}

TEST_F(pool, the_model_idle_longest_is_evicted)
{
	struct sim_call *c;

	WARM("m1", 3);
	WARM("m2", 3);
	WARM("m3", 3);
	/* Used again: m2 is the oldest now. */
	c = ACQUIRE("{'model':'m1'}");
	EXPECT_GRANTED(RELEASE(c));
	EXPECT_EQ(9, sim_uint(STAT(), "/idle"));
	EXPECT_GRANTED(ACQUIRE("{'model':'m4','size':3}"));
	EXPECT_STATE("m1", "hot");
	EXPECT_STATE("m2", "cold");
	EXPECT_STATE("m3", "hot");
	EXPECT_EQ(1, sim_uint(STAT(), "/counters/evictions"));
	EXPECT_EQ(9, sim_uint(STAT(), "/used"));
}

TEST_F(pool, a_leased_model_is_never_evicted)
{
	struct sim_call *a, *b;

	a = ACQUIRE("{'model':'m1','size':6}");
	EXPECT_GRANTED(REPORT("m1", "hot"));
	b = ACQUIRE("{'model':'m2','size':6}");
	EXPECT_WAITS(b);
	EXPECT_STATE("m1", "hot");
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(b);
	EXPECT_STATE("m1", "cold");
}

TEST_F(pool, nothing_is_evicted_when_that_is_not_enough)
{
	struct sim_call *a, *b;

	WARM("m1", 3);
	a = ACQUIRE("{'units':6}");
	b = ACQUIRE("{'units':5}");
	EXPECT_WAITS(b);
	EXPECT_STATE("m1", "hot");
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(b);
	EXPECT_STATE("m1", "hot");
}

TEST_F(pool, the_model_asked_for_is_not_evicted_for_its_own_units)
{
	WARM("m1", 4);
	WARM("m2", 4);
	EXPECT_GRANTED(ACQUIRE("{'model':'m1','units':4}"));
	EXPECT_STATE("m1", "hot");
	EXPECT_STATE("m2", "cold");
}

TEST_F(pool, cooling_keeps_the_room_for_its_time)
{
	struct sim_call *c;

	EXPECT_GRANTED(CALL("define_model",
			    "{'model':'m1','size':6,'cool_ms':100}"));
	WARM("m1", 6);
	c = ACQUIRE("{'units':6}");
	EXPECT_WAITS(c);
	EXPECT_STATE("m1", "cooling");
	EXPECT_EQ(6, sim_uint(STAT(), "/cooling"));
	sim_advance(self->sim, 99);
	EXPECT_WAITS(c);
	sim_advance(self->sim, 1);
	EXPECT_GRANTED(c);
	EXPECT_STATE("m1", "cold");
}

TEST_F(pool, a_cold_report_ends_the_cooling_early)
{
	struct sim_call *b, *c;

	EXPECT_GRANTED(CALL("define_model",
			    "{'model':'m1','size':6,'cool_ms':100}"));
	WARM("m1", 6);
	b = ACQUIRE("{'units':6}");
	/* Who wants it back waits until it is gone: it may be half unloaded. */
	c = ACQUIRE("{'model':'m1','timeout_ms':0}");
	EXPECT_FAILS(c, EAGAIN);
	EXPECT_GRANTED(REPORT("m1", "cold"));
	EXPECT_GRANTED(b);
	sim_advance(self->sim, 200);
	EXPECT_EQ(6, sim_uint(STAT(), "/used"));
}

TEST_F(pool, a_failed_model_refuses_until_it_is_reported_cold)
{
	struct sim_call *a = ACQUIRE("{'model':'m','size':4}");
	struct sim_call *b = ACQUIRE("{'model':'m','wait_hot':true}");
	struct sim_call *full = ACQUIRE("{'units':6}");
	struct sim_call *c = ACQUIRE("{'model':'m','units':1}");
	struct sim_call *d;

	EXPECT_GRANTED(a);
	EXPECT_GRANTED(full);
	EXPECT_WAITS(b);
	EXPECT_WAITS(c);
	EXPECT_GRANTED(CALL("report",
			    "{'model':'m','state':'failed','reason':'no file'}"));
	EXPECT_FAILS(b, EIO);
	EXPECT_FAILS(c, EIO);
	EXPECT_NE(NULL, strstr(b->message, "no file"));
	EXPECT_EQ(6, sim_uint(STAT(), "/used"));
	d = ACQUIRE("{'model':'m'}");
	EXPECT_FAILS(d, EIO);
	EXPECT_NE(NULL, strstr(d->message, "no file"));
	EXPECT_GRANTED(REPORT("m", "cold"));
	d = ACQUIRE("{'model':'m'}");
	EXPECT_TRUE(sim_bool(d, "/loader"));
	/* The lease from before the failure neither is the loader nor uses room. */
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_STATE("m", "warming");
	EXPECT_EQ(10, sim_uint(STAT(), "/used"));
}

TEST_F(pool, only_who_holds_a_lease_reports_hot_or_failed)
{
	struct sim_call *a = FROM(A, "acquire", "{'model':'m'}");
	struct sim_call *b = FROM(B, "acquire", "{'model':'n'}");

	EXPECT_FAILS(FROM(B, "report", "{'model':'m','state':'hot'}"), EPERM);
	EXPECT_FAILS(FROM(B, "report", "{'model':'m','state':'hot','lease':%llu}",
			  (unsigned long long)LEASE(a)), EPERM);
	EXPECT_FAILS(FROM(B, "report", "{'model':'m','state':'failed','lease':%llu}",
			  (unsigned long long)LEASE(b)), EINVAL);
	EXPECT_GRANTED(FROM(A, "report", "{'model':'m','state':'hot','lease':%llu}",
			    (unsigned long long)LEASE(a)));
}

TEST_F(pool, a_report_that_cannot_be_is_refused)
{
	struct sim_call *a = ACQUIRE("{'model':'m'}");

	EXPECT_FAILS(REPORT("m", "cold"), EINVAL);
	EXPECT_GRANTED(REPORT("m", "hot"));
	EXPECT_GRANTED(REPORT("m", "hot"));
	EXPECT_FAILS(REPORT("m", "cold"), EINVAL);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(REPORT("m", "cold"));
	EXPECT_FAILS(REPORT("m", "hot"), EINVAL);
	EXPECT_FAILS(REPORT("m", "failed"), EINVAL);
	EXPECT_FAILS(REPORT("m", "tepid"), SBUS_CODE_INVALID_PARAMS);
	EXPECT_FAILS(REPORT("x", "hot"), ENOENT);
}

TEST_F(pool, a_model_in_use_is_not_redefined_or_forgotten)
{
	struct sim_call *a;

	EXPECT_GRANTED(CALL("define_model", "{'model':'m','size':3}"));
	a = ACQUIRE("{'model':'m'}");
	EXPECT_EQ(3, sim_uint(a, "/size"));
	EXPECT_FAILS(CALL("define_model", "{'model':'m','size':4}"), EBUSY);
	EXPECT_GRANTED(CALL("define_model", "{'model':'m','size':3}"));
	EXPECT_FAILS(CALL("forget_model", "{'model':'m'}"), EBUSY);
	EXPECT_FAILS(ACQUIRE("{'model':'m','size':4}"), EINVAL);
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(CALL("define_model", "{'model':'m','size':4}"));
	EXPECT_GRANTED(CALL("forget_model", "{'model':'m'}"));
	EXPECT_FAILS(MODEL("m"), ENOENT);
}

/* --- pools ------------------------------------------------------------------- */

TEST_F(pool, pools_do_not_share_room_or_turns)
{
	struct sim_call *c;

	EXPECT_GRANTED(CALL("create_pool", "{'pool':'gpu','capacity':2}"));
	EXPECT_GRANTED(ACQUIRE("{'units':10}"));
	EXPECT_WAITS(ACQUIRE("{'units':1}"));
	c = ACQUIRE("{'pool':'gpu','units':2}");
	EXPECT_GRANTED(c);
	EXPECT_EQ(0, sim_uint(CALL("stat", "{'pool':'gpu'}"), "/free"));
	EXPECT_EQ(2, sim_size(CALL("pools", "{}"), ""));
}

TEST_F(pool, a_model_is_found_in_its_own_pool)
{
	EXPECT_GRANTED(CALL("create_pool", "{'pool':'gpu','capacity':8}"));
	EXPECT_GRANTED(CALL("define_model",
			    "{'model':'m','pool':'gpu','size':5}"));
	EXPECT_STREQ("gpu", sim_str(ACQUIRE("{'model':'m'}"), "/pool"));
	EXPECT_FAILS(ACQUIRE("{'model':'m','pool':'default'}"), EINVAL);
}

TEST_F(pool, a_larger_pool_lets_waiters_in)
{
	struct sim_call *a = ACQUIRE("{'units':10}");
	struct sim_call *b = ACQUIRE("{'units':5}");

	EXPECT_GRANTED(a);
	EXPECT_WAITS(b);
	EXPECT_GRANTED(CALL("resize_pool", "{'pool':'default','capacity':15}"));
	EXPECT_GRANTED(b);
}

TEST_F(pool, a_smaller_pool_evicts_and_refuses_what_cannot_fit)
{
	struct sim_call *a, *b, *c;

	WARM("m", 3);
	a = ACQUIRE("{'units':7}");
	b = ACQUIRE("{'units':8}");
	c = ACQUIRE("{'units':2}");
	EXPECT_WAITS(b);
	EXPECT_WAITS(c);
	EXPECT_GRANTED(CALL("resize_pool", "{'pool':'default','capacity':5}"));
	EXPECT_FAILS(b, ERANGE);
	EXPECT_STATE("m", "cold");
	/* Seven of five are in use until they are released. */
	EXPECT_WAITS(c);
	EXPECT_EQ(0, sim_uint(STAT(), "/free"));
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(c);
}

TEST_F(pool, a_pool_in_use_is_not_deleted)
{
	struct sim_call *a;

	EXPECT_GRANTED(CALL("create_pool", "{'pool':'gpu','capacity':8}"));
	EXPECT_FAILS(CALL("create_pool", "{'pool':'gpu','capacity':8}"), EEXIST);
	a = ACQUIRE("{'pool':'gpu','model':'m'}");
	EXPECT_FAILS(CALL("delete_pool", "{'pool':'gpu'}"), EBUSY);
	EXPECT_GRANTED(REPORT("m", "hot"));
	EXPECT_GRANTED(RELEASE(a));
	EXPECT_GRANTED(CALL("delete_pool", "{'pool':'gpu'}"));
	EXPECT_FAILS(MODEL("m"), ENOENT);
	EXPECT_FAILS(CALL("delete_pool", "{'pool':'gpu'}"), ENOENT);
	EXPECT_FAILS(CALL("delete_pool", "{'pool':'default'}"), EBUSY);
}

TEST_F(pool, there_are_1024_pools_at_most_and_all_are_found)
{
	/* With the default one. */
	for (int i = 1; i < 1024; i++)
		EXPECT_GRANTED(CALL("create_pool", "{'pool':'p%d','capacity':%d}",
				    i, i));
	EXPECT_FAILS(CALL("create_pool", "{'pool':'p','capacity':1}"), ENOSPC);
	for (int i = 1; i < 1024; i++)
		EXPECT_EQ(i, sim_uint(CALL("stat", "{'pool':'p%d'}", i),
				      "/capacity"));
	EXPECT_GRANTED(CALL("delete_pool", "{'pool':'p7'}"));
	EXPECT_GRANTED(CALL("create_pool", "{'pool':'p','capacity':1}"));
}

/* --- lists and parameters ---------------------------------------------------- */

TEST_F(pool, lists_come_in_pages)
{
	struct sim_call *first, *c;

	WARM("m1", 1);
	WARM("m2", 1);
	WARM("m3", 1);
	c = CALL("models", "{'limit':2}");
	EXPECT_EQ(2, sim_size(c, ""));
	EXPECT_STREQ("m2", sim_str(c, "/1/model"));
	c = CALL("models", "{'limit':2,'after':'m2'}");
	EXPECT_EQ(1, sim_size(c, ""));
	EXPECT_STREQ("m3", sim_str(c, "/0/model"));
	EXPECT_FAILS(CALL("models", "{'after':'m4'}"), ENOENT);

	first = FROM(A, "acquire", "{'model':'m1'}");
	EXPECT_GRANTED(ACQUIRE("{'units':2}"));
	c = CALL("leases", "{}");
	EXPECT_EQ(2, sim_size(c, ""));
	EXPECT_EQ(A, sim_uint(c, "/0/holder"));
	EXPECT_EQ(0, sim_uint(c, "/1/holder"));
	c = CALL("leases", "{'after':%llu}", (unsigned long long)LEASE(first));
	EXPECT_EQ(1, sim_size(c, ""));
	EXPECT_EQ(2, sim_uint(c, "/0/units"));
	EXPECT_FAILS(CALL("leases", "{'after':99}"), ENOENT);
}

TEST_F(pool, wrong_parameters_are_refused_by_name)
{
	static const char *const bad[] = {
		"{'model':''}", "{'model':7}", "{'units':0}", "{'units':-1}",
		"{'units':1.5}", "{'units':9007199254740992}", "{'size':1}",
		"{'model':'m','size':0}", "{'timeout_ms':'soon'}",
		"{'wait_hot':1}", "{'unit':3}", "[]", "7",
	};
	struct sim_call *c;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		c = ACQUIRE("%s", bad[i]);
		EXPECT_FAILS(c, SBUS_CODE_INVALID_PARAMS);
	}
	c = ACQUIRE("{'unit':3}");
	EXPECT_STREQ("acquire: there is no parameter 'unit'; the parameters are: model, pool, units, size, timeout_ms, wait_hot",
		     c->message);
	EXPECT_FAILS(ACQUIRE("{'model':'%0256d'}", 0), SBUS_CODE_INVALID_PARAMS);
	EXPECT_GRANTED(ACQUIRE("{'model':'%0255d'}", 0));
	EXPECT_FAILS(ACQUIRE("{'pool':'x'}"), ENOENT);
	EXPECT_EQ(1, sim_uint(STAT(), "/leases"));
}

TEST(a_bad_capacity_is_refused_at_the_start)
{
	EXPECT_EQ(NULL, sim_new("pool_manager", "{\"capacity\":0}"));
	EXPECT_EQ(NULL, sim_new("pool_manager", "{\"capacity\":\"big\"}"));
}

TEST(a_configuration_that_nobody_reads_is_refused)
{
	EXPECT_EQ(NULL, sim_new("pool_manager", "{\"capacityy\":7}"));
	EXPECT_EQ(NULL, sim_new("pool_manager", "{\"capacity\\u0000\":7}"));
	EXPECT_EQ(NULL, sim_new("pool_manager", "[7]"));
	EXPECT_EQ(NULL, sim_new("dag_tracker", "{\"a\":1}"));
}

TEST(the_default_pool_is_as_large_as_the_memory)
{
	struct sim *sim = sim_new("pool_manager", NULL);

	EXPECT_LT(15, sim_uint(sim_call(sim, 0, "stat", "{}"), "/capacity"));
	sim_free(sim);
}

TEST_HARNESS_MAIN
