// SPDX-License-Identifier: MIT
/*
 * Chain: a call that is made for another one ends with it, however deep, and
 * those who work for it are told; what was answered lets go of its children.
 */
#include <kselftest_harness.h>

#include "claim.h"

#define DEPTH	3

/* A client calls the first of a row of endpoints, each of which calls the next. */
FIXTURE(chain)
{
	struct ep client, row[DEPTH];
	__u64 services[DEPTH];
	/* Of the call that the row's endpoint has to answer. */
	struct symphony_call calls[DEPTH];
	const struct symphony_msg *msgs[DEPTH];
};

FIXTURE_SETUP(chain)
{
	dev_begin();
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	for (int i = 0; i < DEPTH; i++) {
		char name[] = "svc-0";

		name[4] += i;
		ASSERT_EQ(0, ep_join(&self->row[i], SYMPHONY_POOL_MIN));
		ASSERT_EQ(0, ep_claim_with(&self->row[i], name, SYMPHONY_CLAIM_NOTIFY, 0,
					   &self->services[i]));
	}
}

FIXTURE_TEARDOWN(chain)
{
	ep_close(&self->client);
	for (int i = 0; i < DEPTH; i++)
		ep_close(&self->row[i]);
}

/* A SEND from @ep, for @parent if there is one. */
static struct symphony_call request(struct ep *ep, const struct symphony_msg *parent,
				    __u64 handle, __u64 cookie)
{
	static unsigned char body[100];
	struct symphony_call call = ep_marked(handle, cookie, body, sizeof(body));

	if (parent) {
		call.parent = parent->id;
		call.parent_slot = ep_offset(ep, parent);
	}
	return call;
}

static int extend(struct _test_data_chain *self, int i, __u64 deadline)
{
	struct ep *from = i ? &self->row[i - 1] : &self->client;
	struct symphony_call *call = &self->calls[i];

	*call = request(from, i ? self->msgs[i - 1] : NULL, self->services[i], i);
	call->deadline = deadline;
	return ep_send(from, call);
}

/* The whole chain stands, each call of it received; the root is due at @deadline. */
static int build(struct _test_data_chain *self, __u64 deadline)
{
	int ret = 0;

	for (int i = 0; i < DEPTH && !ret; i++) {
		ret = extend(self, i, i ? 0 : deadline);
		self->msgs[i] = ret ? NULL : ep_expect(&self->row[i], SYMPHONY_MSG_CALL, i);
		ret = ret ?: self->msgs[i] ? 0 : -EPROTO;
	}
	return ret;
}

/* The server at @i is told that its call ended with @status. */
static bool is_told(struct _test_data_chain *self, int i, int status)
{
	const struct symphony_msg *msg;

	msg = ep_expect(&self->row[i], SYMPHONY_MSG_CANCELLED, 0);
	return msg && msg->id == self->calls[i].id && msg->status == status &&
	       !ep_release(&self->row[i], msg);
}

/* The whole tree has ended: servers are told, their own calls came back. */
static void has_ended(struct __test_metadata *_metadata, struct _test_data_chain *self,
		      int first, int rest)
{
	__u64 cookie = 0;

	for (int i = 0; i < DEPTH; i++) {
		EXPECT_TRUE(is_told(self, i, i ? rest : first));
		EXPECT_EQ(-ESRCH, ep_reply(&self->row[i], self->msgs[i], NULL, 0, 0));
		if (i < DEPTH - 1) {
			EXPECT_EQ(rest, ep_fetch(&self->row[i], &cookie));
			EXPECT_EQ(i + 1, cookie);
		}
		EXPECT_TRUE(ep_is_quiet(&self->row[i]));
	}
}

TEST_F(chain, ends_when_the_root_is_cancelled)
{
	ASSERT_EQ(0, build(self, 0));
	ASSERT_EQ(0, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->client, &(__u64){ 0 }));
	has_ended(_metadata, self, -ECANCELED, -ECANCELED);
}

