// SPDX-License-Identifier: MIT
/* Policies that go by time: with replicas that take theirs. */
#include <linux/symphony_bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <kselftest_harness.h>

#include "claim.h"
#include "deadline_shed.skel.h"
#include "least_loaded.skel.h"
#include "round_robin.skel.h"

#define REPLICAS	4
#define CLIENTS		4
#define FAST		2	/* ms for a call */
#define SLOW		100

/* A thread that takes @ms for each request. */
struct worker {
	struct ep ep;
	pthread_t thread;
	atomic_bool stop;
	atomic_uint ms;
	atomic_int served;
};

static void *worker_thread(void *data)
{
	struct worker *worker = data;

	while (!worker->stop) {
		const struct symphony_msg *msg = ep_next(&worker->ep, 20);

		if (!msg || msg->type != SYMPHONY_MSG_CALL)
			continue;
		dev_nap(worker->ms);
		ep_reply(&worker->ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE);
		worker->served++;
	}
	return NULL;
}

FIXTURE(policy_time)
{
	struct worker worker[REPLICAS];
	struct ep client;
	__u64 svc;
	struct bpf_link *link;
};

FIXTURE_SETUP(policy_time)
{
	dev_begin();
	if (!getenv("VERBOSE"))
		libbpf_set_print(NULL);
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join(&self->client, 0));
	for (int i = 0; i < REPLICAS; i++) {
		struct worker *worker = &self->worker[i];

		worker->ms = FAST;
		ASSERT_EQ(0, ep_join(&worker->ep, 0));
		ASSERT_EQ(0, ep_claim(&worker->ep, "svc", &self->svc));
		ASSERT_EQ(0, pthread_create(&worker->thread, NULL, worker_thread, worker));
	}
}

FIXTURE_TEARDOWN(policy_time)
{
	for (int i = 0; i < REPLICAS; i++)
		self->worker[i].stop = true;
	for (int i = 0; i < REPLICAS; i++) {
		pthread_join(self->worker[i].thread, NULL);
		ep_close(&self->worker[i].ep);
	}
	bpf_link__destroy(self->link);
	ep_close(&self->client);
}

static int attach(FIXTURE_DATA(policy_time) *self, struct bpf_map *map)
{
	self->link = bpf_map__attach_struct_ops(map);
	return self->link ? 0 : -errno;
}

static void aim(struct bpf_map *map)
{
	struct symphony_route_ops *ops = bpf_map__initial_value(map, &(size_t){ 0 });

	strcpy(ops->bus, dev_bus());
	strcpy(ops->service, "svc");
}

/* A client that makes @calls, and how long each took. */
struct client {
	struct ep ep;
	__u64 svc;
	pthread_t thread;
	int calls, failed;
	__u64 *took;
};

