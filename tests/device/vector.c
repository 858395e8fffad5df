// SPDX-License-Identifier: MIT
/*
 * Bodies in pieces: what arrives is what they have together, the array is read once,
 * and whatever is wrong with it or with a piece leaves nothing behind.
 */
#include <limits.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "files.h"
#include "ring.h"
#include "../without/rings.h"
#include "stall.h"

#define CLIENT	(&self->duo.client)
#define SERVER	(&self->duo.server)
#define MANY	SYMPHONY_VECTORS_MAX

_Static_assert(sizeof(struct symphony_piece) == sizeof(struct iovec), "as struct iovec");
_Static_assert(offsetof(struct symphony_piece, len) == offsetof(struct iovec, iov_len), "as struct iovec");

FIXTURE(vector)
{
	struct duo duo;
	struct echo echo;
	bool echoing;
};

FIXTURE_SETUP(vector)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
}

FIXTURE_TEARDOWN(vector)
{
	if (self->echoing)
		echo_stop(&self->echo);
	duo_close(&self->duo);
}

static int serve(struct _test_data_vector *self)
{
	self->echoing = !echo_start(&self->echo, SERVER);
	return self->echoing ? 0 : -EAGAIN;
}

static struct symphony_call request(__u64 svc, const void *pieces, __u32 nr)
{
	struct symphony_call call = ep_request(svc, pieces, nr);

	call.flags = SYMPHONY_CALL_VECTOR;
	return call;
}

static struct symphony_reply answer(struct ep *ep, const struct symphony_msg *msg,
				    const void *pieces, __u32 nr)
{
	return (struct symphony_reply){
		.size = sizeof(struct symphony_reply), .id = msg->id,
		.flags = SYMPHONY_REPLY_VECTOR | SYMPHONY_REPLY_RELEASE,
		.slot = ep_offset(ep, msg), .body = (uintptr_t)pieces, .body_len = nr,
	};
}

static int ep_answer(struct ep *ep, struct symphony_reply *reply)
{
	return dev_ioctl(ep->fd, SYMPHONY_IOC_REPLY, reply);
}

/* Cut @len bytes at @body into @nr pieces of every length, some of none. */
static void cut(struct symphony_piece *pieces, unsigned int nr, const void *body, __u32 len)
{
	__u32 at = 0, part;

	for (unsigned int i = 0; i < nr; i++) {
		part = i == nr - 1 ? len - at : i % 5 == 3 ? 0 : (len - at) / 3;
		/* Of an empty piece nobody looks at the address. */
		pieces[i] = (struct symphony_piece){
			.address = part ? (uintptr_t)body + at : ~0ULL >> i % 64,
			.len = part,
		};
		at += part;
	}
}

/* All the room of both pools can be had. */
static int is_clean(struct _test_data_vector *self)
{
	static unsigned char body[MIB / 2 - 128];
	struct symphony_call call = ep_request(self->duo.svc, body, sizeof(body));
	const struct symphony_msg *msg;
	int ret;

	if (dev_limits().share_max < 50)
		return 0;
	call.reply_max = sizeof(body);
	ret = ep_send(CLIENT, &call);
	msg = ret ? NULL : ep_next(SERVER, -1);
	if (!msg)
		return ret ?: -errno;
	return ep_reply(SERVER, msg, body, sizeof(body), SYMPHONY_REPLY_RELEASE) ?:
	       ep_release(CLIENT, ep_next(CLIENT, DEV_LONG));
}

