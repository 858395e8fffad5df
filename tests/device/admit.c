// SPDX-License-Identifier: MIT
/* Programs that admit: asked, closed when they go, never open in between. */
#include <sys/syscall.h>
#include <linux/symphony_bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <kselftest_harness.h>

#include "claim.h"
#include "gate.skel.h"
#include "round_robin.skel.h"

FIXTURE(admit)
{
	struct ep client, server;
	__u64 svc, cookie;
	struct gate *gate;
};

static void aim(struct bpf_map *map, const char *bus, const char *service)
{
	struct symphony_admit_ops *ops = bpf_map__initial_value(map, &(size_t){ 0 });

	strncpy(ops->bus, bus, sizeof(ops->bus) - 1);
	strncpy(ops->service, service, sizeof(ops->service) - 1);
}

/* Both kinds, aimed at @service. */
static struct gate *gate_load(const char *service)
{
	struct gate *gate = gate__open();

	if (!gate)
		return NULL;
	aim(gate->maps.gate, dev_bus(), service);
	aim(gate->maps.closing, dev_bus(), service);
	aim(gate->maps.absent, dev_bus(), service);
	bpf_map__set_autocreate(gate->maps.strange, false);
	if (!gate__load(gate))
		return gate;
	gate__destroy(gate);
	return NULL;
}

static int join(FIXTURE_DATA(admit) *self)
{
	return ep_join(&self->client, 0) ?: ep_join(&self->server, 0) ?:
	       ep_claim(&self->server, "svc", &self->svc);
}

FIXTURE_SETUP(admit)
{
	dev_begin();
	if (!getenv("VERBOSE"))
		libbpf_set_print(NULL);
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, join(self));
	self->gate = gate_load("svc");
	ASSERT_NE(NULL, self->gate);
}

FIXTURE_TEARDOWN(admit)
{
	gate__destroy(self->gate);
	ep_close(&self->client);
	ep_close(&self->server);
}

/* Make a call, and answer it; 0, or the -errno of SEND. */
static int try(FIXTURE_DATA(admit) *self)
{
	__u64 cookie = ++self->cookie, fetched;
	int ret = ep_mark(&self->client, self->svc, cookie, 8);

	if (ret)
		return ret;
	if (ep_serve(&self->server) != (long)cookie ||
	    ep_fetch(&self->client, &fetched) || fetched != cookie)
		return -EBADMSG;
	return 0;
}

TEST_F(admit, says_yes_or_no)
{
	static const int errors[] = { EACCES, EPERM, EBUSY, ECONNREFUSED, ETIME };
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	struct symphony_call call = ep_request(self->svc, NULL, 0);

	ASSERT_NE(NULL, link);
	EXPECT_EQ(0, try(self));
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		self->gate->bss->answer = -errors[i];
		EXPECT_EQ(-errors[i], try(self));
		EXPECT_EQ(-errors[i], ep_call(&self->client, &call));
		EXPECT_EQ(0, call.id);
	}
	EXPECT_EQ(11, self->gate->bss->asked);
	EXPECT_TRUE(ep_is_quiet(&self->server));
	bpf_link__destroy(link);
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(11, self->gate->bss->asked);
}

/* It was chosen for before there was a gate; it is delivered after. */
TEST_F(admit, is_not_passed_by_a_call_that_waits_for_room)
{
	static unsigned char body[40000];
	struct symphony_call call = ep_request(self->svc, body, sizeof(body));
	struct bpf_link *link;
	struct caller caller;
	int sent = 0;

	call.flags = SYMPHONY_CALL_ONEWAY;
	call.reply_max = 0;
	call.deadline = 0;
	while (!ep_send(&self->client, &call) && ++sent < 10000)
		call.id = call.slot = 0;
	call = ep_request(self->svc, body, sizeof(body));
	ASSERT_EQ(0, caller_start(&caller, &self->client, call));
	EXPECT_EQ(-ETIMEDOUT, caller_join(&caller, 2 * DEV_BEAT));
	self->gate->bss->answer = -EACCES;
	link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	ASSERT_NE(NULL, link);
	while (sent--) {
		const struct symphony_msg *msg = ep_next(&self->server, DEV_LONG);

		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, ep_release(&self->server, msg));
	}
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(-EACCES, caller.ret);
	EXPECT_TRUE(ep_is_quiet(&self->server));
	bpf_link__destroy(link);
	EXPECT_EQ(0, try(self));
}

