// SPDX-License-Identifier: MIT
/* pool_acquire: the methods of those who use a pool: acquire, release, report. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "pool_methods.h"

/* The model of an acquire(), made on first use; NULL when none is named. */
static int model_to_acquire(struct pm *pm, struct sbus_invocation *inv,
			    struct pm_pool **pool, uint64_t *units,
			    struct pm_model **out)
{
	struct pm_pool *given = NULL;
	const char *name = NULL;
	struct pm_model *model;
	uint64_t size = 0;
	int ret;

	ret = pit_param_name(inv, "model", SBUS_OPTIONAL, &name);
	if (!ret)
		ret = pm_param_pool(pm, inv, SBUS_OPTIONAL, &given);
	if (!ret)
		ret = sbus_param_u64(inv, "size", SBUS_OPTIONAL, 1,
				     PIT_UINT_MAX, &size);
	*units = name ? 0 : 1;
	if (!ret)
		ret = sbus_param_u64(inv, "units", SBUS_OPTIONAL, *units,
				     PIT_UINT_MAX, units);
	if (ret)
		return ret;
	*out = NULL;
	*pool = given ?: pm_pool_find(pm, PM_DEFAULT_POOL);
	if (!name) {
		if (size)
			return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
					 "acquire: parameter 'size' is a model's; name the model, or ask for 'units'");
		return pm_check_fits(inv, *pool, 0, *units);
	}

	model = pm_model_find(pm, name);
	if (!model) {
		ret = pm_check_fits(inv, *pool, size ?: 1, *units);
		return ret ?: pm_add_model(inv, *pool, name, size ?: 1, 0, out);
	}
	*out = model;
	*pool = model->pool;
	if (given && given != model->pool)
		return sbus_fail(inv, EINVAL,
				 "acquire: parameter 'pool': model '%s' lives in pool '%s', not in '%s'; leave the parameter out, or move the model with define_model",
				 name, model->pool->name, given->name);
	if (size && size != model->size)
		return sbus_fail(inv, EINVAL,
				 "acquire: parameter 'size': model '%s' is defined with size %llu, got %llu; leave the parameter out, or change it with define_model",
				 name, (unsigned long long)model->size,
				 (unsigned long long)size);
	if (model->state == PM_FAILED)
		return sbus_fail(inv, EIO,
				 "acquire: model '%s' failed: %s; report it cold to try again",
				 name, model->reason ?: "no reason was given");
	return pm_check_fits(inv, *pool, model->size, *units);
}

int pm_do_acquire(void *self, struct sbus_invocation *inv)
{
	struct pm *pm = self;
	uint64_t units, timeout_ms = UINT64_MAX;
	yyjson_mut_doc *doc, *data;
	struct pm_lease *lease;
	struct pm_model *model;
	bool wait_hot = false;
	struct pm_pool *pool;
	yyjson_mut_val *obj;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "model", "pool", "units", "size",
			       "timeout_ms", "wait_hot");
	if (!ret)
		ret = sbus_param_u64(inv, "timeout_ms", SBUS_OPTIONAL, 0,
				     PIT_WAIT_MAX, &timeout_ms);
	if (!ret)
		ret = sbus_param_bool(inv, "wait_hot", SBUS_OPTIONAL,
				      &wait_hot);
	if (!ret)
		ret = model_to_acquire(pm, inv, &pool, &units, &model);
	if (ret)
		return ret;
	/* Before anything is granted: the answer must not fail then. */
	obj = pm_result(inv, &doc);
	if (!obj)
		return -ENOMEM;

	ret = pm_lease_new(pool, model, inv->sender, units, &lease);
	if (ret)
		return pit_unwatched(inv, ret);
	lease->wait_hot = wait_hot;
	pm_lease_start(lease);
	if (lease->state == PM_LEASE_HELD) {
		pm_lease_describe(lease, doc, obj);
		return 0;
	}
	if (timeout_ms) {
		ret = pm_lease_wait(lease, inv, timeout_ms);
		if (!ret)
			return SBUS_PENDING;
	} else {
		pool->n_refused++;
		data = pm_lease_shortage(lease);
		if (lease->state == PM_LEASE_AWAITS_HOT)
			ret = sbus_fail_data(inv, EAGAIN, data,
					     "acquire: model '%s' is not hot yet, and timeout_ms is 0",
					     model->name);
		else
			ret = sbus_fail_data(inv, EAGAIN, data,
					     "acquire: pool '%s' has no room for %llu units now, and timeout_ms is 0",
					     pool->name,
					     (unsigned long long)pm_lease_needs(lease));
	}
	pm_lease_free(lease);
	pm_pool_settle(pool, model);
	return ret;
}

