// SPDX-License-Identifier: MIT
/* What dag_tracker promises about workflows, attempts and waiting. */
#include <errno.h>
#include <string.h>
#include <kselftest_harness.h>

#include "expect.h"

FIXTURE(dag)
{
	struct sim *sim;
};

FIXTURE_SETUP(dag)
{
	self->sim = sim_new("dag_tracker", NULL);
	ASSERT_NE(NULL, self->sim);
}

FIXTURE_TEARDOWN(dag)
{
	sim_free(self->sim);
}

/* Of workflow w, unless it says otherwise. */
#define CREATE(...) CALL("create", "{'workflow':'w'," __VA_ARGS__)
#define DIAMOND() CREATE("'nodes':['a','b','c','d'],"			\
			 "'edges':[['a','b'],['a','c'],['b','d'],['c','d']]}")
#define TAKE(limit) CALL("take", "{'workflow':'w','limit':%d}", limit)
#define WAIT_TAKE(limit) \
	CALL("take", "{'workflow':'w','limit':%d,'wait':true}", limit)
#define START(node) CALL("start", "{'workflow':'w','node':'%s'}", node)
#define COMPLETE(node) CALL("complete", "{'workflow':'w','node':'%s'}", node)
#define FAIL(node) \
	CALL("fail", "{'workflow':'w','node':'%s','error':'bad disk'}", node)
#define PROGRESS() CALL("progress", "{'workflow':'w'}")
#define COUNT(state) sim_uint(PROGRESS(), "/counts/" state)
#define NODE(node) CALL("node", "{'workflow':'w','node':'%s'}", node)
#define EXPECT_STATE(node, state) \
	EXPECT_STREQ(state, sim_str(NODE(node), "/state"))
#define RUN(node) do {							\
	EXPECT_GRANTED(START(node));					\
	EXPECT_GRANTED(COMPLETE(node));					\
} while (0)

TEST_F(dag, nodes_become_ready_when_all_before_them_are_done)
{
	struct sim_call *c = DIAMOND();

	EXPECT_GRANTED(c);
	EXPECT_EQ(4, sim_uint(c, "/total"));
	EXPECT_EQ(4, sim_uint(c, "/edges"));
	EXPECT_EQ(1, sim_uint(c, "/counts/ready"));
	RUN("a");
	c = CALL("ready", "{'workflow':'w'}");
	EXPECT_EQ(2, sim_size(c, ""));
	EXPECT_STREQ("b", sim_str(c, "/0"));
	EXPECT_STREQ("c", sim_str(c, "/1"));
	RUN("c");
	EXPECT_STATE("d", "pending");
	EXPECT_GRANTED(START("b"));
	c = COMPLETE("b");
	EXPECT_EQ(1, sim_uint(c, "/ready"));
	EXPECT_FALSE(sim_bool(c, "/done"));
	EXPECT_GRANTED(START("d"));
	EXPECT_TRUE(sim_bool(COMPLETE("d"), "/done"));
	EXPECT_STREQ("done", sim_str(PROGRESS(), "/state"));
	EXPECT_EQ(4, COUNT("done"));
}

TEST_F(dag, take_starts_many_in_the_order_they_became_ready)
{
	struct sim_call *c;

	CREATE("'nodes':['e','d','c','b','a']}");
	c = TAKE(2);
	EXPECT_EQ(2, sim_size(c, "/nodes"));
	EXPECT_STREQ("e", sim_str(c, "/nodes/0/node"));
	EXPECT_STREQ("d", sim_str(c, "/nodes/1/node"));
	EXPECT_EQ(1, sim_uint(c, "/nodes/0/attempt"));
	c = TAKE(10);
	EXPECT_EQ(3, sim_size(c, "/nodes"));
	c = TAKE(10);
	EXPECT_EQ(0, sim_size(c, "/nodes"));
	EXPECT_FALSE(sim_bool(c, "/done"));
	EXPECT_EQ(5, COUNT("running"));
}

