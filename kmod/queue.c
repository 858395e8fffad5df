// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queue: what an endpoint has to receive, and who waits on either side.
 *
 * One lane per sender, FIFO; users are served in turn, and the lanes of each: a
 * flood delays its own sender. A user who had nothing queued comes before those
 * who have a backlog ("new flows" of FQ-CoDel, RFC 8290), but every second turn
 * is one of theirs, so that many who call now and then do not starve them.
 *
 * A thread in RECV that sleeps is handed the message itself, so that one
 * message wakes one thread; the one that slept the shortest time, whose caches
 * are warm. What a ring submitted is told only that there is something; see
 * uring.c.
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

#include "call.h"
#include "compat.h"
#include "endpoint.h"
#include "files.h"
#include "notice.h"
#include "queue.h"
#include "service.h"
#include "trace.h"
#include "uring.h"

/**
 * symp_sleep() - until something happens
 * @done: it happened; stored with release
 * @also: so did this, or NULL
 * @deadline: the host's CLOCK_MONOTONIC in ns, 0 for none
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

static __always_inline void let_go(struct symp_endpoint *ep,
				   struct symp_slice *s, struct symp_lane *lane,
				   u32 offset)
{
	if (s->user) {
		s->kernel = 0;
		s->owner = lane;
	} else {
		symp_room_free(ep, lane, offset);
	}
}

/* Likewise, when files came with the message. */
static noinline void let_go_with_files(struct symp_endpoint *ep,
				       struct symp_slice *s,
				       struct symp_lane *lane, u32 offset)
{
	symp_files_settled(ep, offset);
	let_go(ep, s, lane, offset);
}

/* The kernel lets go of a slice; @lane is charged for it, or NULL. */
void symp_slice_let_go(struct symp_endpoint *ep, struct symp_lane *lane,
		       u32 offset)
{
	struct symp_slice *s = symp_pool_slice(ep->pool, offset);

	lockdep_assert_held(&ep->lock);
	if (unlikely(s->files))
		let_go_with_files(ep, s, lane, offset);
	else
		let_go(ep, s, lane, offset);
}

static __always_inline int release(struct symp_endpoint *ep,
				   struct symp_slice *s, u32 offset)
{
	s->user = 0;
	if (!s->kernel)
		symp_room_free(ep, s->owner, offset);
	return 0;
}

/* Likewise, when files came with the message. */
static noinline int release_with_files(struct symp_endpoint *ep,
				       struct symp_slice *s, u32 offset)
{
	symp_files_released(ep, offset);
	return release(ep, s, offset);
}

/* The process lets go of what it says is a message. */
int symp_slice_release(struct symp_endpoint *ep, u32 offset)
{
	struct symp_slice *s = symp_pool_find(ep->pool, offset, SYMP_INSIDE);

	lockdep_assert_held(&ep->lock);
	if (!s || !s->user)
		return -EINVAL;
	return unlikely(s->files) ? release_with_files(ep, s, offset) :
				    release(ep, s, offset);
}

/*
 * The process now has the message. Returns the call that it was the last of, for
 * symp_call_received() when the lock is dropped, or NULL.
 */
static struct symp_call *take(struct symp_endpoint *ep, struct symp_item *item)
{
	struct symp_slice *s = symp_pool_slice(ep->pool, item->offset);
	struct symp_call *call;

	switch (s->kind) {
	case SYMP_REQUEST:
		call = container_of(item, struct symp_call, request);
		trace_symphony_call_received(call);
		s->user = 1;
		if (unlikely(call->oneway)) {
			symp_call_detach(call);
			call->queued = false;
			s->kernel = 0;
			s->owner = call->lane;
			return call;
		}
		symp_call_taken(call, ep);
		return NULL;
	case SYMP_ANSWER:
		call = container_of(item, struct symp_call, answer);
		symp_call_fetched(call);
		return call;
	case SYMP_CANCELLED:
		s->user = 1;
		s->kernel = 0;
		symp_notice_cancelled_taken(ep);
		return container_of(item, struct symp_call, request);
	default:
		s->user = 1;
		s->kernel = 0;
		symp_notice_taken(ep, container_of(item, struct symp_notice, item));
		return NULL;
	}
}

