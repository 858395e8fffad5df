// SPDX-License-Identifier: MIT
/* The policies of bpf/: what each promises, in numbers. */
#include <linux/symphony_bpf.h>
#include <symphony/policy.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <kselftest_harness.h>

#include "acl.skel.h"
#include "canary.skel.h"
#include "claim.h"
#include "consistent_hash.skel.h"

#define REPLICAS	5
#define KEYS		2000
#define PILE		1000

FIXTURE(policy)
{
	struct ep client, replica[REPLICAS];
	__u64 svc, cookie;
	struct bpf_link *link;
};

FIXTURE_SETUP(policy)
{
	dev_begin();
	if (!getenv("VERBOSE"))
		libbpf_set_print(NULL);
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join(&self->client, 0));
	for (int i = 0; i < REPLICAS; i++) {
		ASSERT_EQ(0, ep_join(&self->replica[i], 0));
		ASSERT_EQ(0, ep_claim(&self->replica[i], "svc", &self->svc));
	}
}

FIXTURE_TEARDOWN(policy)
{
	bpf_link__destroy(self->link);
	ep_close(&self->client);
	for (int i = 0; i < REPLICAS; i++)
		ep_close(&self->replica[i]);
}

static void aim_route(struct bpf_map *map)
{
	struct symphony_route_ops *ops = bpf_map__initial_value(map, &(size_t){ 0 });

	strcpy(ops->bus, dev_bus());
	strcpy(ops->service, "svc");
}

/* At the whole bus. */
static void aim_admit(struct bpf_map *map)
{
	struct symphony_admit_ops *ops = bpf_map__initial_value(map, &(size_t){ 0 });

	strcpy(ops->bus, dev_bus());
}

/* Make a call; which replica got it, and @msg there, or the -errno of SEND. */
static int put(FIXTURE_DATA(policy) *self, __u64 key, const struct symphony_msg **msg)
{
	struct symphony_call call = ep_request(self->svc, NULL, 0);
	int ret;

	call.key = key;
	call.reply_max = 1;
	call.deadline = 0;
	ret = ep_send(&self->client, &call);
	if (ret)
		return ret;
	for (int i = 0; i < REPLICAS; i++) {
		*msg = self->replica[i].fd < 0 ? NULL : ep_next(&self->replica[i], -1);
		if (*msg)
			return i;
	}
	return -EBADMSG;
}

/* Answer it. */
static int end(FIXTURE_DATA(policy) *self, int at, const struct symphony_msg *msg)
{
	return ep_reply(&self->replica[at], msg, NULL, 0, SYMPHONY_REPLY_RELEASE) ?:
	       ep_fetch(&self->client, &(__u64){ 0 });
}

/* Both. */
static int where(FIXTURE_DATA(policy) *self, __u64 key)
{
	const struct symphony_msg *msg;
	int at = put(self, key, &msg);

	return at < 0 ? at : end(self, at, msg) ?: at;
}

static int come(FIXTURE_DATA(policy) *self, int at)
{
	return ep_join(&self->replica[at], 0) ?:
	       ep_claim(&self->replica[at], "svc", &self->svc);
}

/* --- consistent_hash -------------------------------------------------------- */

static struct consistent_hash *hash_load(FIXTURE_DATA(policy) *self)
{
	struct consistent_hash *hash = consistent_hash__open();

	if (!hash)
		return NULL;
	aim_route(hash->maps.consistent_hash);
	if (!consistent_hash__load(hash)) {
		self->link = bpf_map__attach_struct_ops(hash->maps.consistent_hash);
		if (self->link)
			return hash;
	}
	consistent_hash__destroy(hash);
	return NULL;
}

/* Where each key goes, one call at a time. */
static int map_keys(FIXTURE_DATA(policy) *self, signed char *at, int nr)
{
	for (int i = 0; i < nr; i++) {
		at[i] = where(self, i + 1);
		if (at[i] < 0)
			return at[i];
	}
	return 0;
}

static int differ(const signed char *a, const signed char *b, int nr)
{
	int moved = 0;

	for (int i = 0; i < nr; i++)
		moved += a[i] != b[i];
	return moved;
}

