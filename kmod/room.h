/* SPDX-License-Identifier: GPL-2.0-only */
/* Room: who holds how much of an endpoint's pool, and who waits for some. */
#ifndef SYMP_ROOM_H
#define SYMP_ROOM_H

#include <linux/list.h>
#include <linux/rbtree_types.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/symphony.h>

struct symp_account;
struct symp_call;
struct symp_chore;
struct symp_chores;
struct symp_endpoint;
struct symp_notice;
struct symp_pool;
struct task_struct;

/**
 * struct symp_identity - who sent a message, as its receiver's namespaces see it
 * @endpoint: the sender's id
 * @pid: 0 where it has none
 * @uid: the overflow uid where it has none
 * @gid: likewise
 */
struct symp_identity {
	u64 endpoint;
	u32 pid;
	u32 uid;
	u32 gid;
};

/**
 * struct symp_tenant - one user's part of an endpoint's queue and pool
 * @node: in the endpoint's tree of them
 * @user: see symp_endpoint.user
 * @nr_lanes: its lanes here; without one it goes
 * @lanes: those that have something queued; the first one's turn
 * @busy: on one of the endpoint's lists while @lanes is not empty
 * @granules: room that its lanes hold
 * @holders: how many of them hold some
 * @hungry: its lanes whose sender waits for room and is owed a look; the first
 *	one's turn
 * @looked: likewise, and was looked at when @looked_at
 * @looked_at: see symp_endpoint.freed
 * @starved: on one of the endpoint's lists while somebody waits
 *
 * Guarded by the receiver's lock.
 */
struct symp_tenant {
	struct rb_node node;
	kuid_t user;
	u32 nr_lanes;
	struct list_head lanes;
	struct list_head busy;
	u32 granules;
	u32 holders;
	struct list_head hungry;
	struct list_head looked;
	u64 looked_at;
	struct list_head starved;
};

/**
 * struct symp_lane - one sender's part of an endpoint's queue and pool
 * @tenant: the sender's user
 * @queue: what it sent and nobody took, FIFO
 * @busy: on the tenant's list while @queue is not empty
 * @granules: room held in the pool
 * @held: messages held in the pool, and one more while the sender lives
 * @waiting: who waits for room, FIFO
 * @hungry: on one of the tenant's lists while @waiting is not empty
 * @notifying: the last one waits for a ROOM notice
 * @coming: chores of them that were given room, and whose requests are not queued
 * @farewell: the GONE of the sender, until nothing is queued and no move waits
 * @account: the sender's, charged for it, referenced
 * @to: the endpoint it belongs to
 * @sent: on the sender's list while both live, under the bus's watch_lock;
 *	afterwards perhaps on that of the pool
 * @sender: the sender, as the receiver sees it
 * @receiver: the receiver, as the sender sees it
 *
 * A lane belongs to the receiving endpoint: it is made when a sender first sends,
 * and found by the sender's id. It goes
 *  - when the sender is dead, holds no room and waits for none: upon its death, or
 *    by the last of its messages to be freed, or the last wait to end.
 *  - when the receiver dies; but the memory stays as long as the pool, as who
 *    copies into that reads who the sender is.
 * A sender in the middle of an operation is alive, so the lane it found stays, or
 * it finds the receiver dead under its lock. All but the identities and @sent is
 * guarded by the receiver's lock.
 */
struct symp_lane {
	struct symp_tenant *tenant;
	struct list_head queue;
	struct list_head busy;
	u32 granules;
	u32 held;
	struct list_head waiting;
	struct list_head hungry;
	bool notifying;
	u32 coming;
	struct symp_notice *farewell;
	struct symp_account *account;
	struct symp_endpoint *to;
	struct list_head sent;
	struct symp_identity sender;
	struct symp_identity receiver;
};

/**
 * struct symp_room_waiter - who waits for room in another endpoint's pool
 * @node: on the lane's list until it is served
 * @task: a thread to be woken, or NULL
 * @chore: to be started, or NULL
 * @chores: its user's
 * @granules: how much
 * @look: wants to know only: is given none
 * @offset: what it was given; SYMPHONY_NO_OFFSET when there will be none
 * @done: set last, after which it may be gone
 */
struct symp_room_waiter {
	struct list_head node;
	struct task_struct *task;
	struct symp_chore *chore;
	struct symp_chores *chores;
	u32 granules;
	bool look;
	u32 offset;
	bool done;
};

void symp_tenant_init(struct symp_tenant *tenant);
void symp_lane_init(struct symp_lane *lane, struct symp_tenant *tenant);
struct symp_lane *symp_lane_get(struct symp_endpoint *receiver,
				struct symp_endpoint *sender,
				enum symphony_limit *limit);
void symp_lane_tidy(struct symp_endpoint *ep, struct symp_lane *lane);
bool symp_lanes_sender_died(struct symp_endpoint *ep, u32 max);
bool symp_lanes_bury(struct symp_endpoint *ep, u32 max);
void symp_lane_farewell(struct symp_endpoint *ep, struct symp_notice *notice);
void symp_lane_tell_farewell(struct symp_endpoint *ep, struct symp_lane *lane);

u32 symp_room_take(struct symp_endpoint *ep, struct symp_lane *lane,
		   u32 granules, u32 kind, u32 soon);
int symp_room_reserve(struct symp_endpoint *ep, struct symp_lane *lane,
		      u32 granules, struct symp_call *call, bool wait,
		      u32 *offset, struct symp_pool **pool,
		      enum symphony_limit *limit);
int symp_room_notify(struct symp_call *call, u32 granules,
		     enum symphony_limit *limit);
void symp_room_look(struct symp_chore *chore);
int symp_room_or_wait(struct symp_endpoint *ep, struct symp_lane *lane,
		      struct symp_room_waiter *w);
void symp_room_leave(struct symp_endpoint *ep, struct symp_lane *lane,
		     struct symp_room_waiter *w);
void symp_room_free(struct symp_endpoint *ep, struct symp_lane *lane, u32 offset);
bool symp_room_end_waits(struct symp_endpoint *ep, u32 max);

/* Less may stand between the sender's GONE and its receiver. */
static inline void symp_lane_less(struct symp_endpoint *ep, struct symp_lane *lane)
{
	if (unlikely(lane->farewell))
		symp_lane_tell_farewell(ep, lane);
}

#endif
