// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: deadline_shed - refuses what cannot be done in time
 *
 * A call goes to the replica that would be done with it first: after the calls that
 * it has, each of which takes as long as it lately took for one. If that is later
 * than the call's deadline, the call is refused with ETIME at once: its caller
 * need not wait for that, and nobody works on an answer that comes too late.
 *
 * @percent of the estimate has to fit before the deadline: less than 100 for
 * replicas that do several calls at a time, more to be careful. A call without a
 * deadline is not refused, nor is one while the time is not known.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/symphony_bpf.h>
#include <symphony/policy.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SBUS_OPTION(percent, 100, 1, 10000);

static __u32 turn;

SEC("struct_ops")
int BPF_PROG(deadline_shed_route, struct symphony_route *route)
{
	__u32 first = __sync_fetch_and_add(&turn, 1);
	struct symphony_replica *replica;
	__u64 soonest = ~0ULL;

	bpf_for_each(symphony_replica, replica, route, first) {
		__u64 time = bpf_symphony_replica_service_time(replica);
		__u64 calls = bpf_symphony_replica_load(replica) + 1;

		/* A ns each while it is not known. */
		time = calls * (time ?: 1);
		if (time < soonest && !bpf_symphony_select(route, replica))
			soonest = time;
	}
	if (soonest == ~0ULL || !route->deadline)
		return 0;
	return bpf_ktime_get_ns() + soonest / 100 * percent > route->deadline ? -ETIME : 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops deadline_shed = {
	.route = (void *)deadline_shed_route,
	.flags = SYMPHONY_ROUTE_TIMES,
};