TEST_F(admit, sees_the_call)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	const struct symphony_admit *seen = &self->gate->bss->seen;
	struct symphony_call call = ep_request(self->svc, "hello", 5);

	ASSERT_NE(NULL, link);
	call.method = 123;
	call.key = ~0ULL - 5;
	call.content_type = SYMPHONY_CONTENT_JSON;
	ASSERT_EQ(0, ep_send(&self->client, &call));
	EXPECT_EQ(self->client.id, seen->sender);
	EXPECT_EQ(123, seen->method);
	EXPECT_EQ(~0ULL - 5, seen->key);
	EXPECT_EQ(call.deadline, seen->deadline);
	EXPECT_EQ(self->svc, seen->service);
	EXPECT_EQ(0, seen->sender_service);
	EXPECT_EQ(geteuid(), seen->uid);
	EXPECT_EQ(getegid(), seen->gid);
	EXPECT_EQ(5, seen->body_len);
	EXPECT_EQ(SYMPHONY_CONTENT_JSON, seen->content_type);
	bpf_link__destroy(link);
}

TEST_F(admit, knows_the_service_that_calls)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	const struct symphony_admit *seen = &self->gate->bss->seen;
	__u64 first, second, third;

	ASSERT_NE(NULL, link);
	/* To activate one is not to serve it. */
	ASSERT_EQ(0, ep_claim_with(&self->client, "third", SYMPHONY_CLAIM_ACTIVATOR,
				   0, &third));
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(0, seen->sender_service);
	ASSERT_EQ(0, ep_claim(&self->client, "first", &first));
	ASSERT_EQ(0, ep_claim(&self->client, "second", &second));
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(first, seen->sender_service);
	ASSERT_EQ(0, ep_unclaim(&self->client, first));
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(second, seen->sender_service);
	ASSERT_EQ(0, ep_claim(&self->client, "first", &first));
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(second, seen->sender_service);
	/* By takeover too. */
	ASSERT_EQ(0, ep_claim_with(&self->server, "second", SYMPHONY_CLAIM_TAKEOVER,
				   0, &second));
	ASSERT_NE(NULL, ep_expect(&self->client, SYMPHONY_MSG_TAKEOVER, 0));
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(first, seen->sender_service);
	self->gate->bss->sender_service = first;
	self->gate->bss->answer_to_service = -EPERM;
	EXPECT_EQ(-EPERM, try(self));
	ASSERT_EQ(0, ep_unclaim(&self->client, first));
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(0, seen->sender_service);
	bpf_link__destroy(link);
}

TEST_F(admit, needs_the_bus_and_the_service)
{
	struct gate *of_bus = gate_load("");
	struct bpf_link *link, *bus_link;

	ASSERT_NE(NULL, of_bus);
	link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	bus_link = bpf_map__attach_struct_ops(of_bus->maps.gate);
	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, bus_link);
	EXPECT_EQ(0, try(self));
	EXPECT_EQ(1, self->gate->bss->asked);
	EXPECT_EQ(1, of_bus->bss->asked);
	self->gate->bss->answer = -EPERM;
	EXPECT_EQ(-EPERM, try(self));
	of_bus->bss->answer = -EBUSY;
	EXPECT_EQ(-EBUSY, try(self));
	EXPECT_EQ(2, self->gate->bss->asked);
	self->gate->bss->answer = 0;
	EXPECT_EQ(-EBUSY, try(self));
	bpf_link__destroy(bus_link);
	EXPECT_EQ(0, try(self));
	bpf_link__destroy(link);
	gate__destroy(of_bus);
}

