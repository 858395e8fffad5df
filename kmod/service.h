/* SPDX-License-Identifier: GPL-2.0-only */
/* Service: an extension id on a bus, and its replicas. */
#ifndef SYMP_SERVICE_H
#define SYMP_SERVICE_H

#include <linux/list.h>
#include <linux/rhashtable-types.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/symphony.h>
#include <linux/symphony_bpf.h>

#include "program.h"
#include "stats.h"

/* The flags of CLAIM that are the service's. */
#define SYMP_RECOVERY	(SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE)

struct symp_account;
struct symp_bus;
struct symp_endpoint;
struct symp_notice;
struct symp_route_args;

/**
 * struct symp_claim - one endpoint's claim of one service
 * @shown: of a replica: what a BPF program has a pointer to
 * @service: the service
 * @ep: the claimer; its death ends the claim before its memory goes, by RCU too
 * @paused: a replica gets no new calls: DRAIN, or the claim ended
 * @notify: the replica wants to hear of calls that nobody waits for any more
 * @activates: the claimer is the activator, not a replica
 * @ended: under the service's lock
 * @at: place in the service's array of replicas; likewise
 * @node: on one of the endpoint's lists, under its lock; then on that of the
 *	takeover that ended it
 * @notice: of the takeover that ended it, which is charged instead of the claim;
 *	of an activator: what tells it, unless that is on its way; under the
 *	endpoint's lock
 * @scratch: a BPF program's
 * @rcu: frees it
 */
struct symp_claim {
	struct symphony_replica shown;
	struct symp_service *service;
	struct symp_endpoint *ep;
	bool paused;
	bool notify;
	bool activates;
	bool ended;
	u32 at;
	struct list_head node;
	struct symp_notice *notice;
	u64 scratch;
	struct rcu_head rcu;
};

/**
 * struct symp_replicas - the claims of a service's replicas
 * @rcu: frees it
 * @size: how many there is room for
 * @nr: how many; only falls
 * @at: the claims; what stands behind @nr is never written again
 */
struct symp_replicas {
	struct rcu_head rcu;
	u32 size;
	u32 nr;
	struct symp_claim __rcu *at[] __counted_by(size);
};

/**
 * struct symp_service - an extension id
 * @name: terminated, the rest zero: the key
 * @node: in the bus's table of names
 * @handle: in the bus's table of handles
 * @uid: of the first claimer; the only one that can claim
 * @account: charged for it while somebody lives on the bus
 * @reserved: can be claimed with a grant only
 * @turn: where the search for the least loaded replica begins
 * @lock: guards who serves it, and what follows up to @told
 * @recovery: SYMPHONY_CLAIM_REQUEUE and _REISSUE
 * @changes: how often @replicas, @activator or a @paused changed; see service.c
 * @replicas: NULL when there are none
 * @activator: holds the calls while there is no replica, or NULL
 * @told: the serial number of the program that was told of the replicas; see
 *	route.c
 * @activated: id of the activator that was told, while no replica came; 0 for none.
 *	Written under that activator's lock, or under the service's
 * @parked: calls that activators hold. Two can hold some at once, each under its
 *	own lock: while one ends, and the next has come
 * @programs: see program.c
 * @stats: see stats.h
 *
 * Lives as long as its bus: a handle never changes its meaning, and a name that
 * lost its last replica cannot be taken by somebody else.
 */
struct symp_service {
	char name[SYMPHONY_NAME_MAX + 1];
	struct rhash_head node;
	u32 handle;
	kuid_t uid;
	struct symp_account *account;
	bool reserved;
	u32 turn;

	/* Guards what follows, up to @told. */
	spinlock_t lock;
	u32 recovery;
	u32 changes;
	struct symp_replicas __rcu *replicas;
	struct symp_claim __rcu *activator;
	u64 told[SYMP_NR_HOOKS];

	u64 activated;
	atomic_t parked;
	struct symp_program __rcu *programs[SYMP_NR_HOOKS];
	struct symp_stats stats;
};

/**
 * struct symp_pick - where a call goes
 * @service: the service
 * @ep: the replica or the activator, referenced
 * @epoch: of @ep, when it was one
 * @notify: as in struct symp_claim
 * @park: it is the activator
 */
struct symp_pick {
	struct symp_service *service;
	struct symp_endpoint *ep;
	u32 epoch;
	bool notify;
	bool park;
};

/**
 * struct symp_claim_args - what a CLAIM asks for
 * @name: the service
 * @flags: SYMPHONY_CLAIM_*, checked
 * @target: TAKEOVER: the replica to replace, 0 for all
 * @granted: there is a grant for @name
 */
struct symp_claim_args {
	const char *name;
	u32 flags;
	u64 target;
	bool granted;
};

int symp_service_table_init(struct symp_bus *bus);
void symp_service_table_uncharge(struct symp_bus *bus);
void symp_service_table_destroy(struct symp_bus *bus);
int symp_service_reserve(struct symp_bus *bus, const char *name,
			 enum symphony_limit *limit);
bool symp_service_is_reserved(struct symp_bus *bus, const char *name);
int symp_service_claim(struct symp_endpoint *ep,
		       const struct symp_claim_args *args, u64 *handle,
		       enum symphony_limit *limit);
int symp_service_unclaim(struct symp_endpoint *ep, u64 handle);
bool symp_service_unclaim_some(struct symp_endpoint *ep, u32 max);
int symp_service_drain(struct symp_endpoint *ep, u64 handle, bool resume);
int symp_service_resolve(struct symp_bus *bus, const char *name, u64 *handle);
struct symp_service *symp_service_by_handle(struct symp_bus *bus, u64 handle);
struct symp_service *symp_service_find(struct symp_bus *bus, const char *name);
struct symp_service *symp_service_next(struct symp_bus *bus, u64 handle);
bool symp_replica_takes_calls(const struct symp_claim *replica);
int symp_service_pick(const struct symp_route_args *args,
		      struct symp_pick *pick);

/* The activator, locked, holds one call less. */
static inline void symp_service_unpark(struct symp_service *service)
{
	atomic_dec(&service->parked);
}

#endif
