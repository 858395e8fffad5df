// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service: an extension id on a bus, and its replicas.
 *
 * A service's lock guards who serves it. Only endpoints of the service's own uid
 * take it, and an endpoint's death for the claims it has; it is a spinlock, so
 * that no task is preempted while it holds it. What a claim needs is allocated
 * before; what ends one needs no memory and does not wait: the last replica's
 * claim is written over the one that leaves, and the count falls. A reader that
 * took the count before still finds each replica that stays: where it was, which
 * is not written again, or nearer to the beginning.
 *
 * A caller that picked a replica, and then copies its request for as long as
 * that takes, must not reach an endpoint that stopped serving meanwhile, after
 * its queue was moved away. So a service counts its changes, and an endpoint the
 * times that it stopped (its epoch): pick() notes the epoch and then sees that
 * nothing changed; each change is counted, and then the epoch, under the
 * endpoint's lock; and the request is attached, under that lock, only if the
 * epoch is still the same.
 *
 * Queues are moved after the service's lock was dropped. The endpoint that they
 * are taken from may serve again by then: what is taken then comes back to it.
 */
#include <linux/cred.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "admit.h"
#include "bus.h"
#include "call.h"
#include "endpoint.h"
#include "ledger.h"
#include "limits.h"
#include "monitor.h"
#include "move.h"
#include "notice.h"
#include "route.h"
#include "service.h"
#include "stats.h"

static const struct rhashtable_params names_params = {
	.key_len = sizeof_field(struct symp_service, name),
	.key_offset = offsetof(struct symp_service, name),
	.head_offset = offsetof(struct symp_service, node),
};

int symp_service_table_init(struct symp_bus *bus)
{
	xa_init_flags(&bus->services, XA_FLAGS_ALLOC1);
	return rhashtable_init(&bus->names, &names_params);
}

/* Nobody lives on @bus any more. */
void symp_service_table_uncharge(struct symp_bus *bus)
{
	struct symp_service *service;
	unsigned long handle;

	xa_for_each(&bus->services, handle, service) {
		symp_account_uncharge(service->account, SYMP_SERVICES, 1);
		cond_resched();
	}
}

void symp_service_table_destroy(struct symp_bus *bus)
{
	struct symp_service *service;
	unsigned long handle;

	rhashtable_destroy(&bus->names);
	xa_for_each(&bus->services, handle, service) {
		symp_programs_forget(service->programs);
		symp_account_put(service->account);
		free_percpu(service->stats.counts);
		kfree(service);
		cond_resched();
	}
	xa_destroy(&bus->services);
}

static struct symp_replicas *replicas_of(struct symp_service *service)
{
	return rcu_dereference_protected(service->replicas,
					 lockdep_is_held(&service->lock));
}

static struct symp_claim *replica_at(struct symp_service *service, u32 i)
{
	return rcu_dereference_protected(replicas_of(service)->at[i],
					 lockdep_is_held(&service->lock));
}

static struct symp_claim *activator_of(struct symp_service *service)
{
	return rcu_dereference_protected(service->activator,
					 lockdep_is_held(&service->lock));
}

static u32 nr_replicas(struct symp_service *service)
{
	return replicas_of(service) ? replicas_of(service)->nr : 0;
}

static struct symp_replicas *replicas_alloc(u32 size)
{
	struct symp_replicas *r;

	r = kzalloc(struct_size(r, at, size), GFP_KERNEL_ACCOUNT);
	if (r)
		r->size = size;
	return r;
}

static void replicas_add(struct symp_replicas *r, struct symp_claim *claim)
{
	claim->at = r->nr;
	RCU_INIT_POINTER(r->at[r->nr++], claim);
}

static void replicas_set(struct symp_service *service, struct symp_replicas *new)
{
	struct symp_replicas *old = replicas_of(service);

	rcu_assign_pointer(service->replicas, new);
	if (old)
		kfree_rcu(old, rcu);
}

/* The top of this file says why readers lose none of those who stay. */
static void replicas_remove(struct symp_service *service,
			    struct symp_claim *claim)
{
	struct symp_replicas *r = replicas_of(service);
	struct symp_claim *last = replica_at(service, r->nr - 1);

