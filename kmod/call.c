// SPDX-License-Identifier: GPL-2.0-only
/*
 * Call: a request that has exactly one outcome.
 *
 *   reserved   the caller's slot for the answer, then room at the server
 *   copying    the body goes from the caller into the server's pool, unlocked
 *   queued     attached to the server's pool; in a lane, or parked
 *   received   a thread of the server has it
 *   replying   one is copying the answer into the caller's slot, unlocked
 *   done       the outcome stands
 *   fetched    the caller has it
 *
 * The first five are the server's view, guarded by its lock (@attached,
 * @queued, @replying); the last two are the caller's, guarded by the caller's
 * lock. The two locks are never held together. A reply, the deadline, a cancel
 * and either side's death race for one thing: to set @done under the caller's
 * lock. The winner decides the outcome; later contenders return without effect.
 *
 * An outcome that the kernel makes tells whether a server may have received the
 * request, so it takes three steps (call_end()):
 *  1. Set @ending under the caller's lock. From then on no replica is chosen
 *     (@server stands) and nothing is attached.
 *  2. Under the server's lock, take the request back if no server received it
 *     (take_back()). Then none will. A request that was received stays there.
 *  3. Set @done with what step 2 found. A reply to a received request, or another
 *     contender, can come before this, and then stands. Otherwise the request is
 *     taken off the server (withdraw()). Then the timer is stopped.
 *
 * Steps 1 and 2 cannot miss an attaching thread: @ending is set before the
 * server's lock is taken, and attaching looks at @ending under that lock. So
 * either step 2 finds the request attached, or it is not attached any more.
 *
 * Who holds a call, and why each ends:
 *  - the thread in CALL, WAIT, SEND or CANCEL, for as long as it is there.
 *  - the command that a ring submitted, until that is completed; see uring.c.
 *  - the slot in the caller's pool, until the outcome is fetched or the caller
 *    is killed. Who sets @fetched drops the reference.
 *  - the server's pool (@attached), until it is answered, withdrawn, moved, or
 *    the server is killed; a one-way one until it is received. Who clears
 *    @attached drops the reference, or gives it to the move (move.c), or to the
 *    queue where the call is now the notice that it was cancelled (notice.c).
 *  - the timer (@timed), until it is stopped, or through the work it started
 *    until that has run. Every outcome stops it; unloading flushes the work.
 *  - a thread in REPLY.
 *  - who ends the call that it was made for (@doomed), until it has come by.
 *
 * tests/model/call.pml is this in Promela, with the same names; move.pml beside
 * it has the moves, the epoch and the wait for room. "make model" looks at every
 * order of events there in which at most two things disturb the call (one, for
 * that it ends), and shows that there is one outcome, that nobody waits for ever
 * or uses what is freed, and that every reference and slice is given back. They
 * have one call, two servers, a canceller, a timer and either side's death, and
 * memory in which a store is seen at once. They leave out the order in a queue,
 * shares of a pool, an answer larger than its slot, calls made for other calls,
 * notices without room, one-way calls, files, and commands of rings.
 */
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "admit.h"
#include "bus.h"
#include "call.h"
#include "chore.h"
#include "clock.h"
#include "compat.h"
#include "endpoint.h"
#include "files.h"
#include "ledger.h"
#include "limits.h"
#include "move.h"
#include "notice.h"
#include "route.h"
#include "service.h"
#include "stats.h"
#include "trace.h"
#include "uring.h"
#include "vector.h"

static struct kmem_cache *calls_cache;
static struct workqueue_struct *expiry;
static atomic64_t last_id;

static void expire(struct work_struct *work)
{
	struct symp_call *call = container_of(work, struct symp_call, expire);

	symp_call_finish(call, -ETIMEDOUT, 0);
	symp_call_put(call);
}

static enum hrtimer_restart timer_fired(struct hrtimer *timer)
{
	struct symp_call *call = container_of(timer, struct symp_call, timer);

	queue_work(expiry, &call->expire);
	return HRTIMER_NORESTART;
}

static void arm(struct symp_call *call)
{
	lockdep_assert_held(&call->caller->lock);
	if (!call->deadline || call->timed)
		return;
	call->timed = true;
	INIT_WORK(&call->expire, expire);
	hrtimer_setup(&call->timer, timer_fired, CLOCK_MONOTONIC,
		      HRTIMER_MODE_ABS_SOFT);
	symp_call_get(call);
	hrtimer_start(&call->timer, min_t(u64, call->deadline, KTIME_MAX),
		      HRTIMER_MODE_ABS_SOFT);
}

/* @call is done: its timer is not needed. No lock held. */
void symp_call_disarm(struct symp_call *call)
{
	/* Waits for timer_fired(), so that none runs after an unload. */
	if (call->timed && hrtimer_cancel(&call->timer))
		symp_call_put(call);
}

/*
 * Calls to make the next ones of, for those who have many at a time. Where they
 * end is anybody's context; who takes one holds the endpoint's lock, as two who
 * take cannot be told apart from one who gives back what the other took.
 */
#define SPARE_MAX	64

static bool spare_add(struct symp_endpoint *ep, struct symp_call *call)
{
	if (atomic_read(&ep->nr_spare) >= SPARE_MAX)
		return false;
	atomic_inc(&ep->nr_spare);
	llist_add(&call->spare, &ep->spare);
	return true;
}