TEST_F(policy, consistent_hash_moves_the_keys_of_who_leaves_and_no_others)
{
	struct consistent_hash *hash = hash_load(self);
	signed char before[KEYS], after[KEYS];
	int keys = dev_slow() ? 800 : KEYS, moved, count[REPLICAS] = {};

	ASSERT_NE(NULL, hash);
	ASSERT_EQ(0, map_keys(self, before, keys));
	for (int i = 0; i < keys; i++)
		count[before[i]]++;
	for (int i = 0; i < REPLICAS; i++) {
		TH_LOG("replica %d has %d of %d keys", i, count[i], keys);
		EXPECT_LT(keys / REPLICAS * 7 / 10, count[i]);
	}
	ASSERT_EQ(0, map_keys(self, after, keys));
	EXPECT_EQ(0, differ(before, after, keys));

	ep_close(&self->replica[1]);
	ASSERT_EQ(0, map_keys(self, after, keys));
	moved = differ(before, after, keys);
	TH_LOG("1 of %d replicas left: %.1f %% of the keys moved", REPLICAS,
	       100. * moved / keys);
	EXPECT_EQ(count[1], moved);
	EXPECT_GE(keys / REPLICAS + keys / 20, moved);

	ASSERT_EQ(0, come(self, 1));
	ASSERT_EQ(0, map_keys(self, before, keys));
	moved = differ(before, after, keys);
	TH_LOG("1 came to %d: %.1f %% of the keys moved", REPLICAS - 1,
	       100. * moved / keys);
	EXPECT_GE(keys / REPLICAS + keys / 20, moved);
	for (int i = 0; i < keys; i++)
		EXPECT_TRUE(before[i] == after[i] || before[i] == 1);
	consistent_hash__destroy(hash);
}

/*
 * Calls that nobody answers, of which every other one has the same key; where they
 * are, and the greatest excess over the mean in percent. No replica has more than
 * its bound, ever.
 */
static int pile(FIXTURE_DATA(policy) *self, unsigned int bound, bool busy_key,
		signed char *at, const struct symphony_msg **msg, int nr, int left,
		double *excess)
{
	int count[REPLICAS] = {};

	for (int i = 0; i < nr; i++) {
		at[i] = put(self, busy_key && i % 2 ? 1 : i + 2, &msg[i]);
		if (at[i] < 0)
			return at[i];
		if (100 * (++count[at[i]] - 1) * left >= (int)bound * (i + 1))
			return -ERANGE;
	}
	*excess = 0;
	for (int i = 0; i < REPLICAS; i++)
		if (100. * count[i] * left / nr - 100 > *excess)
			*excess = 100. * count[i] * left / nr - 100;
	return 0;
}

static int unpile(FIXTURE_DATA(policy) *self, const signed char *at,
		  const struct symphony_msg **msg, int nr)
{
	int ret = 0;

	for (int i = 0; i < nr && !ret; i++)
		ret = end(self, at[i], msg[i]);
	return ret;
}

TEST_F(policy, consistent_hash_bounds_the_load)
{
	static const unsigned int bounds[] = { 100, 110, 125, 200 };
	struct consistent_hash *hash = hash_load(self);
	const struct symphony_msg *msg[PILE];
	signed char before[PILE], after[PILE];
	int nr = dev_slow() ? 200 : PILE, moved;
	double excess;

	ASSERT_NE(NULL, hash);
	hash->data_options->least = 1;
	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
		hash->data_options->bound = bounds[i];
		ASSERT_EQ(0, pile(self, bounds[i], true, before, msg, nr, REPLICAS, &excess));
		TH_LOG("bound %u %%, half of all calls with one key: the busiest replica has %.1f %% more than the mean",
		       bounds[i], excess);
		ASSERT_EQ(0, unpile(self, before, msg, nr));
	}
	/* What is full pushes on what comes later, so more than its keys move. */
	hash->data_options->bound = 125;
	ASSERT_EQ(0, pile(self, 125, false, before, msg, nr, REPLICAS, &excess));
	ASSERT_EQ(0, unpile(self, before, msg, nr));
	ep_close(&self->replica[3]);
	ASSERT_EQ(0, pile(self, 125, false, after, msg, nr, REPLICAS - 1, &excess));
	ASSERT_EQ(0, unpile(self, after, msg, nr));
	moved = differ(before, after, nr);
	TH_LOG("bound 125 %%, %d calls of different keys in flight: %.1f %% moved when 1 of %d replicas left",
	       nr, 100. * moved / nr, REPLICAS);
	/* Chance has more of a part in fewer. */
	if (nr == PILE)
		EXPECT_GE(nr / REPLICAS + nr / 20, moved);
	consistent_hash__destroy(hash);
}

TEST_F(policy, consistent_hash_passes_by_who_drains)
{
	struct consistent_hash *hash = hash_load(self);
	signed char before[200], after[200];

	ASSERT_NE(NULL, hash);
	ASSERT_EQ(0, map_keys(self, before, 200));
	ASSERT_EQ(0, ep_drain(&self->replica[2], self->svc, false));
	ASSERT_EQ(0, map_keys(self, after, 200));
	for (int i = 0; i < 200; i++)
		EXPECT_TRUE(after[i] != 2 && (before[i] == 2 || before[i] == after[i]));
	ASSERT_EQ(0, ep_drain(&self->replica[2], self->svc, true));
	ASSERT_EQ(0, map_keys(self, after, 200));
	EXPECT_EQ(0, differ(before, after, 200));
	/* Without a key: in turn. */
	for (int i = where(self, 0), j = 1; j < 2 * REPLICAS; j++)
		EXPECT_EQ((i + j) % REPLICAS, where(self, 0));
	consistent_hash__destroy(hash);
}

