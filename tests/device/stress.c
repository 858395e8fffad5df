// SPDX-License-Identifier: MIT
/*
 * Everything at once, from seeded random numbers: processes that call, send,
 * cancel, answer well and badly, a server that is killed over and over, and one
 * process that does nothing but nonsense. A checker in each well-behaved one
 * sees that every call has one outcome and every body is what it must be.
 *
 * SYMPHONY_SEED repeats a run, SYMPHONY_SECONDS makes it longer.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>
#include <kselftest_harness.h>

#include "device.h"

#define PEERS		3	/* well-behaved processes, each a client and server */
#define SLOTS		64	/* SENDs under way in each */
#define GOOD		0x600d600d600d600dULL
#define BODY_MAX	6000

static unsigned int seconds = 4;

static __u64 rnd(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* What a request from @seed is, and what its answer must be. */
struct want {
	__u32 request_len, reply_len;
	bool error;
};

static struct want want_of(__u64 seed)
{
	struct want want = {
		.request_len = 8 + seed % BODY_MAX,
		.reply_len = (seed >> 16) % BODY_MAX,
		.error = seed >> 40 & 1,
	};

	return want;
}

enum slot_state { FREE, PENDING, DONE };

struct peer {
	struct ep ep;
	__u64 services[PEERS + 1];	/* the last is the victim's */
	__u64 seed, until;
	pthread_mutex_t lock;
	enum slot_state states[SLOTS];
	__u64 seeds[SLOTS];
	struct symphony_call calls[SLOTS];
	atomic_int served, called, sent, outcomes, errors;
};

static void fault(struct peer *peer, const char *what, long detail)
{
	fprintf(stderr, "# %s (%ld)\n", what, detail);
	peer->errors++;
}

static bool is_kernel_outcome(int status)
{
	return status == -ECONNRESET || status == -ECONNABORTED || status == -ETIMEDOUT ||
	       status == -ETIME || status == -ECANCELED;
}

static void check_answer(struct peer *peer, __u64 seed, int status, __u32 needed,
			 const struct symphony_msg *msg)
{
	struct want want = want_of(seed);

	peer->outcomes++;
	if (status == -EMSGSIZE) {
		if (needed != want.reply_len)
			fault(peer, "needed is wrong", needed);
	} else if (status) {
		if (!is_kernel_outcome(status))
			fault(peer, "no such outcome", status);
	} else if (msg->body_len != want.reply_len ||
		   !dev_filled(ep_body(msg), msg->body_len, seed) ||
		   !!(msg->flags & SYMPHONY_MSG_ERROR) != want.error) {
		fault(peer, "wrong answer", msg->body_len);
	}
}

static void serve(struct peer *peer, const struct symphony_msg *msg, __u64 *state)
{
	__u32 at = ep_offset(&peer->ep, msg), len = msg->body_len;
	unsigned char body[BODY_MAX];
	struct want want;
	__u64 seed, id = msg->id;
	bool held = true;
	int ret;

	if (msg->method != GOOD) {
		ep_reply(&peer->ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE);
		return;
	}
	memcpy(&seed, ep_body(msg), sizeof(seed));
	want = want_of(seed);
	if (len != want.request_len ||
	    !dev_filled((const unsigned char *)ep_body(msg) + 8, len - 8, seed))
		fault(peer, "wrong request", len);
	peer->served++;
	switch (rnd(state) % 16) {
	case 0:		/* forget it: the deadline answers */
		ep_release_at(&peer->ep, at);
		return;
	case 1:		/* let others go first */
		dev_nap(rnd(state) % 3);
		break;
	case 2:		/* try a body that is not there */
		ret = ep_reply_at(&peer->ep, id, at, (void *)16, 100, 0);
		if (ret != -EFAULT && ret != -ESRCH && ret != -EMSGSIZE)
			fault(peer, "bad body", ret);
		break;
	case 3:		/* release first; its place can be another's soon */
		ep_release_at(&peer->ep, at);
		held = false;
		break;
	}
	dev_fill(body, want.reply_len, seed);
	ret = ep_reply_at(&peer->ep, id, at, body, want.reply_len,
			  want.error ? SYMPHONY_REPLY_ERROR : 0);
	if (ret && ret != -ESRCH && ret != -EMSGSIZE)
		fault(peer, "reply", ret);
	if (!ret && ep_reply_at(&peer->ep, id, at, body, 1, 0) != -ESRCH)
		fault(peer, "second reply taken", 0);
	if (held && ep_release_at(&peer->ep, at))
		fault(peer, "release of a request", at);
}

static void take_outcome(struct peer *peer, const struct symphony_msg *msg)
{
	__u64 cookie = msg->cookie;

	pthread_mutex_lock(&peer->lock);
	if (cookie >= SLOTS || peer->states[cookie] != PENDING) {
		fault(peer, "an outcome that nobody waits for", cookie);
	} else {
		check_answer(peer, peer->seeds[cookie], msg->status, msg->needed, msg);
		peer->states[cookie] = DONE;
	}
	pthread_mutex_unlock(&peer->lock);
	if (ep_release(&peer->ep, msg))
		fault(peer, "release", 0);
}

static void *receiver(void *arg)
{
	struct peer *peer = arg;
	__u64 state = peer->seed ^ (uintptr_t)&state;
	__u32 offsets[4];

	while (dev_now() < peer->until) {
		int nr = ep_recv(&peer->ep, offsets, 1 + rnd(&state) % 4, 50);

		for (int i = 0; i < nr; i++) {
			const struct symphony_msg *msg = ep_msg(&peer->ep, offsets[i]);

			if (msg->type == SYMPHONY_MSG_CALL)
				serve(peer, msg, &state);
			else if (msg->type == SYMPHONY_MSG_REPLY)
				take_outcome(peer, msg);
			else if (ep_release(&peer->ep, msg))
				fault(peer, "release of a notice", 0);
		}
		if (nr < 0 && nr != -ETIMEDOUT && nr != -EINTR)
			fault(peer, "recv", nr);
	}
	return NULL;
}

static bool is_refusal(int ret)
{
	return ret == -ECONNREFUSED || ret == -EAGAIN || ret == -ENOBUFS ||
	       ret == -EDQUOT || ret == -ETIME || ret == -EINTR;
}

static struct symphony_call random_call(struct peer *peer, __u64 *state,
					unsigned char *body, __u64 seed)
{
	struct want want = want_of(seed);
	struct symphony_call call;

	memcpy(body, &seed, sizeof(seed));
	dev_fill(body + 8, want.request_len - 8, seed);
	call = ep_request(peer->services[rnd(state) % (PEERS + 1)], body,
			  want.request_len);
	call.method = GOOD;
	call.deadline = dev_after(1 + rnd(state) % 80);
	call.reply_max = rnd(state) % BODY_MAX;
	return call;
}

static void send_one(struct peer *peer, __u64 *state, unsigned char *body)
{
	int at = rnd(state) % SLOTS, ret;
	__u64 seed = rnd(state);
	struct symphony_call call;

	pthread_mutex_lock(&peer->lock);
	if (peer->states[at] == PENDING) {
		/* Half the time, give it up instead. */
		call = peer->calls[at];
		pthread_mutex_unlock(&peer->lock);
		if (call.id && rnd(state) & 1) {
			ret = ep_cancel(&peer->ep, call.id, call.slot);
			if (ret && ret != -EALREADY && ret != -ESRCH)
				fault(peer, "cancel", ret);
		}
		return;
	}
	peer->states[at] = PENDING;
	peer->seeds[at] = seed;
	peer->calls[at].id = 0;
	pthread_mutex_unlock(&peer->lock);

	call = random_call(peer, state, body, seed);
	call.cookie = at;
	ret = ep_send(&peer->ep, &call);
	pthread_mutex_lock(&peer->lock);
	if (!ret) {
		peer->sent++;
		if (peer->states[at] == PENDING && peer->seeds[at] == seed)
			peer->calls[at] = call;
	} else {
		if (!is_refusal(ret))
			fault(peer, "send", ret);
		if (peer->states[at] != PENDING)
			fault(peer, "an outcome of a SEND that failed", ret);
		peer->states[at] = FREE;
	}
	pthread_mutex_unlock(&peer->lock);
}

static void call_one(struct peer *peer, __u64 *state, unsigned char *body)
{
	__u64 seed = rnd(state);
	struct symphony_call call = random_call(peer, state, body, seed);
	int ret;

	if (rnd(state) % 8 == 0)
		call.flags = SYMPHONY_CALL_DONTWAIT;
	ret = ep_call(&peer->ep, &call);
	if (ret) {
		if (!is_refusal(ret))
			fault(peer, "call", ret);
		return;
	}
	peer->called++;
	if (!call.status && call.offset >= peer->ep.size) {
		fault(peer, "offset", call.offset);
		return;
	}
	check_answer(peer, seed, call.status, call.needed,
		     ep_msg(&peer->ep, call.status ? 0 : call.offset));
	if (!call.status && ep_release_at(&peer->ep, call.offset))
		fault(peer, "release of an answer", 0);
}

static void *requester(void *arg)
{
	struct peer *peer = arg;
	__u64 state = (peer->seed + 1) ^ (uintptr_t)&state;
	unsigned char body[BODY_MAX + 8];

	/* Stop early enough that every deadline passes before the end. */
	while (dev_now() + 1500000000ULL < peer->until) {
		if (rnd(&state) % 2)
			send_one(peer, &state, body);
		else
			call_one(peer, &state, body);
		if (rnd(&state) % 64 == 0)
			ep_watch(&peer->ep, peer->ep.id + rnd(&state) % 64 - 32, 0,
				 rnd(&state) & 1);
	}
	return NULL;
}

/* In a process of its own; exits with 1 if anything was wrong. */
static void run_peer(struct kid *kid, int index, __u64 seed, __u64 until)
{
	static struct peer peer;
	pthread_t threads[4];
	char name[] = "svc-0";
	__s64 go;

	peer.seed = seed;
	peer.until = until;
	pthread_mutex_init(&peer.lock, NULL);
	name[4] += index;
	if (ep_join(&peer.ep, 256 << 10) ||
	    ep_claim(&peer.ep, name, &peer.services[index]))
		_exit(2);
	kid_tell(kid, 1);
	kid_hear(kid, &go);
	for (int i = 0; i <= PEERS; i++) {
		name[4] = '0' + i;
		if (ep_resolve(&peer.ep, name, &peer.services[i]))
			_exit(3);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, i < 2 ? receiver : requester, &peer);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		if (peer.states[i] == PENDING)
			fault(&peer, "a SEND without an outcome", i);
	if (peer.outcomes != peer.sent + peer.called)
		fault(&peer, "outcomes and requests differ",
		      peer.outcomes - peer.sent - peer.called);
	fprintf(stderr, "# peer %d: %d calls, %d sends, %d outcomes, %d served\n", index,
		peer.called, peer.sent, peer.outcomes, peer.served);
	_exit(peer.errors != 0);
}

static void run_victim(struct kid *kid, __u64 seed)
{
	static struct peer peer;
	char name[] = "svc-0";

	peer.seed = seed;
	peer.until = dev_after(DEV_ALARM * 1000);
	name[4] += PEERS;
	if (ep_join(&peer.ep, 256 << 10) ||
	    ep_claim(&peer.ep, name, &peer.services[PEERS]))
		_exit(2);
	kid_tell(kid, 1);
	receiver(&peer);
	_exit(0);
}

/* An argument that is now and then sensible, and always of the right size. */
static void nonsense(__u64 *state, unsigned char *arg, size_t len, void *arena,
		     const __u64 *services)
{
	static const __u32 sizes[] = { 40, 48, 32, 136, 40, 56, 96, 24, 24 };

	for (size_t i = 0; i < len; i += 8) {
		__u64 value = rnd(state);

		switch (value >> 60) {
		case 0 ... 5: value = 0; break;
		case 6: value &= 0xff; break;
		case 7: value = (uintptr_t)arena + (value & 0xffff); break;
		case 8: value = services[value % (PEERS + 1)]; break;
		case 9: value = (value & 0xff) * 128; break;
		case 10: value &= 0x300000fff; break;
		}
		memcpy(arg + i, &value, 8);
	}
	*(__u32 *)arg = sizes[rnd(state) % ARRAY_SIZE(sizes)];
	((__u32 *)arg)[1] = rnd(state) % 8 ? 0 : rnd(state) & 0xf;
}

static void run_fool(struct kid *kid, __u64 seed, __u64 until)
{
	size_t arena_len = 128 << 10;
	unsigned char *arena = mmap(NULL, arena_len, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 services[PEERS + 1] = {}, state = seed, done = 0;
	unsigned char arg[256];
	struct ep eps[2] = { { .fd = -1 }, { .fd = -1 } };
	__s64 go;

	alarm(seconds + DEV_ALARM);
	kid_tell(kid, 1);
	kid_hear(kid, &go);
	while (dev_now() < until) {
		struct ep *ep = &eps[rnd(&state) % 2];
		__u32 op = rnd(&state) % 14;

		if (ep->fd < 0 || rnd(&state) % 2000 == 0) {
			char name[] = "svc-0";

			ep_close(ep);
			if (ep_join(ep, SYMPHONY_POOL_MIN))
				continue;
			fcntl(ep->fd, F_SETFL, O_NONBLOCK);
			for (int i = 0; i <= PEERS; i++) {
				name[4] = '0' + i;
				ep_resolve(ep, name, &services[i]);
			}
		}
		nonsense(&state, arg, sizeof(arg), arena, services);
		/* CALL, WAIT and RECV with an end; a claim only of its own. */
		if (op == 5 || op == 6) {
			struct symphony_call *call = (void *)arg;

			call->size = sizeof(*call);
			call->deadline = dev_after(rnd(&state) % 5);
			call->method &= ~1ULL;
		}
		if (op == 7)
			((struct symphony_recv *)arg)->deadline = dev_now() + 100000;
		if (op == 8)
			((struct symphony_reply *)arg)->deadline = dev_now() + 100000;
		if (op == 10)
			((struct symphony_wait *)arg)->flags |= SYMPHONY_WAIT_DONTWAIT;
		ioctl(ep->fd, _IO(SYMPHONY_IOC_MAGIC, op), arg);
		if (rnd(&state) % 4096 == 0)
			mprotect(arena + 65536, 4096, rnd(&state) & 1 ? PROT_NONE :
				 PROT_READ | PROT_WRITE);
		done++;
	}
	fprintf(stderr, "# fool: %llu operations\n", (unsigned long long)done);
	_exit(0);
}

FIXTURE(stress)
{
	__u64 seed;
};

FIXTURE_SETUP(stress)
{
	const char *env = getenv("SYMPHONY_SEED");

	dev_begin();
	self->seed = env ? strtoull(env, NULL, 0) : dev_now() ^ getpid();
	env = getenv("SYMPHONY_SECONDS");
	if (env)
		seconds = atoi(env);
	alarm(seconds + DEV_ALARM);
	TH_LOG("SYMPHONY_SEED=%#llx", self->seed);
}

FIXTURE_TEARDOWN(stress)
{
}

static void storm(struct __test_metadata *_metadata, __u64 seed, bool victims,
		  bool fools)
{
	struct kid peers[PEERS], victim, fool = {};
	__u64 until = dev_after(seconds * 1000), state = seed;
	struct ep keeper;
	__s64 ready;

	ASSERT_EQ(0, ep_join(&keeper, SYMPHONY_POOL_MIN));
	for (int i = 0; i < PEERS; i++) {
		__u64 its = rnd(&state);

		if (!kid_fork(&peers[i])) {
			alarm(seconds + DEV_ALARM);
			run_peer(&peers[i], i, its, until);
		}
	}
	seed = rnd(&state);
	if (!kid_fork(&victim))
		run_victim(&victim, seed);
	if (fools && !kid_fork(&fool))
		run_fool(&fool, seed, until);
	for (int i = 0; i < PEERS; i++) {
		ASSERT_EQ(0, kid_hear(&peers[i], &ready));
	}
	ASSERT_EQ(0, kid_hear(&victim, &ready));
	for (int i = 0; i < PEERS; i++)
		kid_tell(&peers[i], 1);
	if (fools)
		kid_tell(&fool, 1);
	while (victims && dev_now() < until) {
		dev_nap(20 + rnd(&state) % 150);
		EXPECT_EQ(128 + SIGKILL, kid_kill(&victim, SIGKILL));
		seed = rnd(&state);
		if (!kid_fork(&victim))
			run_victim(&victim, seed);
		ASSERT_EQ(0, kid_hear(&victim, &ready));
	}
	while (dev_now() < until)
		dev_nap(50);
	for (int i = 0; i < PEERS; i++) {
		EXPECT_EQ(0, kid_reap(&peers[i]));
	}
	EXPECT_EQ(128 + SIGKILL, kid_kill(&victim, SIGKILL));
	if (fools) {
		EXPECT_EQ(0, kid_reap(&fool));
	}
	ep_close(&keeper);
	EXPECT_EQ(-ENOENT, ep_join_bus(&keeper, dev_bus(), 0, 0, 0));
}

TEST_F_TIMEOUT(stress, every_call_has_one_outcome, 600)
{
	storm(_metadata, self->seed, false, false);
}

TEST_F_TIMEOUT(stress, every_call_has_one_outcome_among_deaths, 600)
{
	storm(_metadata, self->seed, true, false);
}

TEST_F_TIMEOUT(stress, every_call_has_one_outcome_among_fools, 600)
{
	storm(_metadata, self->seed, true, true);
}

TEST_HARNESS_MAIN
