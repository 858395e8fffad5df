// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service: an extension id on a bus, and its replicas.
 *
 * Who serves is an array that is replaced as a whole. A caller that looked at
 * it, and then copies its request for as long as that takes, must not reach an
 * endpoint that stopped serving meanwhile, after its queue was moved away. So
 * an endpoint counts the times that it stopped (its epoch): pick() notes the
 * count and then sees the array unchanged; whoever changes the array counts
 * afterwards, under the endpoint's lock; and the request is attached, under
 * that lock, only if the count is still the same.
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

	xa_for_each(&bus->services, handle, service)
		symp_account_uncharge(service->account, SYMP_SERVICES, 1);
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
	}
	xa_destroy(&bus->services);
}

static struct symp_replicas *replicas_of(struct symp_bus *bus,
					 struct symp_service *service)
{
	return rcu_dereference_protected(service->replicas,
					 lockdep_is_held(&bus->lock));
}

static struct symp_replicas *replicas_alloc(u32 nr)
{
	struct symp_replicas *r;

	r = kzalloc(struct_size(r, at, nr), GFP_KERNEL_ACCOUNT);
	if (r)
		r->nr = nr;
	return r;
}

static struct symp_replica *replica_of(struct symp_replicas *r,
				       const struct symp_endpoint *ep)
{
	u32 i;

	for (i = 0; r && i < r->nr; i++)
		if (r->at[i].ep == ep)
			return &r->at[i];
	return NULL;
}

static void replicas_set(struct symp_bus *bus, struct symp_service *service,
			 struct symp_replicas *new)
{
	struct symp_replicas *old = replicas_of(bus, service);

	rcu_assign_pointer(service->replicas, new);
	if (old)
		kfree_rcu(old, rcu);
}

/*
 * Must not fail: it is on the way of every death. Without memory for a new
 * array the last entry is written over the one that leaves, and the count
 * lowered. Readers can see the array meanwhile: the entry is paused while it
 * changes, for as long as any of them may use what it was.
 */
static void replicas_remove(struct symp_bus *bus, struct symp_service *service,
			    struct symp_endpoint *ep)
{
	struct symp_replicas *old = replicas_of(bus, service), *new = NULL;
	struct symp_replica *gone, *last;
	u32 i, nr = 0;

	if (old->nr > 1) {
		new = replicas_alloc(old->nr - 1);
		if (!new) {
			gone = replica_of(old, ep);
			last = &old->at[old->nr - 1];
			WRITE_ONCE(gone->paused, true);
			synchronize_rcu();
			gone->notify = last->notify;
			WRITE_ONCE(gone->claim, last->claim);
			WRITE_ONCE(gone->ep, last->ep);
			/* Pairs with the acquire in symp_replica_takes_calls(). */
			smp_store_release(&gone->paused, last->paused);
			/* For who counts first and looks then: netlink.c. */
			smp_store_release(&old->nr, old->nr - 1);
			return;
		}
		for (i = 0; i < old->nr; i++)
			if (old->at[i].ep != ep)
				new->at[nr++] = old->at[i];
	}
	replicas_set(bus, service, new);
}

static struct symp_service *service_create(struct symp_bus *bus,
					   const char *name, kuid_t uid,
					   struct symp_account *account,
					   enum symphony_limit *limit)
{
	struct symp_service *service;
	int err;

	err = symp_account_charge(account, SYMP_SERVICES, 1);
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
	err = rhashtable_insert_fast(&bus->names, &service->node, names_params);
	if (err)
		goto err_erase;
	WRITE_ONCE(bus->nr_services, bus->nr_services + 1);
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

/* The service that @ep may claim, made when it is not there. */
static struct symp_service *claimable(struct symp_endpoint *ep,
				      const struct symp_claim_args *args,
				      enum symphony_limit *limit)
{
	struct symp_bus *bus = ep->bus;
	struct symp_service *service;
	bool trusted = args->granted || symp_bus_is_creator(bus, ep);