/* --- canary ----------------------------------------------------------------- */

static struct canary *canary_load(FIXTURE_DATA(policy) *self)
{
	struct canary *canary = canary__open();

	if (!canary)
		return NULL;
	aim_route(canary->maps.canary);
	if (!canary__load(canary)) {
		self->link = bpf_map__attach_struct_ops(canary->maps.canary);
		if (self->link)
			return canary;
	}
	canary__destroy(canary);
	return NULL;
}

TEST_F(policy, canary_gets_its_percentage)
{
	static const unsigned int percents[] = { 10, 0, 1, 33, 50, 90, 100 };
	struct canary *canary = canary_load(self);
	int calls = dev_slow() ? 500 : 3000;

	ASSERT_NE(NULL, canary);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
		int count[REPLICAS] = {};
		double got;

		canary->data_options->percent = percents[i];
		for (int j = 0; j < calls; j++) {
			int at = where(self, 0);

			ASSERT_LE(0, at);
			count[at]++;
		}
		got = 100. * count[REPLICAS - 1] / calls;
		TH_LOG("%u %% asked for, %.2f %% of %d calls", percents[i], got, calls);
		EXPECT_TRUE(got > percents[i] - 1. && got < percents[i] + 1.);
		/* The others share evenly. */
		for (int j = 1; j < REPLICAS - 1; j++)
			EXPECT_TRUE(abs(count[j] - count[0]) <= 4 + count[0] / 10);
	}
	canary__destroy(canary);
}

TEST_F(policy, canary_keeps_keys_on_their_side)
{
	struct canary *canary = canary_load(self);
	int keys = dev_slow() ? 400 : KEYS;
	bool before[KEYS] = {};

	ASSERT_NE(NULL, canary);
	for (unsigned int percent = 0; percent <= 100; percent += 25) {
		int nr = 0;

		canary->data_options->percent = percent;
		for (int i = 0; i < keys; i++) {
			int at = where(self, i + 1);

			ASSERT_LE(0, at);
			EXPECT_TRUE(at == REPLICAS - 1 || !before[i]);
			before[i] = at == REPLICAS - 1;
			nr += before[i];
		}
		TH_LOG("%u %% asked for, %.2f %% of %d keys", percent, 100. * nr / keys, keys);
		EXPECT_TRUE(abs(100 * nr - keys * (int)percent) < 10 * keys);
		for (int i = 0; i < 50; i++)
			EXPECT_EQ(before[i], where(self, i + 1) == REPLICAS - 1);
	}
	canary__destroy(canary);
}

TEST_F(policy, canary_is_of_several_and_gives_way)
{
	struct canary *canary = canary_load(self);

	ASSERT_NE(NULL, canary);
	canary->data_options->percent = 100;
	canary->data_options->newest = 2;
	for (int i = 0; i < 10; i++)
		EXPECT_LE(REPLICAS - 2, where(self, 0));
	/* More often than a program may be wrong. */
	ASSERT_EQ(0, ep_drain(&self->replica[REPLICAS - 2], self->svc, false));
	ASSERT_EQ(0, ep_drain(&self->replica[REPLICAS - 1], self->svc, false));
	for (int i = 0; i < 100; i++)
		EXPECT_GT(REPLICAS - 2, where(self, 0));
	ASSERT_EQ(0, ep_drain(&self->replica[REPLICAS - 1], self->svc, true));
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(REPLICAS - 1, where(self, 0));
	/* Who came last is the newest; with no others it is the built-in policy. */
	ep_close(&self->replica[0]);
	ASSERT_EQ(0, come(self, 0));
	canary->data_options->newest = 1;
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(0, where(self, 0));
	canary->data_options->newest = REPLICAS;
	for (int i = 0; i < 10; i++)
		EXPECT_LE(0, where(self, 0));
	canary__destroy(canary);
}

/* --- acl -------------------------------------------------------------------- */

static struct acl *acl_load(void)
{
	struct acl *acl = acl__open();

	if (!acl)
		return NULL;
	aim_admit(acl->maps.acl);
	if (!acl__load(acl))
		return acl;
	acl__destroy(acl);
	return NULL;
}

static int allow(struct acl *acl, __u32 uid, __u32 sender_service, __u32 service)
{
	struct sbus_acl_key key = {
		.uid = uid, .sender_service = sender_service, .service = service,
	};

	return bpf_map_update_elem(bpf_map__fd(acl->maps.allow), &key, &(__u8){ 1 }, 0);
}

