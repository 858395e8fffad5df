// SPDX-License-Identifier: MIT
/* dag_steps: the methods on nodes: which are ready, start, complete, fail. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "dag_methods.h"

int dag_do_ready(void *self, struct sbus_invocation *inv)
{
	uint64_t limit = DAG_LIST_LIMIT;
	struct dag_workflow *w;
	yyjson_mut_val *array;
	yyjson_mut_doc *doc;
	struct pit_list *pos;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "limit");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = sbus_param_u64(inv, "limit", SBUS_OPTIONAL, 1,
				     DAG_LIST_LIMIT, &limit);
	if (ret)
		return ret;
	array = dag_result(inv, &doc, yyjson_mut_arr);
	if (!array)
		return -ENOMEM;
	for (pos = w->ready.next; pos != &w->ready && limit;
	     pos = pos->next, limit--) {
		struct dag_node *node =
			pit_container_of(pos, struct dag_node, link);

		yyjson_mut_arr_add_strncpy(doc, array, node->by_name.key,
					   node->by_name.len);
	}
	return 0;
}

int dag_do_take(void *self, struct sbus_invocation *inv)
{
	uint64_t limit = 1, timeout_ms = 0;
	struct pit_list taken;
	struct dag_workflow *w;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	bool wait = false;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "limit", "wait", "timeout_ms");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = sbus_param_u64(inv, "limit", SBUS_OPTIONAL, 1,
				     DAG_LIST_LIMIT, &limit);
	if (!ret)
		ret = sbus_param_bool(inv, "wait", SBUS_OPTIONAL, &wait);
	if (wait)
		timeout_ms = UINT64_MAX;
	if (!ret)
		ret = sbus_param_u64(inv, "timeout_ms", SBUS_OPTIONAL, 0,
				     PIT_WAIT_MAX, &timeout_ms);
	if (ret)
		return ret;
	if (timeout_ms && !dag_workflow_over(w) && pit_list_empty(&w->ready))
		return dag_wait(w, inv, limit, timeout_ms);

	obj = dag_result(inv, &doc, yyjson_mut_obj);
	if (!obj)
		return -ENOMEM;
	ret = dag_take(w, inv->sender, limit, &taken);
	if (ret)
		return pit_unwatched(inv, ret);
	dag_describe_taken(w, &taken, doc, obj);
	dag_keep(&taken);
	return 0;
}

int dag_do_start(void *self, struct sbus_invocation *inv)
{
	struct dag_workflow *w;
	struct dag_node *node;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "node");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = dag_param_node(w, inv, "node", 0, &node);
	if (ret)
		return ret;
	if (node->state != DAG_READY)
		return sbus_fail(inv, EINVAL,
				 "start: node '%s' is %s, not ready; it waits for %u nodes",
				 (const char *)node->by_name.key,
				 dag_state_names[node->state], node->waits_for);
	obj = dag_result(inv, &doc, yyjson_mut_obj);
	if (!obj)
		return -ENOMEM;
	ret = dag_node_start(node, inv->sender);
	if (ret)
		return pit_unwatched(inv, ret);
	dag_describe_node(node, doc, obj);
	return 0;
}

int dag_do_complete(void *self, struct sbus_invocation *inv)
{
	struct dag_node *node;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	uint32_t n_ready;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "node", "attempt");
	if (!ret)
		ret = dag_param_running(self, inv, &node);
	if (ret)
		return ret;
	obj = dag_result(inv, &doc, yyjson_mut_obj);
	if (!obj)
		return -ENOMEM;
	n_ready = dag_node_complete(node);
	dag_settle(node->workflow);
	yyjson_mut_obj_add_uint(doc, obj, "ready", n_ready);
	yyjson_mut_obj_add_bool(doc, obj, "done",
				dag_workflow_over(node->workflow));
	return 0;
}

int dag_do_fail(void *self, struct sbus_invocation *inv)
{
	const char *error = NULL;
	struct dag_node *node;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	char *copy = NULL;
	bool retry = true;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "node", "attempt", "error",
			       "retry");
	if (!ret)
		ret = sbus_param_str(inv, "error", SBUS_OPTIONAL, &error);
	if (!ret)
		ret = sbus_param_bool(inv, "retry", SBUS_OPTIONAL, &retry);
	if (!ret)
		ret = dag_param_running(self, inv, &node);
	if (ret)
		return ret;
	if (error && strlen(error) > DAG_ERROR_MAX)
		return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
				 "fail: parameter 'error': expected at most %d bytes, got %zu",
				 DAG_ERROR_MAX, strlen(error));
	if (error) {
		copy = strdup(error);
		if (!copy)
			return -ENOMEM;
	}
	obj = dag_result(inv, &doc, yyjson_mut_obj);
	if (!obj) {
		free(copy);
		return -ENOMEM;
	}
	dag_node_fail(node, copy, retry);
	dag_describe_node(node, doc, obj);
	yyjson_mut_obj_add_bool(doc, obj, "done",
				dag_workflow_over(node->workflow));
	dag_settle(node->workflow);
	return 0;
}

int dag_do_stat_node(void *self, struct sbus_invocation *inv)
{
	struct dag_workflow *w;
	struct dag_node *node;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "node");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = dag_param_node(w, inv, "node", 0, &node);
	if (ret)
		return ret;
	obj = dag_result(inv, &doc, yyjson_mut_obj);
	if (!obj)
		return -ENOMEM;
	dag_describe_node(node, doc, obj);
	return 0;
}

static int param_state(struct sbus_invocation *inv, int *state)
{
	const char *name = NULL;
	int ret;

	ret = sbus_param_str(inv, "state", SBUS_OPTIONAL, &name);
	if (ret || !name)
		return ret;
	for (*state = 0; *state < DAG_N_STATES; (*state)++)
		if (!strcmp(name, dag_state_names[*state]))
			return 0;
	return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
			 "nodes: parameter 'state': expected one of pending, ready, running, backoff, done, failed, cancelled");
}

int dag_do_nodes(void *self, struct sbus_invocation *inv)
{
	uint64_t limit = DAG_LIST_LIMIT;
	struct dag_node *after = NULL;
	struct dag_workflow *w;
	yyjson_mut_val *array;
	yyjson_mut_doc *doc;
	int state = -1, ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "state", "after", "limit");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = param_state(inv, &state);
	if (!ret)
		ret = dag_param_node(w, inv, "after", SBUS_OPTIONAL, &after);
	if (!ret)
		ret = sbus_param_u64(inv, "limit", SBUS_OPTIONAL, 1,
				     DAG_LIST_LIMIT, &limit);
	if (ret)
		return ret;
	array = dag_result(inv, &doc, yyjson_mut_arr);
	if (!array)
		return -ENOMEM;
	for (struct dag_node *node = after ? after + 1 : w->nodes;
	     node < w->nodes + w->graph.n_nodes && limit; node++) {
		if (state >= 0 && node->state != (enum dag_state)state)
			continue;
		dag_describe_node(node, doc, yyjson_mut_arr_add_obj(doc, array));
		limit--;
	}
	return 0;
}
