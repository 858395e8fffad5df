// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault points: which one fails, and how often each was reached and did.
 *
 * The parameter "fault" is the number of the next points that do not fail, and
 * one more: at 1 the next one does. It counts down to 0, where it stays, and then
 * none fails. "fault_task" says in whose hands: those of the thread of that id, of
 * kernel threads at -1, of anybody at 0. "fault_where" is the one that failed last.
 * debugfs has the whole list, in symphony_faults.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>

#include "fault.h"

extern struct symp_fault_point *symp_faults_begin[];
static struct symp_fault_point *symp_faults_end[0] __section("symp_faults");

static DEFINE_RAW_SPINLOCK(fault_lock);
static struct symp_fault_point *last;
static struct dentry *list;

static int fault;
module_param(fault, int, 0644);
static int fault_task;
module_param(fault_task, int, 0644);

static int where_get(char *buf, const struct kernel_param *param)
{
	struct symp_fault_point *point = READ_ONCE(last);

	if (!point)
		return sysfs_emit(buf, "nowhere\n");
	return sysfs_emit(buf, "%s:%u %s\n", kbasename(point->file), point->line,
			  point->what);
}

static const struct kernel_param_ops where_ops = { .get = where_get };
module_param_cb(fault_where, &where_ops, NULL, 0444);

static bool is_meant(void)
{
	int task = READ_ONCE(fault_task);

	if (task < 0)
		return current->flags & PF_KTHREAD;
	return !task || task == task_pid_nr(current);
}

bool symp_fault(struct symp_fault_point *point)
{
	unsigned long flags;
	bool fails;

	atomic_inc(&point->hits);
	if (likely(READ_ONCE(fault) <= 0) || !is_meant())
		return false;
	raw_spin_lock_irqsave(&fault_lock, flags);
	fails = fault > 0 && !--fault;
	if (fails) {
		atomic_inc(&point->failed);
		last = point;
	}
	raw_spin_unlock_irqrestore(&fault_lock, flags);
	return fails;
}

static int list_show(struct seq_file *seq, void *unused)
{
	struct symp_fault_point **at;

	for (at = symp_faults_begin; at < symp_faults_end; at++)
		seq_printf(seq, "%s:%u %u %u %s\n", kbasename((*at)->file),
			   (*at)->line, atomic_read(&(*at)->hits),
			   atomic_read(&(*at)->failed), (*at)->what);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(list);

void symp_fault_show(void)
{
	list = debugfs_create_file("symphony_faults", 0444, NULL, NULL, &list_fops);
}

void symp_fault_hide(void)
{
	debugfs_remove(list);
}