static struct symp_call *spare_take(struct symp_endpoint *ep)
{
	struct llist_node *node;

	if (llist_empty(&ep->spare))
		return NULL;
	scoped_guard(spinlock, &ep->lock)
		node = llist_del_first(&ep->spare);
	if (!node)
		return NULL;
	atomic_dec(&ep->nr_spare);
	return llist_entry(node, struct symp_call, spare);
}

/* The last reference is gone. */
void symp_call_free(struct symp_call *call)
{
	struct symp_endpoint *caller = call->caller;

	if (call->server)
		symp_endpoint_put(call->server);
	if (READ_ONCE(caller->dead) ||
	    (cmpxchg(&caller->idle, NULL, call) && !spare_add(caller, call)))
		kmem_cache_free(calls_cache, call);
	symp_endpoint_put(caller);
}

/* @ep is dead: nobody makes a call from it any more. */
void symp_call_free_idle(struct symp_endpoint *ep)
{
	struct symp_call *call = xchg(&ep->idle, NULL), *next;
	struct llist_node *spare;

	if (call)
		kmem_cache_free(calls_cache, call);
	scoped_guard(spinlock, &ep->lock)
		spare = llist_del_all(&ep->spare);
	llist_for_each_entry_safe(call, next, spare, spare)
		kmem_cache_free(calls_cache, call);
}

/*
 * Calls are charged to the user in lots, so that a call here and there does not
 * touch what all of the user's processes share.
 */
#define CALLS_LOT	32U

static int calls_more(struct symp_endpoint *ep)
{
	int err;

	if (ep->nr_calls == ep->calls_charged) {
		err = symp_account_charge(ep->account, SYMP_CALLS, CALLS_LOT);
		if (err)
			return err;
		ep->calls_charged += CALLS_LOT;
	}
	ep->nr_calls++;
	return 0;
}

static void calls_less(struct symp_endpoint *ep)
{
	ep->nr_calls--;
	if (ep->calls_charged - ep->nr_calls >= 2 * CALLS_LOT) {
		symp_account_uncharge(ep->account, SYMP_CALLS, CALLS_LOT);
		ep->calls_charged -= CALLS_LOT;
	}
}

/* One-way calls stay charged when @ep is dead; see symp_endpoint_kill(). */
static void oneway_less(struct symp_endpoint *ep)
{
	lockdep_assert_held(&ep->lock);
	ep->nr_oneway--;
	if (ep->dead)
		symp_account_uncharge(ep->account, SYMP_CALLS, 1);
	else
		calls_less(ep);
}

/* Most calls are made for no other: then there is nothing to check and write. */
static void leave_parent(struct symp_call *call)
{
	if (unlikely(!list_empty(&call->sibling)))
		list_del_init(&call->sibling);
}

/*
 * The caller has the outcome, or will not have it: the message is the
 * process's, the slot is free unless the message is in it. Whoever calls this
 * then drops the reference that the slot had. Caller's lock held, not dead.
 */
void symp_call_fetched(struct symp_call *call)
{
	struct symp_endpoint *ep = call->caller;
	struct symp_slice *s;

	lockdep_assert_held(&ep->lock);
	call->fetched = true;
	leave_parent(call);
	calls_less(ep);
	if (call->offset != SYMPHONY_NO_OFFSET) {
		s = symp_pool_slice(ep->pool, call->offset);
		s->user = 1;
		if (call->offset != call->slot) {
			s->kernel = 0;
			s->owner = call->larger;
		} else if (!call->copying) {
			s->kernel = 0;
			s->owner = NULL;
		}
	}
	/* A replier in the slot frees it when it leaves; see answer(). */
	if (call->offset != call->slot && !call->copying)
		symp_room_free(ep, NULL, call->slot);
}

static void write_outcome(struct symp_call *call)
{
	struct symphony_msg *msg = symp_pool_msg(call->caller->pool, call->slot);

	*msg = (struct symphony_msg){
		.type = SYMPHONY_MSG_REPLY,
		.header_len = sizeof(*msg),
		.id = call->id,
		.cookie = call->cookie,
		.handle = call->handle,
		.status = call->status,
		.needed = call->needed,
	};
}

/**
 * symp_call_settle() - set the outcome
 * @call: a call that is not done, its caller's lock held, referenced
 * @status: 0 or what the kernel says
 * @offset: the answer's message, filled; SYMPHONY_NO_OFFSET when there is none
 * @handoff: the current task is about to sleep
 */
void symp_call_settle(struct symp_call *call, int status, u32 offset,
		      bool handoff)
{
	struct symp_endpoint *ep = call->caller;
	struct task_struct *task = call->waiter;

	lockdep_assert_held(&ep->lock);
	call->status = status;
	call->offset = offset;
	trace_symphony_call_done(call);
	if (likely(call->server))
		symp_stats_outcome(&call->service->stats, status);
	if (unlikely(call->oneway)) {
		oneway_less(ep);
		/* As for one with an answer, below. */
		WRITE_ONCE(call->done, true);
		return;
	}
	if (call->async && (!ep->dead || call->cmd)) {
		/* The record stands in front of where a replier may write. */
		if (offset == SYMPHONY_NO_OFFSET && !ep->dead) {
			call->offset = call->slot;
			write_outcome(call);
		}
		call->answer.offset = call->offset;
		/* Nobody sleeps on it: this is for call_attach(), by its lock. */
		WRITE_ONCE(call->done, true);
		if (call->cmd)
			symp_uring_complete(call->cmd);
		else
			symp_queue_push(ep, &ep->home, &call->answer, handoff);
		return;
	}
	if (!ep->dead && task) {
		symp_call_fetched(call);
		symp_call_put(call);
	}
	guard(rcu)();
	/* Pairs with the acquire in symp_sleep(). */
	smp_store_release(&call->done, true);
	if (task)
		symp_wake(task, handoff);
}

