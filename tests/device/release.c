// SPDX-License-Identifier: MIT
/* RELEASE: only what was received, only once, and only one's own. */
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(release)
{
	struct duo duo;
	__u32 held[8];	/* received and answered, not released */
};

FIXTURE_SETUP(release)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, SYMPHONY_POOL_MIN));
	for (size_t i = 0; i < ARRAY_SIZE(self->held); i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 1000));
		ASSERT_EQ(1, ep_recv(&self->duo.server, &self->held[i], 1, DEV_LONG));
		ASSERT_EQ(0, ep_reply(&self->duo.server,
				      ep_msg(&self->duo.server, self->held[i]),
				      NULL, 0, 0));
	}
}

FIXTURE_TEARDOWN(release)
{
	duo_close(&self->duo);
}

/* Returns the errno; *left is how many were not released. */
static int release_many(struct ep *ep, const __u32 *offsets, __u32 n, __u32 *left)
{
	struct symphony_release release = {
		.size = sizeof(release), .release = (uintptr_t)offsets, .nr_release = n,
	};
	int ret = dev_ioctl(ep->fd, SYMPHONY_IOC_RELEASE, &release);

	*left = release.nr_release;
	return ret;
}

TEST_F(release, of_none_is_fine)
{
	__u32 left = 1;

	EXPECT_EQ(0, release_many(&self->duo.server, NULL, 0, &left));
	EXPECT_EQ(0, left);
}

TEST_F(release, of_many_in_any_order)
{
	__u32 left, order[8];

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		order[i] = self->held[(i * 3 + 1) % ARRAY_SIZE(order)];
	EXPECT_EQ(0, release_many(&self->duo.server, order, 8, &left));
	EXPECT_EQ(0, left);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, order[i]));
	}
}

TEST_F(release, twice_is_einval)
{
	EXPECT_EQ(0, ep_release_at(&self->duo.server, self->held[0]));
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, self->held[0]));
}

TEST_F(release, twice_in_one_is_einval)
{
	__u32 left, twice[] = { self->held[0], self->held[1], self->held[0], self->held[2] };

	EXPECT_EQ(-EINVAL, release_many(&self->duo.server, twice, 4, &left));
	EXPECT_EQ(2, left);
	EXPECT_EQ(0, ep_release_at(&self->duo.server, self->held[2]));
}

TEST_F(release, of_what_is_no_message_is_einval)
{
	static const __u32 bad[] = {
		SYMPHONY_NO_OFFSET, 0x80000000, 0x7fffff80, 0xffffff80,
		SYMPHONY_POOL_MIN, SYMPHONY_POOL_MIN - 128, SYMPHONY_POOL_MIN + 128,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, bad[i]))
			TH_LOG("offset %#x", bad[i]);
	}
	for (__u32 i = 1; i < 1128; i++) {
		ASSERT_EQ(-EINVAL, ep_release_at(&self->duo.server, self->held[3] + i));
	}
	EXPECT_EQ(0, ep_release_at(&self->duo.server, self->held[3]));
}

TEST_F(release, of_somebody_elses_is_einval)
{
	struct ep other;

	ASSERT_EQ(0, ep_join(&other, SYMPHONY_POOL_MIN));
	for (size_t i = 0; i < ARRAY_SIZE(self->held); i++) {
		EXPECT_EQ(-EINVAL, ep_release_at(&other, self->held[i]));
	}
	ep_close(&other);
	EXPECT_EQ(0, ep_release_at(&self->duo.server, self->held[0]));
}

TEST_F(release, of_what_is_still_queued_is_einval)
{
	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	for (__u32 at = 0; at < SYMPHONY_POOL_MIN; at += SYMPHONY_POOL_ALIGN) {
		bool held = false;

		for (size_t i = 0; i < ARRAY_SIZE(self->held); i++)
			held |= self->held[i] == at;
		if (!held) {
			ASSERT_EQ(-EINVAL, ep_release_at(&self->duo.server, at));
		}
	}
	ASSERT_NE(NULL, ep_next(&self->duo.server, -1));
}

TEST_F(release, of_an_outcome_in_flight_is_einval)
{
	/* The client's pool: eight outcomes, not received. */
	for (__u32 at = 0; at < 64 * 1024; at += SYMPHONY_POOL_ALIGN) {
		ASSERT_EQ(-EINVAL, ep_release_at(&self->duo.client, at));
	}
	for (int i = 0; i < 8; i++) {
		const struct symphony_msg *msg = ep_next(&self->duo.client, -1);

		ASSERT_NE(NULL, msg);
		EXPECT_EQ(0, msg->status);
		EXPECT_EQ(0, ep_release(&self->duo.client, msg));
	}
}

TEST_F(release, counts_what_is_left)
{
	__u32 left;

	for (size_t bad = 0; bad < 4; bad++) {
		__u32 list[2] = { self->held[bad], 99 };

		EXPECT_EQ(-EINVAL, release_many(&self->duo.server, list, 2, &left));
		EXPECT_EQ(1, left);
	}
	EXPECT_EQ(-EINVAL, release_many(&self->duo.server, &self->held[0], 8, &left));
	EXPECT_EQ(8, left);
	EXPECT_EQ(0, release_many(&self->duo.server, &self->held[4], 4, &left));
	EXPECT_EQ(0, left);
}

