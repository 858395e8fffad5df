// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoint: one open file that has JOINed a bus.
 *
 * Who may still hold an endpoint, and why each holder ends:
 *  - its file, until release(); the file's operations run under it.
 *  - its owner's list, until the kill, which takes it off.
 *  - a call it made or received (call->caller, call->server), until the call's
 *    last reference goes; see call.c. The kill ends every such call.
 *  - a caller that picked it, until it attached its call or gave up.
 *  - a watch, until the notice is queued or the watcher dies.
 *  - a move of a request away from it, and a notice of room on its way to it,
 *    until their work has run; see move.c and room.c.
 *  - the bus's table and a service's replicas hold no reference: the kill takes
 *    the endpoint out of both, and readers found it under RCU.
 * Its pool is separate: the kill drops the endpoint's reference, the copiers
 * that are writing to it at that moment have theirs. So a dead endpoint whose
 * calls linger with a slow caller costs no pool.
 */
#include <linux/list_sort.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "bus.h"
#include "call.h"
#include "clock.h"
#include "compat.h"
#include "endpoint.h"
#include "files.h"
#include "ledger.h"
#include "limits.h"
#include "monitor.h"
#include "move.h"
#include "owner.h"
#include "service.h"
#include "watch.h"

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
	INIT_LIST_HEAD(&ep->owned);
	INIT_LIST_HEAD(&ep->watchers);
	INIT_LIST_HEAD(&ep->watches);
	spin_lock_init(&ep->lock);
	INIT_LIST_HEAD(&ep->claims);
	INIT_LIST_HEAD(&ep->activations);
	ep->sweep_at = 64;
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
	ep->owner = symp_owner_get();
	if (IS_ERR(ep->owner)) {
		err = PTR_ERR(ep->owner);
		goto err_uncharge;
	}
	ep->id = atomic64_inc_return(&last_id);
	ep->bus = symp_bus_join(args, ep, limit);
	if (IS_ERR(ep->bus)) {
		err = PTR_ERR(ep->bus);
		goto err_put_owner;
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
	if (!symp_owner_link(ep->owner, ep)) {
		symp_endpoint_release(ep);
		return ERR_PTR(-ESHUTDOWN);
	}
	return ep;

err_put_identity:
	put_identity(ep);
	symp_pool_put(ep->pool);
err_leave_bus:
	symp_bus_leave(ep->bus, ep);
	symp_bus_put(ep->bus);
err_put_owner:
	symp_owner_put(ep->owner);
err_uncharge:
	symp_account_uncharge(ep->account, SYMP_ENDPOINTS, 1);
err_put_account:
	symp_account_put(ep->account);
err_free:
	kfree(ep);
	return ERR_PTR(err);
}

/* Notices that were not received: free them, or take the calls they were. */
static void clear_notices(struct symp_endpoint *ep, struct list_head *notices,
			  struct list_head *requests)
{
	struct symp_item *item, *next;
	u32 kind;

	list_for_each_entry_safe(item, next, notices, node) {
		kind = item->offset == SYMPHONY_NO_OFFSET ? item->kind :
			symp_pool_slice(ep->pool, item->offset)->kind;
		if (kind == SYMP_NOTICE) {
			list_del(&item->node);
			kfree(container_of(item, struct symp_notice, item));
		} else if (kind == SYMP_CANCELLED) {
			list_move_tail(&item->node, requests);
		}
	}
}

/*
 * Take everything that stands in the pool off it: requests, of which this
 * endpoint is the server, and calls it made. What was received is the process's
 * and goes with the pool.
 */
static void clear_pool(struct symp_endpoint *ep, struct list_head *requests,
		       struct list_head *calls)
{
	struct symp_slice *s = NULL;
	struct symp_call *call;

