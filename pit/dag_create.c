// SPDX-License-Identifier: MIT
/* dag_create: a workflow from the nodes and edges of create(). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "dag.h"

/* Of a cycle, what a sentence can hold; "data" has all of it. */
#define TOLD_NODES 8

struct builder {
	struct dag_tracker *tracker;
	struct sbus_invocation *inv;
	struct dag_workflow *w;
	struct dag_retry retry;		/* for nodes that say nothing */
	size_t names_used;
};

static int refuse(struct builder *b, const char *list, size_t i,
		  const char *expected)
{
	return sbus_fail(b->inv, SBUS_CODE_INVALID_PARAMS,
			 "create: %s[%zu]: expected %s", list, i, expected);
}

/* An integer member of a node; the caller knows that @val is its value. */
static int retry_member(struct builder *b, size_t i, const char *name,
			yyjson_val *val, uint64_t min, uint64_t max,
			uint64_t *out)
{
	if (!yyjson_is_uint(val) || yyjson_get_uint(val) < min ||
	    yyjson_get_uint(val) > max)
		return sbus_fail(b->inv, SBUS_CODE_INVALID_PARAMS,
				 "create: nodes[%zu].%s: expected an integer from %llu to %llu",
				 i, name, (unsigned long long)min,
				 (unsigned long long)max);
	*out = yyjson_get_uint(val);
	return 0;
}

static int node_members(struct builder *b, size_t i, yyjson_val *obj,
			struct dag_retry *retry, yyjson_val **id)
{
	yyjson_val *key, *val;
	yyjson_obj_iter iter;
	int ret = 0;

	yyjson_obj_iter_init(obj, &iter);
	while (!ret && (key = yyjson_obj_iter_next(&iter))) {
		val = yyjson_obj_iter_get_val(key);
		if (yyjson_equals_str(key, "id")) {
			/* names_size() measured the first. */
			if (*id)
				return refuse(b, "nodes", i, "one id");
			*id = val;
		} else if (yyjson_equals_str(key, "max_attempts")) {
			ret = retry_member(b, i, "max_attempts", val, 1,
					   DAG_MAX_ATTEMPTS,
					   &retry->max_attempts);
		} else if (yyjson_equals_str(key, "backoff_ms")) {
			ret = retry_member(b, i, "backoff_ms", val, 0,
					   PIT_WAIT_MAX, &retry->backoff_ms);
		} else if (yyjson_equals_str(key, "backoff_max_ms")) {
			ret = retry_member(b, i, "backoff_max_ms", val, 0,
					   PIT_WAIT_MAX,
					   &retry->backoff_max_ms);
		} else {
			ret = refuse(b, "nodes", i,
				     "no members but id, max_attempts, backoff_ms and backoff_max_ms");
		}
	}
	return ret;
}

static struct dag_node *find_node(struct builder *b, yyjson_val *id)
{
	struct pit_map_entry *e;

	e = pit_map_find(&b->w->by_node, yyjson_get_str(id),
			 yyjson_get_len(id));
	return e ? pit_container_of(e, struct dag_node, by_name) : NULL;
}

static int add_node(struct builder *b, size_t i, yyjson_val *val)
{
	struct dag_node *node = &b->w->nodes[i], *twin;
	struct dag_retry retry = b->retry;
	yyjson_val *id = val;
	char *name;
	size_t len;
	int ret;

	if (yyjson_is_obj(val)) {
		id = NULL;
		ret = node_members(b, i, val, &retry, &id);
		if (ret)
			return ret;
	}
	len = yyjson_get_len(id);
	if (!yyjson_is_str(id) || !len || len > PIT_NAME_MAX)
		return refuse(b, "nodes", i,
			      "an id, or an object with one: a string of 1 to 255 bytes");
	/* Ids are asked for as C strings, so one that is none is never found. */
	if (strlen(yyjson_get_str(id)) != len)
		return refuse(b, "nodes", i, "an id without a NUL in it");
	twin = find_node(b, id);
	if (twin)
		return sbus_fail(b->inv, EEXIST,
				 "create: nodes[%zu] repeats nodes[%zu]: '%s'",
				 i, (size_t)(twin - b->w->nodes),
				 yyjson_get_str(id));

	name = b->w->names + b->names_used;
	memcpy(name, yyjson_get_str(id), len + 1);
	b->names_used += len + 1;
	node->workflow = b->w;
	node->retry = retry;
	pit_list_init(&node->link);
	pit_map_link(&b->w->by_node, &node->by_name, name, len);
	b->w->counts[DAG_PENDING]++;
	return 0;
}