TEST_F(chain, ends_when_the_root_is_late)
{
	__u64 deadline = dev_after(10 * DEV_BEAT);

	ASSERT_EQ(0, build(self, deadline));
	EXPECT_EQ(-ETIMEDOUT, ep_fetch(&self->client, &(__u64){ 0 }));
	EXPECT_LE(deadline, dev_now());
	/* Notice and outcome may come in either order: each link has the deadline. */
	for (int i = 0; i < DEPTH; i++) {
		int told = 0, back = 0;

		for (int n = 0; n < 2 - (i == DEPTH - 1); n++) {
			const struct symphony_msg *msg = ep_next(&self->row[i], DEV_LONG);

			ASSERT_NE(NULL, msg);
			EXPECT_EQ(-ETIMEDOUT, msg->status);
			told += msg->type == SYMPHONY_MSG_CANCELLED &&
				msg->id == self->calls[i].id;
			back += msg->type == SYMPHONY_MSG_REPLY && msg->cookie == i + 1;
		}
		EXPECT_EQ(1, told);
		EXPECT_EQ(i < DEPTH - 1, back);
		EXPECT_TRUE(ep_is_quiet(&self->row[i]));
	}
}

TEST_F(chain, ends_when_the_roots_caller_dies)
{
	ASSERT_EQ(0, build(self, 0));
	ep_close(&self->client);
	has_ended(_metadata, self, -ESHUTDOWN, -ECANCELED);
}

TEST_F(chain, ends_below_a_server_that_dies)
{
	__u64 cookie;

	ASSERT_EQ(0, build(self, 0));
	ep_close(&self->row[0]);
	EXPECT_EQ(-ECONNRESET, ep_fetch(&self->client, &cookie));
	EXPECT_TRUE(is_told(self, 1, -ESHUTDOWN));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->row[1], &cookie));
	EXPECT_TRUE(is_told(self, 2, -ECANCELED));
}

TEST_F(chain, ends_when_an_answer_is_too_large_for_the_root)
{
	static unsigned char body[MIB];
	__u64 cookie;

	ASSERT_EQ(0, build(self, 0));
	EXPECT_EQ(-EMSGSIZE, ep_reply(&self->row[0], self->msgs[0], body, sizeof(body), 0));
	EXPECT_EQ(-EMSGSIZE, ep_fetch(&self->client, &cookie));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->row[0], &cookie));
	EXPECT_TRUE(is_told(self, 1, -ECANCELED));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->row[1], &cookie));
	EXPECT_TRUE(is_told(self, 2, -ECANCELED));
}

TEST_F(chain, takes_back_what_nobody_received)
{
	ASSERT_EQ(0, extend(self, 0, 0));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	ASSERT_EQ(0, extend(self, 1, 0));
	ASSERT_EQ(0, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
	EXPECT_TRUE(is_told(self, 0, -ECANCELED));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->row[0], &(__u64){ 0 }));
	EXPECT_TRUE(ep_is_quiet(&self->row[1]));
}