	lockdep_assert_held(&ep->lock);
	clear_notices(ep, &ep->home.queue, requests);
	clear_notices(ep, &ep->untold, requests);
	while ((s = symp_pool_next(ep->pool, s))) {
		if (s->kind <= SYMP_SPARE || !s->kernel || !s->owner)
			continue;
		call = s->owner;
		if (s->kind == SYMP_REQUEST) {
			if (call->queued && call->park)
				symp_service_unpark(call->service);
			symp_call_detach(call);
			if (s->files)
				call->files = symp_files_take(ep, call->request.offset);
			list_add_tail(&call->request.node, requests);
		} else if (!call->fetched) {
			call->fetched = true;
			list_del_init(&call->sibling);
			list_add_tail(&call->made, calls);
		}
	}
}

/**
 * symp_endpoint_kill() - the endpoint dies
 * @ep: the endpoint, referenced
 *
 * The owner exited or the file was released, in either order or at once; the
 * first to come does it. May sleep.
 *
 * 1. Mark it dead under its lock, together with taking off everything that
 *    hangs on that lock. From then on whoever takes the lock sees @dead and
 *    leaves alone what the lock guards: nothing is attached, queued, taken,
 *    reserved or released any more. A copier that reserved before has its own
 *    reference to the pool, and finds @dead when it wants to publish.
 * 2. Requests that stood here: they go to another replica, if the service wants
 *    that; otherwise the outcome is ECONNRESET. A thread in REPLY cannot be
 *    left (it would have kept owner and file alive), but if there were one, it
 *    and the kill would race for call->done, and one would win.
 * 3. Calls it made: nobody wants the outcome; the servers lose them.
 * 4. Off the service's replicas, the watchers told, off the bus.
 */
void symp_endpoint_kill(struct symp_endpoint *ep)
{
	struct symp_call *call, *next;
	struct symp_pool *pool;
	struct rb_root files;
	u32 calls_charged;
	LIST_HEAD(requests);
	LIST_HEAD(calls);

	if (atomic_xchg(&ep->killed, 1))
		return;
	symp_owner_unlink(ep->owner, ep);

	spin_lock(&ep->lock);
	WRITE_ONCE(ep->dead, true);
	pool = ep->pool;
	clear_pool(ep, &requests, &calls);
	symp_queue_end_receivers(ep);
	symp_room_end_waits(ep);
	ep->pool = NULL;
	calls_charged = ep->calls_charged - ep->nr_oneway;
	files = ep->files;
	ep->files = RB_ROOT;
	spin_unlock(&ep->lock);
	wake_up_poll(&ep->poll, EPOLLHUP | EPOLLERR);
	symp_files_clear(&files);

	list_sort(NULL, &requests, symp_call_is_older);
	list_for_each_entry_safe(call, next, &requests, request.node) {
		if (!symp_move_from_dead(call, pool))
			symp_call_give_up(call, -ECONNRESET);
	}
	list_for_each_entry_safe(call, next, &calls, made) {
		symp_call_finish(call, -ESHUTDOWN, 0);
		symp_call_put(call);
	}
	symp_call_free_idle(ep);
	/* One-way calls live on, and are charged for until they are received. */
	symp_account_uncharge(ep->account, SYMP_CALLS, calls_charged);
	/* Not when its memory goes: that others can put off. */
	symp_account_uncharge(ep->account, SYMP_ENDPOINTS, 1);
	while (!symp_service_unclaim_some(ep, 64))
		cond_resched();
	symp_watch_endpoint_died(ep);
	xa_erase(&ep->bus->endpoints, ep->id);
	symp_monitor_endpoint(SYMPHONY_CMD_ENDPOINT_DEL_NTF, ep);
	symp_bus_leave(ep->bus, ep);
	symp_pool_put(pool);
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
	symp_room_end_waits(ep);
}

/* The file is gone. May sleep. */
void symp_endpoint_release(struct symp_endpoint *ep)
{
	symp_endpoint_kill(ep);
	symp_owner_put(ep->owner);
	symp_endpoint_put(ep);
}

/* The last reference is gone: only readers under RCU can still look at it. */
void symp_endpoint_free(struct symp_endpoint *ep)
{
	symp_call_free_idle(ep);
	symp_lanes_free(ep);
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
