/* SPDX-License-Identifier: MIT */
/*
 * What stall.c and stall_reply.c share: memory that userfaultfd withholds, and
 * threads that are held up by it. A test is one of the fixture "stall".
 */
#ifndef SYMPHONY_TESTS_STALL_H
#define SYMPHONY_TESTS_STALL_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "claim.h"
#include "device.h"

#define SOON	3000000000ULL	/* ns: without waiting for a stalled copier */
#define PAGE	4096
#define LARGEST	(MIB / 2 - sizeof(struct symphony_msg))

/* A page that is not there until it is given; what stands before it is. */
struct stall {
	int uffd;
	unsigned char *page;
};

static inline int stall_init(struct stall *stall)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	unsigned char *base;

	stall->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (stall->uffd < 0)
		return -errno;
	base = mmap(NULL, MIB / 2 + PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stall->page = base + MIB / 2;
	reg.range.start = (uintptr_t)stall->page;
	reg.range.len = PAGE;
	if (base == MAP_FAILED || ioctl(stall->uffd, UFFDIO_API, &api) ||
	    ioctl(stall->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

/* Wait for somebody to be stalled. */
static inline int stall_hit(struct stall *stall)
{
	struct pollfd pfd = { .fd = stall->uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pfd, 1, DEV_LONG) != 1)
		return -ETIMEDOUT;
	return read(stall->uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

/* Give the page, filled from @seed. */
static inline int stall_end(struct stall *stall, unsigned int seed)
{
	static unsigned char page[PAGE] __attribute__((aligned(PAGE)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)stall->page, .src = (uintptr_t)page, .len = PAGE,
	};

	dev_fill(page, PAGE, seed);
	return ioctl(stall->uffd, UFFDIO_COPY, &copy) ? -errno : 0;
}

/* Take it away for good: who waits for it has EFAULT. */
static inline int stall_spoil(struct stall *stall)
{
	struct uffdio_range page = { .start = (uintptr_t)stall->page, .len = PAGE };

	if (mprotect(stall->page, PAGE, PROT_NONE))
		return -errno;
	return ioctl(stall->uffd, UFFDIO_WAKE, &page) ? -errno : 0;
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

static inline void *copier_run(void *arg)
{
	struct copier *copier = arg;

	copier->ret = dev_ioctl(copier->ep->fd, copier->op,
				copier->op == SYMPHONY_IOC_REPLY ?
					(void *)&copier->reply : &copier->call);
	copier->done = true;
	return NULL;
}

static inline int copier_join(struct copier *copier)
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

/* Start a SEND or a CALL that stalls in the last page of its body. */
static inline int stall_request_of(struct _test_data_stall *self, __u64 svc, __u32 len,
				   unsigned long op, __u64 deadline)
{
	self->copier = (struct copier){
		.ep = &self->duo.client, .op = op,
		.call = ep_request(svc, self->stall.page + PAGE - len, len),
	};
	self->copier.call.cookie = 42;
	self->copier.call.deadline = deadline;
	return -pthread_create(&self->copier.thread, NULL, copier_run,
			       &self->copier) ?: stall_hit(&self->stall);
}

static inline int stall_request(struct _test_data_stall *self, unsigned long op,
				__u64 deadline)
{
	return stall_request_of(self, self->duo.svc, PAGE, op, deadline);
}

/* Start a REPLY to @msg that stalls. */
static inline int stall_reply(struct _test_data_stall *self, struct ep *server,
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
static inline int others_go_on(struct _test_data_stall *self)
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
static inline int outcome_is(struct _test_data_stall *self, int status)
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
static inline int room_is_back(struct _test_data_stall *self)
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

#endif
