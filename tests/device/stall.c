// SPDX-License-Identifier: MIT
/*
 * Copies that stall: a body in memory that userfaultfd withholds. Nobody else
 * waits for the copier: not other senders, deadlines, cancel, nor anyone's exit.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

#define SOON	3000000000ULL	/* ns: without waiting for a stalled copier */
#define PAGE	4096

/* A page that is not there until it is given. */
struct stall {
	int uffd;
	unsigned char *page;
};

static int stall_init(struct stall *stall)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	stall->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (stall->uffd < 0)
		return -errno;
	stall->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)stall->page;
	reg.range.len = PAGE;
	if (stall->page == MAP_FAILED || ioctl(stall->uffd, UFFDIO_API, &api) ||
	    ioctl(stall->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

/* Wait for somebody to be stalled. */
static int stall_hit(struct stall *stall)
{
	struct pollfd pfd = { .fd = stall->uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pfd, 1, DEV_LONG) != 1)
		return -ETIMEDOUT;
	return read(stall->uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

/* Give the page, filled from @seed. */
static int stall_end(struct stall *stall, unsigned int seed)
{
	static unsigned char page[PAGE] __attribute__((aligned(PAGE)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)stall->page, .src = (uintptr_t)page, .len = PAGE,
	};

	dev_fill(page, PAGE, seed);
	return ioctl(stall->uffd, UFFDIO_COPY, &copy) ? -errno : 0;
}

/* A thread in SEND or REPLY with the stalled page as its body. */
struct copier {
	struct ep *ep;
	struct symphony_call call;
	struct symphony_reply reply;
	unsigned long op;
	pthread_t thread;
	int ret;
	atomic_bool done;
};

static void *copier_run(void *arg)
{
	struct copier *copier = arg;

	copier->ret = dev_ioctl(copier->ep->fd, copier->op,
				copier->op == SYMPHONY_IOC_REPLY ?
					(void *)&copier->reply : &copier->call);
	copier->done = true;
	return NULL;
}

static int copier_join(struct copier *copier)
{
	for (int ms = 0; !copier->done && ms < DEV_LONG; ms += 2)
		dev_nap(2);
	return copier->done ? -pthread_join(copier->thread, NULL) : -ETIMEDOUT;
}

FIXTURE(stall)
{
	struct duo duo;
	struct ep other;
	struct stall stall;
	struct copier copier;
};

FIXTURE_SETUP(stall)
{
	int ret;

	dev_begin();
	ret = stall_init(&self->stall);
	if (ret == -ENOSYS || ret == -EPERM)
		SKIP(return, "no userfaultfd (%d)", ret);
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	ASSERT_EQ(0, ep_join(&self->other, MIB));
}

FIXTURE_TEARDOWN(stall)
{
	duo_close(&self->duo);
	ep_close(&self->other);
}

/* Start a SEND or a CALL that stalls. */
static int stall_request(struct _test_data_stall *self, unsigned long op,
			 __u64 deadline)
{
	self->copier = (struct copier){
		.ep = &self->duo.client, .op = op,
		.call = ep_request(self->duo.svc, self->stall.page, PAGE),
	};
	self->copier.call.cookie = 42;
	self->copier.call.deadline = deadline;
	return -pthread_create(&self->copier.thread, NULL, copier_run,
			       &self->copier) ?: stall_hit(&self->stall);
}

/* Start a REPLY to @msg that stalls. */
static int stall_reply(struct _test_data_stall *self, struct ep *server,
		       const struct symphony_msg *msg, __u32 flags)
{
	self->copier = (struct copier){
		.ep = server, .op = SYMPHONY_IOC_REPLY,
		.reply = {
			.size = sizeof(struct symphony_reply), .flags = flags,
			.id = msg->id, .slot = ep_offset(server, msg),
			.body = (uintptr_t)self->stall.page, .body_len = PAGE,
		},
	};
	return -pthread_create(&self->copier.thread, NULL, copier_run,
			       &self->copier) ?: stall_hit(&self->stall);
}

/* A round trip by another endpoint, without waiting for the copier. */
static int others_go_on(struct _test_data_stall *self)
{
	__u64 start = dev_now();
	struct echo echo;
	int ret = 0;

	if (echo_start(&echo, &self->duo.server))
		return -EAGAIN;
	for (int i = 0; i < 5 && !ret; i++) {
		struct symphony_call call = ep_request(self->duo.svc, "other", 5);

		ret = ep_outcome(&self->other, &call) ?:
		      ep_release_at(&self->other, call.offset);
	}
	echo_stop(&echo);
	return ret ?: dev_now() - start > SOON ? -ETIME : 0;
}

/* The one outcome of the SEND with cookie 42. */
static int outcome_is(struct _test_data_stall *self, int status)
{
	__u64 start = dev_now();
	const struct symphony_msg *msg = ep_next(&self->duo.client, DEV_LONG);

	if (!msg)
		return -errno;
	if (msg->cookie != 42 || msg->status != status)
		return -EPROTO;
	if (dev_now() - start > SOON)
		return -ETIME;
	return ep_release(&self->duo.client, msg);
}

/* All the room of both pools is free: half of each can be had. */
static int room_is_back(struct _test_data_stall *self)
{
	static unsigned char body[MIB / 2 - 128];
	struct symphony_call call = ep_request(self->duo.svc, body, sizeof(body));
	const struct symphony_msg *msg;
	int ret;

	if (dev_limits().share_max < 50)
		return 0;
	call.reply_max = sizeof(body);
	ret = ep_send(&self->duo.client, &call);
	msg = ret ? NULL : ep_next(&self->duo.server, -1);
	if (!msg)
		return ret ?: -errno;
	return ep_reply(&self->duo.server, msg, body, sizeof(body),
			SYMPHONY_REPLY_RELEASE) ?:
	       ep_release(&self->duo.client, ep_next(&self->duo.client, DEV_LONG));
}

TEST_F(stall, request_reaches_the_server_when_it_is_whole)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 3));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, outcome_is(self, 0));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_delays_nobody_else)
{
	struct symphony_call call;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	EXPECT_EQ(0, others_go_on(self));
	/* Nor the same endpoint's other threads. */
	call = ep_request(self->duo.svc, "x", 1);
	EXPECT_EQ(0, ep_send(&self->duo.client, &call));
	ASSERT_NE(NULL, ep_next(&self->duo.server, -1));
	EXPECT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
}

