// SPDX-License-Identifier: MIT
/* pool_admin: the methods that make, change and tell of pools and models. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "pool_methods.h"

static void describe_pool(const struct pm_pool *pool, yyjson_mut_doc *doc,
			  yyjson_mut_val *obj)
{
	yyjson_mut_val *models, *count;

	yyjson_mut_obj_add_strcpy(doc, obj, "pool", pool->name);
	yyjson_mut_obj_add_uint(doc, obj, "capacity", pool->capacity);
	yyjson_mut_obj_add_uint(doc, obj, "used", pool->used);
	yyjson_mut_obj_add_uint(doc, obj, "free", pm_pool_room(pool));
	yyjson_mut_obj_add_uint(doc, obj, "idle", pool->idle);
	yyjson_mut_obj_add_uint(doc, obj, "cooling", pool->cooling);
	yyjson_mut_obj_add_uint(doc, obj, "leases", pool->n_leases);
	yyjson_mut_obj_add_uint(doc, obj, "waiting", pool->n_waiting);

	models = yyjson_mut_obj_add_obj(doc, obj, "models");
	for (int i = 0; i < PM_N_STATES; i++)
		yyjson_mut_obj_add_uint(doc, models, pm_state_names[i],
					pool->n_models[i]);

	count = yyjson_mut_obj_add_obj(doc, obj, "counters");
	yyjson_mut_obj_add_uint(doc, count, "acquires", pool->n_acquires);
	yyjson_mut_obj_add_uint(doc, count, "granted", pool->n_granted);
	yyjson_mut_obj_add_uint(doc, count, "granted_late",
				pool->n_granted_late);
	yyjson_mut_obj_add_uint(doc, count, "timed_out", pool->n_timed_out);
	yyjson_mut_obj_add_uint(doc, count, "cancelled", pool->n_cancelled);
	yyjson_mut_obj_add_uint(doc, count, "refused", pool->n_refused);
	yyjson_mut_obj_add_uint(doc, count, "released", pool->n_released);
	yyjson_mut_obj_add_uint(doc, count, "reclaimed", pool->n_reclaimed);
	yyjson_mut_obj_add_uint(doc, count, "evictions", pool->n_evictions);
	yyjson_mut_obj_add_uint(doc, count, "used_max", pool->used_max);
	yyjson_mut_obj_add_uint(doc, count, "wait_us", pool->wait_ns / 1000);
	yyjson_mut_obj_add_uint(doc, count, "wait_us_max",
				pool->wait_ns_max / 1000);
}

static int answer_pool(struct sbus_invocation *inv, const struct pm_pool *pool)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = pm_result(inv, &doc);

	if (!obj)
		return -ENOMEM;
	describe_pool(pool, doc, obj);
	return 0;
}

int pm_do_create_pool(void *self, struct sbus_invocation *inv)
{
	struct pm *pm = self;
	struct pm_pool *pool;
	const char *name;
	uint64_t capacity;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "pool", "capacity");
	if (!ret)
		ret = pit_param_name(inv, "pool", 0, &name);
	if (!ret)
		ret = sbus_param_u64(inv, "capacity", 0, 1, PIT_UINT_MAX,
				     &capacity);
	if (ret)
		return ret;
	pool = pm_pool_find(pm, name);
	if (pool)
		return sbus_fail(inv, EEXIST,
				 "create_pool: pool '%s' is there already, with capacity %llu; resize_pool changes it",
				 name, (unsigned long long)pool->capacity);
	if (pm->pools.count >= PM_MAX_POOLS)
		return sbus_fail(inv, ENOSPC,
				 "create_pool: there are %d pools already; delete_pool removes one",
				 PM_MAX_POOLS);
	ret = pm_pool_new(pm, name, capacity, &pool);
	return ret ?: answer_pool(inv, pool);
}

int pm_do_resize_pool(void *self, struct sbus_invocation *inv)
{
	struct pm_pool *pool;
	uint64_t capacity;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "pool", "capacity");
	if (!ret)
		ret = pm_param_pool(self, inv, 0, &pool);
	if (!ret)
		ret = sbus_param_u64(inv, "capacity", 0, 1, PIT_UINT_MAX,
				     &capacity);
	if (ret)
		return ret;
	pm_pool_resize(pool, capacity);
	return answer_pool(inv, pool);
}

int pm_do_delete_pool(void *self, struct sbus_invocation *inv)
{
	struct pm_pool *pool;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "pool");
	if (!ret)
		ret = pm_param_pool(self, inv, 0, &pool);
	if (ret)
		return ret;
	if (!strcmp(pool->name, PM_DEFAULT_POOL))
		return sbus_fail(inv, EBUSY,
				 "delete_pool: pool '%s' stays; resize_pool makes it small",
				 pool->name);
	/* A lease that waits for a model to be hot is no lease yet, but uses room. */
	if (pool->n_waiting || pool->used != pool->idle + pool->cooling ||
	    pool->n_leases)
		return sbus_fail(inv, EBUSY,
				 "delete_pool: pool '%s' has %llu leases and %llu requests wait; release them first",
				 pool->name, (unsigned long long)pool->n_leases,
				 (unsigned long long)pool->n_waiting);
	pm_pool_free(pool);
	return 0;
}

