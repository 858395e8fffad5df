// SPDX-License-Identifier: MIT
/*
 * Notices: a server hears of each call that it received and nobody waits for
 * any more, a sender hears of room once; late when the pool is full, but surely.
 */
#include <kselftest_harness.h>

#include "claim.h"

FIXTURE(notice)
{
	struct ep client, server;
	__u64 svc, quiet;	/* CLAIMed with NOTIFY and without */
};

FIXTURE_SETUP(notice)
{
	dev_begin();
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	ASSERT_EQ(0, ep_join(&self->server, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_claim_with(&self->server, "svc", SYMPHONY_CLAIM_NOTIFY, 0, &self->svc));
	ASSERT_EQ(0, ep_claim(&self->server, "quiet", &self->quiet));
}

FIXTURE_TEARDOWN(notice)
{
	ep_close(&self->client);
	ep_close(&self->server);
}

/* The server is told that @id ended with @status, and that is all it is told. */
static bool is_told(struct _test_data_notice *self, __u64 id, int status)
{
	const struct symphony_msg *msg;

	msg = ep_expect(&self->server, SYMPHONY_MSG_CANCELLED, 0);
	return msg && msg->id == id && msg->status == status &&
	       msg->handle == self->svc && !msg->sender && !msg->method &&
	       !msg->body_len && !ep_release(&self->server, msg);
}

static struct symphony_call sent(struct _test_data_notice *self, __u64 cookie, __u32 len)
{
	static unsigned char body[4000];
	struct symphony_call call = ep_marked(self->svc, cookie, body, len);

	if (ep_send(&self->client, &call))
		call.id = 0;
	return call;
}

TEST_F(notice, of_a_call_that_was_cancelled)
{
	struct symphony_call call = sent(self, 1, 100);
	const struct symphony_msg *msg = ep_expect(&self->server, SYMPHONY_MSG_CALL, 1);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	EXPECT_TRUE(is_told(self, call.id, -ECANCELED));
	/* The request is still there to look at, but not to answer. */
	EXPECT_TRUE(ep_is_marked(msg, 1, 100));
	EXPECT_EQ(-ESRCH, ep_reply(&self->server, msg, NULL, 0, 0));
	EXPECT_EQ(0, ep_release(&self->server, msg));
	EXPECT_TRUE(ep_is_quiet(&self->server));
}

TEST_F(notice, of_a_send_whose_deadline_passed)
{
	static unsigned char body[10];
	struct symphony_call call = ep_marked(self->svc, 1, body, sizeof(body));

	call.deadline = dev_after(5 * DEV_BEAT);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_NE(NULL, ep_expect(&self->server, SYMPHONY_MSG_CALL, 1));
	EXPECT_TRUE(is_told(self, call.id, -ETIMEDOUT));
	EXPECT_LE(call.deadline, dev_now());
}

TEST_F(notice, of_a_call_whose_deadline_passed)
{
	struct symphony_call call = ep_request(self->svc, NULL, 0);
	struct caller caller;

	call.deadline = dev_after(5 * DEV_BEAT);
	ASSERT_EQ(0, caller_start(&caller, &self->client, call));
	ASSERT_NE(NULL, ep_expect(&self->server, SYMPHONY_MSG_CALL, 0));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(-ETIMEDOUT, caller.call.status);
	EXPECT_TRUE(is_told(self, caller.call.id, -ETIMEDOUT));
}

TEST_F(notice, of_each_call_whose_caller_died)
{
	__u64 ids[3];

	for (int i = 0; i < 3; i++) {
		ids[i] = sent(self, i, 10).id;
		ASSERT_NE(NULL, ep_expect(&self->server, SYMPHONY_MSG_CALL, i));
	}
	/* Of this one nothing is known yet, and never will be. */
	sent(self, 3, 10);
	ep_close(&self->client);
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(is_told(self, ids[i], -ESHUTDOWN));
	}
	EXPECT_TRUE(ep_is_quiet(&self->server));
}

TEST_F(notice, is_not_given_of_what_was_queued_or_answered)
{
	struct symphony_call queued, answered = sent(self, 1, 10);

	ASSERT_EQ(1, ep_serve(&self->server));
	EXPECT_EQ(-EALREADY, ep_cancel(&self->client, answered.id, answered.slot));
	queued = sent(self, 2, 10);
	ASSERT_EQ(0, ep_cancel(&self->client, queued.id, queued.slot));
	EXPECT_TRUE(ep_is_quiet(&self->server));
}

