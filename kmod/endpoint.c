// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoint: one open file that has JOINed a bus.
 *
 * Who may still hold an endpoint, and why each holder ends:
 *  - its file, until release(); the file's operations run under it.
 *  - the chore of its death, from the kill until that is over.
 *  - a call it made or received (call->caller, call->server), until the call's
 *    last reference goes; see call.c. The kill ends every such call.
 *  - a caller that picked it, until it attached its call or gave up.
 *  - a watch, until the notice is queued or the watcher dies.
 *  - a move of a request away from it, and a notice of room on its way to it,
 *    until their chore is done; see move.c and room.c.
 *  - the bus's table and a service's claims hold no reference: the death takes
 *    the endpoint out of both, and readers found it under RCU.
 * Its pool is separate: the death drops the endpoint's reference, the copiers
 * that are writing to it at that moment have theirs. So a dead endpoint whose
 * calls linger with a slow caller costs no pool.
 */
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "bus.h"
#include "call.h"
#include "clock.h"
#include "death.h"
#include "endpoint.h"
#include "ledger.h"
#include "limits.h"
#include "monitor.h"
#include "owner.h"

static atomic64_t last_id;

static void put_identity(struct symp_endpoint *ep)
{
	put_pid(ep->pid);
	put_pid_ns(ep->pid_ns);
	put_cred(ep->cred);
}

/**
 * symp_endpoint_join() - make the current process an endpoint of a bus
 * @args: the bus, checked
 * @pool_size: checked
 * @limit: (out) with -EDQUOT
 *
 * May sleep. Return: the endpoint, to be ended with symp_endpoint_release(), or
 * an ERR_PTR.
 */
struct symp_endpoint *symp_endpoint_join(const struct symp_bus_args *args,
					 u32 pool_size,
					 enum symphony_limit *limit)
{
	struct symp_endpoint *ep;
	int err;

	ep = kzalloc(sizeof(*ep), GFP_KERNEL_ACCOUNT);
	if (!ep)
		return ERR_PTR(-ENOMEM);
	refcount_set(&ep->ref, 1);
	init_waitqueue_head(&ep->poll);
	xa_init(&ep->lanes);
	INIT_LIST_HEAD(&ep->looked_after);
	INIT_LIST_HEAD(&ep->watchers);
	INIT_LIST_HEAD(&ep->watches);
	INIT_LIST_HEAD(&ep->sent);
	spin_lock_init(&ep->lock);
	INIT_LIST_HEAD(&ep->claims);
	INIT_LIST_HEAD(&ep->activations);
	ep->tenants = RB_ROOT;
	ep->files = RB_ROOT;
	symp_tenant_init(&ep->own);
	symp_lane_init(&ep->home, &ep->own);
	INIT_LIST_HEAD(&ep->fresh);
	INIT_LIST_HEAD(&ep->busy);
	INIT_LIST_HEAD(&ep->untold);
	INIT_LIST_HEAD(&ep->parked);
	INIT_LIST_HEAD(&ep->receivers);
	INIT_LIST_HEAD(&ep->commands);
	INIT_LIST_HEAD(&ep->woken);
	INIT_LIST_HEAD(&ep->starved);
	INIT_LIST_HEAD(&ep->looked);
	symp_chore_init(&ep->look, symp_room_look);
	symp_death_init(ep);

