// SPDX-License-Identifier: MIT
/* dag_admin: the methods on whole workflows. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "dag_methods.h"

int dag_do_create(void *self, struct sbus_invocation *inv)
{
	struct dag_tracker *t = self;
	const char *name = NULL;
	struct dag_workflow *w;
	char made[32];
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "nodes", "edges",
			       "max_attempts", "backoff_ms", "backoff_max_ms");
	if (!ret)
		ret = pit_param_name(inv, "workflow", SBUS_OPTIONAL, &name);
	if (ret)
		return ret;
	if (name && dag_lookup(t, name))
		return sbus_fail(inv, EEXIST,
				 "create: workflow '%s' is there already; delete removes it",
				 name);
	if (t->workflows.count >= DAG_MAX_WORKFLOWS)
		return sbus_fail(inv, ENOSPC,
				 "create: there are %d workflows already; delete removes one",
				 DAG_MAX_WORKFLOWS);
	while (!name || name == made) {
		snprintf(made, sizeof(made), "workflow-%llu",
			 (unsigned long long)++t->last_name);
		name = made;
		if (!dag_lookup(t, made))
			break;
	}
	ret = dag_workflow_create(t, inv, name, &w);
	return ret ?: dag_answer_progress(inv, w);
}

int dag_do_delete(void *self, struct sbus_invocation *inv)
{
	struct dag_workflow *w;
	bool force = false;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "force");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = sbus_param_bool(inv, "force", SBUS_OPTIONAL, &force);
	if (ret)
		return ret;
	if (!dag_workflow_over(w) && !force)
		return sbus_fail(inv, EBUSY,
				 "delete: workflow '%s' is not over; cancel it first, or pass force",
				 w->name);
	dag_workflow_free(w);
	return 0;
}

int dag_do_workflows(void *self, struct sbus_invocation *inv)
{
	struct dag_tracker *t = self;
	yyjson_mut_val *array;
	yyjson_mut_doc *doc;
	struct pit_list *pos;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, NULL);
	if (ret)
		return ret;
	array = dag_result(inv, &doc, yyjson_mut_arr);
	if (!array)
		return -ENOMEM;
	pit_list_for_each(pos, &t->workflow_list)
		yyjson_mut_arr_add_strcpy(
			doc, array,
			pit_container_of(pos, struct dag_workflow, link)->name);
	return 0;
}

int dag_do_progress(void *self, struct sbus_invocation *inv)
{
	struct dag_workflow *w;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	return ret ?: dag_answer_progress(inv, w);
}

int dag_do_wait_over(void *self, struct sbus_invocation *inv)
{
	uint64_t timeout_ms = UINT64_MAX;
	struct dag_workflow *w;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "timeout_ms");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = sbus_param_u64(inv, "timeout_ms", SBUS_OPTIONAL, 0,
				     PIT_WAIT_MAX, &timeout_ms);
	if (ret)
		return ret;
	if (dag_workflow_over(w))
		return dag_answer_progress(inv, w);
	return dag_wait(w, inv, 0, timeout_ms);
}

int dag_do_cancel(void *self, struct sbus_invocation *inv)
{
	struct dag_node *node = NULL;
	struct dag_workflow *w;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "workflow", "node");
	if (!ret)
		ret = dag_param_workflow(self, inv, &w);
	if (!ret)
		ret = dag_param_node(w, inv, "node", SBUS_OPTIONAL, &node);
	if (ret)
		return ret;
	if (!node)
		dag_workflow_cancel(w);
	else if (!dag_node_final(node))
		dag_node_cancel(node);
	else if (node->state != DAG_CANCELLED)
		return sbus_fail(inv, EALREADY, "cancel: node '%s' is %s already",
				 (const char *)node->by_name.key,
				 dag_state_names[node->state]);
	dag_settle(w);
	return dag_answer_progress(inv, w);
}
