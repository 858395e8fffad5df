// SPDX-License-Identifier: MIT
/*
 * pool_lease: one acquire() from its arrival to its release.
 *
 *	QUEUED -> AWAITS_HOT -> HELD
 *	  |  `-------------------^
 *	  `-> refused, timed out, cancelled, holder gone (from any state)
 *
 * The outcome is given in one place for each way out: pm_lease_answer() for a
 * grant, give_up() for everything else; both take the completion out of the
 * lease. Memory and the holder's watch are had before the lease is queued, so
 * that a grant cannot fail for want of them.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "cleanup.h"
#include "pool.h"

int pm_lease_new(struct pm_pool *pool, struct pm_model *model, uint64_t sender,
		 uint64_t units, struct pm_lease **out)
{
	pit_free struct pm_lease *lease = calloc(1, sizeof(*lease));
	int ret;

	if (!lease)
		return -ENOMEM;
	ret = pit_hold(&pool->pm->holders, sender, &lease->held);
	if (ret)
		return ret;
	lease->pool = pool;
	lease->model = model;
	lease->units = units;
	lease->asked_at = sbus_now();
	lease->id = ++pool->pm->last_lease;
	lease->state = PM_LEASE_QUEUED;
	pit_list_init(&lease->in_pool);
	pit_list_init(&lease->in_model);
	pool->n_waiting++;
	*out = lease;
	lease = NULL;
	return 0;
}

struct pm_lease *pm_lease_find(struct pm *pm, uint64_t id)
{
	struct pit_map_entry *e = pit_map_find(&pm->leases, &id, sizeof(id));

	return e ? pit_container_of(e, struct pm_lease, by_id) : NULL;
}

uint64_t pm_lease_needs(const struct pm_lease *lease)
{
	const struct pm_model *model = lease->model;

	if (!model || pm_model_resident(model))
		return lease->units;
	return lease->units + model->size;
}

/**
 * pm_lease_free() - end a lease in whatever state; its outcome was given
 *
 * What it held is free now; pm_pool_settle() gives it to the next.
 */
void pm_lease_free(struct pm_lease *lease)
{
	struct pm_pool *pool = lease->pool;

	assert(!lease->completion);
	pit_list_unlink(&lease->in_pool);
	pit_list_unlink(&lease->in_model);
	if (lease->state == PM_LEASE_QUEUED) {
		pool->n_waiting--;
	} else {
		pool->used -= lease->units;
		if (lease->model)
			pm_model_put(lease->model, lease);
	}
	if (lease->state == PM_LEASE_HELD) {
		pit_map_unlink(&pool->pm->leases, &lease->by_id);
		pool->n_leases--;
	}
	pit_let_go(&pool->pm->holders, &lease->held);
	sbus_timer_free(lease->timer);
	free(lease);
}

/* What stands in the way, for people and programs. */
yyjson_mut_doc *pm_lease_shortage(const struct pm_lease *lease)
{
	const struct pm_pool *pool = lease->pool;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj;

	if (!doc)
		return NULL;
	obj = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, obj);
	yyjson_mut_obj_add_strcpy(doc, obj, "pool", pool->name);
	if (lease->model) {
		yyjson_mut_obj_add_strcpy(doc, obj, "model", lease->model->name);
		yyjson_mut_obj_add_str(doc, obj, "state",
				       pm_state_names[lease->model->state]);
	}
	yyjson_mut_obj_add_uint(doc, obj, "needed", pm_lease_needs(lease));
	yyjson_mut_obj_add_uint(doc, obj, "free", pm_pool_room(pool));
	yyjson_mut_obj_add_uint(doc, obj, "capacity", pool->capacity);
	yyjson_mut_obj_add_uint(doc, obj, "waiting", pool->n_waiting);
	return doc;
}

