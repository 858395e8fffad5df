// SPDX-License-Identifier: MIT
/* pool_model: the states of a model; see the drawing in pool.h. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "pool.h"

const char *const pm_state_names[PM_N_STATES] = {
	[PM_COLD] = "cold",
	[PM_WARMING] = "warming",
	[PM_HOT] = "hot",
	[PM_COOLING] = "cooling",
	[PM_FAILED] = "failed",
};

static void cooled(void *self, void *arg)
{
	struct pm_model *model = arg;

	(void)self;
	pm_model_set_cold(model);
	pm_pool_settle(model->pool, model);
}

static int set_cool_ms(struct pm_model *model, uint64_t cool_ms)
{
	int ret;

	if (cool_ms && !model->timer) {
		ret = sbus_timer_new(model->pool->pm->member, cooled, model,
				     &model->timer);
		if (ret)
			return ret;
	}
	model->cool_ms = cool_ms;
	return 0;
}

int pm_model_new(struct pm_pool *pool, const char *name, uint64_t size,
		 uint64_t cool_ms, struct pm_model **out)
{
	size_t len = strlen(name);
	struct pm_model *model = calloc(1, sizeof(*model) + len + 1);
	int ret;

	if (!model)
		return -ENOMEM;
	memcpy(model->name, name, len);
	model->pool = pool;
	model->size = size;
	ret = set_cool_ms(model, cool_ms);
	if (ret) {
		free(model);
		return ret;
	}
	pit_list_init(&model->idle);
	pit_list_init(&model->queued);
	pit_list_init(&model->hot_waiters);
	pit_list_link_tail(&model->in_pool, &pool->models);
	pit_map_link(&pool->pm->models, &model->by_name, model->name, len);
	pool->n_models[PM_COLD]++;
	*out = model;
	return 0;
}

/**
 * pm_model_change() - move, resize a model that nobody uses or waits for
 *
 * Return: 0, -EBUSY, -ENOMEM.
 */
int pm_model_change(struct pm_model *model, struct pm_pool *pool,
		    uint64_t size, uint64_t cool_ms)
{
	int ret;

	if (pm_model_resident(model) || model->n_leases ||
	    !pit_list_empty(&model->queued))
		return -EBUSY;
	ret = set_cool_ms(model, cool_ms);
	if (ret)
		return ret;
	model->pool->n_models[model->state]--;
	pit_list_unlink(&model->in_pool);
	model->pool = pool;
	model->size = size;
	pit_list_link_tail(&model->in_pool, &pool->models);
	pool->n_models[model->state]++;
	return 0;
}

struct pm_model *pm_model_find(struct pm *pm, const char *name)
{
	struct pit_map_entry *e = pit_map_find(&pm->models, name, strlen(name));

	return e ? pit_container_of(e, struct pm_model, by_name) : NULL;
}

/* Without leases and waiters. */
void pm_model_free(struct pm_model *model)
{
	pm_model_set_cold(model);
	model->pool->n_models[PM_COLD]--;
	pit_list_unlink(&model->in_pool);
	pit_map_unlink(&model->pool->pm->models, &model->by_name);
	sbus_timer_free(model->timer);
	free(model->reason);
	free(model);
}

bool pm_model_resident(const struct pm_model *model)
{
	return model->state == PM_WARMING || model->state == PM_HOT ||
	       model->state == PM_COOLING;
}

/* Keeps the pool's sums in step with the state; nobody else writes state. */
static void enter(struct pm_model *model, enum pm_state state)
{
	struct pm_pool *pool = model->pool;
	bool was = pm_model_resident(model);

	if (model->state == PM_COOLING)
		pool->cooling -= model->size;
	pool->n_models[model->state]--;
	model->state = state;
	pool->n_models[state]++;
	if (state == PM_COOLING)
		pool->cooling += model->size;
	if (!was && pm_model_resident(model))
		pm_pool_use(pool, model->size);
	else if (was && !pm_model_resident(model))
		pool->used -= model->size;
}

