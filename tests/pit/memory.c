// SPDX-License-Identifier: MIT
/*
 * Every allocation of a whole run fails once, and then all from there on: each
 * call still has one outcome, and nothing stays behind. The sanitizers see the
 * rest.
 */
#include <errno.h>
#include <kselftest_harness.h>

#include "sim.h"

/* A lease's number, or one that nobody has. */
static unsigned long long lease_of(const struct sim_call *call)
{
	return call->done && !call->failed ? sim_uint(call, "/lease") : 99999;
}

static void use_pools(struct sim *sim)
{
	struct sim_call *a, *b, *c, *d;

	sim_call(sim, 0, "create_pool", "{'pool':'p','capacity':4}");
	sim_call(sim, 0, "define_model", "{'model':'m','size':2,'cool_ms':5}");
	a = sim_call(sim, 1, "acquire", "{'model':'m'}");
	b = sim_call(sim, 2, "acquire",
		     "{'model':'m','wait_hot':true,'timeout_ms':50}");
	c = sim_call(sim, 3, "acquire", "{'units':4,'timeout_ms':50}");
	sim_call(sim, 0, "report", "{'model':'m','state':'hot'}");
	sim_call(sim, 0, "release", "{'lease':%llu}", lease_of(a));
	sim_call(sim, 0, "release", "{'lease':%llu}", lease_of(b));
	sim_advance(sim, 5);
	d = sim_call(sim, 2, "acquire", "{'model':'n','size':3}");
	sim_call(sim, 0, "release", "{'lease':%llu}", lease_of(c));
	sim_call(sim, 0, "report",
		 "{'model':'n','state':'failed','reason':'x'}");
	sim_die(sim, 2);
	sim_advance(sim, 100);
	sim_call(sim, 0, "release", "{'lease':%llu}", lease_of(d));
	sim_call(sim, 0, "leases", "{}");
	sim_call(sim, 0, "models", "{}");
}

static void use_workflows(struct sim *sim)
{
	sim_call(sim, 0, "create",
		 "{'workflow':'w','nodes':['a','b','c',{'id':'d'}],'edges':"
		 "[['a','b'],['b','c'],['a','d']],"
		 "'max_attempts':2,'backoff_ms':5}");
	sim_call(sim, 0, "create",
		 "{'nodes':['a','b'],'edges':[['a','b'],['b','a']]}");
	sim_call(sim, 1, "take", "{'workflow':'w'}");
	sim_call(sim, 2, "take",
		 "{'workflow':'w','limit':5,'wait':true,'timeout_ms':50}");
	sim_call(sim, 0, "wait", "{'workflow':'w','timeout_ms':500}");
	sim_die(sim, 1);
	sim_advance(sim, 10);
	sim_call(sim, 0, "fail",
		 "{'workflow':'w','node':'a','error':'x','retry':true}");
	sim_call(sim, 0, "take", "{'workflow':'w','limit':3}");
	sim_call(sim, 0, "complete", "{'workflow':'w','node':'a'}");
	sim_advance(sim, 100);
	sim_call(sim, 0, "cancel", "{'workflow':'w'}");
	sim_call(sim, 0, "nodes", "{'workflow':'w'}");
	sim_call(sim, 0, "delete", "{'workflow':'w','force':true}");
}

FIXTURE(memory)
{
	int unused;
};

FIXTURE_VARIANT(memory)
{
	const char *id;
	const char *config;
	void (*use)(struct sim *sim);
	bool all;
};

FIXTURE_VARIANT_ADD(memory, pools_one) {
	.id = "pool_manager", .config = "{\"capacity\":4}", .use = use_pools,
};

FIXTURE_VARIANT_ADD(memory, pools_all) {
	.id = "pool_manager", .config = "{\"capacity\":4}", .use = use_pools, .all = true,
};

FIXTURE_VARIANT_ADD(memory, workflows_one) {
	.id = "dag_tracker", .config = "{}", .use = use_workflows,
};

FIXTURE_VARIANT_ADD(memory, workflows_all) {
	.id = "dag_tracker", .config = "{}", .use = use_workflows, .all = true,
};

FIXTURE_SETUP(memory)
{
}

FIXTURE_TEARDOWN(memory)
{
}

TEST_F(memory, every_failing_allocation_leaves_one_outcome_and_nothing_behind)
{
	unsigned long n = 0;
	bool failed;

	do {
		struct sim *sim;

		sim_fail_alloc(++n, variant->all);
		sim = sim_new(variant->id, variant->config);
		if (sim)
			variant->use(sim);
		failed = sim_alloc_failed();
		sim_fail_alloc(0, false);
		if (sim)
			sim_free(sim);
	} while (failed);
	TH_LOG("%lu allocations", n - 1);
	EXPECT_LT(20, n);
}

TEST_HARNESS_MAIN
