// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queue: what an endpoint has to receive, and who waits on either side.
 *
 * One lane per sender, FIFO, served in turn: a flood delays its own sender. A
 * thread in RECV that sleeps is handed the message itself, so that one message
 * wakes one thread; the one that slept the shortest time, whose caches are warm.
 * A sender that finds no room sleeps on its lane, and the one that frees room
 * allocates for it: on a lane, whoever waited is served before whoever comes.
 * Senders never wait for each other's turn: a large request that does not fit
 * holds back its own sender only.
 *
 * A sleeper lives on its own stack. It is on a list until it is served, under
 * the endpoint's lock; @done is stored last, and the task is woken under RCU,
 * because from that store on the sleeper can return and exit.
 */
#include <linux/hrtimer.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bus.h"
#include "call.h"
#include "compat.h"
#include "endpoint.h"
#include "limits.h"
#include "queue.h"
#include "watch.h"

/* Messages taken under one hold of the lock. */
#define RECEIVE_CHUNK	16

/* A thread that waits for room in another endpoint's pool. */
struct room_waiter {
	struct list_head node;
	struct task_struct *task;
	u32 granules;
	u32 offset;
	bool done;
};

/**
 * symp_sleep() - until something happens
 * @done: it happened; stored with release
 * @also: so did this, or NULL
 * @deadline: CLOCK_MONOTONIC in ns, 0 for none
 *
 * Return: 0, -ETIMEDOUT, -ERESTARTSYS. After an error it can have happened too.
 */
int symp_sleep(const bool *done, const bool *also, u64 deadline)
{
	ktime_t until = min_t(u64, deadline, KTIME_MAX);
	int err = 0;

	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		/* Pairs with the releases in *_done() and symp_call_settle(). */
		if (smp_load_acquire(done))
			break;
		/* Likewise. */
		if (also && smp_load_acquire(also))
			break;
		if (signal_pending(current)) {
			err = -ERESTARTSYS;
			break;
		}
		if (!deadline) {
			schedule();
		} else if (!schedule_hrtimeout_range(&until,
						     current->timer_slack_ns,
						     HRTIMER_MODE_ABS)) {
			err = -ETIMEDOUT;
			break;
		}
	}
	__set_current_state(TASK_RUNNING);
	return err;
}

void symp_lane_init(struct symp_lane *lane)
{
	INIT_LIST_HEAD(&lane->queue);
	INIT_LIST_HEAD(&lane->busy);
	INIT_LIST_HEAD(&lane->waiting);
	INIT_LIST_HEAD(&lane->starved);
}

/* Senders that died and whose last message was released leave a lane behind. */
static void sweep_lanes(struct symp_endpoint *ep)
{
	struct symp_lane *lane;
	unsigned long sender;

	lockdep_assert_held(&ep->lock);
	xa_for_each(&ep->lanes, sender, lane) {
		if (lane->slices || xa_load(&ep->bus->endpoints, sender))
			continue;
		xa_erase(&ep->lanes, sender);
		kfree(lane);
		ep->nr_lanes--;
	}
	ep->sweep_at = 2 * ep->nr_lanes + 64;
}

/**
 * symp_lane_get() - a sender's lane, made when it is not there
 * @receiver: where it sends to, referenced
 * @sender: the current process's endpoint
 *
 * May sleep. Return: the lane, which stays while @sender is in an operation,
 * or an ERR_PTR of -ENOMEM.
 */
struct symp_lane *symp_lane_get(struct symp_endpoint *receiver,
				struct symp_endpoint *sender)
{
	struct symp_lane *lane = xa_load(&receiver->lanes, sender->id);
	int err;

	if (likely(lane))
		return lane;
	lane = kzalloc(sizeof(*lane), GFP_KERNEL_ACCOUNT);
	if (!lane)
		return ERR_PTR(-ENOMEM);
	symp_lane_init(lane);
	symp_endpoint_identify(sender, receiver, &lane->sender);
	symp_endpoint_identify(receiver, sender, &lane->receiver);
	err = xa_insert(&receiver->lanes, sender->id, lane, GFP_KERNEL_ACCOUNT);
	if (err) {
		kfree(lane);
		/* Another thread of the sender was faster. */
		return err == -EBUSY ? xa_load(&receiver->lanes, sender->id) :
				       ERR_PTR(err);
	}
	guard(spinlock)(&receiver->lock);
	if (++receiver->nr_lanes > receiver->sweep_at)
		sweep_lanes(receiver);
	return lane;
}