	service = rhashtable_lookup_fast(&bus->names, args->name, names_params);
	if (!trusted && (bus->grants || (service && service->reserved)))
		return ERR_PTR(-EPERM);
	if (!service)
		return args->target ? ERR_PTR(-ESRCH) :
			service_create(bus, args->name, ep->cred->euid,
				       ep->account, limit);
	return uid_eq(service->uid, ep->cred->euid) ? service : ERR_PTR(-EPERM);
}

static struct symp_claim *claim_of(struct symp_endpoint *ep,
				   const struct symp_service *service)
{
	struct symp_claim *claim;

	lockdep_assert_held(&ep->bus->lock);
	list_for_each_entry(claim, &ep->claims, node)
		if (claim->service == service)
			return claim;
	return NULL;
}

static void claim_add(struct symp_endpoint *ep, struct symp_claim *claim,
		      struct symp_service *service, bool serves)
{
	claim->service = service;
	list_add(&claim->node, &ep->claims);
	if (serves && !ep->serves)
		WRITE_ONCE(ep->serves, service->handle);
	symp_monitor_claim(SYMPHONY_CMD_SERVICE_CLAIM_NTF, ep, service, !serves);
}

static struct symp_endpoint *activator_of(struct symp_bus *bus,
					  struct symp_service *service)
{
	return rcu_dereference_protected(service->activator,
					 lockdep_is_held(&bus->lock));
}

static void claim_remove(struct symp_endpoint *ep, struct symp_claim *claim)
{
	bool first = ep->serves == claim->service->handle;
	u32 serves = 0;

	list_del(&claim->node);
	kfree_rcu(claim, rcu);
	if (!first)
		return;
	list_for_each_entry_reverse(claim, &ep->claims, node) {
		if (activator_of(ep->bus, claim->service) != ep) {
			serves = claim->service->handle;
			break;
		}
	}
	WRITE_ONCE(ep->serves, serves);
}

/* A replica that a new one takes the place of, and what to tell it. */
struct ousted {
	struct list_head node;
	struct symp_endpoint *ep;
	struct symp_notice *notice;
};

static void ousted_free(struct list_head *ousted)
{
	struct ousted *o, *next;

	list_for_each_entry_safe(o, next, ousted, node) {
		kfree(o->notice);
		kfree(o);
	}
}

static int oust(struct list_head *ousted, struct symp_endpoint *old,
		struct symp_endpoint *new, struct symp_service *service)
{
	struct ousted *o = kmalloc(sizeof(*o), GFP_KERNEL_ACCOUNT);

