// SPDX-License-Identifier: GPL-2.0-only
/* Reply: how a server answers a call, and takes the next. */
#include <linux/sched.h>

#include "call.h"
#include "endpoint.h"
#include "files.h"
#include "reply.h"
#include "service.h"
#include "stats.h"
#include "vector.h"

static void write_answer(struct symphony_msg *msg, struct symp_call *call,
			 const struct symphony_reply *arg,
			 const struct symp_identity *from)
{
	/* As in write_request(). */
	msg->type = SYMPHONY_MSG_REPLY;
	msg->flags = arg->flags & SYMPHONY_REPLY_ERROR ? SYMPHONY_MSG_ERROR : 0;
	msg->header_len = sizeof(*msg);
	msg->id = call->id;
	msg->cookie = call->cookie;
	msg->sender = from->endpoint;
	msg->handle = call->handle;
	msg->method = 0;
	msg->key = 0;
	msg->deadline = 0;
	msg->body_len = arg->body_len;
	msg->content_type = arg->content_type;
	msg->status = 0;
	msg->needed = 0;
	msg->pid = from->pid;
	msg->uid = from->uid;
	msg->gid = from->gid;
	msg->nr_fds = 0;
	memset(msg->reserved, 0, sizeof(msg->reserved));
}

/*
 * The slice to answer in: the call's own, or a larger one if the caller's pool
 * has it and the server, like any sender, may hold it there. SYMPHONY_NO_OFFSET
 * if not.
 */
static __always_inline u32 answer_room(struct symp_call *call,
				       struct symp_lane *larger, u32 len)
{
	lockdep_assert_held(&call->caller->lock);
	if (!larger) {
		call->copying = true;
		return call->slot;
	}
	return symp_room_take(call->caller, larger, symp_pool_granules(len),
			      SYMP_ANSWER, symp_pool_granules(call->room));
}

/* Leave the slice without an answer in it. @at is not published. */
static void leave_room(struct symp_call *call, struct symp_lane *larger, u32 at)
{
	struct symp_endpoint *ep = call->caller;

	lockdep_assert_held(&ep->lock);
	if (at != call->slot)
		symp_room_free(ep, larger, at);
	else if (call->fetched)
		/* Fetched while this thread was copying: it kept the slice. */
		symp_slice_let_go(ep, NULL, at);
}

/* The server's lane at the caller, for an answer that does not fit in its slot. */
static noinline struct symp_lane *larger_lane(struct symp_call *call,
					      struct symphony_reply *arg)
{
	enum symphony_limit limit = SYMPHONY_LIMIT_NONE;
	struct symp_lane *lane;

	lane = symp_lane_get(call->caller, call->server, &limit);
	arg->limit = limit;
	return lane == ERR_PTR(-ESHUTDOWN) ? ERR_PTR(-ESRCH) : lane;
}

/*
 * Make the body in @arg the outcome, with @files, which are the message's then.
 * The copy, from the server's memory into the caller's pool, holds no lock: the
 * call can end meanwhile (deadline, cancel, death). Then the outcome does not
 * wait for this thread, and what it was writing is let go by whoever is last:
 * here, or where it was fetched. After an error @files are the caller's still;
 * after -EFAULT the call is as it was.
 */
static __always_inline int answer(struct symp_call *call,
				  struct symphony_reply *arg,
				  const struct symphony_piece *pieces,
				  struct symp_files *files,
				  const struct symp_identity *from, bool handoff)
{
	struct symp_endpoint *ep = call->caller;
	struct symp_lane *larger = NULL;
	struct symp_pool *pool;
	int err;
	u32 at;

	if (unlikely(arg->body_len > call->room)) {
		larger = larger_lane(call, arg);
		if (IS_ERR(larger))
			return PTR_ERR(larger);
	}
	spin_lock(&ep->lock);
	if (ep->dead || call->done) {
		spin_unlock(&ep->lock);
		return -ESRCH;
	}
	at = answer_room(call, larger, arg->body_len);
	if (at == SYMPHONY_NO_OFFSET) {
		spin_unlock(&ep->lock);
		if (arg->flags & SYMPHONY_REPLY_TRY)
			return -EMSGSIZE;
		return symp_call_finish(call, -EMSGSIZE, arg->body_len) ?
			-EMSGSIZE : -ESRCH;
	}
	pool = symp_pool_get(ep->pool);
	spin_unlock(&ep->lock);

	err = symp_body_fill(pool, at, pieces, arg->body, arg->body_len);

	spin_lock(&ep->lock);
	if (at == call->slot)
		call->copying = false;
	if (!ep->dead) {
		if (call->done)
			err = -ESRCH;
		if (err) {
			leave_room(call, larger, at);
		} else {
			write_answer(symp_pool_msg(pool, at), call, arg, from);
			call->larger = larger;
			if (files)
				symp_files_place(ep, at, files);
			symp_call_settle(call, 0, at, handoff);
			symp_stats_answer(&call->service->stats, arg->body_len);
			if (arg->flags & SYMPHONY_REPLY_ERROR)
				symp_stats_inc(&call->service->stats,
					       SYMP_STAT_ERRORS);
		}
	} else {
		err = -ESRCH;
	}
	spin_unlock(&ep->lock);
	symp_pool_put(pool);
	if (err)
		return err;
	symp_call_disarm(call);
	if (static_branch_unlikely(&symp_times))
		symp_call_ended(call, 0);
	return 0;
}

