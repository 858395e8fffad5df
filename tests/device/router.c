// SPDX-License-Identifier: MIT
/* Programs that route: attached, asked, replaced, detached, disabled. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/symphony_bpf.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <kselftest_harness.h>

#include "claim.h"
#include "puppet.skel.h"
#include "round_robin.skel.h"

#define REPLICAS	3

FIXTURE(router)
{
	struct ep client, replica[REPLICAS];
	__u64 svc, cookie;
	struct puppet *puppet;
};

static struct symphony_route_ops *ops_of(struct bpf_map *map)
{
	return bpf_map__initial_value(map, &(size_t){ 0 });
}

static void aim(struct bpf_map *map, const char *bus, const char *service)
{
	struct symphony_route_ops *ops = ops_of(map);

	/* One that is too long has no end then. */
	memcpy(ops->bus, bus, strnlen(bus, sizeof(ops->bus)));
	memcpy(ops->service, service, strnlen(service, sizeof(ops->service)));
}

/* A puppet whose program can be attached to @service, with @flags. */
static struct puppet *puppet_load_with(const char *service, __u32 flags)
{
	struct puppet *puppet = puppet__open();

	if (!puppet)
		return NULL;
	aim(puppet->maps.puppet, dev_bus(), service);
	ops_of(puppet->maps.puppet)->flags = flags;
	bpf_map__set_autocreate(puppet->maps.empty, false);
	bpf_map__set_autocreate(puppet->maps.unlinked, false);
	if (!puppet__load(puppet))
		return puppet;
	puppet__destroy(puppet);
	return NULL;
}

static struct puppet *puppet_load(const char *service)
{
	return puppet_load_with(service, 0);
}

FIXTURE_SETUP(router)
{
	dev_begin();
	if (!getenv("VERBOSE"))
		libbpf_set_print(NULL);
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join(&self->client, 0));
	for (int i = 0; i < REPLICAS; i++) {
		ASSERT_EQ(0, ep_join(&self->replica[i], 0));
		ASSERT_EQ(0, ep_claim(&self->replica[i], "svc", &self->svc));
	}
	self->puppet = puppet_load("svc");
	ASSERT_NE(NULL, self->puppet);
}

FIXTURE_TEARDOWN(router)
{
	puppet__destroy(self->puppet);
	ep_close(&self->client);
	for (int i = 0; i < REPLICAS; i++)
		ep_close(&self->replica[i]);
}

