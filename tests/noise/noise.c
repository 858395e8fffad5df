// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noise: delays between any two basic blocks of the module, for storms.
 *
 * The compiler puts a call of __sanitizer_cov_trace_pc() into every basic block
 * (see Kbuild). A kernel with KCOV exports a function of that name; the module is
 * linked to this one, as ld resolves what it can within the module. Two kinds of
 * delay make rare interleavings common:
 *
 *  - anywhere, once in @noise_rate blocks;
 *  - at a few blocks that the seed and the time choose (focus()), almost every
 *    time that they run: for a while some window of the code is wide open.
 *
 * A delay is a busy wait where nothing else is allowed. Where sleeping is, it can
 * be a sleep or give the processor up, so that another thread runs right there.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

void __sanitizer_cov_trace_pc(void);

static ulong noise_seed = 1;
module_param(noise_seed, ulong, 0644);
MODULE_PARM_DESC(noise_seed, "what the delays are chosen by");

static uint noise_rate = 4000;
module_param(noise_rate, uint, 0644);
MODULE_PARM_DESC(noise_rate, "basic blocks for one delay, 0 for none");

static uint noise_us = 50;
module_param(noise_us, uint, 0644);
MODULE_PARM_DESC(noise_us, "longest busy wait, in microseconds; a sleep can be ten times as long");

/* How often, about: lost updates do not matter. */
static ulong noise_waits;
module_param(noise_waits, ulong, 0444);
MODULE_PARM_DESC(noise_waits, "busy waits so far");

static ulong noise_sleeps;
module_param(noise_sleeps, ulong, 0444);
MODULE_PARM_DESC(noise_sleeps, "sleeps and resched points so far");

/* Blocks in focus: one in so many, for a quarter of a second. */
#define FOCUS		64
#define FOCUS_TIME	(HZ / 4)
/* At a block in focus: a delay in one of so many runs. */
#define FOCUS_RATE	4

static DEFINE_PER_CPU(u64, blocks);

static __always_inline u64 mix(u64 x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* Relative to this function: where the module was loaded does not matter. */
static __always_inline bool focus(unsigned long ip)
{
	u64 site = ip - (unsigned long)__sanitizer_cov_trace_pc;

	return mix(site ^ mix(noise_seed + jiffies / FOCUS_TIME)) % FOCUS == 0;
}

/* Not between set_current_state() and schedule(): a sleep would end that one. */
static notrace bool may_sleep(void)
{
	return preemptible() && !rcu_preempt_depth() && !pagefault_disabled() &&
	       READ_ONCE(current->__state) == TASK_RUNNING &&
	       system_state == SYSTEM_RUNNING;
}

static notrace void delay(u64 dice)
{
	/* Mostly short. */
	ulong us = (READ_ONCE(noise_us) >> (dice & 7)) + 1;

	dice >>= 3;
	if (may_sleep() && dice & 3) {
		noise_sleeps++;
		if (dice & 1)
			usleep_range(us, us * 10);
		else
			cond_resched();
	} else {
		noise_waits++;
		udelay(us);
	}
}

void notrace __sanitizer_cov_trace_pc(void)
{
	uint rate = READ_ONCE(noise_rate);
	unsigned long flags;
	u64 dice;

	if (!rate)
		return;
	dice = mix(noise_seed ^ this_cpu_inc_return(blocks) ^
		   (u64)raw_smp_processor_id() << 48);
	if ((u32)dice % rate &&
	    ((u32)dice % FOCUS_RATE || !focus(_RET_IP_)))
		return;
	/* It can be amid an access to user memory. */
	flags = user_access_save();
	delay(dice >> 32);
	user_access_restore(flags);
}
