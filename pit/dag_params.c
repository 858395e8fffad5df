// SPDX-License-Identifier: MIT
/* dag_params: what methods name in their parameters, and what they tell. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "dag_methods.h"

struct dag_workflow *dag_lookup(struct dag_tracker *t, const char *name)
{
	struct pit_map_entry *e;

	e = pit_map_find(&t->workflows, name, strlen(name));
	return e ? pit_container_of(e, struct dag_workflow, by_name) : NULL;
}

int dag_param_workflow(struct dag_tracker *t, struct sbus_invocation *inv,
			 struct dag_workflow **w)
{
	const char *name;
	int ret;

	ret = pit_param_name(inv, "workflow", 0, &name);
	if (ret)
		return ret;
	*w = dag_lookup(t, name);
	if (*w)
		return 0;
	return sbus_fail(inv, ENOENT,
			 "%s: there is no workflow '%s'; create makes one",
			 inv->method, name);
}

int dag_param_node(struct dag_workflow *w, struct sbus_invocation *inv,
		     const char *param, unsigned int flags,
		     struct dag_node **node)
{
	const char *name = NULL;
	struct pit_map_entry *e;
	int ret;

	ret = pit_param_name(inv, param, flags, &name);
	if (ret || !name)
		return ret;
	e = pit_map_find(&w->by_node, name, strlen(name));
	if (!e)
		return sbus_fail(inv, ENOENT,
				 "%s: parameter '%s': workflow '%s' has no node '%s'",
				 inv->method, param, w->name, name);
	*node = pit_container_of(e, struct dag_node, by_name);
	return 0;
}

/* The node of complete() and fail(): running, and the caller's to report. */
int dag_param_running(struct dag_tracker *t, struct sbus_invocation *inv,
			struct dag_node **out)
{
	struct dag_workflow *w;
	struct dag_node *node;
	uint64_t attempt = 0;
	int ret;

	ret = dag_param_workflow(t, inv, &w);
	if (!ret)
		ret = dag_param_node(w, inv, "node", 0, &node);
	if (!ret)
		ret = sbus_param_u64(inv, "attempt", SBUS_OPTIONAL, 1,
				     DAG_MAX_ATTEMPTS, &attempt);
	if (ret)
		return ret;
	*out = node;
	if (attempt && attempt != node->attempts)
		return sbus_fail(inv, ESTALE,
				 "%s: attempt %llu of node '%s' is over; it is %s, with %u attempts made",
				 inv->method, (unsigned long long)attempt,
				 (const char *)node->by_name.key,
				 dag_state_names[node->state], node->attempts);
	if (node->state == DAG_CANCELLED)
		return sbus_fail(inv, ECANCELED, "%s: node '%s' was cancelled",
				 inv->method, (const char *)node->by_name.key);
	if (dag_node_final(node))
		return sbus_fail(inv, EALREADY, "%s: node '%s' is %s already",
				 inv->method, (const char *)node->by_name.key,
				 dag_state_names[node->state]);
	if (node->state != DAG_RUNNING)
		return sbus_fail(inv, EINVAL,
				 "%s: node '%s' is %s, not running; start or take it first",
				 inv->method, (const char *)node->by_name.key,
				 dag_state_names[node->state]);
	if (inv->sender && inv->sender != node->held.holder->endpoint)
		return sbus_fail(inv, EPERM,
				 "%s: node '%s' is run by endpoint %llu, not by the caller",
				 inv->method, (const char *)node->by_name.key,
				 (unsigned long long)node->held.holder->endpoint);
	return 0;
}

yyjson_mut_val *dag_result(struct sbus_invocation *inv, yyjson_mut_doc **doc,
			      yyjson_mut_val *(*new)(yyjson_mut_doc *doc))
{
	yyjson_mut_val *root;

	*doc = sbus_result(inv);
	if (!*doc)
		return NULL;
	root = new(*doc);
	yyjson_mut_doc_set_root(*doc, root);
	return root;
}

int dag_answer_progress(struct sbus_invocation *inv,
			   const struct dag_workflow *w)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = dag_result(inv, &doc, yyjson_mut_obj);

	if (!obj)
		return -ENOMEM;
	dag_describe(w, doc, obj);
	return 0;
}

void dag_describe_node(const struct dag_node *node, yyjson_mut_doc *doc,
			  yyjson_mut_val *obj)
{
	yyjson_mut_obj_add_strncpy(doc, obj, "node", node->by_name.key,
				   node->by_name.len);
	yyjson_mut_obj_add_str(doc, obj, "state", dag_state_names[node->state]);
	yyjson_mut_obj_add_uint(doc, obj, "waits_for", node->waits_for);
	yyjson_mut_obj_add_uint(doc, obj, "attempts", node->attempts);
	yyjson_mut_obj_add_uint(doc, obj, "max_attempts",
				node->retry.max_attempts);
	if (node->error)
		yyjson_mut_obj_add_strcpy(doc, obj, "error", node->error);
	if (node->state == DAG_RUNNING)
		yyjson_mut_obj_add_uint(doc, obj, "holder",
					node->held.holder->endpoint);
}
