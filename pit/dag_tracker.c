// SPDX-License-Identifier: MIT
/*
 * dag_tracker: what of a workflow can run now, what ran, what will not; the
 * methods and the descriptor. docs/dag_tracker.md tells its users.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "dag_methods.h"

static void cancelled(void *self, struct sbus_completion *completion,
		      int reason)
{
	(void)self;
	(void)reason;
	dag_waiter_drop(sbus_completion_data(completion), ECANCELED,
			"is no longer waited for");
}

/* A dead worker's attempts failed; what they are worth is the node's to say. */
static void gone(void *self, uint64_t endpoint)
{
	struct dag_tracker *t = self;
	struct pit_held *held;
	char error[64];

	snprintf(error, sizeof(error), "endpoint %llu died",
		 (unsigned long long)endpoint);
	while ((held = pit_holder_first(&t->holders, endpoint))) {
		struct dag_node *node =
			pit_container_of(held, struct dag_node, held);

		dag_node_fail(node, strdup(error), true);
		dag_settle(node->workflow);
	}
}

/* Also of what init() left half made. Nothing is owed any more. */
static void fini(void *self)
{
	struct dag_tracker *t = self;

	while (!pit_list_empty(&t->workflow_list))
		dag_workflow_free(pit_container_of(t->workflow_list.next,
						   struct dag_workflow, link));
	pit_holders_deinit(&t->holders);
	pit_map_deinit(&t->workflows);
	free(t);
}

static int init(struct sbus_member *member, yyjson_val *config, void **self,
		struct sbus_error *error)
{
	struct dag_tracker *t;
	int ret;

	ret = PIT_CONFIG_KNOWN("dag_tracker", config, error);
	if (ret)
		return ret;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->member = member;
	pit_list_init(&t->workflow_list);
	ret = pit_map_init(&t->workflows, 0);
	if (!ret)
		ret = pit_holders_init(&t->holders, member);
	if (ret) {
		fini(t);
		return ret;
	}
	*self = t;
	return 0;
}

#define NAME "{\"type\":\"string\",\"minLength\":1,\"maxLength\":255}"
#define MS "{\"type\":\"integer\",\"minimum\":0,\"maximum\":31622400000}"
#define ATTEMPTS "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000}"
#define LIMIT "{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000}"
#define BOOL "{\"type\":\"boolean\"}"
#define PARAMS(required, properties) \
	"{\"type\":\"object\",\"properties\":{" properties "}," \
	"\"required\":[" required "],\"additionalProperties\":false}"
#define RETRY "\"max_attempts\":" ATTEMPTS ",\"backoff_ms\":" MS \
	",\"backoff_max_ms\":" MS
#define NODE "{\"anyOf\":[" NAME "," \
	PARAMS("\"id\"", "\"id\":" NAME "," RETRY) "]}"
#define EDGE "{\"anyOf\":[{\"type\":\"array\",\"items\":" NAME "," \
	"\"minItems\":2,\"maxItems\":2}," \
	PARAMS("\"from\",\"to\"", "\"from\":" NAME ",\"to\":" NAME) "]}"
#define OBJECT "{\"type\":\"object\"}"
#define ARRAY(of) "{\"type\":\"array\",\"items\":{\"type\":\"" of "\"}}"
#define WORKFLOW "\"workflow\":" NAME

static const struct symphony_method methods[] = {
	{
		.name = "create",
		.summary = "make a workflow of nodes and edges",
		.params = PARAMS("\"nodes\"", WORKFLOW
			",\"nodes\":{\"type\":\"array\",\"items\":" NODE "}"
			",\"edges\":{\"type\":\"array\",\"items\":" EDGE "},"
			RETRY),
		.result = OBJECT,
		.fn = dag_do_create,
	}, {
		.name = "take",
		.summary = "start the nodes that are ready, or wait for some",
		.params = PARAMS("\"workflow\"", WORKFLOW ",\"limit\":" LIMIT
			",\"wait\":" BOOL ",\"timeout_ms\":" MS),
		.result = OBJECT,
		.fn = dag_do_take,
	}, {
		.name = "start",
		.summary = "start one node that is ready",
		.params = PARAMS("\"workflow\",\"node\"", WORKFLOW
			",\"node\":" NAME),
		.result = OBJECT,
		.fn = dag_do_start,
	}, {
		.name = "complete",
		.summary = "say that a running node is done",
		.params = PARAMS("\"workflow\",\"node\"", WORKFLOW
			",\"node\":" NAME ",\"attempt\":" ATTEMPTS),
		.result = OBJECT,
		.fn = dag_do_complete,
	}, {
		.name = "fail",
		.summary = "say that a running node failed",
		.params = PARAMS("\"workflow\",\"node\"", WORKFLOW
			",\"node\":" NAME ",\"attempt\":" ATTEMPTS
			",\"error\":{\"type\":\"string\",\"maxLength\":1000}"
			",\"retry\":" BOOL),
		.result = OBJECT,
		.fn = dag_do_fail,
	}, {
		.name = "cancel",
		.summary = "cancel a node and what waits for it, or all",
		.params = PARAMS("\"workflow\"", WORKFLOW ",\"node\":" NAME),
		.result = OBJECT,
		.fn = dag_do_cancel,
	}, {
		.name = "ready",
		.summary = "the names of nodes that are ready",
		.params = PARAMS("\"workflow\"", WORKFLOW ",\"limit\":" LIMIT),
		.result = ARRAY("string"),
		.fn = dag_do_ready,
	}, {
		.name = "progress",
		.summary = "how many nodes are in each state",
		.params = PARAMS("\"workflow\"", WORKFLOW),
		.result = OBJECT,
		.fn = dag_do_progress,
	}, {
		.name = "wait",
		.summary = "wait until a workflow is over",
		.params = PARAMS("\"workflow\"", WORKFLOW ",\"timeout_ms\":" MS),
		.result = OBJECT,
		.fn = dag_do_wait_over,
	}, {
		.name = "node",
		.summary = "a node's state, attempts and last error",
		.params = PARAMS("\"workflow\",\"node\"", WORKFLOW
			",\"node\":" NAME),
		.result = OBJECT,
		.fn = dag_do_stat_node,
	}, {
		.name = "nodes",
		.summary = "the nodes of a workflow, a page at a time",
		.params = PARAMS("\"workflow\"", WORKFLOW
			",\"state\":{\"enum\":[\"pending\",\"ready\",\"running\","
			"\"backoff\",\"done\",\"failed\",\"cancelled\"]}"
			",\"after\":" NAME ",\"limit\":" LIMIT),
		.result = ARRAY("object"),
		.fn = dag_do_nodes,
	}, {
		.name = "workflows",
		.summary = "the names of the workflows",
		.params = PARAMS("", ""),
		.result = ARRAY("string"),
		.fn = dag_do_workflows,
	}, {
		.name = "delete",
		.summary = "remove a workflow",
		.params = PARAMS("\"workflow\"", WORKFLOW ",\"force\":" BOOL),
		.result = "{\"type\":\"null\"}",
		.fn = dag_do_delete,
	},
	{}
};

static const struct symphony_extension dag_tracker = {
	SYMPHONY_EXTENSION_INIT,
	.name = "dag_tracker",
	.version = "1",
	.summary = "workflows of nodes that wait for each other",
	.methods = methods,
	.init = init,
	.fini = fini,
	.cancelled = cancelled,
	.gone = gone,
};

SYMPHONY_EXTENSION(dag_tracker);