/* Make a call, and answer it; which replica got it, or the -errno of SEND. */
static int where(FIXTURE_DATA(router) *self)
{
	__u64 cookie = ++self->cookie, fetched;
	int ret = ep_mark(&self->client, self->svc, cookie, 8), at = -EBADMSG;

	if (ret)
		return ret;
	for (int i = 0; i < REPLICAS; i++) {
		const struct symphony_msg *msg = ep_next(&self->replica[i], -1);

		if (!msg)
			continue;
		if (at >= 0 || !ep_is_marked(msg, cookie, 8) ||
		    ep_reply(&self->replica[i], msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
			return -EBADMSG;
		at = i;
	}
	ret = ep_fetch(&self->client, &fetched);
	return ret || fetched != cookie ? -EBADMSG : at;
}

/* The built-in policy goes round when all are idle. */
static bool is_built_in(FIXTURE_DATA(router) *self)
{
	int first = where(self);

	for (int i = 1; i < 2 * REPLICAS; i++)
		if (first < 0 || where(self) != (first + i) % REPLICAS)
			return false;
	return true;
}

static struct bpf_link *attach(FIXTURE_DATA(router) *self)
{
	return bpf_map__attach_struct_ops(self->puppet->maps.puppet);
}

TEST_F(router, chooses)
{
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	for (int i = 0; i < 3 * REPLICAS; i++) {
		self->puppet->bss->wanted = self->replica[i % 2].id;
		EXPECT_EQ(i % 2, where(self));
		EXPECT_EQ(0, self->puppet->bss->selected);
	}
	EXPECT_EQ(3 * REPLICAS, self->puppet->bss->asked);
	bpf_link__destroy(link);
	EXPECT_TRUE(is_built_in(self));
	EXPECT_EQ(3 * REPLICAS, self->puppet->bss->asked);
}

TEST_F(router, without_a_choice_it_is_the_built_in_policy)
{
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	EXPECT_TRUE(is_built_in(self));
	EXPECT_EQ(2 * REPLICAS, self->puppet->bss->asked);
	bpf_link__destroy(link);
}

TEST_F(router, sees_the_call)
{
	struct bpf_link *link = attach(self);
	struct puppet__bss *bss = self->puppet->bss;
	struct symphony_call call;

	ASSERT_NE(NULL, link);
	bss->wanted = self->replica[1].id;
	for (int i = 0; i < 2; i++) {
		call = ep_request(self->svc, "hello", 5);
		call.method = 123;
		call.key = ~0ULL - 5;
		call.content_type = SYMPHONY_CONTENT_JSON;
		ASSERT_EQ(0, ep_send(&self->client, &call));
		EXPECT_EQ(call.id, bss->seen.call);
		EXPECT_EQ(self->client.id, bss->seen.sender);
		EXPECT_EQ(123, bss->seen.method);
		EXPECT_EQ(~0ULL - 5, bss->seen.key);
		EXPECT_EQ(call.deadline, bss->seen.deadline);
		EXPECT_EQ(self->svc, bss->seen.service);
		EXPECT_EQ(geteuid(), bss->seen.uid);
		EXPECT_EQ(5, bss->seen.body_len);
		EXPECT_EQ(SYMPHONY_CONTENT_JSON, bss->seen.content_type);
		EXPECT_EQ(REPLICAS, bss->seen.nr_replicas);
		for (int j = 0; j < REPLICAS; j++) {
			EXPECT_EQ(self->replica[j].id, bss->endpoints[j]);
			EXPECT_EQ(j == 1 ? i : 0, bss->loads[j]);
		}
	}
	bpf_link__destroy(link);
}

TEST_F(router, sees_what_the_replicas_do)
{
	struct bpf_link *link = attach(self);
	struct puppet__bss *bss = self->puppet->bss;
	const struct symphony_msg *msg;

	ASSERT_NE(NULL, link);
	bss->wanted = self->replica[1].id;
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 8));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, 8));
	msg = ep_next(&self->replica[1], DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, bss->service_times[1]);
	dev_nap(20);
	EXPECT_EQ(0, ep_reply(&self->replica[1], msg, NULL, 0, 0));
	EXPECT_EQ(2, ep_serve(&self->replica[1]));
	/* The second took hardly any time. */
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 3, 8));
	EXPECT_LE(20000000ULL * 7 / 8, bss->service_times[1]);
	EXPECT_EQ(0, bss->loads[1]);
	msg = ep_next(&self->replica[1], DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 4, 8));
	EXPECT_EQ(1, bss->taken[1]);
	EXPECT_EQ(1, bss->loads[1]);
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 5, 8));
	EXPECT_EQ(1, bss->taken[1]);
	EXPECT_EQ(2, bss->loads[1]);
	for (int i = 0; i < REPLICAS; i++)
		EXPECT_EQ(5, bss->scratches[i]);
	bpf_link__destroy(link);
}

TEST_F(router, sees_the_replica_and_its_scratch_go)
{
	struct bpf_link *link = attach(self);
	struct puppet__bss *bss = self->puppet->bss;
	__u64 id;

	ASSERT_NE(NULL, link);
	EXPECT_EQ(REPLICAS, bss->ups);
	EXPECT_EQ(self->svc, bss->up.service);
	EXPECT_EQ(REPLICAS, bss->up.nr_replicas);
	EXPECT_LE(0, where(self));
	ASSERT_EQ(0, ep_unclaim(&self->replica[0], self->svc));
	EXPECT_EQ(1, bss->downs);
	EXPECT_EQ(self->replica[0].id, bss->down.endpoint);
	EXPECT_EQ(REPLICAS - 1, bss->down.nr_replicas);
	ASSERT_EQ(0, ep_claim(&self->replica[0], "svc", &self->svc));
	EXPECT_EQ(REPLICAS + 1, bss->ups);
	EXPECT_EQ(self->replica[0].id, bss->up.endpoint);
	/* It is the last one now, and new. */
	EXPECT_LE(0, where(self));
	EXPECT_EQ(self->replica[0].id, bss->endpoints[2]);
	EXPECT_EQ(1, bss->scratches[2]);
	EXPECT_EQ(2, bss->scratches[1]);
	id = self->replica[1].id;
	ep_close(&self->replica[1]);
	self->replica[1].fd = -1;
	EXPECT_EQ(2, bss->downs);
	EXPECT_EQ(id, bss->down.endpoint);
	/* By whoever replaces them all. */
	ASSERT_EQ(0, ep_claim_with(&self->client, "svc", SYMPHONY_CLAIM_TAKEOVER, 0,
				   &self->svc));
	EXPECT_EQ(4, bss->downs);
	EXPECT_EQ(REPLICAS + 2, bss->ups);
	EXPECT_EQ(1, bss->up.nr_replicas);
	bpf_link__destroy(link);
}

TEST_F(router, of_the_bus_hears_of_the_replicas_it_inherits)
{
	struct bpf_link *link = attach(self), *all_link;
	struct puppet *all = puppet_load("");

	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, all);
	all_link = bpf_map__attach_struct_ops(all->maps.puppet);
	ASSERT_NE(NULL, all_link);
	EXPECT_EQ(0, all->bss->ups);
	bpf_link__destroy(link);
	EXPECT_EQ(REPLICAS, all->bss->ups);
	bpf_link__destroy(all_link);
	puppet__destroy(all);
}

