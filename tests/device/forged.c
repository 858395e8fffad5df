// SPDX-License-Identifier: MIT
/*
 * Names of calls that are not one's own do nothing, files of others are of no
 * use, and a pool shows nothing but what was sent to its endpoint.
 */
#include <poll.h>
#include <sys/mman.h>
#include <kselftest_harness.h>

#include "device.h"

#define ALICE	1001

/* A call that was sent and received, and not answered. */
struct pending {
	__u64 id;
	__u32 slot;			/* at the caller */
	const struct symphony_msg *msg;	/* at the server */
	__u32 at;			/* its offset */
};

FIXTURE(forged)
{
	struct duo duo, far;	/* on one bus, and on another */
	struct ep other;	/* another client of the first */
};

FIXTURE_SETUP(forged)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	ASSERT_EQ(0, ep_join(&self->other, MIB));
	ASSERT_EQ(0, ep_join_bus(&self->far.server, "test-far", SYMPHONY_JOIN_CREATE,
				 0, MIB));
	ASSERT_EQ(0, ep_join_bus(&self->far.client, "test-far", 0, 0, MIB));
	ASSERT_EQ(0, ep_claim(&self->far.server, "svc", &self->far.svc));
}

FIXTURE_TEARDOWN(forged)
{
	duo_close(&self->far);
	ep_close(&self->other);
	duo_close(&self->duo);
}

static struct pending make(struct ep *client, struct ep *server, __u64 svc)
{
	struct symphony_call call = ep_request(svc, "body", 4);
	struct pending p = {};

	if (ep_send(client, &call))
		return p;
	p.msg = ep_next(server, DEV_LONG);
	p.id = call.id;
	p.slot = call.slot;
	p.at = p.msg ? ep_offset(server, p.msg) : 0;
	return p;
}

/* What each operation gives for a call named so. */
static void expect_unknown(struct __test_metadata *_metadata, struct ep *ep,
			   __u64 svc, __u64 id, __u32 slot, bool served, bool made)
{
	struct symphony_call call = ep_request(svc, NULL, 0);

	if (!served) {
		EXPECT_EQ(-ESRCH, ep_reply_at(ep, id, slot, "no", 2,
					      SYMPHONY_REPLY_RELEASE))
			TH_LOG("answered %llu at %u", id, slot);
	}
	if (!served && id) {
		call.parent = id;
		call.parent_slot = slot;
		EXPECT_EQ(-ESRCH, ep_send(ep, &call))
			TH_LOG("parent %llu at %u", id, slot);
	}
	if (!made) {
		EXPECT_EQ(-ESRCH, ep_cancel(ep, id, slot))
			TH_LOG("cancelled %llu at %u", id, slot);
		call.id = id;
		call.slot = slot;
		EXPECT_EQ(-ESRCH, ep_wait(ep, &call, SYMPHONY_WAIT_DONTWAIT))
			TH_LOG("fetched %llu at %u", id, slot);
	}
}