TEST_F(notice, is_not_given_to_those_who_did_not_ask)
{
	static unsigned char body[10];
	struct symphony_call call = ep_marked(self->quiet, 1, body, sizeof(body));

	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_NE(NULL, ep_expect(&self->server, SYMPHONY_MSG_CALL, 1));
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	EXPECT_TRUE(ep_is_quiet(&self->server));
}

TEST_F(notice, comes_for_a_request_that_was_released)
{
	struct symphony_call call = sent(self, 1, 4000);
	const struct symphony_msg *msg = ep_expect(&self->server, SYMPHONY_MSG_CALL, 1);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_release(&self->server, msg));
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	EXPECT_TRUE(is_told(self, call.id, -ECANCELED));
	EXPECT_EQ(-EINVAL, ep_release(&self->server, msg));
}

TEST_F(notice, of_each_of_many_once)
{
	struct symphony_call calls[60];
	int told[ARRAY_SIZE(calls)] = {};
	const struct symphony_msg *msg;

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		calls[i] = sent(self, i, 10);
		ASSERT_NE(0, calls[i].id);
	}
	for (size_t i = 0; i < ARRAY_SIZE(calls) / 2; i++) {
		ASSERT_NE(NULL, ep_expect(&self->server, SYMPHONY_MSG_CALL, i));
	}
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		ASSERT_EQ(0, ep_cancel(&self->client, calls[i].id, calls[i].slot));
	}
	for (size_t n = 0; n < ARRAY_SIZE(calls) / 2; n++) {
		msg = ep_expect(&self->server, SYMPHONY_MSG_CANCELLED, 0);
		ASSERT_NE(NULL, msg);
		for (size_t i = 0; i < ARRAY_SIZE(calls) / 2; i++)
			told[i] += calls[i].id == msg->id;
		EXPECT_EQ(0, ep_release(&self->server, msg));
	}
	for (size_t i = 0; i < ARRAY_SIZE(calls) / 2; i++) {
		EXPECT_EQ(1, told[i]);
	}
	EXPECT_TRUE(ep_is_quiet(&self->server));
}

/* The server's own calls take what is left of its pool; none of them is served. */
static int fill_pool(struct _test_data_notice *self)
{
	struct symphony_call call;
	__u64 mute;
	int ret = ep_claim(&self->client, "mute", &mute);

	while (!ret)
		ret = ep_mark(&self->server, mute, 0, 0);
	/* The last granule, if there is an odd one: a watch takes a single one. */
	ep_watch(&self->server, self->client.id, 0, 0);
	call = ep_request(mute, NULL, 0);
	return ret == -ENOBUFS && ep_send(&self->server, &call) == -ENOBUFS ? 0 : -EIO;
}

TEST_F(notice, comes_late_when_the_pool_is_full_but_comes)
{
	struct symphony_call calls[3];
	const struct symphony_msg *msgs[3];

	for (int i = 0; i < 3; i++) {
		calls[i] = sent(self, i, 10);
		msgs[i] = ep_expect(&self->server, SYMPHONY_MSG_CALL, i);
		ASSERT_NE(NULL, msgs[i]);
	}
	ASSERT_EQ(0, fill_pool(self));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, ep_cancel(&self->client, calls[i].id, calls[i].slot));
	}
	EXPECT_TRUE(ep_is_quiet(&self->server));
	/* Each message that is released is room for the next notices. */
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, ep_release(&self->server, msgs[i]));
		EXPECT_TRUE(is_told(self, calls[i].id, -ECANCELED));
	}
	EXPECT_TRUE(ep_is_quiet(&self->server));
}

TEST_F(notice, that_was_never_told_dies_with_its_receiver)
{
	struct symphony_call call = sent(self, 1, 10);

	ASSERT_NE(NULL, ep_expect(&self->server, SYMPHONY_MSG_CALL, 1));
	ASSERT_EQ(0, fill_pool(self));
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	EXPECT_EQ(-EALREADY, ep_cancel(&self->client, call.id, call.slot));
	ep_close(&self->server);
	EXPECT_TRUE(dev_until(ep_mark(&self->client, self->svc, 2, 10) == -ECONNREFUSED));
}