	if (!o)
		return -ENOMEM;
	o->ep = old;
	o->notice = symp_notice_alloc(SYMPHONY_MSG_TAKEOVER, new, old,
				      service->handle, 0);
	list_add_tail(&o->node, ousted);
	return o->notice ? 0 : -ENOMEM;
}

/* There is a replica: what the activator holds goes there. */
static void move_parked(struct symp_bus *bus, struct symp_service *service)
{
	struct symp_endpoint *activator = activator_of(bus, service);

	if (activator)
		symp_move_queued(activator, service, NULL);
}

/*
 * @ep becomes a replica, in the place of others if it takes over. The switch is
 * one store. Afterwards, what is queued at those who serve no more moves.
 */
static int become_replica(struct symp_endpoint *ep, struct symp_service *service,
			  struct symp_claim *claim,
			  const struct symp_claim_args *args)
{
	bool takeover = args->flags & SYMPHONY_CLAIM_TAKEOVER;
	struct symp_replicas *old, *new;
	LIST_HEAD(ousted);
	struct ousted *o;
	u32 i, nr = 0;
	int err = 0;

	old = replicas_of(ep->bus, service);
	new = replicas_alloc((old ? old->nr : 0) + 1);
	if (!new)
		return -ENOMEM;
	for (i = 0; old && i < old->nr; i++) {
		struct symp_endpoint *other = old->at[i].ep;

		if (!takeover || (args->target && args->target != other->id))
			new->at[nr++] = old->at[i];
		else
			err = err ?: oust(&ousted, other, ep, service);
	}
	if (!err && takeover && args->target && list_empty(&ousted))
		err = -ESRCH;
	if (!err && nr && service->recovery != (args->flags & SYMP_RECOVERY))
		err = -EINVAL;
	if (err) {
		kfree(new);
		goto out;
	}
	WRITE_ONCE(service->recovery, args->flags & SYMP_RECOVERY);
	new->at[nr++] = (struct symp_replica){
		.claim = claim,
		.ep = ep,
		.notify = args->flags & SYMPHONY_CLAIM_NOTIFY,
	};
	new->nr = nr;
	replicas_set(ep->bus, service, new);

	list_for_each_entry(o, &ousted, node) {
		symp_route_replica(service, o->ep, false);
		claim_remove(o->ep, claim_of(o->ep, service));
		symp_monitor_claim(SYMPHONY_CMD_SERVICE_UNCLAIM_NTF, o->ep,
				   service, false);
		symp_move_queued(o->ep, service, no_free_ptr(o->notice));
	}
	symp_route_replica(service, ep, true);
	move_parked(ep->bus, service);
out:
	ousted_free(&ousted);
	return err;
}

static int become_activator(struct symp_endpoint *ep,
			    struct symp_service *service)
{
	if (activator_of(ep->bus, service))
		return -EBUSY;
	service->activated = false;
	rcu_assign_pointer(service->activator, ep);
	return 0;
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
	struct symp_claim *claim __free(kfree) = NULL;
	struct symp_service *service;
	int err;

	claim = kzalloc(sizeof(*claim), GFP_KERNEL_ACCOUNT);
	if (!claim)
		return -ENOMEM;

	guard(mutex)(&ep->bus->lock);
	scoped_guard(spinlock, &ep->lock) {
		if (ep->dead)
			return -ESHUTDOWN;
		/* Two that take over from each other would leave ever more. */
		if (!list_empty(&ep->untold))
			return -ENOBUFS;
	}
	service = claimable(ep, args, limit);
	if (IS_ERR(service))
		return PTR_ERR(service);
	if (claim_of(ep, service))
		return -EALREADY;
	err = args->flags & SYMPHONY_CLAIM_ACTIVATOR ?
		become_activator(ep, service) :
		become_replica(ep, service, claim, args);
	if (err)
		return err;
	*handle = service->handle;
	claim_add(ep, no_free_ptr(claim), service,
		  !(args->flags & SYMPHONY_CLAIM_ACTIVATOR));
	return 0;
}

static void unclaim(struct symp_endpoint *ep, struct symp_claim *claim)
{
	struct symp_service *service = claim->service;
	bool activates = activator_of(ep->bus, service) == ep;

	if (activates) {
		rcu_assign_pointer(service->activator, NULL);
		symp_move_refuse_parked(ep, service);
	} else {
		replicas_remove(ep->bus, service, ep);
		symp_route_replica(service, ep, false);
		symp_endpoint_next_epoch(ep);
	}
	claim_remove(ep, claim);
	symp_monitor_claim(SYMPHONY_CMD_SERVICE_UNCLAIM_NTF, ep, service,
			   activates);
}

static struct symp_claim *claim_by_handle(struct symp_endpoint *ep, u64 handle)
{
	struct symp_claim *claim;