	if (r->nr == 1) {
		replicas_set(service, NULL);
		return;
	}
	last->at = claim->at;
	rcu_assign_pointer(r->at[claim->at], last);
	/* For a reader that counts first and looks then: netlink.c. */
	smp_store_release(&r->nr, r->nr - 1);
}

/* What a pick finds is different from now on. */
static void count_change(struct symp_service *service)
{
	/* Pairs with the acquire in symp_service_pick(). */
	smp_store_release(&service->changes, service->changes + 1);
}

/* Return: the service, or an ERR_PTR: -EEXIST: another one has the name. */
static struct symp_service *service_create(struct symp_bus *bus,
					   const char *name, kuid_t uid,
					   struct symp_account *account,
					   enum symphony_limit *limit)
{
	struct symp_service *service;
	int err;

	err = symp_account_charge_patiently(account, SYMP_SERVICES, 1);
	if (err) {
		*limit = SYMPHONY_LIMIT_USER_SERVICES;
		return ERR_PTR(err);
	}
	err = -ENOMEM;
	service = kzalloc(sizeof(*service), GFP_KERNEL_ACCOUNT);
	if (!service)
		goto err_uncharge;
	service->stats.counts = alloc_percpu_gfp(struct symp_counts,
						 GFP_KERNEL_ACCOUNT);
	if (!service->stats.counts)
		goto err_free;
	strscpy(service->name, name);
	spin_lock_init(&service->lock);
	service->uid = uid;
	service->account = symp_account_get(account);
	err = xa_alloc(&bus->services, &service->handle, service,
		       XA_LIMIT(1, READ_ONCE(symp_services_max)), GFP_KERNEL_ACCOUNT);
	if (err) {
		if (err == -EBUSY) {
			*limit = SYMPHONY_LIMIT_SERVICES;
			err = -EDQUOT;
		}
		goto err_put;
	}
	err = rhashtable_lookup_insert_fast(&bus->names, &service->node,
					    names_params);
	if (err)
		goto err_erase;
	atomic_inc(&bus->nr_services);
	return service;

err_erase:
	xa_erase(&bus->services, service->handle);
	/* A handle can be guessed: a pick may be looking at it. */
	synchronize_rcu();
err_put:
	symp_account_put(service->account);
	free_percpu(service->stats.counts);
err_free:
	kfree(service);
err_uncharge:
	symp_account_uncharge(account, SYMP_SERVICES, 1);
	return ERR_PTR(err);
}

/* A name that is the creator's from the beginning. @bus is in nobody's reach. */
int symp_service_reserve(struct symp_bus *bus, const char *name,
			 enum symphony_limit *limit)
{
	struct symp_service *service;

	if (rhashtable_lookup_fast(&bus->names, name, names_params))
		return -EINVAL;
	service = service_create(bus, name, bus->uid, bus->account, limit);
	if (IS_ERR(service))
		return PTR_ERR(service);
	service->reserved = true;
	return 0;
}

/* Was @name reserved when @bus was created? */
bool symp_service_is_reserved(struct symp_bus *bus, const char *name)
{
	struct symp_service *service;

	guard(rcu)();
	service = rhashtable_lookup(&bus->names, name, names_params);
	return service && service->reserved;
}

/* The service that @ep may claim, made when it is not there. May sleep. */
static struct symp_service *claimable(struct symp_endpoint *ep,
				      const struct symp_claim_args *args,
				      enum symphony_limit *limit)
{
	struct symp_bus *bus = ep->bus;
	struct symp_service *service;
	bool trusted = args->granted || symp_bus_is_creator(bus, ep);

	do {
		service = symp_service_find(bus, args->name);
		if (!trusted && (bus->grants || (service && service->reserved)))
			return ERR_PTR(-EPERM);
		if (service)
			return uid_eq(service->uid, ep->cred->euid) ?
				service : ERR_PTR(-EPERM);
		if (args->target)
			return ERR_PTR(-ESRCH);
		service = service_create(bus, args->name, ep->cred->euid,
					 ep->account, limit);
	} while (service == ERR_PTR(-EEXIST));
	return service;
}

