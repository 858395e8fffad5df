// SPDX-License-Identifier: GPL-2.0-only
/* puppet: does what the test says, and says what it saw. */
#include <linux/symphony_bpf.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Set by the test: choose this endpoint, if not 0; then return this. */
__u64 wanted;
int answer;

/* Of the last call. */
struct symphony_route seen;
__u64 asked;
__u64 endpoints[8];
__u32 loads[8];
int selected;

SEC("struct_ops")
int BPF_PROG(puppet_route, struct symphony_route *route)
{
	struct symphony_replica *replica;
	__u32 i = 0;

	__sync_fetch_and_add(&asked, 1);
	seen.call = route->call;
	seen.sender = route->sender;
	seen.method = route->method;
	seen.key = route->key;
	seen.deadline = route->deadline;
	seen.service = route->service;
	seen.uid = route->uid;
	seen.body_len = route->body_len;
	seen.content_type = route->content_type;
	seen.nr_replicas = route->nr_replicas;
	bpf_for_each(symphony_replica, replica, route, 0) {
		__u64 endpoint = bpf_symphony_replica_endpoint(replica);

		if (i < 8) {
			endpoints[i] = endpoint;
			loads[i++] = bpf_symphony_replica_load(replica);
		}
		if (endpoint == wanted)
			selected = bpf_symphony_select(route, replica);
	}
	return answer;
}

SEC(".struct_ops.link")
struct symphony_route_ops puppet = {
	.route = (void *)puppet_route,
};

/* Nothing to ask. */
SEC(".struct_ops.link")
struct symphony_route_ops empty = {};

/* Not for a link. */
SEC(".struct_ops")
struct symphony_route_ops unlinked = {
	.route = (void *)puppet_route,
};
