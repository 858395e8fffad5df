// SPDX-License-Identifier: MIT
/* pool_params: what methods name in their parameters: pools, models, leases. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "pool_methods.h"

static int no_such(struct sbus_invocation *inv, const char *what,
		   const char *name, const char *maker)
{
	return sbus_fail(inv, ENOENT, "%s: there is no %s '%s'; %s makes one",
			 inv->method, what, name, maker);
}

int pm_param_pool(struct pm *pm, struct sbus_invocation *inv,
		     unsigned int flags, struct pm_pool **pool)
{
	const char *name = NULL;
	int ret;

	ret = pit_param_name(inv, "pool", flags, &name);
	if (ret || !name)
		return ret;
	*pool = pm_pool_find(pm, name);
	return *pool ? 0 : no_such(inv, "pool", name, "create_pool");
}

int pm_param_model(struct pm *pm, struct sbus_invocation *inv,
		      struct pm_model **model)
{
	const char *name;
	int ret;

	ret = pit_param_name(inv, "model", 0, &name);
	if (ret)
		return ret;
	*model = pm_model_find(pm, name);
	return *model ? 0 : no_such(inv, "model", name, "define_model");
}

int pm_param_lease(struct pm *pm, struct sbus_invocation *inv,
		      unsigned int flags, struct pm_lease **lease)
{
	uint64_t id = 0;
	int ret;

	ret = sbus_param_u64(inv, "lease", flags, 1, PIT_UINT_MAX, &id);
	if (ret || !id)
		return ret;
	*lease = pm_lease_find(pm, id);
	if (!*lease)
		return sbus_fail(inv, ENOENT,
				 "%s: lease %llu is not held; it was released, or never granted",
				 inv->method, (unsigned long long)id);
	/* The Conductor may end what it has handed on; others only their own. */
	if (inv->sender && inv->sender != (*lease)->held.holder->endpoint)
		return sbus_fail(inv, EPERM,
				 "%s: lease %llu is held by endpoint %llu, not by the caller",
				 inv->method, (unsigned long long)id,
				 (unsigned long long)(*lease)->held.holder->endpoint);
	return 0;
}

yyjson_mut_val *pm_result(struct sbus_invocation *inv,
				  yyjson_mut_doc **doc)
{
	yyjson_mut_val *obj;

	*doc = sbus_result(inv);
	if (!*doc)
		return NULL;
	obj = yyjson_mut_obj(*doc);
	yyjson_mut_doc_set_root(*doc, obj);
	return obj;
}

/* Says why a model of this size cannot be in the pool, ever. */
int pm_check_fits(struct sbus_invocation *inv, const struct pm_pool *pool,
		      uint64_t size, uint64_t units)
{
	if (size + units <= pool->capacity)
		return 0;
	return sbus_fail(inv, ERANGE,
			 "%s: pool '%s' has capacity %llu, which is less than the %llu units needed; resize_pool changes it",
			 inv->method, pool->name,
			 (unsigned long long)pool->capacity,
			 (unsigned long long)(size + units));
}

int pm_add_model(struct sbus_invocation *inv, struct pm_pool *pool,
		     const char *name, uint64_t size, uint64_t cool_ms,
		     struct pm_model **model)
{
	if (pool->pm->models.count >= PM_MAX_MODELS)
		return sbus_fail(inv, ENOSPC,
				 "%s: there are %d models already; forget_model removes one",
				 inv->method, PM_MAX_MODELS);
	return pm_model_new(pool, name, size, cool_ms, model);
}

