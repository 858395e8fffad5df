/* SPDX-License-Identifier: GPL-2.0-only */
/* Call: a request that has exactly one outcome. */
#ifndef SYMP_CALL_H
#define SYMP_CALL_H

#include <linux/hrtimer.h>
#include <linux/refcount.h>
#include <linux/workqueue.h>

#include "endpoint.h"
#include "program.h"
#include "queue.h"

struct symp_files;
struct symp_route_args;
struct symp_service;
struct symphony_call;
struct symphony_wait;

/**
 * struct symp_call - a request that has exactly one outcome
 * @id: never used twice
 * @caller: who made it, referenced
 * @handle: the service it is for
 * @cookie: SEND: the caller's
 * @deadline: the host's CLOCK_MONOTONIC in ns, 0 for none
 * @async: made by SEND, or for a ring: no thread waits for the outcome
 * @oneway: nobody waits for an outcome: it has no slot, and ends where it is
 *	received
 * @idempotent: may be done twice
 * @reissues: how many replicas died that had received it
 * @ref: see call.c
 * @sibling: on the list of the call it was made for, or alone
 * @slot: the slice set aside for the answer, in the caller's pool
 * @room: bytes of body that fit there
 * @fetched: the caller has the outcome, or never will
 * @made: for the caller's death
 * @spare: on its caller's list of those that are not in use
 * @done: there is an outcome. Set once; also read without the lock
 * @ending: the kernel is making the outcome: no server is chosen and nothing is
 *	attached any more. Set once; also read under the server's lock
 * @copying: a replier is writing into @slot
 * @larger: the lane charged for an answer that is not in @slot
 * @timed: @timer was armed and has a reference
 * @status: of the outcome
 * @offset: of the answer; SYMPHONY_NO_OFFSET for an outcome the kernel made
 * @needed: with -EMSGSIZE
 * @waiter: the thread that will fetch the outcome, or NULL
 * @cmd: the command that will: a CALL of a ring; see uring.c. Or NULL
 * @answer: SEND: the outcome in the caller's queue
 * @timer: the deadline, when nobody waits who would see to it
 * @expire: what @timer starts
 * @server: the replica, referenced; changes, under the caller's lock, only
 *	while the call is not attached
 * @service: what it is for; known once there is a server
 * @lane: the caller's lane there
 * @epoch: of the server, as the call found it
 * @notify: the server wants to hear when nobody waits for an answer any more
 * @park: the server holds the call for a replica to come
 * @moving: waits for room at the server, for the request to move there
 * @children: calls that the server made for this one
 * @doomed: ends because its parent did; the list of who does it
 * @files: sent with the request, while that is attached nowhere; of whoever has
 *	it then; see files.c. Otherwise NULL
 * @request: the request in the server's queue
 * @attached: the request stands in the server's pool and can be answered
 * @queued: no server has received it since it was attached last, or at all
 * @replying: a thread of the server is answering it
 * @reached: id of the replica that had it last; with @attached_at
 * @attached_at: CLOCK_MONOTONIC in ns, when a program may want to know; 0 if not
 * @taken_at: likewise
 */
struct symp_call {
	u64 id;
	struct symp_endpoint *caller;
	u64 handle;
	u64 cookie;
	u64 deadline;
	bool async;
	bool oneway;
	bool idempotent;
	u8 reissues;
	refcount_t ref;

	/* caller->lock */
	union {
		struct list_head made;
		struct llist_node spare;
	};
	struct list_head sibling;
	bool fetched;
	u32 slot;
	u32 room;
	bool done;
	bool ending;
	bool copying;
	struct symp_lane *larger;
	bool timed;
	int status;
	u32 offset;
	u32 needed;
	struct task_struct *waiter;
	struct io_uring_cmd *cmd;
	struct symp_item answer;
	struct hrtimer timer;
	struct work_struct expire;
	struct symp_endpoint *server;
	struct symp_service *service;
	struct list_head doomed;

	/* server->lock */
	struct symp_lane *lane;
	u32 epoch;
	bool notify;
	bool park;
	struct symp_room_waiter *moving;
	struct list_head children;
	struct symp_files *files;
	struct symp_item request;
	bool attached;
	bool queued;
	bool replying;
	u64 reached;
	u64 attached_at;
	u64 taken_at;
};

int symp_call_init(void);
void symp_call_exit(void);
int symp_call_make(struct symp_endpoint *ep, struct symphony_call __user *uarg,
		   struct symphony_call *arg, bool async, bool nonblock,
		   struct io_uring_cmd *cmd);
int symp_call_wait(struct symp_endpoint *ep, struct symphony_wait *arg,
		   bool nonblock);
int symp_call_cancel(struct symp_endpoint *ep, u64 id, u32 slot);
void symp_call_ended(struct symp_call *call, int status);
bool symp_call_finish(struct symp_call *call, int status, u32 needed);
void symp_call_received(struct symp_call *call);
void symp_call_give_up(struct symp_call *call, int status);
void symp_call_fetched(struct symp_call *call);
void symp_call_settle(struct symp_call *call, int status, u32 offset,
		      bool handoff);
void symp_call_disarm(struct symp_call *call);
int symp_call_route(struct symp_call *call, const struct symp_route_args *args,
		    enum symphony_limit *limit);
void symp_call_address(const struct symp_call *call, struct symphony_msg *msg);
int symp_call_attach(struct symp_call *call, bool keep);
void symp_call_detach(struct symp_call *call);
void symp_call_free(struct symp_call *call);
void symp_call_free_idle(struct symp_endpoint *ep);

int symp_call_is_older(void *priv, const struct list_head *a,
		       const struct list_head *b);

/* The request of @call is in the hands of @server, the lock of which is held. */
static inline void symp_call_taken(struct symp_call *call,
				   struct symp_endpoint *server)
{
	call->queued = false;
	WRITE_ONCE(server->taken, server->taken + 1);
	if (static_branch_unlikely(&symp_times))
		WRITE_ONCE(call->taken_at, ktime_get_ns());
}

static inline struct symp_call *symp_call_get(struct symp_call *call)
{
	refcount_inc(&call->ref);
	return call;
}

static inline void symp_call_put(struct symp_call *call)
{
	if (refcount_dec_and_test(&call->ref))
		symp_call_free(call);
}

/* Drop @nr references. */
static inline void symp_call_put_many(struct symp_call *call, int nr)
{
	if (refcount_sub_and_test(nr, &call->ref))
		symp_call_free(call);
}

#endif
