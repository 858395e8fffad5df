// SPDX-License-Identifier: MIT
/*
 * Activator: calls for a service that is not up wait, whoever can start it is
 * told once, and the first replica gets them in order.
 */
#include <kselftest_harness.h>

#include "claim.h"

#define ACTIVATOR	SYMPHONY_CLAIM_ACTIVATOR
#define REQUEUE		SYMPHONY_CLAIM_REQUEUE

FIXTURE(activator)
{
	struct ep client, activator, replica;
	__u64 svc;
};

FIXTURE_SETUP(activator)
{
	dev_begin();
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	ASSERT_EQ(0, ep_join(&self->activator, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_join(&self->replica, MIB));
	ASSERT_EQ(0, ep_claim_with(&self->activator, "svc", ACTIVATOR, 0, &self->svc));
}

FIXTURE_TEARDOWN(activator)
{
	ep_close(&self->client);
	ep_close(&self->activator);
	ep_close(&self->replica);
}

static bool is_told(struct _test_data_activator *self)
{
	const struct symphony_msg *msg;

	msg = ep_expect(&self->activator, SYMPHONY_MSG_ACTIVATE, 0);
	return msg && msg->handle == self->svc && !msg->body_len &&
	       !ep_release(&self->activator, msg);
}

static int replica_comes(struct _test_data_activator *self)
{
	__u64 handle;

	return ep_claim(&self->replica, "svc", &handle);
}

/* Park until there is no more room; how many. */
static int park_all(struct _test_data_activator *self, __u32 len)
{
	int nr = 0;

	while (!ep_mark(&self->client, self->svc, nr, len))
		nr++;
	return nr;
}

TEST_F(activator, holds_calls_for_the_first_replica_in_order)
{
	struct symphony_call call = ep_request(self->svc, "call", 4);
	const struct symphony_msg *msg;
	struct caller caller;
	__u64 cookie;

	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, ep_mark(&self->client, self->svc, i, 50 * i));
	}
	EXPECT_TRUE(is_told(self));
	call.method = 20;
	ASSERT_EQ(0, caller_start(&caller, &self->client, call));
	ASSERT_TRUE(caller_is_in(&caller));
	/* Once, and the calls themselves are not its. */
	EXPECT_TRUE(ep_is_quiet(&self->activator));
	EXPECT_TRUE(ep_is_quiet(&self->client));
	ASSERT_EQ(0, replica_comes(self));
	for (int i = 0; i < 20; i++) {
		msg = ep_next(&self->replica, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_TRUE(ep_is_marked(msg, i, 50 * i));
		EXPECT_EQ(self->client.id, msg->sender);
		EXPECT_EQ(0, ep_reply(&self->replica, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
		EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	}
	EXPECT_EQ(20, ep_serve(&self->replica));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret ?: caller.call.status);
	/* With a replica there is nothing to do. */
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 21, 0));
	EXPECT_EQ(21, ep_serve(&self->replica));
	EXPECT_TRUE(ep_is_quiet(&self->activator));
}

TEST_F(activator, is_told_again_when_the_replica_has_gone)
{
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2 * round, 10));
		ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2 * round + 1, 10));
		EXPECT_TRUE(is_told(self));
		ASSERT_EQ(0, replica_comes(self));
		EXPECT_EQ(2 * round, ep_serve(&self->replica));
		EXPECT_EQ(2 * round + 1, ep_serve(&self->replica));
		if (round & 1) {
			ASSERT_EQ(0, ep_unclaim(&self->replica, self->svc));
		} else {
			ep_close(&self->replica);
			ASSERT_EQ(0, ep_join(&self->replica, MIB));
		}
		EXPECT_TRUE(ep_is_quiet(&self->activator));
	}
}

TEST_F(activator, gets_what_the_last_replica_left)
{
	__u64 handle;

	ASSERT_EQ(0, ep_claim_with(&self->replica, "svc", REQUEUE, 0, &handle));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 100));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, 200));
	ep_close(&self->replica);
	EXPECT_TRUE(is_told(self));
	ASSERT_EQ(0, ep_join(&self->replica, MIB));
	ASSERT_EQ(0, ep_claim_with(&self->replica, "svc", REQUEUE, 0, &handle));
	EXPECT_EQ(1, ep_serve(&self->replica));
	EXPECT_EQ(2, ep_serve(&self->replica));
}

