// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: least_loaded - to the sooner one of two replicas
 *
 * Of two replicas at random, the one that would be done sooner: with the calls that
 * it has and this one, by the time that it lately took for one. Two are enough to
 * keep away from a slow one, and as they are others for each call, calls made at
 * the same moment do not all go to the one that had the fewest.
 *
 * While the time of one of the two is not known, the one with fewer calls. So it is
 * for one call in 256, too: who was slow, and is avoided for that, is measured
 * again.
 */
#include <linux/symphony_bpf.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops")
int BPF_PROG(least_loaded_route, struct symphony_route *route)
{
	__u32 nr = route->nr_replicas, draw = bpf_get_prandom_u32();
	__u32 first = draw % nr, second, at = first;
	__u64 least = ~0ULL, time_of_least = 0;
	struct symphony_replica *replica;

	second = nr > 1 ? (first + 1 + (draw >> 8) % (nr - 1)) % nr : first;
	bpf_for_each(symphony_replica, replica, route, first) {
		__u32 position = at++ % nr;
		__u64 calls, time = 0;

		if (position != first && position != second)
			continue;
		calls = bpf_symphony_replica_load(replica) + 1;
		if (draw >> 24)
			time = bpf_symphony_replica_service_time(replica);
		if ((time && time_of_least ? calls * time < least * time_of_least :
					     calls < least) &&
		    !bpf_symphony_select(route, replica)) {
			least = calls;
			time_of_least = time;
		}
	}
	if (least != ~0ULL)
		return 0;
	/* Neither takes calls. */
	bpf_for_each(symphony_replica, replica, route, first)
		if (!bpf_symphony_select(route, replica))
			break;
	return 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops least_loaded = {
	.route = (void *)least_loaded_route,
	.flags = SYMPHONY_ROUTE_TIMES,
};
