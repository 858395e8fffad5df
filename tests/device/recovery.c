// SPDX-License-Identifier: MIT
/*
 * Recovery: what becomes of a dead replica's calls is what its service says;
 * those that go to another one arrive there as they were sent, and each has one
 * outcome.
 */
#include <signal.h>
#include <kselftest_harness.h>

#include "claim.h"

#define FAIL		0U
#define REQUEUE		SYMPHONY_CLAIM_REQUEUE
#define REISSUE		(SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE)

#define SENDS		40
#define CALLS		4
#define TAKEN		8	/* of the SENDs, and one CALL, were received; */
#define ANSWERED	3	/* of those, the first were answered */

/* What a replica in a process of its own is told to do. */
enum order { TAKE = 1, ANSWER, BOTCH, LET_GO, CLOSE };

/* Say what came of each order; of TAKE, the method. */
static void obey(struct kid *kid, struct ep *ep)
{
	const struct symphony_msg *msg = NULL;
	__s64 order, said;

	while (!kid_hear(kid, &order)) {
		switch (order) {
		case TAKE:
			msg = ep_next(ep, DEV_LONG);
			said = msg ? (__s64)msg->method : -errno;
			break;
		case ANSWER:
			said = ep_reply(ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE);
			break;
		case BOTCH:
			said = ep_reply(ep, msg, (void *)16, 1, 0);
			break;
		case LET_GO:
			said = ep_release(ep, msg);
			break;
		default:
			ep_close(ep);
			said = 0;
		}
		kid_tell(kid, said);
	}
	_exit(0);
}

static __s64 told(struct kid *kid, enum order order)
{
	__s64 said;
	int ret = kid_tell(kid, order) ?: kid_hear(kid, &said);

	return ret ?: said;
}

/* A replica of "svc" in a process of its own. */
static int start(struct kid *kid, __u32 flags)
{
	struct ep ep;
	__s64 ret;
	__u64 svc;

	if (!kid_fork(kid)) {
		ret = ep_join(&ep, MIB) ?: ep_claim_with(&ep, "svc", flags, 0, &svc);
		kid_tell(kid, ret);
		obey(kid, &ep);
	}
	return kid_hear(kid, &ret) ?: ret;
}

FIXTURE(recovery)
{
	struct kid victim;
	struct ep client, other, heir;
	struct caller callers[CALLS];
	__u64 svc;
};

FIXTURE_VARIANT(recovery)
{
	__u32 flags;
	__u32 call_flags;
	bool closed;		/* rather than killed */
	bool moves_queued;
	bool moves_taken;
};

FIXTURE_VARIANT_ADD(recovery, fail) { .flags = FAIL };
FIXTURE_VARIANT_ADD(recovery, fail_idempotent) {
	.flags = FAIL, .call_flags = SYMPHONY_CALL_IDEMPOTENT, .closed = true,
};
FIXTURE_VARIANT_ADD(recovery, requeue) { .flags = REQUEUE, .moves_queued = true };
FIXTURE_VARIANT_ADD(recovery, requeue_closed) {
	.flags = REQUEUE, .closed = true, .moves_queued = true,
};
FIXTURE_VARIANT_ADD(recovery, requeue_idempotent) {
	.flags = REQUEUE, .call_flags = SYMPHONY_CALL_IDEMPOTENT, .moves_queued = true,
};
FIXTURE_VARIANT_ADD(recovery, reissue) { .flags = REISSUE, .moves_queued = true };
FIXTURE_VARIANT_ADD(recovery, reissue_idempotent) {
	.flags = REISSUE, .call_flags = SYMPHONY_CALL_IDEMPOTENT,
	.moves_queued = true, .moves_taken = true,
};
FIXTURE_VARIANT_ADD(recovery, reissue_idempotent_closed) {
	.flags = REISSUE, .call_flags = SYMPHONY_CALL_IDEMPOTENT, .closed = true,
	.moves_queued = true, .moves_taken = true,
};

FIXTURE_SETUP(recovery)
{
	dev_begin();
	ASSERT_EQ(0, start(&self->victim, variant->flags));
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	ASSERT_EQ(0, ep_join(&self->other, MIB));
	ASSERT_EQ(0, ep_join(&self->heir, MIB));
	ASSERT_EQ(0, ep_resolve(&self->client, "svc", &self->svc));
}

FIXTURE_TEARDOWN(recovery)
{
	ep_close(&self->client);
	ep_close(&self->other);
	ep_close(&self->heir);
}

static __u32 length_of(__u64 cookie)
{
	static const __u32 lengths[] = { 0, 1, 127, 128, 129, 1000, 4096, 9000 };

	return lengths[cookie % ARRAY_SIZE(lengths)];
}