static void *client_thread(void *data)
{
	struct client *client = data;

	for (int i = 0; i < client->calls; i++) {
		struct symphony_call call = ep_request(client->svc, NULL, 0);
		__u64 start = dev_now();

		if (ep_outcome(&client->ep, &call))
			client->failed++;
		else
			ep_release_at(&client->ep, call.offset);
		client->took[i] = dev_now() - start;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* All clients' calls at a time: how long 99 % of them took at most, in ns; 0: failed. */
static __u64 measure(FIXTURE_DATA(policy_time) *self, __u64 *took, int calls)
{
	struct client client[CLIENTS] = {};
	int failed = 0;

	for (int i = 0; i < CLIENTS; i++) {
		client[i].svc = self->svc;
		client[i].calls = calls / CLIENTS;
		client[i].took = took + i * (calls / CLIENTS);
		if (ep_join(&client[i].ep, 0) ||
		    pthread_create(&client[i].thread, NULL, client_thread, &client[i]))
			return 0;
	}
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(client[i].thread, NULL);
		failed += client[i].failed;
		ep_close(&client[i].ep);
	}
	qsort(took, calls, sizeof(*took), compare);
	return failed ? 0 : took[calls * 99 / 100];
}

TEST_F(policy_time, least_loaded_keeps_away_from_a_slow_replica)
{
	struct least_loaded *ll = least_loaded__open();
	struct round_robin *rr = round_robin__open();
	static __u64 took[800];
	__u64 p99[2];
	int slow[2];

	ASSERT_NE(NULL, ll);
	ASSERT_NE(NULL, rr);
	aim(rr->maps.round_robin);
	ASSERT_EQ(0, round_robin__load(rr));
	aim(ll->maps.least_loaded);
	ASSERT_EQ(0, least_loaded__load(ll));
	self->worker[1].ms = SLOW;

	ASSERT_EQ(0, attach(self, rr->maps.round_robin));
	slow[0] = self->worker[1].served;
	p99[0] = measure(self, took, 200);
	slow[0] = self->worker[1].served - slow[0];
	bpf_link__destroy(self->link);

	ASSERT_EQ(0, attach(self, ll->maps.least_loaded));
	/* Until each has answered something. */
	ASSERT_NE(0, measure(self, took, 200));
	slow[1] = self->worker[1].served;
	p99[1] = measure(self, took, 800);
	slow[1] = self->worker[1].served - slow[1];
	TH_LOG("1 of %d replicas takes %d ms, the others %d; %d clients", REPLICAS, SLOW, FAST,
	       CLIENTS);
	TH_LOG("round_robin: p99 %.1f ms, %d of 200 calls to the slow one", p99[0] / 1e6, slow[0]);
	TH_LOG("least_loaded: p99 %.1f ms, %d of 800 calls to the slow one", p99[1] / 1e6, slow[1]);
	ASSERT_NE(0, p99[0]);
	ASSERT_NE(0, p99[1]);
	EXPECT_GE(8, slow[1]);
	/* A kernel that is slow itself takes as long with any of them. */
	if (!dev_slow())
		EXPECT_LE(p99[1], p99[0] / 2);
	least_loaded__destroy(ll);
	round_robin__destroy(rr);
}

TEST_F(policy_time, least_loaded_finds_who_takes_calls)
{
	struct least_loaded *ll = least_loaded__open();

	ASSERT_NE(NULL, ll);
	aim(ll->maps.least_loaded);
	ASSERT_EQ(0, least_loaded__load(ll));
	ASSERT_EQ(0, attach(self, ll->maps.least_loaded));
	/* More often than a program may be wrong. */
	for (int i = 0; i < REPLICAS - 1; i++)
		ASSERT_EQ(0, ep_drain(&self->worker[i].ep, self->svc, false));
	for (int i = 0; i < 200; i++) {
		struct symphony_call call = ep_request(self->svc, NULL, 0);

		ASSERT_EQ(0, ep_outcome(&self->client, &call));
		ASSERT_EQ(0, ep_release_at(&self->client, call.offset));
	}
	EXPECT_TRUE(dev_until(self->worker[REPLICAS - 1].served == 200));
	least_loaded__destroy(ll);
}

/* SEND a call that is due then; 0, or the -errno. */
static int due(FIXTURE_DATA(policy_time) *self, __u64 deadline)
{
	struct symphony_call call = ep_request(self->svc, NULL, 0);

	call.deadline = deadline;
	call.reply_max = 1;
	return ep_send(&self->client, &call);
}

TEST_F(policy_time, deadline_shed_refuses_what_comes_too_late)
{
	struct deadline_shed *shed = deadline_shed__open();
	int accepted = 0, refused = 0, late = 0;
	__u64 start, took;

	ASSERT_NE(NULL, shed);
	aim(shed->maps.deadline_shed);
	ASSERT_EQ(0, deadline_shed__load(shed));
	ASSERT_EQ(0, attach(self, shed->maps.deadline_shed));
	for (int i = 0; i < REPLICAS; i++)
		self->worker[i].ms = 50;
	/* While the time is not known, nothing is refused. */
	for (int i = 0; i < 4 * REPLICAS; i++)
		EXPECT_EQ(0, due(self, dev_after(2000)));
	for (int i = 0; i < 4 * REPLICAS; i++)
		EXPECT_EQ(0, ep_fetch(&self->client, &(__u64){ 0 }));

	/* Now it is: each can do about 8 in 400 ms, and is given no more. */
	start = dev_now();
	for (int i = 0; i < 20 * REPLICAS; i++) {
		int ret = due(self, start + 400 * 1000000ULL);

		EXPECT_TRUE(!ret || ret == -ETIME);
		accepted += !ret;
		refused += ret == -ETIME;
	}
	took = dev_now() - start;
	for (int i = 0; i < accepted; i++)
		late += ep_fetch(&self->client, &(__u64){ 0 }) == -ETIME;
	TH_LOG("%d calls of 50 ms, due in 400, at once to %d replicas: %d accepted (%d of them too late), %d refused within %.1f ms",
	       20 * REPLICAS, REPLICAS, accepted, late, refused, took / 1e6);
	EXPECT_GE(8 * REPLICAS, accepted);
	EXPECT_LE(4 * REPLICAS, accepted);
	/* Long before they were due; on a kernel that is slow itself, before. */
	EXPECT_GT((dev_slow() ? 400 : 200) * 1000000ULL, took);

	/* As much of the estimate as is asked for has to fit. */
	EXPECT_EQ(0, due(self, dev_after(1000)));
	shed->data_options->percent = 10000;
	EXPECT_EQ(-ETIME, due(self, dev_after(1000)));
	EXPECT_EQ(0, due(self, 0));
	deadline_shed__destroy(shed);
}

TEST_HARNESS_MAIN
