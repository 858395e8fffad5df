// SPDX-License-Identifier: GPL-2.0-only
/*
 * Watch: one notice, prepared in advance, when another endpoint dies.
 *
 * A watch is on two lists, both under the bus's watch_lock: the target's and
 * the watcher's. Who takes it off both owns it: the target's death (which then
 * queues its notice), a REMOVE, or the watcher's death. Its reference to the
 * watcher lets the target's death queue the notice after it dropped the lock.
 */
#include <linux/slab.h>

#include "bus.h"
#include "endpoint.h"
#include "ledger.h"
#include "watch.h"

static struct symp_watch *find(struct symp_endpoint *watcher,
			       struct symp_endpoint *target)
{
	struct symp_watch *watch;

	lockdep_assert_held(&watcher->bus->watch_lock);
	list_for_each_entry(watch, &target->watchers, on)
		if (watch->watcher == watcher)
			return watch;
	return NULL;
}

static void unlink_watch(struct symp_watch *watch)
{
	list_del(&watch->on);
	list_del(&watch->by);
}

/* With its notice, if that was not pushed. */
static void watch_free(struct symp_watch *watch)
{
	if (watch->notice)
		symp_notice_free(watch->watcher, watch->notice);
	symp_endpoint_put(watch->watcher);
	kfree(watch);
}

/* Nothing will be said: free the room that was set aside for it, too. */
static void watch_drop(struct symp_watch *watch)
{
	struct symp_endpoint *ep = watch->watcher;

	scoped_guard(spinlock, &ep->lock)
		if (!ep->dead)
			symp_notice_unreserve(ep, watch->notice);
	watch_free(watch);
}

static struct symp_watch *watch_alloc(struct symp_endpoint *ep,
				      const struct symp_endpoint *target,
				      u64 cookie)
{
	struct symp_watch *watch;
	int err;

	err = symp_account_charge_patiently(ep->account, SYMP_RECORDS, 1);
	if (err)
		return ERR_PTR(err);
	watch = kmalloc(sizeof(*watch), GFP_KERNEL_ACCOUNT);
	if (!watch)
		goto err_uncharge;
	watch->notice = symp_notice_alloc(SYMPHONY_MSG_GONE, target, ep, 0,
					  cookie);
	if (!watch->notice)
		goto err_free;
	symp_endpoint_get(ep);
	watch->watcher = ep;
	scoped_guard(spinlock, &ep->lock)
		err = ep->dead ? -ESHUTDOWN :
				 symp_notice_reserve(ep, watch->notice);
	if (err) {
		watch_free(watch);
		return ERR_PTR(err);
	}
	return watch;

err_free:
	kfree(watch);
err_uncharge:
	symp_account_uncharge(ep->account, SYMP_RECORDS, 1);
	return ERR_PTR(-ENOMEM);
}

static struct symp_endpoint *target_get(struct symp_bus *bus, u64 id)
{
	struct symp_endpoint *target;

	guard(rcu)();
	target = xa_load(&bus->endpoints, id);
	if (!target || !symp_endpoint_get_live(target))
		return NULL;
	return target;
}

static int watch_link(struct symp_watch *watch, struct symp_endpoint *target)
{
	struct symp_endpoint *ep = watch->watcher;

	guard(spinlock)(&ep->bus->watch_lock);
	if (target->unwatchable)
		return -ESRCH;
	if (ep->unwatchable)
		return -ESHUTDOWN;
	if (find(ep, target))
		return -EALREADY;
	list_add(&watch->on, &target->watchers);
	list_add(&watch->by, &ep->watches);
	return 0;
}

/**
 * symp_watch_add() - WATCH
 * @ep: the current process's endpoint
 * @target: id of another on the same bus
 * @cookie: for the notice
 *
 * May sleep. Return: 0, -ESRCH, -EALREADY, -ENOBUFS, -EDQUOT (records),
 * -ENOMEM, -ESHUTDOWN.
 */
int symp_watch_add(struct symp_endpoint *ep, u64 target, u64 cookie)
{
	struct symp_endpoint *whom;
	struct symp_watch *watch;
	int err;

	whom = target_get(ep->bus, target);
	if (!whom)
		return -ESRCH;
	/* Its death can be underway. */
	watch = READ_ONCE(whom->dead) ? ERR_PTR(-ESRCH) :
					watch_alloc(ep, whom, cookie);
	if (IS_ERR(watch)) {
		err = PTR_ERR(watch);
	} else {
		err = watch_link(watch, whom);
		if (err)
			watch_drop(watch);
	}
	symp_endpoint_put(whom);
	return err;
}

/* WATCH with REMOVE. Return: 0 or -ESRCH. May sleep. */
int symp_watch_remove(struct symp_endpoint *ep, u64 target)
{
	struct symp_endpoint *whom = target_get(ep->bus, target);
	struct symp_watch *watch = NULL;

	if (!whom)
		return -ESRCH;
	scoped_guard(spinlock, &ep->bus->watch_lock) {
		watch = find(ep, whom);
		if (watch)
			unlink_watch(watch);
	}
	symp_endpoint_put(whom);
	if (!watch)
		return -ESRCH;
	watch_drop(watch);
	return 0;
}

static void notify(struct symp_watch *watch)
{
	struct symp_endpoint *ep = watch->watcher;

	scoped_guard(spinlock, &ep->lock)
		if (!ep->dead)
			symp_lane_farewell(ep, no_free_ptr(watch->notice));
	watch_free(watch);
}

/* A watch of @ep on another, or of another on @ep, taken off both. */
static struct symp_watch *take(struct symp_endpoint *ep, struct list_head *list,
			       bool on)
{
	struct symp_watch *watch;

	guard(spinlock)(&ep->bus->watch_lock);
	ep->unwatchable = true;
	if (list_empty(list))
		return NULL;
	watch = on ? list_first_entry(list, struct symp_watch, on) :
		     list_first_entry(list, struct symp_watch, by);
	unlink_watch(watch);
	return watch;
}

/**
 * symp_watch_endpoint_died() - tell who watches @ep, and forget whom it watches
 * @ep: is dead
 * @max: how many of them
 *
 * May sleep. Return: whether these were all; there will be no more.
 */
bool symp_watch_endpoint_died(struct symp_endpoint *ep, u32 max)
{
	struct symp_watch *watch;

	while (max--) {
		watch = take(ep, &ep->watchers, true);
		if (watch) {
			notify(watch);
			continue;
		}
		watch = take(ep, &ep->watches, false);
		if (!watch)
			return true;
		watch_drop(watch);
	}
	return false;
}