static int end_victim(struct kid *victim, bool closed)
{
	int ret = closed ? told(victim, CLOSE) : 0;

	return ret ?: kid_kill(victim, SIGKILL) == 128 + SIGKILL ? 0 : -ECHILD;
}

static int send_some(struct _test_data_recovery *self, __u64 from, __u64 to, __u32 flags)
{
	static unsigned char body[9000];
	int ret = 0;

	for (__u64 i = from; i < to && !ret; i++) {
		struct symphony_call call = ep_marked(self->svc, i, body, length_of(i));

		call.flags = flags;
		ret = ep_send(&self->client, &call);
	}
	return ret;
}

static int call_one(struct _test_data_recovery *self, int i, __u32 flags)
{
	struct symphony_call call = ep_request(self->svc, "call", 4);

	call.flags = flags;
	call.method = SENDS;
	return caller_start(&self->callers[i], &self->other, call) ?:
	       caller_is_in(&self->callers[i]) ? 0 : -ETIMEDOUT;
}

/* Of each kind of call some are queued, received, answered. */
static void make_all(struct __test_metadata *_metadata, struct _test_data_recovery *self,
		     __u32 flags)
{
	ASSERT_EQ(0, call_one(self, 0, flags));
	ASSERT_EQ(SENDS, told(&self->victim, TAKE));
	ASSERT_EQ(0, send_some(self, 0, TAKEN, flags));
	for (int i = 0; i < TAKEN; i++) {
		ASSERT_EQ(i, told(&self->victim, TAKE));
		if (i < ANSWERED) {
			ASSERT_EQ(0, told(&self->victim, ANSWER));
		}
	}
	/* What the victim still does with the last one changes nothing. */
	ASSERT_EQ(-EFAULT, told(&self->victim, BOTCH));
	ASSERT_EQ(0, told(&self->victim, LET_GO));
	ASSERT_EQ(0, send_some(self, TAKEN, SENDS, flags));
	for (int i = 1; i < CALLS; i++) {
		ASSERT_EQ(0, call_one(self, i, flags));
	}
	dev_nap(DEV_BEAT);
}

