// SPDX-License-Identifier: MIT
/* What a peer receives: requests, which it answers well and badly; outcomes; notices. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define ANSWER_MAX	20000
#define HOARD_MAX	48

struct receiver {
	struct peer *peer;
	__u32 who;
	__u32 hoard[HOARD_MAX];
	int nr_hoard;
	__u64 chain;		/* calls made for calls */
	unsigned char *body;
};

static bool is_ok_reply(int ret)
{
	return !ret || ret == -ESRCH || ret == -EMSGSIZE;
}

static void give_back(struct receiver *r, __u32 offset)
{
	struct peer *peer = r->peer;
	struct symphony_release release = {
		.size = sizeof(release), .release = (uintptr_t)r->hoard,
	};

	r->hoard[r->nr_hoard++] = offset;
	if (peer->hoards && r->nr_hoard < HOARD_MAX && storm->phase == STORMING)
		return;
	release.nr_release = r->nr_hoard;
	r->nr_hoard = 0;
	if (dev_ioctl(peer->ep.fd, SYMPHONY_IOC_RELEASE, &release) && !peer->ended)
		FAULT("RELEASE", release.nr_release, offset);
}

static void give_all_back(struct receiver *r)
{
	if (r->nr_hoard)
		give_back(r, r->hoard[--r->nr_hoard]);
}

/* --- answers --- */

static __u32 answer_len(struct dice *dice)
{
	return once(dice, 30) ? roll(dice, ANSWER_MAX) : roll(dice, 600);
}

/* The last word on a call: what it is depends on the tag and on who says it. */
static void answer(struct receiver *r, const struct late *what, struct dice *dice,
		   struct symphony_reply *reply)
{
	struct peer *peer = r->peer;
	__u32 len = answer_len(dice);
	struct record record = { .type = R_ANSWER, .tag = what->tag, .id = what->id,
				 .own = peer->ep.id, .len = len,
				 .flags = what->error ? F_ERROR : 0 };
	struct parcel parcel;
	int ret;

	body_fill(r->body, len, what->tag ^ mix(r->who));
	record.hash = body_hash(r->body, len);
	parcel_pack(&parcel, what->tag, peer->ep.id, dice);
	record.files = parcel.nr;
	log_write(record);
	reply->size = sizeof(*reply);
	reply->id = what->id;
	reply->slot = what->offset;
	reply->body = (uintptr_t)r->body;
	reply->body_len = len;
	reply->fds = (uintptr_t)parcel.fds;
	reply->nr_fds = parcel.nr;
	if (what->error)
		reply->flags |= SYMPHONY_REPLY_ERROR;
	ret = ring_once(&peer->ep, SYMPHONY_IOC_REPLY, reply, dice);
	parcel_drop(&parcel);
	/* By a ring: how many were received. */
	if (ret > 0) {
		reply->nr = ret;
		ret = 0;
	}
	record.type = R_ANSWERED;
	record.err = ret;
	log_write(record);
	if (!is_ok_reply(ret) && !peer->ended)
		FAULT("REPLY", ret, what->tag);
	if (once(dice, 16)) {
		ret = ep_reply_at(&peer->ep, what->id, what->offset, r->body, 1, 0);
		if (ret != -ESRCH && !peer->ended)
			FAULT("a second REPLY", ret, what->tag);
	}
	if (what->held)
		give_back(r, what->offset);
}

static void answer_late(struct receiver *r, int keep)
{
	struct peer *peer = r->peer;
	struct symphony_reply reply;
	struct late late;
	struct dice dice;

	for (;;) {
		pthread_mutex_lock(&peer->lock);
		if (peer->nr_late <= keep) {
			pthread_mutex_unlock(&peer->lock);
			return;
		}
		late = peer->late[0];
		memmove(peer->late, peer->late + 1, --peer->nr_late * sizeof(late));
		pthread_mutex_unlock(&peer->lock);
		dice = dice_of(storm->seed, late.tag, 2);
		reply = (struct symphony_reply){};
		answer(r, &late, &dice, &reply);
	}
}

static bool put_off(struct peer *peer, const struct late *late)
{
	bool done;

	pthread_mutex_lock(&peer->lock);
	done = peer->nr_late < LATE_MAX;
	if (done)
		peer->late[peer->nr_late++] = *late;
	pthread_mutex_unlock(&peer->lock);
	return done;
}