TEST_F(stall, request_is_over_at_its_deadline)
{
	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, dev_after(100)));
	/* Either now, or when SEND returns with the error. */
	if (ep_recv(&self->duo.client, (__u32[1]){}, 1, 400) == 1) {
		ASSERT_EQ(0, stall_end(&self->stall, 3));
		ASSERT_EQ(0, copier_join(&self->copier));
		EXPECT_EQ(0, self->copier.ret);
	} else {
		ASSERT_EQ(0, stall_end(&self->stall, 3));
		ASSERT_EQ(0, copier_join(&self->copier));
		EXPECT_EQ(-ETIMEDOUT, self->copier.ret);
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(stall, call_is_over_at_its_deadline)
{
	int ret;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_CALL, dev_after(100)));
	dev_nap(200);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	ret = self->copier.ret ?: self->copier.call.status;
	EXPECT_EQ(-ETIMEDOUT, ret);
	/* Nobody serves what nobody waits for. */
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_can_be_cancelled)
{
	volatile struct symphony_call *call = &self->copier.call;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	if (!call->id) {
		ASSERT_EQ(0, stall_end(&self->stall, 3));
		SKIP(return, "the id is written after the copy");
	}
	EXPECT_EQ(0, ep_cancel(&self->duo.client, call->id, call->slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, call_can_be_cancelled)
{
	volatile struct symphony_call *call = &self->copier.call;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_CALL, 0));
	if (call->id) {
		EXPECT_EQ(0, ep_cancel(&self->duo.client, call->id, call->slot));
	}
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	if (!call->id)
		SKIP(return, "the id is written after the copy");
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ECANCELED, self->copier.ret ?: self->copier.call.status);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, request_does_not_hold_up_the_servers_death)
{
	__u64 start, id = self->duo.server.id;

	ASSERT_EQ(0, ep_watch(&self->other, id, 0, 0));
	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_CALL, dev_after(DEV_LONG)));
	start = dev_now();
	ep_close(&self->duo.server);
	EXPECT_NE(NULL, ep_next(&self->other, DEV_LONG));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	/* No replica was left to take it to. */
	EXPECT_EQ(-ECONNREFUSED, self->copier.ret ?: self->copier.call.status);
}

