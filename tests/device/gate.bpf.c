// SPDX-License-Identifier: GPL-2.0-only
/* gate: lets pass whom the test says, and says what it saw. */
#include <linux/symphony_bpf.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Set by the test: the answer to whoever serves no service, or this one. */
int answer;
int answer_to_service;
__u32 sender_service;

struct symphony_admit seen;
__u64 asked;

static int decide(struct symphony_admit *admit)
{
	__sync_fetch_and_add(&asked, 1);
	seen.sender = admit->sender;
	seen.method = admit->method;
	seen.key = admit->key;
	seen.deadline = admit->deadline;
	seen.service = admit->service;
	seen.sender_service = admit->sender_service;
	seen.uid = admit->uid;
	seen.gid = admit->gid;
	seen.body_len = admit->body_len;
	seen.content_type = admit->content_type;
	if (admit->sender_service && admit->sender_service == sender_service)
		return answer_to_service;
	return answer;
}

SEC("struct_ops")
int BPF_PROG(gate_admit, struct symphony_admit *admit)
{
	return decide(admit);
}

/* For another map of the same: an instance cannot be in two. */
SEC("struct_ops")
int BPF_PROG(closing_admit, struct symphony_admit *admit)
{
	return decide(admit);
}

SEC(".struct_ops.link")
struct symphony_admit_ops gate = {
	.admit = (void *)gate_admit,
};

SEC(".struct_ops.link")
struct symphony_admit_ops closing = {
	.admit = (void *)closing_admit,
	.flags = SYMPHONY_ADMIT_FAIL_CLOSED,
};

SEC(".struct_ops.link")
struct symphony_admit_ops strange = {
	.admit = (void *)gate_admit,
	.flags = 2,
};

SEC(".struct_ops.link")
struct symphony_admit_ops absent = {};