TEST_F(vector, arrives_as_what_the_pieces_have_together)
{
	static const __u32 sizes[] = { 0, 1, 2, 63, 64, 65, 4096, 65535, 65536, 65537, 200000 };
	static const unsigned int numbers[] = { 1, 2, 3, 7, 8, 9, 64, MANY };
	static unsigned char body[200000];
	struct symphony_piece pieces[MANY];
	const struct symphony_msg *msg;
	struct symphony_call call;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(numbers); j++) {
			dev_fill(body, sizes[i], i + j);
			cut(pieces, numbers[j], body, sizes[i]);
			call = request(self->duo.svc, pieces, numbers[j]);
			call.reply_max = j % 2 ? sizes[i] : 0;
			call.content_type = 5;
			ASSERT_EQ(0, ep_send(CLIENT, &call));
			msg = ep_next(SERVER, DEV_LONG);
			ASSERT_NE(NULL, msg);
			ASSERT_EQ(sizes[i], msg->body_len);
			ASSERT_EQ(5, msg->content_type);
			ASSERT_TRUE(dev_filled(ep_body(msg), sizes[i], i + j));
			struct symphony_reply reply = answer(SERVER, msg, pieces, numbers[j]);

			ASSERT_EQ(0, ep_answer(SERVER, &reply));
			msg = ep_next(CLIENT, DEV_LONG);
			ASSERT_NE(NULL, msg);
			ASSERT_EQ(0, msg->status);
			ASSERT_EQ(sizes[i], msg->body_len);
			ASSERT_TRUE(dev_filled(ep_body(msg), sizes[i], i + j));
			ASSERT_EQ(0, ep_release(CLIENT, msg));
		}
	}
	EXPECT_EQ(0, is_clean(self));
}

TEST_F(vector, goes_with_a_call_and_one_way)
{
	struct symphony_piece pieces[] = {
		{ (uintptr_t)"in ", 3 }, { 0, 0 }, { (uintptr_t)"pieces", 6 },
	};
	struct symphony_call call = request(self->duo.svc, pieces, 3);
	const struct symphony_msg *msg;

	call.flags |= SYMPHONY_CALL_ONEWAY;
	call.deadline = 0;
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_ONEWAY, msg->flags);
	EXPECT_EQ(9, msg->body_len);
	EXPECT_EQ(0, memcmp(ep_body(msg), "in pieces", 9));
	EXPECT_EQ(0, ep_release(SERVER, msg));

	ASSERT_EQ(0, serve(self));
	call = request(self->duo.svc, pieces, 3);
	ASSERT_EQ(0, ep_outcome(CLIENT, &call));
	msg = ep_msg(CLIENT, call.offset);
	EXPECT_EQ(9, msg->body_len);
	EXPECT_EQ(0, memcmp(ep_body(msg), "in pieces", 9));
	EXPECT_EQ(0, ep_release(CLIENT, msg));
}

/* As after a signal: the pieces can be gone by then. */
TEST_F(vector, is_not_looked_at_when_a_call_is_entered_again)
{
	struct symphony_piece piece = { (uintptr_t)"body", 4 };
	const struct symphony_msg *msg;
	struct caller caller;

	dev_on_usr1(0);
	ASSERT_EQ(0, caller_start(&caller, CLIENT, request(self->duo.svc, &piece, 1)));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, caller_interrupt(&caller));
	ASSERT_EQ(-EINTR, caller.ret);
	EXPECT_EQ(0, ep_reply(SERVER, msg, "x", 1, 0));
	caller.call.body = 8;
	caller.call.body_len = UINT_MAX;
	EXPECT_EQ(0, ep_outcome(CLIENT, &caller.call));
}

TEST_F(vector, of_no_pieces_is_empty)
{
	static const __u64 addresses[] = { 0, 1, 0xffff888000000000, ~0ULL };
	const struct symphony_msg *msg;

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		struct symphony_call call = request(self->duo.svc, NULL, 0);

		call.body = addresses[i];
		ASSERT_EQ(0, ep_send(CLIENT, &call));
		msg = ep_next(SERVER, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(0, msg->body_len);
		struct symphony_reply reply = answer(SERVER, msg, NULL, 0);

		reply.body = addresses[i];
		ASSERT_EQ(0, ep_answer(SERVER, &reply));
		msg = ep_next(CLIENT, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(0, msg->body_len);
		EXPECT_EQ(0, ep_release(CLIENT, msg));
	}
}

TEST_F(vector, of_too_many_pieces_is_einval)
{
	static struct symphony_piece pieces[MANY + 1];
	static const __u32 numbers[] = { MANY + 1, 4096, INT_MAX, 1U << 31, UINT_MAX };
	const struct symphony_msg *msg;
	struct symphony_call call;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		call = request(self->duo.svc, pieces, numbers[i]);
		EXPECT_EQ(-EINVAL, ep_call(CLIENT, &call));
		EXPECT_EQ(-EINVAL, ep_send(CLIENT, &call));
		EXPECT_EQ(0, call.id);
	}
	EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));
	call = request(self->duo.svc, pieces, MANY);
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct symphony_reply reply = answer(SERVER, msg, pieces, numbers[i]);

		EXPECT_EQ(-EINVAL, ep_answer(SERVER, &reply));
	}
	EXPECT_EQ(0, ep_reply(SERVER, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, ep_release(CLIENT, ep_next(CLIENT, DEV_LONG)));
	EXPECT_EQ(0, is_clean(self));
}

