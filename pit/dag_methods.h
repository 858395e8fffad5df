/* SPDX-License-Identifier: MIT */
/* dag_methods: the methods of dag_tracker, and what they share. */
#ifndef PIT_DAG_METHODS_H
#define PIT_DAG_METHODS_H

#include "dag.h"

/*
 * dag_params.c: the dag_param_ functions return 0, or what the method has to
 * return after the failure was told.
 */
struct dag_workflow *dag_lookup(struct dag_tracker *t, const char *name);
int dag_param_workflow(struct dag_tracker *t, struct sbus_invocation *inv,
		       struct dag_workflow **w);
int dag_param_node(struct dag_workflow *w, struct sbus_invocation *inv,
		   const char *param, unsigned int flags,
		   struct dag_node **node);
int dag_param_running(struct dag_tracker *t, struct sbus_invocation *inv,
		      struct dag_node **out);
yyjson_mut_val *dag_result(struct sbus_invocation *inv, yyjson_mut_doc **doc,
			   yyjson_mut_val *(*new)(yyjson_mut_doc *doc));
int dag_answer_progress(struct sbus_invocation *inv,
			const struct dag_workflow *w);
void dag_describe_node(const struct dag_node *node, yyjson_mut_doc *doc,
		       yyjson_mut_val *obj);

/* dag_admin.c */
int dag_do_create(void *self, struct sbus_invocation *inv);
int dag_do_delete(void *self, struct sbus_invocation *inv);
int dag_do_workflows(void *self, struct sbus_invocation *inv);
int dag_do_progress(void *self, struct sbus_invocation *inv);
int dag_do_wait_over(void *self, struct sbus_invocation *inv);
int dag_do_cancel(void *self, struct sbus_invocation *inv);

/* dag_steps.c */
int dag_do_ready(void *self, struct sbus_invocation *inv);
int dag_do_take(void *self, struct sbus_invocation *inv);
int dag_do_start(void *self, struct sbus_invocation *inv);
int dag_do_complete(void *self, struct sbus_invocation *inv);
int dag_do_fail(void *self, struct sbus_invocation *inv);
int dag_do_stat_node(void *self, struct sbus_invocation *inv);
int dag_do_nodes(void *self, struct sbus_invocation *inv);

#endif
