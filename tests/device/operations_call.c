// SPDX-License-Identifier: MIT
/* What is tried with something failing in it: calls and messages; see trial.h. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trial.h"

#define LARGE	(200U << 10)	/* more than is copied at once */

/* --- CALL and SEND --- */

static int call_is(struct trial *t, __u32 len)
{
	dev_fill(t->body, len, len);
	t->call = ep_request(t->svc, t->body, len);
	t->call.cookie = 77;
	t->call.key = len;
	return 0;
}

static int call_prepare(struct trial *t)
{
	t->echoes = true;
	return call_is(t, 100) ?: echo_start(&t->echo, &t->server);
}

/* Two larger endpoints in the place of @client and @server. */
static int be_larger(struct trial *t)
{
	ep_close(&t->client);
	ep_close(&t->server);
	return ep_join(&t->client, MIB) ?: ep_join(&t->server, MIB) ?:
		ep_claim(&t->server, "svc", &t->svc);
}

static int call_large_prepare(struct trial *t)
{
	int ret = be_larger(t) ?: call_prepare(t) ?: call_is(t, LARGE);

	t->call.reply_max = LARGE;
	return ret;
}

static int call_absent_prepare(struct trial *t)
{
	int ret = call_prepare(t);

	/* Two pages that are not there yet: they are faulted in, as zeros. */
	t->msg = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t->call.body = (uintptr_t)t->msg + 4096 - 50;
	t->call.key = 0;
	return ret;
}

static const char *call_absent_done(struct trial *t)
{
	munmap((void *)t->msg, 8192);
	t->msg = NULL;
	return NULL;
}

/* The body is the same, in three pieces, which stand behind it. */
static int in_pieces(struct trial *t, __u64 *body, __u32 *len)
{
	struct symphony_piece *pieces = (void *)(t->body + (LARGE & ~7U));

	for (int i = 0; i < 3; i++)
		pieces[i] = (struct symphony_piece){
			.address = *body + i * (*len / 3),
			.len = i < 2 ? *len / 3 : *len - 2 * (*len / 3),
		};
	*body = (uintptr_t)pieces;
	*len = 3;
	return 0;
}

static int call_pieces_prepare(struct trial *t)
{
	int ret = call_prepare(t);

	t->call.flags |= SYMPHONY_CALL_VECTOR;
	return ret ?: in_pieces(t, &t->call.body, &t->call.body_len);
}

static int call_absent_pieces_prepare(struct trial *t)
{
	int ret = call_absent_prepare(t);

	t->call.flags |= SYMPHONY_CALL_VECTOR;
	return ret ?: in_pieces(t, &t->call.body, &t->call.body_len);
}

static int call_released_prepare(struct trial *t)
{
	int ret = 0;

	/* Two answers that the CALL gives back first. */
	for (int i = 0; i < 2 && !ret; i++) {
		struct symphony_call call = ep_request(t->svc, "x", 1);
		const struct symphony_msg *msg;

		ret = ep_send(&t->client, &call);
		if (!ret && ep_serve(&t->server) < 0)
			ret = -EPROTO;
		msg = ep_next(&t->client, -1);
		if (!ret && !msg)
			ret = -EPROTO;
		if (!ret)
			t->offsets[i] = ep_offset(&t->client, msg);
	}
	ret = ret ?: call_prepare(t);
	t->call.release = (uintptr_t)t->offsets;
	t->call.nr_release = 2;
	return ret;
}

static int call_run(struct trial *t)
{
	return ep_call(&t->client, &t->call);
}

static const char *no_call(struct trial *t)
{
	/* Nothing stands for a call that was not made. */
	if (t->call.id && ep_cancel(&t->client, t->call.id, t->call.slot) != -ESRCH)
		return "an error, and there is a call";
	return NULL;
}

