// SPDX-License-Identifier: GPL-2.0-only
/*
 * Room: who holds how much of an endpoint's pool, and who waits for some.
 *
 * Every endpoint that sends here has a lane, every user whose endpoints do is a
 * tenant. A sender may take from what is free, but never so much that nothing
 * would be left for one more: with n senders that hold something, one holds at
 * most 1/(n+1) of what is free and its own ("dynamic thresholds", Choudhury and
 * Hahne, IEEE/ACM ToN 6(2), 1998; bus1 counted its quotas so). For a lane the
 * senders are the lanes of its tenant and the other tenants; a tenant may have
 * one and a half times such a part of its own, so that its second lane finds
 * room where the first took all it could, and other users do too.
 *
 * A sender that finds no room waits on its lane, and the one that frees room
 * allocates for it: on a lane, whoever waited is served before whoever comes.
 * Senders never wait for each other's turn: a large request that does not fit
 * holds back its own sender only.
 */
#include <linux/rbtree.h>
#include <linux/slab.h>

#include "bus.h"
#include "call.h"
#include "chore.h"
#include "compat.h"
#include "endpoint.h"
#include "ledger.h"
#include "limits.h"
#include "move.h"
#include "notice.h"
#include "queue.h"

/* Lanes to look at under one hold of the lock when room was freed. */
#define GRANT_TRIES	4

void symp_tenant_init(struct symp_tenant *tenant)
{
	INIT_LIST_HEAD(&tenant->lanes);
	INIT_LIST_HEAD(&tenant->hungry);
	INIT_LIST_HEAD(&tenant->looked);
	INIT_LIST_HEAD(&tenant->starved);
}

void symp_lane_init(struct symp_lane *lane, struct symp_tenant *tenant)
{
	lane->tenant = tenant;
	INIT_LIST_HEAD(&lane->queue);
	INIT_LIST_HEAD(&lane->busy);
	INIT_LIST_HEAD(&lane->waiting);
	INIT_LIST_HEAD(&lane->hungry);
	INIT_LIST_HEAD(&lane->sent);
}

static int tenant_cmp(struct rb_node *node, const struct rb_node *other)
{
	kuid_t a = rb_entry(node, struct symp_tenant, node)->user;
	kuid_t b = rb_entry(other, struct symp_tenant, node)->user;

	return uid_lt(a, b) ? -1 : uid_gt(a, b);
}

static void tenant_put(struct symp_endpoint *ep, struct symp_tenant *tenant)
{
	if (--tenant->nr_lanes)
		return;
	rb_erase(&tenant->node, &ep->tenants);
	kfree(tenant);
}

/* It counts for its sender no more. */
static void lane_uncharge(struct symp_lane *lane)
{
	symp_account_uncharge(lane->account, SYMP_RECORDS, 1);
	symp_account_put(lane->account);
}

static void lane_free(struct symp_endpoint *ep, struct symp_lane *lane)
{
	lockdep_assert_held(&ep->lock);
	tenant_put(ep, lane->tenant);
	lane_uncharge(lane);
	kfree(lane);
}

/* If @lane's sender is dead and has nothing here, the lane goes. */
void symp_lane_tidy(struct symp_endpoint *ep, struct symp_lane *lane)
{
	lockdep_assert_held(&ep->lock);
	if (ep->dead || lane->held || lane->coming || !list_empty(&lane->waiting))
		return;
	xa_erase(&ep->lanes, lane->sender.endpoint);
	lane_free(ep, lane);
}

/* The sender's death finds @lane, or @lane finds it dead: a move of its makes it. */
static void lane_link(struct symp_lane *lane, struct symp_endpoint *sender)
{
	guard(spinlock)(&sender->bus->watch_lock);
	if (sender->unwatchable)
		return;
	lane->held++;
	list_add(&lane->sent, &sender->sent);
}

/*
 * Put @lane, whose place in the table is reserved and which is charged for, where
 * it is found. It is taken, or another is there.
 */
