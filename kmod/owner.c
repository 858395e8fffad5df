// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner: a process, and the endpoints that die with it.
 *
 * An endpoint has to die when the process that JOINed exits, or is another
 * program after an exec, although the file can live on in a child, in a receiver
 * of SCM_RIGHTS or in a ring. The last thread that closes the process's files sees
 * that it exits, and an exec that closes a file sees that it is another program
 * (symp_owner_left()). That is at once, and for nearly all.
 *
 * There may be no file of the endpoint to be closed, or not yet: it was passed on,
 * survives the exec, or a core dump is made, for as long as that takes, before
 * anything is closed. A module is told of none of these. So the owner of each
 * endpoint is looked at a few times a second (look()).
 *
 * An mmu_notifier would be told when the address space ends. But the address space
 * can outlive the process (vfork, CLONE_VM, somebody who reads it). And strangers
 * would wait for each other: a JOIN for a lock of the whole machine and for those
 * of all files that the process maps, an exit for all readers of one SRCU, which
 * throttled processes are among. An endpoint pins the structure of the address
 * space (not what is in it) until its file is released, so that no other process
 * can have the same one.
 */
#include <linux/list.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "death.h"
#include "endpoint.h"
#include "owner.h"

/* Between looks at whether owners are dying. */
#define LOOK_JIFFIES	(HZ / 5)

static LIST_HEAD(endpoints);
static u32 nr_endpoints;
static DEFINE_SPINLOCK(endpoints_lock);

static void look(struct work_struct *work);
static DECLARE_DELAYED_WORK(look_work, look);

/*
 * Have all threads of a process begun to exit, or to wait for its core dump? Then
 * none of them is in an operation, or begins one (a ring's command could still begin:
 * device_uring_cmd() refuses it). SIGNAL_GROUP_EXIT is set by the
 * signal or the exit that ends the process, and stays. That is not enough: a
 * thread in an operation sees it only when the operation ends.
 */
static bool all_threads_exit(struct task_struct *task)
{
	struct task_struct *thread;

	if (!(READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT))
		return false;
	for_each_thread(task, thread)
		if (!(READ_ONCE(thread->flags) &
		      (PF_EXITING | PF_POSTCOREDUMP | PF_DUMPCORE)))
			return false;
	return true;
}

/*
 * Is the process of @ep about to end, or another program now? No thread of it is
 * in an operation on @ep then: its death relies on that.
 */
static bool is_dying(struct symp_endpoint *ep)
{
	struct task_struct *task;
	struct mm_struct *mm;

	guard(rcu)();
	task = pid_task(ep->pid, PIDTYPE_TGID);
	if (!task)
		return true;
	mm = READ_ONCE(task->mm);
	/* A first thread that exited has none, and the process can live on. */
	return all_threads_exit(task) || !atomic_read(&task->signal->live) ||
	       (mm && mm != ep->mm);
}

/* The endpoint whose owner was not looked at for the longest time, or NULL. */
static struct symp_endpoint *next_endpoint(void)
{
	struct symp_endpoint *ep;

	guard(spinlock)(&endpoints_lock);
	ep = list_first_entry_or_null(&endpoints, struct symp_endpoint,
				      looked_after);
	if (!ep)
		return NULL;
	list_move_tail(&ep->looked_after, &endpoints);
	/* It is on the list: the file, or the kill, has a reference. */
	symp_endpoint_get(ep);
	return ep;
}

/* A process can have many threads: no lock is held while they are looked at. */
static void look(struct work_struct *work)
{
	u32 left = READ_ONCE(nr_endpoints);
	struct symp_endpoint *ep;

	while (left-- && (ep = next_endpoint())) {
		if (is_dying(ep))
			symp_endpoint_kill(ep);
		symp_endpoint_put(ep);
		cond_resched();
	}
	if (READ_ONCE(nr_endpoints))
		queue_delayed_work(system_unbound_wq, &look_work, LOOK_JIFFIES);
}

/* The current process, which JOINed, is the owner of @ep. */
void symp_owner_link(struct symp_endpoint *ep)
{
	guard(spinlock)(&endpoints_lock);
	list_add_tail(&ep->looked_after, &endpoints);
	WRITE_ONCE(nr_endpoints, nr_endpoints + 1);
	/* Nothing when it is queued already. */
	queue_delayed_work(system_unbound_wq, &look_work, LOOK_JIFFIES);
}

/* @ep is killed. */
void symp_owner_unlink(struct symp_endpoint *ep)
{
	guard(spinlock)(&endpoints_lock);
	if (list_empty(&ep->looked_after))
		return;
	list_del_init(&ep->looked_after);
	WRITE_ONCE(nr_endpoints, nr_endpoints - 1);
}

/*
 * The current task closes a file of @ep. Return: whether the owner ends: it is its
 * last thread, or its program is another one now.
 */
bool symp_owner_left(const struct symp_endpoint *ep)
{
	if (task_tgid(current) != ep->pid)
		return false;
	if (current->flags & PF_EXITING)
		return !atomic_read(&current->signal->live);
	return current->mm && current->mm != ep->mm;
}

/* No endpoint is left. */
void symp_owner_exit(void)
{
	cancel_delayed_work_sync(&look_work);
}