	lockdep_assert_held(&ep->bus->lock);
	list_for_each_entry(claim, &ep->claims, node)
		if (claim->service->handle == handle)
			return claim;
	return NULL;
}

int symp_service_unclaim(struct symp_endpoint *ep, u64 handle)
{
	struct symp_claim *claim;

	guard(mutex)(&ep->bus->lock);
	claim = claim_by_handle(ep, handle);
	if (!claim)
		return -ENOENT;
	unclaim(ep, claim);
	return 0;
}

/* @ep is dead: nobody may pick it any more. */
void symp_service_unclaim_all(struct symp_endpoint *ep)
{
	struct symp_claim *claim, *next;

	guard(mutex)(&ep->bus->lock);
	list_for_each_entry_safe(claim, next, &ep->claims, node)
		unclaim(ep, claim);
}

/**
 * symp_service_drain() - DRAIN
 * @ep: a replica
 * @handle: of which service
 * @resume: let calls come again
 *
 * May sleep. Return: 0, -ENOENT, -ENOMEM.
 */
int symp_service_drain(struct symp_endpoint *ep, u64 handle, bool resume)
{
	struct symp_replicas *old, *new;
	struct symp_claim *claim;

	guard(mutex)(&ep->bus->lock);
	claim = claim_by_handle(ep, handle);
	old = claim ? replicas_of(ep->bus, claim->service) : NULL;
	if (!replica_of(old, ep))
		return -ENOENT;
	new = replicas_alloc(old->nr);
	if (!new)
		return -ENOMEM;
	memcpy(new->at, old->at, flex_array_size(old, at, old->nr));
	replica_of(new, ep)->paused = !resume;
	replicas_set(ep->bus, claim->service, new);
	/* That stops nothing. */
	if (resume)
		move_parked(ep->bus, claim->service);
	else
		symp_endpoint_next_epoch(ep);
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

bool symp_replica_takes_calls(const struct symp_replica *replica)
{
	/* Pairs with the release in replicas_remove(): @ep and @notify follow. */
	return !smp_load_acquire(&replica->paused) &&
	       !READ_ONCE(READ_ONCE(replica->ep)->dead);
}

/* The replica with the fewest calls on it; among equals, in turn. */
static struct symp_replica *least_loaded(struct symp_service *service,
					 struct symp_replicas *r)
{
	u32 i, nr, at, load, turn = 0, least = U32_MAX;
	struct symp_replica *best = NULL;

	nr = r ? READ_ONCE(r->nr) : 0;
	if (nr < 2)
		return nr && symp_replica_takes_calls(&r->at[0]) ? &r->at[0] : NULL;
	at = READ_ONCE(service->turn) % nr;
	for (i = 0; i < nr; i++, at = at + 1 < nr ? at + 1 : 0) {
		load = READ_ONCE(READ_ONCE(r->at[at].ep)->load);
		if (load < least && symp_replica_takes_calls(&r->at[at])) {
			least = load;
			best = &r->at[at];
			turn = at + 1;
		}
	}
	WRITE_ONCE(service->turn, turn);
	return best;
}

/* What a program chooses, or the built-in policy. ERR_PTR: the call is refused. */
static struct symp_replica *choose(struct symp_service *service,
				   struct symp_replicas *r,
				   const struct symp_route_args *args)
{
	struct symp_replica *replica = NULL;

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
 * Return: 0, -ENOENT (no such handle), -ECONNREFUSED (nobody), or the errno with
 * which a program does not admit the call, or refuses it.
 */
int symp_service_pick(const struct symp_route_args *args, struct symp_pick *pick)
{
	const struct symp_call *call = args->call;
	struct symp_service *service;
	struct symp_replica *replica;
	struct symp_endpoint *ep;
	struct symp_replicas *r;
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
	do {
		r = rcu_dereference(service->replicas);
		replica = choose(service, r, args);
		if (IS_ERR(replica)) {
			err = PTR_ERR(replica);
			goto refused;
		}
		ep = replica ? READ_ONCE(replica->ep) :
			       rcu_dereference(service->activator);
		if (!ep || (!replica && READ_ONCE(ep->dead))) {
			err = -ECONNREFUSED;
			goto refused;
		}
		/* Pairs with the release in symp_endpoint_next_epoch(). */
		pick->epoch = smp_load_acquire(&ep->epoch);
		/* Getting it fails when it died this moment. */
	} while (r != rcu_access_pointer(service->replicas) ||
		 (!replica && ep != rcu_access_pointer(service->activator)) ||
		 !symp_endpoint_get_live(ep));
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