static struct symp_lane *lane_add(struct symp_endpoint *receiver,
				  struct symp_endpoint *sender,
				  struct symp_lane **lane,
				  struct symp_tenant **tenant)
{
	struct symp_lane *there;
	struct rb_node *node;
	int err;

	guard(spinlock)(&receiver->lock);
	if (receiver->dead)
		return ERR_PTR(-ESHUTDOWN);
	there = xa_load(&receiver->lanes, sender->id);
	/* Another thread of the sender was faster. */
	if (there)
		return there;
	err = xa_err(xa_store(&receiver->lanes, sender->id, *lane, GFP_NOWAIT));
	if (err)
		return ERR_PTR(err);
	(*tenant)->user = sender->user;
	node = rb_find_add(&(*tenant)->node, &receiver->tenants, tenant_cmp);
	there = no_free_ptr(*lane);
	symp_lane_init(there, node ? rb_entry(node, struct symp_tenant, node) :
				     no_free_ptr(*tenant));
	there->tenant->nr_lanes++;
	there->account = symp_account_get(sender->account);
	there->to = receiver;
	symp_endpoint_identify(sender, receiver, &there->sender);
	symp_endpoint_identify(receiver, sender, &there->receiver);
	lane_link(there, sender);
	return there;
}

static struct symp_lane *lane_make(struct symp_endpoint *receiver,
				   struct symp_endpoint *sender, bool *made)
{
	struct symp_tenant *tenant __free(kfree) = NULL;
	struct symp_lane *lane __free(kfree) = NULL;
	struct symp_lane *there;

	lane = kzalloc(sizeof(*lane), GFP_KERNEL_ACCOUNT);
	tenant = kzalloc(sizeof(*tenant), GFP_KERNEL_ACCOUNT);
	if (!lane || !tenant ||
	    xa_reserve(&receiver->lanes, sender->id, GFP_KERNEL_ACCOUNT))
		return ERR_PTR(-ENOMEM);
	symp_tenant_init(tenant);
	there = lane_add(receiver, sender, &lane, &tenant);
	*made = !lane;
	return there;
}

/**
 * symp_lane_get() - a sender's lane, made when it is not there
 * @receiver: where it sends to, referenced
 * @sender: who sends, referenced; charged for a lane that is made
 * @limit: (out) with -EDQUOT
 *
 * May sleep. Return: the lane, which stays while @sender lives or has a call
 * without an outcome that is not one-way, and @receiver lives; or an ERR_PTR of
 * -ENOMEM, -EDQUOT, -ESHUTDOWN (@receiver is dead).
 */
struct symp_lane *symp_lane_get(struct symp_endpoint *receiver,
				struct symp_endpoint *sender,
				enum symphony_limit *limit)
{
	struct symp_lane *lane = xa_load(&receiver->lanes, sender->id);
	bool made = false;
	int err;

	if (likely(lane))
		return lane;
	/* A move is a chore, which does not wait for other chores of its user. */
	err = current->flags & PF_KTHREAD ?
		symp_account_charge(sender->account, SYMP_RECORDS, 1) :
		symp_account_charge_patiently(sender->account, SYMP_RECORDS, 1);
	if (err) {
		*limit = SYMPHONY_LIMIT_USER_RECORDS;
		return ERR_PTR(err);
	}
	lane = lane_make(receiver, sender, &made);
	if (!made)
		symp_account_uncharge(sender->account, SYMP_RECORDS, 1);
	return lane;
}

/**
 * symp_lane_farewell() - tell an endpoint that a sender is gone
 * @ep: the endpoint, alive, its lock held
 * @notice: the GONE
 *
 * It comes after what the sender had sent: after the requests on its lane and
 * those that move there, and so after them, by the home lane, where the sender's
 * answers are.
 */
void symp_lane_farewell(struct symp_endpoint *ep, struct symp_notice *notice)
{
	struct symp_lane *lane = xa_load(&ep->lanes, notice->about.endpoint);

	lockdep_assert_held(&ep->lock);
	if (!lane) {
		symp_notice_push(ep, notice);
		return;
	}
	lane->farewell = notice;
	symp_lane_tell_farewell(ep, lane);
}

