// SPDX-License-Identifier: MIT
/*
 * What is tried with something failing in it: operations that a ring submits; see
 * trial.h. Only by fault points: a submission has allocations of its own.
 */
#include <string.h>

#include "ring.h"
#include "trial.h"

static struct io_uring ring;

static int begin(struct trial *t)
{
	dev_fill(t->body, 100, 100);
	memset(t->offsets, 0xff, sizeof(t->offsets));
	return ring_open(&ring, 8, RING_DEFER);
}

static int call_prepare(struct trial *t)
{
	t->call = ep_request(t->svc, t->body, 100);
	t->echoes = true;
	return begin(t) ?: echo_start(&t->echo, &t->server);
}

static int call_run(struct trial *t)
{
	int ret = ring_do(&ring, &t->client, SYMPHONY_IOC_CALL, &t->call);

	if (ret < 0)
		return ret;
	t->call.offset = ret;
	return 0;
}

static const char *call_verify(struct trial *t)
{
	const struct symphony_msg *msg = ep_msg(&t->client, t->call.offset);
	bool quiet = ring_is_quiet(&ring);

	io_uring_queue_exit(&ring);
	echo_stop(&t->echo);
	t->echoes = false;
	if (!quiet)
		return "a second completion";
	if (t->ret)
		return t->echo.served || t->call.id ? "an error, and there is a call" : NULL;
	if (t->echo.served != 1 || msg->body_len != 100 ||
	    !dev_filled(ep_body(msg), 100, 100))
		return "not the answer";
	return ep_release(&t->client, msg) ? "an answer cannot be released" : NULL;
}

static int call_files_prepare(struct trial *t)
{
	int ret = trial_files(t) ?: call_prepare(t);

	t->call.fds = (uintptr_t)t->fds;
	t->call.nr_fds = 3;
	return ret;
}

static int oneway_prepare(struct trial *t)
{
	t->call = (struct symphony_call){
		.size = sizeof(t->call),
		.flags = SYMPHONY_CALL_ONEWAY,
		.handle = t->svc,
		.body = (uintptr_t)t->body,
		.body_len = 100,
	};
	return begin(t);
}

static int oneway_run(struct trial *t)
{
	return ring_do(&ring, &t->client, SYMPHONY_IOC_SEND, &t->call);
}

static const char *oneway_verify(struct trial *t)
{
	const struct symphony_msg *msg = ep_next(&t->server, -1);

	io_uring_queue_exit(&ring);
	if (!msg != !!t->ret)
		return "not what it says";
	return msg && ep_release(&t->server, msg) ? "it cannot be released" : NULL;
}

static int recv_prepare(struct trial *t)
{
	t->recv = recv_to(t->offsets, 4);
	return begin(t);
}

/* Submit it: 0 when it waits. */
static int recv_begin(struct trial *t)
{
	int ret;

	if (!ring_put(&ring, &t->server, SYMPHONY_IOC_RECV, &t->recv, 0))
		return -EBUSY;
	ret = ring_submit(&ring);
	if (ret != 1)
		return ret;
	ret = ring_next(&ring, 0, NULL);
	return ret == -ETIME ? 0 : ret;
}

/* What it waits for comes when it is there. */
static int recv_run(struct trial *t)
{
	int ret = recv_begin(t);

	if (ret)
		return ret;
	ret = trial_send(t, t->svc, 10);
	if (ret)
		return ret;
	ret = ring_next(&ring, DEV_LONG, NULL);
	t->recv.nr = ret < 0 ? 0 : ret;
	return ret < 0 ? ret : 0;
}