/* How many bytes the ids take, each with its terminator. */
static size_t names_size(yyjson_val *nodes)
{
	yyjson_arr_iter iter;
	yyjson_val *val;
	size_t size = 0;

	yyjson_arr_iter_init(nodes, &iter);
	while ((val = yyjson_arr_iter_next(&iter))) {
		if (yyjson_is_obj(val))
			val = yyjson_obj_get(val, "id");
		size += yyjson_get_len(val) + 1;
	}
	return size;
}

static int add_nodes(struct builder *b, yyjson_val *nodes)
{
	struct dag_workflow *w = b->w;
	size_t n = yyjson_arr_size(nodes);
	yyjson_arr_iter iter;
	yyjson_val *val;
	int ret;

	if (n > DAG_MAX_NODES)
		return sbus_fail(b->inv, E2BIG,
				 "create: %zu nodes are more than the %d a workflow can have",
				 n, DAG_MAX_NODES);
	w->nodes = calloc(n + 1, sizeof(*w->nodes));
	w->names = malloc(names_size(nodes) + 1);
	if (!w->nodes || !w->names)
		return -ENOMEM;
	ret = pit_map_init(&w->by_node, n);
	if (ret)
		return ret;
	yyjson_arr_iter_init(nodes, &iter);
	for (size_t i = 0; (val = yyjson_arr_iter_next(&iter)); i++) {
		ret = add_node(b, i, val);
		if (ret)
			return ret;
	}
	return 0;
}

static int edge_end(struct builder *b, size_t i, yyjson_val *id, uint32_t *end)
{
	struct dag_node *node;

	if (!yyjson_is_str(id))
		return refuse(b, "edges", i,
			      "[from, to] or {\"from\": ..., \"to\": ...} with ids of nodes");
	node = find_node(b, id);
	if (!node) {
		/* An id longer than any node's need not be repeated in full. */
		if (yyjson_get_len(id) > PIT_NAME_MAX)
			return refuse(b, "edges", i, "ids of at most 255 bytes");
		return sbus_fail(b->inv, ENOENT,
				 "create: edges[%zu]: there is no node '%s'; add it to 'nodes'",
				 i, yyjson_get_str(id));
	}
	*end = node - b->w->nodes;
	return 0;
}

static int read_edge(struct builder *b, size_t i, yyjson_val *val,
		     struct dag_edge *edge)
{
	bool pair = yyjson_is_arr(val) && yyjson_arr_size(val) == 2;
	bool named = yyjson_is_obj(val) && yyjson_obj_size(val) == 2;
	yyjson_val *from, *to;
	int ret;

	from = pair ? yyjson_arr_get(val, 0) :
	       named ? yyjson_obj_get(val, "from") : NULL;
	to = pair ? yyjson_arr_get(val, 1) :
	     named ? yyjson_obj_get(val, "to") : NULL;
	ret = edge_end(b, i, from, &edge->from);
	return ret ?: edge_end(b, i, to, &edge->to);
}

static int tell_cycle(struct builder *b, const struct dag_fault *fault)
{
	char path[TOLD_NODES * (PIT_NAME_MAX + 4) + PIT_NAME_MAX + 64] = "";
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = NULL, *cycle = NULL;
	size_t used = 0;

	if (doc) {
		obj = yyjson_mut_obj(doc);
		yyjson_mut_doc_set_root(doc, obj);
		cycle = yyjson_mut_obj_add_arr(doc, obj, "cycle");
	}
	for (uint32_t i = 0; i < fault->cycle_len; i++) {
		const char *name = b->w->nodes[fault->cycle[i]].by_name.key;

		if (i < TOLD_NODES)
			used += snprintf(path + used, sizeof(path) - used,
					 "%s -> ", name);
		else if (i == TOLD_NODES)
			used += snprintf(path + used, sizeof(path) - used,
					 "(%u more) -> ",
					 fault->cycle_len - TOLD_NODES);
		if (cycle)
			yyjson_mut_arr_add_strcpy(doc, cycle, name);
	}
	snprintf(path + used, sizeof(path) - used, "%s",
		 (const char *)b->w->nodes[fault->cycle[0]].by_name.key);
	return sbus_fail_data(b->inv, ELOOP, doc,
			      "create: the edges have a cycle: %s; remove one of them",
			      path);
}

