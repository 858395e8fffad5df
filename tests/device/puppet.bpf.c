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
__u32 taken[8];
__u64 service_times[8];
__u64 scratches[8];
char head[8];
int peeked, peeked_beyond, peeked_around;

/* Of the last call that ended, and of the last replica that came or went. */
struct symphony_done over;
__u64 told;
struct symphony_change up, down;
__u64 ups, downs;

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
	peeked_around = bpf_symphony_peek(route, -4, head, sizeof(head));
	peeked = bpf_symphony_peek(route, 0, head, sizeof(head));
	peeked_beyond = bpf_symphony_peek(route, SYMPHONY_PEEK_MAX - 7, head, sizeof(head));
	bpf_for_each(symphony_replica, replica, route, 0) {
		__u64 endpoint = bpf_symphony_replica_endpoint(replica);

		if (i < 8) {
			__u64 *scratch = (void *)bpf_symphony_replica_scratch(replica, 8);

			endpoints[i] = endpoint;
			taken[i] = bpf_symphony_replica_taken(replica);
			service_times[i] = bpf_symphony_replica_service_time(replica);
			if (scratch)
				scratches[i] = __sync_fetch_and_add(scratch, 1) + 1;
			loads[i++] = bpf_symphony_replica_load(replica);
		}
		if (endpoint == wanted)
			selected = bpf_symphony_select(route, replica);
	}
	return answer;
}

SEC("struct_ops")
void BPF_PROG(puppet_done, struct symphony_done *done)
{
	over.call = done->call;
	over.sender = done->sender;
	over.endpoint = done->endpoint;
	over.queue_time = done->queue_time;
	over.service_time = done->service_time;
	over.service = done->service;
	over.status = done->status;
	__sync_fetch_and_add(&told, 1);
}

SEC("struct_ops")
void BPF_PROG(puppet_up, struct symphony_change *change)
{
	up.endpoint = change->endpoint;
	up.service = change->service;
	up.nr_replicas = change->nr_replicas;
	__sync_fetch_and_add(&ups, 1);
}

SEC("struct_ops")
void BPF_PROG(puppet_down, struct symphony_change *change)
{
	down.endpoint = change->endpoint;
	down.service = change->service;
	down.nr_replicas = change->nr_replicas;
	__sync_fetch_and_add(&downs, 1);
}

SEC(".struct_ops.link")
struct symphony_route_ops puppet = {
	.route = (void *)puppet_route,
	.done = (void *)puppet_done,
	.replica_up = (void *)puppet_up,
	.replica_down = (void *)puppet_down,
};

/* Nothing to ask. */
SEC(".struct_ops.link")
struct symphony_route_ops empty = {};

/* Not for a link. */
SEC(".struct_ops")
struct symphony_route_ops unlinked = {
	.route = (void *)puppet_route,
};