TEST_F(chain, ends_a_call_that_a_thread_waits_in)
{
	struct symphony_call call;
	struct caller caller;

	ASSERT_EQ(0, extend(self, 0, 0));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	call = request(&self->row[0], self->msgs[0], self->services[1], 1);
	ASSERT_EQ(0, caller_start(&caller, &self->row[0], call));
	ASSERT_NE(NULL, ep_expect(&self->row[1], SYMPHONY_MSG_CALL, 1));
	ASSERT_EQ(0, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(-ECANCELED, caller.call.status);
}

TEST_F(chain, ends_a_call_that_waits_for_room)
{
	static unsigned char body[4000];
	struct symphony_call call;
	struct caller caller;

	while (!ep_mark(&self->row[0], self->services[1], 9, sizeof(body)))
		;
	ASSERT_EQ(0, extend(self, 0, 0));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	call = request(&self->row[0], self->msgs[0], self->services[1], 1);
	call.body = (uintptr_t)body;
	call.body_len = sizeof(body);
	ASSERT_EQ(0, caller_start(&caller, &self->row[0], call));
	ASSERT_TRUE(caller_is_in(&caller));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(-ECANCELED, caller.ret ?: caller.call.status);
}

TEST_F(chain, has_the_earliest_deadline)
{
	__u64 early = dev_after(DEV_LONG), late = early + 1000000000;

	ASSERT_EQ(0, extend(self, 0, early));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	EXPECT_EQ(early, self->msgs[0]->deadline);
	/* A later one is not had, none neither; an earlier one stays one's own. */
	ASSERT_EQ(0, extend(self, 1, late));
	self->msgs[1] = ep_expect(&self->row[1], SYMPHONY_MSG_CALL, 1);
	ASSERT_NE(NULL, self->msgs[1]);
	EXPECT_EQ(early, self->msgs[1]->deadline);
	ASSERT_EQ(0, extend(self, 2, 0));
	self->msgs[2] = ep_expect(&self->row[2], SYMPHONY_MSG_CALL, 2);
	ASSERT_NE(NULL, self->msgs[2]);
	EXPECT_EQ(early, self->msgs[2]->deadline);
	ASSERT_EQ(0, extend(self, 2, early - 1000000));
	self->msgs[2] = ep_expect(&self->row[2], SYMPHONY_MSG_CALL, 2);
	ASSERT_NE(NULL, self->msgs[2]);
	EXPECT_EQ(early - 1000000, self->msgs[2]->deadline);
}

TEST_F(chain, an_early_deadline_of_a_child_is_its_own)
{
	__u64 cookie;

	ASSERT_EQ(0, extend(self, 0, dev_after(DEV_LONG)));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	ASSERT_EQ(0, extend(self, 1, dev_after(5 * DEV_BEAT)));
	ASSERT_NE(NULL, ep_expect(&self->row[1], SYMPHONY_MSG_CALL, 1));
	EXPECT_EQ(-ETIMEDOUT, ep_fetch(&self->row[0], &cookie));
	EXPECT_TRUE(is_told(self, 1, -ETIMEDOUT));
	/* The parent goes on. */
	EXPECT_TRUE(ep_is_quiet(&self->row[0]));
	EXPECT_EQ(0, ep_reply(&self->row[0], self->msgs[0], NULL, 0, 0));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
}

TEST_F(chain, a_late_parents_child_is_not_made)
{
	ASSERT_EQ(0, extend(self, 0, dev_after(5 * DEV_BEAT)));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	EXPECT_EQ(-ETIMEDOUT, ep_fetch(&self->client, &(__u64){ 0 }));
	EXPECT_EQ(-ESRCH, extend(self, 1, 0));
	EXPECT_EQ(0, self->calls[1].id);
	EXPECT_TRUE(ep_is_quiet(&self->row[1]));
}

TEST_F(chain, children_of_an_answered_call_go_on)
{
	__u64 cookie;

	ASSERT_EQ(0, build(self, 0));
	EXPECT_EQ(0, ep_reply(&self->row[0], self->msgs[0], NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(-EALREADY, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	ep_close(&self->client);
	EXPECT_TRUE(ep_is_quiet(&self->row[1]));
	EXPECT_EQ(0, ep_reply(&self->row[2], self->msgs[2], NULL, 0, 0));
	EXPECT_EQ(0, ep_fetch(&self->row[1], &cookie));
	EXPECT_EQ(0, ep_reply(&self->row[1], self->msgs[1], NULL, 0, 0));
	EXPECT_EQ(0, ep_fetch(&self->row[0], &cookie));
	for (int i = 0; i < DEPTH; i++) {
		EXPECT_TRUE(ep_is_quiet(&self->row[i]));
	}
}

TEST_F(chain, a_released_request_is_a_parent_still)
{
	ASSERT_EQ(0, extend(self, 0, 0));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	ASSERT_EQ(0, ep_release(&self->row[0], self->msgs[0]));
	ASSERT_EQ(0, extend(self, 1, 0));
	ASSERT_EQ(0, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
	EXPECT_TRUE(is_told(self, 0, -ECANCELED));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->row[0], &(__u64){ 0 }));
}

static int try_parent(struct ep *ep, __u64 handle, __u64 id, __u32 slot)
{
	struct symphony_call call = request(ep, NULL, handle, 0);

	call.parent = id;
	call.parent_slot = slot;
	return ep_send(ep, &call);
}

TEST_F(chain, a_forged_parent_is_esrch)
{
	struct ep *a = &self->row[0];
	__u64 id, b = self->services[1];
	__u32 slot;

	ASSERT_EQ(0, build(self, 0));
	id = self->msgs[0]->id;
	slot = ep_offset(a, self->msgs[0]);
	EXPECT_EQ(-ESRCH, try_parent(a, b, id + 1, slot));
	EXPECT_EQ(-ESRCH, try_parent(a, b, id, slot + SYMPHONY_POOL_ALIGN));
	EXPECT_EQ(-ESRCH, try_parent(a, b, id, slot + 1));
	EXPECT_EQ(-ESRCH, try_parent(a, b, id, ~0U));
	EXPECT_EQ(-ESRCH, try_parent(a, b, ~0ULL, slot));
	EXPECT_EQ(-EINVAL, try_parent(a, b, 0, slot ?: SYMPHONY_POOL_ALIGN));
	/* Another's request, the same by another, and a call of its own. */
	EXPECT_EQ(-ESRCH, try_parent(a, b, self->msgs[1]->id,
				     ep_offset(&self->row[1], self->msgs[1])));
	EXPECT_EQ(-ESRCH, try_parent(&self->row[2], b, id, slot));
	EXPECT_EQ(-ESRCH, try_parent(&self->client, b, id, slot));
	EXPECT_EQ(-ESRCH, try_parent(a, b, self->calls[1].id, self->calls[1].slot));
	/* One that was answered. */
	EXPECT_EQ(0, ep_reply(a, self->msgs[0], NULL, 0, 0));
	EXPECT_EQ(-ESRCH, try_parent(a, b, id, slot));
	EXPECT_TRUE(ep_is_quiet(&self->row[1]));
}

TEST_F(chain, a_request_that_was_not_received_is_no_parent)
{
	/* Its slot is known: of the released one that stood there before. */
	ASSERT_EQ(0, extend(self, 0, 0));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	ASSERT_EQ(0, ep_reply(&self->row[0], self->msgs[0], NULL, 0, SYMPHONY_REPLY_RELEASE));
	ASSERT_EQ(0, extend(self, 0, 0));
	ASSERT_EQ(self->calls[0].id, self->msgs[0]->id);
	EXPECT_EQ(-ESRCH, extend(self, 1, 0));
	ASSERT_NE(NULL, ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0));
	EXPECT_EQ(0, extend(self, 1, 0));
}

TEST_F(chain, of_many_children_ends_each)
{
	__u64 cookie;
	int nr = 0;

	ASSERT_EQ(0, extend(self, 0, 0));
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
	ASSERT_NE(NULL, self->msgs[0]);
	while (nr < 80 && !extend(self, 1, 0))
		nr++;
	ASSERT_LE(20, nr);
	/* Some received, some answered, some queued. */
	for (int i = 0; i < 10; i++) {
		ASSERT_NE(NULL, ep_expect(&self->row[1], SYMPHONY_MSG_CALL, 1));
	}
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(1, ep_serve(&self->row[1]));
	}
	ASSERT_EQ(0, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
	for (int i = 0; i < 10; i++) {
		EXPECT_NE(NULL, ep_expect(&self->row[1], SYMPHONY_MSG_CANCELLED, 0));
	}
	EXPECT_TRUE(ep_is_quiet(&self->row[1]));
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, ep_fetch(&self->row[0], &cookie));
	}
	EXPECT_TRUE(is_told(self, 0, -ECANCELED));
	for (int i = 5; i < nr; i++) {
		EXPECT_EQ(-ECANCELED, ep_fetch(&self->row[0], &cookie));
	}
	EXPECT_TRUE(ep_is_quiet(&self->row[0]));
}

