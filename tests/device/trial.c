// SPDX-License-Identifier: MIT
/* Trials; see trial.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/symphony_bpf.h>

#include "gate.skel.h"
#include "told.h"
#include "trial.h"

#define TRY(expression)							\
do {									\
	int ret_ = (expression);					\
									\
	if (ret_)							\
		return ret_;						\
} while (0)

int trial_begin(struct trial *t, const struct operation *op)
{
	*t = (struct trial){
		.server.fd = -1, .client.fd = -1, .other.fd = -1, .sink.fd = -1,
		.file = -1, .link = -1, .body = calloc(1, MIB),
	};
	if (!(op->flags & TRIAL_BARE)) {
		TRY(ep_join(&t->sink, SYMPHONY_POOL_MIN));
		TRY(ep_join(&t->server, SYMPHONY_POOL_MIN));
		TRY(ep_join(&t->client, SYMPHONY_POOL_MIN));
		TRY(ep_join(&t->other, SYMPHONY_POOL_MIN));
		TRY(ep_claim(&t->sink, "sink", &t->sink_svc));
		TRY(ep_claim(&t->server, "svc", &t->svc));
	}
	return op->prepare ? op->prepare(t) : 0;
}

int trial_files(struct trial *t)
{
	t->file = memfd_create("trial", MFD_CLOEXEC);
	for (int i = 0; i < 3; i++)
		t->fds[i] = t->file;
	return t->file < 0 ? -errno : 0;
}

int trial_claim(struct trial *t, struct ep *ep, const struct symphony_msg *msg)
{
	struct symphony_fds fds = {
		.size = sizeof(fds), .id = msg->id, .offset = ep_offset(ep, msg), .nr = 3,
		.fds = (uintptr_t)(t->fds + 3),
	};

	return msg->nr_fds == 3 ? dev_ioctl(ep->fd, SYMPHONY_IOC_FDS, &fds) : -EPROTO;
}

const char *trial_claimed(struct trial *t, struct ep *ep, const struct symphony_msg *msg,
			  bool before)
{
	int ret = before ? 0 : trial_claim(t, ep, msg);

	for (int i = 0; i < 3 && !ret; i++)
		if (close(t->fds[3 + i]))
			return "a file that is not open";
	return ret || trial_claim(t, ep, msg) != -ENOENT ?
		"files are lost, or there twice" : NULL;
}

int trial_send(struct trial *t, __u64 svc, __u32 len)
{
	struct symphony_call call = ep_request(svc, t->body, len);
	int ret;

	call.deadline = 0;
	call.reply_max = 1;
	ret = ep_send(&t->client, &call);
	t->owed += !ret;
	return ret;
}

/* Deal with the next message of @ep, if there is one. */
static const char *take_one(struct trial *t, struct ep *ep, bool *got)
{
	const struct symphony_msg *msg;
	int ret;

	if (ep->fd < 0)
		return NULL;
	msg = ep_next(ep, -1);
	if (!msg)
		return errno == EAGAIN ? NULL : "RECV does not work";
	*got = true;
	if (msg->type == SYMPHONY_MSG_CALL) {
		/* By then it can have been cancelled. */
		ret = ep_reply(ep, msg, NULL, 0, 0);
		if (ret && ret != -ESRCH)
			return "an answer is refused";
	} else if (msg->type == SYMPHONY_MSG_REPLY) {
		if (ep != &t->client || !t->owed--)
			return "an outcome that nobody waits for";
		t->answered += !msg->status;
		t->refused += !!msg->status;
	} else if (msg->type < TRIAL_NOTICES) {
		t->told[msg->type]++;
	}
	return ep_release(ep, msg) ? "a message cannot be released" : NULL;
}

const char *trial_settle(struct trial *t)
{
	struct ep *eps[] = { &t->server, &t->other, &t->sink, &t->client };
	__u64 until = dev_after(DEV_LONG);
	const char *wrong = NULL;
	bool got = true;

	while ((t->owed || got) && !wrong) {
		got = false;
		for (size_t i = 0; i < ARRAY_SIZE(eps) && !wrong; i++)
			wrong = take_one(t, eps[i], &got);
		if (!got && t->owed) {
			if (dev_now() > until)
				return "a call has no outcome";
			dev_nap(1);
		}
	}
	return wrong;
}

void trial_scour(struct ep *ep)
{
	for (__u32 at = 0; ep->fd >= 0 && ep->pool && at < ep->size;
	     at += SYMPHONY_POOL_ALIGN) {
		const struct symphony_msg *msg = ep_msg(ep, at);

		if (msg->type == SYMPHONY_MSG_CALL && msg->id)
			ep_reply_at(ep, msg->id, at, NULL, 0, 0);
		ep_release_at(ep, at);
	}
}