/* A server's thread that answers everything, and counts what it is told. */
struct racer {
	struct ep *ep;
	atomic_bool stop;
	atomic_int answered, late, told;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	const struct symphony_msg *msg;

	while (!racer->stop) {
		msg = ep_next(racer->ep, 20);
		if (!msg)
			continue;
		if (msg->type == SYMPHONY_MSG_CANCELLED)
			racer->told++;
		else if (ep_reply(racer->ep, msg, NULL, 0, 0))
			racer->late++;
		else
			racer->answered++;
		ep_release(racer->ep, msg);
	}
	return NULL;
}

TEST_F(notice, and_answer_exclude_each_other)
{
	struct racer racer = { .ep = &self->server };
	int nr = dev_slow() ? 200 : 1000, replies = 0, cancelled = 0, queued;
	pthread_t thread;

	pthread_create(&thread, NULL, race, &racer);
	for (int i = 0; i < nr; i++) {
		struct symphony_call call = sent(self, i, 10);
		int status;

		ASSERT_NE(0, call.id);
		for (volatile int spin = 0; spin < i * 20; spin++)
			;
		ep_cancel(&self->client, call.id, call.slot);
		status = ep_fetch(&self->client, &(__u64){ 0 });
		replies += !status;
		cancelled += status == -ECANCELED;
	}
	EXPECT_EQ(nr, replies + cancelled);
	racer.stop = true;
	pthread_join(thread, NULL);
	queued = cancelled - racer.late;
	EXPECT_EQ(replies, racer.answered);
	EXPECT_LE(0, queued);
	EXPECT_LE(racer.told, racer.late);
	TH_LOG("%d answered, %d cancelled before they were received, %d after, %d told",
	       replies, queued, (int)racer.late, (int)racer.told);
}

/* Fill the client's share of the server; how many. */
static int fill_share(struct _test_data_notice *self, __u32 len)
{
	int nr = 0;

	while (sent(self, nr, len).id)
		nr++;
	return nr;
}

static int wish(struct _test_data_notice *self, struct ep *ep, __u64 cookie, __u32 len)
{
	static unsigned char body[SYMPHONY_POOL_MIN];
	struct symphony_call call = ep_marked(self->svc, cookie, body, len);

	call.flags = SYMPHONY_CALL_NOTIFY;
	return ep_send(ep, &call);
}

static bool hears_of_room(struct _test_data_notice *self, struct ep *ep, __u64 cookie)
{
	const struct symphony_msg *msg = ep_expect(ep, SYMPHONY_MSG_ROOM, cookie);

	return msg && msg->sender == self->server.id && msg->handle == self->svc &&
	       !msg->body_len && !ep_release(ep, msg);
}

TEST_F(notice, of_room_comes_once_when_there_is_some)
{
	int nr = fill_share(self, 4000);

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-EAGAIN, wish(self, &self->client, 100 + i, 4000));
	}
	EXPECT_TRUE(ep_is_quiet(&self->client));
	/* Room comes with the release, and the first answer before it. */
	EXPECT_EQ(0, ep_serve(&self->server));
	EXPECT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));
	EXPECT_TRUE(hears_of_room(self, &self->client, 100));
	for (int i = 1; i < nr; i++) {
		EXPECT_EQ(i, ep_serve(&self->server));
		EXPECT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));
	}
	EXPECT_TRUE(ep_is_quiet(&self->client));
	/* It is not said who did not need it, and said again to who does. */
	EXPECT_EQ(0, wish(self, &self->client, 200, 4000));
	EXPECT_EQ(200, ep_serve(&self->server));
	EXPECT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));
	fill_share(self, 4000);
	EXPECT_EQ(-EAGAIN, wish(self, &self->client, 300, 4000));
	EXPECT_EQ(0, ep_serve(&self->server));
	EXPECT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));
	EXPECT_TRUE(hears_of_room(self, &self->client, 300));
	EXPECT_TRUE(ep_is_quiet(&self->client));
}