TEST_F(stall, request_moves_to_the_replica_that_lives)
{
	const struct symphony_msg *msg;
	__u64 svc;

	ASSERT_EQ(0, stall_request(self, SYMPHONY_IOC_SEND, 0));
	ASSERT_EQ(0, ep_claim(&self->other, "svc", &svc));
	ep_close(&self->duo.server);
	ASSERT_EQ(0, stall_end(&self->stall, 3));
	ASSERT_EQ(0, copier_join(&self->copier));
	ASSERT_EQ(0, self->copier.ret);
	msg = ep_next(&self->other, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 3));
	EXPECT_EQ(0, ep_reply(&self->other, msg, NULL, 0, 0));
	EXPECT_EQ(0, outcome_is(self, 0));
}

TEST_F(stall, sender_can_be_killed)
{
	struct kid kid;
	__s64 hit = -1;
	__u64 start;

	if (!kid_fork(&kid)) {
		struct stall stall;
		struct caller caller;
		struct ep ep;
		__u64 svc;

		if (stall_init(&stall) || ep_join(&ep, MIB) ||
		    ep_resolve(&ep, "svc", &svc) ||
		    caller_start(&caller, &ep, ep_request(svc, stall.page, PAGE)))
			_exit(2);
		kid_tell(&kid, stall_hit(&stall));
		for (;;)
			pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &hit));
	ASSERT_EQ(0, hit);
	start = dev_now();
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_LE(dev_now() - start, SOON);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	dev_nap(DEV_BEAT);
	EXPECT_EQ(0, room_is_back(self));
}

/* A call of duo.client's that its server has received. */
static const struct symphony_msg *received(struct _test_data_stall *self,
					   __u64 deadline, struct symphony_call *call)
{
	*call = ep_request(self->duo.svc, "x", 1);
	call->cookie = 42;
	call->deadline = deadline;
	call->reply_max = PAGE;
	if (ep_send(&self->duo.client, call))
		return NULL;
	return ep_next(&self->duo.server, DEV_LONG);
}

TEST_F(stall, reply_is_seen_when_it_is_whole)
{
	const struct symphony_msg *msg;
	struct symphony_call call;

	msg = received(self, 0, &call);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, 0));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	/* One at a time: a second answer has lost already. */
	EXPECT_EQ(-ESRCH, ep_reply(&self->duo.server, msg, "second", 6, 0));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	msg = ep_next(&self->duo.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(dev_filled(ep_body(msg), PAGE, 4));
	EXPECT_EQ(0, ep_release(&self->duo.client, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, reply_delays_nobody_else)
{
	struct symphony_call call;
	const struct symphony_msg *msg = received(self, 0, &call);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, others_go_on(self));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(0, self->copier.ret);
	EXPECT_EQ(0, outcome_is(self, 0));
}

TEST_F(stall, reply_does_not_hold_up_the_deadline)
{
	struct symphony_call call;
	const struct symphony_msg *msg = received(self, dev_after(100), &call);

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, outcome_is(self, -ETIMEDOUT));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ESRCH, self->copier.ret);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, reply_after_cancel_writes_nobodys_message)
{
	struct symphony_call call, next[200];
	const struct symphony_msg *msg = received(self, 0, &call);
	static unsigned char body[PAGE];
	int sent = 0;

	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, 0));
	EXPECT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
	EXPECT_EQ(0, outcome_is(self, -ECANCELED));

	/* The pool fills with answers, in every place that is free. */
	dev_fill(body, PAGE, 77);
	while (sent < 200) {
		next[sent] = ep_request(self->duo.svc, NULL, 0);
		next[sent].reply_max = PAGE;
		if (ep_send(&self->duo.client, &next[sent]))
			break;
		sent++;
	}
	EXPECT_GT(sent, 100);
	for (int i = 0; i < sent; i++) {
		ASSERT_EQ(0, ep_reply(&self->duo.server, ep_next(&self->duo.server, -1),
				      body, PAGE, SYMPHONY_REPLY_RELEASE));
	}
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ESRCH, self->copier.ret);
	for (int i = 0; i < sent; i++) {
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, msg->status);
		ASSERT_TRUE(dev_filled(ep_body(msg), PAGE, 77));
		ASSERT_EQ(0, ep_release(&self->duo.client, msg));
	}
}