static const char *call_verify(struct trial *t)
{
	const struct symphony_msg *msg;
	int served;

	echo_stop(&t->echo);
	t->echoes = false;
	served = t->echo.served;
	if (t->ret) {
		if (served && (t->strict || t->ret != -EFAULT))
			return "an error, and the call was served";
		return no_call(t);
	}
	if (t->call.status || t->call.offset == SYMPHONY_NO_OFFSET)
		return "no answer";
	msg = ep_msg(&t->client, t->call.offset);
	if (t->call.flags & SYMPHONY_CALL_VECTOR)
		t->call.body_len = 100;
	if (served != 1 || msg->body_len != t->call.body_len ||
	    (t->call.key && !dev_filled(ep_body(msg), msg->body_len, t->call.key)))
		return "not the answer";
	if (ep_release(&t->client, msg))
		return "an answer cannot be released";
	return NULL;
}

static const char *call_absent_verify(struct trial *t)
{
	return call_absent_done(t) ?: call_verify(t);
}

static int call_refused_prepare(struct trial *t)
{
	call_is(t, 100);
	t->call.reply_max = SYMPHONY_POOL_MIN;
	return 0;
}

static const char *call_refused_verify(struct trial *t)
{
	if (t->ret == -EMSGSIZE && t->call.limit != SYMPHONY_LIMIT_REPLY)
		return "the wrong limit";
	return no_call(t);
}

/* An outcome that the kernel makes, of a call with nobody to serve it. */
static int call_late_prepare(struct trial *t)
{
	call_is(t, 100);
	t->call.deadline = dev_after(DEV_BEAT);
	return 0;
}

static const char *call_late_verify(struct trial *t)
{
	if (!t->ret && (t->call.status != -ETIME ||
		     t->call.offset != SYMPHONY_NO_OFFSET))
		return "not the outcome";
	return t->ret ? no_call(t) : NULL;
}

/* A CALL that a signal interrupted; it stands, and was answered. */
static int interrupted_prepare(struct trial *t)
{
	int ret = call_is(t, 100);

	dev_on_usr1(0);
	ret = ret ?: caller_start(&t->caller, &t->client, t->call);
	if (!ret && !caller_is_in(&t->caller))
		ret = -EPROTO;
	ret = ret ?: caller_interrupt(&t->caller);
	if (!ret && t->caller.ret != -EINTR)
		ret = -EPROTO;
	t->call.id = t->caller.call.id;
	t->call.slot = t->caller.call.slot;
	if (!ret && ep_serve(&t->server) < 0)
		ret = -EPROTO;
	t->wait = (struct symphony_wait){
		.size = sizeof(t->wait), .id = t->call.id, .slot = t->call.slot,
	};
	return ret;
}

static int wait_run(struct trial *t)
{
	return dev_ioctl(t->client.fd, SYMPHONY_IOC_WAIT, &t->wait);
}

/* The outcome is fetched once. An error before that leaves it. */
static const char *wait_verify(struct trial *t)
{
	struct symphony_call call = t->call;

	if (t->ret) {
		int ret = ep_wait(&t->client, &call, SYMPHONY_WAIT_DONTWAIT);

		if (ret && (t->strict || ret != -ESRCH))
			return "the outcome is neither there nor fetched";
	}
	if (ep_wait(&t->client, &call, SYMPHONY_WAIT_DONTWAIT) != -ESRCH)
		return "the outcome can be fetched again";
	/* The answer is in its slot, also for who was not told so. */
	return ep_release_at(&t->client, t->call.slot) ? "no answer" : NULL;
}

static int send_prepare(struct trial *t)
{
	return call_is(t, 100);
}

static int send_later_prepare(struct trial *t)
{
	return trial_send(t, t->svc, 1) ?: call_is(t, 100);
}

static int send_notify_prepare(struct trial *t)
{
	int ret;

	/* Until there is no room. */
	do
		ret = trial_send(t, t->svc, TRIAL_LARGEST / 4);
	while (!ret);
	call_is(t, TRIAL_LARGEST / 4);
	t->call.flags = SYMPHONY_CALL_NOTIFY;
	return ret == -EAGAIN ? 0 : ret;
}