TEST_F(notice, of_room_is_of_enough_room)
{
	int nr = fill_share(self, 2000);

	/* The wish is for half of all that the client can have. */
	ASSERT_EQ(-EAGAIN, wish(self, &self->client, 100, 16000));
	for (int i = 0; i < nr; i++) {
		const struct symphony_msg *msg;

		ASSERT_EQ(i, ep_serve(&self->server));
		/* The notice can come after the next request was answered. */
		msg = ep_next(&self->client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		if (msg->type == SYMPHONY_MSG_REPLY)
			msg = ep_next(&self->client, -1);
		if (!msg)
			continue;
		EXPECT_EQ(SYMPHONY_MSG_ROOM, msg->type);
		EXPECT_LE(4, i);
		EXPECT_EQ(0, wish(self, &self->client, 100, 16000));
		return;
	}
	EXPECT_TRUE(hears_of_room(self, &self->client, 100));
}

static bool hears_of_room_among_outcomes(struct ep *ep)
{
	const struct symphony_msg *msg;

	while ((msg = ep_next(ep, DEV_LONG)) && msg->type == SYMPHONY_MSG_REPLY)
		;
	return msg && msg->type == SYMPHONY_MSG_ROOM;
}

TEST_F(notice, of_room_comes_to_each_sender)
{
	struct ep other;

	ASSERT_EQ(0, ep_join(&other, MIB));
	while (!ep_mark(&other, self->svc, 0, 4000) || !ep_mark(&self->client, self->svc, 0, 4000))
		;
	ASSERT_EQ(-EAGAIN, wish(self, &self->client, 1, 4000));
	ASSERT_EQ(-EAGAIN, wish(self, &other, 2, 4000));
	ep_close(&self->server);
	EXPECT_TRUE(hears_of_room_among_outcomes(&self->client));
	EXPECT_TRUE(hears_of_room_among_outcomes(&other));
	/* What it was told of, as always, can be gone again. */
	EXPECT_EQ(-ECONNREFUSED, wish(self, &other, 2, 4000));
	ep_close(&other);
}

TEST_F(notice, of_room_is_for_send_and_for_the_living)
{
	struct symphony_call call = ep_request(self->svc, NULL, 0);
	struct ep other;

	call.flags = SYMPHONY_CALL_NOTIFY;
	EXPECT_EQ(-EINVAL, ep_call(&self->client, &call));
	ASSERT_EQ(0, ep_join(&other, MIB));
	while (!ep_mark(&other, self->svc, 0, 4000))
		;
	ASSERT_EQ(-EAGAIN, wish(self, &other, 1, 4000));
	ep_close(&other);
	/* Its requests went with it. */
	EXPECT_EQ(-EAGAIN, ep_recv(&self->server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, wish(self, &self->client, 1, 4000));
	EXPECT_EQ(1, ep_serve(&self->server));
}

TEST_F(notice, of_room_to_come_holds_up_nobody)
{
	static unsigned char body[25000];
	struct symphony_call call = ep_marked(self->svc, 1, body, sizeof(body));
	struct ep other;
	int types = 0;

	/* While another one holds something, this much it may not have. */
	ASSERT_EQ(0, ep_join(&other, MIB));
	ASSERT_EQ(0, ep_mark(&other, self->svc, 2, 10));
	call.flags = SYMPHONY_CALL_NOTIFY;
	ASSERT_EQ(-EAGAIN, ep_send(&self->client, &call));
	EXPECT_EQ(SYMPHONY_LIMIT_SHARE, call.limit);
	EXPECT_NE(0, sent(self, 3, 10).id);
	EXPECT_EQ(2, ep_serve(&self->server));
	EXPECT_EQ(3, ep_serve(&self->server));
	/* The outcome and the notice, in either order. */
	for (int i = 0; i < 2; i++) {
		const struct symphony_msg *msg = ep_next(&self->client, DEV_LONG);

		ASSERT_NE(NULL, msg);
		types += msg->type;
	}
	EXPECT_EQ(SYMPHONY_MSG_REPLY + SYMPHONY_MSG_ROOM, types);
	ep_close(&other);
}

TEST_F(notice, in_front_of_one_that_was_a_call_dies_with_its_receiver)
{
	struct symphony_call call = sent(self, 1, 10);
	struct ep other;

	ASSERT_NE(NULL, ep_expect(&self->server, SYMPHONY_MSG_CALL, 1));
	ASSERT_EQ(0, ep_join(&other, MIB));
	ASSERT_EQ(0, ep_watch(&self->server, other.id, 0, 0));
	ep_close(&other);
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	ep_close(&self->server);
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->client, &(__u64){ 0 }));
}

TEST_HARNESS_MAIN
