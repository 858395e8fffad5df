// SPDX-License-Identifier: MIT
/* Deadlines of calls: passed, passing in the queue, passing while served. */
#include <kselftest_harness.h>

#include "claim.h"

FIXTURE(deadline)
{
	struct duo duo;
};

FIXTURE_SETUP(deadline)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
}

FIXTURE_TEARDOWN(deadline)
{
	duo_close(&self->duo);
}

static struct symphony_call due(struct duo *duo, unsigned int ms)
{
	struct symphony_call call = ep_request(duo->svc, "x", 1);

	call.deadline = dev_after(ms);
	return call;
}

TEST_F(deadline, passed_already_is_etime)
{
	struct symphony_call call = due(&self->duo, 0);

	EXPECT_EQ(-ETIME, ep_outcome(&self->duo.client, &call));
	call = due(&self->duo, 0);
	call.deadline = 1;
	EXPECT_EQ(-ETIME, ep_outcome(&self->duo.client, &call));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(deadline, passed_already_gives_a_send_one_answer)
{
	struct symphony_call call = due(&self->duo, 0);
	const struct symphony_msg *msg;
	int ret = ep_send(&self->duo.client, &call);

	/* An error, or an outcome, but not both. */
	if (!ret) {
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(-ETIME, msg->status);
	} else {
		EXPECT_EQ(-ETIME, ret);
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
}

TEST_F(deadline, in_the_queue_withdraws_the_request)
{
	struct symphony_call call = due(&self->duo, 100);

	ASSERT_EQ(0, ep_call(&self->duo.client, &call));
	EXPECT_EQ(-ETIME, call.status);
	EXPECT_EQ(SYMPHONY_NO_OFFSET, call.offset);
	EXPECT_GE(dev_now(), call.deadline);
	EXPECT_LE(dev_now(), call.deadline + 5000000000ULL);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(deadline, while_served_ends_the_call)
{
	const struct symphony_msg *msg;
	struct caller caller;

	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, due(&self->duo, 200)));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(-ETIMEDOUT, caller.call.status);
	EXPECT_GE(caller.done_at, caller.call.deadline);
	/* The request is the server's still, the answer nobody's. */
	EXPECT_EQ('x', *(const char *)ep_body(msg));
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, msg, "late", 4, 0));
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(-EINVAL, ep_release(&self->duo.server, msg));
}

TEST_F(deadline, is_kept_by_the_answer_before_it)
{
	struct echo echo;
	__u64 start = dev_now();

	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	for (int i = 0; i < 100; i++) {
		struct symphony_call call = due(&self->duo, 5000);

		ASSERT_EQ(0, ep_outcome(&self->duo.client, &call));
		ASSERT_EQ(0, ep_release_at(&self->duo.client, call.offset));
	}
	EXPECT_LE(dev_now() - start, 5000000000ULL);
	echo_stop(&echo);
}

TEST_F(deadline, of_sends_pass_each_in_its_time)
{
	const struct symphony_msg *msg;
	/* Sent in another order than they are due. */
	static const unsigned int ms[] = { 600, 200, 400 };

	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		struct symphony_call call = due(&self->duo, ms[i]);

		call.cookie = ms[i];
		ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	}
	for (int i = 200; i <= 600; i += 200) {
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(SYMPHONY_MSG_REPLY, msg->type);
		EXPECT_EQ(i, msg->cookie);
		EXPECT_EQ(-ETIME, msg->status);
		EXPECT_EQ(0, msg->sender);
		EXPECT_EQ(0, msg->body_len);
		EXPECT_EQ(0, ep_release(&self->duo.client, msg));
	}
	/* The outcome comes first, the withdrawal follows. */
	dev_nap(DEV_BEAT);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(deadline, of_a_send_passes_while_served)
{
	struct symphony_call call = due(&self->duo, 100);
	const struct symphony_msg *msg, *outcome;

	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	outcome = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, outcome);
	EXPECT_EQ(-ETIMEDOUT, outcome->status);
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, msg, NULL, 0,
				   SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
}