TEST_F(router, is_told_how_calls_end)
{
	struct bpf_link *link;
	struct puppet__bss *bss = self->puppet->bss;
	const struct symphony_msg *msg;
	struct symphony_call call, child;
	__u64 cookie, id;

	/* Made before there was a program: not told. */
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 8));
	link = attach(self);
	ASSERT_NE(NULL, link);
	EXPECT_EQ(1, ep_serve(&self->replica[0]));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(0, bss->told);

	bss->wanted = self->replica[2].id;
	call = ep_request(self->svc, "hello", 5);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	dev_nap(10);
	msg = ep_next(&self->replica[2], DEV_LONG);
	ASSERT_NE(NULL, msg);
	dev_nap(20);
	EXPECT_EQ(0, bss->told);
	EXPECT_EQ(0, ep_reply(&self->replica[2], msg, NULL, 0, SYMPHONY_REPLY_ERROR));
	EXPECT_EQ(1, bss->told);
	EXPECT_EQ(call.id, bss->over.call);
	EXPECT_EQ(self->client.id, bss->over.sender);
	EXPECT_EQ(self->replica[2].id, bss->over.endpoint);
	EXPECT_EQ(self->svc, bss->over.service);
	EXPECT_EQ(0, bss->over.status);
	EXPECT_LE(10000000, bss->over.queue_time);
	EXPECT_LE(20000000, bss->over.service_time);
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));

	/* By a cancel, and by the replica's death. */
	call = ep_request(self->svc, "hello", 5);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	EXPECT_EQ(2, bss->told);
	EXPECT_EQ(-ECANCELED, bss->over.status);
	EXPECT_EQ(0, bss->over.service_time);
	call = ep_request(self->svc, "hello", 5);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	id = self->replica[2].id;
	ep_close(&self->replica[2]);
	self->replica[2].fd = -1;
	EXPECT_EQ(3, bss->told);
	EXPECT_EQ(-ECONNABORTED, bss->over.status);
	EXPECT_EQ(id, bss->over.endpoint);
	/* What never reaches a replica is not told. */
	bss->answer = -EACCES;
	EXPECT_EQ(-EACCES, where(self));
	EXPECT_EQ(3, bss->told);
	bss->answer = 0;

	/* One that ends with the call that it was made for. */
	bss->wanted = self->replica[0].id;
	call = ep_request(self->svc, "hello", 5);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	msg = ep_next(&self->replica[0], DEV_LONG);
	ASSERT_NE(NULL, msg);
	bss->wanted = self->replica[1].id;
	child = ep_request(self->svc, "hello", 5);
	child.parent = msg->id;
	child.parent_slot = ep_offset(&self->replica[0], msg);
	ASSERT_EQ(0, ep_send(&self->replica[0], &child));
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	EXPECT_EQ(5, bss->told);
	EXPECT_EQ(child.id, bss->over.call);
	EXPECT_EQ(-ECANCELED, bss->over.status);
	bpf_link__destroy(link);
}