/* Nobody can reach @ep any more. */
void symp_lanes_free(struct symp_endpoint *ep)
{
	struct symp_lane *lane;
	unsigned long sender;

	xa_for_each(&ep->lanes, sender, lane)
		kfree(lane);
	xa_destroy(&ep->lanes);
}

static u32 share_of(struct symp_pool *pool)
{
	return (u64)pool->nr * symp_share_max / 100;
}

/**
 * symp_room_take() - room for a sender, if it may have it
 * @ep: whose pool, its lock held
 * @lane: the sender's lane there
 * @granules: how much
 * @kind: enum symp_kind
 *
 * Return: the slice's offset or SYMPHONY_NO_OFFSET.
 */
u32 symp_room_take(struct symp_endpoint *ep, struct symp_lane *lane,
		   u32 granules, u32 kind)
{
	u32 offset;

	lockdep_assert_held(&ep->lock);
	if (lane->slices >= symp_queue_max ||
	    lane->granules + granules > share_of(ep->pool))
		return SYMPHONY_NO_OFFSET;
	offset = symp_pool_alloc(ep->pool, granules, kind);
	if (offset != SYMPHONY_NO_OFFSET) {
		lane->granules += granules;
		lane->slices++;
	}
	return offset;
}

static void room_waiter_done(struct room_waiter *w, u32 offset)
{
	struct task_struct *task = w->task;

	list_del(&w->node);
	w->offset = offset;
	guard(rcu)();
	/* Pairs with the acquire in symp_sleep(). */
	smp_store_release(&w->done, true);
	symp_wake(task, false);
}

/* What was freed goes to those who wait, as far as it goes. */
static void room_grant(struct symp_endpoint *ep)
{
	struct symp_lane *lane, *next;
	struct room_waiter *w;
	u32 offset;

	list_for_each_entry_safe(lane, next, &ep->starved, starved) {
		while ((w = list_first_entry_or_null(&lane->waiting,
						     struct room_waiter, node))) {
			offset = symp_room_take(ep, lane, w->granules,
						SYMP_REQUEST);
			if (offset == SYMPHONY_NO_OFFSET)
				break;
			room_waiter_done(w, offset);
		}
		if (list_empty(&lane->waiting))
			list_del_init(&lane->starved);
	}
}

/* @w gives up, and no longer stands in front of those behind it. */
static void room_waiter_leave(struct symp_endpoint *ep, struct symp_lane *lane,
			      struct room_waiter *w)
{
	list_del(&w->node);
	if (list_empty(&lane->waiting))
		list_del_init(&lane->starved);
	room_grant(ep);
}

/**
 * symp_room_reserve() - room for a request in a server's pool
 * @ep: the server, referenced
 * @lane: the caller's lane there
 * @granules: how much
 * @call: what for; its deadline and its end also end the wait
 * @wait: sleep when there is no room now
 * @offset: (out) the slice
 * @pool: (out) the server's pool, referenced
 *
 * Return: 0, -ESHUTDOWN, -EMSGSIZE, -EAGAIN, -ETIMEDOUT, -ERESTARTSYS,
 * -ECANCELED (@call is done).
 */
int symp_room_reserve(struct symp_endpoint *ep, struct symp_lane *lane,
		      u32 granules, struct symp_call *call, bool wait,
		      u32 *offset, struct symp_pool **pool)
{
	struct room_waiter w;
	int err = 0;

	spin_lock(&ep->lock);
	if (ep->dead) {
		err = -ESHUTDOWN;
		goto out;
	}
	if (granules > min(share_of(ep->pool), ep->pool->nr / 2)) {
		err = -EMSGSIZE;
		goto out;
	}
	*offset = SYMPHONY_NO_OFFSET;
	if (list_empty(&lane->waiting))
		*offset = symp_room_take(ep, lane, granules, SYMP_REQUEST);
	if (*offset != SYMPHONY_NO_OFFSET)
		goto out;
	if (!wait) {
		err = -EAGAIN;
		goto out;
	}
	w = (struct room_waiter){
		.task = current,
		.granules = granules,
	};
	if (list_empty(&lane->waiting))
		list_add_tail(&lane->starved, &ep->starved);
	list_add_tail(&w.node, &lane->waiting);
	spin_unlock(&ep->lock);

	err = symp_sleep(&w.done, &call->done, call->deadline);

	spin_lock(&ep->lock);
	if (w.done) {
		*offset = w.offset;
		err = ep->dead ? -ESHUTDOWN : 0;
	} else {
		room_waiter_leave(ep, lane, &w);
		err = err ?: -ECANCELED;
	}
out:
	if (!err)
		*pool = symp_pool_get(ep->pool);
	spin_unlock(&ep->lock);
	return err;
}

