// SPDX-License-Identifier: MIT
/* The pool's mapping: read-only for good, the owner's only, gone after fork. */
#include <fcntl.h>
#include <signal.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(pool)
{
	struct ep ep;	/* joined, with a message at the start of its pool */
	struct ep peer;
	size_t page;
	const struct symphony_msg *msg;
};

FIXTURE_SETUP(pool)
{
	struct symphony_call call;
	__u64 handle;

	dev_begin();
	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_EQ(0, ep_join(&self->ep, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_join(&self->peer, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &handle));
	call = ep_request(handle, "hello", 5);
	ASSERT_EQ(0, ep_send(&self->peer, &call));
	self->msg = ep_next(&self->ep, DEV_LONG);
	ASSERT_NE(NULL, self->msg);
}

FIXTURE_TEARDOWN(pool)
{
	ep_close(&self->peer);
	ep_close(&self->ep);
}

static int map(int fd, size_t len, int prot, int flags, off_t offset)
{
	void *addr = mmap(NULL, len, prot, flags, fd, offset);

	if (addr == MAP_FAILED)
		return -errno;
	munmap(addr, len);
	return 0;
}

static bool is_mapped(const void *addr)
{
	unsigned char vec;

	return !mincore((void *)addr, 1, &vec);
}

TEST_F(pool, holds_what_was_sent)
{
	EXPECT_EQ(5, self->msg->body_len);
	EXPECT_EQ(0, memcmp(ep_body(self->msg), "hello", 5));
}

TEST_F(pool, refuses_to_be_writable)
{
	EXPECT_NE(0, map(self->ep.fd, self->ep.size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, 0));
	EXPECT_NE(0, map(self->ep.fd, self->ep.size, PROT_WRITE, MAP_SHARED, 0));
	EXPECT_NE(0, map(self->ep.fd, self->ep.size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE, 0));
}

TEST_F(pool, refuses_to_become_writable)
{
	void *again = mmap(NULL, self->ep.size, PROT_READ, MAP_PRIVATE,
			   self->ep.fd, 0);

	EXPECT_EQ(-1, mprotect((void *)self->ep.pool, self->ep.size,
			       PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect((void *)self->ep.pool, self->page, PROT_WRITE));
	if (again != MAP_FAILED) {
		EXPECT_EQ(-1, mprotect(again, self->page, PROT_READ | PROT_WRITE));
	}
}

TEST_F(pool, is_not_executable)
{
	EXPECT_EQ(-EACCES, map(self->ep.fd, self->page, PROT_READ | PROT_EXEC,
			       MAP_SHARED, 0));
	EXPECT_EQ(-1, mprotect((void *)self->ep.pool, self->page,
			       PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(pool, cannot_be_mapped_twice_by_mremap)
{
	void *pool = (void *)self->ep.pool;

	EXPECT_EQ(MAP_FAILED, mremap(pool, 0, self->ep.size, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(pool, self->ep.size, self->ep.size,
				     MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
}

TEST_F(pool, can_be_moved_by_mremap)
{
	void *to = mmap(NULL, self->ep.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	size_t at = (const unsigned char *)self->msg - self->ep.pool;

	ASSERT_EQ(to, mremap((void *)self->ep.pool, self->ep.size, self->ep.size,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	self->ep.pool = to;
	EXPECT_EQ(0, memcmp(self->ep.pool + at + sizeof(*self->msg), "hello", 5));
}

TEST_F(pool, is_not_written_through_proc_mem)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	ASSERT_GE(mem, 0);
	EXPECT_EQ(-1, pwrite(mem, "HELLO", 5, (uintptr_t)ep_body(self->msg)));
	EXPECT_EQ(0, memcmp(ep_body(self->msg), "hello", 5));
	close(mem);
}

TEST_F(pool, is_not_written_by_the_kernel_for_user_space)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	ASSERT_GE(zero, 0);
	EXPECT_EQ(-1, read(zero, (void *)ep_body(self->msg), 5));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, memcmp(ep_body(self->msg), "hello", 5));
	close(zero);
}

TEST_F(pool, out_members_may_not_lie_in_it)
{
	struct symphony_recv recv = {
		.size = sizeof(recv), .max = 1, .deadline = dev_after(DEV_LONG),
		.offsets = (uintptr_t)ep_body(self->msg),
	};
	struct symphony_call call = ep_request(self->msg->handle, "again", 5);

	ASSERT_EQ(0, ep_send(&self->peer, &call));
	EXPECT_EQ(-EFAULT, dev_ioctl(self->ep.fd, SYMPHONY_IOC_RECV, &recv));
	EXPECT_EQ(0, memcmp(ep_body(self->msg), "hello", 5));
}

TEST_F(pool, has_bounds)
{
	int fd = self->ep.fd;
	size_t size = self->ep.size, page = self->page;

	EXPECT_NE(0, map(fd, size + page, PROT_READ, MAP_SHARED, 0));
	EXPECT_NE(0, map(fd, size, PROT_READ, MAP_SHARED, page));
	EXPECT_NE(0, map(fd, page, PROT_READ, MAP_SHARED, size));
	EXPECT_NE(0, map(fd, page, PROT_READ, MAP_SHARED, (off_t)1 << 40));
	EXPECT_EQ(MAP_FAILED, mremap((void *)self->ep.pool, size, 2 * size,
				     MREMAP_MAYMOVE));
}

TEST_F(pool, second_mapping_shows_the_same)
{
	const unsigned char *again = mmap(NULL, self->ep.size, PROT_READ,
					  MAP_SHARED, self->ep.fd, 0);

	if (again == MAP_FAILED)
		SKIP(return, "one mapping only (%d)", errno);
	EXPECT_EQ(0, memcmp(again, self->ep.pool, self->ep.size));
	munmap((void *)again, self->ep.size);
	EXPECT_EQ(0, memcmp(ep_body(self->msg), "hello", 5));
}

TEST_F(pool, works_unmapped)
{
	struct symphony_call call = ep_request(self->msg->handle, "unseen", 6);
	__u32 offset;
	void *again;

	ASSERT_EQ(0, munmap((void *)self->ep.pool, self->ep.size));
	ASSERT_EQ(0, ep_send(&self->peer, &call));
	ASSERT_EQ(1, ep_recv(&self->ep, &offset, 1, DEV_LONG));
	again = mmap(NULL, self->ep.size, PROT_READ, MAP_SHARED, self->ep.fd, 0);
	ASSERT_NE(MAP_FAILED, again);
	self->ep.pool = again;
	EXPECT_EQ(0, memcmp(ep_body(ep_msg(&self->ep, offset)), "unseen", 6));
}

TEST_F(pool, partly_unmapped_is_left_whole)
{
	ASSERT_EQ(0, munmap((void *)(self->ep.pool + self->page), self->page));
	EXPECT_EQ(0, memcmp(ep_body(self->msg), "hello", 5));
	EXPECT_TRUE(is_mapped(self->ep.pool + 2 * self->page));
	EXPECT_FALSE(is_mapped(self->ep.pool + self->page));
}

TEST_F(pool, is_not_inherited_by_fork)
{
	struct kid kid;

	EXPECT_TRUE(is_mapped(self->ep.pool));
	if (!kid_fork(&kid)) {
		EXPECT_FALSE(is_mapped(self->ep.pool));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(pool, is_refused_to_other_processes)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		EXPECT_EQ(-EPERM, map(self->ep.fd, self->ep.size, PROT_READ,
				      MAP_SHARED, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(pool, survives_its_file_descriptor)
{
	/* The mapping keeps the file; what is there stays readable. */
	close(self->ep.fd);
	self->ep.fd = -1;
	EXPECT_EQ(0, memcmp(ep_body(self->msg), "hello", 5));
}

TEST_F(pool, is_readable_to_system_calls)
{
	int pipe_fds[2];
	char body[5];

	ASSERT_EQ(0, pipe(pipe_fds));
	EXPECT_EQ(5, write(pipe_fds[1], ep_body(self->msg), 5));
	EXPECT_EQ(5, read(pipe_fds[0], body, 5));
	EXPECT_EQ(0, memcmp(body, "hello", 5));
}

TEST_F(pool, a_body_can_be_sent_from_it)
{
	struct symphony_call call = ep_request(self->msg->handle,
					       ep_body(self->msg), 5);
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_send(&self->ep, &call));
	msg = ep_next(&self->ep, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, memcmp(ep_body(msg), "hello", 5));
}

TEST_HARNESS_MAIN
