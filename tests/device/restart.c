// SPDX-License-Identifier: MIT
/* A replica that dies and comes back finds its callers: handles stay good. */
#include <signal.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(restart)
{
	struct ep client;
	struct kid kids[2];
	__u64 svc;
};

/* A replica in a process of its own, which echoes until it is killed. */
static int replica_start(struct kid *kid, __u64 *svc)
{
	__s64 handle = -1;
	int ret;

	if (!kid_fork(kid)) {
		__u64 claimed = 0;
		struct echo echo;
		struct ep ep;

		if (ep_join(&ep, MIB) || ep_claim(&ep, "svc", &claimed) ||
		    echo_start(&echo, &ep))
			_exit(2);
		kid_tell(kid, claimed);
		for (;;)
			pause();
	}
	ret = kid_hear(kid, &handle);
	*svc = handle;
	return ret;
}

/* One echo: 0, or the error, or -EILSEQ for the wrong answer. */
static int echo_tag(struct ep *client, __u64 svc, __u64 tag)
{
	struct symphony_call call = ep_request(svc, &tag, sizeof(tag));
	int ret = ep_outcome(client, &call);

	if (ret)
		return ret;
	if (memcmp(ep_body(ep_msg(client, call.offset)), &tag, sizeof(tag)))
		return -EILSEQ;
	return ep_release_at(client, call.offset);
}

FIXTURE_SETUP(restart)
{
	dev_begin();
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	ASSERT_EQ(0, replica_start(&self->kids[0], &self->svc));
}

FIXTURE_TEARDOWN(restart)
{
	ep_close(&self->client);
}

TEST_F(restart, handle_stays_good)
{
	__u64 again;

	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(0, echo_tag(&self->client, self->svc, i));
		EXPECT_EQ(128 + SIGKILL, kid_kill(&self->kids[0], SIGKILL));
		EXPECT_EQ(-ECONNREFUSED, echo_tag(&self->client, self->svc, i));
		ASSERT_EQ(0, replica_start(&self->kids[0], &again));
		EXPECT_EQ(self->svc, again);
	}
	EXPECT_EQ(0, ep_resolve(&self->client, "svc", &again));
	EXPECT_EQ(self->svc, again);
	EXPECT_EQ(0, echo_tag(&self->client, self->svc, 99));
	kid_kill(&self->kids[0], SIGKILL);
}

struct hammer {
	struct ep *client;
	__u64 svc;
	pthread_t thread;
	atomic_bool stop;
	int done, reset, refused, wrong;
};

static void *hammer_run(void *arg)
{
	struct hammer *hammer = arg;
	__u64 tag = (uintptr_t)arg;

	while (!hammer->stop) {
		int ret = echo_tag(hammer->client, hammer->svc, tag++);

		if (!ret) {
			hammer->done++;
		} else if (ret == -ECONNRESET || ret == -ECONNABORTED) {
			hammer->reset++;
		} else if (ret == -ECONNREFUSED) {
			hammer->refused++;
			dev_nap(1);
		} else {
			fprintf(stderr, "# unexpected %d\n", ret);
			hammer->wrong++;
		}
	}
	return NULL;
}

static void hammer_while_restarting(struct __test_metadata *_metadata,
				    struct _test_data_restart *self, int replicas,
				    struct hammer sum[1])
{
	struct hammer hammers[3] = {};
	__u64 again;

	for (size_t i = 0; i < ARRAY_SIZE(hammers); i++) {
		hammers[i].client = &self->client;
		hammers[i].svc = self->svc;
		ASSERT_EQ(0, pthread_create(&hammers[i].thread, NULL, hammer_run,
					    &hammers[i]));
	}
	for (int i = 0; i < 8; i++) {
		struct kid *kid = &self->kids[i % replicas];

		dev_nap(DEV_BEAT);
		EXPECT_EQ(128 + SIGKILL, kid_kill(kid, SIGKILL));
		ASSERT_EQ(0, replica_start(kid, &again));
		EXPECT_EQ(self->svc, again);
	}
	dev_nap(DEV_BEAT);
	for (size_t i = 0; i < ARRAY_SIZE(hammers); i++) {
		hammers[i].stop = true;
		pthread_join(hammers[i].thread, NULL);
		EXPECT_EQ(0, hammers[i].wrong);
		EXPECT_GT(hammers[i].done, 0);
		sum->reset += hammers[i].reset;
		sum->refused += hammers[i].refused;
		sum->done += hammers[i].done;
	}
	TH_LOG("%d done, %d reset, %d refused", sum->done, sum->reset, sum->refused);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->client, (__u32[1]){}, 1, -1));
	for (int i = 0; i < replicas; i++)
		kid_kill(&self->kids[i], SIGKILL);
}

TEST_F(restart, callers_see_only_what_is_said)
{
	struct hammer sum = {};

	hammer_while_restarting(_metadata, self, 1, &sum);
	/* A caller that hits a death learns of it one way or the other. */
	EXPECT_GT(sum.reset + sum.refused, 0);
}

TEST_F(restart, of_one_of_two_refuses_nobody)
{
	struct hammer sum = {};
	__u64 again;

	ASSERT_EQ(0, replica_start(&self->kids[1], &again));
	hammer_while_restarting(_metadata, self, 2, &sum);
	EXPECT_EQ(0, sum.refused);
}

TEST_F(restart, replicas_of_a_dead_one_keep_their_calls)
{
	struct symphony_call call;
	const struct symphony_msg *msg;
	struct ep other;
	__u64 svc;
	int queued = 0, reset = 0;

	/* Two mute replicas, one here, one killed. */
	EXPECT_EQ(128 + SIGKILL, kid_kill(&self->kids[0], SIGKILL));
	ASSERT_EQ(0, ep_join(&other, MIB));
	ASSERT_EQ(0, ep_claim(&other, "svc", &svc));
	if (!kid_fork(&self->kids[0])) {
		struct ep ep;

		if (ep_join(&ep, MIB) || ep_claim(&ep, "svc", &svc))
			_exit(2);
		kid_tell(&self->kids[0], 1);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, kid_hear(&self->kids[0], &(__s64){ 0 }));
	for (int i = 0; i < 20; i++) {
		call = ep_request(svc, NULL, 0);
		ASSERT_EQ(0, ep_send(&self->client, &call));
	}
	kid_kill(&self->kids[0], SIGKILL);
	while ((msg = ep_next(&self->client, 5 * DEV_BEAT))) {
		EXPECT_EQ(-ECONNABORTED, msg->status);
		reset++;
	}
	while ((msg = ep_next(&other, -1))) {
		EXPECT_EQ(0, ep_reply(&other, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
		queued++;
	}
	EXPECT_EQ(20, queued + reset);
	EXPECT_GT(queued, 0);
	EXPECT_GT(reset, 0);
	for (int i = 0; i < queued; i++) {
		msg = ep_next(&self->client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(0, msg->status);
	}
	ep_close(&other);
}

TEST_HARNESS_MAIN