/* The request is no longer the server's; it drops the reference. */
void symp_call_detach(struct symp_call *call)
{
	struct symp_endpoint *server = call->server;

	lockdep_assert_held(&server->lock);
	call->attached = false;
	WRITE_ONCE(server->load, server->load - 1);
	if (!call->queued)
		WRITE_ONCE(server->taken, server->taken - 1);
	while (unlikely(!list_empty(&call->children)))
		list_del_init(call->children.next);
}

/* The calls that @call's server made for it end with it. */
static void doom_children(struct symp_call *call, struct list_head *doomed)
{
	struct symp_call *child;

	lockdep_assert_held(&call->server->lock);
	list_for_each_entry(child, &call->children, sibling)
		if (!child->done)
			list_add_tail(&symp_call_get(child)->doomed, doomed);
}

/*
 * See that no server receives the request, if none has. @ending is set: the call
 * has its last server, and is not attached there if it is not now. A move that
 * waits for room goes on, and finds @ending.
 *
 * Return: whether a server may have received it.
 */
static bool take_back(struct symp_call *call)
{
	struct symp_endpoint *server = call->server;
	struct symp_room_waiter *moving;
	bool received;

	if (!server)
		return false;
	spin_lock(&server->lock);
	moving = call->moving;
	if (unlikely(moving && !moving->done)) {
		symp_room_leave(server, call->lane, moving);
		moving->done = true;
		symp_chore_start(moving->chores, moving->chore);
	}
	received = !call->queued || call->reissues;
	/* The death of the server takes it off, and nobody receives it. */
	if (!call->attached || !call->queued || server->dead) {
		spin_unlock(&server->lock);
		return received;
	}
	symp_call_detach(call);
	symp_queue_remove(server, call);
	symp_slice_let_go(server, call->lane, call->request.offset);
	spin_unlock(&server->lock);
	symp_call_put(call);
	return received;
}

/* Take a request that was received off the server. @call is done. */
static void withdraw(struct symp_call *call, struct list_head *doomed)
{
	struct symp_endpoint *server = call->server;

	spin_lock(&server->lock);
	/* Likewise. */
	if (!call->attached || server->dead) {
		spin_unlock(&server->lock);
		return;
	}
	doom_children(call, doomed);
	symp_call_detach(call);
	symp_slice_let_go(server, call->lane, call->request.offset);
	if (call->notify && !call->replying &&
	    symp_notice_push_cancelled(server, call))
		call = NULL;
	spin_unlock(&server->lock);
	if (call)
		symp_call_put(call);
}

static bool settle_without_answer(struct symp_call *call, int status, u32 needed)
{
	guard(spinlock)(&call->caller->lock);
	if (call->done)
		return false;
	call->needed = needed;
	symp_call_settle(call, status, SYMPHONY_NO_OFFSET, false);
	return true;
}

/* The service time of the last call counts for a part of this many. */
#define SMOOTHED	8

/* Several write at once: then one of them does not count. */
static void smooth(u64 *smoothed, u64 time)
{
	u64 before = READ_ONCE(*smoothed);

	if (before)
		time = before - before / SMOOTHED + time / SMOOTHED;
	WRITE_ONCE(*smoothed, time);
}

/**
 * symp_call_ended() - somebody wants to know how long it took
 * @call: the call, referenced, with an outcome; no lock held
 * @status: of that
 *
 * The times stay as they are: they are written when a call attaches, under the
 * server's lock and not once it is ending; and take_back() has been through that
 * lock, or the server received the call under it and now answers.
 */
void symp_call_ended(struct symp_call *call, int status)
{
	u64 attached_at = READ_ONCE(call->attached_at);
	u64 taken_at = READ_ONCE(call->taken_at);
	u64 now, queue_time, service_time = 0;

	/* It reached no replica, or before somebody wanted to know. */
	if (!attached_at)
		return;
	now = ktime_get_ns();
	queue_time = (taken_at ?: now) - attached_at;
	if (taken_at)
		service_time = max(now - taken_at, 1);
	if (taken_at && !status)
		smooth(&call->server->service_time, service_time);
	symp_stats_times(&call->service->stats, queue_time, service_time);
	if (call->reached && (static_branch_unlikely(&symp_routes) ||
			      static_branch_unlikely(&symp_shadows)))
		symp_route_done(call, status, queue_time, service_time);
}

/* What the outcome @status is called when no server received the request. */
static int unreceived(int status)
{
	switch (status) {
	case -ETIMEDOUT:
		return -ETIME;
	case -ECONNRESET:
		return -ECONNABORTED;
	default:
		return status;
	}
}

