// SPDX-License-Identifier: GPL-2.0-only
/*
 * spill: the first replica gets all calls while it has fewer than @most, then the
 * next one, and so on: the last ones stay idle, and can be stopped.
 */
#include <linux/symphony_bpf.h>
#include <symphony/policy.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SBUS_OPTION(most, 4, 1, 1000);

SEC("struct_ops")
int BPF_PROG(spill_route, struct symphony_route *route)
{
	struct symphony_replica *replica;

	/* Without a choice it is the built-in policy's: the one with the fewest. */
	bpf_for_each(symphony_replica, replica, route, 0)
		if (bpf_symphony_replica_load(replica) < most &&
		    !bpf_symphony_select(route, replica))
			break;
	return 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops spill = {
	.route = (void *)spill_route,
};
