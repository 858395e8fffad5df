/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clock: times of user space are CLOCK_MONOTONIC of its time namespace, all times
 * in here are the host's. They are converted where they cross the border.
 */
#ifndef SYMP_CLOCK_H
#define SYMP_CLOCK_H

#include <linux/nsproxy.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/time64.h>
#include <linux/time_namespace.h>

/*
 * What the current process's clock is ahead of the host's, in ns. A namespace's
 * offset never changes once a process is in it. All threads of a process are in
 * one, as only a process with a single thread can enter another.
 */
static inline s64 symp_clock_offset(void)
{
	/* timens_ktime_to_host() needs a symbol that 6.12 does not export. */
	if (!IS_ENABLED(CONFIG_TIME_NS))
		return 0;
	return timespec64_to_ns(&current->nsproxy->time_ns->offsets.monotonic);
}

/* @time, 0 for none, moved by @offset: it does not wrap, or become 0. */
static inline u64 symp_clock_move(u64 time, s64 offset)
{
	u64 moved;

	if (!time || likely(!offset))
		return time;
	if (check_add_overflow(time, offset, &moved))
		return offset < 0 ? 1 : U64_MAX;
	return moved ?: 1;
}

/* A time that the current process gave, as the host's. */
static inline u64 symp_clock_to_host(u64 time)
{
	return time ? symp_clock_move(time, -symp_clock_offset()) : 0;
}

#endif