/* Free a slice that nobody holds; @lane is charged for it, or NULL. */
void symp_room_free(struct symp_endpoint *ep, struct symp_lane *lane, u32 offset)
{
	lockdep_assert_held(&ep->lock);
	if (lane) {
		lane->granules -= symp_pool_slice(ep->pool, offset)->len;
		lane->slices--;
	}
	symp_pool_free(ep->pool, offset);
	if (!list_empty(&ep->starved))
		room_grant(ep);
}

/* The kernel lets go of a slice; @lane is charged for it, or NULL. */
void symp_slice_let_go(struct symp_endpoint *ep, struct symp_lane *lane,
		       u32 offset)
{
	struct symp_slice *s = symp_pool_slice(ep->pool, offset);

	lockdep_assert_held(&ep->lock);
	if (s->user) {
		s->kernel = 0;
		s->owner = lane;
	} else {
		symp_room_free(ep, lane, offset);
	}
}

/* The process lets go of what it says is a message. */
int symp_slice_release(struct symp_endpoint *ep, u32 offset)
{
	struct symp_slice *s = symp_pool_find(ep->pool, offset, SYMP_INSIDE);

	lockdep_assert_held(&ep->lock);
	if (!s || !s->user)
		return -EINVAL;
	s->user = 0;
	if (!s->kernel)
		symp_room_free(ep, s->owner, offset);
	return 0;
}

/*
 * The process now has the message. Returns the call whose outcome it was, with
 * the reference that the slot had: the last one, perhaps.
 */
static struct symp_call *take(struct symp_endpoint *ep, struct symp_item *item)
{
	struct symp_slice *s = symp_pool_slice(ep->pool, item->offset);
	struct symp_call *call;

	switch (s->kind) {
	case SYMP_REQUEST:
		call = container_of(item, struct symp_call, request);
		call->queued = false;
		s->user = 1;
		return NULL;
	case SYMP_ANSWER:
		call = container_of(item, struct symp_call, answer);
		symp_call_fetched(call);
		return call;
	default:
		s->user = 1;
		s->kernel = 0;
		kfree(container_of(item, struct symp_watch, notice));
		return NULL;
	}
}

static void receiver_done(struct symp_receiver *r, u32 offset, bool handoff)
{
	struct task_struct *task = r->task;

	list_del(&r->node);
	r->offset = offset;
	guard(rcu)();
	/* Pairs with the acquire in symp_sleep(). */
	smp_store_release(&r->done, true);
	symp_wake(task, handoff);
}

/**
 * symp_queue_push() - a message for an endpoint
 * @ep: the endpoint, alive, its lock held
 * @lane: the lane it comes by
 * @item: the message, its slice filled
 * @handoff: the current task is about to sleep until it is dealt with
 *
 * The pusher has a reference of its own to what @item is part of.
 */
void symp_queue_push(struct symp_endpoint *ep, struct symp_lane *lane,
		     struct symp_item *item, bool handoff)
{
	u32 offset = item->offset;
	struct symp_receiver *r;
	struct symp_call *call;

	lockdep_assert_held(&ep->lock);
	r = list_first_entry_or_null(&ep->receivers, struct symp_receiver, node);
	if (r) {
		call = take(ep, item);
		if (call)
			symp_call_put(call);
		receiver_done(r, offset, handoff);
		return;
	}
	if (list_empty(&lane->queue))
		list_add_tail(&lane->busy, &ep->busy);
	list_add_tail(&item->node, &lane->queue);
	if (wq_has_sleeper(&ep->poll))
		wake_up_poll(&ep->poll, EPOLLIN | EPOLLRDNORM);
}