static const char *answer_received(struct trial *t, __u32 nr)
{
	for (__u32 i = 0; i < nr; i++) {
		const struct symphony_msg *msg = ep_msg(&t->server, t->offsets[i]);

		if (ep_reply(&t->server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
			return "a message that cannot be answered";
	}
	return NULL;
}

static const char *recv_verify(struct trial *t)
{
	io_uring_queue_exit(&ring);
	if (!t->ret && t->recv.nr != 1)
		return "not what was sent";
	return answer_received(t, t->recv.nr);
}

static int reply_prepare(struct trial *t)
{
	int ret = begin(t);

	for (int i = 0; i < 3; i++)
		ret = ret ?: trial_send(t, t->svc, 10);
	t->msg = ep_next(&t->server, -1);
	if (!t->msg)
		return ret ?: -EPROTO;
	t->reply = (struct symphony_reply){
		.size = sizeof(t->reply),
		.flags = SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_RELEASE,
		.id = t->msg->id,
		.slot = ep_offset(&t->server, t->msg),
		.offsets = (uintptr_t)t->offsets,
		.max = 20,
	};
	return ret;
}

static int reply_run(struct trial *t)
{
	int ret = ring_do(&ring, &t->server, SYMPHONY_IOC_REPLY, &t->reply);

	t->reply.nr = ret < 0 ? 0 : ret;
	return ret < 0 ? ret : 0;
}

static const char *reply_verify(struct trial *t)
{
	int again = ep_reply_at(&t->server, t->reply.id, t->reply.slot, NULL, 0,
				SYMPHONY_REPLY_RELEASE);

	io_uring_queue_exit(&ring);
	if (!t->ret && again != -ESRCH)
		return "it was not answered";
	return answer_received(t, t->reply.nr);
}

/* One that is answered with files. */
static int reply_files_prepare(struct trial *t)
{
	int ret = trial_files(t) ?: begin(t) ?: trial_send(t, t->svc, 10);

	t->msg = ep_next(&t->server, -1);
	if (!t->msg)
		return ret ?: -EPROTO;
	t->reply = (struct symphony_reply){
		.size = sizeof(t->reply),
		.id = t->msg->id,
		.slot = ep_offset(&t->server, t->msg),
		.fds = (uintptr_t)t->fds,
		.nr_fds = 3,
	};
	return ret;
}

static const char *reply_files_verify(struct trial *t)
{
	int again = ep_reply(&t->server, t->msg, NULL, 0, SYMPHONY_REPLY_RELEASE);
	const struct symphony_msg *msg = ep_next(&t->client, -1);

	io_uring_queue_exit(&ring);
	if (t->ret ? again : again != -ESRCH || ep_release(&t->server, t->msg))
		return "not what it says";
	if (!msg || msg->type != SYMPHONY_MSG_REPLY || msg->nr_fds != (t->ret ? 0 : 3))
		return "not the answer";
	t->owed--;
	return (t->ret ? NULL : trial_claimed(t, &t->client, msg, false)) ?:
		(ep_release(&t->client, msg) ? "an answer cannot be released" : NULL);
}

/* A message with files comes when a RECV waits for it, and they are claimed. */
static int fds_prepare(struct trial *t)
{
	int ret = trial_files(t) ?: recv_prepare(t);

	t->call = ep_request(t->svc, t->body, 10);
	t->call.fds = (uintptr_t)t->fds;
	t->call.nr_fds = 3;
	return ret;
}

static int fds_run(struct trial *t)
{
	int ret = recv_begin(t);

	if (ret)
		return ret;
	ret = ep_send(&t->client, &t->call);
	if (ret)
		return ret;
	t->owed++;
	ret = ring_next(&ring, DEV_LONG, NULL);
	if (ret < 0)
		return ret;
	t->msg = ep_msg(&t->server, t->offsets[0]);
	return trial_claim(t, &t->server, t->msg);
}

static const char *fds_verify(struct trial *t)
{
	const char *wrong = NULL;

	io_uring_queue_exit(&ring);
	if (!t->msg)
		return t->ret ? NULL : "there is no message";
	wrong = trial_claimed(t, &t->server, t->msg, !t->ret);
	return wrong ?: answer_received(t, 1);
}

#define OP(n, ...)	{ .name = n, __VA_ARGS__ }

const struct operation ring_operations[] = {
	OP("CALL, over a ring", .flags = TRIAL_POINTS, .prepare = call_prepare,
	   .run = call_run, .verify = call_verify),
	OP("CALL, with files, over a ring", .flags = TRIAL_POINTS,
	   .prepare = call_files_prepare, .run = call_run, .verify = call_verify),
	OP("SEND, one way, over a ring", .flags = TRIAL_POINTS,
	   .prepare = oneway_prepare, .run = oneway_run, .verify = oneway_verify),
	OP("RECV, over a ring", .flags = TRIAL_POINTS | TRIAL_LATE,
	   .prepare = recv_prepare, .run = recv_run, .verify = recv_verify),
	OP("REPLY and RECV, over a ring", .flags = TRIAL_POINTS | TRIAL_LATE,
	   .prepare = reply_prepare, .run = reply_run, .verify = reply_verify),
	OP("REPLY, with files, over a ring", .flags = TRIAL_POINTS,
	   .prepare = reply_files_prepare, .run = reply_run,
	   .verify = reply_files_verify),
	OP("RECV over a ring, and FDS", .flags = TRIAL_POINTS | TRIAL_LATE,
	   .prepare = fds_prepare, .run = fds_run, .verify = fds_verify,
	   .error = -EMFILE),
	{}
};
