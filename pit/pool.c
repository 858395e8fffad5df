// SPDX-License-Identifier: MIT
/* pool: the units of a pool, and whose turn it is. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "pool.h"

int pm_pool_new(struct pm *pm, const char *name, uint64_t capacity,
		struct pm_pool **out)
{
	size_t len = strlen(name);
	struct pm_pool *pool = calloc(1, sizeof(*pool) + len + 1);

	if (!pool)
		return -ENOMEM;
	memcpy(pool->name, name, len);
	pool->pm = pm;
	pool->capacity = capacity;
	pit_list_init(&pool->queue);
	pit_list_init(&pool->idle_models);
	pit_list_init(&pool->models);
	pit_list_init(&pool->leases);
	pit_list_link_tail(&pool->link, &pm->pool_list);
	pit_map_link(&pm->pools, &pool->by_name, pool->name, len);
	*out = pool;
	return 0;
}

struct pm_pool *pm_pool_find(struct pm *pm, const char *name)
{
	struct pit_map_entry *e = pit_map_find(&pm->pools, name, strlen(name));

	return e ? pit_container_of(e, struct pm_pool, by_name) : NULL;
}

/* With its models; leases were given back, and waiters refused, before. */
void pm_pool_free(struct pm_pool *pool)
{
	struct pit_list *pos, *tmp;

	pit_list_for_each_safe(pos, tmp, &pool->models)
		pm_model_free(pit_container_of(pos, struct pm_model, in_pool));
	pit_map_unlink(&pool->pm->pools, &pool->by_name);
	pit_list_unlink(&pool->link);
	free(pool);
}

uint64_t pm_pool_room(const struct pm_pool *pool)
{
	/* More is used than there is while a shrunk pool empties. */
	return pool->capacity > pool->used ? pool->capacity - pool->used : 0;
}

void pm_pool_use(struct pm_pool *pool, uint64_t units)
{
	pool->used += units;
	if (pool->used > pool->used_max)
		pool->used_max = pool->used;
}

/* Would @need more units fit once what is cooling is cold? */
static bool fits_soon(const struct pm_pool *pool, uint64_t need)
{
	return pool->used - pool->cooling + need <= pool->capacity;
}

/* Evicts the models that were idle longest, until @need fits soon. */
static void evict_for(struct pm_pool *pool, uint64_t need,
		      const struct pm_model *spared)
{
	struct pit_list *pos, *tmp;

	pit_list_for_each_safe(pos, tmp, &pool->idle_models) {
		struct pm_model *model;

		if (fits_soon(pool, need))
			break;
		model = pit_container_of(pos, struct pm_model, idle);
		/* What cannot be evicted now is tried again at the next turn. */
		if (model != spared && pm_model_evict(model))
			break;
	}
}

/**
 * pm_pool_make_room() - can @lease be granted now, if need be after evictions?
 *
 * Nothing is evicted unless that, with what is cooling, is enough: an eviction
 * that does not help would only cost a warm model.
 */
bool pm_pool_make_room(struct pm_pool *pool, const struct pm_lease *lease)
{
	const struct pm_model *model = lease->model;
	uint64_t need = pm_lease_needs(lease);
	uint64_t idle = pool->idle;

	if (model && model->state == PM_COOLING)
		return false;
	if (need <= pm_pool_room(pool))
		return true;
	if (model && !pit_list_empty(&model->idle))
		idle -= model->size;
	if (pool->used - idle - pool->cooling + need > pool->capacity)
		return false;
	evict_for(pool, need, model);
	return need <= pm_pool_room(pool);
}

/**
 * pm_pool_settle() - grant what can be granted after a change
 * @model: the model that changed, or NULL
 */
void pm_pool_settle(struct pm_pool *pool, struct pm_model *model)
{
	if (model)
		pm_model_settle(model);
	while (!pit_list_empty(&pool->queue)) {
		struct pm_lease *lease = pit_container_of(
			pool->queue.next, struct pm_lease, in_pool);

		if (!pm_pool_make_room(pool, lease))
			break;
		model = lease->model;
		pm_lease_grant(lease);
		/* A loader whose caller was gone leaves the model to the next. */
		if (model)
			pm_model_settle(model);
	}
}

/**
 * pm_pool_resize() - change the capacity
 *
 * A smaller pool evicts what is idle at once and takes back the rest as leases
 * end. Waiting requests that can never fit any more are refused: the one change
 * that looks at the whole queue.
 */
void pm_pool_resize(struct pm_pool *pool, uint64_t capacity)
{
	struct pit_list *pos, *tmp;

	pool->capacity = capacity;
	pit_list_for_each_safe(pos, tmp, &pool->queue) {
		struct pm_lease *lease =
			pit_container_of(pos, struct pm_lease, in_pool);
		uint64_t most = lease->units +
				(lease->model ? lease->model->size : 0);

		if (most > capacity)
			pm_lease_refuse(lease, ERANGE,
					"the pool became smaller than the request");
	}
	evict_for(pool, 0, NULL);
	pm_pool_settle(pool, NULL);
}