static void receiver_done(struct symp_receiver *r, u32 offset,
			  struct symp_call *call, bool handoff)
{
	struct task_struct *task = r->task;

	r->offset = offset;
	r->call = call;
	guard(rcu)();
	/* Pairs with the acquire in symp_sleep(). */
	smp_store_release(&r->done, true);
	symp_wake(task, handoff);
}

static void lane_busy(struct symp_endpoint *ep, struct symp_lane *lane)
{
	struct symp_tenant *tenant = lane->tenant;

	if (list_empty(&tenant->lanes))
		list_add_tail(&tenant->busy, &ep->fresh);
	list_add_tail(&lane->busy, &tenant->lanes);
}

static void lane_idle(struct symp_endpoint *ep, struct symp_lane *lane)
{
	list_del_init(&lane->busy);
	if (list_empty(&lane->tenant->lanes))
		list_del(&lane->tenant->busy);
	symp_lane_less(ep, lane);
}

/**
 * symp_queue_push() - a message for an endpoint
 * @ep: the endpoint, alive, its lock held
 * @lane: the lane it comes by
 * @item: the message, its slice filled
 * @handoff: the current task is about to sleep until it is dealt with
 */
void symp_queue_push(struct symp_endpoint *ep, struct symp_lane *lane,
		     struct symp_item *item, bool handoff)
{
	u32 offset = item->offset;
	struct symp_receiver *r;

	lockdep_assert_held(&ep->lock);
	r = list_first_entry_or_null(&ep->receivers, struct symp_receiver, node);
	if (r) {
		/* First: taking can free room, and that tell it a notice. */
		list_del(&r->node);
		receiver_done(r, offset, take(ep, item), handoff);
		return;
	}
	if (list_empty(&lane->queue))
		lane_busy(ep, lane);
	list_add_tail(&item->node, &lane->queue);
	ep->queued++;
	if (unlikely(!list_empty(&ep->commands)))
		symp_uring_wake_one(ep);
	if (wq_has_sleeper(&ep->poll))
		wake_up_poll(&ep->poll, EPOLLIN | EPOLLRDNORM);
}

/* Take back a request that nobody received, from a queue or from the parked. */
void symp_queue_remove(struct symp_endpoint *ep, struct symp_call *call)
{
	struct symp_lane *lane = call->lane;

	lockdep_assert_held(&ep->lock);
	list_del(&call->request.node);
	ep->queued--;
	if (call->park)
		symp_service_unpark(call->service);
	if (list_empty(&lane->queue) && !list_empty(&lane->busy))
		lane_idle(ep, lane);
}

bool symp_queue_is_empty(const struct symp_endpoint *ep)
{
	return list_empty(&ep->fresh) && list_empty(&ep->busy);
}

/* Whose turn it is. */
static struct symp_tenant *next_tenant(struct symp_endpoint *ep)
{
	bool fresh;

	/* Of a request comes one notice at most: every second turn keeps up. */
	ep->own_before = !ep->own_before && !list_empty(&ep->own.lanes);
	if (ep->own_before)
		return &ep->own;
	fresh = !list_empty(&ep->fresh) &&
		(!ep->fresh_before || list_empty(&ep->busy));
	ep->fresh_before = fresh;
	return list_first_entry_or_null(fresh ? &ep->fresh : &ep->busy,
					struct symp_tenant, busy);
}

static struct symp_item *pop(struct symp_endpoint *ep)
{
	struct symp_tenant *tenant = next_tenant(ep);
	struct symp_item *item;
	struct symp_lane *lane;

	if (!tenant)
		return NULL;
	lane = list_first_entry(&tenant->lanes, struct symp_lane, busy);
	item = list_first_entry(&lane->queue, struct symp_item, node);
	list_del(&item->node);
	ep->queued--;
	if (list_empty(&lane->queue))
		lane_idle(ep, lane);
	else if (!list_is_last(&lane->busy, &tenant->lanes))
		list_move_tail(&lane->busy, &tenant->lanes);
	if (!list_empty(&tenant->lanes) &&
	    !list_is_last(&tenant->busy, &ep->busy))
		list_move_tail(&tenant->busy, &ep->busy);
	return item;
}