/*
 * A claim, charged for. An activator's is charged for the notice that tells it, too,
 * so that no caller has to make one. May sleep.
 */
static struct symp_claim *claim_alloc(struct symp_endpoint *ep,
				      struct symp_service *service, u32 flags,
				      enum symphony_limit *limit)
{
	bool activates = flags & SYMPHONY_CLAIM_ACTIVATOR;
	struct symp_claim *claim;

	if (symp_account_charge_patiently(ep->account, SYMP_CLAIMS, 1 + activates)) {
		*limit = SYMPHONY_LIMIT_USER_CLAIMS;
		return ERR_PTR(-EDQUOT);
	}
	claim = kzalloc(sizeof(*claim), GFP_KERNEL_ACCOUNT);
	if (!claim)
		goto err_uncharge;
	claim->service = service;
	claim->ep = ep;
	claim->notify = flags & SYMPHONY_CLAIM_NOTIFY;
	claim->activates = activates;
	if (!activates)
		return claim;
	claim->notice = symp_notice_alloc(SYMPHONY_MSG_ACTIVATE, NULL, ep,
					  service->handle, 0);
	if (!claim->notice)
		goto err_free;
	claim->notice->service = service;
	return claim;

err_free:
	kfree(claim);
err_uncharge:
	symp_account_uncharge(ep->account, SYMP_CLAIMS, 1 + activates);
	return ERR_PTR(-ENOMEM);
}

/* What was charged for a claim that is not taken over, and its notice, go. */
static void claim_settle(struct symp_claim *claim)
{
	struct symp_endpoint *ep = claim->ep;
	struct symp_notice *notice;

	/* One that was not received yet goes when it is. */
	scoped_guard(spinlock, &ep->lock) {
		notice = claim->notice;
		claim->notice = NULL;
	}
	if (notice)
		symp_notice_free(ep, notice);
	symp_account_uncharge(ep->account, SYMP_CLAIMS, 1);
}

/* A claim that ended, or that was none, and was not taken over. Does not sleep. */
static void claim_free(struct symp_claim *claim)
{
	claim_settle(claim);
	kfree_rcu(claim, rcu);
}

/* @ep's claim of @service, or NULL. */
static struct symp_claim *claim_of(struct symp_endpoint *ep,
				   struct symp_service *service)
{
	struct symp_claim *claim = activator_of(service);
	u32 i;

	if (claim && claim->ep == ep)
		return claim;
	for (i = 0; i < nr_replicas(service); i++) {
		claim = replica_at(service, i);
		if (claim->ep == ep)
			return claim;
	}
	return NULL;
}

/* Set @ep->serves, which BPF programs see. */
static void note_served(struct symp_endpoint *ep)
{
	struct symp_claim *first;

	lockdep_assert_held(&ep->lock);
	first = list_first_entry_or_null(&ep->claims, struct symp_claim, node);
	WRITE_ONCE(ep->serves, first ? first->service->handle : 0);
}

static int claim_link(struct symp_claim *claim)
{
	struct symp_endpoint *ep = claim->ep;

	guard(spinlock)(&ep->lock);
	if (ep->dead)
		return -ESHUTDOWN;
	list_add_tail(&claim->node, claim->activates ? &ep->activations :
						       &ep->claims);
	note_served(ep);
	return 0;
}

/*
 * The claim is over, and stands nowhere any more. What stands in the claimer's
 * queue is the caller's business. The claim's memory is the caller's, too.
 */
static void claim_end(struct symp_claim *claim)
{
	struct symp_endpoint *ep = claim->ep;

	lockdep_assert_held(&claim->service->lock);
	claim->ended = true;
	/* A pick that sees this sees that a takeover was counted. */
	smp_store_release(&claim->paused, true);
	count_change(claim->service);
	scoped_guard(spinlock, &ep->lock) {
		list_del(&claim->node);
		note_served(ep);
	}
	if (!claim->activates)
		symp_route_replica(claim->service, ep, false);
	symp_monitor_claim(SYMPHONY_CMD_SERVICE_UNCLAIM_NTF, ep, claim->service,
			   claim->activates);
}