/**
 * symp_lanes_bury() - those who sent to a dead endpoint have no record there more
 * @ep: is dead, and nobody waits for room there or has something queued
 * @max: how many of them
 *
 * What they count for is given back. The memory goes with the pool. Return:
 * whether these were all; there will be no more.
 */
bool symp_lanes_bury(struct symp_endpoint *ep, u32 max)
{
	struct symp_lane *lane;
	unsigned long sender;

	xa_for_each(&ep->lanes, sender, lane) {
		if (!max--)
			return false;
		xa_erase(&ep->lanes, sender);
		scoped_guard(spinlock, &ep->bus->watch_lock)
			list_del_init(&lane->sent);
		if (lane->farewell)
			symp_notice_free(ep, no_free_ptr(lane->farewell));
		tenant_put(ep, lane->tenant);
		lane_uncharge(lane);
		list_add(&lane->sent, &ep->pool->buried);
	}
	return true;
}

/* What keeps @lane from having @granules more; see the top of this file. */
static __always_inline enum symphony_limit
refusal(struct symp_endpoint *ep, struct symp_lane *lane, u32 granules, u32 soon)
{
	struct symp_tenant *tenant = lane->tenant;
	u32 tenants = ep->holders + !tenant->granules;
	u32 lanes = tenant->holders + !lane->granules;
	u32 free = ep->pool->free + soon;

	if (lane->held > READ_ONCE(symp_queue_max))
		return SYMPHONY_LIMIT_QUEUE;
	/* Nobody else is here, and the largest body might wait for ever. */
	if (!ep->holders && granules <= ep->pool->nr / 2)
		return SYMPHONY_LIMIT_NONE;
	if ((u64)(lane->granules + granules) * (tenants + lanes) >
	    free + lane->granules)
		return SYMPHONY_LIMIT_SHARE;
	if (2 * (u64)(tenant->granules + granules) * (tenants + 1) >
	    3 * (u64)(free + tenant->granules))
		return SYMPHONY_LIMIT_USER_SHARE;
	return SYMPHONY_LIMIT_NONE;
}

/**
 * symp_room_take() - room for a sender, if it may have it
 * @ep: whose pool, its lock held
 * @lane: the sender's lane there
 * @granules: how much
 * @kind: enum symp_kind
 * @soon: granules that will be free when these are in use
 *
 * Return: the slice's offset or SYMPHONY_NO_OFFSET.
 */
u32 symp_room_take(struct symp_endpoint *ep, struct symp_lane *lane,
		   u32 granules, u32 kind, u32 soon)
{
	struct symp_tenant *tenant = lane->tenant;
	u32 offset;

	lockdep_assert_held(&ep->lock);
	if (refusal(ep, lane, granules, soon))
		return SYMPHONY_NO_OFFSET;
	offset = symp_pool_alloc(ep->pool, granules, kind);
	if (offset == SYMPHONY_NO_OFFSET)
		return offset;
	ep->holders += !tenant->granules;
	tenant->holders += !lane->granules;
	tenant->granules += granules;
	lane->granules += granules;
	lane->held++;
	return offset;
}

static void give_back(struct symp_endpoint *ep, struct symp_lane *lane,
		      u32 granules)
{
	struct symp_tenant *tenant = lane->tenant;

	lane->held--;
	lane->granules -= granules;
	tenant->granules -= granules;
	tenant->holders -= !lane->granules;
	ep->holders -= !tenant->granules;
}

/*
 * Who waits for room. A lane with waiters is hungry, and on one of two lists of
 * its tenant: the hungry, who are owed a look because room was freed, and the
 * looked at, for whom it was not enough. So is a tenant, on one of two lists of
 * the endpoint. Whenever something is freed all are owed a look: the endpoint's
 * lists become one at once, a tenant's when its turn comes (@looked_at).
 */
static void waiter_add(struct symp_endpoint *ep, struct symp_lane *lane,
		       struct symp_room_waiter *w)
{
	struct symp_tenant *tenant = lane->tenant;