TEST_F(forged, names_of_calls_do_nothing)
{
	struct ep *client = &self->duo.client, *server = &self->duo.server;
	struct pending old = make(client, server, self->duo.svc);
	struct pending mine, others, far;
	const struct symphony_msg *msg;

	/* One that was answered and fetched, whose places are used again. */
	ASSERT_EQ(0, ep_reply(server, old.msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	ASSERT_NE(NULL, msg = ep_next(client, DEV_LONG));
	ASSERT_EQ(0, ep_release(client, msg));
	mine = make(client, server, self->duo.svc);
	others = make(&self->other, server, self->duo.svc);
	far = make(&self->far.client, &self->far.server, self->far.svc);
	ASSERT_TRUE(mine.msg && others.msg && far.msg);

	__u64 ids[] = {
		0, 1, ~0ULL, old.id, mine.id, others.id, far.id, mine.id - 1,
		mine.id + 1, far.id + 1, mine.id | 1ULL << 32, mine.id | 1ULL << 63,
		client->id, server->id,
	};
	__u32 slots[] = {
		0, mine.slot, mine.at, others.slot, others.at, far.slot, far.at,
		mine.at + 1, mine.at + SYMPHONY_POOL_ALIGN, MIB, SYMPHONY_NO_OFFSET,
	};
	struct {
		struct ep *ep;
		__u64 svc;
		const struct pending *made, *served[2];
	} parties[] = {
		{ client, self->duo.svc, &mine, { } },
		{ &self->other, self->duo.svc, &others, { } },
		{ server, self->duo.svc, NULL, { &mine, &others } },
		{ &self->far.client, self->far.svc, &far, { } },
		{ &self->far.server, self->far.svc, NULL, { &far } },
	};

	for (size_t p = 0; p < ARRAY_SIZE(parties); p++) {
		for (size_t i = 0; i < ARRAY_SIZE(ids) * ARRAY_SIZE(slots); i++) {
			const struct pending *made = parties[p].made;
			__u64 id = ids[i / ARRAY_SIZE(slots)];
			__u32 slot = slots[i % ARRAY_SIZE(slots)];
			bool served = false;

			for (int k = 0; k < 2; k++)
				served |= parties[p].served[k] &&
					  parties[p].served[k]->id == id &&
					  parties[p].served[k]->at == slot;
			expect_unknown(_metadata, parties[p].ep, parties[p].svc, id,
				       slot, served,
				       made && made->id == id && made->slot == slot);
		}
	}

	/* Nobody was hurt. */
	EXPECT_EQ(0, ep_reply(server, mine.msg, "one", 3, 0));
	EXPECT_EQ(0, ep_reply(server, others.msg, "two", 3, 0));
	EXPECT_EQ(0, ep_reply(&self->far.server, far.msg, "far", 3, 0));
	ASSERT_NE(NULL, msg = ep_next(client, DEV_LONG));
	EXPECT_EQ(0, memcmp("one", ep_body(msg), 3));
	ASSERT_NE(NULL, msg = ep_next(&self->other, DEV_LONG));
	EXPECT_EQ(0, memcmp("two", ep_body(msg), 3));
	ASSERT_NE(NULL, msg = ep_next(&self->far.client, DEV_LONG));
	EXPECT_EQ(0, memcmp("far", ep_body(msg), 3));
	EXPECT_EQ(-EAGAIN, ep_recv(server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->far.server, (__u32[1]){}, 1, -1));
}

/* What another user's process can do with the endpoint @fd, of which it knows all. */
static void expect_nothing(struct __test_metadata *_metadata, int fd,
			   const struct pending *mine, __u64 svc, __u64 peer)
{
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)"svc", .name_len = 3,
	};
	struct symphony_service handle = { .size = sizeof(handle), .handle = svc };
	struct symphony_release release = { .size = sizeof(release) };
	struct symphony_call call = ep_request(svc, NULL, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct ep ep = { .fd = fd };
	struct { unsigned long op; void *arg; } ops[] = {
		{ SYMPHONY_IOC_CLAIM, &service }, { SYMPHONY_IOC_UNCLAIM, &handle },
		{ SYMPHONY_IOC_RESOLVE, &service }, { SYMPHONY_IOC_DRAIN, &handle },
		{ SYMPHONY_IOC_GRANT, &service }, { SYMPHONY_IOC_CALL, &call },
		{ SYMPHONY_IOC_SEND, &call }, { SYMPHONY_IOC_RELEASE, &release },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_EQ(-EPERM, dev_ioctl(fd, ops[i].op, ops[i].arg))
			TH_LOG("operation %zu", i);
	}
	EXPECT_EQ(-EPERM, ep_recv(&ep, (__u32[1]){}, 1, -1));
	EXPECT_EQ(-EPERM, ep_reply_at(&ep, mine->id, mine->at, NULL, 0, 0));
	EXPECT_EQ(-EPERM, ep_cancel(&ep, mine->id, mine->slot));
	EXPECT_EQ(-EPERM, ep_wait(&ep, &call, SYMPHONY_WAIT_DONTWAIT));
	EXPECT_EQ(-EPERM, ep_watch(&ep, peer, 0, 0));
	EXPECT_EQ(-EPERM, ep_release_at(&ep, mine->at));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(EPERM, errno);
	/* Not even whether there is something to receive. */
	EXPECT_EQ(0, poll(&pfd, 1, 0));
}

TEST_F(forged, another_users_file_is_of_no_use)
{
	struct ep *server = &self->duo.server;
	struct pending mine = make(&self->duo.client, server, self->duo.svc);
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);
	struct kid kid;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_NE(NULL, mine.msg);
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	if (!kid_fork(&kid)) {
		int fds[2] = { server->fd, -1 };

		/* Inherited, and passed. */
		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		fds[1] = kid_take(&kid);
		for (int i = 0; i < 2; i++) {
			EXPECT_LE(0, fds[i]);
			expect_nothing(_metadata, fds[i], &mine, self->duo.svc,
				       self->duo.client.id);
		}
		_exit(0);
	}
	ASSERT_EQ(0, kid_pass(&kid, server->fd));
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(0, ep_reply(server, mine.msg, NULL, 0, 0));
	EXPECT_NE(NULL, ep_next(server, -1));
}

/* How many runs of 16 bytes @byte are in @ep's pool? */
static int traces(const struct ep *ep, unsigned char byte)
{
	int run = 0, found = 0;

	for (__u32 i = 0; i < ep->size; i++) {
		run = ep->pool[i] == byte ? run + 1 : 0;
		found += run == 16;
	}
	return found;
}