static void claim_remove(struct symp_claim *claim)
{
	struct symp_service *service = claim->service;

	symp_route_catch_up(service, claim->ep->bus);
	if (claim->activates)
		rcu_assign_pointer(service->activator, NULL);
	else
		replicas_remove(service, claim);
	claim_end(claim);
}

/**
 * struct claiming - what a claim needs, so that nothing is allocated under a lock
 * @claim: the claim; NULL when it was made
 * @replicas: of a new replica: the array, larger by one
 * @notices: for those whose place it takes
 * @nr_notices: how many
 * @ousted: (out) their claims, each with its notice, and the endpoint referenced
 * @activator: (out) holds calls that go to the new replica; referenced, or NULL
 */
struct claiming {
	struct symp_claim *claim;
	struct symp_replicas *replicas;
	struct list_head notices;
	u32 nr_notices;
	struct list_head ousted;
	struct symp_endpoint *activator;
};

static bool is_ousted(const struct symp_claim *claim,
		      const struct symp_claim_args *args)
{
	return args->flags & SYMPHONY_CLAIM_TAKEOVER &&
	       (!args->target || args->target == claim->ep->id);
}

/* May sleep. */
static int claiming_prepare(struct claiming *c, struct symp_service *service,
			    const struct symp_claim_args *args)
{
	struct symp_notice *notice;
	u32 nr;

	if (c->claim->activates)
		return 0;
	scoped_guard(spinlock, &service->lock)
		nr = nr_replicas(service);
	kfree(c->replicas);
	c->replicas = replicas_alloc(nr + 1);
	if (!c->replicas)
		return -ENOMEM;
	if (!(args->flags & SYMPHONY_CLAIM_TAKEOVER))
		return 0;
	for (nr = args->target ? 1 : nr; c->nr_notices < nr; c->nr_notices++) {
		notice = symp_notice_alloc(SYMPHONY_MSG_TAKEOVER, NULL, NULL,
					   service->handle, 0);
		if (!notice)
			return -ENOMEM;
		list_add(&notice->item.node, &c->notices);
	}
	return 0;
}

static void claiming_free(struct claiming *c)
{
	struct symp_notice *notice, *next;

	list_for_each_entry_safe(notice, next, &c->notices, item.node)
		kfree(notice);
	kfree(c->replicas);
	if (c->claim)
		claim_free(c->claim);
}

static void oust(struct claiming *c, struct symp_claim *claim)
{
	struct symp_notice *notice;

	notice = list_first_entry(&c->notices, struct symp_notice, item.node);
	list_del(&notice->item.node);
	symp_endpoint_identify(c->claim->ep, claim->ep, &notice->about);
	claim->notice = notice;
	/* Its death cannot have dropped the last reference: the claim stands. */
	symp_endpoint_get(claim->ep);
	claim_end(claim);
	list_add_tail(&claim->node, &c->ousted);
}

/*
 * Become a replica, in the place of others if it takes over. The switch is one
 * store. -EAGAIN: there are more replicas than what was prepared is for.
 */
static int become_replica(struct claiming *c, struct symp_service *service,
			  const struct symp_claim_args *args)
{
	u32 i, nr = nr_replicas(service), nr_ousted = 0, recovery;
	struct symp_replicas *old = replicas_of(service), *new = c->replicas;
	struct symp_claim *claim = c->claim, *other;
	int err;

	for (i = 0; i < nr; i++)
		nr_ousted += is_ousted(replica_at(service, i), args);
	if (args->target && !nr_ousted)
		return -ESRCH;
	if (nr >= new->size || nr_ousted > c->nr_notices)
		return -EAGAIN;
	recovery = args->flags & SYMP_RECOVERY;
	if (nr > nr_ousted && service->recovery != recovery)
		return -EINVAL;
	err = claim_link(claim);
	if (err)
		return err;
	symp_route_catch_up(service, claim->ep->bus);
	WRITE_ONCE(service->recovery, recovery);
	for (i = 0; i < nr; i++) {
		other = replica_at(service, i);
		if (!is_ousted(other, args))
			replicas_add(new, other);
	}
	replicas_add(new, claim);
	rcu_assign_pointer(service->replicas, new);
	c->replicas = NULL;
	count_change(service);
	for (i = 0; i < nr; i++) {
		other = rcu_dereference_protected(old->at[i], true);
		if (is_ousted(other, args))
			oust(c, other);
	}
	if (old)
		kfree_rcu(old, rcu);
	symp_route_replica(service, claim->ep, true);
	return 0;
}