	if (list_empty(&lane->waiting)) {
		if (list_empty(&tenant->hungry) && list_empty(&tenant->looked)) {
			tenant->looked_at = ep->freed;
			list_add_tail(&tenant->starved, &ep->looked);
		}
		list_add_tail(&lane->hungry, &tenant->looked);
		ep->nr_hungry++;
	}
	/* Who only wants to know is given nothing: nobody waits behind it. */
	list_add_tail(&w->node, lane->notifying ? lane->waiting.prev :
						  &lane->waiting);
}

static void waiter_del(struct symp_endpoint *ep, struct symp_lane *lane,
		       struct symp_room_waiter *w)
{
	struct symp_tenant *tenant = lane->tenant;

	list_del_init(&w->node);
	symp_lane_less(ep, lane);
	if (!list_empty(&lane->waiting))
		return;
	list_del_init(&lane->hungry);
	ep->nr_hungry--;
	if (list_empty(&tenant->hungry) && list_empty(&tenant->looked))
		list_del_init(&tenant->starved);
}

/* Does somebody wait on @lane who is to be given room? */
static bool has_queue(const struct symp_lane *lane)
{
	return !list_empty(&lane->waiting) &&
	       !(lane->notifying && list_is_singular(&lane->waiting));
}

/* Tell that the sender is gone, unless something of it is still to come. */
void symp_lane_tell_farewell(struct symp_endpoint *ep, struct symp_lane *lane)
{
	lockdep_assert_held(&ep->lock);
	if (!ep->dead && list_empty(&lane->queue) && !has_queue(lane) &&
	    !lane->coming)
		symp_notice_push(ep, no_free_ptr(lane->farewell));
}

static void waiter_done(struct symp_endpoint *ep, struct symp_lane *lane,
			struct symp_room_waiter *w, u32 offset)
{
	struct task_struct *task = w->task;

	/* First: what waits behind the sender's GONE is looked at. */
	lane->coming += w->chore && offset != SYMPHONY_NO_OFFSET;
	if (w->look)
		lane->notifying = false;
	waiter_del(ep, lane, w);
	w->offset = offset;
	if (w->chore) {
		w->done = true;
		symp_chore_start(w->chores, w->chore);
		return;
	}
	guard(rcu)();
	/* Pairs with the acquire in symp_sleep(). */
	smp_store_release(&w->done, true);
	symp_wake(task, false);
}

/* Is there room for the first that waits on @lane? Then it has it. */
static bool grant_one(struct symp_endpoint *ep, struct symp_lane *lane)
{
	struct symp_room_waiter *w;
	u32 offset;

	w = list_first_entry(&lane->waiting, struct symp_room_waiter, node);
	offset = symp_room_take(ep, lane, w->granules, SYMP_REQUEST, 0);
	if (offset == SYMPHONY_NO_OFFSET)
		return false;
	if (w->look) {
		give_back(ep, lane, w->granules);
		symp_pool_free(ep->pool, offset);
		offset = SYMPHONY_NO_OFFSET;
	}
	waiter_done(ep, lane, w, offset);
	return true;
}

/* Look at one of @tenant's lanes. False: none of them is owed a look. */
static bool grant_tenant(struct symp_endpoint *ep, struct symp_tenant *tenant)
{
	struct symp_lane *lane;

	if (tenant->looked_at != ep->freed) {
		tenant->looked_at = ep->freed;
		list_splice_tail_init(&tenant->looked, &tenant->hungry);
	}
	lane = list_first_entry_or_null(&tenant->hungry, struct symp_lane, hungry);
	if (!lane)
		return false;
	if (!grant_one(ep, lane))
		list_move_tail(&lane->hungry, &tenant->looked);
	else if (!list_empty(&lane->waiting))
		list_move_tail(&lane->hungry, &tenant->hungry);
	return true;
}

/*
 * Look at those who are owed it, users and their endpoints in turn. A crowd that
 * waits is not looked at under one hold of the lock: work goes on.
 */