/* See the top of this file. Return: whether this was what decided. */
static bool call_end(struct symp_call *call, int status, u32 needed,
		     struct list_head *doomed)
{
	bool received;

	scoped_guard(spinlock, &call->caller->lock) {
		if (call->done)
			return false;
		WRITE_ONCE(call->ending, true);
	}
	received = take_back(call);
	if (!received)
		status = unreceived(status);
	if (!settle_without_answer(call, status, needed))
		return false;
	if (received)
		withdraw(call, doomed);
	symp_call_disarm(call);
	if (static_branch_unlikely(&symp_times))
		symp_call_ended(call, status);
	return true;
}

/**
 * symp_call_finish() - the kernel makes the outcome, if there is none yet
 * @call: the call, referenced; no lock held
 * @status: the negative errno. If no server received the request, ETIMEDOUT
 *	becomes ETIME and ECONNRESET becomes ECONNABORTED
 * @needed: with -EMSGSIZE: what would have been enough
 *
 * The calls that a server made for @call end too. A chain can be long: a list
 * takes the place of recursion. May sleep. Return: whether this was what decided;
 * if not, there is an outcome already.
 */
bool symp_call_finish(struct symp_call *call, int status, u32 needed)
{
	int for_children = status == -ETIMEDOUT ? status : -ECANCELED;
	struct symp_call *child;
	LIST_HEAD(doomed);

	if (!call_end(call, status, needed, &doomed))
		return false;
	while ((child = list_first_entry_or_null(&doomed, struct symp_call,
						 doomed))) {
		list_del(&child->doomed);
		call_end(child, for_children, 0, &doomed);
		symp_call_put(child);
		cond_resched();
	}
	return true;
}

/**
 * symp_call_received() - a one-way call was received, or an outcome was
 * @call: what symp_queue's take() gave; the reference is dropped
 *
 * No lock held. May sleep.
 */
void symp_call_received(struct symp_call *call)
{
	bool first = false;

	if (unlikely(call->oneway)) {
		scoped_guard(spinlock, &call->caller->lock) {
			first = !call->done;
			if (first)
				symp_call_settle(call, 0, SYMPHONY_NO_OFFSET,
						 false);
		}
	}
	if (first) {
		symp_call_disarm(call);
		if (static_branch_unlikely(&symp_times))
			symp_call_ended(call, 0);
	}
	symp_call_put(call);
}

/* Close what was to go with a request that is attached nowhere. */
static void put_files(struct symp_call *call)
{
	symp_files_put(call->files);
	call->files = NULL;
}

/*
 * What was taken off its server goes to no other: end it, and drop the reference
 * that the server had. A call that ends already has its own reason: the one that
 * ends it settles the outcome. May sleep.
 */
void symp_call_give_up(struct symp_call *call, int status)
{
	put_files(call);
	if (!READ_ONCE(call->ending))
		symp_call_finish(call, status, 0);
	symp_call_put(call);
}

static struct symp_call *call_alloc(struct symp_endpoint *ep,
				    const struct symphony_call *arg, bool async,
				    struct io_uring_cmd *cmd)
{
	struct symp_call *call = xchg(&ep->idle, NULL);

	if (!call)
		call = spare_take(ep) ?: kmem_cache_alloc(calls_cache, GFP_KERNEL);
	if (!call)
		return NULL;
	call->id = atomic64_inc_return(&last_id);
	symp_endpoint_get(ep);
	call->caller = ep;
	call->handle = arg->handle;
	call->cookie = arg->cookie;
	call->deadline = arg->deadline;
	call->async = async;
	call->oneway = arg->flags & SYMPHONY_CALL_ONEWAY;
	call->idempotent = arg->flags & SYMPHONY_CALL_IDEMPOTENT;
	call->reissues = 0;
	refcount_set(&call->ref, 1);
	call->room = arg->reply_max ?: SYMPHONY_REPLY_DEFAULT;
	INIT_LIST_HEAD(&call->sibling);
	INIT_LIST_HEAD(&call->children);
	call->fetched = false;
	call->done = false;
	call->ending = false;
	call->copying = false;
	call->timed = false;
	call->needed = 0;
	call->waiter = async ? NULL : current;
	call->cmd = cmd;
	call->server = NULL;
	call->moving = NULL;
	call->files = NULL;
	call->attached = false;
	call->queued = true;
	call->replying = false;
	call->attached_at = 0;
	return call;
}

/* The files that go with the request. */
static int call_open_files(struct symp_call *call,
			   const struct symphony_call *arg,
			   enum symphony_limit *limit)
{
	struct symp_files *files = symp_files_open(call->caller, arg->fds,
						   arg->nr_fds);

	if (IS_ERR(files)) {
		if (PTR_ERR(files) == -EDQUOT)
			*limit = SYMPHONY_LIMIT_USER_FILES;
		return PTR_ERR(files);
	}
	call->files = files;
	return 0;
}

