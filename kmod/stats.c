// SPDX-License-Identifier: GPL-2.0-only
/* Stats: what became of the calls of a service. */
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/module.h>

#include "program.h"
#include "stats.h"

static bool stats_on;

/* Called for one change at a time, under the lock of the module's parameters. */
static int set_stats(const char *value, const struct kernel_param *param)
{
	bool before = stats_on;
	int err = param_set_bool(value, param);

	if (err || stats_on == before)
		return err;
	if (stats_on)
		static_branch_inc(&symp_times);
	else
		static_branch_dec(&symp_times);
	return 0;
}

static const struct kernel_param_ops stats_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_stats,
	.get = param_get_bool,
};

module_param_cb(stats, &stats_ops, &stats_on, 0644);
MODULE_PARM_DESC(stats, "take the times of calls, for histograms by service");

void symp_stats_failure(struct symp_stats *stats, int status)
{
	enum symp_stat what = SYMP_STAT_OTHERS;

	switch (status) {
	case -ETIMEDOUT:
	case -ETIME:
		what = SYMP_STAT_TIMEOUTS;
		break;
	case -ECANCELED:
		what = SYMP_STAT_CANCELS;
		break;
	case -ECONNRESET:
	case -ECONNABORTED:
		what = SYMP_STAT_RESETS;
		break;
	}
	symp_stats_inc(stats, what);
}

static u32 bucket(u64 ns)
{
	return min(ilog2(ns >> 10 | 1), SYMP_STATS_BUCKETS - 1);
}

/* Of a call that ended, in ns; @service_time 0 when it was not received. */
void symp_stats_times(struct symp_stats *stats, u64 queue_time,
		      u64 service_time)
{
	atomic64_inc(&stats->queue_time[bucket(queue_time)]);
	if (service_time)
		atomic64_inc(&stats->service_time[bucket(service_time)]);
}

/* What all processors counted; not of one moment. */
struct symp_counts symp_stats_sum(const struct symp_stats *stats)
{
	const struct symp_counts *counts;
	struct symp_counts sum = { };
	enum symp_stat what;
	int cpu;

	for_each_possible_cpu(cpu) {
		counts = per_cpu_ptr(stats->counts, cpu);
		for (what = 0; what < SYMP_NR_STATS; what++)
			sum.nr[what] += READ_ONCE(counts->nr[what]);
		sum.request_bytes += READ_ONCE(counts->request_bytes);
		sum.answer_bytes += READ_ONCE(counts->answer_bytes);
	}
	return sum;
}