TEST_F(admit, fails_closed_when_its_link_ends)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.closing);

	ASSERT_NE(NULL, link);
	EXPECT_EQ(0, try(self));
	for (int i = 0; i < 3; i++) {
		bpf_link__destroy(link);
		EXPECT_EQ(-EACCES, try(self));
		link = bpf_map__attach_struct_ops(self->gate->maps.closing);
		ASSERT_NE(NULL, link);
		EXPECT_EQ(0, try(self));
	}
	/* Opened by one that does not close. */
	bpf_link__destroy(link);
	link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	ASSERT_NE(NULL, link);
	EXPECT_EQ(0, try(self));
	bpf_link__destroy(link);
	EXPECT_EQ(0, try(self));
}

TEST_F(admit, fails_as_the_last_one_said)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.closing);

	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, bpf_link__update_map(link, self->gate->maps.gate));
	bpf_link__destroy(link);
	EXPECT_EQ(0, try(self));
	link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, bpf_link__update_map(link, self->gate->maps.closing));
	bpf_link__destroy(link);
	EXPECT_EQ(-EACCES, try(self));
}

TEST_F(admit, fails_closed_for_the_whole_bus)
{
	struct gate *of_bus = gate_load("");
	struct bpf_link *link;
	__u64 other;

	ASSERT_NE(NULL, of_bus);
	link = bpf_map__attach_struct_ops(of_bus->maps.closing);
	ASSERT_NE(NULL, link);
	EXPECT_EQ(0, try(self));
	bpf_link__destroy(link);
	gate__destroy(of_bus);
	EXPECT_EQ(-EACCES, try(self));
	ASSERT_EQ(0, ep_claim(&self->server, "other", &other));
	EXPECT_EQ(-EACCES, ep_mark(&self->client, other, 1, 8));
	/* A service's own program cannot open it. */
	link = bpf_map__attach_struct_ops(self->gate->maps.gate);
	ASSERT_NE(NULL, link);
	EXPECT_EQ(-EACCES, try(self));
	bpf_link__destroy(link);
	/* It is gone with the bus. */
	ep_close(&self->client);
	ep_close(&self->server);
	ASSERT_EQ(0, join(self));
	EXPECT_EQ(0, try(self));
}

TEST_F(admit, outlives_a_bus)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.closing);

	ASSERT_NE(NULL, link);
	self->gate->bss->answer = -EPERM;
	EXPECT_EQ(-EPERM, try(self));
	ep_close(&self->client);
	ep_close(&self->server);
	ASSERT_EQ(0, join(self));
	EXPECT_EQ(0, try(self));
	/* Now the old bus goes, and what its gate was. */
	bpf_link__destroy(link);
	EXPECT_EQ(0, try(self));
}

TEST_F(admit, disabled_is_as_if_it_were_gone)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.closing);

	ASSERT_NE(NULL, link);
	for (int nonsense = 1; nonsense > -100; nonsense -= 100) {
		self->gate->bss->asked = 0;
		self->gate->bss->answer = nonsense;
		for (int i = 0; i < 70; i++)
			EXPECT_EQ(-EACCES, try(self));
		EXPECT_EQ(64, self->gate->bss->asked);
		self->gate->bss->answer = 0;
		EXPECT_EQ(-EACCES, try(self));
		ASSERT_EQ(0, bpf_link__update_map(link, self->gate->maps.gate));
		EXPECT_EQ(0, try(self));

		self->gate->bss->asked = 0;
		self->gate->bss->answer = nonsense;
		for (int i = 0; i < 70; i++)
			EXPECT_EQ(0, try(self));
		EXPECT_EQ(64, self->gate->bss->asked);
		ASSERT_EQ(0, bpf_link__update_map(link, self->gate->maps.closing));
	}
	bpf_link__destroy(link);
}