/* @call is made for another one, which its caller is serving. */
static int call_join_parent(struct symp_call *call, u64 id, u32 slot)
{
	struct symp_endpoint *ep = call->caller;
	struct symp_call *parent;
	struct symp_slice *s;

	lockdep_assert_held(&ep->lock);
	s = symp_pool_find(ep->pool, slot, SYMP_REQUEST);
	parent = s && s->kernel ? s->owner : NULL;
	/* One that ends may be attached still. */
	if (!parent || parent->id != id || parent->queued ||
	    READ_ONCE(parent->ending))
		return -ESRCH;
	if (parent->deadline &&
	    (!call->deadline || parent->deadline < call->deadline))
		call->deadline = parent->deadline;
	list_add(&call->sibling, &parent->children);
	return 0;
}

/* Reserve the slot; the call can be waited for and cancelled from now on. */
static int call_register(struct symp_call *call, const struct symphony_call *arg,
			 enum symphony_limit *limit)
{
	struct symp_endpoint *ep = call->caller;
	u32 granules;
	int err;

	guard(spinlock)(&ep->lock);
	if (ep->dead)
		return -ESHUTDOWN;
	if (ep->nr_calls >= READ_ONCE(symp_calls_max)) {
		*limit = SYMPHONY_LIMIT_CALLS;
		return -EDQUOT;
	}
	if (call->oneway) {
		call->slot = SYMPHONY_NO_OFFSET;
		err = calls_more(ep);
		if (err) {
			*limit = SYMPHONY_LIMIT_USER_CALLS;
			return err;
		}
		ep->nr_oneway++;
		arm(call);
		return 0;
	}
	granules = symp_pool_granules(call->room);
	if (granules > ep->pool->nr / 2) {
		*limit = SYMPHONY_LIMIT_REPLY;
		return -EMSGSIZE;
	}
	call->slot = symp_pool_alloc(ep->pool, granules, SYMP_ANSWER);
	if (call->slot == SYMPHONY_NO_OFFSET) {
		*limit = SYMPHONY_LIMIT_POOL;
		return -ENOBUFS;
	}
	err = calls_more(ep);
	if (err) {
		*limit = SYMPHONY_LIMIT_USER_CALLS;
		goto err_free_slot;
	}
	if (arg->parent) {
		err = call_join_parent(call, arg->parent, arg->parent_slot);
		if (err)
			goto err_calls_less;
	}
	/* Of the thread, and of the slot, by which others can find it now. */
	refcount_set(&call->ref, 2);
	symp_pool_slice(ep->pool, call->slot)->owner = call;
	if (call->cmd)
		symp_uring_bind(call->cmd, call);
	if (call->async)
		arm(call);
	return 0;

err_calls_less:
	calls_less(ep);
err_free_slot:
	symp_room_free(ep, NULL, call->slot);
	return err;
}

/*
 * Undo a call that no server has seen. False when it has an outcome already, or
 * is about to, which then stands.
 */
static bool call_abandon(struct symp_call *call)
{
	struct symp_endpoint *ep = call->caller;

	spin_lock(&ep->lock);
	if (call->ending) {
		spin_unlock(&ep->lock);
		return false;
	}
	call->done = true;
	if (unlikely(call->oneway)) {
		oneway_less(ep);
	} else if (!ep->dead) {
		calls_less(ep);
		call->fetched = true;
		leave_parent(call);
		symp_room_free(ep, NULL, call->slot);
		symp_call_put(call);
	}
	spin_unlock(&ep->lock);
	symp_call_disarm(call);
	return true;
}

/**
 * symp_call_route() - choose who will answer
 * @call: a call that is attached nowhere
 * @args: of @call
 * @limit: (out) what was in the way
 *
 * May sleep. Return: 0, -ENOENT, -ECONNREFUSED, -ENOMEM, -ECANCELED (it ends),
 * -EDQUOT, -ESHUTDOWN (choose another server), or what a program refuses it with.
 */
int symp_call_route(struct symp_call *call, const struct symp_route_args *args,
		    enum symphony_limit *limit)
{
	struct symp_endpoint *ep = call->caller, *old;
	struct symp_lane *lane = NULL;
	struct symp_pick pick;
	int err;

	err = symp_service_pick(args, &pick);
	if (err)
		return err;
	spin_lock(&ep->lock);
	if (call->ending) {
		spin_unlock(&ep->lock);
		symp_endpoint_put(pick.ep);
		return -ECANCELED;
	}
	old = call->server;
	call->server = pick.ep;
	call->service = pick.service;
	/* Of a dead one the lane may be gone; see symp_lane_get(). */
	if (ep->last.id == pick.ep->id && !ep->dead)
		lane = ep->last.lane;
	spin_unlock(&ep->lock);
	if (old)
		symp_endpoint_put(old);
	if (!lane) {
		lane = symp_lane_get(pick.ep, ep, limit);
		if (IS_ERR(lane))
			return PTR_ERR(lane);
		guard(spinlock)(&ep->lock);
		ep->last.id = pick.ep->id;
		ep->last.lane = lane;
	}
	call->lane = lane;
	call->epoch = pick.epoch;
	call->notify = pick.notify;
	call->park = pick.park;
	return 0;
}

/* Write into a request's header what depends on the server: sender and clock. */
static __always_inline void address(const struct symp_call *call,
				    struct symphony_msg *msg)
{
	const struct symp_identity *from = &call->lane->sender;

	msg->sender = from->endpoint;
	msg->pid = from->pid;
	msg->uid = from->uid;
	msg->gid = from->gid;
	msg->deadline = symp_clock_move(call->deadline, call->server->clock);
}