TEST_F(dag, an_empty_workflow_is_done_at_once)
{
	EXPECT_TRUE(sim_bool(CREATE("'nodes':[]}"), "/done"));
	EXPECT_TRUE(sim_bool(CALL("wait", "{'workflow':'w'}"), "/done"));
}

TEST_F(dag, a_workflow_without_a_name_gets_one)
{
	struct sim_call *c;

	EXPECT_GRANTED(CALL("create", "{'workflow':'workflow-1','nodes':[]}"));
	c = CALL("create", "{'nodes':['a']}");
	EXPECT_STREQ("workflow-2", sim_str(c, "/workflow"));
	EXPECT_EQ(2, sim_size(CALL("workflows", "{}"), ""));
}

/* --- what create() refuses ---------------------------------------------------- */

TEST_F(dag, a_cycle_is_refused_with_its_path)
{
	struct sim_call *c;

	c = CREATE("'nodes':['in','a','b','c','out'],'edges':[['in','a'],"
		   "['a','b'],['b','c'],['c','a'],['c','out']]}");
	EXPECT_FAILS(c, ELOOP);
	EXPECT_STREQ("create: the edges have a cycle: a -> b -> c -> a; remove one of them",
		     c->message);
	EXPECT_EQ(3, sim_size(c, "/cycle"));
	EXPECT_STREQ("c", sim_str(c, "/cycle/2"));
	EXPECT_EQ(0, sim_size(CALL("workflows", "{}"), ""));

	c = CREATE("'nodes':['a'],'edges':[['a','a']]}");
	EXPECT_FAILS(c, ELOOP);
	EXPECT_NE(NULL, strstr(c->message, ": a -> a;"));
}

TEST_F(dag, a_long_cycle_is_told_short_and_given_in_full)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = yyjson_mut_obj(doc), *nodes, *edges;
	struct sim_call *c;
	yyjson_doc *params;
	char name[16], next[16];

	yyjson_mut_doc_set_root(doc, obj);
	nodes = yyjson_mut_obj_add_arr(doc, obj, "nodes");
	edges = yyjson_mut_obj_add_arr(doc, obj, "edges");
	for (int i = 0; i < 1000; i++) {
		yyjson_mut_val *edge = yyjson_mut_arr_add_arr(doc, edges);

		snprintf(name, sizeof(name), "n%d", i);
		snprintf(next, sizeof(next), "n%d", (i + 1) % 1000);
		yyjson_mut_arr_add_strcpy(doc, nodes, name);
		yyjson_mut_arr_add_strcpy(doc, edge, name);
		yyjson_mut_arr_add_strcpy(doc, edge, next);
	}
	params = yyjson_mut_doc_imut_copy(doc, NULL);
	c = sim_call_val(self->sim, 0, "create", yyjson_doc_get_root(params));
	yyjson_doc_free(params);
	yyjson_mut_doc_free(doc);
	EXPECT_FAILS(c, ELOOP);
	EXPECT_EQ(1000, sim_size(c, "/cycle"));
	EXPECT_NE(NULL, strstr(c->message, "n7 -> (992 more) -> n0;"));
}

TEST_F(dag, an_edge_to_an_unknown_node_is_refused_by_name)
{
	struct sim_call *c;

	c = CREATE("'nodes':['a','b'],'edges':[['a','b'],['a','x']]}");
	EXPECT_FAILS(c, ENOENT);
	EXPECT_STREQ("create: edges[1]: there is no node 'x'; add it to 'nodes'",
		     c->message);
}

TEST_F(dag, repeated_nodes_edges_and_workflows_are_refused)
{
	struct sim_call *c = CREATE("'nodes':['a','b','a']}");

	EXPECT_FAILS(c, EEXIST);
	EXPECT_STREQ("create: nodes[2] repeats nodes[0]: 'a'", c->message);
	c = CREATE("'nodes':['a','b','c'],"
		   "'edges':[['a','b'],['a','c'],{'from':'a','to':'b'}]}");
	EXPECT_FAILS(c, EEXIST);
	EXPECT_STREQ("create: edges[2] repeats edges[0]: 'a' -> 'b'", c->message);
	EXPECT_GRANTED(DIAMOND());
	EXPECT_FAILS(DIAMOND(), EEXIST);
}

