// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: consistent_hash - calls with the same key go to the same replica
 *
 * Rendezvous hashing over the replicas' endpoint ids: of a call's key and each
 * replica a weight is made, and the greatest one has the call. When a replica
 * leaves, only its keys move; one that comes takes its share of all the others'.
 * So that a few busy keys do not overload a replica, its load is bounded to
 * @bound percent of the mean (Mirrokni, Thorup, Zadimoghaddam: Consistent hashing
 * with bounded loads, 2016): one at the bound is passed by, for the next greatest
 * weight below it. @least calls each can have in any case, so that with few calls
 * about a key stays where it is. The load is what the replicas have now: the bound
 * can be exceeded by as many calls as are routed at the same moment.
 *
 * A call without a key goes where the built-in policy says.
 */
#include <linux/symphony_bpf.h>
#include <symphony/policy.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SBUS_OPTION(bound, 125, 100, 100000);
SBUS_OPTION(least, 2, 1, 1000000);

/* The finalizer of splitmix64. */
static __u64 mix(__u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

SEC("struct_ops")
int BPF_PROG(consistent_hash_route, struct symphony_route *route)
{
	struct symphony_replica *replica;
	__u64 nr = route->nr_replicas, sum = 1, greatest = 0, most;

	if (!route->key)
		return 0;
	/* Those that drain have no part in the mean. Counted down: see canary. */
	bpf_for_each(symphony_replica, replica, route, 0) {
		if (bpf_symphony_select(route, replica))
			nr--;
		else
			sum += bpf_symphony_replica_load(replica);
	}
	if (!nr)
		return 0;
	most = (sum * bound + 100 * nr - 1) / (100 * nr);
	if (most < least)
		most = least;
	bpf_for_each(symphony_replica, replica, route, 0) {
		__u64 weight = mix(route->key + mix(bpf_symphony_replica_endpoint(replica)));

		if (weight >= greatest && bpf_symphony_replica_load(replica) < most &&
		    !bpf_symphony_select(route, replica))
			greatest = weight;
	}
	return 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops consistent_hash = {
	.route = (void *)consistent_hash_route,
};
