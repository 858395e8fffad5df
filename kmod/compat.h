/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels this module is built for, and nothing else. */
#ifndef SYMP_COMPAT_H
#define SYMP_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/version.h>
#include <linux/wait.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*fn)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
}
#endif

/*
 * The scheduler's flags for "the waker is about to sleep" and "on this CPU".
 * They live in kernel/sched/sched.h, but default_wake_function(), which is
 * exported, takes and checks them (it warns of any other).
 */
#define SYMP_WF_SYNC		0x10
#define SYMP_WF_CURRENT_CPU	0x40

/* Wake @task, which may be exiting: the caller is in an RCU read section. */
static inline void symp_wake(struct task_struct *task, bool handoff)
{
	struct wait_queue_entry entry = { .private = task };

	default_wake_function(&entry, TASK_NORMAL,
			      handoff ? SYMP_WF_SYNC | SYMP_WF_CURRENT_CPU : 0,
			      NULL);
}

#endif
