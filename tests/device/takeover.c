// SPDX-License-Identifier: MIT
/*
 * Takeover: the name switches in one step, what is queued moves, what was
 * received is answered where it is, the old replica is told, and no caller
 * notices.
 */
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "claim.h"

#define TAKEOVER	SYMPHONY_CLAIM_TAKEOVER
#define REQUEUE		SYMPHONY_CLAIM_REQUEUE

FIXTURE(takeover)
{
	struct ep client, a, b, c;
	__u64 svc;
};

FIXTURE_SETUP(takeover)
{
	dev_begin();
	ASSERT_EQ(0, ep_join_bus(&self->client, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, MIB));
	ASSERT_EQ(0, ep_join(&self->a, MIB));
	ASSERT_EQ(0, ep_join(&self->b, MIB));
	ASSERT_EQ(0, ep_join(&self->c, MIB));
	ASSERT_EQ(0, ep_claim(&self->a, "svc", &self->svc));
}

FIXTURE_TEARDOWN(takeover)
{
	ep_close(&self->client);
	ep_close(&self->a);
	ep_close(&self->b);
	ep_close(&self->c);
}

static int take_over(struct ep *ep, __u64 target)
{
	__u64 handle;

	return ep_claim_with(ep, "svc", TAKEOVER, target, &handle);
}

/* Whether @ep is told that @by took over. */
static bool is_told(struct _test_data_takeover *self, struct ep *ep, struct ep *by)
{
	const struct symphony_msg *msg = ep_expect(ep, SYMPHONY_MSG_TAKEOVER, 0);

	return msg && msg->sender == by->id && msg->handle == self->svc &&
	       !msg->body_len && !ep_release(ep, msg);
}

/*
 * Serve the next request of @ep; its method. What @ep is told and its requests
 * come in turn: TAKEOVERs in front of it are counted.
 */
static long serve_or_hear(struct ep *ep, int *told)
{
	const struct symphony_msg *msg;
	long method;

	while ((msg = ep_next(ep, DEV_LONG)) && msg->type == SYMPHONY_MSG_TAKEOVER) {
		ep_release(ep, msg);
		++*told;
	}
	if (!msg)
		return -errno;
	method = msg->method;
	return ep_reply(ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE) ?: method;
}

struct flipper {
	struct ep *ep[2];
	atomic_bool stop;
	int flips;
};

/* Two replicas take over from each other, and drop what they get. */
static void *flip(void *arg)
{
	struct flipper *flipper = arg;
	const struct symphony_msg *msg;

	for (; !flipper->stop; flipper->flips++) {
		struct ep *ep = flipper->ep[flipper->flips & 1];

		take_over(ep, 0);
		while ((msg = ep_next(ep, -1)))
			ep_release(ep, msg);
	}
	return NULL;
}

/* Send @nr calls from @from on. */
static int send_marked(struct _test_data_takeover *self, __u64 from, int nr)
{
	int ret = 0;

	for (int i = 0; i < nr && !ret; i++)
		ret = ep_mark(&self->client, self->svc, from + i, 100 * (from + i));
	return ret;
}

TEST_F(takeover, of_all_replaces_every_replica)
{
	ASSERT_EQ(0, ep_claim(&self->b, "svc", &self->svc));
	ASSERT_EQ(0, take_over(&self->c, 0));
	ASSERT_EQ(0, send_marked(self, 0, 6));
	for (int i = 0; i < 6; i++) {
		EXPECT_EQ(i, ep_serve(&self->c));
	}
	EXPECT_TRUE(is_told(self, &self->a, &self->c));
	EXPECT_TRUE(is_told(self, &self->b, &self->c));
	EXPECT_TRUE(ep_is_quiet(&self->a));
	EXPECT_TRUE(ep_is_quiet(&self->b));
	EXPECT_TRUE(ep_is_quiet(&self->c));
}

TEST_F(takeover, of_one_leaves_the_others)
{
	ASSERT_EQ(0, ep_claim(&self->b, "svc", &self->svc));
	ASSERT_EQ(0, take_over(&self->c, self->a.id));
	EXPECT_TRUE(is_told(self, &self->a, &self->c));
	ASSERT_EQ(0, send_marked(self, 1, 2));
	EXPECT_EQ(3, ep_serve(&self->b) + ep_serve(&self->c));
	EXPECT_TRUE(ep_is_quiet(&self->a));
	EXPECT_TRUE(ep_is_quiet(&self->b));
}

