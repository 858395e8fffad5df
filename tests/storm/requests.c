// SPDX-License-Identifier: MIT
/* The calls of a peer: CALL, SEND, what interrupts them, CANCEL. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "peer.h"

#define BODY_MAX	30000

/*
 * A body in memory whose pages the dice take away before the kernel reads it: it
 * has to fault them in again.
 */
static unsigned char *body_of(void)
{
	static __thread unsigned char *body;
	int fd;

	if (body)
		return body;
	fd = memfd_create("body", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, BODY_MAX + 4096))
		_exit(3);
	body = mmap(NULL, BODY_MAX + 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (body == MAP_FAILED)
		_exit(3);
	close(fd);
	return body;
}

static __u32 request_len(struct dice *dice)
{
	__u32 len = 8 + roll(dice, 700);

	return once(dice, 40) ? len + roll(dice, BODY_MAX - 708) : len;
}

static __u64 deadline_of(struct dice *dice, bool *none)
{
	*none = false;
	switch (roll(dice, 8)) {
	case 0 ... 1:
		*none = true;
		return 0;
	case 2:		/* hardly possible */
		return dev_now() + roll(dice, 300) * 1000ULL * storm->slow;
	case 3:
		return dev_after(1 + roll(dice, 5) * storm->slow);
	default:
		return dev_after((20 + roll(dice, 400)) * storm->slow);
	}
}

/* The body of @call in pieces, of which one can be empty. */
static void cut(struct symphony_call *call, struct dice *dice)
{
	static __thread struct symphony_piece pieces[4];
	__u32 at = 0, nr = 1 + roll(dice, 4);

	for (__u32 i = 0; i < nr; i++) {
		__u32 left = call->body_len - at, len = i + 1 < nr ? roll(dice, left + 1) : left;

		pieces[i] = (struct symphony_piece){ call->body + at, len };
		at += len;
	}
	call->flags |= SYMPHONY_CALL_VECTOR;
	call->body = (uintptr_t)pieces;
	call->body_len = nr;
}

static __thread struct parcel parcel;

static int service_of(struct dice *dice, __u32 flags)
{
	if (flags & F_ONEWAY && once(dice, 2))
		return USERS + roll(dice, USERS);
	return roll(dice, SERVICES);
}

struct symphony_call request_make(struct ep *ep, __u64 tag, struct dice *dice,
				  __u64 *handles, __u32 flags, const struct symphony_msg *parent)
{
	unsigned char *body = body_of();
	int service = service_of(dice, flags);
	__u32 len = request_len(dice);
	struct record made = { .type = R_MADE, .tag = tag, .len = len, .own = ep->id,
			       .id = service, .flags = flags };
	struct symphony_call call;
	bool none;

	memcpy(body, &tag, 8);
	body_fill(body + 8, len - 8, tag);
	made.hash = body_hash(body, len);
	if (once(dice, 8))
		madvise(body, BODY_MAX + 4096, MADV_DONTNEED);
	if (!handles[service]) {
		char name[8];

		service_name(service, name);
		ep_resolve(ep, name, &handles[service]);
	}
	call = (struct symphony_call){
		.size = sizeof(call), .handle = handles[service], .body = (uintptr_t)body,
		.body_len = len, .method = tag ^ GOOD, .key = tag, .cookie = tag,
		.deadline = deadline_of(dice, &none),
		.reply_max = once(dice, 8) ? roll(dice, 16000) : 1 + roll(dice, 1000),
	};
	if (flags & F_ONEWAY) {
		call.flags |= SYMPHONY_CALL_ONEWAY;
		call.reply_max = 0;
	} else if (once(dice, 2)) {
		call.flags |= SYMPHONY_CALL_IDEMPOTENT;
		if (service_flags(service) & SYMPHONY_CLAIM_REISSUE)
			made.flags |= F_TWICE;
	}
	if (parent) {
		call.parent = parent->id;
		call.parent_slot = ep_offset(ep, parent);
		/* How deep a chain is, so that it ends. */
		call.content_type = parent->content_type + 1;
		made.flags |= F_PARENT;
		made.aux = parent->key;
		if (none)
			call.deadline = dev_after(100 * storm->slow);
		none = false;
	}
	if (!none)
		made.flags |= F_DEADLINE;
	if (flags & F_SEND && once(dice, 2)) {
		call.flags |= SYMPHONY_CALL_NOTIFY;
		made.flags |= F_ROOM;
	} else if (!(flags & F_SEND) && once(dice, 8)) {
		call.flags |= SYMPHONY_CALL_DONTWAIT;
	}
	if (once(dice, 6))
		cut(&call, dice);
	parcel_pack(&parcel, tag, ep->id, dice);
	call.fds = (uintptr_t)parcel.fds;
	call.nr_fds = made.files = parcel.nr;
	log_write(made);
	return call;
}

