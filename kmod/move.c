// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move: what is done for endpoints behind their backs, one thing after another.
 *
 * All of it is work on one ordered queue, and nothing here sleeps on anybody but
 * the allocator.
 */
#include <linux/workqueue.h>

#include "move.h"

static struct workqueue_struct *moves;

bool symp_move_start(struct work_struct *work)
{
	return queue_work(moves, work);
}

int symp_move_init(void)
{
	moves = alloc_ordered_workqueue("symphony_moves", 0);
	return moves ? 0 : -ENOMEM;
}

void symp_move_exit(void)
{
	destroy_workqueue(moves);
}
