// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner: a process, and the endpoints that die with it.
 *
 * An endpoint has to die when the process that JOINed exits, although the file
 * can live on in a child, in a receiver of SCM_RIGHTS or in a ring. The only
 * thing that ends exactly then is the address space, so an owner is an
 * mmu_notifier of it: release() is called once, by the last thread on its way
 * through exit_mm() or exec, before the memory is torn down.
 *
 * Lifetime: one owner per mm, counted by mmu_notifier_get/put; each endpoint
 * has a count from JOIN until its file is released, so owner->mn.mm cannot be
 * reused for another process while an endpoint compares itself with it.
 * An endpoint is on the list from JOIN until it is killed. release() takes a
 * reference to each before it drops the lock, so that the file may be released
 * at the same time. It runs under the SRCU of the machine's mmu_notifiers, for
 * which everybody waits who ends an address space or a virtual machine: so it
 * does nothing but mark its endpoints dead, at most as many as its user may have.
 */
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "death.h"
#include "endpoint.h"
#include "owner.h"

#ifndef CONFIG_MMU_NOTIFIER
#error "symphony needs a kernel with CONFIG_MMU_NOTIFIER (KVM selects it)"
#endif

struct symp_owner {
	struct mmu_notifier mn;
	/* Guards the rest. */
	spinlock_t lock;
	struct list_head endpoints;
	bool gone;
};

static struct mmu_notifier *owner_alloc(struct mm_struct *mm)
{
	struct symp_owner *owner = kzalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);

	if (!owner)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&owner->lock);
	INIT_LIST_HEAD(&owner->endpoints);
	return &owner->mn;
}

static void owner_free(struct mmu_notifier *mn)
{
	kfree(container_of(mn, struct symp_owner, mn));
}

static void owner_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct symp_owner *owner = container_of(mn, struct symp_owner, mn);
	struct symp_endpoint *ep;

	spin_lock(&owner->lock);
	owner->gone = true;
	while ((ep = list_first_entry_or_null(&owner->endpoints,
					      struct symp_endpoint, owned))) {
		list_del_init(&ep->owned);
		symp_endpoint_get(ep);
		spin_unlock(&owner->lock);
		symp_endpoint_kill(ep);
		symp_endpoint_put(ep);
		spin_lock(&owner->lock);
	}
	spin_unlock(&owner->lock);
}

static const struct mmu_notifier_ops owner_ops = {
	.alloc_notifier = owner_alloc,
	.free_notifier = owner_free,
	.release = owner_release,
};

/* The current process as an owner. May sleep; an ERR_PTR on failure. */
struct symp_owner *symp_owner_get(void)
{
	struct mmu_notifier *mn;

	if (!current->mm)
		return ERR_PTR(-EPERM);
	mn = mmu_notifier_get(&owner_ops, current->mm);
	/* It gives way to a signal; nothing has happened yet. */
	if (mn == ERR_PTR(-EINTR))
		return ERR_PTR(-ERESTARTNOINTR);
	if (IS_ERR(mn))
		return ERR_CAST(mn);
	return container_of(mn, struct symp_owner, mn);
}

void symp_owner_put(struct symp_owner *owner)
{
	mmu_notifier_put(&owner->mn);
}

bool symp_owner_is_current(struct symp_owner *owner)
{
	return owner->mn.mm == current->mm;
}

/* From now on @ep dies with @owner; false when that is gone already. */
bool symp_owner_link(struct symp_owner *owner, struct symp_endpoint *ep)
{
	guard(spinlock)(&owner->lock);
	if (owner->gone)
		return false;
	list_add(&ep->owned, &owner->endpoints);
	return true;
}

void symp_owner_unlink(struct symp_owner *owner, struct symp_endpoint *ep)
{
	guard(spinlock)(&owner->lock);
	list_del_init(&ep->owned);
}
