// SPDX-License-Identifier: GPL-2.0-only
/* round_robin: to each replica in turn, however busy it is. */
#include <linux/symphony_bpf.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

static __u32 turn;

SEC("struct_ops")
int BPF_PROG(round_robin_route, struct symphony_route *route)
{
	struct symphony_replica *replica;
	__u32 first = __sync_fetch_and_add(&turn, 1);

	bpf_for_each(symphony_replica, replica, route, first)
		if (!bpf_symphony_select(route, replica))
			break;
	return 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops round_robin = {
	.route = (void *)round_robin_route,
};