static void grant(struct symp_endpoint *ep)
{
	struct symp_tenant *tenant;
	u32 tries;

	lockdep_assert_held(&ep->lock);
	for (tries = 0; !list_empty(&ep->starved); tries++) {
		if (tries == GRANT_TRIES) {
			symp_endpoint_get(ep);
			if (!symp_chore_start(ep->account->chores, &ep->look))
				symp_endpoint_put(ep);
			return;
		}
		tenant = list_first_entry(&ep->starved, struct symp_tenant,
					  starved);
		if (!grant_tenant(ep, tenant))
			list_move_tail(&tenant->starved, &ep->looked);
		else if (!list_empty(&tenant->starved))
			list_move_tail(&tenant->starved, &ep->starved);
	}
}

/* Goes on where grant() ended. */
void symp_room_look(struct symp_chore *chore)
{
	struct symp_endpoint *ep = container_of(chore, struct symp_endpoint, look);

	scoped_guard(spinlock, &ep->lock)
		if (!ep->dead)
			grant(ep);
	symp_endpoint_put(ep);
}

/* @w gives up, and no longer stands in front of those behind it. */
void symp_room_leave(struct symp_endpoint *ep, struct symp_lane *lane,
		     struct symp_room_waiter *w)
{
	lockdep_assert_held(&ep->lock);
	waiter_del(ep, lane, w);
	if (ep->dead)
		return;
	if (list_empty(&lane->waiting)) {
		symp_lane_tidy(ep, lane);
		return;
	}
	list_move(&lane->hungry, &lane->tenant->hungry);
	list_move(&lane->tenant->starved, &ep->starved);
	grant(ep);
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
 * @limit: (out) what was in the way
 *
 * Return: 0; 1 after a wait; -ESHUTDOWN, -EMSGSIZE, -EAGAIN, -ETIME (the deadline), -ERESTARTSYS,
 * -ECANCELED (@call is done).
 */
int symp_room_reserve(struct symp_endpoint *ep, struct symp_lane *lane,
		      u32 granules, struct symp_call *call, bool wait,
		      u32 *offset, struct symp_pool **pool,
		      enum symphony_limit *limit)
{
	struct symp_room_waiter w;
	int err = 0;

	spin_lock(&ep->lock);
	if (ep->dead || ep->epoch != call->epoch) {
		err = -ESHUTDOWN;
		goto out;
	}
	if (granules > ep->pool->nr / 2) {
		*limit = SYMPHONY_LIMIT_BODY;
		err = -EMSGSIZE;
		goto out;
	}
	*offset = SYMPHONY_NO_OFFSET;
	if (!has_queue(lane))
		*offset = symp_room_take(ep, lane, granules, SYMP_REQUEST, 0);
	if (*offset != SYMPHONY_NO_OFFSET)
		goto out;
	if (!wait) {
		*limit = refusal(ep, lane, granules, 0) ?: SYMPHONY_LIMIT_ROOM;
		err = -EAGAIN;
		goto out;
	}
	w = (struct symp_room_waiter){
		.task = current,
		.granules = granules,
	};
	waiter_add(ep, lane, &w);
	spin_unlock(&ep->lock);

	err = symp_sleep(&w.done, &call->done, call->deadline);