int pm_do_release(void *self, struct sbus_invocation *inv)
{
	struct pm_lease *lease;
	struct pm_model *model;
	struct pm_pool *pool;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "lease");
	if (!ret)
		ret = pm_param_lease(self, inv, 0, &lease);
	if (ret)
		return ret;
	obj = pm_result(inv, &doc);
	if (!obj)
		return -ENOMEM;
	yyjson_mut_obj_add_uint(doc, obj, "lease", lease->id);
	yyjson_mut_obj_add_uint(doc, obj, "held_ms",
				(sbus_now() - lease->granted_at) /
				PIT_NS_PER_MS);
	pool = lease->pool;
	model = lease->model;
	pool->n_released++;
	pm_lease_free(lease);
	pm_pool_settle(pool, model);
	return 0;
}

int pm_do_leases(void *self, struct sbus_invocation *inv)
{
	struct pm *pm = self;
	struct pm_pool *pool = pm_pool_find(pm, PM_DEFAULT_POOL);
	uint64_t after = 0, limit = PM_LIST_LIMIT;
	yyjson_mut_doc *doc;
	yyjson_mut_val *array;
	struct pit_list *pos;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "pool", "after", "limit");
	if (!ret)
		ret = pm_param_pool(pm, inv, SBUS_OPTIONAL, &pool);
	if (!ret)
		ret = sbus_param_u64(inv, "after", SBUS_OPTIONAL, 1,
				     PIT_UINT_MAX, &after);
	if (!ret)
		ret = sbus_param_u64(inv, "limit", SBUS_OPTIONAL, 1,
				     PM_LIST_LIMIT, &limit);
	if (ret)
		return ret;
	pos = pool->leases.next;
	if (after) {
		struct pm_lease *lease = pm_lease_find(pm, after);

		if (!lease || lease->pool != pool)
			return sbus_fail(inv, ENOENT,
					 "leases: parameter 'after': lease %llu is not held in pool '%s'; start again without it",
					 (unsigned long long)after, pool->name);
		pos = lease->in_pool.next;
	}
	doc = sbus_result(inv);
	if (!doc)
		return -ENOMEM;
	array = yyjson_mut_arr(doc);
	yyjson_mut_doc_set_root(doc, array);
	for (; pos != &pool->leases && limit; pos = pos->next, limit--) {
		struct pm_lease *lease =
			pit_container_of(pos, struct pm_lease, in_pool);
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, array);

		pm_lease_describe(lease, doc, obj);
		yyjson_mut_obj_add_uint(doc, obj, "holder",
					lease->held.holder->endpoint);
		yyjson_mut_obj_add_uint(doc, obj, "held_ms",
					(sbus_now() - lease->granted_at) /
					PIT_NS_PER_MS);
	}
	return 0;
}

/* The model's memory is its holders' business: others cannot judge it. */
static int may_report(struct sbus_invocation *inv,
		      const struct pm_model *model,
		      const struct pm_lease *lease)
{
	if (lease && lease->model != model)
		return sbus_fail(inv, EINVAL,
				 "report: lease %llu is not one on model '%s'",
				 (unsigned long long)lease->id, model->name);
	if (inv->sender && !lease)
		return sbus_fail(inv, EPERM,
				 "report: parameter 'lease': only a holder of a lease on model '%s' can report it hot or failed",
				 model->name);
	return 0;
}

static int bad_report(struct sbus_invocation *inv, const struct pm_model *model,
		      const char *state)
{
	return sbus_fail(inv, EINVAL,
			 "report: model '%s' is %s with %llu leases and cannot become %s",
			 model->name, pm_state_names[model->state],
			 (unsigned long long)model->n_leases, state);
}

int pm_do_report(void *self, struct sbus_invocation *inv)
{
	const char *state, *reason = NULL;
	struct pm_lease *lease = NULL;
	struct pm_model *model;
	char *copy = NULL;
	int ret;

	ret = PIT_PARAMS_KNOWN(inv, "model", "state", "lease", "reason");
	if (!ret)
		ret = pm_param_model(self, inv, &model);
	if (!ret)
		ret = sbus_param_str(inv, "state", 0, &state);
	if (!ret)
		ret = pit_param_name(inv, "reason", SBUS_OPTIONAL, &reason);
	if (!ret)
		ret = pm_param_lease(self, inv, SBUS_OPTIONAL, &lease);
	if (ret)
		return ret;

	if (!strcmp(state, "cold")) {
		if (model->state == PM_WARMING ||
		    (model->state == PM_HOT && model->n_leases))
			return bad_report(inv, model, state);
		pm_model_set_cold(model);
	} else if (!strcmp(state, "hot")) {
		ret = may_report(inv, model, lease);
		if (ret)
			return ret;
		if (model->state != PM_WARMING && model->state != PM_HOT)
			return bad_report(inv, model, state);
		if (model->state == PM_WARMING)
			pm_model_set_hot(model);
	} else if (!strcmp(state, "failed")) {
		ret = may_report(inv, model, lease);
		if (ret)
			return ret;
		if (!pm_model_resident(model))
			return bad_report(inv, model, state);
		if (reason) {
			copy = strdup(reason);
			if (!copy)
				return -ENOMEM;
		}
		pm_model_set_failed(model, copy);
	} else {
		return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
				 "report: parameter 'state': expected one of cold, hot, failed");
	}
	pm_pool_settle(model->pool, model);
	return pm_answer_model(inv, model);
}