/* Take and answer what came to the heir: all as it was sent, in order. */
static void inherit(struct __test_metadata *_metadata, struct _test_data_recovery *self,
		    __u64 next, int calls)
{
	const struct symphony_msg *msg;

	for (int nr = SENDS - next + calls; nr; nr--) {
		msg = ep_next(&self->heir, DEV_LONG);
		ASSERT_NE(NULL, msg);
		if (msg->sender == self->client.id) {
			EXPECT_TRUE(ep_is_marked(msg, next, length_of(next)));
			EXPECT_EQ(0, msg->deadline);
			next++;
		} else {
			EXPECT_EQ(self->other.id, msg->sender);
			EXPECT_EQ(0, memcmp(ep_body(msg), "call", 4));
			EXPECT_NE(0, msg->deadline);
		}
		EXPECT_EQ(self->svc, msg->handle);
		EXPECT_EQ(getpid(), msg->pid);
		EXPECT_EQ(getuid(), msg->uid);
		EXPECT_EQ(getgid(), msg->gid);
		EXPECT_EQ(0, ep_reply(&self->heir, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	}
	EXPECT_EQ(SENDS, next);
}

/* Every SEND has one outcome; those from @moved on are the heir's answers. */
static void collect(struct __test_metadata *_metadata, struct _test_data_recovery *self,
		    __u64 moved)
{
	int outcomes[SENDS] = {};
	__u64 cookie;

	for (int i = 0; i < SENDS; i++) {
		int status = ep_fetch(&self->client, &cookie);

		ASSERT_LT(cookie, SENDS);
		EXPECT_EQ(1, ++outcomes[cookie]);
		EXPECT_EQ(cookie < ANSWERED || cookie >= moved ? 0 :
			  cookie < TAKEN ? -ECONNRESET : -ECONNABORTED, status);
	}
	EXPECT_TRUE(ep_is_quiet(&self->client));
	EXPECT_TRUE(ep_is_quiet(&self->other));
}

TEST_F(recovery, gives_each_call_the_outcome_of_its_state)
{
	int first = variant->moves_taken ? 0 : variant->moves_queued ? 1 : CALLS;
	__u64 moved = variant->moves_taken ? ANSWERED :
		      variant->moves_queued ? TAKEN : SENDS;

	make_all(_metadata, self, variant->call_flags);
	ASSERT_EQ(0, ep_claim_with(&self->heir, "svc", variant->flags, 0, &self->svc));
	ASSERT_EQ(0, end_victim(&self->victim, variant->closed));
	inherit(_metadata, self, moved, CALLS - first);
	collect(_metadata, self, moved);
	for (int i = 0; i < CALLS; i++) {
		struct caller *caller = &self->callers[i];

		ASSERT_EQ(0, caller_join(caller, DEV_LONG));
		EXPECT_EQ(0, caller->ret);
		EXPECT_EQ(i >= first ? 0 : i ? -ECONNABORTED : -ECONNRESET, caller->call.status);
	}
	EXPECT_TRUE(ep_is_quiet(&self->heir));
}

TEST_F(recovery, says_what_was_received_when_no_replica_is_left)
{
	make_all(_metadata, self, variant->call_flags);
	ASSERT_EQ(0, end_victim(&self->victim, variant->closed));
	collect(_metadata, self, SENDS);
	for (int i = 0; i < CALLS; i++) {
		ASSERT_EQ(0, caller_join(&self->callers[i], DEV_LONG));
		EXPECT_EQ(0, self->callers[i].ret);
		EXPECT_EQ(i ? -ECONNABORTED : -ECONNRESET, self->callers[i].call.status);
	}
}

/* A call that its servers die of does not go on for ever. */
TEST(reissue_has_an_end)
{
	struct symphony_call call;
	struct kid victims[2];
	struct ep client;
	__u64 svc, cookie;

	dev_begin();
	ASSERT_EQ(0, start(&victims[0], REISSUE));
	ASSERT_EQ(0, ep_join(&client, MIB));
	ASSERT_EQ(0, ep_resolve(&client, "svc", &svc));
	call = ep_request(svc, "poison", 6);
	call.flags = SYMPHONY_CALL_IDEMPOTENT;
	call.cookie = 7;
	ASSERT_EQ(0, ep_send(&client, &call));
	for (int i = 0; i <= SYMPHONY_REISSUES_MAX; i++) {
		struct kid *victim = &victims[i % 2];

		ASSERT_EQ(0, told(victim, TAKE));
		EXPECT_TRUE(ep_is_quiet(&client));
		ASSERT_EQ(0, start(&victims[(i + 1) % 2], REISSUE));
		ASSERT_EQ(0, end_victim(victim, false));
	}
	EXPECT_EQ(-ECONNRESET, ep_fetch(&client, &cookie));
	EXPECT_EQ(7, cookie);
	ep_close(&client);
}

/* Although it waits in a queue: it may be done by one that died. */
TEST(reissued_call_was_received)
{
	struct symphony_call call;
	struct kid victim, heir;
	struct ep client;
	__u64 svc, cookie;

	dev_begin();
	ASSERT_EQ(0, start(&victim, REISSUE));
	ASSERT_EQ(0, ep_join(&client, MIB));
	ASSERT_EQ(0, ep_resolve(&client, "svc", &svc));
	call = ep_request(svc, NULL, 0);
	call.flags = SYMPHONY_CALL_IDEMPOTENT;
	call.deadline = dev_after(10 * DEV_BEAT);
	ASSERT_EQ(0, ep_send(&client, &call));
	ASSERT_EQ(0, told(&victim, TAKE));
	ASSERT_EQ(0, start(&heir, REISSUE));
	ASSERT_EQ(0, end_victim(&victim, false));
	EXPECT_EQ(-ETIMEDOUT, ep_fetch(&client, &cookie));
	kid_kill(&heir, SIGKILL);
	ep_close(&client);
}

TEST(recovery_is_the_same_for_all_replicas)
{
	static const __u32 other[] = { FAIL, REISSUE };
	struct ep first, second;
	__u64 handle;

	dev_begin();
	ASSERT_EQ(0, ep_join(&first, MIB));
	ASSERT_EQ(0, ep_join(&second, MIB));
	ASSERT_EQ(0, ep_claim_with(&first, "svc", REQUEUE, 0, &handle));
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		EXPECT_EQ(-EINVAL, ep_claim_with(&second, "svc", other[i], 0, &handle));
	}
	/* Those are no recovery at all. */
	EXPECT_EQ(-EINVAL, ep_claim_with(&second, "new", SYMPHONY_CLAIM_REISSUE, 0, &handle));
	EXPECT_EQ(-EINVAL, ep_claim_with(&second, "new", 1U << 31, 0, &handle));
	EXPECT_EQ(-ENOENT, ep_resolve(&second, "new", &handle));
	EXPECT_EQ(0, ep_claim_with(&second, "svc", REQUEUE, 0, &handle));
	/* A service without replicas has none to disagree with. */
	EXPECT_EQ(0, ep_unclaim(&second, handle));
	EXPECT_EQ(0, ep_unclaim(&first, handle));
	EXPECT_EQ(0, ep_claim_with(&second, "svc", FAIL, 0, &handle));
	EXPECT_EQ(-EINVAL, ep_claim_with(&first, "svc", REQUEUE, 0, &handle));
	ep_close(&first);
	ep_close(&second);
}

TEST_HARNESS_MAIN
