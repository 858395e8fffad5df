// SPDX-License-Identifier: MIT
/*
 * Upheaval: replicas take over from each other, come, go and are killed all the
 * time while four processes call. Each call has one outcome; with reissue it is
 * the answer, with requeue only calls that a dead one had received fail, and
 * none is done twice.
 *
 * SYMPHONY_KILLS is how many replicas are killed; there are at least twice as
 * many takeovers.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <kselftest_harness.h>

#include "claim.h"

#define CLIENTS		4
#define WINDOW		16	/* SENDs under way of each, besides a CALL */
#define CALLS_MAX	100000	/* of each */
#define PROCESSES	3	/* that serve, with */
#define ENDPOINTS	2	/* each: so many requests go down with one */
#define LONGEST		20000

/* What the processes have in common. */
struct storm {
	__u32 flags;
	atomic_bool stop;
	atomic_int takeovers, ousted, faults;
	_Atomic __u64 ids[PROCESSES * ENDPOINTS];
	atomic_int made[CLIENTS], answered[CLIENTS], reset[CLIENTS];
	/* How often each call was received. */
	atomic_uchar received[CLIENTS][CALLS_MAX];
};

static struct storm *storm;

static __u64 rnd(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fault(const char *what, long detail)
{
	fprintf(stderr, "# %s (%ld)\n", what, detail);
	storm->faults++;
}

static __u64 hash(const unsigned char *byte, __u32 len)
{
	__u64 h = 14695981039346656037ULL;

	while (len--)
		h = (h ^ *byte++) * 1099511628211ULL;
	return h;
}

/* Most are short; now and then one is not. */
static __u32 length_of(__u64 nr)
{
	return nr % 61 ? nr * 7 % 900 : nr * 7919 % LONGEST;
}

static unsigned int fill_of(int client, __u64 nr)
{
	return client * 101 + nr;
}

/* --- replicas --- */

struct replica {
	struct ep ep;
	__u64 svc;
	atomic_bool out;	/* serves no more */
	pthread_t thread;
};

static void answer(struct replica *replica, const struct symphony_msg *msg)
{
	__u64 h = hash(ep_body(msg), msg->body_len), nr = msg->method;
	int client = msg->key, ret;

	if (client >= CLIENTS || nr >= CALLS_MAX) {
		fault("not a call", nr);
		return;
	}
	storm->received[client][nr]++;
	if (msg->body_len != length_of(nr) ||
	    !dev_filled(ep_body(msg), msg->body_len, fill_of(client, nr)))
		fault("wrong request", nr);
	if (nr % 16 == 0)
		dev_nap(1);
	ret = ep_reply(&replica->ep, msg, &h, sizeof(h), SYMPHONY_REPLY_RELEASE);
	if (ret)
		fault("reply", ret);
}

static void *serve(void *arg)
{
	struct replica *replica = arg;
	const struct symphony_msg *msg;

	for (;;) {
		msg = ep_next(&replica->ep, DEV_LONG);
		if (!msg)
			continue;
		if (msg->type == SYMPHONY_MSG_CALL) {
			answer(replica, msg);
			continue;
		}
		if (msg->type == SYMPHONY_MSG_TAKEOVER) {
			storm->ousted++;
			replica->out = true;
		}
		ep_release(&replica->ep, msg);
	}
	return NULL;
}

static void come_back(struct replica *replica, __u64 dice)
{
	__u64 target = storm->ids[(dice >> 8) % (PROCESSES * ENDPOINTS)];
	__u32 flags = storm->flags | (dice % 4 ? SYMPHONY_CLAIM_TAKEOVER : 0);
	int ret;

	if (dice % 4 < 2)
		target = 0;
	ret = ep_claim_with(&replica->ep, "svc", flags, target, &replica->svc);
	if (!ret) {
		replica->out = false;
		storm->takeovers += dice % 4 != 0;
	} else if (ret == -EALREADY) {
		replica->out = false;
	} else if (ret != -ESRCH) {
		fault("claim", ret);
	}
}

static void leave(struct replica *replica, __u64 dice)
{
	int ret = 0;

	if (dice % 8 == 0)
		ret = ep_unclaim(&replica->ep, replica->svc);
	else if (dice % 8 == 1)
		ret = ep_drain(&replica->ep, replica->svc, dice & 256);
	if (ret && ret != -ENOENT)
		fault("leave", ret);
	if (ret == -ENOENT || dice % 8 == 0)
		replica->out = true;
}

static void run_replicas(struct kid *kid, int place, __u64 seed)
{
	static struct replica replicas[ENDPOINTS];

	alarm(0);
	for (int i = 0; i < ENDPOINTS; i++) {
		struct replica *replica = &replicas[i];

		if (ep_join(&replica->ep, 256 << 10) ||
		    ep_claim_with(&replica->ep, "svc", storm->flags, 0, &replica->svc))
			_exit(2);
		storm->ids[place * ENDPOINTS + i] = replica->ep.id;
		pthread_create(&replica->thread, NULL, serve, replica);
	}
	kid_tell(kid, 1);
	for (;;) {
		__u64 dice = rnd(&seed);
		struct replica *replica = &replicas[(dice >> 40) % ENDPOINTS];

		if (replica->out)
			come_back(replica, dice);
		else
			leave(replica, dice);
		dev_nap((dice >> 32) % 8);
	}
}

/* --- clients --- */

struct client {
	struct ep ep;
	__u64 svc;
	int index;
	atomic_int next;	/* number of the next call */
	unsigned char outcomes[CALLS_MAX];
	pthread_t caller;
};

static struct symphony_call numbered(struct client *client, __u64 nr, unsigned char *body)
{
	struct symphony_call call = ep_request(client->svc, body, length_of(nr));

	dev_fill(body, call.body_len, fill_of(client->index, nr));
	call.method = nr;
	call.key = client->index;
	call.cookie = nr;
	call.reply_max = sizeof(__u64);
	call.deadline = 0;
	if (storm->flags & SYMPHONY_CLAIM_REISSUE)
		call.flags = SYMPHONY_CALL_IDEMPOTENT;
	return call;
}

static void check(struct client *client, __u64 nr, int status, const void *answer)
{
	unsigned char body[LONGEST];
	__u64 h;

	if (nr >= CALLS_MAX || client->outcomes[nr]++) {
		fault("a second outcome", nr);
		return;
	}
	if ((status == -ECONNRESET || status == -ECONNABORTED) && !(storm->flags & SYMPHONY_CLAIM_REISSUE)) {
		storm->reset[client->index]++;
		return;
	}
	if (status) {
		fault("outcome", status);
		return;
	}
	dev_fill(body, length_of(nr), fill_of(client->index, nr));
	memcpy(&h, answer, sizeof(h));
	if (h != hash(body, length_of(nr)))
		fault("wrong answer", nr);
	storm->answered[client->index]++;
}

static bool goes_on(struct client *client)
{
	return !storm->stop && client->next < CALLS_MAX - 2;
}

static void *call_on(void *arg)
{
	struct client *client = arg;
	unsigned char body[LONGEST];

	while (goes_on(client)) {
		__u64 nr = client->next++;
		struct symphony_call call = numbered(client, nr, body);
		int ret = ep_call(&client->ep, &call);

		if (ret) {
			fault("call", ret);
			continue;
		}
		storm->made[client->index]++;
		check(client, nr, call.status, call.status ? NULL :
		      ep_body(ep_msg(&client->ep, call.offset)));
		if (!call.status)
			ep_release_at(&client->ep, call.offset);
	}
	return NULL;
}

static int send_next(struct client *client, __u64 *again)
{
	static unsigned char body[LONGEST];
	__u64 nr = *again ?: (__u64)client->next++;
	struct symphony_call call = numbered(client, nr, body);
	int ret = ep_send(&client->ep, &call);

	*again = ret == -EAGAIN ? nr : 0;
	if (ret && ret != -EAGAIN)
		fault("send", ret);
	storm->made[client->index] += !ret;
	return ret;
}

static void run_client(struct kid *kid, int index)
{
	static struct client client;
	int under_way = 0;
	__u64 again = 0;

	alarm(0);
	client.index = index;
	client.next = 1;
	if (ep_join(&client.ep, MIB) || ep_resolve(&client.ep, "svc", &client.svc))
		_exit(2);
	kid_tell(kid, 1);
	pthread_create(&client.caller, NULL, call_on, &client);
	while (under_way || goes_on(&client)) {
		bool sends = under_way < WINDOW && goes_on(&client);
		int ret = sends ? send_next(&client, &again) : 0;
		const struct symphony_msg *msg;

		if (sends && !ret) {
			under_way++;
			continue;
		}
		msg = ep_next(&client.ep, ret ? 5 : DEV_LONG);
		if (!msg && ret)
			continue;
		if (!msg || msg->type != SYMPHONY_MSG_REPLY) {
			fault("no outcome", under_way);
			break;
		}
		check(&client, msg->cookie, msg->status, ep_body(msg));
		ep_release(&client.ep, msg);
		under_way--;
	}
	pthread_join(client.caller, NULL);
	if (!ep_is_quiet(&client.ep))
		fault("one outcome too many", index);
	kid_tell(kid, 1);
	pause();
}

/* --- the storm --- */

FIXTURE(upheaval)
{
	struct kid processes[PROCESSES], clients[CLIENTS];
	struct ep activator;
	__u64 pools;
};

FIXTURE_VARIANT(upheaval)
{
	__u32 flags;
};

FIXTURE_VARIANT_ADD(upheaval, with_reissue) {
	.flags = SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE,
};
FIXTURE_VARIANT_ADD(upheaval, with_requeue) { .flags = SYMPHONY_CLAIM_REQUEUE };

FIXTURE_SETUP(upheaval)
{
	__u64 svc;

	dev_begin();
	alarm(0);
	self->pools = dev_limits().user_pool.used;
	storm = mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)storm);
	storm->flags = variant->flags;
	/* There can be a moment without any replica: then calls wait here. */
	ASSERT_EQ(0, ep_join(&self->activator, 4 * MIB));
	ASSERT_EQ(0, ep_claim_with(&self->activator, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0,
				   &svc));
}