void symp_call_address(const struct symp_call *call, struct symphony_msg *msg)
{
	address(call, msg);
}

static void write_request(struct symphony_msg *msg, struct symp_call *call,
			  const struct symphony_call *arg)
{
	/* Each member once: cleared first, they would cost as much again. */
	msg->type = SYMPHONY_MSG_CALL;
	msg->flags = call->oneway ? SYMPHONY_MSG_ONEWAY : 0;
	msg->header_len = sizeof(*msg);
	msg->id = call->id;
	msg->cookie = 0;
	msg->handle = call->handle;
	msg->method = arg->method;
	msg->key = arg->key;
	msg->body_len = arg->body_len;
	msg->content_type = arg->content_type;
	msg->status = 0;
	msg->needed = 0;
	msg->nr_fds = 0;
	memset(msg->reserved, 0, sizeof(msg->reserved));
	address(call, msg);
}

/* Hold the request until there is a replica, and say so, once. */
static void park(struct symp_call *call)
{
	struct symp_endpoint *activator = call->server;
	struct symp_service *service = call->service;

	list_add_tail(&call->request.node, &activator->parked);
	activator->queued++;
	atomic_inc(&service->parked);
	/* One that it did not receive yet says this, too. */
	if (READ_ONCE(service->activated) != activator->id)
		symp_notice_push_activate(activator, service);
	WRITE_ONCE(service->activated, activator->id);
}

/**
 * symp_call_attach() - the request is complete: let the server see it
 * @call: a call with room at its server, filled
 * @keep: after an error it has the room still
 *
 * Return: 0; -ESHUTDOWN: choose another server; -ECANCELED: @call ends.
 */
int symp_call_attach(struct symp_call *call, bool keep)
{
	struct symp_endpoint *server = call->server;
	u32 offset = call->request.offset;
	int err = 0;

	guard(spinlock)(&server->lock);
	if (server->dead)
		return -ESHUTDOWN;
	if (server->epoch != call->epoch)
		err = -ESHUTDOWN;
	/* Set under another lock; see the top of this file. */
	if (READ_ONCE(call->ending))
		err = -ECANCELED;
	if (err) {
		if (!keep)
			symp_room_free(server, call->lane, offset);
		return err;
	}
	symp_pool_slice(server->pool, offset)->owner = symp_call_get(call);
	if (unlikely(call->files)) {
		symp_files_place(server, offset, call->files);
		call->files = NULL;
	}
	call->attached = true;
	call->queued = true;
	WRITE_ONCE(server->load, server->load + 1);
	if (static_branch_unlikely(&symp_times)) {
		call->reached = call->park ? 0 : server->id;
		WRITE_ONCE(call->attached_at, ktime_get_ns());
		WRITE_ONCE(call->taken_at, 0);
	} else {
		/* What another server's were, before the call moved. */
		WRITE_ONCE(call->attached_at, 0);
	}
	trace_symphony_call_queued(call);
	if (unlikely(call->park))
		park(call);
	else
		symp_queue_push(server, call->lane, &call->request, !call->async);
	return 0;
}

/* May @call, which waited for room, be delivered? */
static noinline int admit_again(const struct symp_call *call,
				const struct symphony_call *arg)
{
	if (!static_branch_unlikely(&symp_admits))
		return 0;
	guard(rcu)();
	return symp_admit(call->service, call->caller, arg);
}

/*
 * Reserve, copy, publish. The copy holds nothing but a reference to the pool and
 * the slice, which is in nobody's reach. @pieces: of the body, or NULL.
 * -ESHUTDOWN: the replica serves no more, choose another. -EFAULT: not all of
 * the body is there; waiting for it has no bound, as it may be FUSE's.
 */
static __always_inline int
call_deliver(struct symp_call *call, const struct symp_route_args *args,
	     const struct symphony_piece *pieces, bool peeks, bool wait,
	     enum symphony_limit *limit)
{
	const struct symphony_call *arg = args->arg;
	struct symp_endpoint *server;
	struct symp_pool *pool;
	int err;

	err = symp_call_route(call, args, limit);
	if (err)
		return err;
	server = call->server;
	err = symp_room_reserve(server, call->lane,
				symp_pool_granules(arg->body_len), call, wait,
				&call->request.offset, &pool, limit);
	if (unlikely(err)) {
		if (err == -EAGAIN && arg->flags & SYMPHONY_CALL_NOTIFY)
			return symp_room_notify(call,
						symp_pool_granules(arg->body_len),
						limit) ?: -EAGAIN;
		if (err < 0)
			return err;
		/* A gate that came while it waited for room is not passed by. */
		err = admit_again(call, arg);
		if (err) {
			symp_pool_put(pool);
			goto err_free_room;
		}
	}
	write_request(symp_pool_msg(pool, call->request.offset), call, arg);
	err = symp_body_fill(pool, call->request.offset, pieces, arg->body,
			     arg->body_len);
	/* What the choice was made for is what arrives. */
	if (peeks && !err)
		memcpy(symp_pool_msg(pool, call->request.offset) + 1,
		       args->head, args->head_len);
	symp_pool_put(pool);
	if (!err && call->deadline && ktime_get_ns() >= call->deadline)
		err = -ETIME;
	if (!err) {
		symp_stats_request(&call->service->stats, arg->body_len);
		return symp_call_attach(call, false);
	}

err_free_room:
	spin_lock(&server->lock);
	if (!server->dead)
		symp_room_free(server, call->lane, call->request.offset);
	spin_unlock(&server->lock);
	return err;
}

