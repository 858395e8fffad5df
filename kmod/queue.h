/* SPDX-License-Identifier: GPL-2.0-only */
/* Queue: what an endpoint has to receive, and who waits on either side. */
#ifndef SYMP_QUEUE_H
#define SYMP_QUEUE_H

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/types.h>

#include "room.h"

/**
 * struct symp_item - a message in a queue; part of what it is about
 * @node: in a lane's queue while queued
 * @offset: its slice, which also says what it is: see enum symp_kind
 * @kind: of a notice, which can be without a slice
 */
struct symp_item {
	struct list_head node;
	u32 offset;
	u32 kind;
};

/* Messages taken under one hold of the lock. */
#define SYMP_RECEIVE_CHUNK	16

/**
 * struct symp_receiver - a thread in RECV
 * @node: on the endpoint's list until it is given something
 * @task: the thread
 * @offset: what it was given; SYMPHONY_NO_OFFSET when the endpoint died, or is
 *	stopped
 * @call: what it was about and is not any more, to be put; or NULL
 * @done: set last, after which it may be gone
 */
struct symp_receiver {
	struct list_head node;
	struct task_struct *task;
	u32 offset;
	struct symp_call *call;
	bool done;
};

/**
 * struct symp_receive - a RECV as asked for
 * @offsets: where they go, in user memory
 * @max: at most
 * @dontwait: do not sleep
 * @deadline: the host's CLOCK_MONOTONIC in ns, 0 for none
 */
struct symp_receive {
	u32 __user *offsets;
	u32 max;
	bool dontwait;
	u64 deadline;
};

void symp_slice_let_go(struct symp_endpoint *ep, struct symp_lane *lane,
		       u32 offset);
int symp_slice_release(struct symp_endpoint *ep, u32 offset);

void symp_queue_push(struct symp_endpoint *ep, struct symp_lane *lane,
		     struct symp_item *item, bool handoff);
bool symp_queue_is_empty(const struct symp_endpoint *ep);
void symp_queue_remove(struct symp_endpoint *ep, struct symp_call *call);
void symp_queue_end_receivers(struct symp_endpoint *ep);
int symp_queue_stop(struct symp_endpoint *ep, bool stop);
u32 symp_queue_take_locked(struct symp_endpoint *ep, u32 *offsets, u32 max);
int symp_queue_receive_locked(struct symp_endpoint *ep,
			      const struct symp_receive *how);
int symp_sleep(const bool *done, const bool *also, u64 deadline);

#endif
