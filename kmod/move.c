// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move: a request goes to another replica than the one it was sent to.
 *
 * Because that one died (and the service's recovery says so), because another
 * took its place, or because the service was not up and now is. The request is
 * in nobody's queue then; it stands in the old pool, which stays for it, until
 * it is copied to the new one. Moves go by the same rules as calls do: the room
 * is the caller's share of the new pool, the outcome can come in between. Where
 * there is no room, the move waits on the caller's lane; the deadline, a cancel
 * and the caller's death end that wait (symp_call_finish()), and so does the
 * death of the new replica, upon which another one is chosen.
 *
 * All steps are chores of the sender's user, which are done in order: the order
 * of a sender's requests stays, unless their new replica stops serving while some
 * are on the way to it; and nothing here sleeps on anybody but the allocator.
 *
 * Who holds a move: the chore, or the lane of the new replica that it waits on
 * (call->moving, under that one's lock). Who takes it off the lane starts the
 * chore. The move has the reference to the call that the old pool had, one to
 * the old pool, and one to the old endpoint unless that is dead. An endpoint
 * whose service was taken over and that took it back finds there what had not
 * left yet.
 */
#include <linux/list_sort.h>
#include <linux/slab.h>

#include "bus.h"
#include "call.h"
#include "chore.h"
#include "endpoint.h"
#include "files.h"
#include "ledger.h"
#include "move.h"
#include "notice.h"
#include "route.h"
#include "service.h"
#include "stats.h"

struct symp_move {
	struct symp_chore chore;
	struct symp_call *call;
	struct symp_endpoint *from;
	struct symp_lane *lane;
	struct symp_pool *pool;
	u32 offset;
	struct symp_room_waiter room;
};

/* The old place is free. */
static void leave(struct symp_move *move)
{
	struct symp_endpoint *from = move->from;

	if (from) {
		scoped_guard(spinlock, &from->lock)
			if (!from->dead)
				symp_room_free(from, move->lane, move->offset);
		symp_endpoint_put(from);
	}
	symp_pool_put(move->pool);
}

/* Choose a replica, and have room there: 0, or -EINPROGRESS when that comes. */
static int move_reserve(struct symp_move *move)
{
	const struct symphony_msg *msg = symp_pool_msg(move->pool, move->offset);
	const struct symphony_call arg = {
		.method = msg->method,
		.key = msg->key,
		.body_len = msg->body_len,
		.content_type = msg->content_type,
	};
	struct symp_call *call = move->call;
	const struct symp_route_args args = {
		.call = call,
		.arg = &arg,
		.head = msg + 1,
		.head_len = min_t(u32, msg->body_len, SYMPHONY_PEEK_MAX),
		.moves = true,
	};
	enum symphony_limit limit;
	struct symp_endpoint *server;
	int err;

	err = symp_call_route(call, &args, &limit);
	if (err)
		return err;
	server = call->server;
	/* Back where it stands, it has its room; see move_deliver(). */
	if (server == move->from)
		return 0;
	guard(spinlock)(&server->lock);
	if (server->dead)
		return -ESHUTDOWN;
	/*
	 * The caller of a one-way call can be dead, and its lane gone since
	 * symp_call_route() found it. What it gets here keeps it.
	 */
	call->lane = xa_load(&server->lanes, call->caller->id);
	if (!call->lane)
		return -ESHUTDOWN;
	if (server->epoch != call->epoch)
		err = -ESHUTDOWN;
	else if (READ_ONCE(call->ending))
		err = -ECANCELED;
	else
		err = symp_room_or_wait(server, call->lane, &move->room);
	if (err == -EINPROGRESS)
		call->moving = &move->room;
	else if (err)
		symp_lane_tidy(server, call->lane);
	return err;
}

/* The request goes back to the endpoint that it has not left yet. */
static int move_back(struct symp_move *move)
{
	struct symp_call *call = move->call;
	int err;

	call->request.offset = move->offset;
	err = symp_call_attach(call, true);
	if (!err) {
		symp_endpoint_put(move->from);
		move->from = NULL;
	}
	return err;
}

/* There is room, or there will be none. */
static int move_deliver(struct symp_move *move)
{
	struct symp_call *call = move->call;
	struct symp_endpoint *server = call->server;
	struct symp_lane *lane = call->lane;
	bool waited = move->room.done;
	struct symphony_msg *msg;
	struct symp_pool *pool;
	int err;

	if (server == move->from)
		return move_back(move);
	scoped_guard(spinlock, &server->lock) {
		call->moving = NULL;
		/* Who ends the call, or the wait, gives no room. */
		if (server->dead || move->room.offset == SYMPHONY_NO_OFFSET)
			return -ESHUTDOWN;
		pool = symp_pool_get(server->pool);
	}
	/* Somebody can move the call on as soon as it is attached. */
	symp_endpoint_get(server);
	msg = symp_pool_msg(move->pool, move->offset);
	call->request.offset = move->room.offset;
	symp_pool_copy(symp_pool_msg(pool, call->request.offset), msg,
		       sizeof(*msg) + msg->body_len);
	symp_call_address(call, symp_pool_msg(pool, call->request.offset));
	symp_stats_request(&call->service->stats, msg->body_len);
	err = symp_call_attach(call, false);
	if (waited) {
		guard(spinlock)(&server->lock);
		/* This kept the lane, and if the server died, the pool did. */
		lane->coming--;
		symp_lane_less(server, lane);
		symp_lane_tidy(server, lane);
	}
	symp_pool_put(pool);
	symp_endpoint_put(server);
	return err;
}

static void move_step(struct symp_chore *chore)
{
	struct symp_move *move = container_of(chore, struct symp_move, chore);
	struct symp_call *call = move->call;
	int err;

	err = move->room.done ? move_deliver(move) : -ESHUTDOWN;
	if (err == -ESHUTDOWN) {
		err = move_reserve(move);
		/* Then it may be over already. */
		if (err == -EINPROGRESS)
			return;
		if (!err)
			err = move_deliver(move);
	}
	/* Behind the others: servers can come and go for ever. */
	if (err == -ESHUTDOWN) {
		move->room.done = false;
		symp_chore_start(call->caller->account->chores, chore);
		return;
	}
	leave(move);
	if (err)
		symp_call_give_up(call, err == -EMSGSIZE && !call->reissues ?
				  err : -ECONNRESET);
	else
		symp_call_put(call);
	kfree(move);
}

/* Return: false without memory; the caller keeps the references. */
static bool move_call(struct symp_call *call, struct symp_endpoint *from,
		      struct symp_pool *pool)
{
	struct symp_move *move;

	/*
	 * Not accounted: the one to pay may die for having used too much. Nor
	 * insistent: a death gives back more than this takes, after the moves.
	 */
	move = kzalloc(sizeof(*move),
		       GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
	if (!move)
		return false;
	if (from)
		symp_endpoint_get(from);
	symp_chore_init(&move->chore, move_step);
	move->call = call;
	move->from = from;
	move->lane = call->lane;
	move->pool = symp_pool_get(pool);
	move->offset = call->request.offset;
	move->room.chore = &move->chore;
	move->room.chores = call->caller->account->chores;
	move->room.granules = symp_pool_slice(pool, move->offset)->len;
	symp_chore_start(move->room.chores, &move->chore);
	return true;
}

/*
 * Take off @ep's queue, and its parked calls, what is for @service. Each comes
 * with the reference that the pool had, its slice held by nobody but whoever
 * called this.
 */
static void take_queued(struct symp_endpoint *ep, struct symp_service *service,
			struct list_head *calls)
{
	struct symp_slice *s = NULL;
	struct symp_call *call;

	lockdep_assert_held(&ep->lock);
	while ((s = symp_pool_next(ep->pool, s))) {
		if (s->kind != SYMP_REQUEST || !s->kernel || !s->owner)
			continue;
		call = s->owner;
		if (!call->queued || call->service != service)
			continue;
		symp_queue_remove(ep, call);
		symp_call_detach(call);
		s->owner = NULL;
		if (s->files)
			call->files = symp_files_take(ep, call->request.offset);
		list_add_tail(&call->request.node, calls);
	}
}

/**
 * symp_move_queued() - an endpoint stopped serving: its calls go elsewhere
 * @from: the endpoint
 * @service: of which service; the change to it is visible already
 * @notice: to tell @from, charged, which is taken; NULL: @from is the activator
 *
 * May sleep.
 */
void symp_move_queued(struct symp_endpoint *from, struct symp_service *service,
		      struct symp_notice *notice)
{
	struct symp_pool *pool = NULL;
	struct symp_call *call, *next;
	LIST_HEAD(calls);

	symp_endpoint_next_epoch(from);
	scoped_guard(spinlock, &from->lock) {
		if (from->dead)
			break;
		pool = symp_pool_get(from->pool);
		take_queued(from, service, &calls);
		if (notice)
			symp_notice_push(from, no_free_ptr(notice));
		else
			WRITE_ONCE(service->activated, 0);
	}
	if (notice)
		symp_notice_free(from, notice);
	if (!pool)
		return;
	list_sort(NULL, &calls, symp_call_is_older);
	list_for_each_entry_safe(call, next, &calls, request.node) {
		if (move_call(call, from, pool))
			continue;
		scoped_guard(spinlock, &from->lock)
			if (!from->dead)
				symp_room_free(from, call->lane,
					       call->request.offset);
		symp_call_give_up(call, -ECONNRESET);
	}
	symp_pool_put(pool);
}

/* The activator gives @service up: nobody will serve what it holds. May sleep. */
void symp_move_refuse_parked(struct symp_endpoint *ep,
			     struct symp_service *service)
{
	struct symp_call *call, *next;
	LIST_HEAD(calls);

	symp_endpoint_next_epoch(ep);
	scoped_guard(spinlock, &ep->lock) {
		if (ep->dead)
			break;
		take_queued(ep, service, &calls);
		list_for_each_entry(call, &calls, request.node)
			symp_room_free(ep, call->lane, call->request.offset);
	}
	list_for_each_entry_safe(call, next, &calls, request.node)
		symp_call_give_up(call, call->reissues ? -ECONNRESET :
							 -ECONNREFUSED);
}

/**
 * symp_move_from_dead() - a dead replica's call goes to another one, perhaps
 * @call: taken off the dead one, with the reference that its pool had
 * @pool: the dead one's
 *
 * May sleep. Return: whether it does; otherwise the reference is the caller's.
 */
bool symp_move_from_dead(struct symp_call *call, struct symp_pool *pool)
{
	u32 recovery;

	/* Also one whose cancelling was not told yet: it stands nowhere. */
	if (READ_ONCE(call->done))
		return false;
	recovery = READ_ONCE(call->service->recovery);
	if (!(recovery & SYMPHONY_CLAIM_REQUEUE))
		return false;
	/* It may be what they die of. */
	if (!call->queued &&
	    !(recovery & SYMPHONY_CLAIM_REISSUE && call->idempotent &&
	      call->reissues++ < SYMPHONY_REISSUES_MAX))
		return false;
	return move_call(call, NULL, pool);
}
