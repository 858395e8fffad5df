/* SPDX-License-Identifier: MIT */
/* pool_methods: the methods of pool_manager, and what they share. */
#ifndef PIT_POOL_METHODS_H
#define PIT_POOL_METHODS_H

#include "pool.h"

#define PM_LIST_LIMIT 1000

/*
 * pool_params.c: each returns 0, or what the method has to return after the
 * failure was told.
 */
int pm_param_pool(struct pm *pm, struct sbus_invocation *inv,
		  unsigned int flags, struct pm_pool **pool);
int pm_param_model(struct pm *pm, struct sbus_invocation *inv,
		   struct pm_model **model);
int pm_param_lease(struct pm *pm, struct sbus_invocation *inv,
		   unsigned int flags, struct pm_lease **lease);
int pm_check_fits(struct sbus_invocation *inv, const struct pm_pool *pool,
		  uint64_t size, uint64_t units);
int pm_add_model(struct sbus_invocation *inv, struct pm_pool *pool,
		 const char *name, uint64_t size, uint64_t cool_ms,
		 struct pm_model **model);
yyjson_mut_val *pm_result(struct sbus_invocation *inv, yyjson_mut_doc **doc);

/* pool_admin.c */
int pm_answer_model(struct sbus_invocation *inv, const struct pm_model *model);
int pm_do_create_pool(void *self, struct sbus_invocation *inv);
int pm_do_resize_pool(void *self, struct sbus_invocation *inv);
int pm_do_delete_pool(void *self, struct sbus_invocation *inv);
int pm_do_pools(void *self, struct sbus_invocation *inv);
int pm_do_stat_pool(void *self, struct sbus_invocation *inv);
int pm_do_define_model(void *self, struct sbus_invocation *inv);
int pm_do_forget_model(void *self, struct sbus_invocation *inv);
int pm_do_stat_model(void *self, struct sbus_invocation *inv);
int pm_do_models(void *self, struct sbus_invocation *inv);

/* pool_acquire.c */
int pm_do_acquire(void *self, struct sbus_invocation *inv);
int pm_do_release(void *self, struct sbus_invocation *inv);
int pm_do_report(void *self, struct sbus_invocation *inv);
int pm_do_leases(void *self, struct sbus_invocation *inv);

#endif