static const char *send_notify_verify(struct trial *t)
{
	const char *wrong = trial_settle(t);
	__u64 until = dev_after(t->ret == -EAGAIN ? DEV_LONG : DEV_BEAT);

	/* Told once, or not at all if that was not promised: EFAULT can mean both. */
	while (!wrong && !t->told[SYMPHONY_MSG_ROOM] && dev_now() < until)
		wrong = trial_settle(t);
	if (t->ret == -EAGAIN && t->told[SYMPHONY_MSG_ROOM] != 1)
		return wrong ?: "room is not told";
	if (t->ret == -EAGAIN && t->call.limit != SYMPHONY_LIMIT_SHARE)
		return wrong ?: "the wrong limit";
	return wrong ?: no_call(t);
}

static int send_parked_prepare(struct trial *t)
{
	int ret = ep_unclaim(&t->server, t->svc);

	ret = ret ?: ep_claim_with(&t->server, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0, &t->svc);
	return ret ?: call_is(t, 100);
}

/* For a request that @client, as a server, has received. */
static int send_child_prepare(struct trial *t)
{
	struct symphony_call call;
	__u64 svc;
	int ret = ep_claim(&t->client, "parent", &svc);

	call = ep_request(svc, "x", 1);
	ret = ret ?: ep_send(&t->other, &call);
	t->msg = ep_next(&t->client, -1);
	if (!ret && !t->msg)
		ret = -errno;
	call_is(t, 100);
	t->call.flags = SYMPHONY_CALL_IDEMPOTENT;
	t->call.parent = t->msg ? t->msg->id : 0;
	t->call.parent_slot = t->msg ? ep_offset(&t->client, t->msg) : 0;
	return ret;
}

static int send_files_prepare(struct trial *t)
{
	int ret = trial_files(t) ?: call_is(t, 100);

	t->call.fds = (uintptr_t)t->fds;
	t->call.nr_fds = 3;
	return ret;
}

static int send_run(struct trial *t)
{
	int ret = ep_send(&t->client, &t->call);

	t->owed += !ret;
	return ret;
}

/* Three, of which fewer can be made: which were, their ids say. */
static int send_batch_run(struct trial *t)
{
	struct symphony_call calls[3] = { t->call, t->call, t->call };
	struct symphony_send_batch batch = {
		.size = sizeof(batch), .calls = (uintptr_t)calls,
		.stride = sizeof(calls[0]), .nr = 3,
	};
	int ret = dev_ioctl(t->client.fd, SYMPHONY_IOC_SEND_BATCH, &batch);

	for (int i = 0; i < 3; i++)
		t->owed += !!calls[i].id;
	t->call = calls[0];
	return ret;
}

static const char *send_verify(struct trial *t)
{
	return t->ret ? no_call(t) : t->call.id ? NULL : "a call without an id";
}

/* After an error the first can have been made. */
static const char *send_batch_verify(struct trial *t)
{
	return t->ret || t->call.id ? NULL : "a call without an id";
}

/* Who held it serves it, if it was made. */
static const char *send_parked_verify(struct trial *t)
{
	__u64 svc;

	return send_verify(t) ?:
		(ep_claim(&t->other, "svc", &svc) ? "CLAIM does not work" : NULL);
}

