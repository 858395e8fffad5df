/* SPDX-License-Identifier: MIT */
/*
 * dag: workflows of nodes that wait for each other.
 *
 *	PENDING -> READY -> RUNNING -> DONE
 *	   |         ^ |       | |
 *	   |         | |       | `--> FAILED   (attempts used up)
 *	   |  BACKOFF' |       |
 *	   |    ^ |    |       |
 *	   |    `-|----|-------'  (failed, may try again)
 *	   `------+----+----------> CANCELLED
 *
 * DONE, FAILED and CANCELLED are final. When a node fails for good, or is
 * cancelled, all that waits for it, directly or not, is cancelled: each node
 * once in the life of the workflow.
 *
 * Completing a node looks at its successors and at nothing else.
 *
 * As in pool.h, functions change one thing, and dag_settle() gives answers that
 * became due, once, at the end of each method, timer and notification.
 */
#ifndef PIT_DAG_H
#define PIT_DAG_H

#include "dag_graph.h"
#include "holder.h"
#include "list.h"
#include "map.h"
#include "params.h"

#define DAG_MAX_WORKFLOWS 65536
#define DAG_MAX_NODES 1000000
#define DAG_MAX_EDGES 10000000
#define DAG_MAX_ATTEMPTS 1000000
#define DAG_LIST_LIMIT 10000
#define DAG_ERROR_MAX 1000

enum dag_state {
	DAG_PENDING,
	DAG_READY,
	DAG_RUNNING,
	DAG_BACKOFF,
	DAG_DONE,
	DAG_FAILED,
	DAG_CANCELLED,
	DAG_N_STATES,
};

struct dag_tracker {
	struct sbus_member *member;
	struct pit_map workflows;
	struct pit_list workflow_list;
	struct pit_holders holders;
	uint64_t last_name;
};

struct dag_retry {
	uint64_t max_attempts;
	uint64_t backoff_ms;
	uint64_t backoff_max_ms;
};

struct dag_node {
	struct dag_workflow *workflow;
	struct pit_map_entry by_name;
	struct pit_list link;		/* the ready list */
	struct pit_held held;		/* RUNNING: who does */
	struct sbus_timer *timer;	/* BACKOFF */
	char *error;			/* of the last attempt that failed */
	struct dag_retry retry;
	uint32_t waits_for;
	uint32_t attempts;
	enum dag_state state;
};

struct dag_workflow {
	struct dag_tracker *tracker;
	struct pit_map_entry by_name;
	struct pit_list link;
	struct dag_graph graph;
	struct dag_node *nodes;
	char *names;			/* of the nodes, one after another */
	struct pit_map by_node;
	struct pit_list ready;		/* the first to become ready first */
	struct pit_list takers;		/* who waits for ready nodes */
	struct pit_list watchers;	/* who waits for the end */
	uint64_t counts[DAG_N_STATES];
	uint64_t n_attempts;
	uint64_t n_retries;
	char name[];
};

/* A caller that waits: for up to limit ready nodes, or (limit 0) for the end. */
struct dag_waiter {
	struct dag_workflow *workflow;
	struct pit_list link;
	struct sbus_completion *completion;
	struct sbus_timer *timer;
	uint64_t sender;
	uint64_t limit;
	uint64_t timeout_ms;
};

/* dag_workflow.c */
extern const char *const dag_state_names[DAG_N_STATES];
bool dag_node_final(const struct dag_node *node);
bool dag_workflow_over(const struct dag_workflow *workflow);
const char *dag_workflow_state(const struct dag_workflow *workflow);
void dag_workflow_begin(struct dag_workflow *workflow);
void dag_workflow_free(struct dag_workflow *workflow);
int dag_node_start(struct dag_node *node, uint64_t sender);
void dag_node_unstart(struct dag_node *node);
uint32_t dag_node_complete(struct dag_node *node);
void dag_node_fail(struct dag_node *node, char *error, bool again);
void dag_node_cancel(struct dag_node *node);
void dag_workflow_cancel(struct dag_workflow *workflow);

/* dag_create.c */
int dag_workflow_create(struct dag_tracker *tracker,
			struct sbus_invocation *inv, const char *name,
			struct dag_workflow **workflow);

/* dag_wait.c */
int dag_take(struct dag_workflow *workflow, uint64_t sender, uint64_t limit,
	     struct pit_list *taken);
void dag_keep(struct pit_list *taken);
void dag_untake(struct pit_list *taken);
void dag_describe_taken(const struct dag_workflow *workflow,
			const struct pit_list *taken, yyjson_mut_doc *doc,
			yyjson_mut_val *obj);
void dag_describe(const struct dag_workflow *workflow, yyjson_mut_doc *doc,
		  yyjson_mut_val *obj);
int dag_wait(struct dag_workflow *workflow, struct sbus_invocation *inv,
	     uint64_t limit, uint64_t timeout_ms);
void dag_waiter_drop(struct dag_waiter *waiter, int code, const char *why);
void dag_settle(struct dag_workflow *workflow);

#endif