TEST_F(policy, acl_refuses_every_pair_that_is_not_listed)
{
	static const char *const names[] = { "web", "app", "own" };
	struct acl *acl = acl_load();
	struct ep caller[4] = {};
	__u64 handle[4] = {};
	int allowed = 0;

	ASSERT_NE(NULL, acl);
	/* Who serves each of three services, and who serves none. */
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, ep_join(&caller[i], 0));
		if (i < 3)
			ASSERT_EQ(0, ep_claim(&caller[i], names[i], &handle[i]));
	}
	self->link = bpf_map__attach_struct_ops(acl->maps.acl);
	ASSERT_NE(NULL, self->link);
	for (int listed = 0; listed < 4; listed++) {
		/* Others' uids and other directions do not help. */
		ASSERT_EQ(0, allow(acl, 1, handle[3 - listed], self->svc));
		if (handle[listed])
			ASSERT_EQ(0, allow(acl, 0, self->svc, handle[listed]));
		for (int i = 0; i < 4; i++) {
			int ret = ep_mark(&caller[i], self->svc, 1, 8);

			EXPECT_EQ(i < listed ? 0 : -EACCES, ret);
			allowed += !ret;
		}
		EXPECT_EQ(-EACCES, ep_mark(&caller[listed], handle[listed] ?: handle[0], 1, 8));
		ASSERT_EQ(0, allow(acl, 0, handle[listed], self->svc));
		EXPECT_EQ(0, ep_mark(&caller[listed], self->svc, 1, 8));
		allowed++;
	}
	EXPECT_EQ(10, allowed);
	for (int i = 0; i < 4; i++)
		ep_close(&caller[i]);
	acl__destroy(acl);
}

/* Calls until it is to stop; what came of them. */
struct client {
	struct ep ep;
	__u64 svc;
	pthread_t thread;
	atomic_bool *stop;
	atomic_int done, refused;
	int wrong;
};

static void *client_thread(void *data)
{
	struct client *client = data;

	while (!*client->stop) {
		struct symphony_call call = ep_request(client->svc, "hello", 5);
		int ret = ep_outcome(&client->ep, &call);

		if (ret == -EACCES) {
			client->refused++;
			continue;
		}
		/* Refused once, it is refused for ever. */
		client->wrong += ret || client->refused;
		client->done++;
		if (!ret)
			ep_release_at(&client->ep, call.offset);
	}
	return NULL;
}

TEST_F(policy, acl_is_closed_in_the_instant_its_loader_dies)
{
	static const char *const names[] = { "web", "app", "bad" };
	struct echo echo[REPLICAS] = {};
	struct client client[4] = {};
	atomic_bool stop = false;
	__u64 handle[4] = {};
	struct kid kid;
	__s64 said = 0;

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, ep_join(&client[i].ep, 0));
		if (i < 3)
			ASSERT_EQ(0, ep_claim(&client[i].ep, names[i], &handle[i]));
		client[i].svc = self->svc;
		client[i].stop = &stop;
	}
	if (!kid_fork(&kid)) {
		struct acl *acl = acl_load();

		if (acl && !allow(acl, 0, handle[0], self->svc) &&
		    !allow(acl, 0, handle[1], self->svc) &&
		    bpf_map__attach_struct_ops(acl->maps.acl))
			said = 1;
		kid_tell(&kid, said);
		pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &said));
	ASSERT_EQ(1, said);
	for (int i = 0; i < REPLICAS; i++)
		ASSERT_EQ(0, echo_start(&echo[i], &self->replica[i]));
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&client[i].thread, NULL, client_thread, &client[i]));
	EXPECT_TRUE(dev_until(client[0].done > 50 && client[1].done > 50 &&
			      client[2].refused > 50 && client[3].refused > 50));
	EXPECT_EQ(0, client[0].refused + client[1].refused);
	kid_kill(&kid, SIGKILL);
	EXPECT_TRUE(dev_until(client[0].refused > 50 && client[1].refused > 50));
	stop = true;
	for (int i = 0; i < 4; i++) {
		pthread_join(client[i].thread, NULL);
		TH_LOG("client %d, %s: %d calls done, %d refused, %d of another outcome", i,
		       i < 2 ? "listed" : "not listed", client[i].done, client[i].refused,
		       client[i].wrong);
		EXPECT_EQ(0, client[i].wrong);
		if (i >= 2)
			EXPECT_EQ(0, client[i].done);
		ep_close(&client[i].ep);
	}
	for (int i = 0; i < REPLICAS; i++)
		echo_stop(&echo[i]);
}

TEST_HARNESS_MAIN