__attribute__((format(printf, 3, 4)))
static void give_up(struct pm_lease *lease, int code, const char *format, ...)
{
	struct sbus_completion *completion = lease->completion;
	char message[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	lease->completion = NULL;
	/* Told late to a caller that is gone, it is dropped: nothing was granted. */
	sbus_complete_error(completion, code, pm_lease_shortage(lease), "%s",
			    message);
	pm_lease_free(lease);
}

/**
 * pm_lease_refuse() - end a lease that waits with an error
 * @why: the reason, the end of a sentence
 */
void pm_lease_refuse(struct pm_lease *lease, int code, const char *why)
{
	lease->pool->n_refused++;
	if (lease->model)
		give_up(lease, code, "acquire: model '%s' in pool '%s': %s",
			lease->model->name, lease->pool->name, why);
	else
		give_up(lease, code, "acquire: pool '%s': %s",
			lease->pool->name, why);
}

static void expired(void *self, void *arg)
{
	struct pm_lease *lease = arg;
	struct pm_pool *pool = lease->pool;
	struct pm_model *model = lease->model;

	(void)self;
	pool->n_timed_out++;
	if (lease->state == PM_LEASE_AWAITS_HOT)
		give_up(lease, ETIMEDOUT,
			"acquire: model '%s' was not reported hot within %llu ms",
			model->name, (unsigned long long)lease->timeout_ms);
	else
		give_up(lease, ETIMEDOUT,
			"acquire: pool '%s' had no room for %llu units within %llu ms",
			pool->name, (unsigned long long)pm_lease_needs(lease),
			(unsigned long long)lease->timeout_ms);
	pm_pool_settle(pool, model);
}

/* The caller has its outcome from the host; the others get their turn. */
void pm_lease_cancel(struct pm_lease *lease, int reason)
{
	struct pm_pool *pool = lease->pool;
	struct pm_model *model = lease->model;

	if (reason == -ETIMEDOUT)
		pool->n_timed_out++;
	else
		pool->n_cancelled++;
	give_up(lease, ECANCELED, "acquire: no longer wanted");
	pm_pool_settle(pool, model);
}

/* The holder is dead: what it has goes back, what it waits for is dropped. */
void pm_lease_reclaim(struct pm_lease *lease)
{
	struct pm_pool *pool = lease->pool;
	struct pm_model *model = lease->model;

	if (lease->completion) {
		pm_lease_cancel(lease, -ECONNRESET);
		return;
	}
	pool->n_reclaimed++;
	pm_lease_free(lease);
	pm_pool_settle(pool, model);
}

/**
 * pm_lease_describe() - what the caller of acquire() gets
 */
void pm_lease_describe(const struct pm_lease *lease, yyjson_mut_doc *doc,
		       yyjson_mut_val *obj)
{
	const struct pm_model *model = lease->model;

	yyjson_mut_obj_add_uint(doc, obj, "lease", lease->id);
	yyjson_mut_obj_add_strcpy(doc, obj, "pool", lease->pool->name);
	yyjson_mut_obj_add_uint(doc, obj, "units", lease->units);
	if (model) {
		yyjson_mut_obj_add_strcpy(doc, obj, "model", model->name);
		yyjson_mut_obj_add_uint(doc, obj, "size", model->size);
		yyjson_mut_obj_add_str(doc, obj, "state",
				       pm_state_names[model->state]);
		yyjson_mut_obj_add_bool(doc, obj, "loader", lease->loader);
	}
	yyjson_mut_obj_add_uint(doc, obj, "waited_ms",
				(lease->granted_at - lease->asked_at) /
				PIT_NS_PER_MS);
}

static void count_grant(struct pm_lease *lease)
{
	struct pm_pool *pool = lease->pool;
	uint64_t waited = lease->granted_at - lease->asked_at;

	pool->n_granted++;
	if (!lease->completion)
		return;
	pool->n_granted_late++;
	pool->wait_ns += waited;
	if (waited > pool->wait_ns_max)
		pool->wait_ns_max = waited;
}

/**
 * pm_lease_answer() - the lease is its caller's
 *
 * Frees it when the caller cannot be told: then nobody has it. Without a
 * completion (granted while the method runs) the method gives the answer.
 */
void pm_lease_answer(struct pm_lease *lease)
{
	struct sbus_completion *completion = lease->completion;
	struct pm_pool *pool = lease->pool;
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *obj;

	pit_list_unlink(&lease->in_model);
	pit_list_link_tail(&lease->in_pool, &pool->leases);
	pit_map_link(&pool->pm->leases, &lease->by_id, &lease->id,
		     sizeof(lease->id));
	pool->n_leases++;
	lease->state = PM_LEASE_HELD;
	lease->granted_at = sbus_now();
	sbus_timer_free(lease->timer);
	lease->timer = NULL;
	count_grant(lease);
	if (!completion)
		return;

	lease->completion = NULL;
	doc = yyjson_mut_doc_new(NULL);
	obj = doc ? yyjson_mut_obj(doc) : NULL;
	if (!obj) {
		yyjson_mut_doc_free(doc);
		sbus_complete_error(completion, ENOMEM, NULL,
				    "acquire: out of memory");
		pm_lease_free(lease);
		return;
	}
	yyjson_mut_doc_set_root(doc, obj);
	pm_lease_describe(lease, doc, obj);
	if (sbus_complete(completion, doc)) {
		pool->n_cancelled++;
		pm_lease_free(lease);
	}
}

/**
 * pm_lease_grant() - take the room that pm_pool_make_room() found
 */
void pm_lease_grant(struct pm_lease *lease)
{
	struct pm_pool *pool = lease->pool;
	struct pm_model *model = lease->model;

	pit_list_unlink(&lease->in_pool);
	pit_list_unlink(&lease->in_model);
	pool->n_waiting--;
	pm_pool_use(pool, lease->units);
	lease->state = PM_LEASE_AWAITS_HOT;
	if (model) {
		pm_model_get(model, lease);
		if (model->state == PM_WARMING && lease->wait_hot &&
		    !lease->loader) {
			pit_list_link_tail(&lease->in_model,
					   &model->hot_waiters);
			return;
		}
	}
	pm_lease_answer(lease);
}

/**
 * pm_lease_start() - grant it now, or queue it behind the others
 */
void pm_lease_start(struct pm_lease *lease)
{
	struct pm_pool *pool = lease->pool;

	pool->n_acquires++;
	if (pit_list_empty(&pool->queue) && pm_pool_make_room(pool, lease)) {
		pm_lease_grant(lease);
		return;
	}
	pit_list_link_tail(&lease->in_pool, &pool->queue);
	if (lease->model)
		pit_list_link_tail(&lease->in_model, &lease->model->queued);
}

/**
 * pm_lease_wait() - owe the answer
 * @timeout_ms: UINT64_MAX for none but the call's own deadline
 *
 * Return: 0 or a negative errno: nothing is owed.
 */
int pm_lease_wait(struct pm_lease *lease, struct sbus_invocation *inv,
		  uint64_t timeout_ms)
{
	int ret;

	if (timeout_ms != UINT64_MAX) {
		lease->timeout_ms = timeout_ms;
		ret = sbus_timer_new(lease->pool->pm->member, expired, lease,
				     &lease->timer);
		if (!ret)
			ret = sbus_timer_set(lease->timer,
					     pit_deadline(timeout_ms));
		if (ret)
			return ret;
	}
	lease->completion = sbus_defer(inv, lease);
	return lease->completion ? 0 : -ENOMEM;
}