TEST_F(takeover, moves_what_is_queued_and_leaves_what_was_received)
{
	const struct symphony_msg *held[3], *msg;
	__u64 cookie;

	ASSERT_EQ(0, send_marked(self, 0, 20));
	for (int i = 0; i < 3; i++) {
		held[i] = ep_expect(&self->a, SYMPHONY_MSG_CALL, i);
		ASSERT_NE(NULL, held[i]);
	}
	ASSERT_EQ(0, take_over(&self->b, 0));
	for (int i = 3; i < 20; i++) {
		msg = ep_next(&self->b, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_TRUE(ep_is_marked(msg, i, 100 * i));
		EXPECT_EQ(self->client.id, msg->sender);
		EXPECT_EQ(0, ep_reply(&self->b, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	}
	EXPECT_TRUE(is_told(self, &self->a, &self->b));
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(ep_is_marked(held[i], i, 100 * i));
		EXPECT_EQ(0, ep_reply(&self->a, held[i], NULL, 0, SYMPHONY_REPLY_RELEASE));
	}
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	}
	EXPECT_TRUE(ep_is_quiet(&self->client));
}

TEST_F(takeover, moves_a_call_that_waits_for_its_answer)
{
	struct symphony_call call = ep_request(self->svc, "call", 4);
	struct caller caller;

	call.method = 5;
	ASSERT_EQ(0, caller_start(&caller, &self->client, call));
	ASSERT_TRUE(caller_is_in(&caller));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, take_over(&self->b, 0));
	EXPECT_EQ(5, ep_serve(&self->b));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret ?: caller.call.status);
	EXPECT_EQ(self->b.id, ep_msg(&self->client, caller.call.offset)->sender);
}

TEST_F(takeover, leaves_the_calls_of_other_services)
{
	__u64 other;
	int told = 0;

	ASSERT_EQ(0, ep_claim(&self->a, "other", &other));
	ASSERT_EQ(0, ep_mark(&self->client, other, 1, 10));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, 10));
	ASSERT_EQ(0, ep_mark(&self->client, other, 3, 10));
	ASSERT_EQ(0, take_over(&self->b, 0));
	EXPECT_EQ(1, serve_or_hear(&self->a, &told));
	EXPECT_EQ(3, serve_or_hear(&self->a, &told));
	EXPECT_EQ(2, ep_serve(&self->b));
	if (!told) {
		EXPECT_TRUE(is_told(self, &self->a, &self->b));
	}
	EXPECT_TRUE(ep_is_quiet(&self->a));
}

TEST_F(takeover, makes_the_old_one_no_replica_that_may_come_back)
{
	__u64 handle;

	ASSERT_EQ(0, take_over(&self->b, 0));
	EXPECT_TRUE(is_told(self, &self->a, &self->b));
	EXPECT_EQ(-ENOENT, ep_unclaim(&self->a, self->svc));
	EXPECT_EQ(-ENOENT, ep_drain(&self->a, self->svc, false));
	EXPECT_EQ(-EALREADY, take_over(&self->b, 0));
	EXPECT_EQ(-EALREADY, take_over(&self->b, self->b.id));
	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	EXPECT_EQ(self->svc, handle);
	ASSERT_EQ(0, send_marked(self, 1, 2));
	EXPECT_EQ(3, ep_serve(&self->a) + ep_serve(&self->b));
	/* And back. */
	EXPECT_EQ(0, ep_unclaim(&self->a, self->svc));
	EXPECT_EQ(0, take_over(&self->a, self->b.id));
	EXPECT_TRUE(is_told(self, &self->b, &self->a));
}

TEST_F(takeover, of_who_is_no_replica_is_esrch)
{
	__u64 handle;

	EXPECT_EQ(-ESRCH, take_over(&self->c, self->b.id));
	EXPECT_EQ(-ESRCH, take_over(&self->c, self->c.id));
	EXPECT_EQ(-ESRCH, take_over(&self->c, ~0ULL));
	ASSERT_EQ(0, ep_claim(&self->b, "other", &handle));
	EXPECT_EQ(-ESRCH, take_over(&self->c, self->b.id));
	/* A target without TAKEOVER means nothing. */
	EXPECT_EQ(-EINVAL, ep_claim_with(&self->c, "svc", 0, self->a.id, &handle));
	/* None of it made a replica, or took one away. */
	EXPECT_EQ(-ENOENT, ep_unclaim(&self->c, self->svc));
	ASSERT_EQ(0, send_marked(self, 1, 1));
	EXPECT_EQ(1, ep_serve(&self->a));
	EXPECT_TRUE(ep_is_quiet(&self->a));
}

