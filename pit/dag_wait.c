// SPDX-License-Identifier: MIT
/*
 * dag_wait: taking ready nodes, and callers that wait for some or for the end
 * of the workflow, so that a Conductor need not ask again and again.
 */
#include <errno.h>
#include <stdio.h>

#include "cleanup.h"
#include "dag.h"

/**
 * dag_take() - start up to @limit ready nodes, the first to become ready first
 * @taken: (out) list of the nodes; it ends with dag_keep() or dag_untake()
 *
 * Return: 0 (there may be none), or the error that kept the first from starting.
 */
int dag_take(struct dag_workflow *w, uint64_t sender, uint64_t limit,
	     struct pit_list *taken)
{
	pit_list_init(taken);
	while (limit-- && !pit_list_empty(&w->ready)) {
		struct dag_node *node = pit_container_of(
			w->ready.next, struct dag_node, link);
		int ret = dag_node_start(node, sender);

		if (ret)
			return pit_list_empty(taken) ? ret : 0;
		pit_list_link_tail(&node->link, taken);
	}
	return 0;
}

/* Backwards, as each goes to the front: their order is kept. */
void dag_untake(struct pit_list *taken)
{
	while (!pit_list_empty(taken)) {
		struct dag_node *node = pit_container_of(
			taken->prev, struct dag_node, link);

		pit_list_unlink(&node->link);
		dag_node_unstart(node);
	}
}

/* The caller was told: the nodes are its. */
void dag_keep(struct pit_list *taken)
{
	while (!pit_list_empty(taken))
		pit_list_unlink(taken->next);
}

/**
 * dag_describe_taken() - the result of take()
 */
void dag_describe_taken(const struct dag_workflow *w,
			const struct pit_list *taken, yyjson_mut_doc *doc,
			yyjson_mut_val *obj)
{
	yyjson_mut_val *nodes = yyjson_mut_obj_add_arr(doc, obj, "nodes");
	struct pit_list *pos;

	pit_list_for_each(pos, taken) {
		struct dag_node *node =
			pit_container_of(pos, struct dag_node, link);
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, nodes);

		yyjson_mut_obj_add_strncpy(doc, item, "node",
					   node->by_name.key,
					   node->by_name.len);
		yyjson_mut_obj_add_uint(doc, item, "attempt", node->attempts);
	}
	yyjson_mut_obj_add_bool(doc, obj, "done", dag_workflow_over(w));
}

/**
 * dag_describe() - how far a workflow is
 */
void dag_describe(const struct dag_workflow *w, yyjson_mut_doc *doc,
		  yyjson_mut_val *obj)
{
	yyjson_mut_val *counts;

	yyjson_mut_obj_add_strcpy(doc, obj, "workflow", w->name);
	yyjson_mut_obj_add_str(doc, obj, "state", dag_workflow_state(w));
	yyjson_mut_obj_add_bool(doc, obj, "done", dag_workflow_over(w));
	yyjson_mut_obj_add_uint(doc, obj, "total", w->graph.n_nodes);
	yyjson_mut_obj_add_uint(doc, obj, "edges", w->graph.n_edges);
	counts = yyjson_mut_obj_add_obj(doc, obj, "counts");
	for (int i = 0; i < DAG_N_STATES; i++)
		yyjson_mut_obj_add_uint(doc, counts, dag_state_names[i],
					w->counts[i]);
	yyjson_mut_obj_add_uint(doc, obj, "attempts", w->n_attempts);
	yyjson_mut_obj_add_uint(doc, obj, "retries", w->n_retries);
}

/* The waiter without its completion, which gets exactly one outcome. */
static struct sbus_completion *finish(struct dag_waiter *waiter)
{
	struct sbus_completion *completion = waiter->completion;

	pit_list_unlink(&waiter->link);
	sbus_timer_free(waiter->timer);
	free(waiter);
	return completion;
}

/**
 * dag_waiter_drop() - end a wait with an error
 * @why: the end of the sentence that starts with the workflow
 */
void dag_waiter_drop(struct dag_waiter *waiter, int code, const char *why)
{
	const struct dag_workflow *w = waiter->workflow;
	const char *method = waiter->limit ? "take" : "wait";

	/* A caller that is gone is not told, and needs not be. */
	sbus_complete_error(finish(waiter), code, NULL, "%s: workflow '%s' %s",
			    method, w->name, why);
}