/* Take back a message that nobody received. */
void symp_queue_remove(struct symp_lane *lane, struct symp_item *item)
{
	list_del(&item->node);
	if (list_empty(&lane->queue))
		list_del_init(&lane->busy);
}

static struct symp_item *pop(struct symp_endpoint *ep)
{
	struct symp_item *item;
	struct symp_lane *lane;

	lane = list_first_entry_or_null(&ep->busy, struct symp_lane, busy);
	if (!lane)
		return NULL;
	item = list_first_entry(&lane->queue, struct symp_item, node);
	list_del(&item->node);
	if (list_empty(&lane->queue))
		list_del_init(&lane->busy);
	else
		list_move_tail(&lane->busy, &ep->busy);
	return item;
}

/* The endpoint dies: whoever waits on it, on either side, returns. */
void symp_queue_end_waits(struct symp_endpoint *ep)
{
	struct symp_receiver *r, *next_r;
	struct room_waiter *w, *next_w;
	struct symp_lane *lane;

	lockdep_assert_held(&ep->lock);
	list_for_each_entry_safe(r, next_r, &ep->receivers, node)
		receiver_done(r, SYMPHONY_NO_OFFSET, false);
	list_for_each_entry(lane, &ep->starved, starved)
		list_for_each_entry_safe(w, next_w, &lane->waiting, node)
			room_waiter_done(w, SYMPHONY_NO_OFFSET);
}

/*
 * Take up to @max messages that are there, at most RECEIVE_CHUNK. Releases the
 * endpoint's lock.
 */
static __always_inline u32 receive_queued(struct symp_endpoint *ep, u32 *offsets, u32 max)
	__releases(&ep->lock)
{
	struct symp_call *call, *next;
	struct symp_item *item;
	LIST_HEAD(fetched);
	u32 nr = 0;

	while (nr < max && (item = pop(ep))) {
		offsets[nr++] = item->offset;
		call = take(ep, item);
		if (call)
			list_add(&call->answer.node, &fetched);
	}
	spin_unlock(&ep->lock);
	list_for_each_entry_safe(call, next, &fetched, answer.node)
		symp_call_put(call);
	return nr;
}

/* Sleep until a message is handed over. Releases the endpoint's lock. */
static __always_inline int receive_handed(struct symp_endpoint *ep, u32 *offset, u64 deadline)
	__releases(&ep->lock)
{
	struct symp_receiver r = { .task = current };
	int err;

	list_add(&r.node, &ep->receivers);
	spin_unlock(&ep->lock);
	err = symp_sleep(&r.done, NULL, deadline);
	if (err) {
		guard(spinlock)(&ep->lock);
		if (!r.done) {
			list_del(&r.node);
			return err;
		}
	}
	*offset = r.offset;
	return r.offset == SYMPHONY_NO_OFFSET ? -ESHUTDOWN : 1;
}

/**
 * symp_queue_receive_locked() - take messages
 * @ep: the current process's endpoint, its lock held; released here
 * @how: how many, how long, where to
 *
 * What was taken belongs to the process even if the address in @how went bad
 * meanwhile: it was checked before.
 * Return: how many, or -ESHUTDOWN, -EAGAIN, -ETIMEDOUT, -ERESTARTSYS, -EFAULT.
 */
int symp_queue_receive_locked(struct symp_endpoint *ep,
			      const struct symp_receive *how)
	__releases(&ep->lock)
{
	u32 got[RECEIVE_CHUNK], i;
	int n, nr = 0;

	for (;;) {
		if (ep->dead) {
			n = -ESHUTDOWN;
			spin_unlock(&ep->lock);
		} else if (!list_empty(&ep->busy)) {
			n = receive_queued(ep, got, min_t(u32, how->max - nr,
							  ARRAY_SIZE(got)));
		} else if (!nr && !how->dontwait) {
			n = receive_handed(ep, got, how->deadline);
		} else {
			n = -EAGAIN;
			spin_unlock(&ep->lock);
		}
		if (n < 0)
			return nr ?: n;
		for (i = 0; i < n; i++)
			if (put_user(got[i], how->offsets + nr + i))
				return -EFAULT;
		nr += n;
		if (nr == how->max || n < ARRAY_SIZE(got))
			return nr;
		cond_resched();
		spin_lock(&ep->lock);
	}
}