TEST_F(takeover, of_nobody_is_a_claim)
{
	ASSERT_EQ(0, ep_unclaim(&self->a, self->svc));
	ASSERT_EQ(0, take_over(&self->b, 0));
	ASSERT_EQ(0, send_marked(self, 1, 1));
	EXPECT_EQ(1, ep_serve(&self->b));
	EXPECT_TRUE(ep_is_quiet(&self->a));
}

TEST_F(takeover, changes_the_recovery_only_if_all_go)
{
	__u64 handle, cookie;

	ASSERT_EQ(0, ep_claim(&self->b, "svc", &handle));
	EXPECT_EQ(-EINVAL, ep_claim_with(&self->c, "svc", TAKEOVER | REQUEUE, self->a.id,
					 &handle));
	EXPECT_TRUE(ep_is_quiet(&self->a));
	ASSERT_EQ(0, send_marked(self, 1, 2));
	ASSERT_EQ(0, ep_claim_with(&self->c, "svc", TAKEOVER | REQUEUE, 0, &handle));
	EXPECT_EQ(3, ep_serve(&self->c) + ep_serve(&self->c));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(-EINVAL, ep_claim(&self->a, "svc", &handle));
}

TEST_F(takeover, by_another_user_is_eperm)
{
	struct kid kid;
	__s64 ret;

	if (geteuid())
		SKIP(return, "needs root");
	if (!kid_fork(&kid)) {
		struct ep ep;

		if (syscall(SYS_setresuid, 1001, 1001, 1001))
			_exit(2);
		kid_tell(&kid, ep_join_bus(&ep, dev_bus(), 0, 0, SYMPHONY_POOL_MIN));
		kid_tell(&kid, take_over(&ep, 0));
		kid_tell(&kid, take_over(&ep, self->a.id));
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &ret));
	ASSERT_EQ(0, ret);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, kid_hear(&kid, &ret));
		EXPECT_EQ(-EPERM, ret);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	ASSERT_EQ(0, send_marked(self, 1, 1));
	EXPECT_EQ(1, ep_serve(&self->a));
	EXPECT_TRUE(ep_is_quiet(&self->a));
}

/* @ep serves "svc" alone and holds all of its room that the client can have. */
static int fill_and_hold(struct _test_data_takeover *self, struct ep *ep)
{
	__u64 filler;
	int ret = ep_claim(ep, "filler", &filler);

	while (!ret && !ep_mark(&self->client, filler, 0, 4000))
		ret = ep_next(ep, DEV_LONG) ? 0 : -errno;
	return ret;
}

static struct symphony_call large(struct _test_data_takeover *self, __u64 cookie)
{
	static unsigned char body[4000];
	struct symphony_call call = ep_marked(self->svc, cookie, body, sizeof(body));

	call.deadline = dev_after(DEV_LONG);
	return call;
}

TEST_F(takeover, lets_calls_go_that_wait_for_room_at_the_old_one)
{
	struct caller caller;

	ASSERT_EQ(0, fill_and_hold(self, &self->a));
	ASSERT_EQ(0, caller_start(&caller, &self->client, large(self, 5)));
	ASSERT_TRUE(caller_is_in(&caller));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, take_over(&self->b, 0));
	EXPECT_EQ(5, ep_serve(&self->b));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret ?: caller.call.status);
}

TEST_F(takeover, is_room_for_who_waits_to_hear_of_some)
{
	struct symphony_call call = large(self, 5);

	call.flags = SYMPHONY_CALL_NOTIFY;
	ASSERT_EQ(0, fill_and_hold(self, &self->a));
	ASSERT_EQ(-EAGAIN, ep_send(&self->client, &call));
	ASSERT_EQ(0, take_over(&self->b, 0));
	EXPECT_NE(NULL, ep_expect(&self->client, SYMPHONY_MSG_ROOM, 5));
	EXPECT_EQ(0, ep_send(&self->client, &call));
	EXPECT_EQ(5, ep_serve(&self->b));
}