TEST_F(dag, what_is_no_node_or_edge_is_refused_by_its_place)
{
	static const char *const bad[] = {
		"'nodes':7}", "'nodes':['']}", "'nodes':[7]}", "'nodes':[{}]}",
		"'nodes':[{'id':'a','max_attempts':0}]}",
		"'nodes':[{'id':'a','backoff_ms':-1}]}",
		"'nodes':[{'id':'a','x':1}]}",
		"'nodes':[{'id':'a','id':'a longer one'}]}",
		"'nodes':['a\\u0000b']}",
		"'nodes':['a'],'edges':[['a']]}",
		"'nodes':['a'],'edges':['a']}",
		"'nodes':['a'],'edges':[['a',1]]}",
		"'nodes':['a'],'edges':[{'from':'a','too':'a'}]}",
		"'nodes':['a'],'max_attempts':0}",
		"'nodes':['a'],'edge':[]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sim_call *c = CALL("create", "{'workflow':'w',%s", bad[i]);

		EXPECT_FAILS(c, SBUS_CODE_INVALID_PARAMS);
	}
	EXPECT_STREQ("create: nodes[1]: expected an id, or an object with one: a string of 1 to 255 bytes",
		     CREATE("'nodes':['a',7]}")->message);
	EXPECT_EQ(0, sim_size(CALL("workflows", "{}"), ""));
}

/* --- attempts ----------------------------------------------------------------- */

TEST_F(dag, a_failed_attempt_is_made_again_after_a_growing_pause)
{
	struct sim_call *c;

	CREATE("'nodes':['a'],'max_attempts':5,'backoff_ms':10,"
	       "'backoff_max_ms':25}");
	for (int i = 0; i < 4; i++) {
		static const int pause[] = { 10, 20, 25, 25 };

		EXPECT_GRANTED(START("a"));
		c = FAIL("a");
		EXPECT_STREQ("backoff", sim_str(c, "/state"));
		EXPECT_EQ(i + 1, sim_uint(c, "/attempts"));
		sim_advance(self->sim, pause[i] - 1);
		EXPECT_STATE("a", "backoff");
		sim_advance(self->sim, 1);
		EXPECT_STATE("a", "ready");
	}
	EXPECT_GRANTED(START("a"));
	c = FAIL("a");
	EXPECT_STREQ("failed", sim_str(c, "/state"));
	EXPECT_TRUE(sim_bool(c, "/done"));
	EXPECT_STREQ("bad disk", sim_str(NODE("a"), "/error"));
	EXPECT_EQ(4, sim_uint(PROGRESS(), "/retries"));
	EXPECT_EQ(5, sim_uint(PROGRESS(), "/attempts"));
}

TEST_F(dag, without_a_backoff_a_failed_node_is_ready_at_once)
{
	CREATE("'nodes':[{'id':'a','max_attempts':2},'b']}");
	EXPECT_GRANTED(START("a"));
	EXPECT_STREQ("ready", sim_str(FAIL("a"), "/state"));
	EXPECT_GRANTED(START("b"));
	EXPECT_STREQ("failed", sim_str(FAIL("b"), "/state"));
}

TEST_F(dag, retry_false_fails_for_good)
{
	CREATE("'nodes':['a'],'max_attempts':5}");
	EXPECT_GRANTED(START("a"));
	EXPECT_GRANTED(CALL("fail", "{'workflow':'w','node':'a','retry':false}"));
	EXPECT_STATE("a", "failed");
}

TEST_F(dag, the_outcome_of_an_older_attempt_is_refused)
{
	CREATE("'nodes':['a'],'max_attempts':3}");
	EXPECT_GRANTED(START("a"));
	EXPECT_GRANTED(FAIL("a"));
	EXPECT_GRANTED(START("a"));
	EXPECT_FAILS(CALL("complete", "{'workflow':'w','node':'a','attempt':1}"),
		     ESTALE);
	EXPECT_GRANTED(CALL("complete",
			    "{'workflow':'w','node':'a','attempt':2}"));
}

TEST_F(dag, only_what_runs_can_end_and_only_what_is_ready_can_start)
{
	DIAMOND();
	EXPECT_FAILS(COMPLETE("a"), EINVAL);
	EXPECT_FAILS(START("d"), EINVAL);
	RUN("a");
	EXPECT_FAILS(START("a"), EINVAL);
	EXPECT_FAILS(COMPLETE("a"), EALREADY);
	EXPECT_FAILS(FAIL("a"), EALREADY);
	EXPECT_FAILS(COMPLETE("x"), ENOENT);
	EXPECT_FAILS(CALL("complete", "{'workflow':'v','node':'a'}"), ENOENT);
}

/* --- failure and cancellation --------------------------------------------------- */

TEST_F(dag, what_waits_for_a_failed_node_is_cancelled_and_nothing_else)
{
	struct sim_call *c;

	CREATE("'nodes':['a','b','c','d','e','f'],'edges':"
	       "[['a','b'],['b','c'],['d','c'],['c','e'],['d','f']]}");
	RUN("d");
	EXPECT_GRANTED(START("a"));
	EXPECT_GRANTED(FAIL("a"));
	EXPECT_STATE("b", "cancelled");
	EXPECT_STATE("c", "cancelled");
	EXPECT_STATE("e", "cancelled");
	EXPECT_STATE("f", "ready");
	EXPECT_FALSE(sim_bool(PROGRESS(), "/done"));
	RUN("f");
	EXPECT_STREQ("failed", sim_str(PROGRESS(), "/state"));
	c = CALL("nodes", "{'workflow':'w','state':'cancelled','limit':2}");
	EXPECT_EQ(2, sim_size(c, ""));
	EXPECT_STREQ("c", sim_str(c, "/1/node"));
	c = CALL("nodes", "{'workflow':'w','state':'cancelled','after':'c'}");
	EXPECT_EQ(1, sim_size(c, ""));
	EXPECT_STREQ("e", sim_str(c, "/0/node"));
}

TEST_F(dag, a_node_running_beside_a_cancelled_one_can_finish)
{
	CREATE("'nodes':['a','b','c'],'edges':[['a','c'],['b','c']]}");
	EXPECT_EQ(2, sim_size(TAKE(5), "/nodes"));
	EXPECT_GRANTED(FAIL("a"));
	EXPECT_STATE("c", "cancelled");
	EXPECT_EQ(0, sim_uint(COMPLETE("b"), "/ready"));
	EXPECT_STATE("c", "cancelled");
}

TEST_F(dag, cancelling_a_node_cancels_what_waits_for_it)
{
	DIAMOND();
	RUN("a");
	EXPECT_GRANTED(START("b"));
	EXPECT_GRANTED(CALL("cancel", "{'workflow':'w','node':'b'}"));
	EXPECT_STATE("b", "cancelled");
	EXPECT_STATE("d", "cancelled");
	EXPECT_STATE("c", "ready");
	EXPECT_FAILS(COMPLETE("b"), ECANCELED);
	EXPECT_FAILS(CALL("cancel", "{'workflow':'w','node':'a'}"), EALREADY);
	RUN("c");
	EXPECT_STREQ("cancelled", sim_str(PROGRESS(), "/state"));
}

TEST_F(dag, cancelling_a_workflow_ends_it)
{
	struct sim_call *taker, *watcher;

	CREATE("'nodes':['a','b'],'edges':[['a','b']],"
	       "'max_attempts':2,'backoff_ms':50}");
	EXPECT_GRANTED(START("a"));
	EXPECT_GRANTED(FAIL("a"));
	taker = WAIT_TAKE(1);
	watcher = CALL("wait", "{'workflow':'w'}");
	EXPECT_WAITS(taker);
	EXPECT_WAITS(watcher);
	EXPECT_TRUE(sim_bool(CALL("cancel", "{'workflow':'w'}"), "/done"));
	EXPECT_GRANTED(taker);
	EXPECT_TRUE(sim_bool(taker, "/done"));
	EXPECT_STREQ("cancelled", sim_str(watcher, "/state"));
	/* The pause of a is over then, and means nothing any more. */
	sim_advance(self->sim, 100);
	EXPECT_EQ(2, COUNT("cancelled"));
}

TEST_F(dag, a_workflow_that_is_not_over_is_deleted_only_by_force)
{
	struct sim_call *taker;

	DIAMOND();
	EXPECT_GRANTED(START("a"));
	taker = WAIT_TAKE(1);
	EXPECT_FAILS(CALL("delete", "{'workflow':'w'}"), EBUSY);
	EXPECT_WAITS(taker);
	EXPECT_GRANTED(CALL("delete", "{'workflow':'w','force':true}"));
	EXPECT_FAILS(taker, ECANCELED);
	EXPECT_FAILS(PROGRESS(), ENOENT);
	EXPECT_GRANTED(DIAMOND());
}

/* --- waiting -------------------------------------------------------------------- */

TEST_F(dag, a_waiting_take_is_answered_when_nodes_become_ready)
{
	struct sim_call *first, *second;

	DIAMOND();
	EXPECT_GRANTED(START("a"));
	first = WAIT_TAKE(5);
	second = WAIT_TAKE(5);
	EXPECT_WAITS(first);
	EXPECT_GRANTED(COMPLETE("a"));
	/* Both nodes at once, to who came first. */
	EXPECT_GRANTED(first);
	EXPECT_EQ(2, sim_size(first, "/nodes"));
	EXPECT_WAITS(second);
	EXPECT_GRANTED(COMPLETE("b"));
	EXPECT_GRANTED(COMPLETE("c"));
	EXPECT_STREQ("d", sim_str(second, "/nodes/0/node"));
}

TEST_F(dag, a_waiting_take_is_answered_when_a_pause_ends)
{
	struct sim_call *c;

	CREATE("'nodes':['a'],'max_attempts':2,'backoff_ms':10}");
	EXPECT_GRANTED(START("a"));
	EXPECT_GRANTED(FAIL("a"));
	c = WAIT_TAKE(1);
	EXPECT_WAITS(c);
	sim_advance(self->sim, 10);
	EXPECT_EQ(2, sim_uint(c, "/nodes/0/attempt"));
}

TEST_F(dag, a_waiting_take_that_times_out_is_empty)
{
	struct sim_call *c;

	DIAMOND();
	EXPECT_GRANTED(START("a"));
	c = CALL("take", "{'workflow':'w','timeout_ms':20}");
	EXPECT_WAITS(c);
	sim_advance(self->sim, 20);
	EXPECT_GRANTED(c);
	EXPECT_EQ(0, sim_size(c, "/nodes"));
	EXPECT_FALSE(sim_bool(c, "/done"));
}

TEST_F(dag, nodes_that_a_taker_cannot_get_are_ready_in_their_order)
{
	struct sim_call *gone, *c;

	CREATE("'nodes':['a','b','c','d'],"
	       "'edges':[['a','b'],['a','c'],['a','d']]}");
	EXPECT_GRANTED(START("a"));
	gone = WAIT_TAKE(2);
	sim_abandon(gone);
	EXPECT_GRANTED(COMPLETE("a"));
	c = TAKE(5);
	EXPECT_EQ(3, sim_size(c, "/nodes"));
	EXPECT_STREQ("b", sim_str(c, "/nodes/0/node"));
	EXPECT_STREQ("c", sim_str(c, "/nodes/1/node"));
	EXPECT_STREQ("d", sim_str(c, "/nodes/2/node"));
	EXPECT_EQ(1, sim_uint(c, "/nodes/0/attempt"));
}

TEST_F(dag, a_cancelled_taker_takes_nothing)
{
	struct sim_call *c;

	DIAMOND();
	EXPECT_GRANTED(START("a"));
	c = WAIT_TAKE(5);
	sim_cancel(c);
	EXPECT_GRANTED(COMPLETE("a"));
	EXPECT_EQ(2, COUNT("ready"));
}

TEST_F(dag, wait_answers_at_the_end_or_times_out)
{
	struct sim_call *end, *early;

	CREATE("'nodes':['a']}");
	end = CALL("wait", "{'workflow':'w'}");
	early = CALL("wait", "{'workflow':'w','timeout_ms':5}");
	sim_advance(self->sim, 5);
	EXPECT_FAILS(early, ETIMEDOUT);
	EXPECT_WAITS(end);
	RUN("a");
	EXPECT_STREQ("done", sim_str(end, "/state"));
}

/* --- workers --------------------------------------------------------------------- */

TEST_F(dag, a_dead_workers_attempt_has_failed)
{
	struct sim_call *c;

	CREATE("'nodes':['a',{'id':'b','max_attempts':2}]}");
	c = FROM(A, "take", "{'workflow':'w','limit':2}");
	EXPECT_EQ(2, sim_size(c, "/nodes"));
	EXPECT_EQ(A, sim_uint(NODE("a"), "/holder"));
	sim_die(self->sim, A);
	EXPECT_STATE("a", "failed");
	EXPECT_STREQ("endpoint 1 died", sim_str(NODE("a"), "/error"));
	EXPECT_STATE("b", "ready");
}

TEST_F(dag, a_dead_workers_node_goes_to_the_next_that_waits)
{
	struct sim_call *c;

	CREATE("'nodes':['a'],'max_attempts':2}");
	EXPECT_GRANTED(FROM(A, "take", "{'workflow':'w'}"));
	c = FROM(B, "take", "{'workflow':'w','wait':true}");
	EXPECT_WAITS(c);
	sim_die(self->sim, A);
	EXPECT_STREQ("a", sim_str(c, "/nodes/0/node"));
}

TEST_F(dag, only_the_worker_and_the_conductor_end_an_attempt)
{
	CREATE("'nodes':['a','b']}");
	EXPECT_GRANTED(FROM(A, "take", "{'workflow':'w','limit':2}"));
	EXPECT_FAILS(FROM(B, "complete", "{'workflow':'w','node':'a'}"), EPERM);
	EXPECT_GRANTED(FROM(A, "complete", "{'workflow':'w','node':'a'}"));
	EXPECT_GRANTED(COMPLETE("b"));
	EXPECT_FALSE(sim_watches(self->sim, A));
}

TEST_F(dag, nothing_is_started_for_who_is_dead_already)
{
	CREATE("'nodes':['a']}");
	sim_die(self->sim, A);
	EXPECT_FAILS(FROM(A, "take", "{'workflow':'w'}"), ESRCH);
	EXPECT_FAILS(FROM(A, "start", "{'workflow':'w','node':'a'}"), ESRCH);
	EXPECT_STATE("a", "ready");
}

/* --- parameters --------------------------------------------------------------- */

TEST_F(dag, what_is_too_long_or_unknown_is_refused)
{
	char error[1002];

	EXPECT_GRANTED(CREATE("'nodes':[{'id':'a','backoff_ms':1,'backoff_max_ms':2}]}"));
	EXPECT_GRANTED(START("a"));
	memset(error, 'x', sizeof(error) - 1);
	error[1001] = 0;
	EXPECT_FAILS(CALL("fail", "{'workflow':'w','node':'a','error':'%s'}", error),
		     SBUS_CODE_INVALID_PARAMS);
	EXPECT_STATE("a", "running");
	error[1000] = 0;
	EXPECT_GRANTED(CALL("fail", "{'workflow':'w','node':'a','error':'%s','retry':false}",
			    error));
	EXPECT_STREQ(error, sim_str(NODE("a"), "/error"));
	EXPECT_FAILS(CALL("nodes", "{'workflow':'w','state':'red'}"),
		     SBUS_CODE_INVALID_PARAMS);
	EXPECT_FAILS(CALL("create", "{'workflow':'v','nodes':['a'],'edges':[['a','%s']]}",
			  error), SBUS_CODE_INVALID_PARAMS);
}

TEST_HARNESS_MAIN
