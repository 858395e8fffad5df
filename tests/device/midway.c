// SPDX-License-Identifier: MIT
/*
 * Calls that end in the middle of a copy. The body is large, so that the copy takes
 * long, and its receiver sees it begin in its pool, and that it has not ended.
 */
#include <string.h>
#include <sys/mman.h>
#include <kselftest_harness.h>

#include "device.h"

#define POOL	(4 * MIB)
#define BODY	(POOL / 2 - sizeof(struct symphony_msg))
#define ROUNDS	30
#define ENOUGH	3	/* rounds in which it was hit */

/* A thread in SEND or REPLY. */
struct copier {
	struct ep *ep;
	unsigned long op;
	union {
		struct symphony_call call;
		struct symphony_reply reply;
	};
	pthread_t thread;
	int ret;
	atomic_bool done;
};

FIXTURE(midway)
{
	struct duo duo;
	unsigned char *body;
	const volatile unsigned char *at;	/* where it is copied to */
	unsigned char mark;			/* what it is full of */
	struct copier copier;
};

FIXTURE_SETUP(midway)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, POOL, POOL));
	self->body = mmap(NULL, BODY, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->body);
}

FIXTURE_TEARDOWN(midway)
{
	duo_close(&self->duo);
}

static void *copier_run(void *arg)
{
	struct copier *copier = arg;

	copier->ret = dev_ioctl(copier->ep->fd, copier->op, &copier->call);
	copier->done = true;
	return NULL;
}

/* Start to copy the body, which is another one each time. */
static int copy_start(struct _test_data_midway *self)
{
	memset(self->body, ++self->mark, BODY);
	return -pthread_create(&self->copier.thread, NULL, copier_run, &self->copier);
}

/* The copy has begun at @offset of @ep's pool. */
static void copy_seen(struct _test_data_midway *self, const struct ep *ep, __u32 offset)
{
	self->at = ep->pool + offset + sizeof(struct symphony_msg);
	while (*self->at != self->mark && !self->copier.done)
		;
}

static bool is_midway(struct _test_data_midway *self)
{
	return self->at[BODY - 1] != self->mark;
}

static int copy_end(struct _test_data_midway *self)
{
	pthread_join(self->copier.thread, NULL);
	return self->copier.ret;
}

static int reply_start(struct _test_data_midway *self, const struct symphony_msg *msg)
{
	self->copier = (struct copier){
		.ep = &self->duo.server, .op = SYMPHONY_IOC_REPLY,
		.reply = {
			.size = sizeof(struct symphony_reply), .id = msg->id,
			.slot = ep_offset(&self->duo.server, msg),
			.body = (uintptr_t)self->body, .body_len = BODY,
		},
	};
	return copy_start(self);
}

static int send_start(struct _test_data_midway *self)
{
	self->copier = (struct copier){
		.ep = &self->duo.client, .op = SYMPHONY_IOC_SEND,
		.call = ep_request(self->duo.svc, self->body, BODY),
	};
	return copy_start(self);
}

/* A request whose answer may take half of the pool. */
static struct symphony_call large(struct _test_data_midway *self)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	call.reply_max = BODY;
	call.deadline = 0;
	return call;
}

/* There is one outcome, and it is this. */
static int outcome_is(struct _test_data_midway *self, int status)
{
	const struct symphony_msg *msg = ep_next(&self->duo.client, DEV_LONG);

	if (!msg)
		return -errno;
	if (msg->status != status)
		return -EPROTO;
	if (ep_recv(&self->duo.client, (__u32[1]){}, 1, -1) != -EAGAIN)
		return -EEXIST;
	return ep_release(&self->duo.client, msg);
}

TEST_F(midway, answer_to_a_call_that_was_cancelled_is_none)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	int hits = 0, late;

	for (int i = 0; i < ROUNDS && hits < ENOUGH; i++) {
		call = large(self);
		ASSERT_EQ(0, ep_send(&self->duo.client, &call));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, reply_start(self, msg));
		copy_seen(self, &self->duo.client, call.slot);
		late = ep_cancel(&self->duo.client, call.id, call.slot);
		hits += !late && is_midway(self);
		ASSERT_TRUE(late == 0 || late == -EALREADY);
		ASSERT_EQ(late ? 0 : -ESRCH, copy_end(self));
		ASSERT_EQ(0, outcome_is(self, late ? 0 : -ECANCELED));
		ASSERT_EQ(0, ep_release(&self->duo.server, msg));
	}
	EXPECT_LT(0, hits);
}

