// SPDX-License-Identifier: GPL-2.0-only
/* Service: an extension id on a bus, and its replicas. */
#include <linux/cred.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "bus.h"
#include "endpoint.h"
#include "ledger.h"
#include "limits.h"
#include "service.h"

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
		symp_account_put(service->account);
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

	r = kmalloc(struct_size(r, ep, nr), GFP_KERNEL_ACCOUNT);
	if (r)
		r->nr = nr;
	return r;
}

static int replicas_add(struct symp_bus *bus, struct symp_service *service,
			struct symp_endpoint *ep)
{
	struct symp_replicas *old = replicas_of(bus, service), *new;
	u32 nr = old ? old->nr : 0;

	new = replicas_alloc(nr + 1);
	if (!new)
		return -ENOMEM;
	if (old)
		memcpy(new->ep, old->ep, flex_array_size(old, ep, nr));
	new->ep[nr] = ep;
	rcu_assign_pointer(service->replicas, new);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

/*
 * Must not fail: it is on the way of every death. Readers may see the array
 * while an entry changes, so without memory for a new one the last entry is
 * written over the one that leaves, and the count lowered.
 */
static void replicas_remove(struct symp_bus *bus, struct symp_service *service,
			    struct symp_endpoint *ep)
{
	struct symp_replicas *old = replicas_of(bus, service), *new = NULL;
	u32 i, nr = 0;

	if (old->nr > 1) {
		new = replicas_alloc(old->nr - 1);
		if (!new) {
			for (i = 0; old->ep[i] != ep; i++)
				;
			WRITE_ONCE(old->ep[i], old->ep[old->nr - 1]);
			WRITE_ONCE(old->nr, old->nr - 1);
			return;
		}
		for (i = 0; i < old->nr; i++)
			if (old->ep[i] != ep)
				new->ep[nr++] = old->ep[i];
	}
	rcu_assign_pointer(service->replicas, new);
	kfree_rcu(old, rcu);
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
	strscpy(service->name, name);
	service->uid = uid;
	service->account = symp_account_get(account);
	err = xa_alloc(&bus->services, &service->handle, service,
		       XA_LIMIT(1, symp_services_max), GFP_KERNEL_ACCOUNT);
	if (err) {
		if (err == -EBUSY) {
			*limit = SYMPHONY_LIMIT_SERVICES;
			err = -EDQUOT;
		}
		goto err_free;
	}
	err = rhashtable_insert_fast(&bus->names, &service->node, names_params);
	if (err)
		goto err_erase;
	return service;

err_erase:
	xa_erase(&bus->services, service->handle);
	/* A handle can be guessed: a pick may be looking at it. */
	synchronize_rcu();
err_free:
	symp_account_put(service->account);
	kfree(service);
err_uncharge:
	symp_account_uncharge(account, SYMP_SERVICES, 1);
	return ERR_PTR(err);
}

/**
 * symp_service_claim() - make an endpoint a replica
 * @ep: the endpoint
 * @name: the service; created when it is not there
 * @handle: (out) the service's handle
 * @limit: (out) with -EDQUOT
 *
 * May sleep. Return: 0, -EPERM when the service is another uid's, -EALREADY,
 * -EDQUOT, -ENOMEM, -ESHUTDOWN.
 */
int symp_service_claim(struct symp_endpoint *ep, const char *name, u64 *handle,
		       enum symphony_limit *limit)
{
	struct symp_claim *claim __free(kfree) = NULL;
	struct symp_bus *bus = ep->bus;
	struct symp_service *service;
	struct symp_replicas *r;
	int err;
	u32 i;

	claim = kmalloc(sizeof(*claim), GFP_KERNEL_ACCOUNT);
	if (!claim)
		return -ENOMEM;

	guard(mutex)(&bus->lock);
	if (READ_ONCE(ep->dead))
		return -ESHUTDOWN;
	service = rhashtable_lookup_fast(&bus->names, name, names_params);
	if (!service) {
		service = service_create(bus, name, ep->cred->euid, ep->account,
					 limit);
		if (IS_ERR(service))
			return PTR_ERR(service);
	}
	if (!uid_eq(service->uid, ep->cred->euid))
		return -EPERM;
	r = replicas_of(bus, service);
	for (i = 0; r && i < r->nr; i++)
		if (r->ep[i] == ep)
			return -EALREADY;
	err = replicas_add(bus, service, ep);
	if (err)
		return err;
	*handle = service->handle;
	claim->service = service;
	list_add(&no_free_ptr(claim)->node, &ep->claims);
	return 0;
}

static void unclaim(struct symp_endpoint *ep, struct symp_claim *claim)
{
	replicas_remove(ep->bus, claim->service, ep);
	list_del(&claim->node);
	kfree(claim);
}

int symp_service_unclaim(struct symp_endpoint *ep, u64 handle)
{
	struct symp_claim *claim;

	guard(mutex)(&ep->bus->lock);
	list_for_each_entry(claim, &ep->claims, node) {
		if (claim->service->handle == handle) {
			unclaim(ep, claim);
			return 0;
		}
	}
	return -ENOENT;
}

/* @ep is dead: nobody may pick it any more. */
void symp_service_unclaim_all(struct symp_endpoint *ep)
{
	struct symp_claim *claim, *next;

	guard(mutex)(&ep->bus->lock);
	list_for_each_entry_safe(claim, next, &ep->claims, node)
		unclaim(ep, claim);
}

int symp_service_resolve(struct symp_bus *bus, const char *name, u64 *handle)
{
	struct symp_service *service;

	guard(rcu)();
	service = rhashtable_lookup(&bus->names, name, names_params);
	if (!service)
		return -ENOENT;
	*handle = service->handle;
	return 0;
}

/**
 * symp_service_pick() - choose the replica for a call
 * @bus: the bus
 * @handle: from user space
 *
 * The one with the fewest calls on it; among equals, in turn.
 * Return: the endpoint, referenced; or an ERR_PTR of -ENOENT (no such handle)
 * or -ECONNREFUSED (no replica).
 */
struct symp_endpoint *symp_service_pick(struct symp_bus *bus, u64 handle)
{
	struct symp_endpoint *ep, *best;
	struct symp_service *service;
	struct symp_replicas *r;
	u32 i, nr, at, load, turn, least;

	guard(rcu)();
	service = handle <= U32_MAX ? xa_load(&bus->services, handle) : NULL;
	if (!service)
		return ERR_PTR(-ENOENT);
	do {
		best = NULL;
		least = U32_MAX;
		turn = 0;
		r = rcu_dereference(service->replicas);
		nr = r ? READ_ONCE(r->nr) : 0;
		at = nr > 1 ? READ_ONCE(service->turn) % nr : 0;
		for (i = 0; i < nr; i++, at = at + 1 < nr ? at + 1 : 0) {
			ep = READ_ONCE(r->ep[at]);
			load = READ_ONCE(ep->load);
			if (load < least && !READ_ONCE(ep->dead)) {
				least = load;
				best = ep;
				turn = at + 1;
			}
		}
		if (!best)
			return ERR_PTR(-ECONNREFUSED);
		if (nr > 1)
			WRITE_ONCE(service->turn, turn);
		/* Fails when it died this moment: there may be others. */
	} while (!symp_endpoint_get_live(best));
	return best;
}