/* Takes @pieces and @files. Most have neither: there is a version for those. */
static __always_inline int reply(struct symp_endpoint *ep,
				 struct symphony_reply *arg,
				 struct symphony_piece *pieces,
				 struct symp_files *files,
				 const struct symp_receive *next)
{
	u32 tries = SYMP_FILL_TRIES;
	struct symp_identity from;
	struct symp_slice *s;
	struct symp_call *call;
	bool attached;
	int err;

	spin_lock(&ep->lock);
	if (ep->dead) {
		err = -ESHUTDOWN;
		goto err_unlock;
	}
	s = symp_pool_find(ep->pool, arg->slot, SYMP_REQUEST);
	call = s && s->kernel ? s->owner : NULL;
	if (!call || call->id != arg->id || call->queued || call->replying) {
		err = -ESRCH;
		goto err_unlock;
	}
	call->replying = true;
	symp_call_get(call);
	from = call->lane->receiver;
	spin_unlock(&ep->lock);

	do
		err = answer(call, arg, pieces, files, &from, next);
	while (unlikely(err == -EFAULT && tries-- &&
			!symp_body_fault_in(pieces, arg->body, arg->body_len)));
	if (files && err)
		symp_files_put(files);
	symp_vector_free(pieces);
	/*
	 * If the caller is to run before this thread, let it do so now: its
	 * next call is then there already and nobody has to sleep and be woken.
	 */
	if (next)
		cond_resched();

	spin_lock(&ep->lock);
	call->replying = false;
	attached = call->attached && !err;
	/* It ended while its answer was faulted in, and no notice says so. */
	if (unlikely(err) && err != -EMSGSIZE && !call->attached)
		err = -ESRCH;
	if (attached) {
		symp_call_detach(call);
		if (arg->flags & SYMPHONY_REPLY_RELEASE)
			symp_pool_slice(ep->pool, arg->slot)->user = 0;
		symp_slice_let_go(ep, call->lane, arg->slot);
	}
	if (err || !next)
		spin_unlock(&ep->lock);
	else
		err = max(symp_queue_receive_locked(ep, next), 0);
	symp_call_put_many(call, 1 + attached);
	return err;

err_unlock:
	spin_unlock(&ep->lock);
	if (files)
		symp_files_put(files);
	symp_vector_free(pieces);
	return err;
}

static noinline int reply_with_more(struct symp_endpoint *ep,
				    struct symphony_reply *arg,
				    const struct symp_receive *next)
{
	struct symphony_piece *pieces = NULL;
	struct symp_files *files = NULL;

	if (arg->flags & SYMPHONY_REPLY_VECTOR) {
		pieces = symp_vector_read(arg->body, &arg->body_len);
		if (IS_ERR(pieces))
			return PTR_ERR(pieces);
	}
	if (arg->nr_fds)
		files = symp_files_open(ep, arg->fds, arg->nr_fds);
	if (IS_ERR(files)) {
		/* Nothing else there has a limit of this kind. */
		arg->limit = SYMPHONY_LIMIT_USER_FILES;
		symp_vector_free(pieces);
		return PTR_ERR(files);
	}
	return reply(ep, arg, pieces, files, next);
}

/**
 * symp_reply() - REPLY and REPLY+RECV
 * @ep: the current process's endpoint
 * @arg: as from user space, flags and reserved members checked; changed: @limit
 *	is right with -EDQUOT
 * @next: what to receive then, or NULL
 *
 * Return: a negative errno when the call was not answered; otherwise 0, or the
 * number of messages received.
 */
int symp_reply(struct symp_endpoint *ep, struct symphony_reply *arg,
	       const struct symp_receive *next)
{
	if (unlikely(arg->nr_fds || arg->flags & SYMPHONY_REPLY_VECTOR))
		return reply_with_more(ep, arg, next);
	return reply(ep, arg, NULL, NULL, next);
}