	spin_lock(&ep->lock);
	if (w.done) {
		*offset = w.offset;
		err = ep->dead || w.offset == SYMPHONY_NO_OFFSET ? -ESHUTDOWN : 1;
	} else {
		symp_room_leave(ep, lane, &w);
		if (err == -ETIMEDOUT)
			err = -ETIME;
		err = err ?: -ECANCELED;
	}
out:
	if (err >= 0)
		*pool = symp_pool_get(ep->pool);
	spin_unlock(&ep->lock);
	return err;
}

/**
 * symp_room_or_wait() - room now, or a chore that is started when there is some
 * @ep: whose pool, alive, its lock held
 * @lane: the sender's lane there
 * @w: how much, and the chore
 *
 * Return: 0 with @w->offset, -EINPROGRESS, -EMSGSIZE. When the chore runs,
 * @w->offset is the room, then one of @lane->coming, or SYMPHONY_NO_OFFSET if @ep
 * serves no more.
 */
int symp_room_or_wait(struct symp_endpoint *ep, struct symp_lane *lane,
		      struct symp_room_waiter *w)
{
	lockdep_assert_held(&ep->lock);
	if (w->granules > ep->pool->nr / 2)
		return -EMSGSIZE;
	w->done = false;
	w->offset = SYMPHONY_NO_OFFSET;
	if (!has_queue(lane))
		w->offset = symp_room_take(ep, lane, w->granules, SYMP_REQUEST, 0);
	if (w->offset == SYMPHONY_NO_OFFSET) {
		waiter_add(ep, lane, w);
		return -EINPROGRESS;
	}
	if (!lane->coming)
		return 0;
	/* Behind those that waited: their chores were started before. */
	w->done = true;
	lane->coming++;
	symp_chore_start(w->chores, w->chore);
	return -EINPROGRESS;
}

/* A sender's wish to hear of room, on its lane or on its way to be told. */
struct room_notice {
	struct symp_room_waiter room;
	struct symp_chore chore;
	struct symp_endpoint *sender;
	struct symp_notice *notice;
};

static struct room_notice *room_notice_alloc(struct symp_call *call)
{
	struct symp_endpoint *sender = call->caller;
	struct room_notice *rn;

	rn = kzalloc(sizeof(*rn), GFP_KERNEL_ACCOUNT);
	if (!rn)
		return NULL;
	rn->notice = symp_notice_alloc(SYMPHONY_MSG_ROOM, call->server, sender,
				       call->handle, call->cookie);
	if (!rn->notice) {
		kfree(rn);
		return NULL;
	}
	symp_endpoint_get(sender);
	rn->sender = sender;
	return rn;
}

/* With its notice, if that was not pushed. */
static void room_notice_free(struct room_notice *rn)
{
	if (rn->notice)
		symp_notice_free(rn->sender, rn->notice);
	symp_endpoint_put(rn->sender);
	kfree(rn);
}

static void room_notice_tell(struct symp_chore *chore)
{
	struct room_notice *rn = container_of(chore, struct room_notice, chore);
	struct symp_endpoint *sender = rn->sender;

	scoped_guard(spinlock, &sender->lock)
		/* It has none when another one waits already. */
		if (!sender->dead && rn->notice)
			symp_notice_push(sender, no_free_ptr(rn->notice));
	room_notice_free(rn);
}

static bool has_room(struct symp_endpoint *ep, struct symp_lane *lane,
		     u32 granules)
{
	u32 offset = symp_room_take(ep, lane, granules, SYMP_REQUEST, 0);

	if (offset == SYMPHONY_NO_OFFSET)
		return false;
	give_back(ep, lane, granules);
	symp_pool_free(ep->pool, offset);
	return true;
}

/**
 * symp_room_notify() - tell a sender when there is room, once
 * @call: what found none at its server
 * @granules: how much it needs
 * @limit: (out) with -EDQUOT
 *
 * The wish outlives the call: it is charged like one, until its notice is received
 * or the sender dies. May sleep. Return: 0, also when the sender is to be told
 * already; -ENOMEM; -EDQUOT.
 */
int symp_room_notify(struct symp_call *call, u32 granules,
		     enum symphony_limit *limit)
{
	struct symp_account *account = call->caller->account;
	struct symp_endpoint *ep = call->server;
	struct symp_lane *lane = call->lane;
	struct room_notice *rn;
	bool wait = false;

	if (symp_account_charge(account, SYMP_CALLS, 1)) {
		*limit = SYMPHONY_LIMIT_USER_CALLS;
		return -EDQUOT;
	}
	rn = room_notice_alloc(call);
	if (!rn) {
		symp_account_uncharge(account, SYMP_CALLS, 1);
		return -ENOMEM;
	}
	symp_chore_init(&rn->chore, room_notice_tell);
	rn->room.chore = &rn->chore;
	rn->room.chores = account->chores;
	rn->room.look = true;
	rn->room.granules = granules;

