// SPDX-License-Identifier: MIT
/*
 * Moved calls: what a dead replica had goes to another one as it was sent, under
 * the rules by which calls are made: room, deadline, cancel, either side's death.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <kselftest_harness.h>

#include "claim.h"

#define REQUEUE		SYMPHONY_CLAIM_REQUEUE

/* All in one process: an endpoint that is closed is dead. */
FIXTURE(moved)
{
	struct ep client, victim, heir;
	__u64 svc, use;
};

static __u64 pool_use(void)
{
	return dev_limits().user_pool.used;
}

FIXTURE_SETUP(moved)
{
	dev_begin();
	self->heir.fd = -1;
	self->use = pool_use();
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	ASSERT_EQ(0, ep_join(&self->victim, MIB));
	ASSERT_EQ(0, ep_claim_with(&self->victim, "svc", REQUEUE, 0, &self->svc));
}

FIXTURE_TEARDOWN(moved)
{
	ep_close(&self->client);
	ep_close(&self->victim);
	ep_close(&self->heir);
	EXPECT_TRUE(dev_until(pool_use() <= self->use));
}

static int heir_comes(struct _test_data_moved *self, __u32 pool)
{
	return ep_join(&self->heir, pool) ?:
	       ep_claim_with(&self->heir, "svc", REQUEUE, 0, &self->svc);
}

/* A heir whose pool has all of it that the client can have; it holds the key. */
static const struct symphony_msg *full_heir_comes(struct _test_data_moved *self)
{
	const struct symphony_msg *first = NULL, *msg;
	__u64 filler;

	if (ep_join(&self->heir, SYMPHONY_POOL_MIN) ||
	    ep_claim(&self->heir, "filler", &filler))
		return NULL;
	while (!ep_mark(&self->client, filler, 0, 4000)) {
		msg = ep_next(&self->heir, DEV_LONG);
		first = first ?: msg;
	}
	return ep_claim_with(&self->heir, "svc", REQUEUE, 0, &self->svc) ? NULL : first;
}

TEST_F(moved, bodies_of_every_size_are_intact)
{
	static unsigned char body[MIB / 2];
	/* Half a pool, with the header: the most there is. */
	static const __u32 lengths[] = { 0, 1, 128, 4095, 65537, MIB / 2 - 128 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct symphony_call call = ep_marked(self->svc, i, body, lengths[i]);
		const struct symphony_msg *msg;
		__u64 cookie;

		ASSERT_EQ(0, ep_send(&self->client, &call));
		ASSERT_EQ(0, heir_comes(self, MIB));
		ep_close(&self->victim);
		msg = ep_next(&self->heir, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(call.id, msg->id);
		EXPECT_TRUE(ep_is_marked(msg, i, lengths[i]));
		EXPECT_EQ(0, ep_reply(&self->heir, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
		EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
		self->victim = self->heir;
		self->heir = (struct ep){ .fd = -1 };
	}
}

TEST_F(moved, a_body_too_large_for_the_heir_is_emsgsize)
{
	__u64 cookie = 0;

	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 100));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, SYMPHONY_POOL_MIN / 2));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 3, 100));
	ASSERT_EQ(0, heir_comes(self, SYMPHONY_POOL_MIN));
	ep_close(&self->victim);
	EXPECT_EQ(-EMSGSIZE, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(2, cookie);
	EXPECT_EQ(1, ep_serve(&self->heir));
	EXPECT_EQ(3, ep_serve(&self->heir));
}

TEST_F(moved, without_room_it_waits_and_the_old_pool_with_it)
{
	const struct symphony_msg *held, *msg;
	__u64 use;

	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 7, 4000));
	held = full_heir_comes(self);
	ASSERT_NE(NULL, held);
	use = pool_use();
	ep_close(&self->victim);
	EXPECT_TRUE(ep_is_quiet(&self->heir));
	EXPECT_TRUE(ep_is_quiet(&self->client));
	EXPECT_EQ(use, pool_use());
	EXPECT_EQ(0, ep_reply(&self->heir, held, NULL, 0, SYMPHONY_REPLY_RELEASE));
	msg = ep_next(&self->heir, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(ep_is_marked(msg, 7, 4000));
	EXPECT_TRUE(dev_until(pool_use() == use - MIB));
}

