// SPDX-License-Identifier: MIT
/*
 * What a step costs does not depend on how much there is. The extensions are
 * compiled with a call at each basic block, and the calls are counted: exact,
 * the same everywhere, and no clock is read.
 */
#include <stdio.h>
#include <kselftest_harness.h>

#include "sim.h"

/*
 * For a hash chain or two; a search through the nodes would cost 100 times as
 * much in the large case as in the small one.
 */
#define SLACK_PERCENT 20

static bool counting;
static long blocks;

/* Called by what -fsanitize-coverage=trace-pc compiles. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	blocks += counting;
}

/* Blocks that @work executes between start() and stop(). */
static long cost(void (*work)(int size), int size)
{
	blocks = 0;
	work(size);
	return blocks;
}

static void start(void)
{
	counting = true;
}

static void stop(void)
{
	counting = false;
}

#define EXPECT_FLAT(work, small, large) do {				\
	long few = cost(work, small);					\
	long many = cost(work, large);					\
									\
	TH_LOG("%ld blocks with %d, %ld with %d", few, small, many, large); \
	EXPECT_LT(10, few);						\
	EXPECT_LE(many * 100, few * (100 + SLACK_PERCENT));		\
} while (0)

static void name_node(char *name, const char *prefix, int i)
{
	snprintf(name, 16, "%s%06d", prefix, i);
}

static struct sim_call *named(struct sim *sim, const char *method, const char *name)
{
	return sim_call(sim, 0, method, "{'workflow':'w','node':'%s'}", name);
}

static struct sim *create(yyjson_mut_doc *doc)
{
	struct sim *sim = sim_new("dag_tracker", NULL);
	yyjson_doc *params = yyjson_mut_doc_imut_copy(doc, NULL);

	sim_call_val(sim, 0, "create", yyjson_doc_get_root(params));
	yyjson_doc_free(params);
	yyjson_mut_doc_free(doc);
	return sim;
}

/* Chains of two, all independent. */
static struct sim *create_pairs(int size)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = yyjson_mut_obj(doc), *nodes, *edges;
	char a[16], b[16];

	yyjson_mut_doc_set_root(doc, obj);
	yyjson_mut_obj_add_str(doc, obj, "workflow", "w");
	nodes = yyjson_mut_obj_add_arr(doc, obj, "nodes");
	edges = yyjson_mut_obj_add_arr(doc, obj, "edges");
	for (int i = 0; i < size; i += 2) {
		yyjson_mut_val *edge = yyjson_mut_arr_add_arr(doc, edges);

		name_node(a, "n", i);
		name_node(b, "n", i + 1);
		yyjson_mut_arr_add_strcpy(doc, nodes, a);
		yyjson_mut_arr_add_strcpy(doc, nodes, b);
		yyjson_mut_arr_add_strcpy(doc, edge, a);
		yyjson_mut_arr_add_strcpy(doc, edge, b);
	}
	return create(doc);
}

static void complete_one_of(int size)
{
	struct sim *sim = create_pairs(size);
	char name[16];

	sim_call(sim, 0, "take", "{'workflow':'w','limit':10000}");
	name_node(name, "n", size / 2);
	start();
	named(sim, "complete", name);
	stop();
	sim_free(sim);
}

/* A whole workflow, from its first node to its last. */
static void complete_all_of(int size)
{
	struct sim *sim = create_pairs(size);
	struct sim_call *c;
	char pointer[40];

	start();
	do {
		c = sim_call(sim, 0, "take", "{'workflow':'w','limit':100}");
		for (size_t i = 0; i < sim_size(c, "/nodes"); i++) {
			snprintf(pointer, sizeof(pointer), "/nodes/%zu/node", i);
			named(sim, "complete", sim_str(c, pointer));
		}
	} while (!sim_bool(c, "/done"));
	stop();
	sim_free(sim);
}