/* What is bad, once as an array and once as a piece between good ones. */
TEST_F(vector, that_cannot_be_read_makes_no_call_and_no_answer)
{
	unsigned char *cliff = dev_cliff();
	static unsigned char good[1000];
	const __u64 bad[] = {
		0, (uintptr_t)cliff, (uintptr_t)cliff - 8, 0xffff888000000000, ~0ULL, ~0ULL - 10,
		1ULL << 63,
	};
	struct symphony_piece pieces[3];
	const struct symphony_msg *msg;
	struct symphony_call call;

	call = ep_request(self->duo.svc, "x", 1);
	call.deadline = 0;
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	/* Often enough to notice room that does not come back. */
	for (int i = 0; i < 400; i++) {
		__u64 address = bad[i % ARRAY_SIZE(bad)];
		unsigned int at = i / ARRAY_SIZE(bad) % 4;
		struct symphony_reply reply;

		for (int j = 0; j < 3; j++)
			pieces[j] = (struct symphony_piece){ (uintptr_t)good, sizeof(good) };
		if (at < 3)
			pieces[at] = (struct symphony_piece){ address, 100 };
		call = request(self->duo.svc, pieces, 3);
		reply = answer(SERVER, msg, pieces, 3);
		if (at == 3)
			call.body = reply.body = address;
		call.reply_max = 100000;
		ASSERT_EQ(-EFAULT, i & 1 ? ep_call(CLIENT, &call) : ep_send(CLIENT, &call));
		ASSERT_EQ(0, call.id);
		ASSERT_EQ(-EFAULT, ep_answer(SERVER, &reply));
	}
	EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));
	EXPECT_EQ(-EAGAIN, ep_recv(CLIENT, (__u32[1]){}, 1, -1));
	/* The one that was made is as it was. */
	EXPECT_EQ(0, ep_reply(SERVER, msg, "answer", 6, SYMPHONY_REPLY_RELEASE));
	msg = ep_next(CLIENT, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, memcmp(ep_body(msg), "answer", 6));
	EXPECT_EQ(0, ep_release(CLIENT, msg));
	EXPECT_EQ(0, is_clean(self));
}

/* Lengths that are too much together, some of which wrap around. None is read. */
static const struct symphony_piece too_long[][3] = {
	{ { 0, LARGEST }, { 0, 1 }, { 0, 0 } },
	{ { 0, 1ULL << 32 }, { 0, 0 }, { 0, 0 } },
	{ { 0, (1ULL << 32) - 1 }, { 0, 1 }, { 0, 9 } },
	{ { 0, 1ULL << 63 }, { 0, 1ULL << 63 }, { 0, 4 } },
	{ { 0, ~0ULL }, { 0, 1 }, { 0, 0 } },
	{ { 0, ~0ULL }, { 0, ~0ULL }, { 0, 12 } },
	{ { 0, 5 }, { 0, ~0ULL - 4 }, { 0, 7 } },
};

