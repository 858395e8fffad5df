// SPDX-License-Identifier: GPL-2.0-only
/*
 * Death: an endpoint ends, because its owner did or its file was released.
 *
 * The first part, symp_endpoint_kill(), runs where the death is noticed: in an
 * exit, an exec, a close, or the look at all owners. So it does not sleep and takes
 * no time that anybody can make long:
 *  1. It marks the endpoint dead under its lock. From then on whoever takes the
 *     lock sees @dead and leaves alone what the lock guards: nothing is attached,
 *     queued, taken, withdrawn, reserved or released any more. Nobody picks it. A
 *     copier that reserved before has its own reference to the pool, and finds
 *     @dead when it wants to publish. No thread is in an operation on the
 *     endpoint: the file is released, or no thread of the owner can be in one
 *     any more (owner.c). What follows relies on that.
 *  2. It gives back what it takes to JOIN again: the place of an endpoint, what
 *     the calls were charged, the name of the bus.
 *
 * All else is a chore of the endpoint's user, which has a reference to the
 * endpoint: a step at a time, in the order of parts[]. Nothing of what it goes
 * through changes meanwhile, but that those who wait for room give up, that
 * claims end by takeovers, and that watchers forget their watches. Nothing of it
 * needs memory, but moves of requests, which are given up without. A GONE is told
 * after the claims have ended, and after the moves of what the dead had sent that
 * began before: those are chores of the same user.
 */
#include <linux/list_sort.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "bus.h"
#include "call.h"
#include "chore.h"
#include "death.h"
#include "endpoint.h"
#include "files.h"
#include "ledger.h"
#include "monitor.h"
#include "move.h"
#include "notice.h"
#include "owner.h"
#include "service.h"
#include "watch.h"

/* How much of a death is done under one hold of a lock, and in one step. */
#define STEP	64
#define STEP_SLICES	2048

/* Callers and moves that wait for room here choose another server. */
static bool end_waits(struct symp_endpoint *ep)
{
	guard(spinlock)(&ep->lock);
	return symp_room_end_waits(ep, STEP);
}

/*
 * Take what was not received off a queue: free notices; calls of which one says
 * that they were cancelled are put like those that stand in the pool.
 */
static bool clear_queue(struct symp_endpoint *ep, struct list_head *queue)
{
	struct symp_item *item;
	u32 i, kind;

	for (i = 0; i < STEP; i++) {
		item = list_first_entry_or_null(queue, struct symp_item, node);
		if (!item)
			return true;
		kind = item->offset == SYMPHONY_NO_OFFSET ? item->kind :
			symp_pool_slice(ep->pool, item->offset)->kind;
		list_del_init(&item->node);
		if (kind == SYMP_NOTICE)
			symp_notice_free(ep, container_of(item, struct symp_notice,
							  item));
		if (kind == SYMP_CANCELLED) {
			symp_notice_cancelled_taken(ep);
			list_add_tail(&item->node, &ep->death.requests);
		}
	}
	return false;
}

static bool clear_notices(struct symp_endpoint *ep)
{
	guard(spinlock)(&ep->lock);
	return clear_queue(ep, &ep->home.queue) && clear_queue(ep, &ep->untold);
}

/*
 * Take what stands in a slice off it: a request, of which this endpoint is the
 * server, or a call that it made. What was received is the process's and goes
 * with the pool.
 */
static void clear_slice(struct symp_endpoint *ep, struct symp_slice *s)
{
	struct symp_call *call;

	if (s->kind <= SYMP_SPARE || !s->kernel || !s->owner)
		return;
	call = s->owner;
	if (s->kind == SYMP_REQUEST) {
		if (call->queued && call->park)
			symp_service_unpark(call->service);
		symp_call_detach(call);
		if (s->files)
			call->files = symp_files_take(ep, call->request.offset);
		list_add_tail(&call->request.node, &ep->death.requests);
	} else if (!call->fetched) {
		call->fetched = true;
		list_del_init(&call->sibling);
		list_add_tail(&call->made, &ep->death.calls);
	}
}

/* Nobody changes the slices of a dead endpoint: @slice stays one. */
static bool clear_pool(struct symp_endpoint *ep)
{
	u32 i;

	guard(spinlock)(&ep->lock);
	for (i = 0; i < STEP_SLICES; i++) {
		ep->death.slice = symp_pool_next(ep->pool, ep->death.slice);
		if (!ep->death.slice)
			return true;
		clear_slice(ep, ep->death.slice);
	}
	return false;
}

static bool close_files(struct symp_endpoint *ep)
{
	struct rb_root files;

	scoped_guard(spinlock, &ep->lock) {
		files = ep->files;
		ep->files = RB_ROOT;
	}
	symp_files_clear(&files);
	list_sort(NULL, &ep->death.requests, symp_call_is_older);
	return true;
}

