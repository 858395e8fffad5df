// SPDX-License-Identifier: MIT
/* dag_workflow: the states of nodes; see the drawing in dag.h. */
#include <errno.h>

#include "cleanup.h"
#include "dag.h"

const char *const dag_state_names[DAG_N_STATES] = {
	[DAG_PENDING] = "pending",
	[DAG_READY] = "ready",
	[DAG_RUNNING] = "running",
	[DAG_BACKOFF] = "backoff",
	[DAG_DONE] = "done",
	[DAG_FAILED] = "failed",
	[DAG_CANCELLED] = "cancelled",
};

bool dag_node_final(const struct dag_node *node)
{
	return node->state == DAG_DONE || node->state == DAG_FAILED ||
	       node->state == DAG_CANCELLED;
}

bool dag_workflow_over(const struct dag_workflow *w)
{
	return w->counts[DAG_DONE] + w->counts[DAG_FAILED] +
	       w->counts[DAG_CANCELLED] == w->graph.n_nodes;
}

const char *dag_workflow_state(const struct dag_workflow *w)
{
	if (!dag_workflow_over(w))
		return "running";
	if (w->counts[DAG_FAILED])
		return "failed";
	return w->counts[DAG_CANCELLED] ? "cancelled" : "done";
}

/* Leaves what the old state had: its place, its holder, its timer. */
static void set_state(struct dag_node *node, enum dag_state state)
{
	struct dag_workflow *w = node->workflow;

	if (node->state == DAG_READY)
		pit_list_unlink(&node->link);
	else if (node->state == DAG_RUNNING)
		pit_let_go(&w->tracker->holders, &node->held);
	sbus_timer_free(node->timer);
	node->timer = NULL;
	w->counts[node->state]--;
	node->state = state;
	w->counts[state]++;
	if (state == DAG_READY)
		pit_list_link_tail(&node->link, &w->ready);
}

/**
 * dag_node_start() - a ready node is done by @sender from here
 *
 * Return: 0, or the error of pit_hold(): it stays ready.
 */
int dag_node_start(struct dag_node *node, uint64_t sender)
{
	struct dag_workflow *w = node->workflow;
	int ret;

	ret = pit_hold(&w->tracker->holders, sender, &node->held);
	if (ret)
		return ret;
	set_state(node, DAG_RUNNING);
	node->attempts++;
	w->n_attempts++;
	return 0;
}

/* Nobody was told of the start: as if it had not been. First in line again. */
void dag_node_unstart(struct dag_node *node)
{
	struct dag_workflow *w = node->workflow;

	set_state(node, DAG_READY);
	pit_list_unlink(&node->link);
	pit_list_link_tail(&node->link, w->ready.next);
	node->attempts--;
	w->n_attempts--;
}

/* The nodes that wait for nothing, in the order they were given. */
void dag_workflow_begin(struct dag_workflow *w)
{
	for (uint32_t i = 0; i < w->graph.n_nodes; i++)
		if (!w->nodes[i].waits_for)
			set_state(&w->nodes[i], DAG_READY);
}

static struct dag_node *successor(const struct dag_node *node, uint32_t k)
{
	const struct dag_workflow *w = node->workflow;

	return &w->nodes[w->graph.succ[k]];
}

/**
 * dag_node_complete() - a running node is done; O(its successors)
 *
 * Return: how many nodes became ready.
 */
uint32_t dag_node_complete(struct dag_node *node)
{
	const struct dag_graph *g = &node->workflow->graph;
	uint32_t i = node - node->workflow->nodes, n_ready = 0;

	set_state(node, DAG_DONE);
	for (uint32_t k = g->first[i]; k < g->first[i + 1]; k++) {
		struct dag_node *next = successor(node, k);

		if (--next->waits_for || next->state != DAG_PENDING)
			continue;
		set_state(next, DAG_READY);
		n_ready++;
	}
	return n_ready;
}

