// SPDX-License-Identifier: MIT
/*
 * Balance and drain: a call goes to the replica with the fewest on it, among
 * equals in turn; one that drains gets none and answers what it has.
 */
#include <kselftest_harness.h>

#include "claim.h"

#define REPLICAS	3

FIXTURE(drain)
{
	struct ep client, replicas[REPLICAS];
	__u64 svc;
};

FIXTURE_SETUP(drain)
{
	dev_begin();
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	for (int i = 0; i < REPLICAS; i++) {
		ASSERT_EQ(0, ep_join(&self->replicas[i], MIB));
		ASSERT_EQ(0, ep_claim(&self->replicas[i], "svc", &self->svc));
	}
}

FIXTURE_TEARDOWN(drain)
{
	ep_close(&self->client);
	for (int i = 0; i < REPLICAS; i++)
		ep_close(&self->replicas[i]);
}

static int send_some(struct _test_data_drain *self, int nr)
{
	int ret = 0;

	for (int i = 0; i < nr && !ret; i++)
		ret = ep_mark(&self->client, self->svc, i, 10);
	return ret;
}

/* Answer all that is queued; how many. */
static int serve_all(struct ep *ep)
{
	const struct symphony_msg *msg;
	int nr = 0;

	while ((msg = ep_next(ep, -1)) && !ep_reply(ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
		nr++;
	return nr;
}

TEST_F(drain, calls_go_to_equals_in_turn)
{
	for (int round = 0; round < 4; round++) {
		ASSERT_EQ(0, send_some(self, REPLICAS));
	}
	for (int i = 0; i < REPLICAS; i++) {
		/* Which one is first is anybody's guess; then they alternate. */
		const struct symphony_msg *msg = ep_next(&self->replicas[i], -1);
		__u64 turn;

		ASSERT_NE(NULL, msg);
		turn = msg->method;
		for (int round = 1; round < 4; round++) {
			EXPECT_NE(NULL, ep_expect(&self->replicas[i], SYMPHONY_MSG_CALL, turn));
		}
		EXPECT_EQ(NULL, ep_next(&self->replicas[i], -1));
	}
}

TEST_F(drain, idle_replicas_take_turns_too)
{
	int served[REPLICAS] = {};

	for (int n = 0; n < 10 * REPLICAS; n++) {
		ASSERT_EQ(0, send_some(self, 1));
		for (int i = 0; i < REPLICAS; i++)
			served[i] += serve_all(&self->replicas[i]);
	}
	for (int i = 0; i < REPLICAS; i++) {
		EXPECT_EQ(10, served[i]);
	}
}

TEST_F(drain, calls_go_to_who_has_the_fewest)
{
	__u64 other;

	/* What counts is all that a replica has, for whichever service. */
	ASSERT_EQ(0, ep_claim(&self->replicas[0], "other", &other));
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, ep_mark(&self->client, other, i, 10));
	}
	ASSERT_EQ(0, send_some(self, 10));
	EXPECT_EQ(5, serve_all(&self->replicas[0]));
	EXPECT_EQ(5, serve_all(&self->replicas[1]));
	EXPECT_EQ(5, serve_all(&self->replicas[2]));
}

TEST_F(drain, what_was_received_counts_until_it_is_answered)
{
	const struct symphony_msg *held[4];

	ASSERT_EQ(0, send_some(self, 4 * REPLICAS));
	for (int i = 0; i < 4; i++) {
		held[i] = ep_next(&self->replicas[0], -1);
		ASSERT_NE(NULL, held[i]);
		/* Nor does its release make it less. */
		EXPECT_EQ(0, ep_release(&self->replicas[0], held[i]));
	}
	serve_all(&self->replicas[1]);
	serve_all(&self->replicas[2]);
	ASSERT_EQ(0, send_some(self, 8));
	EXPECT_EQ(0, serve_all(&self->replicas[0]));
	EXPECT_EQ(4, serve_all(&self->replicas[1]));
	EXPECT_EQ(4, serve_all(&self->replicas[2]));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, ep_reply(&self->replicas[0], held[i], NULL, 0, 0));
	}
	ASSERT_EQ(0, send_some(self, REPLICAS));
	EXPECT_EQ(1, serve_all(&self->replicas[0]));
}

