// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner: a process, and the endpoints that die with it.
 *
 * An endpoint has to die when the process that JOINed exits, although the file
 * can live on in a child, in a receiver of SCM_RIGHTS or in a ring. What ends
 * then is the address space, so an owner is an mmu_notifier of it: release() is
 * called once, by the last thread on its way through exit_mm() or exec, before the
 * memory is torn down.
 *
 * The address space can outlive the process: a child shares it (vfork, CLONE_VM),
 * somebody reads it, or a core dump is made of it, for as long as that takes. A
 * module is told of none of these. The last thread that closes its files sees that
 * the process exits, and an exec that closes a file sees that it is another
 * program now (symp_owner_left()). For the rest every process that owns something
 * is looked at, a few times a second (look()).
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
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

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

/* Between looks at whether owners are dying. */
#define LOOK_JIFFIES	(HZ / 5)
/* Endpoints whose owners are looked at under one hold of the lock. */
#define LOOK_STEP	64

static LIST_HEAD(endpoints);
static u32 nr_endpoints;
static DEFINE_SPINLOCK(endpoints_lock);

static void look(struct work_struct *work);
static DECLARE_DELAYED_WORK(look_work, look);

/*
 * Is the process of @ep about to end, or another program now? SIGNAL_GROUP_EXIT is
 * set by the signal or the exit that ends it, before a core is dumped, and stays.
 */
static bool is_dying(struct symp_endpoint *ep)
{
	struct signal_struct *signal;
	struct task_struct *task;
	struct mm_struct *mm;

	guard(rcu)();
	task = pid_task(ep->pid, PIDTYPE_TGID);
	if (!task)
		return true;
	signal = task->signal;
	mm = READ_ONCE(task->mm);
	/* A first thread that exited has none, and the process can live on. */
	return READ_ONCE(signal->flags) & SIGNAL_GROUP_EXIT ||
	       !atomic_read(&signal->live) || (mm && mm != ep->owner->mn.mm);
}

/* The next of @left endpoints with such an owner, referenced; or NULL. */
static struct symp_endpoint *next_dying(u32 *left)
{
	struct symp_endpoint *ep;
	u32 i;

	guard(spinlock)(&endpoints_lock);
	for (i = 0; i < LOOK_STEP && *left; i++, --*left) {
		if (list_empty(&endpoints)) {
			*left = 0;
			break;
		}
		ep = list_first_entry(&endpoints, struct symp_endpoint,
				      looked_after);
		list_move_tail(&ep->looked_after, &endpoints);
		if (is_dying(ep)) {
			/* It is on the list: the file, or the kill, has one. */
			symp_endpoint_get(ep);
			return ep;
		}
	}
	return NULL;
}

static void look(struct work_struct *work)
{
	u32 left = READ_ONCE(nr_endpoints);
	struct symp_endpoint *ep;

	while (left) {
		ep = next_dying(&left);
		if (ep) {
			symp_endpoint_kill(ep);
			symp_endpoint_put(ep);
		}
		cond_resched();
	}
	if (READ_ONCE(nr_endpoints))
		queue_delayed_work(system_unbound_wq, &look_work, LOOK_JIFFIES);
}

static void look_after(struct symp_endpoint *ep)
{
	guard(spinlock)(&endpoints_lock);
	list_add_tail(&ep->looked_after, &endpoints);
	WRITE_ONCE(nr_endpoints, nr_endpoints + 1);
	/* Nothing when it is queued already. */
	queue_delayed_work(system_unbound_wq, &look_work, LOOK_JIFFIES);
}

static void look_away(struct symp_endpoint *ep)
{
	guard(spinlock)(&endpoints_lock);
	if (list_empty(&ep->looked_after))
		return;
	list_del_init(&ep->looked_after);
	WRITE_ONCE(nr_endpoints, nr_endpoints - 1);
}

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
	scoped_guard(spinlock, &owner->lock) {
		if (owner->gone)
			return false;
		list_add(&ep->owned, &owner->endpoints);
	}
	look_after(ep);
	return true;
}

void symp_owner_unlink(struct symp_owner *owner, struct symp_endpoint *ep)
{
	look_away(ep);
	guard(spinlock)(&owner->lock);
	list_del_init(&ep->owned);
}

/*
 * The current task closes a file of @ep. Return: whether the owner ends: it is its
 * last thread, or its program is another one now.
 */
bool symp_owner_left(const struct symp_endpoint *ep)
{
	if (task_tgid(current) != ep->pid)
		return false;
	if (current->flags & PF_EXITING)
		return !atomic_read(&current->signal->live);
	return current->mm && current->mm != ep->owner->mn.mm;
}

/* No endpoint is left. */
void symp_owner_exit(void)
{
	cancel_delayed_work_sync(&look_work);
}