void request_is_made(void)
{
	parcel_drop(&parcel);
}

static bool is_refusal(int err)
{
	switch (-err) {
	case ENOENT: case ECONNREFUSED: case EMSGSIZE: case EAGAIN: case ENOBUFS:
	case EDQUOT: case ETIME: case ESRCH: case EINTR:
		return true;
	}
	return false;
}

void request_refused(struct ep *ep, __u64 tag, int err)
{
	log_write((struct record){ .type = R_REFUSED, .tag = tag, .err = err, .own = ep->id });
	if (!is_refusal(err))
		FAULT("a call was refused", err, tag);
}

int request_send(struct ep *ep, __u64 tag, struct dice *dice, __u64 *handles,
		 __u32 flags, struct symphony_call *call)
{
	struct symphony_send_batch batch = {
		.size = sizeof(batch), .calls = (uintptr_t)call, .stride = sizeof(*call), .nr = 1,
	};
	int ret;

	*call = request_make(ep, tag, dice, handles, F_SEND | flags, NULL);
	if (once(dice, 3)) {
		ret = ring_once(ep, SYMPHONY_IOC_SEND_BATCH, &batch, dice);
		if (!ret && batch.nr != 1)
			FAULT("a batch of nothing was made", batch.nr, tag);
	} else {
		ret = ring_once(ep, SYMPHONY_IOC_SEND, call, dice);
	}
	request_is_made();
	if (!ret)
		log_write((struct record){ .type = R_SENT, .tag = tag, .id = call->id,
					   .own = ep->id });
	return ret;
}

void request_cancel(struct peer *peer, __u64 id, __u32 slot)
{
	int ret;

	log_write((struct record){ .type = R_CANCELLING, .id = id, .own = peer->ep.id });
	ret = ep_cancel(&peer->ep, id, slot);
	if (ret && ret != -EALREADY && ret != -ESRCH && !peer->ended)
		FAULT("CANCEL", ret, id);
	log_write((struct record){ .type = R_CANCEL, .id = id, .err = ret,
				   .own = peer->ep.id });
}

void request_outcome(struct peer *peer, __u64 tag, struct symphony_call *call)
{
	struct record record = { .type = R_OUTCOME, .tag = tag, .id = call->id,
				 .err = call->status, .own = peer->ep.id };
	const struct symphony_msg *msg;
	struct dice dice;

	if (call->status) {
		if (call->offset != SYMPHONY_NO_OFFSET && !peer->ended)
			FAULT("a message with an outcome of the kernel's", call->status, tag);
		record.len = call->needed;
		log_write(record);
		storm->outcomes++;
		return;
	}
	if (call->offset >= peer->ep.size) {
		FAULT("an outcome outside the pool", call->offset, tag);
		return;
	}
	msg = ep_msg(&peer->ep, call->offset);
	record.id = msg->id;
	record.len = msg->body_len;
	record.ep = msg->sender;
	record.flags = msg->flags & SYMPHONY_MSG_ERROR ? F_ERROR : 0;
	record.files = msg->nr_fds;
	if (record.len <= peer->ep.size - call->offset - sizeof(*msg))
		record.hash = body_hash(ep_body(msg), record.len);
	/* What was read is good if the pool was still there then. */
	if (peer->ended)
		return;
	log_write(record);
	storm->outcomes++;
	dice = dice_of(storm->seed, tag, 3);
	parcel_claim(peer, msg, tag, F_ANSWER, &dice);
	if (ep_release_at(&peer->ep, call->offset) && !peer->ended)
		FAULT("RELEASE of an answer", call->offset, tag);
}