	ep->account = symp_account_open(current_cred());
	if (!ep->account) {
		err = -ENOMEM;
		goto err_free;
	}
	err = symp_account_charge(ep->account, SYMP_ENDPOINTS, 1);
	if (err) {
		*limit = SYMPHONY_LIMIT_USER_ENDPOINTS;
		goto err_put_account;
	}
	if (!current->mm) {
		err = -EPERM;
		goto err_uncharge;
	}
	ep->id = atomic64_inc_return(&last_id);
	ep->bus = symp_bus_join(args, ep, limit);
	if (IS_ERR(ep->bus)) {
		err = PTR_ERR(ep->bus);
		goto err_uncharge;
	}
	ep->pool = symp_pool_create(pool_size, ep->account, limit);
	if (IS_ERR(ep->pool)) {
		err = PTR_ERR(ep->pool);
		goto err_leave_bus;
	}
	ep->may_claim = symp_bus_permission(ep->bus, 6);
	ep->user = symp_bus_user(ep->bus, current_cred());
	ep->uid = from_kuid_munged(ep->bus->user_ns, current_euid());
	ep->gid = from_kgid_munged(ep->bus->user_ns, current_egid());
	ep->pid = get_pid(task_tgid(current));
	ep->pid_ns = get_pid_ns(task_active_pid_ns(current));
	ep->cred = get_current_cred();
	ep->clock = symp_clock_offset();
	err = xa_insert(&ep->bus->endpoints, ep->id, ep, GFP_KERNEL_ACCOUNT);
	if (err)
		goto err_put_identity;
	symp_monitor_endpoint(SYMPHONY_CMD_ENDPOINT_ADD_NTF, ep);
	ep->mm = current->mm;
	mmgrab(ep->mm);
	symp_owner_link(ep);
	return ep;

err_put_identity:
	put_identity(ep);
	symp_pool_put(ep->pool);
err_leave_bus:
	symp_bus_leave(ep->bus, ep);
	symp_bus_left(ep->bus);
	symp_bus_put(ep->bus);
err_uncharge:
	symp_account_uncharge(ep->account, SYMP_ENDPOINTS, 1);
err_put_account:
	symp_account_put(ep->account);
err_free:
	kfree(ep);
	return ERR_PTR(err);
}

/* The first on @bus with @id or a larger one, referenced; or NULL. */
struct symp_endpoint *symp_endpoint_next(struct symp_bus *bus, u64 id)
{
	unsigned long index = id;
	struct symp_endpoint *ep;

	guard(rcu)();
	do {
		ep = xa_find(&bus->endpoints, &index, ULONG_MAX, XA_PRESENT);
		/* Its last reference can go before it has left the table. */
	} while (ep && !symp_endpoint_get_live(ep) && ++index);
	return ep;
}

/*
 * @ep stopped serving something: who picked it before picks again, whether it
 * is copying or waits for room.
 */
void symp_endpoint_next_epoch(struct symp_endpoint *ep)
{
	guard(spinlock)(&ep->lock);
	/* Pairs with the acquire in symp_service_pick(). */
	smp_store_release(&ep->epoch, ep->epoch + 1);
	symp_room_end_waits(ep, U32_MAX);
}

/*
 * The file is gone. May sleep. When the owner closes it, the owner has back, on
 * return, what the endpoint was charged. Nobody else waits, because the death is
 * work of the owner's user, who can make it long: not a process that was sent the
 * file, one that exits, nor a kernel thread.
 */
void symp_endpoint_release(struct symp_endpoint *ep)
{
	symp_endpoint_kill(ep);
	if (task_tgid(current) == ep->pid && !(current->flags & PF_EXITING))
		symp_death_wait(ep);
	mmdrop(ep->mm);
	symp_endpoint_put(ep);
}

/* The last reference is gone: only readers under RCU can still look at it. */
void symp_endpoint_free(struct symp_endpoint *ep)
{
	symp_call_free_idle(ep);
	/* Of the lanes only what a thread set aside for one, and found it dead. */
	xa_destroy(&ep->lanes);
	symp_account_put(ep->account);
	symp_bus_put(ep->bus);
	put_identity(ep);
	kfree_rcu(ep, rcu);
}

/* Who @whom is for @to: fixed, as both joined with what they had then. */
void symp_endpoint_identify(const struct symp_endpoint *whom,
			    const struct symp_endpoint *to,
			    struct symp_identity *id)
{
	id->endpoint = whom->id;
	id->pid = pid_nr_ns(whom->pid, to->pid_ns);
	id->uid = from_kuid_munged(to->cred->user_ns, whom->cred->euid);
	id->gid = from_kgid_munged(to->cred->user_ns, whom->cred->egid);
}
