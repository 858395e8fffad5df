// SPDX-License-Identifier: MIT
/* CLAIM, UNCLAIM, RESOLVE: names become handles, endpoints become replicas. */
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(service)
{
	struct ep a, b, client;
};

FIXTURE_SETUP(service)
{
	dev_begin();
	ASSERT_EQ(0, ep_join(&self->a, 0));
	ASSERT_EQ(0, ep_join(&self->b, 0));
	ASSERT_EQ(0, ep_join(&self->client, 0));
}

FIXTURE_TEARDOWN(service)
{
	ep_close(&self->a);
	ep_close(&self->b);
	ep_close(&self->client);
}

static int send_to(struct ep *ep, __u64 handle, __u64 method)
{
	struct symphony_call call = ep_request(handle, NULL, 0);

	call.method = method;
	call.reply_max = 1;
	return ep_send(ep, &call);
}

TEST_F(service, claim_gives_the_handle_that_resolve_gives)
{
	__u64 claimed = 0, resolved = 0;

	ASSERT_EQ(0, ep_claim(&self->a, "svc", &claimed));
	EXPECT_NE(0, claimed);
	EXPECT_EQ(0, ep_resolve(&self->client, "svc", &resolved));
	EXPECT_EQ(claimed, resolved);
	EXPECT_EQ(0, ep_resolve(&self->a, "svc", &resolved));
	EXPECT_EQ(claimed, resolved);
}

TEST_F(service, unknown_name_is_enoent)
{
	__u64 handle;

	EXPECT_EQ(-ENOENT, ep_resolve(&self->client, "nobody", &handle));
	ASSERT_EQ(0, ep_claim(&self->a, "nobody-else", &handle));
	EXPECT_EQ(-ENOENT, ep_resolve(&self->client, "nobody", &handle));
	EXPECT_EQ(-ENOENT, ep_resolve(&self->client, "nobody-els", &handle));
}

TEST_F(service, claim_twice_is_ealready)
{
	__u64 handle, again;

	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	EXPECT_EQ(-EALREADY, ep_claim(&self->a, "svc", &again));
	EXPECT_EQ(0, ep_unclaim(&self->a, handle));
	EXPECT_EQ(0, ep_claim(&self->a, "svc", &again));
	EXPECT_EQ(handle, again);
}

TEST_F(service, unclaim_of_what_is_not_claimed_is_enoent)
{
	__u64 handle;

	EXPECT_EQ(-ENOENT, ep_unclaim(&self->a, 0));
	EXPECT_EQ(-ENOENT, ep_unclaim(&self->a, 12345));
	EXPECT_EQ(-ENOENT, ep_unclaim(&self->a, ~0ULL));
	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	EXPECT_EQ(-ENOENT, ep_unclaim(&self->b, handle));
	EXPECT_EQ(0, ep_unclaim(&self->a, handle));
	EXPECT_EQ(-ENOENT, ep_unclaim(&self->a, handle));
}

TEST_F(service, handle_stays_good_without_a_replica)
{
	__u64 handle, again = 0;

	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	ASSERT_EQ(0, ep_unclaim(&self->a, handle));
	EXPECT_EQ(0, ep_resolve(&self->client, "svc", &again));
	EXPECT_EQ(handle, again);
	EXPECT_EQ(-ECONNREFUSED, send_to(&self->client, handle, 0));
	ASSERT_EQ(0, ep_claim(&self->b, "svc", &again));
	EXPECT_EQ(handle, again);
	EXPECT_EQ(0, send_to(&self->client, handle, 0));
	EXPECT_NE(NULL, ep_next(&self->b, DEV_LONG));
}

TEST_F(service, names_are_checked)
{
	static const char *const bad[] = {
		"A", "9", "-", ".a", "_a", "a b", "a/b", "a\n", "\xc3\xa4", "aB",
	};
	char name[SYMPHONY_NAME_MAX + 2] = {};
	__u64 handle;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, ep_claim(&self->a, bad[i], &handle))
			TH_LOG("name \"%s\"", bad[i]);
		EXPECT_EQ(-EINVAL, ep_resolve(&self->a, bad[i], &handle))
			TH_LOG("name \"%s\"", bad[i]);
	}
	EXPECT_EQ(-EINVAL, ep_claim(&self->a, "", &handle));
	EXPECT_EQ(-EINVAL, ep_resolve(&self->a, "", &handle));
	memset(name, 'x', SYMPHONY_NAME_MAX + 1);
	EXPECT_EQ(-ENAMETOOLONG, ep_claim(&self->a, name, &handle));
	EXPECT_EQ(-ENAMETOOLONG, ep_resolve(&self->a, name, &handle));
	name[SYMPHONY_NAME_MAX] = 0;
	EXPECT_EQ(-ENOENT, ep_resolve(&self->a, name, &handle));
	EXPECT_EQ(0, ep_claim(&self->a, name, &handle));
	EXPECT_EQ(0, ep_resolve(&self->a, name, &handle));
}