/* What must be refused. */
static void reply_badly(struct receiver *r, const struct late *what, struct dice *dice)
{
	struct peer *peer = r->peer;
	int ret;

	switch (roll(dice, 3)) {
	case 0:		/* a body that is not there; too large for some, all the same */
		log_write((struct record){ .type = R_ANSWER, .tag = what->tag, .id = what->id,
					   .own = peer->ep.id, .len = 100 });
		ret = ep_reply_at(&peer->ep, what->id, what->offset, (void *)16, 100, 0);
		if (ret != -EFAULT && !peer->ended && (!ret || !is_ok_reply(ret)))
			FAULT("REPLY without a body", ret, what->tag);
		break;
	case 1:		/* another's call */
		ret = ep_reply_at(&peer->ep, what->id + 1 + roll(dice, 50), what->offset,
				  r->body, 8, 0);
		if (ret != -ESRCH && !peer->ended)
			FAULT("REPLY to another's call", ret, what->tag);
		break;
	case 2:		/* no message */
		ret = ep_release_at(&peer->ep, what->offset + 8);
		if (ret != -EINVAL && !peer->ended)
			FAULT("RELEASE of no message", ret, what->tag);
		break;
	}
}

/* A call, or a few, made for this one. */
static void call_on(struct receiver *r, const struct symphony_msg *parent, struct dice *dice)
{
	struct peer *peer = r->peer;

	for (int i = roll(dice, 3); i >= 0; i--) {
		__u64 tag = (__u64)r->who << 32 | ++r->chain;
		bool send = once(dice, 2);
		struct symphony_call call = request_make(&peer->ep, tag, dice, peer->handles,
							 send ? F_SEND : 0, parent);
		int ret;

		if (send) {
			peer->pending++;
			ret = ep_send(&peer->ep, &call);
		} else {
			do
				ret = ep_call(&peer->ep, &call);
			while (ret == -EINTR && call.id);
		}
		request_is_made();
		if (ret && !peer->ended) {
			log_write((struct record){ .type = R_REFUSED, .tag = tag, .err = ret,
						   .own = peer->ep.id });
			if (ret == -ENOTTY || ret == -EINVAL || ret == -EFAULT)
				FAULT("a call for a call", ret, tag);
		}
		if (send && ret)
			peer->pending--;
		else if (send)
			log_write((struct record){ .type = R_SENT, .tag = tag, .id = call.id,
						   .own = peer->ep.id });
		else if (!ret)
			request_outcome(peer, tag, &call);
	}
}

/* One to which nobody waits for an answer. */
static void hear(struct receiver *r, const struct symphony_msg *msg, __u64 tag, __u32 offset,
		 struct dice *dice)
{
	struct peer *peer = r->peer;
	int ret;

	if (once(dice, 8)) {
		ret = ep_reply_at(&peer->ep, msg->id, offset, r->body, 1, 0);
		if (ret != -ESRCH && !peer->ended)
			FAULT("REPLY to a one-way message", ret, tag);
	}
	give_back(r, offset);
}

static void serve(struct receiver *r, const struct symphony_msg *msg,
		  struct symphony_reply *reply)
{
	struct peer *peer = r->peer;
	struct late what = { .id = msg->id, .tag = msg->key, .held = true,
			     .offset = ep_offset(&peer->ep, msg) };
	bool has_deadline = msg->deadline, oneway = msg->flags & SYMPHONY_MSG_ONEWAY;
	struct record record = { .type = R_RECEIVED, .tag = msg->key, .id = msg->id,
				 .len = msg->body_len, .files = msg->nr_fds,
				 .ep = msg->sender, .pid = msg->pid,
				 .aux = msg->uid, .own = peer->ep.id };
	struct dice dice;

	if (msg->method != (msg->key ^ GOOD)) {
		/* A fool's. */
		if (!peer->ended)
			ep_reply(&peer->ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE);
		return;
	}
	if (record.len <= peer->ep.size - what.offset - sizeof(*msg))
		record.hash = body_hash(ep_body(msg), record.len);
	if (peer->ended)
		return;
	log_write(record);
	storm->last_id = what.id;
	dice = dice_of(storm->seed, what.tag, 1);
	parcel_claim(peer, msg, what.tag, 0, &dice);
	if (oneway) {
		hear(r, msg, what.tag, what.offset, &dice);
		return;
	}
	what.error = once(&dice, 4);
	switch (roll(&dice, 24)) {
	case 0:		/* forget it: the deadline answers */
		if (!has_deadline)
			break;
		give_back(r, what.offset);
		return;
	case 1:		/* let others go first */
		dev_nap(roll(&dice, 4));
		break;
	case 2 ... 3:
		reply_badly(r, &what, &dice);
		break;
	case 4 ... 5:	/* release first; its place can be another's soon */
		if (ep_release_at(&peer->ep, what.offset) && !peer->ended)
			FAULT("RELEASE of a request", what.offset, what.tag);
		what.held = false;
		break;
	case 6 ... 8:
		if (msg->content_type < 3 && storm->phase == STORMING && !peer->ended)
			call_on(r, msg, &dice);
		break;
	case 9 ... 11:
		if (put_off(peer, &what))
			return;
		break;
	}
	answer(r, &what, &dice, reply);
}

/* --- the rest --- */