TEST_F(chain, hundreds_of_links_long_ends)
{
	const struct symphony_msg *msg = NULL;
	struct symphony_call call;
	struct ep *self_caller = &self->client;
	int told = 0, ended = 0, nr = 400;
	__u64 handle;

	/* An endpoint that serves itself. */
	ASSERT_EQ(0, ep_claim_with(self_caller, "self", SYMPHONY_CLAIM_NOTIFY, 0, &handle));
	call = request(&self->row[0], NULL, handle, 0);
	ASSERT_EQ(0, ep_send(&self->row[0], &call));
	for (int i = 0; i < nr; i++) {
		struct symphony_call link;

		msg = ep_expect(self_caller, SYMPHONY_MSG_CALL, i);
		ASSERT_NE(NULL, msg);
		link = request(self_caller, msg, handle, i + 1);
		ASSERT_EQ(0, ep_send(self_caller, &link));
	}
	ASSERT_EQ(0, ep_cancel(&self->row[0], call.id, call.slot));
	while (told + ended < 2 * nr) {
		msg = ep_next(self_caller, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(-ECANCELED, msg->status);
		told += msg->type == SYMPHONY_MSG_CANCELLED;
		ended += msg->type == SYMPHONY_MSG_REPLY;
		EXPECT_EQ(0, ep_release(self_caller, msg));
	}
	EXPECT_EQ(nr, told);
	EXPECT_EQ(nr, ended);
	EXPECT_TRUE(ep_is_quiet(self_caller));
}

TEST_F(chain, that_ended_leaves_nothing_behind)
{
	static unsigned char body[SYMPHONY_POOL_MIN / 2 - 128];
	__u64 calls = dev_limits().user_calls.used;
	int rounds = dev_slow() ? 100 : 400;

	for (int i = 0; i < rounds; i++) {
		ASSERT_EQ(0, build(self, 0));
		ASSERT_EQ(0, ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot));
		ASSERT_EQ(-ECANCELED, ep_fetch(&self->client, &(__u64){ 0 }));
		for (int j = 0; j < DEPTH; j++) {
			ASSERT_TRUE(is_told(self, j, -ECANCELED));
			ASSERT_EQ(0, ep_release(&self->row[j], self->msgs[j]));
			if (j < DEPTH - 1) {
				ASSERT_EQ(-ECANCELED, ep_fetch(&self->row[j], &(__u64){ 0 }));
			}
		}
	}
	/* The pools have all of their room: half of one is free in one piece. */
	for (int i = 0; i < DEPTH; i++) {
		struct symphony_call call = ep_request(self->services[i], body, sizeof(body));

		EXPECT_EQ(0, ep_send(&self->client, &call));
	}
	/* Charged in lots, of which an endpoint keeps two. */
	EXPECT_LE(dev_limits().user_calls.used, calls + 64 * (DEPTH + 1));
}