TEST_F(takeover, takes_along_what_waits_to_move_to_the_old_one)
{
	struct symphony_call call = large(self, 5);

	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_EQ(0, fill_and_hold(self, &self->b));
	ASSERT_EQ(0, take_over(&self->b, 0));
	EXPECT_TRUE(ep_is_quiet(&self->b));
	ASSERT_EQ(0, take_over(&self->c, 0));
	EXPECT_EQ(5, ep_serve(&self->c));
	EXPECT_TRUE(is_told(self, &self->b, &self->c));
}

TEST_F(takeover, there_and_back_needs_no_room_twice)
{
	struct symphony_call call;
	int nr = 0, seen[MIB / 4096] = {}, ret;

	/* All that the client may have at a stands there; none of it fits at b. */
	ASSERT_EQ(0, fill_and_hold(self, &self->b));
	do {
		call = large(self, nr);
		ret = ep_send(&self->client, &call);
		nr += !ret;
	} while (!ret);
	ASSERT_EQ(-EAGAIN, ret);
	ASSERT_EQ(0, take_over(&self->b, 0));
	EXPECT_TRUE(is_told(self, &self->a, &self->b));
	ASSERT_EQ(0, take_over(&self->a, 0));
	ASSERT_GE(ARRAY_SIZE(seen), nr);
	for (int i = 0; i < nr; i++) {
		long method = ep_serve(&self->a);

		ASSERT_LE(0, method);
		EXPECT_EQ(1, ++seen[method]);
	}
	EXPECT_TRUE(is_told(self, &self->b, &self->a));
}

TEST_F(takeover, after_takeover_loses_nothing_on_the_way)
{
	struct ep *line[] = { &self->a, &self->b, &self->c };
	const int nr = 100;

	for (int round = 0; round < 10; round++) {
		int seen[100] = {}, told = 0;

		for (int i = 0; i < nr; i++) {
			ASSERT_EQ(0, ep_mark(&self->client, self->svc, i, 500));
		}
		for (int i = 1; i <= 6; i++) {
			ASSERT_EQ(0, take_over(line[i % 3], 0));
		}
		for (int i = 0; i < nr; i++) {
			long method = serve_or_hear(&self->a, &told);

			ASSERT_LE(0, method);
			EXPECT_EQ(1, ++seen[method]);
			ASSERT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));
		}
		EXPECT_EQ(2, told);
	}
}

