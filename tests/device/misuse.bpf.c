// SPDX-License-Identifier: GPL-2.0-only
/* misuse: programs that the verifier has to refuse, one map each. */
#include <linux/symphony_bpf.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Where something could be kept from one call to the next. */
__u64 kept;

#define MISUSE(name, section, ...)					\
SEC(section)								\
int BPF_PROG(name##_route, struct symphony_route *route)		\
__VA_ARGS__								\
SEC(".struct_ops.link")							\
struct symphony_route_ops name = { .route = (void *)name##_route };

/* To show that it is not the frame that is refused. */
MISUSE(fine, "struct_ops", {
	struct symphony_replica *replica;

	bpf_for_each(symphony_replica, replica, route, 1)
		bpf_symphony_select(route, replica);
	return -1;
})

MISUSE(writes_to_the_route, "struct_ops", {
	route->nr_replicas = 100;
	return 0;
})

MISUSE(reads_behind_the_route, "struct_ops", {
	return *(int *)((void *)route + sizeof(*route));
})

MISUSE(reads_the_replica, "struct_ops", {
	struct symphony_replica *replica;

	bpf_for_each(symphony_replica, replica, route, 0)
		kept = *(__u64 *)((void *)replica + sizeof(*replica));
	return 0;
})

MISUSE(selects_null, "struct_ops", {
	return bpf_symphony_select(route, NULL);
})

MISUSE(selects_a_number, "struct_ops", {
	return bpf_symphony_select(route, (void *)route->key);
})

MISUSE(selects_its_own_memory, "struct_ops", {
	__u64 forged[8] = {};

	return bpf_symphony_select(route, (void *)&forged[4]);
})

MISUSE(asks_its_own_memory, "struct_ops", {
	return bpf_symphony_replica_load((void *)&kept);
})

MISUSE(iterates_its_own_memory, "struct_ops", {
	struct symphony_replica *replica;
	__u64 forged[32] = {};

	bpf_for_each(symphony_replica, replica, (void *)forged, 0)
		bpf_symphony_select(route, replica);
	return 0;
})

MISUSE(selects_in_its_own_memory, "struct_ops", {
	struct symphony_replica *replica;
	__u64 forged[32] = {};

	bpf_for_each(symphony_replica, replica, route, 0)
		bpf_symphony_select((void *)forged, replica);
	return 0;
})

MISUSE(selects_the_route, "struct_ops", {
	return bpf_symphony_select(route, (void *)route);
})

MISUSE(selects_beside_a_replica, "struct_ops", {
	struct symphony_replica *replica;

	bpf_for_each(symphony_replica, replica, route, 0)
		bpf_symphony_select(route, (void *)replica + 16);
	return 0;
})

MISUSE(selects_what_may_be_null, "struct_ops", {
	struct bpf_iter_symphony_replica it;

	bpf_iter_symphony_replica_new(&it, route, 0);
	bpf_symphony_select(route, bpf_iter_symphony_replica_next(&it));
	bpf_iter_symphony_replica_destroy(&it);
	return 0;
})

MISUSE(keeps_a_replica, "struct_ops", {
	struct symphony_replica *replica;

	bpf_symphony_select(route, (void *)kept);
	bpf_for_each(symphony_replica, replica, route, 0)
		kept = (__u64)replica;
	return 0;
})

MISUSE(keeps_the_route, "struct_ops", {
	struct symphony_replica *replica;

	bpf_for_each(symphony_replica, replica, (void *)kept, 0)
		break;
	kept = (__u64)route;
	return 0;
})

MISUSE(does_not_end_its_iteration, "struct_ops", {
	struct bpf_iter_symphony_replica it;

	bpf_iter_symphony_replica_new(&it, route, 0);
	return 0;
})

MISUSE(iterates_from_nowhere, "struct_ops", {
	struct bpf_iter_symphony_replica it = {};

	bpf_iter_symphony_replica_next(&it);
	return 0;
})

MISUSE(never_ends, "struct_ops", {
	while (route->nr_replicas)
		kept++;
	return 0;
})

MISUSE(sleeps, "struct_ops.s", {
	return 0;
})

MISUSE(calls_what_is_not_for_it, "struct_ops", {
	return bpf_redirect(1, 0);
})

/* Of another kind: what symphony has is not for it. */
SEC("raw_tp/sys_enter")
int BPF_PROG(from_a_tracepoint)
{
	return bpf_symphony_replica_load((void *)ctx);
}

struct sock;

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
} __attribute__((preserve_access_index));

SEC("struct_ops")
__u32 BPF_PROG(from_tcp_ssthresh, struct sock *sk)
{
	return bpf_symphony_replica_load((void *)sk);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops from_tcp = {
	.ssthresh = (void *)from_tcp_ssthresh,
	.name = "misuse",
};