TEST_F(chain, a_moved_parent_has_lost_its_children)
{
	__u32 flags = SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE;
	struct symphony_call call;
	__u64 handle, cookie;
	struct ep first;

	ASSERT_EQ(0, ep_join(&first, MIB));
	ASSERT_EQ(0, ep_claim_with(&first, "moves", flags, 0, &handle));
	call = request(&self->client, NULL, handle, 7);
	call.flags = SYMPHONY_CALL_IDEMPOTENT;
	ASSERT_EQ(0, ep_send(&self->client, &call));
	self->msgs[0] = ep_expect(&first, SYMPHONY_MSG_CALL, 7);
	ASSERT_NE(NULL, self->msgs[0]);
	self->calls[1] = request(&first, self->msgs[0], self->services[1], 1);
	ASSERT_EQ(0, ep_send(&first, &self->calls[1]));
	ASSERT_NE(NULL, ep_expect(&self->row[1], SYMPHONY_MSG_CALL, 1));
	ASSERT_EQ(0, ep_claim_with(&self->row[0], "moves", flags, 0, &handle));
	ep_close(&first);
	EXPECT_TRUE(is_told(self, 1, -ESHUTDOWN));
	/* It is a parent where it is now. */
	self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 7);
	ASSERT_NE(NULL, self->msgs[0]);
	ASSERT_EQ(0, extend(self, 1, 0));
	ASSERT_NE(NULL, ep_expect(&self->row[1], SYMPHONY_MSG_CALL, 1));
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	EXPECT_TRUE(is_told(self, 1, -ECANCELED));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->row[0], &cookie));
}

/* Cancels the root while a child of it is being made. */
static void *cancel_root(void *arg)
{
	struct _test_data_chain *self = arg;

	for (volatile int spin = self->calls[0].id * 37 % 3000; spin; spin--)
		;
	ep_cancel(&self->client, self->calls[0].id, self->calls[0].slot);
	return NULL;
}

TEST_F(chain, a_child_that_races_with_the_end_does_not_outlive_it)
{
	int made = 0, refused = 0, rounds = dev_slow() ? 60 : 300;
	pthread_t thread;

	for (int i = 0; i < rounds; i++) {
		int ret;

		ASSERT_EQ(0, extend(self, 0, 0));
		self->msgs[0] = ep_expect(&self->row[0], SYMPHONY_MSG_CALL, 0);
		ASSERT_NE(NULL, self->msgs[0]);
		pthread_create(&thread, NULL, cancel_root, self);
		ret = extend(self, 1, 0);
		pthread_join(thread, NULL);
		made += !ret;
		refused += ret == -ESRCH;
		EXPECT_TRUE(is_told(self, 0, -ECANCELED));
		if (!ret) {
			ASSERT_EQ(-ECANCELED, ep_fetch(&self->row[0], &(__u64){ 0 }));
		}
		ASSERT_EQ(0, ep_release(&self->row[0], self->msgs[0]));
		ASSERT_EQ(-ECANCELED, ep_fetch(&self->client, &(__u64){ 0 }));
	}
	EXPECT_EQ(rounds, made + refused);
	EXPECT_TRUE(ep_is_quiet(&self->row[1]));
	TH_LOG("%d made, %d refused", made, refused);
}

TEST_HARNESS_MAIN
