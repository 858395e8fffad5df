// SPDX-License-Identifier: GPL-2.0-only
/* tomorrow: asks what no module of today knows. */
#include <linux/symphony_bpf.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

extern __u32 bpf_symphony_replica_mood(struct symphony_replica *replica) __ksym;

SEC("struct_ops")
int BPF_PROG(tomorrow_route, struct symphony_route *route)
{
	struct symphony_replica *replica;

	bpf_for_each(symphony_replica, replica, route, 0)
		if (bpf_symphony_replica_mood(replica))
			bpf_symphony_select(route, replica);
	return 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops tomorrow = {
	.route = (void *)tomorrow_route,
};