static void wake_receivers(struct symp_endpoint *ep)
{
	struct symp_receiver *r, *next;

	lockdep_assert_held(&ep->lock);
	list_for_each_entry_safe(r, next, &ep->receivers, node) {
		list_del(&r->node);
		receiver_done(r, SYMPHONY_NO_OFFSET, NULL, false);
	}
}

/* The endpoint dies: its threads in RECV return. */
void symp_queue_end_receivers(struct symp_endpoint *ep)
{
	wake_receivers(ep);
	symp_uring_wake_all(ep);
}

/**
 * symp_queue_stop() - no thread waits in RECV, or threads may again
 * @ep: the current process's endpoint
 * @stop: those that wait return, and none begins to wait
 *
 * A state rather than a wake-up, because a thread that is about to wait cannot be
 * woken yet. Return: 0 or -ESHUTDOWN.
 */
int symp_queue_stop(struct symp_endpoint *ep, bool stop)
{
	guard(spinlock)(&ep->lock);
	if (ep->dead)
		return -ESHUTDOWN;
	ep->stopped = stop;
	if (stop)
		wake_receivers(ep);
	return 0;
}

/*
 * Take up to @max messages that are there, at most SYMP_RECEIVE_CHUNK. Releases the
 * endpoint's lock.
 */
static __always_inline u32 receive_queued(struct symp_endpoint *ep, u32 *offsets, u32 max)
	__releases(&ep->lock)
{
	struct symp_call *calls[SYMP_RECEIVE_CHUNK], *call;
	u32 nr = 0, nr_calls = 0;
	struct symp_item *item;

	while (nr < max && (item = pop(ep))) {
		offsets[nr++] = item->offset;
		call = take(ep, item);
		if (call)
			calls[nr_calls++] = call;
	}
	spin_unlock(&ep->lock);
	while (nr_calls)
		symp_call_received(calls[--nr_calls]);
	return nr;
}

/**
 * symp_queue_take_locked() - take messages that are there
 * @ep: the current process's endpoint, alive, its lock held; released here
 * @offsets: (out) of what was taken
 * @max: how many at most, up to SYMP_RECEIVE_CHUNK
 *
 * Return: how many.
 */
u32 symp_queue_take_locked(struct symp_endpoint *ep, u32 *offsets, u32 max)
	__releases(&ep->lock)
{
	return receive_queued(ep, offsets, max);
}

/* Sleep until a message is handed over. Releases the endpoint's lock. */
static __always_inline int receive_handed(struct symp_endpoint *ep, u32 *offset, u64 deadline)
	__releases(&ep->lock)
{
	struct symp_receiver r = { .task = current };
	int err;

	if (unlikely(ep->stopped)) {
		spin_unlock(&ep->lock);
		return -ECANCELED;
	}
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
	if (r.call)
		symp_call_received(r.call);
	*offset = r.offset;
	if (likely(r.offset != SYMPHONY_NO_OFFSET))
		return 1;
	return READ_ONCE(ep->dead) ? -ESHUTDOWN : -ECANCELED;
}

/**
 * symp_queue_receive_locked() - take messages
 * @ep: the current process's endpoint, its lock held; released here
 * @how: how many, how long, where to
 *
 * What was taken belongs to the process even if the address in @how went bad
 * meanwhile: it was checked before.
 * Return: how many, or -ESHUTDOWN, -EAGAIN, -ETIMEDOUT, -ERESTARTSYS, -EFAULT,
 * -ECANCELED.
 */
int symp_queue_receive_locked(struct symp_endpoint *ep,
			      const struct symp_receive *how)
	__releases(&ep->lock)
{
	u32 got[SYMP_RECEIVE_CHUNK], i;
	int n, nr = 0;

	for (;;) {
		if (ep->dead) {
			n = -ESHUTDOWN;
			spin_unlock(&ep->lock);
		} else if (!symp_queue_is_empty(ep)) {
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
		/* Others may have come before this thread woke up. */
		if (nr == how->max || symp_queue_is_empty(ep))
			return nr;
		cond_resched();
		spin_lock(&ep->lock);
	}
}
