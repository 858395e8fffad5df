// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chore: a bounded step of work for one user, in turn with those of others.
 *
 * Moves of requests, deaths and late notices are work that no thread waits for.
 * Each user has one list of such chores and one work item, which runs them in
 * order, one at a time: so a sender's requests, all of one user, stay in their
 * order. After a few steps the item queues itself again behind those of other
 * users. A user with a million moves to make so delays another user's move by a
 * few steps, on one of the processors.
 *
 * A death gives back what the dead was charged for only when its last chore is
 * done. Until then it owes that to its user, who can wait for it: see
 * symp_account_charge_patiently().
 *
 * Who holds a user's list: each account that names it; and the work item, from
 * the start of a chore on an empty list until the list is empty again.
 */
#include <linux/hashtable.h>
#include <linux/ktime.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "chore.h"

/* Steps, and ns, after which it is the turn of others. */
#define TURN_STEPS	32
#define TURN_NS		(500 * NSEC_PER_USEC)

/* For how long who asks what a user has waits for deaths to give back. */
#define SETTLE_JIFFIES	(HZ / 4)

/**
 * struct symp_chores - the chores of a user
 * @node: in the table
 * @uid: the user
 * @ref: see above
 * @work: runs them
 * @owed: deaths that hold something that is charged to the user
 * @paid: how many of them ended, ever
 * @payday: who waits for one to end
 * @lock: guards what follows
 * @list: the chores
 * @running: @work is queued or runs
 */
struct symp_chores {
	struct hlist_node node;
	kuid_t uid;
	refcount_t ref;
	struct work_struct work;
	atomic_t owed;
	atomic_t paid;
	wait_queue_head_t payday;

	/* Guards the rest. */
	spinlock_t lock;
	struct list_head list;
	bool running;
};

static DEFINE_HASHTABLE(table, 8);
static DEFINE_SPINLOCK(table_lock);
static struct workqueue_struct *queue;

/* The next chore; NULL: there is none, and the work item ends. */
static struct symp_chore *next_chore(struct symp_chores *chores)
{
	struct symp_chore *chore;

	guard(spinlock)(&chores->lock);
	chore = list_first_entry_or_null(&chores->list, struct symp_chore, node);
	if (chore)
		list_del_init(&chore->node);
	else
		chores->running = false;
	return chore;
}

static void run_chores(struct work_struct *work)
{
	struct symp_chores *chores = container_of(work, struct symp_chores, work);
	u64 end = ktime_get_ns() + TURN_NS;
	struct symp_chore *chore;
	u32 steps = 0;

	do {
		chore = next_chore(chores);
		if (!chore) {
			symp_chores_put(chores);
			return;
		}
		chore->run(chore);
		cond_resched();
	} while (++steps < TURN_STEPS && ktime_get_ns() < end);
	queue_work(queue, &chores->work);
}

/* The chores of the user @uid. May sleep. Return: referenced; NULL without memory. */
struct symp_chores *symp_chores_get(kuid_t uid)
{
	struct symp_chores *chores, *new;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	new->uid = uid;
	refcount_set(&new->ref, 1);
	INIT_WORK(&new->work, run_chores);
	init_waitqueue_head(&new->payday);
	spin_lock_init(&new->lock);
	INIT_LIST_HEAD(&new->list);
	scoped_guard(spinlock, &table_lock) {
		hash_for_each_possible(table, chores, node, __kuid_val(uid)) {
			if (uid_eq(chores->uid, uid)) {
				refcount_inc(&chores->ref);
				goto found;
			}
		}
		chores = no_free_ptr(new);
		hash_add(table, &chores->node, __kuid_val(uid));
	}
found:
	kfree(new);
	return chores;
}

/* Any context but an interrupt. */
void symp_chores_put(struct symp_chores *chores)
{
	if (!refcount_dec_and_lock(&chores->ref, &table_lock))
		return;
	hash_del(&chores->node);
	spin_unlock(&table_lock);
	kfree(chores);
}

/**
 * symp_chore_start() - let a step be done
 * @chores: of which user; it has an account
 * @chore: the step
 *
 * Does not sleep; any lock may be held. Return: false: it stands in the list
 * already.
 */
bool symp_chore_start(struct symp_chores *chores, struct symp_chore *chore)
{
	guard(spinlock)(&chores->lock);
	if (!list_empty(&chore->node))
		return false;
	list_add_tail(&chore->node, &chores->list);
	if (!chores->running) {
		chores->running = true;
		refcount_inc(&chores->ref);
		queue_work(queue, &chores->work);
	}
	return true;
}

/* A death began that holds something that is charged to the user. */
void symp_chores_owe(struct symp_chores *chores)
{
	atomic_inc(&chores->owed);
}

/* It is given back. */
void symp_chores_pay(struct symp_chores *chores)
{
	atomic_dec(&chores->owed);
	/* Before the wakeup, and seen by who was woken. */
	atomic_inc_return(&chores->paid);
	wake_up_all(&chores->payday);
}

/* How many deaths hold something; *@paid: for symp_chores_await(). */
u32 symp_chores_owed(struct symp_chores *chores, u32 *paid)
{
	*paid = atomic_read_acquire(&chores->paid);
	return atomic_read(&chores->owed);
}

/*
 * Sleep until a death has given back what it held, since @paid was read. Return:
 * false: a signal that kills came first.
 */
bool symp_chores_await(struct symp_chores *chores, u32 paid)
{
	return !wait_event_killable(chores->payday,
				    atomic_read(&chores->paid) != paid ||
				    !atomic_read(&chores->owed));
}

/* Sleep until no death of the user's holds anything, but not for long. */
void symp_chores_settle(struct symp_chores *chores)
{
	wait_event_killable_timeout(chores->payday, !atomic_read(&chores->owed),
				    SETTLE_JIFFIES);
}

int symp_chores_init(void)
{
	queue = alloc_workqueue("symphony_chores", WQ_UNBOUND | WQ_MEM_RECLAIM,
				0);
	return queue ? 0 : -ENOMEM;
}

/* Nothing starts a chore any more, but those that are left. */
void symp_chores_exit(void)
{
	destroy_workqueue(queue);
}