int pm_do_pools(void *self, struct sbus_invocation *inv)
{
	struct pm *pm = self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *array;
	struct pit_list *pos;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, NULL);
	if (ret)
		return ret;
	doc = sbus_result(inv);
	if (!doc)
		return -ENOMEM;
	array = yyjson_mut_arr(doc);
	yyjson_mut_doc_set_root(doc, array);
	pit_list_for_each(pos, &pm->pool_list) {
		struct pm_pool *pool =
			pit_container_of(pos, struct pm_pool, link);

		yyjson_mut_arr_add_strcpy(doc, array, pool->name);
	}
	return 0;
}

int pm_do_stat_pool(void *self, struct sbus_invocation *inv)
{
	struct pm *pm = self;
	struct pm_pool *pool = pm_pool_find(pm, PM_DEFAULT_POOL);
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "pool");
	if (!ret)
		ret = pm_param_pool(pm, inv, SBUS_OPTIONAL, &pool);
	return ret ?: answer_pool(inv, pool);
}

static void describe_model(const struct pm_model *model, yyjson_mut_doc *doc,
			   yyjson_mut_val *obj)
{
	yyjson_mut_val *count;

	yyjson_mut_obj_add_strcpy(doc, obj, "model", model->name);
	yyjson_mut_obj_add_strcpy(doc, obj, "pool", model->pool->name);
	yyjson_mut_obj_add_str(doc, obj, "state", pm_state_names[model->state]);
	if (model->reason)
		yyjson_mut_obj_add_strcpy(doc, obj, "reason", model->reason);
	yyjson_mut_obj_add_uint(doc, obj, "size", model->size);
	yyjson_mut_obj_add_uint(doc, obj, "cool_ms", model->cool_ms);
	yyjson_mut_obj_add_uint(doc, obj, "leases", model->n_leases);
	if (model->used_at && !model->n_leases)
		yyjson_mut_obj_add_uint(doc, obj, "unused_ms",
					(sbus_now() - model->used_at) /
					PIT_NS_PER_MS);

	count = yyjson_mut_obj_add_obj(doc, obj, "counters");
	yyjson_mut_obj_add_uint(doc, count, "granted", model->n_granted);
	yyjson_mut_obj_add_uint(doc, count, "hits", model->n_hits);
	yyjson_mut_obj_add_uint(doc, count, "warmed", model->n_warmed);
	yyjson_mut_obj_add_uint(doc, count, "evictions", model->n_evictions);
	yyjson_mut_obj_add_uint(doc, count, "failures", model->n_failures);
}

int pm_answer_model(struct sbus_invocation *inv,
			const struct pm_model *model)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = pm_result(inv, &doc);

	if (!obj)
		return -ENOMEM;
	describe_model(model, doc, obj);
	return 0;
}