/* Requests go to another replica, if the service wants that, or have an outcome. */
static bool end_requests(struct symp_endpoint *ep)
{
	struct symp_call *call;
	u32 i;

	for (i = 0; i < STEP; i++) {
		call = list_first_entry_or_null(&ep->death.requests,
						struct symp_call, request.node);
		if (!call)
			return true;
		list_del(&call->request.node);
		if (!symp_move_from_dead(call, ep->pool))
			symp_call_give_up(call, -ECONNRESET);
	}
	return false;
}

/* Nobody wants the outcome of calls that it made: the servers lose them. */
static bool end_calls(struct symp_endpoint *ep)
{
	struct symp_call *call;
	u32 i;

	for (i = 0; i < STEP; i++) {
		call = list_first_entry_or_null(&ep->death.calls,
						struct symp_call, made);
		if (!call) {
			symp_call_free_idle(ep);
			return true;
		}
		list_del(&call->made);
		symp_call_finish(call, -ESHUTDOWN, 0);
		symp_call_put(call);
	}
	return false;
}

static bool end_claims(struct symp_endpoint *ep)
{
	return symp_service_unclaim_some(ep, STEP);
}

static bool end_watches(struct symp_endpoint *ep)
{
	return symp_watch_endpoint_died(ep, STEP);
}

/* What it has at others, and what others have here. */
static bool end_lanes(struct symp_endpoint *ep)
{
	return symp_lanes_sender_died(ep, STEP) && symp_lanes_bury(ep, STEP);
}

static bool leave(struct symp_endpoint *ep)
{
	struct symp_pool *pool = ep->pool;

	xa_erase(&ep->bus->endpoints, ep->id);
	symp_monitor_endpoint(SYMPHONY_CMD_ENDPOINT_DEL_NTF, ep);
	symp_bus_left(ep->bus);
	scoped_guard(spinlock, &ep->lock)
		ep->pool = NULL;
	symp_pool_put(pool);
	return true;
}

/* In this order; each does so much at a time, and says when it has done all. */
static bool (*const parts[])(struct symp_endpoint *ep) = {
	end_waits,
	clear_notices,
	clear_pool,
	close_files,
	end_requests,
	end_calls,
	end_claims,
	end_watches,
	end_lanes,
	leave,
};

/* Deaths that are not over. */
static atomic_t dying;

static void die(struct symp_chore *chore)
{
	struct symp_endpoint *ep = container_of(chore, struct symp_endpoint,
						death.chore);
	struct symp_chores *chores = ep->account->chores;

	if (parts[ep->death.part](ep))
		ep->death.part++;
	if (ep->death.part < ARRAY_SIZE(parts)) {
		symp_chore_start(chores, chore);
		return;
	}
	symp_chores_pay(chores);
	/* Pairs with the acquire in symp_death_wait(). */
	smp_store_release(&ep->death.over, true);
	/* Between the store and wake_up_var()'s look at who waits. */
	smp_mb();
	wake_up_var(&ep->death.over);
	symp_endpoint_put(ep);
	if (atomic_dec_and_test(&dying))
		wake_up_var(&dying);
}

void symp_death_init(struct symp_endpoint *ep)
{
	symp_chore_init(&ep->death.chore, die);
	INIT_LIST_HEAD(&ep->death.requests);
	INIT_LIST_HEAD(&ep->death.calls);
}

/*
 * @ep, referenced, dies. Its owner exited or its file was released, in either
 * order or at once; the first to come does it. Does not sleep.
 */
void symp_endpoint_kill(struct symp_endpoint *ep)
{
	u32 calls_charged;

	if (atomic_xchg(&ep->killed, 1))
		return;
	symp_owner_unlink(ep);
	scoped_guard(spinlock, &ep->lock) {
		WRITE_ONCE(ep->dead, true);
		symp_queue_end_receivers(ep);
		calls_charged = ep->calls_charged - ep->nr_oneway;
	}
	/* One-way calls live on, and are charged for until they are received. */
	symp_account_uncharge(ep->account, SYMP_CALLS, calls_charged);
	symp_account_uncharge(ep->account, SYMP_ENDPOINTS, 1);
	wake_up_poll(&ep->poll, EPOLLHUP | EPOLLERR);
	symp_bus_leave(ep->bus, ep);
	symp_endpoint_get(ep);
	atomic_inc(&dying);
	symp_chores_owe(ep->account->chores);
	symp_chore_start(ep->account->chores, &ep->death.chore);
}

/*
 * Wait until the death of @ep, which was killed, is over, or until a signal kills
 * the current process.
 */
void symp_death_wait(struct symp_endpoint *ep)
{
	/* Pairs with the release in die(). */
	wait_var_event_killable(&ep->death.over, smp_load_acquire(&ep->death.over));
}

/* No file is open: wait until all deaths are over. */
void symp_deaths_wait(void)
{
	wait_var_event(&dying, !atomic_read(&dying));
}
