/* SPDX-License-Identifier: GPL-2.0-only */
/* Stats: what became of the calls of a service. */
#ifndef SYMP_STATS_H
#define SYMP_STATS_H

#include <linux/atomic.h>
#include <linux/percpu.h>
#include <linux/types.h>

/* The first is for less than 2 µs, each other for twice as long, the last for all. */
#define SYMP_STATS_BUCKETS	24

/* What a call can come to; as SYMPHONY_A_REPLIES and those behind it. */
enum symp_stat {
	SYMP_STAT_REPLIES,
	SYMP_STAT_ERRORS,	/* of them, the extension's error replies */
	SYMP_STAT_TIMEOUTS,
	SYMP_STAT_CANCELS,
	SYMP_STAT_RESETS,	/* the replica died, or stopped serving */
	SYMP_STAT_OTHERS,	/* too large an answer, the caller's death */
	SYMP_STAT_REFUSALS,	/* never made: a program, or nobody there */
	SYMP_NR_STATS,
};

/**
 * struct symp_counts - on one processor
 * @nr: calls by what they came to
 * @request_bytes: of bodies that were copied to replicas
 * @answer_bytes: of bodies that were copied to callers
 */
struct symp_counts {
	u64 nr[SYMP_NR_STATS];
	u64 request_bytes;
	u64 answer_bytes;
};

/**
 * struct symp_stats - what became of the calls of a service
 * @counts: by outcome; and bytes
 * @queue_time: calls by the time until they were received, or ended before
 * @service_time: calls that were received by the time from then to the end
 *
 * Times are taken while the parameter "stats" is on, or a program wants them.
 */
struct symp_stats {
	struct symp_counts __percpu *counts;
	atomic64_t queue_time[SYMP_STATS_BUCKETS];
	atomic64_t service_time[SYMP_STATS_BUCKETS];
};

static inline void symp_stats_inc(struct symp_stats *stats, enum symp_stat what)
{
	this_cpu_inc(stats->counts->nr[what]);
}

void symp_stats_failure(struct symp_stats *stats, int status);

/* The body of a request, of @len bytes, is in a replica's pool. */
static inline void symp_stats_request(struct symp_stats *stats, u32 len)
{
	this_cpu_add(stats->counts->request_bytes, len);
}

/* The body of an answer, of @len bytes, is in the caller's pool. */
static inline void symp_stats_answer(struct symp_stats *stats, u32 len)
{
	this_cpu_add(stats->counts->answer_bytes, len);
}

/* A call that was made has an outcome: @status, 0 for an answer. */
static inline void symp_stats_outcome(struct symp_stats *stats, int status)
{
	if (likely(!status))
		symp_stats_inc(stats, SYMP_STAT_REPLIES);
	else
		symp_stats_failure(stats, status);
}

void symp_stats_times(struct symp_stats *stats, u64 queue_time,
		      u64 service_time);
struct symp_counts symp_stats_sum(const struct symp_stats *stats);

#endif