TEST_F(router, looks_into_bodies)
{
	struct puppet *puppet = puppet_load_with("svc", SYMPHONY_ROUTE_PEEK);
	struct bpf_link *link;
	const struct symphony_msg *msg;
	struct symphony_piece pieces[67];
	struct symphony_call call;
	char body[200];

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = i;
	/* Without the flag there is nothing to see. */
	link = attach(self);
	ASSERT_NE(NULL, link);
	EXPECT_LE(0, where(self));
	EXPECT_EQ(-ERANGE, self->puppet->bss->peeked);
	bpf_link__destroy(link);

	ASSERT_NE(NULL, puppet);
	link = bpf_map__attach_struct_ops(puppet->maps.puppet);
	ASSERT_NE(NULL, link);
	puppet->bss->wanted = self->replica[1].id;
	for (size_t i = 0; i < 2 * (sizeof(body) / 4 + 1); i++) {
		size_t len = i / 2 * 4, nr = 0;

		call = ep_request(self->svc, body, len);
		/* Every other one in pieces: they are looked into like the whole. */
		for (; i % 2 && nr * 3 < len; nr++)
			pieces[nr] = (struct symphony_piece){
				.address = (uintptr_t)body + nr * 3,
				.len = len - nr * 3 < 3 ? len - nr * 3 : 3,
			};
		if (i % 2) {
			call.flags = SYMPHONY_CALL_VECTOR;
			call.body = (uintptr_t)pieces;
			call.body_len = nr;
		}
		puppet->bss->head[0] = ~0;
		ASSERT_EQ(0, ep_send(&self->client, &call));
		EXPECT_EQ(len < 8 ? -ERANGE : 0, puppet->bss->peeked);
		EXPECT_EQ(-ERANGE, puppet->bss->peeked_beyond);
		EXPECT_EQ(-ERANGE, puppet->bss->peeked_around);
		if (len >= 8)
			EXPECT_EQ(0, memcmp(body, puppet->bss->head, 8));
		msg = ep_next(&self->replica[1], DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(len, msg->body_len);
		EXPECT_EQ(0, memcmp(body, msg + 1, len));
		EXPECT_EQ(0, ep_reply(&self->replica[1], msg, NULL, 0,
				      SYMPHONY_REPLY_RELEASE));
	}
	/* A body that is not there. */
	call = ep_request(self->svc, NULL, 100);
	EXPECT_EQ(-EFAULT, ep_send(&self->client, &call));
	/* One that is longer than any pool, and not there: it is not waited for. */
	call = ep_request(self->svc, NULL, ~0U);
	EXPECT_EQ(-EMSGSIZE, ep_send(&self->client, &call));
	bpf_link__destroy(link);
	puppet__destroy(puppet);
}

TEST_F(router, shadow_decides_nothing)
{
	struct puppet *puppet = puppet_load_with("svc", SYMPHONY_ROUTE_SHADOW);
	struct bpf_link *link, *shadow;
	__u64 other;

	ASSERT_NE(NULL, puppet);
	shadow = bpf_map__attach_struct_ops(puppet->maps.puppet);
	ASSERT_NE(NULL, shadow);
	puppet->bss->wanted = self->replica[1].id;
	EXPECT_TRUE(is_built_in(self));
	EXPECT_EQ(2 * REPLICAS, puppet->bss->asked);
	EXPECT_EQ(2 * REPLICAS, puppet->bss->told);
	EXPECT_EQ(REPLICAS, puppet->bss->ups);
	puppet->bss->answer = -EACCES;
	EXPECT_TRUE(is_built_in(self));
	puppet->bss->answer = 0;

	/* Beside the one in force, which it is not to be replaced by. */
	link = attach(self);
	ASSERT_NE(NULL, link);
	self->puppet->bss->wanted = self->replica[2].id;
	EXPECT_EQ(2, where(self));
	EXPECT_EQ(1, self->puppet->bss->asked);
	EXPECT_EQ(4 * REPLICAS + 1, puppet->bss->asked);
	EXPECT_EQ(-EINVAL, bpf_link__update_map(shadow, self->puppet->maps.puppet));
	bpf_link__destroy(shadow);
	EXPECT_EQ(2, where(self));
	EXPECT_EQ(4 * REPLICAS + 1, puppet->bss->asked);
	bpf_link__destroy(link);

	/* Of another service it sees nothing. */
	shadow = bpf_map__attach_struct_ops(puppet->maps.puppet);
	ASSERT_NE(NULL, shadow);
	ASSERT_EQ(0, ep_claim(&self->replica[0], "other", &other));
	EXPECT_EQ(0, ep_mark(&self->client, other, 1, 8));
	EXPECT_EQ(4 * REPLICAS + 1, puppet->bss->asked);
	bpf_link__destroy(shadow);
	puppet__destroy(puppet);
}

TEST_F(router, needs_known_flags)
{
	struct puppet *puppet = puppet_load_with("svc", 1U << 31);

	ASSERT_NE(NULL, puppet);
	EXPECT_EQ(NULL, bpf_map__attach_struct_ops(puppet->maps.puppet));
	EXPECT_EQ(EINVAL, errno);
	puppet__destroy(puppet);
}

TEST_F(router, refuses)
{
	static const int errors[] = { EACCES, EPERM, EBUSY, ECONNREFUSED, ETIME };
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	self->puppet->bss->wanted = self->replica[0].id;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		self->puppet->bss->answer = -errors[i];
		EXPECT_EQ(-errors[i], where(self));
	}
	self->puppet->bss->answer = 0;
	EXPECT_EQ(0, where(self));
	bpf_link__destroy(link);
}

/* Lines of the kernel's log with both texts. */
static int logged(const char *text)
{
	static char log[1 << 18];
	int len = klogctl(3, log, sizeof(log) - 1), found = 0;

	for (char *line = strtok(len > 0 ? (log[len] = 0, log) : NULL, "\n"); line;
	     line = strtok(NULL, "\n"))
		found += strstr(line, dev_bus()) && strstr(line, text);
	return found;
}

