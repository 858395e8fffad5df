// SPDX-License-Identifier: MIT
/*
 * What a step costs does not depend on how much there is. Instructions are
 * counted by stepping a child one at a time: exact, the same everywhere, and no
 * clock is read.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest_harness.h>

#include "sim.h"

/*
 * The allocator's luck and a hash chain or two; a search through the nodes
 * would cost 100 times as much in the large case as in the small one.
 */
#define SLACK_PERCENT 40

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Marks the start and the end of what is counted, in the child. */
static void mark(void)
{
	raise(SIGSTOP);
}

/* Until the next mark. */
static long count_steps(pid_t pid)
{
	long steps = 0;
	int status;

	for (;; steps++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0))
			return -errno;
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return -ECHILD;
		if (WSTOPSIG(status) == SIGSTOP)
			return steps;
		if (WSTOPSIG(status) != SIGTRAP)
			return -EIO;
	}
}

/* Instructions that @work has between its marks; or a negative errno. */
static long instructions(void (*work)(int size), int size)
{
	pid_t pid = fork();
	long steps;
	int status;

	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(1);
		work(size);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -EPERM;
	steps = count_steps(pid);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return steps;
}

#define EXPECT_FLAT(work, small, large) do {				\
	long few, many;							\
									\
	if (SANITIZED)							\
		SKIP(return, "the sanitizer's own work would be counted");	\
	few = instructions(work, small);				\
	if (few == -EPERM)						\
		SKIP(return, "no ptrace here");				\
	many = instructions(work, large);				\
	ASSERT_LT(0, few);						\
	ASSERT_LT(0, many);						\
	TH_LOG("%ld instructions with %d, %ld with %d", few, small, many, large); \
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

/*
 * Chains of two, all independent: a node in the middle of many, each with one
 * successor. Params are parsed before the mark.
 */
static void complete_one_of(int size)
{
	struct sim *sim = sim_new("dag_tracker", NULL);
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = yyjson_mut_obj(doc), *nodes, *edges;
	char a[16], b[16];
	yyjson_doc *params;

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
	params = yyjson_mut_doc_imut_copy(doc, NULL);
	sim_call_val(sim, 0, "create", yyjson_doc_get_root(params));
	sim_call(sim, 0, "take", "{'workflow':'w','limit':10000}");
	/* The first calls also pay for the allocator and the dynamic linker. */
	name_node(a, "n", 0);
	named(sim, "complete", a);
	name_node(a, "n", size / 2);
	mark();
	named(sim, "complete", a);
	mark();
}

/* One node that all the others wait for. */
static void complete_the_hub_of(int size)
{
	struct sim *sim = sim_new("dag_tracker", NULL);
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = yyjson_mut_obj(doc), *nodes, *edges;
	yyjson_doc *params;
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
	params = yyjson_mut_doc_imut_copy(doc, NULL);
	sim_call_val(sim, 0, "create", yyjson_doc_get_root(params));
	sim_call(sim, 0, "take", "{'workflow':'w','limit':2}");
	named(sim, "complete", "first");
	mark();
	named(sim, "complete", "hub");
	mark();
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
	mark();
	sim_call(sim, 0, "release", "{'lease':%llu}", (unsigned long long)first);
	mark();
}

TEST(completing_a_node_costs_the_same_among_100_and_10000)
{
	EXPECT_FLAT(complete_one_of, 100, 10000);
}

TEST(completing_a_node_costs_by_its_successors)
{
	long ten, hundred, thousand, each_small, each_large;

	if (SANITIZED)
		SKIP(return, "the sanitizer's own work would be counted");
	ten = instructions(complete_the_hub_of, 10);
	if (ten == -EPERM)
		SKIP(return, "no ptrace here");
	hundred = instructions(complete_the_hub_of, 100);
	thousand = instructions(complete_the_hub_of, 1000);
	ASSERT_LT(0, ten);
	each_small = (hundred - ten) / 90;
	each_large = (thousand - hundred) / 900;
	TH_LOG("%ld instructions for a successor among 100, %ld among 1000",
	       each_small, each_large);
	EXPECT_LT(0, each_small);
	EXPECT_LE(each_large * 100, each_small * (100 + SLACK_PERCENT));
}

TEST(a_release_that_grants_costs_the_same_among_100_and_5000)
{
	EXPECT_FLAT(release_and_grant_among, 100, 5000);
}

/* Would these notice a search? Yes: this one has one. */
static void walk(int size)
{
	volatile int sum = 0;

	mark();
	for (int i = 0; i < size; i++)
		sum += i;
	mark();
}

TEST(the_counter_tells_work_that_grows_from_work_that_does_not)
{
	long few = instructions(walk, 100), many;

	if (few == -EPERM)
		SKIP(return, "no ptrace here");
	many = instructions(walk, 10000);
	EXPECT_LT(few * 10, many);
}

TEST_HARNESS_MAIN
