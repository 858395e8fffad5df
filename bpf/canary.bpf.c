// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: canary - some percent of the calls to the newest replicas
 *
 * @percent of the calls go to the @newest replicas that came last, the others to
 * those before them; among either, to the one with the fewest calls. While none of
 * these takes calls, the others get them all; while all replicas are among the
 * newest, the built-in policy chooses.
 *
 * Calls with a key are told apart by it: a key sees one version only, and with a
 * greater @percent keys move to the newest, none away. Calls without one are
 * counted: of any number of them in sequence the newest get their percentage, but
 * for a call or two, whatever pattern the callers have.
 */
#include <stdbool.h>
#include <linux/symphony_bpf.h>
#include <symphony/policy.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SBUS_OPTION(percent, 10, 0, 100);
SBUS_OPTION(newest, 1, 1, 1000000);

/* By the golden ratio: multiples of it fill the circle evenly. */
#define PHI32	0x9e3779b9
#define PHI64	0x9e3779b97f4a7c15

static __u32 turn;

/*
 * The one with the fewest calls from @begin to before @end, among equals in turn. The
 * position is never a number that the verifier knows: it would try each.
 */
static bool choose(struct symphony_route *route, __u32 begin, __u32 end, __u32 now)
{
	__u32 first = begin + now % (end - begin), at = first, least = ~0U;
	struct symphony_replica *replica;

	bpf_for_each(symphony_replica, replica, route, first) {
		__u32 load = bpf_symphony_replica_load(replica);
		__u32 position = at++ % route->nr_replicas;

		if (position >= begin && position < end && load < least &&
		    !bpf_symphony_select(route, replica))
			least = load;
	}
	return least != ~0U;
}

SEC("struct_ops")
int BPF_PROG(canary_route, struct symphony_route *route)
{
	__u32 nr = route->nr_replicas, now = __sync_fetch_and_add(&turn, 1);
	__u64 draw = now * PHI32;
	__u32 older;

	if (newest >= nr)
		return 0;
	older = nr - newest;
	if (route->key) {
		draw = route->key * PHI64;
		draw = ((draw ^ draw >> 32) * PHI64) >> 32;
	}
	if (draw * 100 >> 32 < percent) {
		if (!choose(route, older, nr, now))
			choose(route, 0, older, now);
	} else if (!choose(route, 0, older, now)) {
		choose(route, older, nr, now);
	}
	return 0;
}

SEC(".struct_ops.link")
struct symphony_route_ops canary = {
	.route = (void *)canary_route,
};