static void set_idle(struct pm_model *model, bool idle)
{
	struct pm_pool *pool = model->pool;

	if (idle == !pit_list_empty(&model->idle))
		return;
	if (idle) {
		pit_list_link_tail(&model->idle, &pool->idle_models);
		pool->idle += model->size;
	} else {
		pit_list_unlink(&model->idle);
		pool->idle -= model->size;
	}
}

/* A lease got room: the model is resident from here, and not idle. */
void pm_model_get(struct pm_model *model, struct pm_lease *lease)
{
	set_idle(model, false);
	model->n_leases++;
	model->n_granted++;
	if (pm_model_resident(model))
		model->n_hits++;
	else
		enter(model, PM_WARMING);
	if (model->state == PM_WARMING && !model->loader) {
		model->loader = lease;
		lease->loader = true;
	}
}

/* The lease's end. A model that nobody reported hot is not worth keeping. */
void pm_model_put(struct pm_model *model, struct pm_lease *lease)
{
	model->n_leases--;
	model->used_at = sbus_now();
	if (model->loader == lease)
		model->loader = NULL;
	if (model->n_leases)
		return;
	if (model->state == PM_WARMING)
		enter(model, PM_COLD);
	else if (model->state == PM_HOT)
		set_idle(model, true);
}

/**
 * pm_model_evict() - start to cool an idle model
 *
 * Return: 0, or the error of sbus_timer_set(): it stays as it is. Giving its
 * room away before the time it was promised would be worse than waiting.
 */
int pm_model_evict(struct pm_model *model)
{
	int ret;

	if (model->cool_ms) {
		ret = sbus_timer_set(model->timer, pit_deadline(model->cool_ms));
		if (ret)
			return ret;
	}
	set_idle(model, false);
	enter(model, PM_COOLING);
	model->n_evictions++;
	model->pool->n_evictions++;
	if (!model->cool_ms)
		enter(model, PM_COLD);
	return 0;
}

void pm_model_set_cold(struct pm_model *model)
{
	if (model->timer && model->state == PM_COOLING)
		sbus_timer_set(model->timer, 0);
	set_idle(model, false);
	model->loader = NULL;
	free(model->reason);
	model->reason = NULL;
	enter(model, PM_COLD);
}

void pm_model_set_hot(struct pm_model *model)
{
	model->n_warmed++;
	model->loader = NULL;
	enter(model, PM_HOT);
}

/**
 * pm_model_set_failed() - its room is given back, who waits for it is refused
 * @reason: taken
 *
 * Leases on it stay until they are released: only their holders know when they
 * let go.
 */
void pm_model_set_failed(struct pm_model *model, char *reason)
{
	struct pit_list *lists[] = { &model->hot_waiters, &model->queued };

	if (model->timer && model->state == PM_COOLING)
		sbus_timer_set(model->timer, 0);
	set_idle(model, false);
	model->loader = NULL;
	model->n_failures++;
	free(model->reason);
	model->reason = reason;
	enter(model, PM_FAILED);
	for (size_t i = 0; i < 2; i++)
		while (!pit_list_empty(lists[i]))
			pm_lease_refuse(pit_container_of(lists[i]->next,
							 struct pm_lease,
							 in_model),
					EIO, reason ?: "the model failed");
}

/**
 * pm_model_settle() - answer those who waited for the model to be hot
 *
 * Hot, all of them. Left by its loader, the one who waited longest, and is the
 * loader now; that one may be gone too, so again.
 */
void pm_model_settle(struct pm_model *model)
{
	while (!pit_list_empty(&model->hot_waiters)) {
		struct pm_lease *lease = pit_container_of(
			model->hot_waiters.next, struct pm_lease, in_model);

		if (model->state == PM_WARMING) {
			if (model->loader)
				break;
			model->loader = lease;
			lease->loader = true;
		}
		pm_lease_answer(lease);
	}
}