TEST_F(deadline, far_away_ones_are_never)
{
	static const __u64 far[] = { 1ULL << 62, (1ULL << 63) - 1, 1ULL << 63, ~0ULL };
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		struct symphony_call call = due(&self->duo, 0);
		int ret;

		call.deadline = far[i];
		ret = ep_outcome(&self->duo.client, &call);
		/* What does not fit the kernel's clock may be refused. */
		EXPECT_TRUE(!ret || (ret == -EINVAL && far[i] >> 63))
			TH_LOG("deadline %#llx gave %d", far[i], ret);
	}
	echo_stop(&echo);
}

#define RACERS	400

/* Receives until it is told to stop, and answers nothing. */
struct taker {
	struct ep *ep;
	bool received[RACERS];
	atomic_bool stop;
};

static void *take_all(void *arg)
{
	struct taker *taker = arg;
	const struct symphony_msg *msg;

	while (!taker->stop) {
		msg = ep_next(taker->ep, 1);
		if (!msg)
			continue;
		taker->received[msg->method] = true;
		ep_release(taker->ep, msg);
	}
	return NULL;
}

/* ETIME says that nobody received the call, however closely that was missed. */
TEST_F(deadline, tells_what_was_received)
{
	struct taker taker = { .ep = &self->duo.server };
	int status[RACERS] = {}, received = 0, not = 0;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, take_all, &taker));
	for (int i = 0; i < RACERS; i++) {
		struct symphony_call call = due(&self->duo, 0);

		call.deadline += (i % 40) * 10000ULL;
		call.method = call.cookie = i;
		call.reply_max = 1;
		status[i] = ep_send(&self->duo.client, &call);
		if (!status[i])
			status[i] = ep_fetch(&self->duo.client, &call.cookie);
	}
	taker.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (int i = 0; i < RACERS; i++) {
		ASSERT_TRUE(status[i] == -ETIMEDOUT || status[i] == -ETIME)
			TH_LOG("call %d: %d", i, status[i]);
		EXPECT_FALSE(status[i] == -ETIME && taker.received[i]);
		received += status[i] == -ETIMEDOUT;
		not += status[i] == -ETIME;
	}
	TH_LOG("%d may have been received, %d were not", received, not);
}

TEST_F(deadline, races_with_the_answer_for_one_outcome)
{
	struct echo echo;
	int done = 0, late = 0;

	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	for (int i = 0; i < 200; i++) {
		struct symphony_call call = due(&self->duo, 0);
		int ret;

		call.deadline += (i % 40) * 20000ULL;
		ret = ep_call(&self->duo.client, &call);
		if (!ret && call.status == 0) {
			done++;
			ASSERT_EQ(1, ep_msg(&self->duo.client, call.offset)->body_len);
			ASSERT_EQ(0, ep_release_at(&self->duo.client, call.offset));
		} else {
			late++;
			ret = ret ?: call.status;
			ASSERT_TRUE(ret == -ETIMEDOUT || ret == -ETIME);
		}
		ASSERT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	}
	TH_LOG("%d answered, %d too late", done, late);
	echo_stop(&echo);
	EXPECT_TRUE(echo.last_error == 0 || echo.last_error == -ESRCH);
	/* All the room of 200 calls is back. */
	for (int i = 0; i < 2; i++) {
		static unsigned char body[MIB / 2 - 128];
		struct symphony_call call = ep_request(self->duo.svc, body,
						       sizeof(body));
		const struct symphony_msg *msg;

		call.reply_max = sizeof(body);
		ASSERT_EQ(0, ep_send(&self->duo.client, &call));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, ep_reply(&self->duo.server, msg, body, sizeof(body),
				      SYMPHONY_REPLY_RELEASE));
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, ep_release(&self->duo.client, msg));
	}
}

TEST_HARNESS_MAIN