TEST_F(router, is_disabled_when_it_returns_nonsense)
{
	static const int values[] = { 1, -EINVAL, -ESHUTDOWN, -ERANGE, INT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct bpf_link *link = attach(self);

		ASSERT_NE(NULL, link);
		self->puppet->bss->answer = values[i];
		self->puppet->bss->asked = 0;
		for (int j = 0; j < 100; j++)
			ASSERT_LE(0, where(self));
		EXPECT_EQ(64, self->puppet->bss->asked);
		EXPECT_EQ(i + 1, logged("disabled: route() returns"));
		bpf_link__destroy(link);
	}
}

TEST_F(router, is_disabled_when_it_insists_on_who_takes_no_calls)
{
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, ep_drain(&self->replica[2], self->svc, false));
	self->puppet->bss->wanted = self->replica[2].id;
	for (int j = 0; j < 100; j++) {
		int at = where(self);

		ASSERT_TRUE(at == 0 || at == 1);
	}
	EXPECT_EQ(-EAGAIN, self->puppet->bss->selected);
	EXPECT_EQ(64, self->puppet->bss->asked);
	EXPECT_EQ(1, logged("disabled: it chooses replicas that take no calls"));
	/* And is not enabled by what it would do now. */
	ASSERT_EQ(0, ep_drain(&self->replica[2], self->svc, true));
	EXPECT_TRUE(is_built_in(self));
	bpf_link__destroy(link);
}

TEST_F(router, may_be_wrong_now_and_then)
{
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	for (int i = 0; i < 2000; i++) {
		self->puppet->bss->answer = i % 20 ? 0 : 1;
		ASSERT_LE(0, where(self));
	}
	EXPECT_EQ(2000, self->puppet->bss->asked);
	EXPECT_EQ(0, logged("disabled"));
	bpf_link__destroy(link);
}

TEST_F(router, is_not_to_blame_when_nobody_takes_calls)
{
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	for (int i = 0; i < REPLICAS; i++)
		ASSERT_EQ(0, ep_drain(&self->replica[i], self->svc, false));
	self->puppet->bss->wanted = self->replica[0].id;
	for (int i = 0; i < 100; i++)
		EXPECT_EQ(-ECONNREFUSED, where(self));
	EXPECT_EQ(100, self->puppet->bss->asked);
	ASSERT_EQ(0, ep_drain(&self->replica[0], self->svc, true));
	EXPECT_EQ(0, where(self));
	for (int i = 0; i < REPLICAS; i++)
		ASSERT_EQ(0, ep_unclaim(&self->replica[i], self->svc));
	EXPECT_EQ(-ECONNREFUSED, where(self));
	EXPECT_EQ(101, self->puppet->bss->asked);
	bpf_link__destroy(link);
}

TEST_F(router, is_replaced)
{
	struct puppet *other = puppet_load("svc");
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, other);
	self->puppet->bss->answer = 1;
	other->bss->wanted = self->replica[2].id;
	for (int i = 0; i < 100; i++)
		ASSERT_LE(0, where(self));
	EXPECT_EQ(64, self->puppet->bss->asked);
	ASSERT_EQ(0, bpf_link__update_map(link, other->maps.puppet));
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(2, where(self));
	EXPECT_EQ(64, self->puppet->bss->asked);
	/* It is not attached any more, and has a new budget when it is again. */
	self->puppet->bss->answer = -EBUSY;
	ASSERT_EQ(0, bpf_link__update_map(link, self->puppet->maps.puppet));
	EXPECT_EQ(-EBUSY, where(self));
	EXPECT_EQ(10, other->bss->asked);
	bpf_link__destroy(link);
	EXPECT_TRUE(is_built_in(self));
	puppet__destroy(other);
}

TEST_F(router, of_the_bus_is_for_services_without_one)
{
	struct puppet *default_puppet = puppet_load("");
	struct bpf_link *link, *default_link;
	__u64 other;

	ASSERT_NE(NULL, default_puppet);
	default_link = bpf_map__attach_struct_ops(default_puppet->maps.puppet);
	ASSERT_NE(NULL, default_link);
	default_puppet->bss->wanted = self->replica[1].id;
	EXPECT_EQ(1, where(self));

	link = attach(self);
	ASSERT_NE(NULL, link);
	self->puppet->bss->wanted = self->replica[2].id;
	EXPECT_EQ(2, where(self));
	ASSERT_EQ(0, ep_claim(&self->replica[1], "other", &other));
	ASSERT_EQ(0, ep_mark(&self->client, other, 1, 8));
	EXPECT_EQ(other, default_puppet->bss->seen.service);
	EXPECT_EQ(1, default_puppet->bss->seen.nr_replicas);

	bpf_link__destroy(link);
	EXPECT_EQ(1, ep_serve(&self->replica[1]));
	EXPECT_EQ(0, ep_fetch(&self->client, &other));
	EXPECT_EQ(1, where(self));
	bpf_link__destroy(default_link);
	EXPECT_TRUE(is_built_in(self));
	puppet__destroy(default_puppet);
}

