// SPDX-License-Identifier: GPL-2.0-only
/* refused: writes to the call, which the verifier does not let it. */
#include <linux/symphony_bpf.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops")
int BPF_PROG(refused_route, struct symphony_route *route)
{
	route->key = 1;
	return 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops refused = {
	.route = (void *)refused_route,
};