static int become_activator(struct claiming *c, struct symp_service *service)
{
	int err;

	if (activator_of(service))
		return -EBUSY;
	err = claim_link(c->claim);
	if (err)
		return err;
	/* It may have been the activator before. */
	WRITE_ONCE(service->activated, 0);
	rcu_assign_pointer(service->activator, c->claim);
	count_change(service);
	return 0;
}

/* The activator, if calls that it holds can go on now; referenced. */
static struct symp_endpoint *activator_get(struct symp_service *service)
{
	struct symp_claim *claim = activator_of(service);

	if (!claim)
		return NULL;
	symp_endpoint_get(claim->ep);
	return claim->ep;
}

/*
 * Settled while it stands: the claimer stays until its death has seen the end of
 * its claims.
 */
static void bury_one(struct symp_claim *claim)
{
	if (!READ_ONCE(claim->ep->dead))
		return;
	claim_settle(claim);
	claim_remove(claim);
	kfree_rcu(claim, rcu);
}

/* End the claims of the dead, whose deaths may be a while from doing so. */
static void bury(struct symp_service *service)
{
	u32 i = nr_replicas(service);

	if (activator_of(service))
		bury_one(activator_of(service));
	while (i--)
		bury_one(replica_at(service, i));
}

static int claim_try(struct claiming *c, struct symp_service *service,
		     const struct symp_claim_args *args)
{
	struct symp_claim *claim = c->claim;
	int err;

	guard(spinlock)(&service->lock);
	bury(service);
	if (claim_of(claim->ep, service))
		return -EALREADY;
	err = claim->activates ? become_activator(c, service) :
				 become_replica(c, service, args);
	if (err)
		return err;
	if (!claim->activates)
		c->activator = activator_get(service);
	symp_monitor_claim(SYMPHONY_CMD_SERVICE_CLAIM_NTF, claim->ep, service,
			   claim->activates);
	c->claim = NULL;
	return 0;
}

/* Move the queues of the replaced replicas, and the parked calls, to the new one. */
static void claim_finish(struct claiming *c, struct symp_service *service)
{
	struct symp_claim *claim, *next;

	list_for_each_entry_safe(claim, next, &c->ousted, node) {
		/* The notice is charged now, instead of the claim. */
		symp_move_queued(claim->ep, service, claim->notice);
		symp_endpoint_put(claim->ep);
		kfree_rcu(claim, rcu);
	}
	if (c->activator) {
		symp_move_queued(c->activator, service, NULL);
		symp_endpoint_put(c->activator);
	}
}

static int may_claim(struct symp_endpoint *ep)
{
	guard(spinlock)(&ep->lock);
	if (ep->dead)
		return -ESHUTDOWN;
	/* Two that take over from each other would leave ever more. */
	return list_empty(&ep->untold) ? 0 : -ENOBUFS;
}

/**
 * symp_service_claim() - make an endpoint a replica, or the activator
 * @ep: the endpoint
 * @args: of which service, and how; it is created when it is not there
 * @handle: (out) the service's handle
 * @limit: (out) with -EDQUOT
 *
 * May sleep. Return: 0, or the negative errno of struct symphony_service.
 */
int symp_service_claim(struct symp_endpoint *ep,
		       const struct symp_claim_args *args, u64 *handle,
		       enum symphony_limit *limit)
{
	struct claiming c = {
		.notices = LIST_HEAD_INIT(c.notices),
		.ousted = LIST_HEAD_INIT(c.ousted),
	};
	struct symp_service *service;
	int err;

	err = may_claim(ep);
	if (err)
		return err;
	service = claimable(ep, args, limit);
	if (IS_ERR(service))
		return PTR_ERR(service);
	c.claim = claim_alloc(ep, service, args->flags, limit);
	if (IS_ERR(c.claim))
		return PTR_ERR(c.claim);
	do {
		err = claiming_prepare(&c, service, args) ?:
		      claim_try(&c, service, args);
	} while (err == -EAGAIN);
	claim_finish(&c, service);
	claiming_free(&c);
	if (!err)
		*handle = service->handle;
	return err;
}