TEST_F(midway, room_of_an_answer_is_free_when_its_copier_has_left)
{
	struct symphony_call call = large(self), other;
	const struct symphony_msg *msg;
	struct caller caller;
	int hits = 0, late;

	/* The other half of the pool. */
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	ASSERT_NE(NULL, ep_next(&self->duo.server, DEV_LONG));
	for (int i = 0; i < ROUNDS && hits < ENOUGH; i++) {
		ASSERT_EQ(0, caller_start(&caller, &self->duo.client, large(self)));
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, reply_start(self, msg));
		copy_seen(self, &self->duo.client, caller.call.slot);
		/* The CALL has fetched its outcome then. */
		late = ep_cancel(&self->duo.client, msg->id, caller.call.slot);
		other = large(self);
		if (!late && ep_send(&self->duo.client, &other) != -ENOBUFS) {
			ASSERT_FALSE(is_midway(self));
		}
		hits += !late && is_midway(self);
		ASSERT_EQ(late ? 0 : -ESRCH, copy_end(self));
		ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
		ASSERT_EQ(0, caller.ret);
		ASSERT_EQ(late ? 0 : -ECANCELED, caller.call.status);
		if (late) {
			ASSERT_EQ(0, ep_release_at(&self->duo.client, caller.call.offset));
		}
		ASSERT_EQ(0, ep_release(&self->duo.server, msg));
		if (!other.id) {
			ASSERT_EQ(0, ep_send(&self->duo.client, &other));
		}
		ASSERT_EQ(0, ep_cancel(&self->duo.client, other.id, other.slot));
		ASSERT_EQ(0, outcome_is(self, -ECANCELED));
	}
	EXPECT_LT(0, hits);
}

TEST_F(midway, answer_to_a_caller_that_died_is_none)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct kid kid;
	int hits = 0, ret;
	struct ep ep;

	for (int i = 0; i < ROUNDS && hits < ENOUGH; i++) {
		if (!kid_fork(&kid)) {
			call = large(self);
			if (ep_join(&ep, POOL) || ep_send(&ep, &call))
				_exit(2);
			self->copier.done = false;
			self->mark++;
			copy_seen(self, &ep, call.slot);
			_exit(0);
		}
		msg = ep_next(&self->duo.server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, reply_start(self, msg));
		ret = copy_end(self);
		ASSERT_TRUE(ret == 0 || ret == -ESRCH);
		hits += ret == -ESRCH;
		ASSERT_EQ(0, kid_reap(&kid));
		ASSERT_EQ(0, ep_release(&self->duo.server, msg));
	}
	EXPECT_LT(0, hits);
}

TEST_F(midway, request_that_was_cancelled_is_not_delivered)
{
	const struct symphony_call *call = &self->copier.call;
	const struct symphony_msg *msg;
	int hits = 0;
	__u32 at;

	/* Where a request of this size goes, as long as nothing else is there. */
	ASSERT_EQ(0, send_start(self));
	ASSERT_EQ(0, copy_end(self));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	at = ep_offset(&self->duo.server, msg);
	ASSERT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	ASSERT_EQ(0, outcome_is(self, 0));
	for (int i = 0; i < ROUNDS && hits < ENOUGH; i++) {
		ASSERT_EQ(0, send_start(self));
		copy_seen(self, &self->duo.server, at);
		ASSERT_EQ(0, ep_cancel(&self->duo.client, call->id, call->slot));
		hits += is_midway(self);
		ASSERT_EQ(0, copy_end(self));
		ASSERT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
		ASSERT_EQ(0, outcome_is(self, -ECANCELED));
	}
	EXPECT_LT(0, hits);
}

TEST_HARNESS_MAIN
