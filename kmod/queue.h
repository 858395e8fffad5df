/* SPDX-License-Identifier: GPL-2.0-only */
/* Queue: what an endpoint has to receive, and who waits on either side. */
#ifndef SYMP_QUEUE_H
#define SYMP_QUEUE_H

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/types.h>

struct symp_call;
struct symp_endpoint;
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
 * struct symp_item - a message in a queue; part of what it is about
 * @node: in a lane's queue while queued
 * @offset: its slice, which also says what it is: see enum symp_kind
 */
struct symp_item {
	struct list_head node;
	u32 offset;
};

/**
 * struct symp_lane - one sender's part of an endpoint's queue and pool
 * @queue: what it sent and nobody took, FIFO
 * @busy: on the endpoint's list while @queue is not empty
 * @granules: room held in the pool
 * @slices: messages held in the pool
 * @waiting: threads of the sender that wait for room, FIFO
 * @starved: on the endpoint's list while @waiting is not empty
 * @sender: the sender, as the receiver sees it
 * @receiver: the receiver, as the sender sees it
 *
 * A lane belongs to the receiving endpoint alone: it is made when a sender
 * first sends, found by the sender's id, and swept away some time after that
 * endpoint died and holds no room here. A sender in the middle of an operation
 * is alive, so the lane it found stays. All but the identities is guarded by
 * the receiver's lock.
 */
struct symp_lane {
	struct list_head queue;
	struct list_head busy;
	u32 granules;
	u32 slices;
	struct list_head waiting;
	struct list_head starved;
	struct symp_identity sender;
	struct symp_identity receiver;
};

/**
 * struct symp_receiver - a thread in RECV
 * @node: on the endpoint's list until it is given something
 * @task: the thread
 * @offset: what it was given; SYMPHONY_NO_OFFSET when the endpoint died
 * @done: set last, after which it may be gone
 */
struct symp_receiver {
	struct list_head node;
	struct task_struct *task;
	u32 offset;
	bool done;
};

/**
 * struct symp_receive - a RECV as asked for
 * @offsets: where they go, in user memory
 * @max: at most
 * @dontwait: do not sleep
 * @deadline: CLOCK_MONOTONIC, 0 for none
 */
struct symp_receive {
	u32 __user *offsets;
	u32 max;
	bool dontwait;
	u64 deadline;
};

void symp_lane_init(struct symp_lane *lane);
struct symp_lane *symp_lane_get(struct symp_endpoint *receiver,
				struct symp_endpoint *sender);
void symp_lanes_free(struct symp_endpoint *ep);

u32 symp_room_take(struct symp_endpoint *ep, struct symp_lane *lane,
		   u32 granules, u32 kind);
int symp_room_reserve(struct symp_endpoint *ep, struct symp_lane *lane,
		      u32 granules, struct symp_call *call, bool wait,
		      u32 *offset, struct symp_pool **pool);
void symp_room_free(struct symp_endpoint *ep, struct symp_lane *lane, u32 offset);
void symp_slice_let_go(struct symp_endpoint *ep, struct symp_lane *lane,
		       u32 offset);
int symp_slice_release(struct symp_endpoint *ep, u32 offset);

void symp_queue_push(struct symp_endpoint *ep, struct symp_lane *lane,
		     struct symp_item *item, bool handoff);
void symp_queue_remove(struct symp_lane *lane, struct symp_item *item);
void symp_queue_end_waits(struct symp_endpoint *ep);
int symp_queue_receive_locked(struct symp_endpoint *ep,
			      const struct symp_receive *how);
int symp_sleep(const bool *done, const bool *also, u64 deadline);

#endif