FIXTURE_TEARDOWN(upheaval)
{
	munmap(storm, sizeof(*storm));
}

static int start_process(struct kid *kid, int place, __u64 seed)
{
	__s64 ready;

	if (!kid_fork(kid))
		run_replicas(kid, place, seed);
	return kid_hear(kid, &ready);
}

static int kills_wanted(void)
{
	const char *env = getenv("SYMPHONY_KILLS");

	return env ? atoi(env) : dev_slow() ? 10 : 60;
}

TEST_F_TIMEOUT(upheaval, leaves_each_call_one_outcome, 900)
{
	__u64 seed = 88172645463325252ULL, start = dev_now();
	int kills = 0, wanted = kills_wanted(), made = 0, answered = 0, reset = 0, twice = 0;
	__s64 ready;

	for (int i = 0; i < PROCESSES; i++) {
		ASSERT_EQ(0, start_process(&self->processes[i], i, rnd(&seed)));
	}
	for (int i = 0; i < CLIENTS; i++) {
		if (!kid_fork(&self->clients[i]))
			run_client(&self->clients[i], i);
	}
	for (int i = 0; i < CLIENTS; i++) {
		ASSERT_EQ(0, kid_hear(&self->clients[i], &ready));
	}
	while (kills < wanted || storm->takeovers < 2 * wanted) {
		struct kid *victim = &self->processes[rnd(&seed) % PROCESSES];

		dev_nap(rnd(&seed) % 20);
		if (kills >= 2 * wanted)
			continue;
		ASSERT_EQ(128 + SIGKILL, kid_kill(victim, SIGKILL));
		ASSERT_EQ(0, start_process(victim, victim - self->processes, rnd(&seed)));
		kills++;
	}
	storm->stop = true;
	for (int i = 0; i < CLIENTS; i++) {
		ASSERT_EQ(0, kid_hear(&self->clients[i], &ready));
		made += storm->made[i];
		answered += storm->answered[i];
		reset += storm->reset[i];
		for (int nr = 0; nr < CALLS_MAX; nr++)
			twice += storm->received[i][nr] > 1;
	}
	TH_LOG("%d kills, %d takeovers (%d ousted), %llu ms", kills, (int)storm->takeovers,
	       (int)storm->ousted, (dev_now() - start) / 1000000);
	TH_LOG("%d calls: %d answered, %d reset, %d received twice", made, answered, reset,
	       twice);
	EXPECT_EQ(0, storm->faults);
	EXPECT_EQ(made, answered + reset);
	if (variant->flags & SYMPHONY_CLAIM_REISSUE) {
		EXPECT_EQ(0, reset);
	} else {
		EXPECT_EQ(0, twice);
		EXPECT_LE(reset, kills * ENDPOINTS);
	}
	for (int i = 0; i < CLIENTS; i++) {
		EXPECT_EQ(128 + SIGKILL, kid_kill(&self->clients[i], SIGKILL));
	}
	for (int i = 0; i < PROCESSES; i++) {
		EXPECT_EQ(128 + SIGKILL, kid_kill(&self->processes[i], SIGKILL));
	}
	ep_close(&self->activator);
	EXPECT_EQ(-ENOENT, ep_join_bus(&self->activator, dev_bus(), 0, 0, 0));
	EXPECT_TRUE(dev_until(dev_limits().user_pool.used <= self->pools));
}

TEST_HARNESS_MAIN