static void take_outcome(struct receiver *r, const struct symphony_msg *msg)
{
	struct peer *peer = r->peer;
	__u32 offset = ep_offset(&peer->ep, msg);
	struct record record = { .type = R_OUTCOME, .tag = msg->cookie, .id = msg->id,
				 .err = msg->status, .ep = msg->sender, .own = peer->ep.id,
				 .flags = msg->flags & SYMPHONY_MSG_ERROR ? F_ERROR : 0,
				 .len = msg->status ? msg->needed : msg->body_len,
				 .files = msg->nr_fds };
	struct dice dice = dice_of(storm->seed, msg->cookie, 3);

	if (!msg->status && record.len <= peer->ep.size - offset - sizeof(*msg))
		record.hash = body_hash(ep_body(msg), record.len);
	if (peer->ended)
		return;
	log_write(record);
	storm->outcomes++;
	if (!msg->status)
		parcel_claim(peer, msg, record.tag, F_ANSWER, &dice);
	give_back(r, offset);
	peer->pending--;
}

static void take_notice(struct receiver *r, const struct symphony_msg *msg)
{
	struct record record = { .type = R_NOTICE, .own = r->peer->ep.id, .aux = msg->type };
	__u32 offset = ep_offset(&r->peer->ep, msg);

	switch (msg->type) {
	case SYMPHONY_MSG_GONE:
		record.type = R_GONE;
		record.ep = msg->sender;
		record.id = msg->cookie;
		break;
	case SYMPHONY_MSG_ROOM:
		record.type = R_ROOM;
		record.tag = msg->cookie;
		break;
	case SYMPHONY_MSG_CANCELLED:
		record.type = R_CANCELLED;
		record.id = msg->id;
		record.err = msg->status;
		break;
	}
	if (r->peer->ended)
		return;
	if (msg->type < SYMPHONY_MSG_GONE || msg->type > SYMPHONY_MSG_ACTIVATE)
		FAULT("no such message", msg->type, offset);
	log_write(record);
	give_back(r, offset);
}

/* Answers to these can bring more, which stand in @offsets after them. */
static int take(struct receiver *r, __u32 *offsets, int nr)
{
	struct peer *peer = r->peer;
	int more = 0;

	for (int i = 0; i < nr && !peer->ended; i++) {
		const struct symphony_msg *msg = ep_msg(&peer->ep, offsets[i]);
		/* REPLY and RECV in one, with the last. */
		struct symphony_reply reply = {
			.flags = SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_DONTWAIT,
			.offsets = (uintptr_t)offsets, .max = 4,
		};

		if (offsets[i] >= peer->ep.size || offsets[i] % SYMPHONY_POOL_ALIGN) {
			FAULT("a message outside the pool", offsets[i], nr);
		} else if (msg->type == SYMPHONY_MSG_CALL) {
			if (i < nr - 1)
				reply = (struct symphony_reply){};
			serve(r, msg, &reply);
			more = reply.nr;
		} else if (msg->type == SYMPHONY_MSG_REPLY) {
			take_outcome(r, msg);
		} else {
			take_notice(r, msg);
		}
	}
	return more;
}

void *receiver_main(void *arg)
{
	struct peer *peer = arg;
	__u32 offsets[MULTISHOT_MAX];
	static atomic_int turn;
	struct receiver r = {
		.peer = peer,
		.who = who_is(peer->slot, peer->life, THREAD_RECEIVER + turn++ % RECEIVERS),
		.body = malloc(ANSWER_MAX),
	};

	log_begin(r.who);
	for (__u64 nr = 1; !peer->ended; nr++) {
		struct dice dice = dice_of(storm->seed, r.who, nr);
		bool last = peer->stop, storming = storm->phase == STORMING;
		/* Hundreds who look that often leave no time for those who have to do. */
		int ms = storming ? 20 : 200, n;

		if (storming && once(&dice, 64))
			jostle(&dice);
		if (storming && once(&dice, 128))
			dev_nap(roll(&dice, 20));
		if (last || !storm->rings || !once(&dice, 3))
			n = ep_recv(&peer->ep, offsets, 1 + roll(&dice, 8), last ? -1 : ms);
		else if (once(&dice, 2))
			n = ring_recv(peer, offsets, 1 + roll(&dice, 8), ms, &dice);
		else
			n = ring_recv_multishot(peer, offsets, ms, &dice);
		if (n < 0 && n != -ETIMEDOUT && n != -EINTR && n != -EAGAIN && !peer->ended)
			FAULT("RECV", n, 0);
		if (last && n <= 0)
			break;
		/* Nothing comes: maybe for want of the room that is hoarded here. */
		if (n <= 0 || !storming) {
			answer_late(&r, 0);
			give_all_back(&r);
		}
		while (n > 0)
			n = take(&r, offsets, n);
		answer_late(&r, LATE_MAX / 2);
	}
	ring_end();
	free(r.body);
	return NULL;
}