TEST_F(service, bad_name_addresses_are_efault)
{
	struct symphony_service service = {
		.size = sizeof(service), .name_len = 5,
		.name = (uintptr_t)dev_cliff() - 4,
	};

	memcpy((void *)(uintptr_t)service.name, "edge", 4);
	EXPECT_EQ(-EFAULT, dev_ioctl(self->a.fd, SYMPHONY_IOC_CLAIM, &service));
	EXPECT_EQ(-EFAULT, dev_ioctl(self->a.fd, SYMPHONY_IOC_RESOLVE, &service));
	service.name_len = 4;
	EXPECT_EQ(0, dev_ioctl(self->a.fd, SYMPHONY_IOC_CLAIM, &service));
	service.name = 0;
	EXPECT_EQ(-EFAULT, dev_ioctl(self->a.fd, SYMPHONY_IOC_CLAIM, &service));
}

TEST_F(service, one_endpoint_serves_several)
{
	__u64 handles[8];
	char name[] = "svc-0";

	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		name[4] = '0' + i;
		ASSERT_EQ(0, ep_claim(&self->a, name, &handles[i]));
		for (size_t j = 0; j < i; j++) {
			EXPECT_NE(handles[j], handles[i]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		const struct symphony_msg *msg;

		ASSERT_EQ(0, send_to(&self->client, handles[i], i));
		msg = ep_next(&self->a, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(handles[i], msg->handle);
		EXPECT_EQ(i, msg->method);
	}
	/* Leaving one of them leaves the others. */
	ASSERT_EQ(0, ep_unclaim(&self->a, handles[3]));
	EXPECT_EQ(-ECONNREFUSED, send_to(&self->client, handles[3], 0));
	EXPECT_EQ(0, send_to(&self->client, handles[4], 0));
}

TEST_F(service, replicas_share_the_calls)
{
	__u32 offsets[32];
	__u64 handle, again;
	int a, b;

	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	ASSERT_EQ(0, ep_claim(&self->b, "svc", &again));
	ASSERT_EQ(handle, again);
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, send_to(&self->client, handle, i));
	}
	a = ep_recv(&self->a, offsets, ARRAY_SIZE(offsets), -1);
	b = ep_recv(&self->b, offsets, ARRAY_SIZE(offsets), -1);
	/* Least queued, then round robin: nobody has to take it all. */
	EXPECT_EQ(20, a + b);
	EXPECT_GE(a, 8);
	EXPECT_GE(b, 8);
}

TEST_F(service, calls_go_to_the_replica_that_is_left)
{
	__u32 offsets[32];
	__u64 handle;

	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	ASSERT_EQ(0, ep_claim(&self->b, "svc", &handle));
	ASSERT_EQ(0, ep_unclaim(&self->a, handle));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, send_to(&self->client, handle, i));
	}
	EXPECT_EQ(10, ep_recv(&self->b, offsets, ARRAY_SIZE(offsets), -1));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->a, offsets, 1, -1));
	ep_close(&self->b);
	EXPECT_EQ(-ECONNREFUSED, send_to(&self->client, handle, 0));
}

TEST_F(service, unclaim_keeps_what_was_sent_before)
{
	const struct symphony_msg *msg;
	__u64 handle;

	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	ASSERT_EQ(0, send_to(&self->client, handle, 7));
	ASSERT_EQ(0, ep_unclaim(&self->a, handle));
	msg = ep_next(&self->a, -1);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(7, msg->method);
	EXPECT_EQ(0, ep_reply(&self->a, msg, "ok", 2, 0));
	msg = ep_next(&self->client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, msg->status);
	EXPECT_EQ(handle, msg->handle);
}

TEST_F(service, handles_mean_nothing_on_another_bus)
{
	struct ep other;
	__u64 handle, theirs;

	ASSERT_EQ(0, ep_claim(&self->a, "svc", &handle));
	ASSERT_EQ(0, ep_join_bus(&other, "test-other-bus", SYMPHONY_JOIN_CREATE, 0, 0));
	EXPECT_EQ(-ENOENT, ep_resolve(&other, "svc", &theirs));
	EXPECT_EQ(-ENOENT, send_to(&other, handle, 0));
	EXPECT_EQ(0, ep_claim(&other, "svc", &theirs));
	EXPECT_EQ(-ECONNREFUSED, (ep_unclaim(&other, theirs), send_to(&other, theirs, 0)));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->a, (__u32[1]){}, 1, -1));
	ep_close(&other);
}

TEST_F(service, racing_claims_make_one_service)
{
	struct kid kids[4];
	__s64 handles[4], go;
	__u64 handle;

	for (size_t i = 0; i < ARRAY_SIZE(kids); i++) {
		if (!kid_fork(&kids[i])) {
			struct ep ep;

			EXPECT_EQ(0, ep_join(&ep, SYMPHONY_POOL_MIN));
			kid_hear(&kids[i], &go);
			for (int round = 0; round < (dev_slow() ? 10 : 50); round++) {
				EXPECT_EQ(0, ep_claim(&ep, "raced", &handle));
				EXPECT_EQ(0, ep_unclaim(&ep, handle));
			}
			kid_tell(&kids[i], handle);
			_exit(0);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(kids); i++)
		kid_tell(&kids[i], 1);
	for (size_t i = 0; i < ARRAY_SIZE(kids); i++) {
		EXPECT_EQ(0, kid_hear(&kids[i], &handles[i]));
		EXPECT_EQ(handles[0], handles[i]);
		EXPECT_EQ(0, kid_reap(&kids[i]));
	}
	EXPECT_EQ(0, ep_resolve(&self->client, "raced", &handle));
	EXPECT_EQ(handles[0], handle);
	EXPECT_EQ(-ECONNREFUSED, send_to(&self->client, handle, 0));
}

TEST_HARNESS_MAIN