TEST_F(moved, waiting_for_room_ends_at_the_deadline)
{
	static unsigned char body[4000];
	const struct symphony_msg *held;
	struct symphony_call call;
	struct caller caller;
	__u64 cookie = 0;

	call = ep_marked(self->svc, 7, body, sizeof(body));
	call.deadline = dev_after(20 * DEV_BEAT);
	ASSERT_EQ(0, caller_start(&caller, &self->client, call));
	ASSERT_TRUE(caller_is_in(&caller));
	ASSERT_EQ(0, ep_send(&self->client, &call));
	dev_nap(DEV_BEAT);
	held = full_heir_comes(self);
	ASSERT_NE(NULL, held);
	ep_close(&self->victim);
	EXPECT_EQ(-ETIME, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(7, cookie);
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(-ETIME, caller.call.status);
	EXPECT_LE(call.deadline, dev_now());
	/* They do not come when there is room, and do not keep it. */
	EXPECT_EQ(0, ep_reply(&self->heir, held, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_TRUE(ep_is_quiet(&self->heir));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(0, ep_mark(&self->client, self->svc, 8, 4000));
	EXPECT_EQ(8, ep_serve(&self->heir));
}

TEST_F(moved, waiting_for_room_ends_with_a_cancel)
{
	static unsigned char body[4000];
	struct symphony_call first = ep_marked(self->svc, 7, body, sizeof(body));
	struct symphony_call second = ep_marked(self->svc, 8, body, sizeof(body));
	const struct symphony_msg *held;
	__u64 cookie = 0;

	ASSERT_EQ(0, ep_send(&self->client, &first));
	ASSERT_EQ(0, ep_send(&self->client, &second));
	held = full_heir_comes(self);
	ASSERT_NE(NULL, held);
	ep_close(&self->victim);
	dev_nap(DEV_BEAT);
	EXPECT_EQ(0, ep_cancel(&self->client, first.id, first.slot));
	EXPECT_EQ(-EALREADY, ep_cancel(&self->client, first.id, first.slot));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(7, cookie);
	EXPECT_EQ(0, ep_reply(&self->heir, held, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(8, ep_serve(&self->heir));
	EXPECT_TRUE(ep_is_quiet(&self->heir));
}

TEST_F(moved, waiting_for_room_ends_with_the_caller)
{
	__u64 use = pool_use();

	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 7, 4000));
	ASSERT_NE(NULL, full_heir_comes(self));
	ep_close(&self->victim);
	dev_nap(DEV_BEAT);
	ep_close(&self->client);
	EXPECT_TRUE(ep_is_quiet(&self->heir));
	EXPECT_TRUE(dev_until(pool_use() == use - 2 * MIB + SYMPHONY_POOL_MIN));
}

TEST_F(moved, waiting_for_room_ends_with_the_heir)
{
	__u64 cookie = 0, handle;
	struct ep last;

	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 7, 4000));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 8, 4000));
	ASSERT_NE(NULL, full_heir_comes(self));
	ep_close(&self->victim);
	EXPECT_TRUE(ep_is_quiet(&self->heir));
	ASSERT_EQ(0, ep_join(&last, MIB));
	ASSERT_EQ(0, ep_claim_with(&last, "svc", REQUEUE, 0, &handle));
	ep_close(&self->heir);
	EXPECT_EQ(7, ep_serve(&last));
	/* And with the last one it is over. */
	ep_close(&last);
	for (int i = 0; i < 2; i++) {
		int status;

		do
			status = ep_fetch(&self->client, &cookie);
		while (cookie < 7);
		EXPECT_EQ(cookie == 7 ? 0 : -ECONNABORTED, status);
	}
}

