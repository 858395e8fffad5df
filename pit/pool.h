/* SPDX-License-Identifier: MIT */
/*
 * pool: capacity in units, the models that live in it and the leases on it.
 *
 * A pool's units are used by its resident models (each once, however many
 * leases it has) and by the units that leases ask for themselves. A lease that
 * does not fit waits in its pool's queue. Only the head of the queue is ever
 * looked at: nobody overtakes, and a large request is not starved by small
 * ones.
 *
 *	             first lease               reported hot
 *	    COLD ------------------> WARMING ----------------> HOT
 *	    ^  ^                        |  |                    | |
 *	    |  | last lease, unreported |  | reported failed    | |
 *	    |  +------------------------+  +-----> FAILED <-----+ |
 *	    |       reported cold                    |            |
 *	    +----------------------------------------+            |
 *	    |    cool_ms over, or reported cold                   |
 *	    +---------------------------- COOLING <---------------+
 *	                                            evicted (idle)
 *
 * A model is resident, and has its size accounted, from WARMING to COOLING.
 *
 * Who settles. Functions here change one thing; what follows for others is
 * done by pm_pool_settle(), once, at the end of each method, timer and
 * notification. So nothing is answered from the middle of a change.
 */
#ifndef PIT_POOL_H
#define PIT_POOL_H

#include "holder.h"
#include "list.h"
#include "map.h"
#include "params.h"

#define PM_MAX_POOLS 1024
#define PM_MAX_MODELS 65536
#define PM_DEFAULT_POOL "default"

enum pm_state {
	PM_COLD,
	PM_WARMING,
	PM_HOT,
	PM_COOLING,
	PM_FAILED,
	PM_N_STATES,
};

struct pm {
	struct sbus_member *member;
	struct pit_map pools;
	struct pit_map models;
	struct pit_map leases;		/* held ones */
	struct pit_holders holders;
	struct pit_list pool_list;
	uint64_t last_lease;
};

struct pm_pool {
	struct pm *pm;
	struct pit_map_entry by_name;
	struct pit_list link;
	struct pit_list queue;		/* of leases, the first come first */
	struct pit_list idle_models;	/* HOT without a lease, the oldest first */
	struct pit_list models;
	struct pit_list leases;		/* held ones, the oldest first */
	uint64_t capacity;
	uint64_t used;			/* resident models and leases */
	uint64_t idle;			/* the part of used that can be evicted */
	uint64_t cooling;		/* the part of used that is on its way out */
	uint64_t n_waiting;
	uint64_t n_leases;
	uint64_t n_models[PM_N_STATES];

	uint64_t n_acquires;
	uint64_t n_granted;
	uint64_t n_granted_late;	/* after waiting */
	uint64_t n_timed_out;
	uint64_t n_cancelled;
	uint64_t n_refused;		/* did not fit, no wait, model failed */
	uint64_t n_released;
	uint64_t n_reclaimed;		/* the holder died */
	uint64_t n_evictions;
	uint64_t wait_ns;
	uint64_t wait_ns_max;
	uint64_t used_max;
	char name[];
};

struct pm_lease;

struct pm_model {
	struct pm_pool *pool;
	struct pit_map_entry by_name;
	struct pit_list in_pool;
	struct pit_list idle;
	struct pit_list queued;		/* leases still without room */
	struct pit_list hot_waiters;	/* leases with room, waiting for HOT */
	struct pm_lease *loader;	/* who was told to warm it */
	struct sbus_timer *timer;	/* the end of COOLING; NULL without cool_ms */
	char *reason;			/* of FAILED */
	enum pm_state state;
	uint64_t size;
	uint64_t cool_ms;
	uint64_t n_leases;		/* with room */

	uint64_t n_granted;
	uint64_t n_hits;		/* granted while resident */
	uint64_t n_warmed;
	uint64_t n_evictions;
	uint64_t n_failures;
	uint64_t used_at;
	char name[];
};

enum pm_lease_state {
	PM_LEASE_QUEUED,
	PM_LEASE_AWAITS_HOT,
	PM_LEASE_HELD,
};

/* One acquire() from its arrival to its release. */
struct pm_lease {
	struct pm_pool *pool;
	struct pm_model *model;		/* or NULL */
	struct pit_map_entry by_id;
	struct pit_list in_pool;	/* the queue, or the held ones */
	struct pit_list in_model;
	struct pit_held held;
	struct sbus_completion *completion;	/* the answer is owed */
	struct sbus_timer *timer;
	enum pm_lease_state state;
	bool wait_hot;
	bool loader;
	uint64_t id;
	uint64_t units;
	uint64_t asked_at;
	uint64_t granted_at;
	uint64_t timeout_ms;
};

/* pool.c */
int pm_pool_new(struct pm *pm, const char *name, uint64_t capacity,
		struct pm_pool **pool);
struct pm_pool *pm_pool_find(struct pm *pm, const char *name);
void pm_pool_free(struct pm_pool *pool);
void pm_pool_resize(struct pm_pool *pool, uint64_t capacity);
uint64_t pm_pool_room(const struct pm_pool *pool);
bool pm_pool_make_room(struct pm_pool *pool, const struct pm_lease *lease);
void pm_pool_use(struct pm_pool *pool, uint64_t units);
void pm_pool_settle(struct pm_pool *pool, struct pm_model *model);

/* pool_model.c */
extern const char *const pm_state_names[PM_N_STATES];
int pm_model_new(struct pm_pool *pool, const char *name, uint64_t size,
		 uint64_t cool_ms, struct pm_model **model);
int pm_model_change(struct pm_model *model, struct pm_pool *pool,
		    uint64_t size, uint64_t cool_ms);
struct pm_model *pm_model_find(struct pm *pm, const char *name);
void pm_model_free(struct pm_model *model);
bool pm_model_resident(const struct pm_model *model);
void pm_model_get(struct pm_model *model, struct pm_lease *lease);
void pm_model_put(struct pm_model *model, struct pm_lease *lease);
int pm_model_evict(struct pm_model *model);
void pm_model_set_cold(struct pm_model *model);
void pm_model_set_hot(struct pm_model *model);
void pm_model_set_failed(struct pm_model *model, char *reason);
void pm_model_settle(struct pm_model *model);

/* pool_lease.c */
int pm_lease_new(struct pm_pool *pool, struct pm_model *model, uint64_t sender,
		 uint64_t units, struct pm_lease **lease);
struct pm_lease *pm_lease_find(struct pm *pm, uint64_t id);
uint64_t pm_lease_needs(const struct pm_lease *lease);
void pm_lease_start(struct pm_lease *lease);
int pm_lease_wait(struct pm_lease *lease, struct sbus_invocation *inv,
		  uint64_t timeout_ms);
void pm_lease_grant(struct pm_lease *lease);
void pm_lease_reclaim(struct pm_lease *lease);
void pm_lease_cancel(struct pm_lease *lease, int reason);
yyjson_mut_doc *pm_lease_shortage(const struct pm_lease *lease);
void pm_lease_answer(struct pm_lease *lease);
void pm_lease_refuse(struct pm_lease *lease, int code, const char *why);
void pm_lease_describe(const struct pm_lease *lease, yyjson_mut_doc *doc,
		       yyjson_mut_val *obj);
void pm_lease_free(struct pm_lease *lease);

#endif