TEST_F(router, routes_what_moves)
{
	struct bpf_link *link = attach(self);
	struct ep *server = self->replica;
	__u64 cookie;

	ASSERT_NE(NULL, link);
	for (int i = 0; i < REPLICAS; i++)
		ASSERT_EQ(0, ep_unclaim(&server[i], self->svc));
	for (int i = 0; i < REPLICAS; i++)
		ASSERT_EQ(0, ep_claim_with(&server[i], "svc", SYMPHONY_CLAIM_REQUEUE,
					   0, &self->svc));
	self->puppet->bss->wanted = server[0].id;
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 77, 100));
	self->puppet->bss->wanted = server[2].id;
	ep_close(&server[0]);
	server[0].fd = -1;
	ASSERT_NE(NULL, ep_expect(&server[2], SYMPHONY_MSG_CALL, 77));
	EXPECT_EQ(77, self->puppet->bss->seen.method);
	EXPECT_EQ(~77ULL, self->puppet->bss->seen.key);
	EXPECT_EQ(100, self->puppet->bss->seen.body_len);
	EXPECT_EQ(SYMPHONY_CONTENT_JSON, self->puppet->bss->seen.content_type);

	/* Refused on the way: that ends it. */
	self->puppet->bss->wanted = server[1].id;
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 78, 100));
	self->puppet->bss->answer = -EACCES;
	ep_close(&server[1]);
	server[1].fd = -1;
	EXPECT_EQ(-ECONNABORTED, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(78, cookie);
	bpf_link__destroy(link);
}

TEST_F(router, pinned_outlives_its_loader)
{
	char path[64];
	struct kid kid;
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/bpf/%s", dev_bus());
	if (!kid_fork(&kid)) {
		struct bpf_link *link = attach(self);

		self->puppet->bss->wanted = self->replica[2].id;
		_exit(link && !bpf_link__pin(link, path) ? 0 : 1);
	}
	ASSERT_EQ(0, kid_reap(&kid));
	puppet__destroy(self->puppet);
	self->puppet = NULL;
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(2, where(self));
	/* Detached by force, or by losing the last name. */
	fd = bpf_obj_get(path);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, bpf_link_detach(fd));
	EXPECT_TRUE(is_built_in(self));
	EXPECT_EQ(0, unlink(path));
	close(fd);
	EXPECT_TRUE(is_built_in(self));
}

TEST_F(router, holds_the_module_but_not_the_name_of_the_bus)
{
	struct bpf_link *link = attach(self);

	ASSERT_NE(NULL, link);
	self->puppet->bss->wanted = self->replica[0].id;
	ep_close(&self->client);
	for (int i = 0; i < REPLICAS; i++)
		ep_close(&self->replica[i]);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "symphony", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	/* Of the same name, and another one. */
	ASSERT_EQ(0, ep_join(&self->client, 0));
	for (int i = 0; i < REPLICAS; i++) {
		ASSERT_EQ(0, ep_join(&self->replica[i], 0));
		ASSERT_EQ(0, ep_claim(&self->replica[i], "svc", &self->svc));
	}
	EXPECT_TRUE(is_built_in(self));
	bpf_link__destroy(link);
	link = attach(self);
	ASSERT_NE(NULL, link);
	self->puppet->bss->wanted = self->replica[1].id;
	EXPECT_EQ(1, where(self));
	bpf_link__destroy(link);
}

/* Calls that check their answer, until they are to stop. */
struct load {
	struct ep ep;
	__u64 svc;
	pthread_t thread;
	atomic_bool *stop;
	unsigned int calls, wrong;
};

static void *load_thread(void *data)
{
	struct load *load = data;
	unsigned char body[32];

	while (!*load->stop) {
		struct symphony_call call = ep_request(load->svc, body, sizeof(body));
		const struct symphony_msg *msg;

		dev_fill(body, sizeof(body), ++load->calls);
		if (ep_call(&load->ep, &call) || call.status) {
			load->wrong++;
			continue;
		}
		msg = ep_msg(&load->ep, call.offset);
		load->wrong += msg->id != call.id || msg->body_len != sizeof(body) ||
			       !dev_filled(ep_body(msg), sizeof(body), load->calls);
		ep_release(&load->ep, msg);
	}
	return NULL;
}