/* As often as it is interrupted, by any of the ways to go on. */
static int call_to_the_end(struct requester *r, struct dice *dice)
{
	struct symphony_call *call = (struct symphony_call *)&r->call;
	struct ep *ep = &r->peer->ep;
	int ret = ep_call(ep, call);

	while (ret == -EINTR && call->id) {
		switch (roll(dice, 4)) {
		case 0:
			request_cancel(r->peer, call->id, call->slot);
			/* fallthrough */
		case 1:
			ret = ep_wait(ep, call, 0);
			break;
		case 2:
			ret = ep_wait(ep, call, SYMPHONY_WAIT_DONTWAIT);
			if (ret == -EAGAIN)
				ret = -EINTR;
			break;
		default:
			ret = ep_call(ep, call);
		}
		if (ret && ret != -EINTR) {
			if (!r->peer->ended)
				FAULT("an interrupted call", ret, call->cookie);
			return -ENOTTY;
		}
	}
	return ret;
}

static void make_call(struct requester *r, __u64 tag, struct dice *dice)
{
	struct peer *peer = r->peer;
	struct symphony_call *call = (struct symphony_call *)&r->call;
	int ret;

	*call = request_make(&peer->ep, tag, dice, peer->handles, 0, NULL);
	ret = call_to_the_end(r, dice);
	request_is_made();
	/* An endpoint that was given up: nothing that it says is a refusal. */
	if (!ret)
		request_outcome(peer, tag, call);
	else if (!peer->ended)
		request_refused(&peer->ep, tag, ret);
	call->id = 0;
}

static void make_send(struct requester *r, __u64 tag, struct dice *dice,
		      struct symphony_call *last)
{
	struct peer *peer = r->peer;
	int ret;

	peer->pending++;
	ret = request_send(&peer->ep, tag, dice, peer->handles, 0, last);
	if (!ret)
		return;
	peer->pending--;
	last->id = 0;
	if (!peer->ended)
		request_refused(&peer->ep, tag, ret);
	if (ret == -EAGAIN && once(dice, 2))
		dev_nap(roll(dice, 3));
}

static void make_oneway(struct requester *r, __u64 tag, struct dice *dice)
{
	struct peer *peer = r->peer;
	struct symphony_call call;
	int ret = request_send(&peer->ep, tag, dice, peer->handles, F_ONEWAY, &call);

	if (ret && !peer->ended)
		request_refused(&peer->ep, tag, ret);
	else if (!ret && call.slot != SYMPHONY_NO_OFFSET)
		FAULT("a one-way message with a slot", call.slot, tag);
}

#define RECENT	8

void *requester_main(void *arg)
{
	struct requester *r = arg;
	struct peer *peer = r->peer;
	__u32 who = who_is(peer->slot, peer->life, THREAD_REQUESTER + r->index);
	struct symphony_call recent[RECENT] = {};
	int most = peer->floods ? 1500 : 40;

	log_begin(who);
	for (__u64 nr = 1; storm->phase == STORMING && !peer->ended; nr++) {
		struct dice dice = dice_of(storm->seed, who, nr);
		__u64 tag = (__u64)who << 32 | nr;
		struct symphony_call *at = &recent[roll(&dice, RECENT)];

		if (once(&dice, 32))
			jostle(&dice);
		if (at->id && once(&dice, 8))
			request_cancel(peer, at->id, at->slot);
		if (once(&dice, 6))
			make_oneway(r, tag, &dice);
		else if (once(&dice, 3) && peer->pending < most)
			make_send(r, tag, &dice, at);
		else if (once(&dice, 4) && storm->rings)
			ring_calls(r, tag, &dice);
		else
			make_call(r, tag, &dice);
		if (once(&dice, 24))
			dev_nap(roll(&dice, 4));
	}
	ring_end();
	peer->requesting--;
	return NULL;
}