/* The parent can be answered; its caller hears of it. */
static const char *send_child_verify(struct trial *t)
{
	const char *wrong = send_verify(t);
	const struct symphony_msg *msg;

	if (ep_reply(&t->client, t->msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
		return wrong ?: "the parent cannot be answered";
	msg = ep_next(&t->other, DEV_LONG);
	if (!msg || ep_release(&t->other, msg))
		return wrong ?: "the parent has no outcome";
	return wrong;
}

static int cancel_prepare(struct trial *t)
{
	int ret = call_is(t, 100) ?: send_run(t);

	t->wait = (struct symphony_wait){
		.size = sizeof(t->wait), .id = t->call.id, .slot = t->call.slot,
	};
	return ret;
}

static int cancel_received_prepare(struct trial *t)
{
	int ret = ep_unclaim(&t->server, t->svc);

	ret = ret ?: ep_claim_with(&t->server, "svc", SYMPHONY_CLAIM_NOTIFY, 0, &t->svc);
	ret = ret ?: cancel_prepare(t);
	t->msg = ep_next(&t->server, -1);
	return ret ?: t->msg ? 0 : -errno;
}

static int cancel_run(struct trial *t)
{
	return dev_ioctl(t->client.fd, SYMPHONY_IOC_CANCEL, &t->wait);
}

static const char *cancel_verify(struct trial *t)
{
	const char *wrong;

	if (ep_cancel(&t->client, t->call.id, t->call.slot) != (t->ret ? 0 : -EALREADY))
		return "CANCEL is not what it says";
	if (t->msg && ep_release(&t->server, t->msg))
		return "a request cannot be released";
	wrong = trial_settle(t);
	if (!wrong && t->msg && t->told[SYMPHONY_MSG_CANCELLED] != 1)
		return "nobody told the server";
	return wrong ?: t->refused == 1 ? NULL : "not the outcome";
}

/* --- RECV, REPLY, RELEASE --- */

static int recv_is(struct trial *t, __u32 max)
{
	memset(t->offsets, 0xff, sizeof(t->offsets));
	t->recv = (struct symphony_recv){
		.size = sizeof(t->recv), .max = max,
		.offsets = (uintptr_t)t->offsets,
	};
	return 0;
}

static int recv_one_prepare(struct trial *t)
{
	return recv_is(t, 1) ?: trial_send(t, t->svc, 10);
}

static int recv_many_prepare(struct trial *t)
{
	int ret = recv_is(t, 20);

	for (int i = 0; i < 20; i++)
		ret = ret ?: trial_send(t, t->svc, 10);
	return ret;
}

static int recv_none_prepare(struct trial *t)
{
	recv_is(t, 4);
	t->recv.flags = SYMPHONY_RECV_DONTWAIT;
	return 0;
}

static int recv_late_prepare(struct trial *t)
{
	recv_is(t, 4);
	t->recv.deadline = dev_after(20);
	return 0;
}

/* Two requests that were answered and not released. */
static int two_held(struct trial *t, __u32 *offsets)
{
	int ret = 0;

	for (int i = 0; i < 2 && !ret; i++) {
		const struct symphony_msg *msg;

		ret = trial_send(t, t->svc, 10);
		msg = ret ? NULL : ep_next(&t->server, -1);
		if (!msg)
			return ret ?: -EPROTO;
		offsets[i] = ep_offset(&t->server, msg);
		ret = ep_reply(&t->server, msg, NULL, 0, 0);
	}
	return ret;
}

static int recv_released_prepare(struct trial *t)
{
	int ret = recv_is(t, 4) ?: two_held(t, t->offsets + 32);

	t->recv.release = (uintptr_t)(t->offsets + 32);
	t->recv.nr_release = 2;
	return ret ?: trial_send(t, t->svc, 10);
}

static int recv_run(struct trial *t)
{
	return dev_ioctl(t->server.fd, SYMPHONY_IOC_RECV, &t->recv);
}

/* What was received is answered; the rest is there to be received. */
static const char *recv_verify(struct trial *t)
{
	if (t->ret && t->recv.nr)
		return "an error with messages";
	for (__u32 i = 0; i < t->recv.nr; i++) {
		const struct symphony_msg *msg = ep_msg(&t->server, t->offsets[i]);

		if (ep_reply(&t->server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
			return "a message that cannot be answered";
	}
	return NULL;
}

static int reply_is(struct trial *t, __u32 len, __u32 flags)
{
	t->msg = ep_next(&t->server, -1);
	if (!t->msg)
		return -errno;
	dev_fill(t->body, len, len);
	t->reply = (struct symphony_reply){
		.size = sizeof(t->reply), .flags = flags, .id = t->msg->id,
		.slot = ep_offset(&t->server, t->msg), .body = (uintptr_t)t->body,
		.body_len = len, .offsets = flags & SYMPHONY_REPLY_RECV ?
			(uintptr_t)t->offsets : 0,
		.max = flags & SYMPHONY_REPLY_RECV ? 20 : 0,
	};
	return 0;
}

static int reply_prepare(struct trial *t)
{
	return call_is(t, 10) ?: send_run(t) ?: reply_is(t, 100, 0);
}

static int reply_error_prepare(struct trial *t)
{
	return call_is(t, 10) ?: send_run(t) ?:
		reply_is(t, 100, SYMPHONY_REPLY_ERROR | SYMPHONY_REPLY_RELEASE);
}

static int reply_files_prepare(struct trial *t)
{
	int ret = trial_files(t) ?: reply_prepare(t);

	t->reply.fds = (uintptr_t)t->fds;
	t->reply.nr_fds = 3;
	return ret;
}

static int reply_files_refused_prepare(struct trial *t)
{
	return reply_files_prepare(t) ?: trial_limit(t, "user_files_max");
}

static int reply_pieces_prepare(struct trial *t)
{
	int ret = reply_files_prepare(t);

	t->reply.flags |= SYMPHONY_REPLY_VECTOR;
	return ret ?: in_pieces(t, &t->reply.body, &t->reply.body_len);
}

/* Larger than the room that the caller set aside: from a lane in its pool. */
static int reply_larger_prepare(struct trial *t)
{
	call_is(t, 10);
	t->call.reply_max = 1;
	return send_run(t) ?: reply_is(t, 5000, SYMPHONY_REPLY_RELEASE);
}

static int reply_large_prepare(struct trial *t)
{
	int ret = be_larger(t);

	call_is(t, 10);
	t->call.reply_max = LARGE;
	return ret ?: send_run(t) ?: reply_is(t, LARGE, SYMPHONY_REPLY_RELEASE);
}

static int reply_refused_prepare(struct trial *t)
{
	return call_is(t, 10) ?: send_run(t) ?: reply_is(t, SYMPHONY_POOL_MIN, 0);
}

static int reply_released_prepare(struct trial *t)
{
	int ret = two_held(t, t->offsets) ?: reply_prepare(t);

	t->reply.release = (uintptr_t)t->offsets;
	t->reply.nr_release = 2;
	return ret;
}

static int reply_recv_prepare(struct trial *t)
{
	int ret = call_is(t, 10) ?: send_run(t);

	for (int i = 0; i < 3; i++)
		ret = ret ?: trial_send(t, t->svc, 10);
	ret = ret ?: two_held(t, t->offsets + 32);
	ret = ret ?: reply_is(t, 100, SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_RELEASE);
	if (!ret) {
		t->reply.release = (uintptr_t)(t->offsets + 32);
		t->reply.nr_release = 2;
	}
	return ret;
}

static int reply_absent_prepare(struct trial *t)
{
	int ret = reply_prepare(t);

	t->service.name = (uintptr_t)mmap(NULL, 8192, PROT_READ,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t->reply.body = t->service.name + 4096 - 50;
	return ret;
}

static int reply_run(struct trial *t)
{
	return dev_ioctl(t->server.fd, SYMPHONY_IOC_REPLY, &t->reply);
}

/* After an error the call can be answered; otherwise it was. */
static const char *reply_verify(struct trial *t)
{
	int again = ep_reply_at(&t->server, t->reply.id, t->reply.slot, "y", 1, 0);
	bool released = !t->ret && t->reply.flags & SYMPHONY_REPLY_RELEASE;

	if (t->service.name) {
		munmap((void *)t->service.name, 8192);
		t->service.name = 0;
	}
	if (again != (t->ret && t->ret != -EMSGSIZE ? 0 : -ESRCH) &&
	    !(t->ret == -EFAULT && t->reply.max))
		return "REPLY is not what it says";
	for (__u32 i = 0; i < t->reply.nr; i++) {
		const struct symphony_msg *msg = ep_msg(&t->server, t->offsets[i]);

		if (ep_reply(&t->server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
			return "a message that cannot be answered";
	}
	if (!released && ep_release_at(&t->server, t->reply.slot) && !t->reply.max)
		return "a request cannot be released";
	return NULL;
}

static int fds_prepare(struct trial *t)
{
	int ret = send_files_prepare(t) ?: send_run(t);

	t->msg = ep_next(&t->server, -1);
	return ret ?: t->msg ? 0 : -errno;
}

static int fds_run(struct trial *t)
{
	return trial_claim(t, &t->server, t->msg);
}

/* All were claimed; after an error they can be. */
static const char *fds_verify(struct trial *t)
{
	const char *wrong = trial_claimed(t, &t->server, t->msg, !t->ret);

	if (wrong)
		return wrong;
	if (ep_reply(&t->server, t->msg, NULL, 0, SYMPHONY_REPLY_RELEASE))
		return "a message that cannot be answered";
	return NULL;
}

static const char *reply_files_refused_verify(struct trial *t)
{
	if (t->ret == -EDQUOT && t->reply.limit != SYMPHONY_LIMIT_USER_FILES)
		return "the wrong limit";
	trial_unlimit(t);
	return reply_verify(t);
}

static int release_prepare(struct trial *t)
{
	t->release = (struct symphony_release){
		.size = sizeof(t->release), .release = (uintptr_t)t->offsets,
		.nr_release = 2,
	};
	return two_held(t, t->offsets);
}

static int release_run(struct trial *t)
{
	return dev_ioctl(t->server.fd, SYMPHONY_IOC_RELEASE, &t->release);
}

/* What is left to release can be released: where it said, or it was not told. */
static const char *release_verify(struct trial *t)
{
	int again;

	if (!t->ret)
		return t->release.nr_release ? "some are left" : NULL;
	t->release.release = (uintptr_t)(t->offsets + 2 - t->release.nr_release);
	again = release_run(t);
	return again && again != -EINVAL ? "RELEASE does not work afterwards" : NULL;
}

#define OP(n, ...)	{ .name = n, __VA_ARGS__ }

const struct operation call_operations[] = {
	OP("CALL", .flags = TRIAL_LATE, .prepare = call_prepare, .run = call_run,
	   .verify = call_verify),
	OP("CALL, large", .flags = TRIAL_LATE, .prepare = call_large_prepare,
	   .run = call_run, .verify = call_verify),
	OP("CALL, of what is not in memory", .flags = TRIAL_LATE,
	   .prepare = call_absent_prepare, .run = call_run,
	   .verify = call_absent_verify),
	OP("CALL, in pieces", .flags = TRIAL_LATE,
	   .prepare = call_pieces_prepare, .run = call_run, .verify = call_verify),
	OP("CALL, in pieces that are not in memory", .flags = TRIAL_LATE,
	   .prepare = call_absent_pieces_prepare, .run = call_run,
	   .verify = call_absent_verify),
	OP("CALL, which releases", .flags = TRIAL_LATE,
	   .prepare = call_released_prepare, .run = call_run,
	   .verify = call_verify),
	OP("CALL, refused", .prepare = call_refused_prepare, .run = call_run,
	   .verify = call_refused_verify, .ends_with = -EMSGSIZE),
	OP("CALL, to its deadline", .prepare = call_late_prepare, .run = call_run,
	   .verify = call_late_verify),
	OP("CALL, resumed", .flags = TRIAL_LATE, .prepare = interrupted_prepare,
	   .run = call_run, .verify = wait_verify),
	OP("WAIT", .flags = TRIAL_LATE, .prepare = interrupted_prepare,
	   .run = wait_run, .verify = wait_verify),
	OP("SEND, the first", .prepare = send_prepare, .run = send_run,
	   .verify = send_verify),
	OP("SEND, another", .prepare = send_later_prepare, .run = send_run,
	   .verify = send_verify),
	OP("SEND, NOTIFY", .flags = TRIAL_LATE, .prepare = send_notify_prepare,
	   .run = send_run, .verify = send_notify_verify, .ends_with = -EAGAIN),
	OP("SEND, to an activator", .prepare = send_parked_prepare, .run = send_run,
	   .verify = send_parked_verify),
	OP("SEND, for another call", .prepare = send_child_prepare, .run = send_run,
	   .verify = send_child_verify),
	OP("SEND, with files", .prepare = send_files_prepare, .run = send_run,
	   .verify = send_verify),
	OP("SEND_BATCH", .prepare = send_prepare, .run = send_batch_run,
	   .verify = send_batch_verify, .flags = TRIAL_LATE),
	OP("CANCEL, of what is queued", .prepare = cancel_prepare,
	   .run = cancel_run, .verify = cancel_verify),
	OP("CANCEL, of what was received", .prepare = cancel_received_prepare,
	   .run = cancel_run, .verify = cancel_verify),
	OP("RECV, one", .flags = TRIAL_LATE, .prepare = recv_one_prepare,
	   .run = recv_run, .verify = recv_verify),
	OP("RECV, twenty", .flags = TRIAL_LATE, .prepare = recv_many_prepare,
	   .run = recv_run, .verify = recv_verify),
	OP("RECV, nothing", .prepare = recv_none_prepare, .run = recv_run,
	   .verify = recv_verify, .ends_with = -EAGAIN),
	OP("RECV, to its deadline", .prepare = recv_late_prepare, .run = recv_run,
	   .verify = recv_verify, .ends_with = -ETIMEDOUT),
	OP("RECV, which releases", .flags = TRIAL_LATE,
	   .prepare = recv_released_prepare, .run = recv_run,
	   .verify = recv_verify),
	OP("REPLY", .prepare = reply_prepare, .run = reply_run,
	   .verify = reply_verify),
	OP("REPLY, an error, and RELEASE", .prepare = reply_error_prepare,
	   .run = reply_run, .verify = reply_verify),
	OP("REPLY, larger than expected", .prepare = reply_larger_prepare,
	   .run = reply_run, .verify = reply_verify),
	OP("REPLY, large", .prepare = reply_large_prepare, .run = reply_run,
	   .verify = reply_verify),
	OP("REPLY, with files", .prepare = reply_files_prepare, .run = reply_run,
	   .verify = reply_verify),
	OP("REPLY, in pieces, with files", .prepare = reply_pieces_prepare,
	   .run = reply_run, .verify = reply_verify),
	OP("REPLY, with too many files", .prepare = reply_files_refused_prepare,
	   .run = reply_run, .verify = reply_files_refused_verify,
	   .ends_with = -EDQUOT),
	OP("REPLY, of what is not in memory", .prepare = reply_absent_prepare,
	   .run = reply_run, .verify = reply_verify),
	OP("REPLY, refused", .prepare = reply_refused_prepare, .run = reply_run,
	   .verify = reply_verify, .ends_with = -EMSGSIZE),
	OP("REPLY, which releases", .flags = TRIAL_LATE,
	   .prepare = reply_released_prepare, .run = reply_run,
	   .verify = reply_verify),
	OP("REPLY and RECV", .flags = TRIAL_LATE, .prepare = reply_recv_prepare,
	   .run = reply_run, .verify = reply_verify),
	OP("FDS", .prepare = fds_prepare, .run = fds_run, .verify = fds_verify,
	   .error = -EMFILE),
	OP("RELEASE", .flags = TRIAL_LATE, .prepare = release_prepare,
	   .run = release_run, .verify = release_verify),
	{}
};