TEST_F(drain, stops_new_calls_and_keeps_the_old_ones)
{
	__u64 cookie;

	ASSERT_EQ(0, send_some(self, 2 * REPLICAS));
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, false));
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, false));
	ASSERT_EQ(0, send_some(self, 8));
	EXPECT_EQ(2, serve_all(&self->replicas[0]));
	/* It has the fewest now. */
	ASSERT_EQ(0, send_some(self, 4));
	EXPECT_EQ(0, serve_all(&self->replicas[0]));
	EXPECT_EQ(8, serve_all(&self->replicas[1]));
	EXPECT_EQ(8, serve_all(&self->replicas[2]));
	for (int i = 0; i < 2 * REPLICAS + 12; i++) {
		EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	}
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, true));
	ASSERT_EQ(0, send_some(self, REPLICAS));
	EXPECT_EQ(1, serve_all(&self->replicas[0]));
}

TEST_F(drain, of_all_leaves_nobody)
{
	for (int i = 0; i < REPLICAS; i++) {
		ASSERT_EQ(0, ep_drain(&self->replicas[i], self->svc, false));
	}
	EXPECT_EQ(-ECONNREFUSED, send_some(self, 1));
	ASSERT_EQ(0, ep_drain(&self->replicas[1], self->svc, true));
	ASSERT_EQ(0, send_some(self, 5));
	EXPECT_EQ(5, serve_all(&self->replicas[1]));
}

TEST_F(drain, of_a_single_replica_leaves_nobody)
{
	ep_close(&self->replicas[1]);
	ep_close(&self->replicas[2]);
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, false));
	EXPECT_EQ(-ECONNREFUSED, send_some(self, 1));
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, true));
	EXPECT_EQ(0, send_some(self, 1));
}

TEST_F(drain, is_of_one_service_and_outlasts_others_coming_and_going)
{
	struct ep late;
	__u64 other, handle;

	ASSERT_EQ(0, ep_claim(&self->replicas[0], "other", &other));
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, false));
	ASSERT_EQ(0, ep_mark(&self->client, other, 1, 10));
	EXPECT_EQ(1, serve_all(&self->replicas[0]));
	ASSERT_EQ(0, ep_join(&late, MIB));
	ASSERT_EQ(0, ep_claim(&late, "svc", &handle));
	ep_close(&self->replicas[2]);
	ep_close(&late);
	ASSERT_EQ(0, send_some(self, 4));
	EXPECT_EQ(0, serve_all(&self->replicas[0]));
	EXPECT_EQ(4, serve_all(&self->replicas[1]));
	/* A new claim begins afresh. */
	ASSERT_EQ(0, ep_unclaim(&self->replicas[0], self->svc));
	ASSERT_EQ(0, ep_claim(&self->replicas[0], "svc", &handle));
	ASSERT_EQ(0, send_some(self, 4));
	EXPECT_EQ(2, serve_all(&self->replicas[0]));
}

TEST_F(drain, is_for_replicas)
{
	struct symphony_service bad = {
		.size = sizeof(bad), .handle = self->svc, .flags = 1U << 1,
	};

	EXPECT_EQ(-ENOENT, ep_drain(&self->client, self->svc, false));
	EXPECT_EQ(-ENOENT, ep_drain(&self->replicas[0], self->svc + 1, false));
	EXPECT_EQ(-ENOENT, ep_drain(&self->replicas[0], ~0ULL, true));
	EXPECT_EQ(-EINVAL, dev_ioctl(self->replicas[0].fd, SYMPHONY_IOC_DRAIN, &bad));
	bad.flags = 0;
	bad.endpoint = self->replicas[0].id;
	EXPECT_EQ(-EINVAL, dev_ioctl(self->replicas[0].fd, SYMPHONY_IOC_DRAIN, &bad));
	ASSERT_EQ(0, ep_unclaim(&self->replicas[0], self->svc));
	EXPECT_EQ(-ENOENT, ep_drain(&self->replicas[0], self->svc, false));
}