int symp_service_unclaim(struct symp_endpoint *ep, u64 handle)
{
	struct symp_service *service;
	struct symp_claim *claim;

	scoped_guard(rcu) {
		service = symp_service_by_handle(ep->bus, handle);
		if (!service)
			return -ENOENT;
		guard(spinlock)(&service->lock);
		claim = claim_of(ep, service);
		if (!claim)
			return -ENOENT;
		claim_remove(claim);
	}
	if (claim->activates)
		symp_move_refuse_parked(ep, service);
	else
		symp_endpoint_next_epoch(ep);
	claim_free(claim);
	return 0;
}

static struct symp_claim *claim_first(struct symp_endpoint *ep)
{
	guard(spinlock)(&ep->lock);
	return list_first_entry_or_null(&ep->claims, struct symp_claim, node) ?:
	       list_first_entry_or_null(&ep->activations, struct symp_claim, node);
}

/**
 * symp_service_unclaim_some() - a dead endpoint's claims end
 * @ep: the endpoint; there will be no more
 * @max: how many of them
 *
 * Does not sleep. Return: whether there are none left.
 */
bool symp_service_unclaim_some(struct symp_endpoint *ep, u32 max)
{
	struct symp_claim *claim;

	while (max--) {
		guard(rcu)();
		claim = claim_first(ep);
		if (!claim)
			return true;
		guard(spinlock)(&claim->service->lock);
		/* A takeover can be faster. */
		if (claim->ended)
			continue;
		claim_remove(claim);
		claim_free(claim);
	}
	return false;
}

/**
 * symp_service_drain() - DRAIN
 * @ep: a replica
 * @handle: of which service
 * @resume: let calls come again
 *
 * May sleep. Return: 0, -ENOENT.
 */
int symp_service_drain(struct symp_endpoint *ep, u64 handle, bool resume)
{
	struct symp_endpoint *activator;
	struct symp_service *service;
	struct symp_claim *claim;

	scoped_guard(rcu) {
		service = symp_service_by_handle(ep->bus, handle);
		if (!service)
			return -ENOENT;
		guard(spinlock)(&service->lock);
		claim = claim_of(ep, service);
		if (!claim || claim->activates)
			return -ENOENT;
		if (claim->paused == resume) {
			WRITE_ONCE(claim->paused, !resume);
			count_change(service);
		}
		activator = resume ? activator_get(service) : NULL;
	}
	/* That stops nothing. */
	if (!resume)
		symp_endpoint_next_epoch(ep);
	if (activator) {
		symp_move_queued(activator, service, NULL);
		symp_endpoint_put(activator);
	}
	return 0;
}

/* @handle is from user space. Within an RCU read section. */
struct symp_service *symp_service_by_handle(struct symp_bus *bus, u64 handle)
{
	return handle <= U32_MAX ? xa_load(&bus->services, handle) : NULL;
}

/* The first with @handle or a larger one, or NULL. Within an RCU read section. */
struct symp_service *symp_service_next(struct symp_bus *bus, u64 handle)
{
	unsigned long index = handle;

	return xa_find(&bus->services, &index, U32_MAX, XA_PRESENT);
}

/* @name is zero behind its end. Return: as long-lived as the bus, or NULL. */
struct symp_service *symp_service_find(struct symp_bus *bus, const char *name)
{
	return rhashtable_lookup_fast(&bus->names, name, names_params);
}

int symp_service_resolve(struct symp_bus *bus, const char *name, u64 *handle)
{
	struct symp_service *service = symp_service_find(bus, name);

	if (!service)
		return -ENOENT;
	*handle = service->handle;
	return 0;
}

bool symp_replica_takes_calls(const struct symp_claim *replica)
{
	/* Pairs with the release in claim_end(). */
	if (smp_load_acquire(&replica->paused))
		return false;
	/* Pairs with the unlock in symp_endpoint_kill(), as a change can be before. */
	return !smp_load_acquire(&replica->ep->dead);
}