/* Likewise, for programs that look into bodies. */
static noinline int call_deliver_peeking(struct symp_call *call,
					 const struct symphony_call *arg,
					 const struct symphony_piece *pieces,
					 bool wait, enum symphony_limit *limit)
{
	u8 head[SYMPHONY_PEEK_MAX];
	const struct symp_route_args args = {
		.call = call,
		.arg = arg,
		.head = head,
		.head_len = min_t(u32, arg->body_len, sizeof(head)),
	};

	return symp_body_peek(head, pieces, arg->body, args.head_len) ?:
	       call_deliver(call, &args, pieces, true, wait, limit);
}

/* Replicas that SEND chooses before it says EAGAIN. */
#define SEND_CHOICES	16

/*
 * The replica that was chosen stopped serving. Servers can come and go for ever:
 * CALL ends at its deadline, SEND after a few. Return: 0: choose another.
 */
static noinline int choose_again(struct symp_call *call,
				 const struct symphony_call *arg, bool wait,
				 u32 choices, enum symphony_limit *limit)
{
	cond_resched();
	if (signal_pending(current))
		return -ERESTARTSYS;
	if (call->deadline && ktime_get_ns() >= call->deadline)
		return -ETIME;
	if (wait || choices < SEND_CHOICES)
		return 0;
	*limit = SYMPHONY_LIMIT_ROOM;
	if (!(arg->flags & SYMPHONY_CALL_NOTIFY) || !call->server)
		return -EAGAIN;
	return symp_room_notify(call, symp_pool_granules(arg->body_len),
				limit) ?: -EAGAIN;
}

/* Until it is delivered, or is not to be. */
static __always_inline int
call_deliver_somewhere(struct symp_call *call, const struct symphony_call *arg,
		       const struct symphony_piece *pieces, bool wait,
		       enum symphony_limit *limit)
{
	const struct symp_route_args args = { .call = call, .arg = arg };
	u32 tries = SYMP_FILL_TRIES, choices = 0;
	int err;

	trace_symphony_call_made(call, arg);
	do {
		err = static_branch_unlikely(&symp_peeks) ?
			call_deliver_peeking(call, arg, pieces, wait, limit) :
			call_deliver(call, &args, pieces, false, wait, limit);
		/* What has room nowhere need not be there either. */
		if (err == -EFAULT && arg->body_len > SYMPHONY_POOL_MAX) {
			*limit = SYMPHONY_LIMIT_BODY;
			return -EMSGSIZE;
		}
		if (err == -EFAULT && tries--)
			err = symp_body_fault_in(pieces, arg->body,
						 arg->body_len);
		else if (err == -ESHUTDOWN)
			err = choose_again(call, arg, wait, ++choices, limit);
		else
			break;
	} while (!err);
	return err;
}

/* Likewise a body in pieces: what they have together is its length from here on. */
static noinline int call_deliver_pieces(struct symp_call *call,
					struct symphony_call *arg, bool wait,
					enum symphony_limit *limit)
{
	struct symphony_piece *pieces;
	int err;

	pieces = symp_vector_read(arg->body, &arg->body_len);
	if (IS_ERR(pieces))
		return PTR_ERR(pieces);
	err = call_deliver_somewhere(call, arg, pieces, wait, limit);
	symp_vector_free(pieces);
	return err;
}

/* Sleep until there is an outcome, which is then fetched. */
static int call_await(struct symp_call *call)
{
	int err = symp_sleep(&call->done, NULL, call->deadline);

	if (err == -ETIMEDOUT) {
		symp_call_finish(call, -ETIMEDOUT, 0);
	} else if (err) {
		guard(spinlock)(&call->caller->lock);
		if (!call->done) {
			call->waiter = NULL;
			arm(call);
			return err;
		}
	}
	return 0;
}

/* The call that user space means, referenced; NULL when there is none. */
static struct symp_call *call_find_locked(struct symp_endpoint *ep, u64 id,
					  u32 slot)
{
	struct symp_slice *s;
	struct symp_call *call;

	lockdep_assert_held(&ep->lock);
	s = symp_pool_find(ep->pool, slot, SYMP_ANSWER);
	call = s && s->kernel ? s->owner : NULL;
	if (!call || call->id != id || call->fetched)
		return NULL;
	return symp_call_get(call);
}

/**
 * symp_call_wait() - WAIT
 * @ep: the current process's endpoint
 * @arg: @id and @slot in; the outcome out
 * @nonblock: do not sleep
 *
 * Return: 0, -ESRCH, -EINVAL, -EBUSY, -EAGAIN, -ERESTARTSYS, -ESHUTDOWN.
 */