TEST_F(drain, lets_calls_go_that_wait_for_room)
{
	static unsigned char body[4000];
	struct symphony_call call;
	struct caller caller;
	__u64 handle;

	for (int i = 1; i < REPLICAS; i++) {
		ASSERT_EQ(0, ep_unclaim(&self->replicas[i], self->svc));
	}
	while (!ep_mark(&self->client, self->svc, 0, sizeof(body)))
		;
	call = ep_marked(self->svc, 7, body, sizeof(body));
	call.deadline = dev_after(DEV_LONG);
	ASSERT_EQ(0, caller_start(&caller, &self->client, call));
	ASSERT_TRUE(caller_is_in(&caller));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, ep_claim(&self->replicas[1], "svc", &handle));
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, false));
	EXPECT_EQ(7, ep_serve(&self->replicas[1]));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret ?: caller.call.status);
}

/* Threads that call until they are told to stop. */
struct crowd {
	struct ep *ep;
	__u64 svc;
	atomic_bool stop;
	atomic_int failed;
	pthread_t threads[3];
};

static void *call_on(void *arg)
{
	struct crowd *crowd = arg;
	unsigned char body[3000] = {};

	while (!crowd->stop) {
		struct symphony_call call = ep_request(crowd->svc, body, sizeof(body));

		if (ep_outcome(crowd->ep, &call))
			crowd->failed++;
		else
			ep_release_at(crowd->ep, call.offset);
	}
	return NULL;
}

TEST_F(drain, is_over_with_what_is_queued_when_it_returns)
{
	struct crowd crowd = { .ep = &self->client, .svc = self->svc };
	struct echo echos[2];
	int late = 0, served = 0;

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, echo_start(&echos[i], &self->replicas[i + 1]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(crowd.threads); i++)
		pthread_create(&crowd.threads[i], NULL, call_on, &crowd);
	for (int i = 0; i < 30; i++) {
		ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, false));
		served += serve_all(&self->replicas[0]);
		dev_nap(3);
		late += serve_all(&self->replicas[0]);
		ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, true));
		for (__u64 until = dev_after(10); dev_now() < until;)
			served += serve_all(&self->replicas[0]);
	}
	ASSERT_EQ(0, ep_drain(&self->replicas[0], self->svc, false));
	serve_all(&self->replicas[0]);
	crowd.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(crowd.threads); i++)
		pthread_join(crowd.threads[i], NULL);
	for (int i = 0; i < 2; i++)
		echo_stop(&echos[i]);
	EXPECT_EQ(0, late);
	EXPECT_EQ(0, crowd.failed);
	EXPECT_LE(1, served);
}

/* A replica that stops and starts all the time. */
struct fidget {
	struct ep *ep;
	__u64 svc;
	atomic_bool stop;
};

static void *fidget_run(void *arg)
{
	struct fidget *fidget = arg;

	for (bool resume = false; !fidget->stop; resume = !resume)
		ep_drain(fidget->ep, fidget->svc, resume);
	return NULL;
}

TEST_F(drain, all_the_time_does_not_keep_a_caller_from_dying)
{
	struct fidget fidget = { .ep = &self->replicas[0], .svc = self->svc };
	static unsigned char body[400000];
	pthread_t thread;
	struct kid kid;

	/* The others hold nothing up. */
	for (int i = 1; i < REPLICAS; i++) {
		ASSERT_EQ(0, ep_drain(&self->replicas[i], self->svc, false));
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, fidget_run, &fidget));
	if (!kid_fork(&kid)) {
		struct symphony_call call = ep_request(self->svc, body, sizeof(body));
		struct ep ep;

		call.deadline = 0;
		_exit(ep_join(&ep, MIB) || kid_tell(&kid, 1) || ep_call(&ep, &call));
	}
	ASSERT_EQ(0, kid_hear(&kid, &(__s64){ 0 }));
	dev_nap(2 * DEV_BEAT);
	kid_kill(&kid, SIGKILL);
	EXPECT_NE(-ETIMEDOUT, kid_reap(&kid));
	fidget.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_HARNESS_MAIN