TEST_F(activator, is_one)
{
	struct ep second;
	__u64 handle;

	ASSERT_EQ(0, ep_join(&second, MIB));
	EXPECT_EQ(-EBUSY, ep_claim_with(&second, "svc", ACTIVATOR, 0, &handle));
	EXPECT_EQ(-EALREADY, ep_claim_with(&self->activator, "svc", ACTIVATOR, 0, &handle));
	EXPECT_EQ(-EALREADY, ep_claim(&self->activator, "svc", &handle));
	EXPECT_EQ(-ENOENT, ep_drain(&self->activator, self->svc, false));
	/* What says how to serve is for replicas. */
	EXPECT_EQ(-EINVAL, ep_claim_with(&second, "new", ACTIVATOR | REQUEUE, 0, &handle));
	EXPECT_EQ(-EINVAL, ep_claim_with(&second, "new", ACTIVATOR | SYMPHONY_CLAIM_TAKEOVER,
					 0, &handle));
	EXPECT_EQ(-EINVAL, ep_claim_with(&second, "new", ACTIVATOR | SYMPHONY_CLAIM_NOTIFY,
					 0, &handle));
	ASSERT_EQ(0, ep_unclaim(&self->activator, self->svc));
	ASSERT_EQ(0, ep_claim_with(&second, "svc", ACTIVATOR, 0, &handle));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 10));
	EXPECT_NE(NULL, ep_expect(&second, SYMPHONY_MSG_ACTIVATE, 0));
	EXPECT_TRUE(ep_is_quiet(&self->activator));
	/* The dead one makes way as well. */
	ep_close(&second);
	EXPECT_EQ(0, ep_claim_with(&self->activator, "svc", ACTIVATOR, 0, &handle));
}

/* Two SENDs and a CALL are parked, and end with @status when @end is done. */
static void ends_parked(struct __test_metadata *_metadata, struct _test_data_activator *self,
			int (*end)(struct _test_data_activator *self), int status)
{
	struct caller caller;
	__u64 cookie;

	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 10));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, 5000));
	ASSERT_EQ(0, caller_start(&caller, &self->client, ep_request(self->svc, "call", 4)));
	ASSERT_TRUE(caller_is_in(&caller));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, end(self));
	EXPECT_EQ(status, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(status, ep_fetch(&self->client, &cookie));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(status, caller.call.status);
	EXPECT_EQ(-ECONNREFUSED, ep_mark(&self->client, self->svc, 3, 10));
	ASSERT_EQ(0, replica_comes(self));
	EXPECT_TRUE(ep_is_quiet(&self->replica));
}

static int give_up(struct _test_data_activator *self)
{
	return ep_unclaim(&self->activator, self->svc);
}

static int die(struct _test_data_activator *self)
{
	ep_close(&self->activator);
	return 0;
}

TEST_F(activator, that_gives_up_refuses_what_is_parked)
{
	ends_parked(_metadata, self, give_up, -ECONNREFUSED);
}

TEST_F(activator, that_dies_aborts_what_is_parked)
{
	ends_parked(_metadata, self, die, -ECONNABORTED);
}

TEST_F(activator, has_as_much_room_again_when_deadlines_passed)
{
	static unsigned char body[2000];
	struct symphony_call call = ep_marked(self->svc, 0, body, sizeof(body));
	int nr = park_all(self, sizeof(body)), again;
	__u64 cookie, handle;

	/* The first time they are refused, the second time they are late. */
	ASSERT_EQ(0, ep_unclaim(&self->activator, self->svc));
	for (int i = 0; i < nr; i++) {
		EXPECT_EQ(-ECONNREFUSED, ep_fetch(&self->client, &cookie));
	}
	ASSERT_EQ(0, ep_claim_with(&self->activator, "svc", ACTIVATOR, 0, &handle));
	call.deadline = dev_after(20 * DEV_BEAT);
	for (again = 0; !ep_send(&self->client, &call); again++)
		call.id = call.slot = 0;
	for (int i = 0; i < again; i++) {
		EXPECT_EQ(-ETIME, ep_fetch(&self->client, &cookie));
	}
	EXPECT_LE(nr - 1, again);
	EXPECT_EQ(again, park_all(self, sizeof(body)));
	ASSERT_EQ(0, replica_comes(self));
	for (int i = 0; i < again; i++) {
		EXPECT_EQ(i, ep_serve(&self->replica));
	}
	EXPECT_TRUE(ep_is_quiet(&self->replica));
}

TEST_F(activator, lets_calls_go_that_are_cancelled)
{
	static unsigned char body[2000];
	struct symphony_call calls[3];
	__u64 cookie = 0;

	for (int i = 0; i < 3; i++) {
		calls[i] = ep_marked(self->svc, i, body, sizeof(body));
		ASSERT_EQ(0, ep_send(&self->client, &calls[i]));
	}
	EXPECT_EQ(0, ep_cancel(&self->client, calls[1].id, calls[1].slot));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(1, cookie);
	ASSERT_EQ(0, replica_comes(self));
	EXPECT_EQ(0, ep_serve(&self->replica));
	EXPECT_EQ(2, ep_serve(&self->replica));
	EXPECT_TRUE(ep_is_quiet(&self->replica));
}