static yyjson_mut_val *new_obj(yyjson_mut_doc **doc)
{
	yyjson_mut_val *obj;

	*doc = yyjson_mut_doc_new(NULL);
	obj = *doc ? yyjson_mut_obj(*doc) : NULL;
	if (!obj) {
		yyjson_mut_doc_free(*doc);
		return NULL;
	}
	yyjson_mut_doc_set_root(*doc, obj);
	return obj;
}

static void answer_taker(struct dag_waiter *waiter)
{
	struct dag_workflow *w = waiter->workflow;
	struct pit_list taken;
	yyjson_mut_val *obj;
	yyjson_mut_doc *doc;
	int ret;

	ret = dag_take(w, waiter->sender, waiter->limit, &taken);
	if (ret) {
		dag_waiter_drop(waiter, -ret,
				"has ready nodes, but the caller cannot be watched");
		return;
	}
	obj = new_obj(&doc);
	if (!obj) {
		dag_untake(&taken);
		dag_waiter_drop(waiter, ENOMEM, "cannot be told: out of memory");
		return;
	}
	dag_describe_taken(w, &taken, doc, obj);
	if (sbus_complete(finish(waiter), doc))
		dag_untake(&taken);
	else
		dag_keep(&taken);
}

static void answer_watcher(struct dag_waiter *waiter)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = new_obj(&doc);

	if (!obj) {
		dag_waiter_drop(waiter, ENOMEM, "cannot be told: out of memory");
		return;
	}
	dag_describe(waiter->workflow, doc, obj);
	/* Nothing was given that would have to be taken back. */
	sbus_complete(finish(waiter), doc);
}

/**
 * dag_settle() - give the answers that became due
 */
void dag_settle(struct dag_workflow *w)
{
	bool over = dag_workflow_over(w);

	while (!pit_list_empty(&w->takers) &&
	       (over || !pit_list_empty(&w->ready)))
		answer_taker(pit_container_of(w->takers.next,
					      struct dag_waiter, link));
	while (over && !pit_list_empty(&w->watchers))
		answer_watcher(pit_container_of(w->watchers.next,
						struct dag_waiter, link));
}

static void expired(void *self, void *arg)
{
	struct dag_waiter *waiter = arg;
	char why[64];

	(void)self;
	if (waiter->limit) {
		/* Nothing is ready, or it had been told: the list is empty. */
		answer_taker(waiter);
		return;
	}
	snprintf(why, sizeof(why), "was not over within %llu ms",
		 (unsigned long long)waiter->timeout_ms);
	dag_waiter_drop(waiter, ETIMEDOUT, why);
}

/**
 * dag_wait() - owe the answer
 * @limit: how many ready nodes are wanted, 0: wait for the end
 * @timeout_ms: UINT64_MAX for none but the call's own deadline
 *
 * Return: SBUS_PENDING, or a negative errno: nothing is owed.
 */
int dag_wait(struct dag_workflow *w, struct sbus_invocation *inv,
	     uint64_t limit, uint64_t timeout_ms)
{
	pit_free struct dag_waiter *waiter = calloc(1, sizeof(*waiter));
	int ret = 0;

	if (!waiter)
		return -ENOMEM;
	waiter->workflow = w;
	waiter->sender = inv->sender;
	waiter->limit = limit;
	waiter->timeout_ms = timeout_ms;
	if (timeout_ms != UINT64_MAX) {
		ret = sbus_timer_new(w->tracker->member, expired, waiter,
				     &waiter->timer);
		if (!ret)
			ret = sbus_timer_set(waiter->timer,
					     pit_deadline(timeout_ms));
	}
	if (!ret) {
		waiter->completion = sbus_defer(inv, waiter);
		ret = waiter->completion ? 0 : -ENOMEM;
	}
	if (ret) {
		sbus_timer_free(waiter->timer);
		return ret;
	}
	pit_list_link_tail(&waiter->link, limit ? &w->takers : &w->watchers);
	waiter = NULL;
	return SBUS_PENDING;
}