	scoped_guard(spinlock, &ep->lock) {
		if (ep->dead || ep->epoch != call->epoch ||
		    (!has_queue(lane) && has_room(ep, lane, granules)))
			break;
		if (lane->notifying) {
			symp_notice_free(call->caller, no_free_ptr(rn->notice));
			break;
		}
		waiter_add(ep, lane, &rn->room);
		lane->notifying = true;
		wait = true;
	}
	if (!wait)
		room_notice_tell(&rn->chore);
	return 0;
}

/* The wish of a sender that is dead, which nobody is to be told of. */
static struct room_notice *wish_take(struct symp_endpoint *ep,
				     struct symp_lane *lane)
{
	struct symp_room_waiter *w;

	if (!lane->notifying)
		return NULL;
	w = list_last_entry(&lane->waiting, struct symp_room_waiter, node);
	lane->notifying = false;
	waiter_del(ep, lane, w);
	return container_of(w, struct room_notice, room);
}

/* The sender @id is dead: its lane at @ep goes, at once or when it is empty. */
static void lane_sender_died(struct symp_endpoint *ep, u64 id)
{
	struct room_notice *wish = NULL;
	struct symp_lane *lane;

	scoped_guard(spinlock, &ep->lock) {
		/* Then its lanes are buried, or will be. */
		if (ep->dead)
			break;
		lane = xa_load(&ep->lanes, id);
		lane->held--;
		wish = wish_take(ep, lane);
		symp_lane_tidy(ep, lane);
	}
	if (wish)
		room_notice_free(wish);
}

/* A receiver that @ep has a lane at, which is taken off the list. Referenced. */
static struct symp_endpoint *sent_take(struct symp_endpoint *ep)
{
	struct symp_lane *lane;

	guard(spinlock)(&ep->bus->watch_lock);
	lane = list_first_entry_or_null(&ep->sent, struct symp_lane, sent);
	if (!lane)
		return NULL;
	list_del_init(&lane->sent);
	/* It is there: its own death takes the lane off before it ends. */
	symp_endpoint_get(lane->to);
	return lane->to;
}

/**
 * symp_lanes_sender_died() - what an endpoint has at others goes
 * @ep: is dead, and @unwatchable
 * @max: at how many of them
 *
 * May sleep. Return: whether these were all; there will be no more.
 */
bool symp_lanes_sender_died(struct symp_endpoint *ep, u32 max)
{
	struct symp_endpoint *to;

	while (max--) {
		to = sent_take(ep);
		if (!to)
			return true;
		lane_sender_died(to, ep->id);
		symp_endpoint_put(to);
	}
	return false;
}

/* Free a slice that nobody holds; @lane is charged for it, or NULL. */
void symp_room_free(struct symp_endpoint *ep, struct symp_lane *lane, u32 offset)
{
	lockdep_assert_held(&ep->lock);
	if (lane) {
		give_back(ep, lane, symp_pool_slice(ep->pool, offset)->len);
		if (unlikely(!lane->held))
			symp_lane_tidy(ep, lane);
	}
	symp_pool_free(ep->pool, offset);
	if (unlikely(ep->nr_hungry)) {
		ep->freed++;
		list_splice_tail_init(&ep->looked, &ep->starved);
		grant(ep);
	}
	if (!list_empty(&ep->untold))
		symp_notice_retry(ep);
}

static void end_wait(struct symp_endpoint *ep, struct symp_lane *lane)
{
	waiter_done(ep, lane,
		    list_first_entry(&lane->waiting, struct symp_room_waiter, node),
		    SYMPHONY_NO_OFFSET);
	symp_lane_tidy(ep, lane);
}

/*
 * The endpoint died, or stopped serving something: who waits for room returns.
 * Return: whether these were all; at most @max return.
 */
bool symp_room_end_waits(struct symp_endpoint *ep, u32 max)
{
	struct symp_tenant *tenant;

	lockdep_assert_held(&ep->lock);
	list_splice_tail_init(&ep->looked, &ep->starved);
	while ((tenant = list_first_entry_or_null(&ep->starved,
						  struct symp_tenant, starved))) {
		if (!max--)
			return false;
		list_splice_tail_init(&tenant->looked, &tenant->hungry);
		end_wait(ep, list_first_entry(&tenant->hungry, struct symp_lane,
					      hungry));
	}
	return true;
}