/* One node that all the others wait for. */
static void complete_the_hub_of(int size)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = yyjson_mut_obj(doc), *nodes, *edges;
	struct sim *sim;
	char name[16];

	yyjson_mut_doc_set_root(doc, obj);
	yyjson_mut_obj_add_str(doc, obj, "workflow", "w");
	nodes = yyjson_mut_obj_add_arr(doc, obj, "nodes");
	edges = yyjson_mut_obj_add_arr(doc, obj, "edges");
	yyjson_mut_arr_add_str(doc, nodes, "first");
	yyjson_mut_arr_add_str(doc, nodes, "hub");
	for (int i = 0; i < size; i++) {
		yyjson_mut_val *edge = yyjson_mut_arr_add_arr(doc, edges);

		name_node(name, "n", i);
		yyjson_mut_arr_add_strcpy(doc, nodes, name);
		yyjson_mut_arr_add_str(doc, edge, "hub");
		yyjson_mut_arr_add_strcpy(doc, edge, name);
	}
	sim = create(doc);
	sim_call(sim, 0, "take", "{'workflow':'w','limit':2}");
	named(sim, "complete", "first");
	start();
	named(sim, "complete", "hub");
	stop();
	sim_free(sim);
}

/* A pool full of leases and idle models, with a queue. */
static void release_and_grant_among(int size)
{
	struct sim *sim = sim_new("pool_manager", "{\"capacity\":100000}");
	struct sim_call *c;
	uint64_t first;

	for (int i = 0; i < size; i++) {
		c = sim_call(sim, 0, "acquire", "{'model':'m%06d'}", i);
		sim_call(sim, 0, "report", "{'model':'m%06d','state':'hot'}", i);
		sim_call(sim, 0, "release", "{'lease':%llu}",
			 (unsigned long long)sim_uint(c, "/lease"));
	}
	c = sim_call(sim, 0, "acquire", "{'units':%d}", 100000 - size);
	first = sim_uint(c, "/lease");
	for (int i = 0; i < size; i++)
		sim_call(sim, 0, "acquire", "{'units':%d}", 90000);
	start();
	sim_call(sim, 0, "release", "{'lease':%llu}", (unsigned long long)first);
	stop();
	sim_free(sim);
}

TEST(completing_a_node_costs_the_same_among_100_and_10000)
{
	EXPECT_FLAT(complete_one_of, 100, 10000);
}

TEST(a_workflow_of_10000_nodes_costs_100_times_one_of_100)
{
	long few = cost(complete_all_of, 100), many = cost(complete_all_of, 10000);

	TH_LOG("%ld blocks for 100 nodes, %ld for 10000", few, many);
	EXPECT_LE(many, few * (100 + SLACK_PERCENT));
}

TEST(completing_a_node_costs_by_its_successors)
{
	long ten = cost(complete_the_hub_of, 10);
	long hundred = cost(complete_the_hub_of, 100);
	long thousand = cost(complete_the_hub_of, 1000);
	long few = (hundred - ten) * 10, many = thousand - hundred;

	TH_LOG("%ld blocks for 900 successors of 100, %ld of 1000", few, many);
	EXPECT_LT(900, few);
	EXPECT_LE(many * 100, few * (100 + SLACK_PERCENT));
}

TEST(a_release_that_grants_costs_the_same_among_100_and_5000)
{
	EXPECT_FLAT(release_and_grant_among, 100, 5000);
}

/* Would the counter notice a walk through the nodes? Here is one. */
static void list_nodes_of(int size)
{
	struct sim *sim = create_pairs(size);

	start();
	sim_call(sim, 0, "nodes", "{'workflow':'w'}");
	stop();
	sim_free(sim);
}

TEST(the_counter_tells_work_that_grows_from_work_that_does_not)
{
	EXPECT_LT(cost(list_nodes_of, 100) * 10, cost(list_nodes_of, 10000));
}

TEST_HARNESS_MAIN