int symp_call_wait(struct symp_endpoint *ep, struct symphony_wait *arg,
		   bool nonblock)
{
	struct symp_call *call;
	int err = 0;

	spin_lock(&ep->lock);
	if (ep->dead) {
		spin_unlock(&ep->lock);
		return -ESHUTDOWN;
	}
	call = call_find_locked(ep, arg->id, arg->slot);
	if (!call) {
		spin_unlock(&ep->lock);
		return -ESRCH;
	}
	if (call->async) {
		err = -EINVAL;
	} else if (call->waiter) {
		err = -EBUSY;
	} else if (call->done) {
		symp_call_fetched(call);
		symp_call_put(call);
	} else if (nonblock) {
		err = -EAGAIN;
	} else {
		call->waiter = current;
	}
	spin_unlock(&ep->lock);
	if (!err)
		err = call_await(call);
	if (!err) {
		arg->status = call->status;
		arg->offset = call->offset;
		arg->needed = call->needed;
	}
	symp_call_put(call);
	return err;
}

/* CANCEL. Return: 0, -ESRCH, -EALREADY, -ESHUTDOWN. May sleep. */
int symp_call_cancel(struct symp_endpoint *ep, u64 id, u32 slot)
{
	struct symp_call *call;
	int err;

	scoped_guard(spinlock, &ep->lock) {
		if (ep->dead)
			return -ESHUTDOWN;
		call = call_find_locked(ep, id, slot);
	}
	if (!call)
		return -ESRCH;
	err = symp_call_finish(call, -ECANCELED, 0) ? 0 : -EALREADY;
	symp_call_put(call);
	return err;
}

/*
 * Tell the caller by what it can WAIT for @call and CANCEL it. What is told when
 * there is an outcome stands behind it, @needed last: that this can be written
 * shows that all can.
 */
static int put_name(const struct symp_call *call, struct symphony_call __user *uarg)
{
	if (!user_write_access_begin(uarg, sizeof(*uarg)))
		return -EFAULT;
	unsafe_put_user(call->id, &uarg->id, err_fault);
	unsafe_put_user(call->slot, &uarg->slot, err_fault);
	unsafe_put_user(0, &uarg->needed, err_fault);
	user_write_access_end();
	return 0;

err_fault:
	user_write_access_end();
	return -EFAULT;
}

/**
 * symp_call_make() - CALL and SEND
 * @ep: the current process's endpoint
 * @uarg: where the id and the slot are written before anybody can answer
 * @arg: the copy of it, flags and reserved members checked; the outcome out, and
 *	the deadline by the host's clock
 * @async: no thread waits for the outcome
 * @nonblock: CALL: do not wait for room
 * @cmd: with @async: the command to complete with the outcome; otherwise that
 *	is received. It is the call's, unless there is an error
 *
 * Return: 0 and, for CALL, the outcome in @arg; or the negative errno of struct
 * symphony_call. -ERESTARTSYS with an id written: the call stands.
 */
int symp_call_make(struct symp_endpoint *ep, struct symphony_call __user *uarg,
		   struct symphony_call *arg, bool async, bool nonblock,
		   struct io_uring_cmd *cmd)
{
	enum symphony_limit limit = SYMPHONY_LIMIT_NONE;
	bool wait = !async && !nonblock;
	struct symp_call *call;
	int err;

	if (arg->deadline) {
		arg->deadline = symp_clock_to_host(arg->deadline);
		if (ktime_get_ns() >= arg->deadline)
			return -ETIME;
	}
	call = call_alloc(ep, arg, async, cmd);
	if (!call)
		return -ENOMEM;
	if (unlikely(arg->nr_fds)) {
		err = call_open_files(call, arg, &limit);
		if (err)
			goto out;
	}
	err = call_register(call, arg, &limit);
	if (err)
		goto out_files;
	err = put_name(call, uarg);
	if (!err)
		err = unlikely(arg->flags & SYMPHONY_CALL_VECTOR) ?
			call_deliver_pieces(call, arg, wait, &limit) :
			call_deliver_somewhere(call, arg, NULL, wait, &limit);
	if (err && call_abandon(call)) {
		if (call->server)
			symp_stats_inc(&call->service->stats, SYMP_STAT_REFUSALS);
		if (put_user(0, &uarg->id))
			err = -EFAULT;
		goto out_files;
	}
	/* It has an outcome, and was attached nowhere: the files are here still. */
	if (unlikely(err))
		put_files(call);
	err = 0;
	if (async)
		goto out;
	err = call_await(call);
	if (!err) {
		arg->status = call->status;
		arg->offset = call->offset;
		arg->needed = call->needed;
	}
	goto out;

out_files:
	put_files(call);
out:
	if (unlikely(limit) && err)
		arg->limit = limit;
	symp_call_put(call);
	return err;
}

/* For list_sort(), of requests: in the order in which the calls were made. */
int symp_call_is_older(void *priv, const struct list_head *a,
		       const struct list_head *b)
{
	/* There can be hundreds of thousands. */
	cond_resched();
	return list_entry(a, struct symp_call, request.node)->id >
	       list_entry(b, struct symp_call, request.node)->id;
}

int symp_call_init(void)
{
	calls_cache = KMEM_CACHE(symp_call, SLAB_ACCOUNT | SLAB_HWCACHE_ALIGN);
	if (!calls_cache)
		return -ENOMEM;
	expiry = alloc_workqueue("symphony", WQ_UNBOUND, 0);
	if (!expiry) {
		kmem_cache_destroy(calls_cache);
		return -ENOMEM;
	}
	return 0;
}

void symp_call_exit(void)
{
	destroy_workqueue(expiry);
	kmem_cache_destroy(calls_cache);
}