TEST_F(takeover, is_told_late_when_the_pool_is_full_but_is_told)
{
	struct ep small;
	__u64 handle;
	int why;

	/* Its own calls take the pool of who is to be told. */
	ASSERT_EQ(0, ep_join(&small, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_claim(&small, "small", &handle));
	do
		why = ep_mark(&small, self->svc, 0, 0);
	while (!why);
	ASSERT_EQ(-ENOBUFS, why);
	ASSERT_EQ(0, ep_claim_with(&self->b, "small", TAKEOVER, 0, &handle));
	EXPECT_TRUE(ep_is_quiet(&small));
	EXPECT_EQ(0, ep_serve(&self->a));
	/* The answer to its call, whose release is room for the notice. */
	ASSERT_EQ(0, ep_fetch(&small, &(__u64){ 0 }));
	EXPECT_NE(NULL, ep_expect(&small, SYMPHONY_MSG_TAKEOVER, 0));
	EXPECT_EQ(0, ep_serve(&self->a));
	ASSERT_EQ(0, ep_fetch(&small, &(__u64){ 0 }));
	EXPECT_TRUE(ep_is_quiet(&small));
	ep_close(&small);
}

TEST_F(takeover, back_and_forth_with_full_pools_ends)
{
	struct ep *both[] = { &self->a, &self->b };
	int ret = 0, rounds;
	__u64 other;

	/* Their own calls take their pools. */
	ASSERT_EQ(0, ep_claim(&self->c, "other", &other));
	for (int i = 0; i < 2; i++) {
		struct symphony_call call = ep_request(other, NULL, 0);

		for (call.reply_max = MIB / 4; call.reply_max; call.reply_max /= 2) {
			while (!ep_send(both[i], &call))
				call.id = 0;
		}
	}
	for (rounds = 0; rounds < 10 && !ret; rounds++)
		ret = take_over(both[!(rounds % 2)], 0);
	EXPECT_EQ(-ENOBUFS, ret);
	EXPECT_LE(rounds, 8);
}

/* A thread that calls again and again until it is told to stop. */
struct nagger {
	struct ep ep;
	__u64 svc;
	pthread_t thread;
	atomic_bool *stop;
	int done, wrong;
};

static void *nag(void *arg)
{
	struct nagger *n = arg;
	unsigned char body[600];

	while (!*n->stop) {
		struct symphony_call call = ep_request(n->svc, body, sizeof(body));
		int ret;

		dev_fill(body, sizeof(body), n->done);
		ret = ep_outcome(&n->ep, &call);
		if (ret || !dev_filled(ep_body(ep_msg(&n->ep, call.offset)), sizeof(body),
				       n->done))
			n->wrong++;
		if (!ret)
			ep_release_at(&n->ep, call.offset);
		n->done++;
	}
	return NULL;
}

TEST_F(takeover, is_not_noticed_by_those_who_call)
{
	struct ep *line[] = { &self->a, &self->b, &self->c };
	struct echo echos[ARRAY_SIZE(line)];
	struct nagger naggers[4] = {};
	atomic_bool stop = false;
	int done = 0, rounds = 0;
	__u64 until;

	for (size_t i = 0; i < ARRAY_SIZE(line); i++) {
		ASSERT_EQ(0, echo_start(&echos[i], line[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(naggers); i++) {
		naggers[i].svc = self->svc;
		naggers[i].stop = &stop;
		ASSERT_EQ(0, ep_join(&naggers[i].ep, MIB));
		pthread_create(&naggers[i].thread, NULL, nag, &naggers[i]);
	}
	until = dev_after(1500);
	while (rounds < 20 || dev_now() < until) {
		ASSERT_EQ(0, take_over(line[++rounds % ARRAY_SIZE(line)], 0));
		dev_nap(rounds % 3);
	}
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(naggers); i++) {
		pthread_join(naggers[i].thread, NULL);
		done += naggers[i].done;
		EXPECT_EQ(0, naggers[i].wrong);
		ep_close(&naggers[i].ep);
	}
	for (size_t i = 0; i < ARRAY_SIZE(line); i++)
		echo_stop(&echos[i]);
	TH_LOG("%d calls, %d takeovers", done, rounds);
	EXPECT_LE(ARRAY_SIZE(naggers), done);
}

/* However fast they change: a body that takes longer to copy is refused. */
TEST_F(takeover, send_ends_while_replicas_change)
{
	struct ep wide[2];
	struct flipper flipper = { .ep = { &wide[0], &wide[1] } };
	static unsigned char body[4 * MIB];
	__u64 longest = 0, end;
	int sent = 0, refused = 0;
	pthread_t thread;

	ASSERT_EQ(0, ep_join(&wide[0], 32 * MIB));
	ASSERT_EQ(0, ep_join(&wide[1], 32 * MIB));
	memset(body, 1, sizeof(body));
	ASSERT_EQ(0, pthread_create(&thread, NULL, flip, &flipper));
	dev_until(flipper.flips > 10);
	end = dev_after(10000);
	while (!refused && dev_now() < end) {
		struct symphony_call call = ep_request(self->svc, body, sizeof(body));
		__u64 begin = dev_now();
		int ret;

		call.flags = SYMPHONY_CALL_ONEWAY;
		call.reply_max = 0;
		call.deadline = 0;
		ret = ep_send(&self->client, &call);
		EXPECT_TRUE(!ret || ret == -EAGAIN) TH_LOG("gave %d", ret);
		sent += !ret;
		refused += ret == -EAGAIN;
		longest = dev_now() - begin > longest ? dev_now() - begin : longest;
	}
	flipper.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%d takeovers; %d sent, %d refused, the longest took %.1f ms", flipper.flips,
	       sent, refused, longest / 1e6);
	EXPECT_LT(0, refused);
	EXPECT_GT(5000000000ULL, longest);
	ep_close(&wide[0]);
	ep_close(&wide[1]);
}

TEST_HARNESS_MAIN