/*
 * Two requests that are together as much as one sender may have of a pool of which
 * nothing is in use: a granule of it less, or a sender more, and there is no room.
 * They arrive, and so do their answers.
 */
static const char *can_call(struct ep *from, struct ep *to)
{
	static int names;
	static unsigned char body[MIB];
	__u32 half = to->size / 2, part = to->size / 32;
	__u32 len[] = { part - SYMPHONY_POOL_ALIGN, half - part - SYMPHONY_POOL_ALIGN };
	const struct symphony_msg *msg;
	struct symphony_call call;
	char name[32];
	__u64 svc;

	snprintf(name, sizeof(name), "sound-%d", ++names);
	if (ep_claim(to, name, &svc))
		return "CLAIM does not work";
	for (int i = 0; i < 2; i++) {
		dev_fill(body, len[i], names + i);
		call = ep_request(svc, body, len[i]);
		call.cookie = i;
		switch (ep_send(from, &call)) {
		case 0:
			break;
		case -EAGAIN:
			return call.limit == SYMPHONY_LIMIT_QUEUE ?
				"something is left on the lane" :
				"something is left in the pool";
		case -EDQUOT:
			return "a call that is no more still counts";
		default:
			return "SEND does not work";
		}
	}
	for (int i = 0; i < 2; i++) {
		msg = ep_next(to, -1);
		if (!msg || msg->type != SYMPHONY_MSG_CALL || msg->body_len != len[i] ||
		    !dev_filled(ep_body(msg), len[i], names + i))
			return "a request did not arrive";
		if (ep_reply(to, msg, "answer", 6, SYMPHONY_REPLY_RELEASE))
			return "REPLY does not work";
	}
	for (int i = 0; i < 2; i++) {
		msg = ep_next(from, -1);
		if (!msg || msg->type != SYMPHONY_MSG_REPLY || msg->status ||
		    msg->cookie != i || msg->body_len != 6 ||
		    memcmp(ep_body(msg), "answer", 6))
			return "an answer did not arrive";
		if (ep_release(from, msg))
			return "RELEASE does not work";
	}
	return ep_unclaim(to, svc) ? "UNCLAIM does not work" : NULL;
}

const char *trial_is_sound(struct trial *t)
{
	struct ep *pairs[][2] = {
		{ &t->client, &t->server }, { &t->server, &t->client },
		{ &t->client, &t->other }, { &t->other, &t->server },
		{ &t->sink, &t->client }, { &t->sink, &t->other },
	};
	long calls = dev_param("calls_max", 2), queue = dev_param("queue_max", 2);
	const char *wrong = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(pairs) && !wrong; i++)
		if (pairs[i][0]->fd >= 0 && pairs[i][1]->fd >= 0)
			wrong = can_call(pairs[i][0], pairs[i][1]);
	dev_param("calls_max", calls);
	dev_param("queue_max", queue);
	return wrong;
}

int trial_limit(struct trial *t, const char *limit)
{
	long was = dev_param(limit, 0);

	if (was < 0)
		return was;
	t->limit = limit;
	t->limit_was = was;
	return syscall(SYS_setresuid, -1, 1000, -1) ? -errno : 0;
}

void trial_unlimit(struct trial *t)
{
	if (!t->limit)
		return;
	syscall(SYS_setresuid, -1, 0, -1);
	dev_param(t->limit, t->limit_was);
	t->limit = NULL;
}

void trial_end(struct trial *t)
{
	trial_unlimit(t);
	ep_close(&t->client);
	ep_close(&t->server);
	ep_close(&t->other);
	ep_close(&t->sink);
	if (t->file >= 0)
		close(t->file);
	told_close(t->netlink);
	if (t->link >= 0)
		close(t->link);
	gate__destroy(t->gates[0]);
	gate__destroy(t->gates[1]);
	free(t->body);
}

bool trial_same_use(const struct symphony_query *a, const struct symphony_query *b,
		    bool calls)
{
	struct symphony_query x = *a, y = *b;

	/*
	 * A lot of calls stays charged as long as the endpoint lives, and so does the
	 * record of it at another one.
	 */
	if (!calls) {
		x.user_calls.used = y.user_calls.used = 0;
		x.user_records.used = y.user_records.used = 0;
	}
	return !memcmp(&x, &y, sizeof(x));
}