TEST_F(vector, too_long_together_is_emsgsize)
{
	const struct symphony_msg *msg;
	struct symphony_call call;

	for (size_t i = 0; i < ARRAY_SIZE(too_long); i++) {
		call = request(self->duo.svc, too_long[i], 3);
		EXPECT_EQ(-EMSGSIZE, ep_call(CLIENT, &call)) TH_LOG("case %zu", i);
		EXPECT_EQ(SYMPHONY_LIMIT_BODY, call.limit);
		EXPECT_EQ(-EMSGSIZE, ep_send(CLIENT, &call)) TH_LOG("case %zu", i);
		EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));

		/* As an answer it ends the call, on both sides. */
		call = ep_request(self->duo.svc, "x", 1);
		ASSERT_EQ(0, ep_send(CLIENT, &call));
		msg = ep_next(SERVER, DEV_LONG);
		ASSERT_NE(NULL, msg);
		struct symphony_reply reply = answer(SERVER, msg, too_long[i], 3);

		EXPECT_EQ(-EMSGSIZE, ep_answer(SERVER, &reply)) TH_LOG("case %zu", i);
		EXPECT_EQ(0, ep_release(SERVER, msg));
		msg = ep_next(CLIENT, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(-EMSGSIZE, msg->status);
		EXPECT_EQ(i ? UINT_MAX : LARGEST + 1, msg->needed);
		EXPECT_EQ(0, ep_release(CLIENT, msg));
	}
	EXPECT_EQ(0, is_clean(self));
}