TEST_F(activator, lets_calls_go_whose_caller_died)
{
	struct ep other;
	int nr;

	ASSERT_EQ(0, ep_join(&other, MIB));
	nr = park_all(self, 2000);
	ep_close(&self->client);
	self->client = other;
	EXPECT_EQ(nr, park_all(self, 2000));
	ASSERT_EQ(0, replica_comes(self));
	for (int i = 0; i < nr; i++) {
		EXPECT_EQ(i, ep_serve(&self->replica));
	}
	EXPECT_TRUE(ep_is_quiet(&self->replica));
}

TEST_F(activator, has_bounded_room_for_which_calls_wait)
{
	int nr = park_all(self, 4000);
	static unsigned char body[4000];
	struct symphony_call call = ep_marked(self->svc, nr, body, sizeof(body));
	struct caller caller;
	long last = -1;

	EXPECT_LE(1, nr);
	EXPECT_EQ(-EAGAIN, ep_send(&self->client, &call));
	call.deadline = dev_after(DEV_LONG);
	ASSERT_EQ(0, caller_start(&caller, &self->client, call));
	ASSERT_TRUE(caller_is_in(&caller));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, replica_comes(self));
	/* It waited behind the others, but is on its own way now. */
	for (int i = 0; i <= nr; i++) {
		long method = ep_serve(&self->replica);

		if (method != nr) {
			EXPECT_EQ(last + 1, method);
			last = method;
		}
	}
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret ?: caller.call.status);
}

TEST_F(activator, of_two_services_tells_them_apart)
{
	__u64 other, handle;

	ASSERT_EQ(0, ep_claim_with(&self->activator, "other", ACTIVATOR, 0, &other));
	ASSERT_EQ(0, ep_mark(&self->client, other, 1, 10));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, 10));
	ASSERT_EQ(0, ep_mark(&self->client, other, 3, 10));
	ASSERT_EQ(0, replica_comes(self));
	EXPECT_EQ(2, ep_serve(&self->replica));
	EXPECT_TRUE(ep_is_quiet(&self->replica));
	ASSERT_EQ(0, ep_claim(&self->replica, "other", &handle));
	EXPECT_EQ(1, ep_serve(&self->replica));
	EXPECT_EQ(3, ep_serve(&self->replica));
}

TEST_F(activator, holds_calls_while_all_replicas_drain)
{
	ASSERT_EQ(0, replica_comes(self));
	ASSERT_EQ(0, ep_drain(&self->replica, self->svc, false));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 1, 10));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 2, 10));
	EXPECT_TRUE(is_told(self));
	EXPECT_TRUE(ep_is_quiet(&self->replica));
	ASSERT_EQ(0, ep_drain(&self->replica, self->svc, true));
	EXPECT_EQ(1, ep_serve(&self->replica));
	EXPECT_EQ(2, ep_serve(&self->replica));
	/* And is told the next time. */
	ASSERT_EQ(0, ep_drain(&self->replica, self->svc, false));
	ASSERT_EQ(0, ep_mark(&self->client, self->svc, 3, 10));
	EXPECT_TRUE(is_told(self));
}

/* Callers race with a replica that comes and goes: no call is left behind. */
static void *keep_calling(void *arg)
{
	struct _test_data_activator *self = arg;
	long failed = 0;

	for (int i = 0; i < 300; i++) {
		struct symphony_call call = ep_request(self->svc, "call", 4);

		failed += !!ep_outcome(&self->client, &call);
		if (!failed)
			ep_release_at(&self->client, call.offset);
	}
	return (void *)failed;
}

TEST_F(activator, loses_no_call_while_replicas_come_and_go)
{
	pthread_t threads[3];
	struct echo echo;
	void *failed;

	ASSERT_EQ(0, echo_start(&echo, &self->replica));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL, keep_calling, self);
	for (int i = 0; i < 60; i++) {
		ASSERT_EQ(0, replica_comes(self));
		dev_nap(i % 3);
		ASSERT_EQ(0, ep_unclaim(&self->replica, self->svc));
	}
	ASSERT_EQ(0, replica_comes(self));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &failed);
		EXPECT_EQ(NULL, failed);
	}
	echo_stop(&echo);
}

TEST_HARNESS_MAIN
