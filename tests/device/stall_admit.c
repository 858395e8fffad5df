// SPDX-License-Identifier: MIT
/* A call that was admitted and whose body is waited for: a gate that closes is closed. */
#include <linux/symphony_bpf.h>
#include <bpf/libbpf.h>

#include "gate.skel.h"
#include "stall.h"

static struct gate *gate_load(void)
{
	struct gate *gate = gate__open();
	struct symphony_admit_ops *ops;

	if (!gate)
		return NULL;
	ops = bpf_map__initial_value(gate->maps.closing, &(size_t){ 0 });
	strcpy(ops->bus, dev_bus());
	bpf_map__set_autocreate(gate->maps.gate, false);
	bpf_map__set_autocreate(gate->maps.strange, false);
	bpf_map__set_autocreate(gate->maps.absent, false);
	return gate__load(gate) ? NULL : gate;
}

TEST_F(stall, a_gate_that_closes_is_closed_for_who_is_stalled)
{
	struct gate *gate;
	struct bpf_link *link;

	if (geteuid())
		SKIP(return, "needs root");
	gate = gate_load();
	ASSERT_NE(NULL, gate);
	link = bpf_map__attach_struct_ops(gate->maps.closing);
	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	EXPECT_EQ(1, gate->bss->asked);
	bpf_link__destroy(link);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-EACCES, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	gate__destroy(gate);
}

TEST_HARNESS_MAIN