int pm_do_define_model(void *self, struct sbus_invocation *inv)
{
	struct pm *pm = self;
	struct pm_pool *pool = pm_pool_find(pm, PM_DEFAULT_POOL);
	uint64_t size = 1, cool_ms = 0;
	struct pm_model *model;
	const char *name;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "model", "size", "pool", "cool_ms");
	if (!ret)
		ret = pit_param_name(inv, "model", 0, &name);
	if (!ret)
		ret = sbus_param_u64(inv, "size", SBUS_OPTIONAL, 1,
				     PIT_UINT_MAX, &size);
	if (!ret)
		ret = sbus_param_u64(inv, "cool_ms", SBUS_OPTIONAL, 0,
				     PIT_WAIT_MAX, &cool_ms);
	if (!ret)
		ret = pm_param_pool(pm, inv, SBUS_OPTIONAL, &pool);
	if (!ret)
		ret = pm_check_fits(inv, pool, size, 0);
	if (ret)
		return ret;
	model = pm_model_find(pm, name);
	if (!model)
		ret = pm_add_model(inv, pool, name, size, cool_ms, &model);
	else if (model->pool != pool || model->size != size ||
		 model->cool_ms != cool_ms)
		ret = pm_model_change(model, pool, size, cool_ms);
	if (ret == -EBUSY)
		return sbus_fail(inv, EBUSY,
				 "define_model: model '%s' is %s with %llu leases, defined otherwise; release them and report it cold first",
				 name, pm_state_names[model->state],
				 (unsigned long long)model->n_leases);
	return ret ?: pm_answer_model(inv, model);
}

int pm_do_forget_model(void *self, struct sbus_invocation *inv)
{
	struct pm_model *model;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "model");
	if (!ret)
		ret = pm_param_model(self, inv, &model);
	if (ret)
		return ret;
	if (pm_model_resident(model) || model->n_leases ||
	    !pit_list_empty(&model->queued))
		return sbus_fail(inv, EBUSY,
				 "forget_model: model '%s' is %s with %llu leases; release them and report it cold first",
				 model->name, pm_state_names[model->state],
				 (unsigned long long)model->n_leases);
	pm_model_free(model);
	return 0;
}

int pm_do_stat_model(void *self, struct sbus_invocation *inv)
{
	struct pm_model *model;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "model");
	if (!ret)
		ret = pm_param_model(self, inv, &model);
	return ret ?: pm_answer_model(inv, model);
}

int pm_do_models(void *self, struct sbus_invocation *inv)
{
	struct pm *pm = self;
	struct pm_pool *pool = pm_pool_find(pm, PM_DEFAULT_POOL);
	uint64_t limit = PM_LIST_LIMIT;
	const char *after = NULL;
	yyjson_mut_doc *doc;
	yyjson_mut_val *array;
	struct pit_list *pos;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "pool", "after", "limit");
	if (!ret)
		ret = pm_param_pool(pm, inv, SBUS_OPTIONAL, &pool);
	if (!ret)
		ret = pit_param_name(inv, "after", SBUS_OPTIONAL, &after);
	if (!ret)
		ret = sbus_param_u64(inv, "limit", SBUS_OPTIONAL, 1,
				     PM_LIST_LIMIT, &limit);
	if (ret)
		return ret;
	pos = pool->models.next;
	if (after) {
		struct pm_model *model = pm_model_find(pm, after);

		if (!model || model->pool != pool)
			return sbus_fail(inv, ENOENT,
					 "models: parameter 'after': there is no model '%s' in pool '%s'; start again without it",
					 after, pool->name);
		pos = model->in_pool.next;
	}
	doc = sbus_result(inv);
	if (!doc)
		return -ENOMEM;
	array = yyjson_mut_arr(doc);
	yyjson_mut_doc_set_root(doc, array);
	for (; pos != &pool->models && limit; pos = pos->next, limit--)
		describe_model(pit_container_of(pos, struct pm_model, in_pool),
			       doc, yyjson_mut_arr_add_obj(doc, array));
	return 0;
}

