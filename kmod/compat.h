/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels this module is built for, and nothing else. */
#ifndef SYMP_COMPAT_H
#define SYMP_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/io_uring/cmd.h>
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

/* Complete a command of a ring. */
static inline void symp_uring_done(struct io_uring_cmd *cmd, int ret,
				   unsigned int issue_flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
	io_uring_cmd_done(cmd, ret, 0, issue_flags);
#else
	io_uring_cmd_done(cmd, ret, issue_flags);
#endif
}

/*
 * Make @name of @fn(cmd, issue_flags, dying): what a command's task work runs.
 * Dying: nobody will look at the completion.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define SYMP_TASK_WORK(name, fn)					\
	static void name(struct io_uring_cmd *cmd, unsigned int flags)	\
	{								\
		fn(cmd, flags, flags & IO_URING_F_TASK_DEAD);		\
	}
#else
#define SYMP_TASK_WORK(name, fn)					\
	static void name(struct io_tw_req req, io_tw_token_t tw)	\
	{								\
		fn(io_uring_cmd_from_tw(req),				\
		   IO_URING_CMD_TASK_WORK_ISSUE_FLAGS, tw.cancel);	\
	}
#endif

/*
 * Multishot commands, from 6.18 on: each completion of theirs is told in a buffer
 * of a group that user space provided. Before, the core refuses the flag.
 */
#ifdef IORING_URING_CMD_MULTISHOT
static inline bool symp_uring_is_multishot(const struct io_uring_cmd *cmd)
{
	return cmd->flags & IORING_URING_CMD_MULTISHOT;
}

struct symp_uring_buffer {
	struct io_br_sel selected;
};

/*
 * The next buffer of @group, and its @len: where it says that it is, which is the
 * process's word; NULL when there is none. Task work. To be followed by a post.
 */
static inline void __user *
symp_uring_buffer_get(struct io_uring_cmd *cmd, u16 group,
		      struct symp_uring_buffer *buffer, size_t *len,
		      unsigned int issue_flags)
{
	buffer->selected = io_uring_cmd_buffer_select(cmd, group, len,
						      issue_flags);
	return buffer->selected.addr;
}

/*
 * A completion with the buffer, @len bytes of which were written; with 0 there is
 * none, and the buffer goes back. False: there is no room for a completion, and
 * the buffer is used up all the same.
 */
static inline bool symp_uring_buffer_post(struct io_uring_cmd *cmd,
					  struct symp_uring_buffer *buffer,
					  size_t len, unsigned int issue_flags)
{
	buffer->selected.val = len;
	return !io_uring_mshot_cmd_post_cqe(cmd, &buffer->selected,
					    issue_flags);
}
#else
static inline bool symp_uring_is_multishot(const struct io_uring_cmd *cmd)
{
	return false;
}
#endif

/*
 * WF_SYNC | WF_CURRENT_CPU: the waker is about to sleep, and the wakee is to run on
 * this CPU. The scheduler defines the flags in kernel/sched/sched.h, for itself, but
 * default_wake_function(), which is exported, takes and checks them (it warns of
 * any other). Look there before you raise the version. In a newer kernel a wakeup
 * has no flags, which is slower and always right.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 4, 0)
#define SYMP_WF_HANDOFF		(0x10 | 0x40)
#else
#define SYMP_WF_HANDOFF		0
#endif

/* Wake @task, which may be exiting: the caller is in an RCU read section. */
static inline void symp_wake(struct task_struct *task, bool handoff)
{
	struct wait_queue_entry entry = { .private = task };

	default_wake_function(&entry, TASK_NORMAL,
			      handoff ? SYMP_WF_HANDOFF : 0,
			      NULL);
}

#endif
