// SPDX-License-Identifier: MIT
/* What a program may not do is refused when it is loaded. */
#include <bpf/libbpf.h>
#include <kselftest_harness.h>

#include "device.h"
#include "misuse.skel.h"

FIXTURE(misuse)
{
	struct misuse *misuse;
	char log[1 << 16];
};

FIXTURE_SETUP(misuse)
{
	struct bpf_map *map;

	dev_begin();
	libbpf_set_print(NULL);
	if (geteuid())
		SKIP(return, "needs root");
	self->misuse = misuse__open();
	ASSERT_NE(NULL, self->misuse);
	bpf_object__for_each_map(map, self->misuse->obj)
		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
			bpf_map__set_autocreate(map, false);
	bpf_program__set_autoload(self->misuse->progs.from_a_tracepoint, false);
}

FIXTURE_TEARDOWN(misuse)
{
	misuse__destroy(self->misuse);
}

TEST_F(misuse, is_in_the_program_and_not_around_it)
{
	bpf_map__set_autocreate(self->misuse->maps.fine, true);
	EXPECT_EQ(0, misuse__load(self->misuse));
}

/* That @map cannot be made: the verifier refuses @prog and says @text. */
#define REFUSED(map, prog, text)					\
TEST_F(misuse, map)							\
{									\
	bpf_map__set_autocreate(self->misuse->maps.map, true);		\
	bpf_program__set_log_buf(self->misuse->progs.prog, self->log,	\
				 sizeof(self->log));			\
	EXPECT_GT(0, misuse__load(self->misuse));			\
	EXPECT_NE(NULL, strstr(self->log, text)) TH_LOG("%s", self->log); \
}
#define ROUTE(map, text)	REFUSED(map, map##_route, text)

ROUTE(writes_to_the_route, "only read is supported")
ROUTE(reads_behind_the_route, "beyond struct symphony_route")
ROUTE(reads_the_replica, "beyond struct symphony_replica")
ROUTE(selects_null, "NULL")
ROUTE(selects_a_number, "STRUCT symphony_replica")
ROUTE(selects_its_own_memory, "STRUCT symphony_replica")
ROUTE(asks_its_own_memory, "STRUCT symphony_replica")
ROUTE(iterates_its_own_memory, "STRUCT symphony_route")
ROUTE(selects_in_its_own_memory, "STRUCT symphony_route")
ROUTE(selects_the_route, "symphony_replica")
ROUTE(selects_beside_a_replica, "off")
ROUTE(selects_what_may_be_null, "NULL")
ROUTE(keeps_a_replica, "STRUCT symphony_replica")
ROUTE(keeps_the_route, "STRUCT symphony_route")
ROUTE(does_not_end_its_iteration, "nreleased")
ROUTE(iterates_from_nowhere, "initialized iter")
ROUTE(never_ends, "infinite loop")
ROUTE(sleeps, "attach to unsupported member")
ROUTE(calls_what_is_not_for_it, "bpf_redirect")
REFUSED(from_tcp, from_tcp_ssthresh, "not allowed")

TEST_F(misuse, from_a_tracepoint)
{
	struct bpf_program *prog = self->misuse->progs.from_a_tracepoint;

	bpf_program__set_autoload(prog, true);
	bpf_program__set_log_buf(prog, self->log, sizeof(self->log));
	EXPECT_GT(0, misuse__load(self->misuse));
	EXPECT_NE(NULL, strstr(self->log, "not allowed")) TH_LOG("%s", self->log);
}

TEST_HARNESS_MAIN