/* The replica with the fewest calls on it; among equals, in turn. */
static struct symp_claim *least_loaded(struct symp_service *service,
				       struct symp_replicas *r)
{
	u32 i, nr, at, load, turn = 0, least = U32_MAX;
	struct symp_claim *replica, *best = NULL;

	nr = r ? READ_ONCE(r->nr) : 0;
	if (nr < 2) {
		replica = nr ? rcu_dereference(r->at[0]) : NULL;
		return replica && symp_replica_takes_calls(replica) ? replica : NULL;
	}
	at = READ_ONCE(service->turn) % nr;
	for (i = 0; i < nr; i++, at = at + 1 < nr ? at + 1 : 0) {
		replica = rcu_dereference(r->at[at]);
		load = READ_ONCE(replica->ep->load);
		if (load < least && symp_replica_takes_calls(replica)) {
			least = load;
			best = replica;
			turn = at + 1;
		}
	}
	WRITE_ONCE(service->turn, turn);
	return best;
}

/* What a program chooses, or the built-in policy. ERR_PTR: the call is refused. */
static struct symp_claim *choose(struct symp_service *service,
				 struct symp_replicas *r,
				 const struct symp_route_args *args)
{
	struct symp_claim *replica = NULL;

	if (static_branch_unlikely(&symp_routes))
		replica = symp_route(service, r, args);
	replica = replica ?: least_loaded(service, r);
	if (static_branch_unlikely(&symp_shadows))
		symp_route_compare(service, r, args, replica);
	return replica;
}

/* Most calls go where the one before went, and a service stays with its bus. */
static struct symp_service *service_for(struct symp_endpoint *ep, u64 handle)
{
	struct symp_service *service = READ_ONCE(ep->service);

	return service && service->handle == handle ?
		service : symp_service_by_handle(ep->bus, handle);
}

/**
 * symp_service_pick() - choose the replica for a call
 * @args: the call
 * @pick: (out) the replica, or the activator when there is none
 *
 * Return: 0, -ENOENT (no such handle), -ECONNREFUSED (nobody), -ESHUTDOWN (the
 * service changed meanwhile: look at signals and the deadline, and pick again), or
 * the errno with which a program does not admit the call, or refuses it.
 */
int symp_service_pick(const struct symp_route_args *args, struct symp_pick *pick)
{
	const struct symp_call *call = args->call;
	struct symp_claim *replica, *claim;
	struct symp_endpoint *ep;
	struct symp_service *service;
	u32 changes;
	int err;

	guard(rcu)();
	service = service_for(call->caller, call->handle);
	if (!service)
		return -ENOENT;
	if (static_branch_unlikely(&symp_admits) && !args->moves) {
		err = symp_admit(service, call->caller, args->arg);
		if (err)
			goto refused;
	}
	/* Pairs with the release in count_change(). */
	changes = smp_load_acquire(&service->changes);
	replica = choose(service, rcu_dereference(service->replicas), args);
	if (IS_ERR(replica)) {
		err = PTR_ERR(replica);
		goto refused;
	}
	claim = replica ?: rcu_dereference(service->activator);
	if (!claim || (!replica && READ_ONCE(claim->ep->dead))) {
		/* Those it saw leave can have been replaced since. */
		if (changes != READ_ONCE(service->changes))
			return -ESHUTDOWN;
		err = -ECONNREFUSED;
		goto refused;
	}
	ep = claim->ep;
	/* Pairs with the release in symp_endpoint_next_epoch(). */
	pick->epoch = smp_load_acquire(&ep->epoch);
	/* Getting it fails when it died this moment. */
	if (unlikely(changes != READ_ONCE(service->changes) ||
		     !symp_endpoint_get_live(ep)))
		return -ESHUTDOWN;
	/* A service that somebody serves was made for good. */
	if (READ_ONCE(call->caller->service) != service)
		/* For other threads' dependent reads of what it points to. */
		smp_store_release(&call->caller->service, service);
	pick->service = service;
	pick->ep = ep;
	pick->notify = replica && replica->notify;
	pick->park = !replica;
	return 0;

refused:
	/* Otherwise it is counted where it ends. */
	if (!call->server)
		symp_stats_inc(&service->stats, SYMP_STAT_REFUSALS);
	return err;
}