/* Callers never find the gate open, however often its program goes and comes. */
TEST_F(admit, is_not_open_in_between)
{
	struct bpf_link *link;
	struct kid kid;
	__s64 said;

	self->gate->bss->answer = -EPERM;
	/* Forked first, as it would hold the link. */
	if (!kid_fork(&kid)) {
		struct ep ep;
		int ret;

		said = ep_join(&ep, 0) ?: kid_hear(&kid, &said);
		for (__u64 end = dev_after(3000); !said && dev_now() < end;) {
			ret = ep_mark(&ep, self->svc, 1, 8);
			if (ret != -EPERM && ret != -EACCES)
				said = ret ?: 1;
		}
		kid_tell(&kid, said);
		pause();
	}
	link = bpf_map__attach_struct_ops(self->gate->maps.closing);
	ASSERT_NE(NULL, link);
	kid_tell(&kid, 0);
	for (__u64 end = dev_after(3000); dev_now() < end;) {
		bpf_link__destroy(link);
		link = bpf_map__attach_struct_ops(self->gate->maps.closing);
		ASSERT_NE(NULL, link);
		ASSERT_EQ(0, bpf_link__update_map(link, self->gate->maps.closing));
	}
	ASSERT_EQ(0, kid_hear(&kid, &said));
	EXPECT_EQ(0, said);
	kid_kill(&kid, SIGKILL);
	bpf_link__destroy(link);
}

TEST_F(admit, closes_in_the_instant_its_loader_dies)
{
	struct kid kid;
	__s64 said = 0;

	gate__destroy(self->gate);
	self->gate = NULL;
	if (!kid_fork(&kid)) {
		struct gate *gate = gate_load("svc");

		gate->bss->answer = -EPERM;
		kid_tell(&kid, bpf_map__attach_struct_ops(gate->maps.closing) ? 1 : 0);
		pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &said));
	ASSERT_EQ(1, said);
	EXPECT_EQ(-EPERM, try(self));
	kill(kid.pid, SIGKILL);
	for (int i = 0, ret = 0; ret != -EACCES && i < 10000; i++) {
		ret = try(self);
		ASSERT_TRUE(ret == -EPERM || ret == -EACCES);
	}
	kid_reap(&kid);
	EXPECT_EQ(-EACCES, dev_until(try(self) == -EACCES) ? -EACCES : 0);
}

TEST_F(admit, is_beside_a_router)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(self->gate->maps.gate), *other;
	struct round_robin *rr = round_robin__open();
	struct symphony_route_ops *ops;

	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, rr);
	ops = bpf_map__initial_value(rr->maps.round_robin, &(size_t){ 0 });
	strcpy(ops->bus, dev_bus());
	strcpy(ops->service, "svc");
	ASSERT_EQ(0, round_robin__load(rr));
	other = bpf_map__attach_struct_ops(rr->maps.round_robin);
	ASSERT_NE(NULL, other);
	EXPECT_EQ(0, try(self));
	self->gate->bss->answer = -EPERM;
	EXPECT_EQ(-EPERM, try(self));
	/* A link keeps to its kind. */
	EXPECT_GT(0, bpf_link__update_map(other, self->gate->maps.closing));
	bpf_link__destroy(other);
	EXPECT_EQ(-EPERM, try(self));
	bpf_link__destroy(link);
	round_robin__destroy(rr);
}

TEST_F(admit, needs_a_program_and_known_flags)
{
	struct gate *gate = gate__open();

	EXPECT_EQ(NULL, bpf_map__attach_struct_ops(self->gate->maps.absent));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_NE(NULL, gate);
	aim(gate->maps.strange, dev_bus(), "svc");
	bpf_map__set_autocreate(gate->maps.absent, false);
	bpf_map__set_autocreate(gate->maps.closing, false);
	aim(gate->maps.gate, dev_bus(), "svc");
	ASSERT_EQ(0, gate__load(gate));
	EXPECT_EQ(NULL, bpf_map__attach_struct_ops(gate->maps.strange));
	EXPECT_EQ(EINVAL, errno);
	gate__destroy(gate);
	EXPECT_EQ(0, try(self));
}

TEST_HARNESS_MAIN