TEST_F(release, of_too_many_is_einval)
{
	__u32 left, many[SYMPHONY_BATCH_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = self->held[0];
	EXPECT_EQ(-EINVAL, release_many(&self->duo.server, many,
					SYMPHONY_BATCH_MAX + 1, &left));
	EXPECT_EQ(-EINVAL, release_many(&self->duo.server, many, ~0U, &left));
	/* Nothing of it was done. */
	EXPECT_EQ(0, ep_release_at(&self->duo.server, self->held[0]));
}

TEST_F(release, bad_arrays_are_efault)
{
	__u32 *cliff = (void *)dev_cliff();
	__u32 left;

	EXPECT_EQ(-EFAULT, release_many(&self->duo.server, NULL, 1, &left));
	EXPECT_EQ(-EFAULT, release_many(&self->duo.server, cliff, 1, &left));
	EXPECT_EQ(-EFAULT, release_many(&self->duo.server,
					(void *)0xffff888000000000, 2, &left));
	cliff[-1] = self->held[0];
	EXPECT_EQ(0, release_many(&self->duo.server, cliff - 1, 1, &left));
}

TEST_F(release, gives_all_the_room_back)
{
	static unsigned char body[SYMPHONY_POOL_MIN / 2 - 128];
	struct symphony_call call;
	__u32 left;

	/* Holes between what is held; then none. */
	for (size_t i = 0; i < ARRAY_SIZE(self->held); i += 2) {
		EXPECT_EQ(0, ep_release_at(&self->duo.server, self->held[i]));
	}
	for (size_t i = 1; i < ARRAY_SIZE(self->held); i += 2) {
		EXPECT_EQ(0, release_many(&self->duo.server, &self->held[i], 1, &left));
	}
	if (dev_limits().share_max < 50)
		SKIP(return, "one sender may hold less than half");
	call = ep_request(self->duo.svc, body, sizeof(body));
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
}

struct racer {
	struct ep *ep;
	const __u32 *offsets;
	int n, released;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	for (int i = 0; i < racer->n; i++)
		racer->released += !ep_release_at(racer->ep, racer->offsets[i]);
	return NULL;
}

TEST_F(release, races_release_once)
{
	struct racer racers[4];
	int released = 0;

	for (size_t i = 0; i < ARRAY_SIZE(racers); i++) {
		racers[i] = (struct racer){
			.ep = &self->duo.server, .offsets = self->held, .n = 8,
		};
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL, race, &racers[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(racers); i++) {
		pthread_join(racers[i].thread, NULL);
		released += racers[i].released;
	}
	EXPECT_EQ(8, released);
}

/*
 * Messages of all sizes come and go in no order, and each stays as it was sent until
 * it is released: what is freed is given again to what it has room for.
 */
TEST_F(release, gives_room_to_what_fits_there)
{
	__u32 offsets[24], lens[24], seeds[24], seed = 1, next = 1000, full = 0;
	int held = 0, rounds = dev_slow() ? 500 : 5000;

	for (size_t i = 0; i < ARRAY_SIZE(self->held); i++)
		ASSERT_EQ(0, ep_release_at(&self->duo.server, self->held[i]));
	for (int round = 0; round < rounds; round++) {
		const struct symphony_msg *msg;
		__u32 at, len;

		seed = seed * 1103515245 + 12345;
		at = seed >> 16;
		len = at % 3 ? at % 600 : at % 6000;
		if (held < ARRAY_SIZE(offsets) && (at & 0x400 || !held)) {
			int ret = duo_send(&self->duo, next, len);

			full += ret == -EAGAIN;
			if (ret == -EAGAIN)
				continue;
			ASSERT_EQ(0, ret);
			msg = ep_next(&self->duo.server, DEV_LONG);
			ASSERT_NE(NULL, msg);
			ASSERT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, 0));
			ASSERT_EQ(0, ep_release(&self->duo.client,
						ep_next(&self->duo.client, DEV_LONG)));
			offsets[held] = ep_offset(&self->duo.server, msg);
			lens[held] = len;
			seeds[held++] = next++;
			continue;
		}
		at %= held;
		msg = ep_msg(&self->duo.server, offsets[at]);
		ASSERT_EQ(lens[at], msg->body_len);
		ASSERT_TRUE(dev_filled(ep_body(msg), lens[at], seeds[at]));
		ASSERT_EQ(0, ep_release_at(&self->duo.server, offsets[at]));
		held--;
		offsets[at] = offsets[held];
		lens[at] = lens[held];
		seeds[at] = seeds[held];
	}
	/* Otherwise nothing was merged to make room. */
	EXPECT_LT(0, full);
	while (held)
		EXPECT_EQ(0, ep_release_at(&self->duo.server, offsets[--held]));
	/* All of it is free, and one: the largest body has room. */
	EXPECT_EQ(0, duo_send(&self->duo, 1, SYMPHONY_POOL_MIN / 2 - SYMPHONY_POOL_ALIGN));
}

TEST_HARNESS_MAIN