/* A round trip that leaves @ask in the server's pool and @answer in the client's. */
static int exchange(struct ep *client, struct ep *server, __u64 svc, __u32 len,
		    unsigned char ask, unsigned char answer)
{
	unsigned char body[2][8192];
	const struct symphony_msg *msg;
	struct symphony_call call;
	int ret;

	memset(body[0], ask, len);
	memset(body[1], answer, len);
	call = ep_request(svc, body[0], len);
	/* At times the room that was asked for does not do. */
	call.reply_max = len > 100 ? len - 100 : len;
	ret = ep_send(client, &call);
	msg = ret ? NULL : ep_next(server, DEV_LONG);
	if (!msg)
		return ret ?: -errno;
	ret = ep_reply(server, msg, body[1], len, SYMPHONY_REPLY_RELEASE);
	msg = ret ? NULL : ep_next(client, DEV_LONG);
	return msg ? ep_release(client, msg) : ret ?: -errno;
}

TEST_F(forged, pools_show_nothing_of_others)
{
	struct ep *server = &self->duo.server, *pools[] = {
		server, &self->duo.client, &self->other,
	};
	/* Who sees which of what the two clients asked and were answered. */
	static const unsigned char bytes[] = { 0xa1, 0xa2, 0xb1, 0xb2 };
	static const bool sees[][4] = {
		{ true, false, true, false },
		{ false, true, false, false },
		{ false, false, false, true },
	};

	for (int i = 0; i < 100; i++) {
		__u32 len = 16 + i * 997 % 8000;

		ASSERT_EQ(0, exchange(&self->duo.client, server, self->duo.svc, len,
				      0xa1, 0xa2));
		ASSERT_EQ(0, exchange(&self->other, server, self->duo.svc, 8016 - len,
				      0xb1, 0xb2));
	}
	for (size_t p = 0; p < ARRAY_SIZE(pools); p++) {
		for (size_t b = 0; b < ARRAY_SIZE(bytes); b++) {
			EXPECT_EQ(sees[p][b], traces(pools[p], bytes[b]) > 0)
				TH_LOG("pool %zu, bytes %x", p, bytes[b]);
		}
	}
	for (__u32 i = 0; i < self->far.server.size; i++) {
		ASSERT_EQ(0, self->far.server.pool[i] | self->far.client.pool[i]);
	}
}

TEST_F(forged, a_moved_request_takes_nothing_along)
{
	struct symphony_service takeover = {
		.size = sizeof(takeover), .flags = SYMPHONY_CLAIM_TAKEOVER,
		.name = (uintptr_t)"svc", .name_len = 3,
	};
	struct ep *server = &self->duo.server, heir;
	struct symphony_call call = ep_request(self->duo.svc, "moved", 5), old;
	const struct symphony_msg *msg;
	unsigned char body[SYMPHONY_POOL_ALIGN];
	__u32 at;

	/* It comes to stand where longer ones were, that took as much room. */
	memset(body, 0xb1, sizeof(body));
	for (int i = 0; i < 10; i++) {
		old = ep_request(self->duo.svc, body, sizeof(body));
		ASSERT_EQ(0, ep_send(&self->other, &old));
	}
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, ep_reply(server, ep_next(server, DEV_LONG), NULL, 0,
				      SYMPHONY_REPLY_RELEASE));
	}
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	for (at = 0; at < MIB && ep_msg(server, at)->id != call.id;)
		at += SYMPHONY_POOL_ALIGN;
	ASSERT_LT(at, MIB);
	ASSERT_EQ(0xb1, server->pool[at + sizeof(*msg) + call.body_len]);
	ASSERT_EQ(0, ep_join(&heir, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, dev_ioctl(heir.fd, SYMPHONY_IOC_CLAIM, &takeover));
	msg = ep_next(&heir, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(call.id, msg->id);
	EXPECT_EQ(5, msg->body_len);
	EXPECT_EQ(0, memcmp(ep_body(msg), "moved", 5));
	at = ep_offset(&heir, msg);
	for (__u32 i = 0; i < heir.size; i++) {
		if (i >= at && i < at + msg->header_len + msg->body_len)
			continue;
		ASSERT_EQ(0, heir.pool[i]) TH_LOG("at %u", i);
	}
	ep_close(&heir);
}

TEST_F(forged, a_new_pool_shows_nothing_of_old_ones)
{
	struct ep *server = &self->duo.server, fresh[4];
	unsigned char secret[8192];
	struct symphony_call call;

	/* Both pools of it are full of the byte. */
	memset(secret, 0xcc, sizeof(secret));
	do {
		call = ep_request(self->duo.svc, secret, sizeof(secret));
	} while (!ep_send(&self->duo.client, &call));
	ASSERT_LT(30, traces(server, 0xcc));
	duo_close(&self->duo);
	for (size_t i = 0; i < ARRAY_SIZE(fresh); i++) {
		ASSERT_EQ(0, ep_join_bus(&fresh[i], "test-fresh", SYMPHONY_JOIN_CREATE,
					 0, MIB));
		for (__u32 at = 0; at < MIB; at += 8) {
			ASSERT_EQ(0, *(const __u64 *)(fresh[i].pool + at));
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(fresh); i++)
		ep_close(&fresh[i]);
}

TEST_HARNESS_MAIN
