// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: acl - who may call whom, by a list
 *
 * A call is made if its sender's uid, the service that the sender serves (none is
 * one of the possibilities), and the service that it calls are on the list. All
 * others get EACCES; everybody does when the program is gone.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/symphony_bpf.h>
#include <symphony/policy.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct sbus_acl_key);
	__type(value, __u8);
} allow SEC(".maps");

SEC("struct_ops")
int BPF_PROG(acl_admit, struct symphony_admit *admit)
{
	struct sbus_acl_key key = {
		.uid = admit->uid,
		.sender_service = admit->sender_service,
		.service = admit->service,
	};

	return bpf_map_lookup_elem(&allow, &key) ? 0 : -EACCES;
}

SEC(".struct_ops.link")
struct symphony_admit_ops acl = {
	.admit = (void *)acl_admit,
	.flags = SYMPHONY_ADMIT_FAIL_CLOSED,
};