TEST_F(stall, reply_does_not_hold_up_the_callers_exit)
{
	const struct symphony_msg *msg;
	struct kid kid;
	__u64 start;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;

		if (ep_join(&ep, MIB))
			_exit(2);
		call = ep_request(self->duo.svc, "x", 1);
		ep_call(&ep, &call);
		_exit(3);
	}
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, stall_reply(self, &self->duo.server, msg, SYMPHONY_REPLY_RELEASE));
	start = dev_now();
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	ASSERT_EQ(0, copier_join(&self->copier));
	EXPECT_EQ(-ESRCH, self->copier.ret);
	EXPECT_EQ(0, ep_release(&self->duo.server, msg));
	EXPECT_EQ(0, room_is_back(self));
}

TEST_F(stall, replier_can_be_killed)
{
	struct symphony_call call;
	struct kid kid;
	__s64 svc = -1, hit = -1;
	__u64 start;

	if (!kid_fork(&kid)) {
		const struct symphony_msg *msg;
		struct _test_data_stall mine = {};
		__u64 handle = 0;
		struct ep ep;

		if (stall_init(&mine.stall) || ep_join(&ep, MIB) ||
		    ep_claim(&ep, "stalling", &handle))
			_exit(2);
		kid_tell(&kid, handle);
		msg = ep_next(&ep, DEV_LONG);
		if (!msg)
			_exit(3);
		kid_tell(&kid, stall_reply(&mine, &ep, msg, 0));
		for (;;)
			pause();
	}
	ASSERT_EQ(0, kid_hear(&kid, &svc));
	call = ep_request(svc, "x", 1);
	call.cookie = 42;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	ASSERT_EQ(0, kid_hear(&kid, &hit));
	ASSERT_EQ(0, hit);
	start = dev_now();
	kill(kid.pid, SIGKILL);
	EXPECT_EQ(0, outcome_is(self, -ECONNRESET));
	EXPECT_EQ(128 + SIGKILL, kid_reap(&kid));
	EXPECT_LE(dev_now() - start, SOON);
	EXPECT_EQ(0, room_is_back(self));
}

struct reader {
	int mem;
	const void *from;
	void *to;
	pthread_t thread;
};

static void *reader_run(void *arg)
{
	struct reader *reader = arg;

	return (void *)pread(reader->mem, reader->to, 8, (uintptr_t)reader->from);
}

TEST_F(stall, reader_of_the_owners_memory_does_not_hold_up_its_death)
{
	struct reader reader = { .from = &self->stall, .to = self->stall.page };
	struct symphony_call call;
	char path[64];
	struct kid kid;
	__s64 svc;
	__u64 start;
	int held;

	if (!kid_fork(&kid)) {
		__u64 handle = 0;
		struct ep ep;

		if (ep_join(&ep, MIB) || ep_claim(&ep, "read", &handle))
			_exit(2);
		kid_pass(&kid, ep.fd);
		kid_tell(&kid, handle);
		for (;;)
			pause();
	}
	held = kid_take(&kid);
	ASSERT_GE(held, 0);
	ASSERT_EQ(0, kid_hear(&kid, &svc));
	snprintf(path, sizeof(path), "/proc/%d/mem", kid.pid);
	reader.mem = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(reader.mem, 0);
	call = ep_request(svc, "x", 1);
	call.cookie = 42;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	/* As a debugger might: the address space stays while it reads. */
	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, reader_run, &reader));
	ASSERT_EQ(0, stall_hit(&self->stall));
	start = dev_now();
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_EQ(0, outcome_is(self, -ECONNRESET));
	EXPECT_LE(dev_now() - start, SOON);
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	pthread_join(reader.thread, NULL);
	close(reader.mem);
	close(held);
}

TEST_F(stall, receiver_delays_nobody_else)
{
	struct symphony_recv recv = {
		.size = sizeof(recv), .max = 4, .deadline = dev_after(DEV_LONG),
		.offsets = (uintptr_t)self->stall.page,
	};
	struct copier copier = { .ep = &self->duo.server };

	/* Where the offsets go is what is not there. */
	copier.op = SYMPHONY_IOC_RECV;
	memcpy(&copier.call, &recv, sizeof(recv));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
	}
	ASSERT_EQ(0, pthread_create(&copier.thread, NULL, copier_run, &copier));
	ASSERT_EQ(0, stall_hit(&self->stall));
	EXPECT_EQ(0, others_go_on(self));
	ASSERT_EQ(0, stall_end(&self->stall, 4));
	/* Others may have served what it had not taken yet. */
	ASSERT_EQ(0, duo_send(&self->duo, 9, 8));
	ASSERT_EQ(0, copier_join(&copier));
	EXPECT_EQ(0, copier.ret);
}

TEST_HARNESS_MAIN