/* What each of four clients called was answered once, by whoever was chosen. */
TEST_F(router, is_replaced_and_detached_under_load)
{
	struct puppet *other = puppet_load("svc"), *elsewhere = puppet_load("");
	unsigned int calls = 0, served = 0;
	struct echo echo[REPLICAS] = {};
	struct bpf_link *held;
	struct load load[4] = {};
	atomic_bool stop = false;

	ASSERT_NE(NULL, other);
	/*
	 * With one attached all the time, the kernel does not patch its own code in
	 * between, which QEMU 7 does not get right while another processor runs it.
	 */
	ASSERT_NE(NULL, elsewhere);
	held = bpf_map__attach_struct_ops(elsewhere->maps.puppet);
	ASSERT_NE(NULL, held);
	for (int i = 0; i < REPLICAS; i++)
		ASSERT_EQ(0, echo_start(&echo[i], &self->replica[i]));
	for (size_t i = 0; i < ARRAY_SIZE(load); i++) {
		ASSERT_EQ(0, ep_join(&load[i].ep, 0));
		load[i].svc = self->svc;
		load[i].stop = &stop;
		ASSERT_EQ(0, pthread_create(&load[i].thread, NULL, load_thread, &load[i]));
	}
	self->puppet->bss->wanted = self->replica[0].id;
	/* The other one chooses somebody, does not, and fails, by turns. */
	for (int i = 0; i < (dev_slow() ? 20 : 100); i++) {
		struct bpf_link *link = attach(self);

		ASSERT_NE(NULL, link);
		other->bss->wanted = self->replica[i % REPLICAS].id;
		other->bss->answer = i % 5 ? 0 : -EINVAL;
		for (int j = 0; j < 10; j++)
			ASSERT_EQ(0, bpf_link__update_map(link, j % 2 ?
							  self->puppet->maps.puppet :
							  other->maps.puppet));
		bpf_link__destroy(link);
	}
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(load); i++) {
		pthread_join(load[i].thread, NULL);
		EXPECT_EQ(0, load[i].wrong);
		calls += load[i].calls;
		ep_close(&load[i].ep);
	}
	for (int i = 0; i < REPLICAS; i++) {
		echo_stop(&echo[i]);
		EXPECT_EQ(0, echo[i].refused);
		served += echo[i].served;
	}
	EXPECT_EQ(calls, served);
	EXPECT_LT(0, self->puppet->bss->asked);
	EXPECT_LT(0, other->bss->asked);
	TH_LOG("%u calls, of which the programs were asked about %llu", calls,
	       self->puppet->bss->asked + other->bss->asked);
	bpf_link__destroy(held);
	puppet__destroy(elsewhere);
	puppet__destroy(other);
}

TEST_F(router, round_robin_goes_round)
{
	struct round_robin *rr = round_robin__open();
	struct bpf_link *link;

	ASSERT_NE(NULL, rr);
	aim(rr->maps.round_robin, dev_bus(), "svc");
	ASSERT_EQ(0, round_robin__load(rr));
	link = bpf_map__attach_struct_ops(rr->maps.round_robin);
	ASSERT_NE(NULL, link);
	/* Unlike the built-in policy, also when one is busy. */
	for (int i = 0; i < 4 * REPLICAS; i++)
		ASSERT_EQ(0, ep_mark(&self->client, self->svc, i + 1, 8));
	for (int i = 0; i < 4 * REPLICAS; i++)
		ASSERT_EQ(i + 1, ep_serve(&self->replica[i % REPLICAS]));
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, ep_mark(&self->client, self->svc, i + 1, 8));
	EXPECT_EQ(1, ep_serve(&self->replica[0]));
	EXPECT_EQ(4, ep_serve(&self->replica[0]));
	/* One that drains is passed by. */
	ASSERT_EQ(0, ep_drain(&self->replica[1], self->svc, false));
	for (int i = 0; i < 6; i++)
		EXPECT_NE(1, where(self));
	bpf_link__destroy(link);
	round_robin__destroy(rr);
}

/* --- what is refused -------------------------------------------------------- */

/* Load a puppet aimed at these; why it fails, or why attaching it does. */
static int try(const char *bus, const char *service)
{
	struct puppet *puppet = puppet__open();
	struct bpf_link *link = NULL;
	int err;

	if (!puppet)
		return -errno;
	aim(puppet->maps.puppet, bus, service);
	bpf_map__set_autocreate(puppet->maps.empty, false);
	bpf_map__set_autocreate(puppet->maps.unlinked, false);
	err = puppet__load(puppet);
	if (!err) {
		link = bpf_map__attach_struct_ops(puppet->maps.puppet);
		err = link ? 0 : -errno;
	}
	bpf_link__destroy(link);
	puppet__destroy(puppet);
	return err;
}