/*
 * What waits for a node that will never be done is PENDING: it is in no list,
 * so the list of those still to be looked at can use its link. No recursion: a
 * chain may be as long as the workflow.
 */
static void cancel_downstream(struct dag_node *node)
{
	const struct dag_graph *g = &node->workflow->graph;
	struct pit_list todo;

	pit_list_init(&todo);
	for (;;) {
		uint32_t i = node - node->workflow->nodes;

		for (uint32_t k = g->first[i]; k < g->first[i + 1]; k++) {
			struct dag_node *next = successor(node, k);

			if (next->state != DAG_PENDING)
				continue;
			set_state(next, DAG_CANCELLED);
			pit_list_link_tail(&next->link, &todo);
		}
		if (pit_list_empty(&todo))
			break;
		node = pit_container_of(todo.next, struct dag_node, link);
		pit_list_unlink(&node->link);
	}
}

/*
 * The pause after the attempts so far:
 * backoff_ms after the first, twice as long after each more, at most
 * backoff_max_ms.
 */
static uint64_t delay_ms(const struct dag_node *node)
{
	const struct dag_retry *retry = &node->retry;
	uint64_t delay = retry->backoff_ms;

	for (uint32_t i = 1; i < node->attempts; i++) {
		if (!delay || delay >= retry->backoff_max_ms)
			break;
		delay *= 2;
	}
	return delay < retry->backoff_max_ms ? delay : retry->backoff_max_ms;
}

static void back(void *self, void *arg)
{
	struct dag_node *node = arg;

	(void)self;
	set_state(node, DAG_READY);
	dag_settle(node->workflow);
}

/**
 * dag_node_fail() - the running attempt failed
 * @error: why, taken; or NULL
 * @again: false when another attempt is of no use
 */
void dag_node_fail(struct dag_node *node, char *error, bool again)
{
	struct dag_workflow *w = node->workflow;
	uint64_t delay = delay_ms(node);

	free(node->error);
	node->error = error;
	if (!again || node->attempts >= node->retry.max_attempts) {
		set_state(node, DAG_FAILED);
		cancel_downstream(node);
		return;
	}
	w->n_retries++;
	set_state(node, DAG_BACKOFF);
	/* Without a timer it is too early rather than never. */
	if (!delay ||
	    sbus_timer_new(w->tracker->member, back, node, &node->timer) ||
	    sbus_timer_set(node->timer, pit_deadline(delay)))
		set_state(node, DAG_READY);
}

/**
 * dag_node_cancel() - a node that is not final, and all that waits for it
 */
void dag_node_cancel(struct dag_node *node)
{
	set_state(node, DAG_CANCELLED);
	cancel_downstream(node);
}

void dag_workflow_cancel(struct dag_workflow *w)
{
	for (uint32_t i = 0; i < w->graph.n_nodes; i++)
		if (!dag_node_final(&w->nodes[i]))
			set_state(&w->nodes[i], DAG_CANCELLED);
}

/* Also one that dag_workflow_create() left half made. */
void dag_workflow_free(struct dag_workflow *w)
{
	struct pit_list *lists[] = { &w->takers, &w->watchers };

	for (size_t i = 0; i < 2; i++)
		while (!pit_list_empty(lists[i]))
			dag_waiter_drop(pit_container_of(lists[i]->next,
							 struct dag_waiter,
							 link),
					ECANCELED, "was deleted");
	if (w->nodes)
		dag_workflow_cancel(w);
	for (uint32_t i = 0; w->nodes && i < w->graph.n_nodes; i++)
		free(w->nodes[i].error);
	if (w->by_name.key)
		pit_map_unlink(&w->tracker->workflows, &w->by_name);
	pit_list_unlink(&w->link);
	pit_map_deinit(&w->by_node);
	dag_graph_deinit(&w->graph);
	free(w->nodes);
	free(w->names);
	free(w);
}