static int tell_fault(struct builder *b, const struct dag_fault *fault,
		      const struct dag_edge *edges)
{
	const struct dag_edge *edge = &edges[fault->edge];

	if (fault->kind == DAG_FAULT_CYCLE)
		return tell_cycle(b, fault);
	return sbus_fail(b->inv, EEXIST,
			 "create: edges[%u] repeats edges[%u]: '%s' -> '%s'",
			 fault->edge, fault->earlier,
			 (const char *)b->w->nodes[edge->from].by_name.key,
			 (const char *)b->w->nodes[edge->to].by_name.key);
}

static int add_edges(struct builder *b, yyjson_val *list)
{
	size_t n_nodes = b->w->by_node.count, n = yyjson_arr_size(list);
	pit_free struct dag_edge *edges = NULL;
	struct dag_graph *g = &b->w->graph;
	struct dag_fault fault = {};
	yyjson_arr_iter iter;
	yyjson_val *val;
	int ret;

	if (n > DAG_MAX_EDGES)
		return sbus_fail(b->inv, E2BIG,
				 "create: %zu edges are more than the %d a workflow can have",
				 n, DAG_MAX_EDGES);
	edges = malloc((n + 1) * sizeof(*edges));
	if (!edges)
		return -ENOMEM;
	yyjson_arr_iter_init(list, &iter);
	for (size_t i = 0; (val = yyjson_arr_iter_next(&iter)); i++) {
		ret = read_edge(b, i, val, &edges[i]);
		if (ret)
			return ret;
	}
	ret = dag_graph_init(g, n_nodes, edges, n, &fault);
	if (fault.kind)
		ret = tell_fault(b, &fault, edges);
	dag_fault_deinit(&fault);
	if (ret)
		return ret;
	for (size_t i = 0; i < n; i++)
		b->w->nodes[g->succ[i]].waits_for++;
	return 0;
}

static int read_retry(struct builder *b)
{
	struct sbus_invocation *inv = b->inv;
	struct dag_retry *retry = &b->retry;
	int ret;

	*retry = (struct dag_retry){ .max_attempts = 1, .backoff_max_ms = 60000 };
	ret = sbus_param_u64(inv, "max_attempts", SBUS_OPTIONAL, 1,
			     DAG_MAX_ATTEMPTS, &retry->max_attempts);
	if (!ret)
		ret = sbus_param_u64(inv, "backoff_ms", SBUS_OPTIONAL, 0,
				     PIT_WAIT_MAX, &retry->backoff_ms);
	if (!ret)
		ret = sbus_param_u64(inv, "backoff_max_ms", SBUS_OPTIONAL, 0,
				     PIT_WAIT_MAX, &retry->backoff_max_ms);
	return ret;
}

static struct dag_workflow *new_workflow(struct dag_tracker *tracker,
					 const char *name)
{
	size_t len = strlen(name);
	struct dag_workflow *w = calloc(1, sizeof(*w) + len + 1);

	if (!w)
		return NULL;
	memcpy(w->name, name, len);
	w->tracker = tracker;
	pit_list_init(&w->link);
	pit_list_init(&w->ready);
	pit_list_init(&w->takers);
	pit_list_init(&w->watchers);
	return w;
}

/**
 * dag_workflow_create() - make a workflow from the parameters of create()
 * @name: is not taken
 *
 * O(nodes + edges). Nothing is left of one that is refused.
 *
 * Return: 0, or what the method has to return.
 */
int dag_workflow_create(struct dag_tracker *tracker,
			struct sbus_invocation *inv, const char *name,
			struct dag_workflow **out)
{
	struct builder b = { .tracker = tracker, .inv = inv };
	yyjson_val *nodes, *edges = NULL;
	int ret;

	ret = sbus_param_val(inv, "nodes", YYJSON_TYPE_ARR, 0, &nodes);
	if (!ret)
		ret = sbus_param_val(inv, "edges", YYJSON_TYPE_ARR,
				     SBUS_OPTIONAL, &edges);
	if (!ret)
		ret = read_retry(&b);
	if (ret)
		return ret;
	b.w = new_workflow(tracker, name);
	if (!b.w)
		return -ENOMEM;
	ret = add_nodes(&b, nodes);
	if (!ret)
		ret = add_edges(&b, edges);
	if (ret) {
		dag_workflow_free(b.w);
		return ret;
	}
	pit_list_link_tail(&b.w->link, &tracker->workflow_list);
	pit_map_link(&tracker->workflows, &b.w->by_name, b.w->name,
		     strlen(b.w->name));
	dag_workflow_begin(b.w);
	*out = b.w;
	return 0;
}