TEST_F(router, needs_names_of_what_is_there)
{
	char longest[SYMPHONY_BPF_NAME + 1];

	memset(longest, 'x', sizeof(longest));
	longest[SYMPHONY_BPF_NAME] = 0;
	EXPECT_EQ(0, try(dev_bus(), "svc"));
	EXPECT_EQ(0, try(dev_bus(), ""));
	EXPECT_EQ(-ENOENT, try("nobody", "svc"));
	EXPECT_EQ(-ENOENT, try(dev_bus(), "nobody"));
	EXPECT_EQ(-ENOENT, try(dev_bus(), "sv"));
	EXPECT_EQ(-EINVAL, try("", "svc"));
	EXPECT_EQ(-EINVAL, try(dev_bus(), "S"));
	EXPECT_EQ(-EINVAL, try("a b", ""));
	EXPECT_EQ(-EINVAL, try(longest, "svc"));
	EXPECT_EQ(-EINVAL, try(dev_bus(), longest));
	longest[SYMPHONY_BPF_NAME - 1] = 0;
	EXPECT_EQ(-ENOENT, try(dev_bus(), longest));
}

TEST_F(router, is_the_only_one)
{
	struct bpf_link *link = attach(self), *again;

	ASSERT_NE(NULL, link);
	EXPECT_EQ(-EEXIST, try(dev_bus(), "svc"));
	again = attach(self);
	EXPECT_EQ(NULL, again);
	EXPECT_EQ(EEXIST, errno);
	self->puppet->bss->wanted = self->replica[1].id;
	EXPECT_EQ(1, where(self));
	bpf_link__destroy(link);
	EXPECT_EQ(0, try(dev_bus(), "svc"));
}

TEST_F(router, is_replaced_by_its_like_only)
{
	struct bpf_link *link = attach(self);
	struct puppet *other;

	ASSERT_NE(NULL, link);
	other = puppet_load("");
	ASSERT_NE(NULL, other);
	EXPECT_EQ(-EINVAL, bpf_link__update_map(link, other->maps.puppet));
	puppet__destroy(other);
	self->puppet->bss->wanted = self->replica[1].id;
	EXPECT_EQ(1, where(self));
	bpf_link__destroy(link);
}

TEST_F(router, needs_a_program_and_a_link)
{
	struct puppet *puppet = puppet__open();

	ASSERT_NE(NULL, puppet);
	aim(puppet->maps.empty, dev_bus(), "svc");
	bpf_map__set_autocreate(puppet->maps.unlinked, false);
	aim(puppet->maps.puppet, dev_bus(), "svc");
	ASSERT_EQ(0, puppet__load(puppet));
	EXPECT_EQ(NULL, bpf_map__attach_struct_ops(puppet->maps.empty));
	EXPECT_EQ(EINVAL, errno);
	puppet__destroy(puppet);

	puppet = puppet__open();
	ASSERT_NE(NULL, puppet);
	aim(puppet->maps.unlinked, dev_bus(), "svc");
	aim(puppet->maps.puppet, dev_bus(), "svc");
	bpf_map__set_autocreate(puppet->maps.empty, false);
	ASSERT_EQ(0, puppet__load(puppet));
	EXPECT_EQ(NULL, bpf_map__attach_struct_ops(puppet->maps.unlinked));
	EXPECT_EQ(EOPNOTSUPP, errno);
	puppet__destroy(puppet);
}

/* Become @uid with CAP_BPF, CAP_PERFMON and nothing else. */
static int become_loader(uid_t uid)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {};
	int err;

	if (prctl(PR_SET_KEEPCAPS, 1))
		return -errno;
	err = dev_become(uid, uid);
	if (err)
		return err;
	data[1].permitted = data[1].effective =
		1 << (CAP_BPF - 32) | 1 << (CAP_PERFMON - 32);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

TEST_F(router, needs_the_creator_of_the_bus)
{
	struct bpf_map *map = self->puppet->maps.puppet;
	struct kid kid;

	if (!kid_fork(&kid)) {
		if (become_loader(1000))
			_exit(100);
		_exit(bpf_map__attach_struct_ops(map) ? 0 : errno);
	}
	EXPECT_EQ(EPERM, kid_reap(&kid));
	EXPECT_TRUE(is_built_in(self));
}

TEST_F(router, needs_no_more_than_the_creator_of_the_bus)
{
	struct puppet *puppet = puppet__open();
	struct kid kid;
	__s64 said;

	ASSERT_NE(NULL, puppet);
	aim(puppet->maps.puppet, "of-a-user", "");
	bpf_map__set_autocreate(puppet->maps.empty, false);
	bpf_map__set_autocreate(puppet->maps.unlinked, false);
	ASSERT_EQ(0, puppet__load(puppet));
	if (!kid_fork(&kid)) {
		struct ep ep;

		if (become_loader(1000) ||
		    ep_join_bus(&ep, "of-a-user", SYMPHONY_JOIN_CREATE, 0, 0))
			_exit(100);
		kid_tell(&kid, bpf_map__attach_struct_ops(puppet->maps.puppet) ? 0 : errno);
		pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &said));
	EXPECT_EQ(0, said);
	kid_kill(&kid, SIGKILL);
	puppet__destroy(puppet);
}

TEST_HARNESS_MAIN