TEST_F(vector, takes_half_a_pool_and_no_more)
{
	static unsigned char body[LARGEST];
	struct symphony_piece pieces[MANY];
	const struct symphony_msg *msg;
	struct symphony_call call;

	if (dev_limits().share_max < 50)
		SKIP(return, "one sender may not have half a pool");
	dev_fill(body, sizeof(body), 3);
	cut(pieces, MANY, body, sizeof(body));
	call = request(self->duo.svc, pieces, MANY);
	call.reply_max = 1;
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(dev_filled(ep_body(msg), sizeof(body), 3));
	/* Far more than its slot: from what is free. */
	cut(pieces, 9, body, 200000);
	struct symphony_reply reply = answer(SERVER, msg, pieces, 9);

	ASSERT_EQ(0, ep_answer(SERVER, &reply));
	msg = ep_next(CLIENT, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(200000, msg->body_len);
	EXPECT_TRUE(dev_filled(ep_body(msg), 200000, 3));
	EXPECT_EQ(0, ep_release(CLIENT, msg));
	EXPECT_EQ(0, is_clean(self));
}

/* With files, with RECV, and as an error. */
TEST_F(vector, answers_like_any_other_body)
{
	struct symphony_piece pieces[] = { { (uintptr_t)"an", 2 }, { (uintptr_t)"swer", 4 } };
	struct symphony_call call = ep_request(self->duo.svc, "x", 1);
	const struct symphony_msg *msg;
	struct symphony_reply reply;
	__u32 offset = 0;
	__s32 fd;

	ASSERT_EQ(0, ep_send(CLIENT, &call));
	call = ep_request(self->duo.svc, "y", 1);
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	fd = memfd_create("vector", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	reply = answer(SERVER, msg, pieces, 2);
	reply.flags |= SYMPHONY_REPLY_RECV | SYMPHONY_REPLY_ERROR;
	reply.offsets = (uintptr_t)&offset;
	reply.max = 1;
	reply.fds = (uintptr_t)&fd;
	reply.nr_fds = 1;
	ASSERT_EQ(0, ep_answer(SERVER, &reply));
	close(fd);
	EXPECT_EQ(1, reply.nr);
	msg = ep_msg(SERVER, offset);
	EXPECT_EQ(0, memcmp(ep_body(msg), "y", 1));
	reply = answer(SERVER, msg, pieces, 1);
	ASSERT_EQ(0, ep_answer(SERVER, &reply));
	msg = ep_next(CLIENT, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_ERROR, msg->flags);
	EXPECT_EQ(1, msg->nr_fds);
	EXPECT_EQ(6, msg->body_len);
	EXPECT_EQ(0, memcmp(ep_body(msg), "answer", 6));
	EXPECT_EQ(0, ep_release(CLIENT, msg));
	msg = ep_next(CLIENT, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, msg->flags);
	EXPECT_EQ(2, msg->body_len);
	EXPECT_EQ(0, ep_release(CLIENT, msg));

	/* A bad array, with files that are good. */
	call = ep_request(self->duo.svc, "x", 1);
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	reply = answer(SERVER, msg, pieces, 2);
	reply.fds = (uintptr_t)&self->duo.client.fd;
	reply.nr_fds = 1;
	EXPECT_EQ(-ELOOP, ep_answer(SERVER, &reply));
	reply.body = 8;
	EXPECT_EQ(-EFAULT, ep_answer(SERVER, &reply));
	EXPECT_EQ(0, ep_reply(SERVER, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, ep_release(CLIENT, ep_next(CLIENT, DEV_LONG)));
	EXPECT_EQ(0, is_clean(self));
}

/* --- while others change it ------------------------------------------------- */

#define PIECES	16
#define MOST	255

struct changer {
	struct symphony_piece pieces[PIECES];
	pthread_t thread;
	atomic_bool stop;
};

/*
 * Lengths, most of them good together, and addresses that all have the same bytes. A
 * length can be read while it is written, a byte of it at a time: any mixture of these
 * is as good, or as long, as they are.
 */
static void *change(void *arg)
{
	static const __u64 lens[] = { 0, 1, 7, MOST, 100, 200, 1ULL << 63, 3ULL << 62, 64 };
	struct changer *changer = arg;

	for (unsigned int i = 0; !changer->stop; i++) {
		volatile struct symphony_piece *piece = &changer->pieces[i * 7 % PIECES];
		__u64 len = lens[i % ARRAY_SIZE(lens)];

		piece->len = len;
		/* The very long ones are seen by some. */
		if (len > MOST)
			piece->len = 10;
	}
	return NULL;
}

static bool is_same(const struct symphony_msg *msg)
{
	const unsigned char *body = ep_body(msg);

	for (__u32 i = 0; i < msg->body_len; i++)
		if (body[i] != 0x5a)
			return false;
	return true;
}

TEST_F(vector, is_read_once_whatever_becomes_of_the_array)
{
	struct changer changer = { .stop = false };
	int good = 0, refused = 0, tries = dev_slow() ? 3000 : 30000;
	static unsigned char same[MOST];
	const struct symphony_msg *msg;
	struct symphony_call call;

	memset(same, 0x5a, sizeof(same));
	for (int i = 0; i < PIECES; i++)
		changer.pieces[i] = (struct symphony_piece){ (uintptr_t)same, MOST };
	ASSERT_EQ(0, pthread_create(&changer.thread, NULL, change, &changer));
	for (int i = 0; i < tries; i++) {
		int ret;

		call = request(self->duo.svc, changer.pieces, PIECES);
		call.reply_max = 1;
		ret = ep_send(CLIENT, &call);
		if (ret) {
			ASSERT_EQ(-EMSGSIZE, ret);
			refused++;
			continue;
		}
		good++;
		msg = ep_next(SERVER, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_LE(msg->body_len, PIECES * MOST);
		ASSERT_TRUE(is_same(msg));
		struct symphony_reply reply = answer(SERVER, msg, changer.pieces, PIECES);

		ret = ep_answer(SERVER, &reply);
		if (ret == -EMSGSIZE) {
			ASSERT_EQ(0, ep_release(SERVER, msg));
		} else {
			ASSERT_EQ(0, ret);
		}
		msg = ep_next(CLIENT, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(ret, msg->status);
		ASSERT_TRUE(is_same(msg));
		ASSERT_EQ(0, ep_release(CLIENT, msg));
	}
	changer.stop = true;
	pthread_join(changer.thread, NULL);
	TH_LOG("%d made, %d too long", good, refused);
	EXPECT_LT(0, good);
	EXPECT_EQ(0, is_clean(self));
}

/* --- through a ring --------------------------------------------------------- */

TEST_F(vector, goes_through_a_ring)
{
	static unsigned char body[100000];
	struct symphony_piece pieces[MANY];
	struct symphony_call call, sent;
	const struct symphony_msg *msg;
	struct symphony_reply reply;
	struct io_uring ring;
	int ret;

	if (rings_are_forbidden())
		SKIP(return, "io_uring is forbidden");
	ASSERT_EQ(0, ring_open(&ring, 8, RING_PLAIN));
	dev_fill(body, sizeof(body), 9);
	cut(pieces, 100, body, sizeof(body));
	for (int i = 0; i < 2; i++) {
		call = request(self->duo.svc, pieces, 100);
		call.reply_max = sizeof(body);
		ASSERT_NE(NULL, ring_put(&ring, CLIENT, i ? SYMPHONY_IOC_SEND : SYMPHONY_IOC_CALL,
					 &call, 1));
		ASSERT_EQ(1, ring_submit(&ring));
		if (i) {
			ASSERT_EQ(0, ring_next(&ring, DEV_LONG, NULL));
		}
		msg = ep_next(SERVER, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(sizeof(body), msg->body_len);
		EXPECT_TRUE(dev_filled(ep_body(msg), sizeof(body), 9));

		/* What is wrong with an answer leaves the call. */
		reply = answer(SERVER, msg, pieces, MANY + 1);
		EXPECT_EQ(-EINVAL, ring_do(&ring, SERVER, SYMPHONY_IOC_REPLY, &reply));
		reply = answer(SERVER, msg, (void *)8, 100);
		EXPECT_EQ(-EFAULT, ring_do(&ring, SERVER, SYMPHONY_IOC_REPLY, &reply));
		reply = answer(SERVER, msg, pieces, 100);
		ASSERT_NE(NULL, ring_put(&ring, SERVER, SYMPHONY_IOC_REPLY, &reply, 2));
		ASSERT_EQ(1, ring_submit(&ring));
		for (int j = i; j < 2; j++) {
			__u64 data = 0;

			ret = ring_next(&ring, DEV_LONG, &data);
			ASSERT_LE(0, ret);
			if (data == 1)
				msg = ep_msg(CLIENT, ret);
		}
		if (i)
			msg = ep_next(CLIENT, DEV_LONG);
		ASSERT_EQ(SYMPHONY_MSG_REPLY, msg->type);
		ASSERT_EQ(sizeof(body), msg->body_len);
		EXPECT_TRUE(dev_filled(ep_body(msg), sizeof(body), 9));
		EXPECT_EQ(0, ep_release(CLIENT, msg));
	}
	for (int i = 0; i < 3; i++) {
		call = i == 0 ? request(self->duo.svc, pieces, MANY + 1) :
		       i == 1 ? request(self->duo.svc, (void *)8, 3) :
				request(self->duo.svc, too_long[3], 3);
		sent = call;
		ret = i == 0 ? -EINVAL : i == 1 ? -EFAULT : -EMSGSIZE;
		EXPECT_EQ(ret, ring_do(&ring, CLIENT, SYMPHONY_IOC_CALL, &call));
		EXPECT_EQ(ret, ring_do(&ring, CLIENT, SYMPHONY_IOC_SEND, &sent));
	}
	io_uring_queue_exit(&ring);
	EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, is_clean(self));
}

/* --- pieces that are not there yet ------------------------------------------- */

#define FIRST	100	/* bytes before the page that is withheld */

static const struct symphony_piece *around_page(struct _test_data_stall *self)
{
	static struct symphony_piece pieces[4];

	pieces[0] = (struct symphony_piece){ (uintptr_t)"start", 5 };
	pieces[1] = (struct symphony_piece){ (uintptr_t)self->stall.page - FIRST, FIRST };
	pieces[2] = (struct symphony_piece){ (uintptr_t)self->stall.page, PAGE };
	pieces[3] = (struct symphony_piece){ (uintptr_t)"end", 3 };
	return pieces;
}

static int stall_pieces(struct _test_data_stall *self, unsigned long op, __u64 deadline)
{
	self->copier = (struct copier){
		.ep = CLIENT, .op = op,
		.call = request(self->duo.svc, around_page(self), 4),
	};
	self->copier.call.cookie = 42;
	self->copier.call.deadline = deadline;
	return -pthread_create(&self->copier.thread, NULL, copier_run, &self->copier) ?:
		stall_hit(&self->stall);
}

static bool is_whole(const struct symphony_msg *msg)
{
	const unsigned char *body = ep_body(msg);

	return msg->body_len == 5 + FIRST + PAGE + 3 && !memcmp(body, "start", 5) &&
	       dev_filled(body + 5 + FIRST, PAGE, 4) && !memcmp(body + 5 + FIRST + PAGE, "end", 3);
}

TEST_F(stall, request_in_pieces_is_seen_when_it_is_whole)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, stall_pieces(self, SYMPHONY_IOC_SEND, 0));
	EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, others_go_on(self));
	/* The array was read: it is of no interest any more. */
	memset((void *)around_page(self), 0xff, 4 * sizeof(struct symphony_piece));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(is_whole(msg));
	EXPECT_EQ(0, ep_reply(SERVER, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, outcome_is(self, 0));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_in_pieces_does_not_hold_up_its_deadline)
{
	ASSERT_EQ(0, stall_pieces(self, SYMPHONY_IOC_SEND, dev_after(100)));
	EXPECT_EQ(0, outcome_is(self, -ETIME));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, piece_that_never_comes_makes_no_call)
{
	ASSERT_EQ(0, stall_pieces(self, SYMPHONY_IOC_CALL, 0));
	ASSERT_EQ(0, stall_spoil(&self->stall));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-EFAULT, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, answer_in_pieces_is_seen_when_it_is_whole)
{
	struct symphony_call call = ep_request(self->duo.svc, "x", 1);
	const struct symphony_msg *msg;

	call.cookie = 42;
	call.deadline = 0;
	ASSERT_EQ(0, ep_send(CLIENT, &call));
	msg = ep_next(SERVER, DEV_LONG);
	ASSERT_NE(NULL, msg);
	self->copier = (struct copier){
		.ep = SERVER, .op = SYMPHONY_IOC_REPLY,
		.reply = answer(SERVER, msg, around_page(self), 4),
	};
	ASSERT_EQ(0, pthread_create(&self->copier.thread, NULL, copier_run, &self->copier));
	ASSERT_EQ(0, stall_hit(&self->stall));
	EXPECT_EQ(-EAGAIN, ep_recv(CLIENT, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, others_go_on(self));
	memset((void *)around_page(self), 0xff, 4 * sizeof(struct symphony_piece));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	msg = ep_next(CLIENT, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(42, msg->cookie);
	EXPECT_TRUE(is_whole(msg));
	EXPECT_EQ(0, ep_release(CLIENT, msg));
	EXPECT_EQ(0, room_is_back(self));
}

/* The array itself is withheld: nothing stands yet that anybody could see. */
TEST_F(stall, array_that_is_not_there_holds_nothing)
{
	static struct symphony_piece piece;
	const struct symphony_msg *msg;

	self->copier = (struct copier){
		.ep = CLIENT, .op = SYMPHONY_IOC_SEND,
		.call = request(self->duo.svc, self->stall.page - sizeof(piece), 2),
	};
	piece = (struct symphony_piece){ (uintptr_t)"body", 4 };
	memcpy(self->stall.page - sizeof(piece), &piece, sizeof(piece));
	ASSERT_EQ(0, pthread_create(&self->copier.thread, NULL, copier_run, &self->copier));
	ASSERT_EQ(0, stall_hit(&self->stall));
	EXPECT_EQ(-EAGAIN, ep_recv(SERVER, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, others_go_on(self));
	/* A page of what is no address: lengths that nobody has. */
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-EMSGSIZE, self->copier.ret);
	msg = ep_next(SERVER, -1);
	EXPECT_EQ(NULL, msg);
	EXPECT_EQ(0, room_is_back(self));
}

TEST_HARNESS_MAIN