TEST_F(moved, survives_one_death_after_another)
{
	struct ep line[6], *last = &line[ARRAY_SIZE(line) - 1];
	__u64 cookie, handle;

	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 500));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, 5000));
	for (size_t i = 0; i < ARRAY_SIZE(line); i++) {
		ASSERT_EQ(0, ep_join(&line[i], MIB));
		ASSERT_EQ(0, ep_claim_with(&line[i], "svc", REQUEUE, 0, &handle));
		ep_close(i ? &line[i - 1] : &self->victim);
	}
	/* Those on their way when another one dies may come in any order. */
	EXPECT_EQ(1 + 2, ep_serve(last) + ep_serve(last));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	EXPECT_TRUE(ep_is_quiet(&self->client));
	ep_close(last);
}

/* A heir's thread: answers @nr requests, and counts those out of order. */
struct heir {
	struct ep *ep;
	int nr, wrong;
};

static void *serve_in_order(void *arg)
{
	struct heir *heir = arg;

	for (long i = 0; i < heir->nr; i++)
		heir->wrong += ep_serve(heir->ep) != i;
	return NULL;
}

TEST_F(moved, those_of_a_sender_keep_their_order_where_room_is_scarce)
{
	struct heir heir = { .ep = &self->heir, .nr = dev_slow() ? 100 : 300 };
	pthread_t thread;

	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < heir.nr; i++) {
			/* Short ones after long ones: they would find room. */
			ASSERT_EQ(0, ep_mark(&self->client, self->svc, i, i % 3 ? 100 : 3000));
		}
		ASSERT_EQ(0, heir_comes(self, SYMPHONY_POOL_MIN));
		pthread_create(&thread, NULL, serve_in_order, &heir);
		ep_close(&self->victim);
		pthread_join(thread, NULL);
		for (int i = 0; i < heir.nr; i++) {
			ASSERT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));
		}
		ASSERT_EQ(0, ep_join(&self->victim, MIB));
		ASSERT_EQ(0, ep_claim_with(&self->victim, "svc", REQUEUE, 0, &self->svc));
		ep_close(&self->heir);
	}
	EXPECT_EQ(0, heir.wrong);
}

/* A thread that gives up every third of the calls that are being moved. */
struct doubter {
	struct ep *ep;
	struct symphony_call calls[30];
};

static void *give_up(void *arg)
{
	struct doubter *doubter = arg;

	for (size_t i = 0; i < ARRAY_SIZE(doubter->calls); i += 3)
		ep_cancel(doubter->ep, doubter->calls[i].id, doubter->calls[i].slot);
	return NULL;
}

TEST_F(moved, cancels_and_deadlines_race_with_the_move)
{
	static unsigned char body[3000];
	struct doubter doubter = { .ep = &self->client };
	int rounds = dev_slow() ? 15 : 60, cancelled = 0, late = 0;
	pthread_t thread;
	struct echo echo;

	for (int round = 0; round < rounds; round++) {
		int outcomes[ARRAY_SIZE(doubter.calls)] = {}, made = 0;

		for (size_t i = 0; i < ARRAY_SIZE(doubter.calls); i++) {
			struct symphony_call *call = &doubter.calls[i];
			int ret;

			*call = ep_marked(self->svc, i, body, i % 4 ? 100 : sizeof(body));
			call->deadline = i & 1 ? dev_after(1 + (i + round) % 20) : 0;
			ret = ep_send(&self->client, call);
			made += !ret;
			ASSERT_TRUE(!ret || ret == -ETIME);
		}
		ASSERT_EQ(0, heir_comes(self, SYMPHONY_POOL_MIN));
		ASSERT_EQ(0, echo_start(&echo, &self->heir));
		pthread_create(&thread, NULL, give_up, &doubter);
		ep_close(&self->victim);
		pthread_join(thread, NULL);
		for (__u64 cookie; made; made--) {
			int status = ep_fetch(&self->client, &cookie);

			ASSERT_LT(cookie, ARRAY_SIZE(doubter.calls));
			EXPECT_EQ(1, ++outcomes[cookie]);
			EXPECT_TRUE(!status || status == -ECANCELED ||
				    status == -ETIME || status == -ETIMEDOUT);
			cancelled += status == -ECANCELED;
			late += status == -ETIME || status == -ETIMEDOUT;
		}
		EXPECT_EQ(-EAGAIN, ep_recv(&self->client, (__u32[1]){}, 1, -1));
		echo_stop(&echo);
		ASSERT_EQ(0, ep_join(&self->victim, MIB));
		ASSERT_EQ(0, ep_claim_with(&self->victim, "svc", REQUEUE, 0, &self->svc));
		ep_close(&self->heir);
	}
	TH_LOG("%d cancelled, %d late", cancelled, late);
}

static void *die(void *arg)
{
	ep_close(arg);
	return NULL;
}

TEST_F(moved, the_callers_death_races_with_the_move)
{
	int rounds = dev_slow() ? 15 : 60;
	struct echo echo;
	pthread_t thread;

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < 30; i++) {
			ASSERT_EQ(0, ep_mark(&self->client, self->svc, i, i % 4 ? 100 : 3000));
		}
		ASSERT_EQ(0, heir_comes(self, SYMPHONY_POOL_MIN));
		ASSERT_EQ(0, echo_start(&echo, &self->heir));
		pthread_create(&thread, NULL, die, &self->client);
		ep_close(&self->victim);
		pthread_join(thread, NULL);
		/* The heir is none the worse for it. */
		ASSERT_EQ(0, ep_join(&self->client, MIB));
		ASSERT_EQ(0, ep_mark(&self->client, self->svc, 100, 3000));
		EXPECT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));
		echo_stop(&echo);
		ASSERT_EQ(0, ep_join(&self->victim, MIB));
		ASSERT_EQ(0, ep_claim_with(&self->victim, "svc", REQUEUE, 0, &self->svc));
		ep_close(&self->heir);
	}
}

static int put(const char *file, pid_t pid)
{
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ret = fd < 0 || write(fd, "1000 0 1", 8) != 8 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Claim from inside of other user and pid namespaces, and say who sent it. */
static void inherit_abroad(struct kid *kid, int victim)
{
	const struct symphony_msg *msg;
	struct ep ep;
	__u64 svc;
	__s64 go;

	/* Whose last holder closes it. */
	close(victim);
	kid_tell(kid, unshare(CLONE_NEWUSER | CLONE_NEWPID));
	kid_hear(kid, &go);
	if (fork()) {
		pause();
		_exit(0);
	}
	alarm(DEV_ALARM);
	kid_tell(kid, ep_join(&ep, MIB) ?: ep_claim_with(&ep, "svc", REQUEUE, 0, &svc));
	msg = ep_next(&ep, DEV_LONG);
	kid_tell(kid, msg ? msg->pid : -errno);
	kid_tell(kid, msg ? msg->uid : -errno);
	kid_tell(kid, msg ? msg->gid : -errno);
	_exit(0);
}

TEST_F(moved, the_sender_is_who_it_is_for_the_heir)
{
	struct kid kid;
	__s64 said;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 10));
	if (!kid_fork(&kid))
		inherit_abroad(&kid, self->victim.fd);
	ASSERT_EQ(0, kid_hear(&kid, &said));
	if (said) {
		kid_kill(&kid, SIGKILL);
		SKIP(return, "no user namespaces");
	}
	ASSERT_EQ(0, put("uid_map", kid.pid));
	ASSERT_EQ(0, put("gid_map", kid.pid));
	kid_tell(&kid, 1);
	ASSERT_EQ(0, kid_hear(&kid, &said));
	ASSERT_EQ(0, said);
	ep_close(&self->victim);
	ASSERT_EQ(0, kid_hear(&kid, &said));
	EXPECT_EQ(0, said);
	ASSERT_EQ(0, kid_hear(&kid, &said));
	EXPECT_EQ(1000, said);
	ASSERT_EQ(0, kid_hear(&kid, &said));
	EXPECT_EQ(1000, said);
	kid_kill(&kid, SIGKILL);
}

TEST_HARNESS_MAIN
