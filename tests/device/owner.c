// SPDX-License-Identifier: MIT
/*
 * Ownership: an endpoint is its process's, whoever holds the file after fork,
 * exec, dup or being passed; and it ends with that process.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <kselftest_harness.h>

#include "device.h"

extern char **environ;

FIXTURE(owner)
{
	struct duo duo;
	struct symphony_call sent;	/* stands, in the server's queue */
};

FIXTURE_SETUP(owner)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	self->sent = ep_request(self->duo.svc, "x", 1);
	ASSERT_EQ(0, ep_send(&self->duo.client, &self->sent));
}

FIXTURE_TEARDOWN(owner)
{
	duo_close(&self->duo);
}

/* How many of all operations on @fd do not give @err. */
static int others_than(struct _test_data_owner *self, int fd, int err)
{
	struct ep ep = { .fd = fd, .size = MIB };
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);
	struct symphony_call wait = self->sent;
	__u64 handle = self->duo.svc;
	__u32 offset;
	int rets[] = {
		ep_claim(&ep, "other", &handle), ep_unclaim(&ep, self->duo.svc),
		ep_resolve(&ep, "svc", &handle), ep_call(&ep, &call),
		ep_send(&ep, &call), ep_recv(&ep, &offset, 1, -1),
		ep_reply_at(&ep, self->sent.id, 0, NULL, 0, 0),
		ep_cancel(&ep, self->sent.id, self->sent.slot),
		ep_wait(&ep, &wait, SYMPHONY_WAIT_DONTWAIT),
		ep_watch(&ep, self->duo.server.id, 0, 0), ep_release_at(&ep, 0),
	};
	int others = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rets); i++) {
		if (rets[i] == err)
			continue;
		fprintf(stderr, "# operation %zu gave %d, not %d\n", i, rets[i], err);
		others++;
	}
	return others;
}

/* The client's request is there still, and can be answered. */
static int intact(struct _test_data_owner *self)
{
	const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);
	int ret;

	if (!msg)
		return -errno;
	ret = ep_reply(&self->duo.server, msg, "y", 1, SYMPHONY_REPLY_RELEASE);
	if (ret)
		return ret;
	msg = ep_next(&self->duo.client, DEV_LONG);
	return !msg ? -errno : msg->status;
}

TEST_F(owner, forked_child_may_do_nothing)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		EXPECT_EQ(0, others_than(self, self->duo.client.fd, -EPERM));
		EXPECT_EQ(0, others_than(self, self->duo.server.fd, -EPERM));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, child_of_a_child_may_do_nothing)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct kid inner;

		if (!kid_fork(&inner)) {
			EXPECT_EQ(0, others_than(self, self->duo.client.fd, -EPERM));
			_exit(0);
		}
		_exit(kid_reap(&inner));
	}
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, forked_child_may_not_join_in_its_place)
{
	struct symphony_join join = {
		.size = sizeof(join), .name = (uintptr_t)dev_bus(),
		.name_len = strlen(dev_bus()),
	};
	struct kid kid;

	if (!kid_fork(&kid)) {
		int ret = dev_ioctl(self->duo.client.fd, SYMPHONY_IOC_JOIN, &join);

		EXPECT_TRUE(ret == -EPERM || ret == -EISCONN) TH_LOG("gave %d", ret);
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, childs_exit_leaves_it_alone)
{
	struct kid kids[3];

	for (size_t i = 0; i < ARRAY_SIZE(kids); i++) {
		if (!kid_fork(&kids[i])) {
			close(self->duo.client.fd);
			close(self->duo.server.fd);
			_exit(0);
		}
	}
	kid_kill(&kids[0], SIGKILL);
	EXPECT_EQ(0, kid_reap(&kids[1]));
	EXPECT_EQ(0, kid_reap(&kids[2]));
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, forked_child_can_open_its_own)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;
		__u64 handle;

		EXPECT_EQ(0, ep_join(&ep, 0));
		EXPECT_NE(ep.id, self->duo.client.id);
		EXPECT_EQ(0, ep_resolve(&ep, "svc", &handle));
		EXPECT_EQ(self->duo.svc, handle);
		call = ep_request(handle, "child", 5);
		EXPECT_EQ(0, ep_outcome(&ep, &call));
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		const struct symphony_msg *msg = ep_next(&self->duo.server, DEV_LONG);

		ASSERT_NE(NULL, msg);
		EXPECT_EQ(msg->body_len == 5 ? kid.pid : getpid(), msg->pid);
		EXPECT_EQ(0, ep_reply(&self->duo.server, msg, NULL, 0, 0));
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(owner, duplicate_is_the_same_endpoint)
{
	struct ep copy = self->duo.server;

	copy.fd = fcntl(self->duo.server.fd, F_DUPFD_CLOEXEC, 100);
	ASSERT_GE(copy.fd, 100);
	close(self->duo.server.fd);
	self->duo.server.fd = -1;
	self->duo.server = copy;
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, receiver_of_the_file_may_do_nothing)
{
	struct kid kid;

	/* The kid is older than the file. */
	if (!kid_fork(&kid)) {
		int fd = kid_take(&kid);

		EXPECT_GE(fd, 0);
		EXPECT_EQ(0, others_than(self, fd, -EPERM));
		EXPECT_EQ(MAP_FAILED, mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0));
		_exit(0);
	}
	ASSERT_EQ(0, kid_pass(&kid, self->duo.client.fd));
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, is_who_joins_not_who_opened)
{
	int fd = dev_open();
	struct kid kid;
	__s64 value;

	ASSERT_GE(fd, 0);
	if (!kid_fork(&kid)) {
		struct symphony_join join = {
			.size = sizeof(join), .name = (uintptr_t)dev_bus(),
			.name_len = strlen(dev_bus()),
		};
		struct ep ep = { .fd = fd };

		EXPECT_EQ(0, dev_ioctl(fd, SYMPHONY_IOC_JOIN, &join));
		EXPECT_EQ(-EAGAIN, ep_recv(&ep, (__u32[1]){}, 1, -1));
		kid_tell(&kid, 1);
		kid_hear(&kid, &value);
		EXPECT_EQ(-EAGAIN, ep_recv(&ep, (__u32[1]){}, 1, -1));
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &value));
	EXPECT_EQ(0, others_than(self, fd, -EPERM));
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
	/* Its owner is gone: no use to anybody. */
	EXPECT_EQ(0, others_than(self, fd, -EPERM) *
		     others_than(self, fd, -ESHUTDOWN));
	close(fd);
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, exec_kills_it)
{
	struct symphony_call call;
	const struct symphony_msg *msg;
	struct kid kid;
	__s64 id, svc;
	int held[2];

	ASSERT_EQ(0, pipe(held));
	if (!kid_fork(&kid)) {
		__u64 handle = 0;
		struct ep ep;
		__s64 go;

		if (ep_join(&ep, 0) || ep_claim(&ep, "exec", &handle))
			_exit(2);
		kid_tell(&kid, ep.id);
		kid_tell(&kid, handle);
		kid_hear(&kid, &go);
		/* cat keeps the file open, until there is no more to read. */
		fcntl(ep.fd, F_SETFD, 0);
		dup2(held[0], 0);
		close(held[1]);
		execl("/bin/cat", "cat", NULL);
		_exit(3);
	}
	close(held[0]);
	ASSERT_EQ(0, kid_hear(&kid, &id));
	ASSERT_EQ(0, kid_hear(&kid, &svc));
	ASSERT_EQ(0, ep_watch(&self->duo.client, id, 5, 0));
	call = ep_request(svc, NULL, 0);
	call.cookie = 6;
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	kid_tell(&kid, 1);
	for (int i = 0; i < 2; i++) {
		msg = ep_next(&self->duo.client, DEV_LONG);
		ASSERT_NE(NULL, msg);
		if (msg->type == SYMPHONY_MSG_GONE) {
			EXPECT_EQ(id, msg->sender);
		} else {
			EXPECT_EQ(-ECONNABORTED, msg->status);
			EXPECT_EQ(6, msg->cookie);
		}
	}
	EXPECT_EQ(0, kill(kid.pid, 0));
	close(held[1]);
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_EQ(0, intact(self));
}

TEST_F(owner, a_spawned_program_leaves_it_alone)
{
	char *argv[] = { "true", NULL };
	int status;
	pid_t pid;

	/* vfork: until exec the child has the parent's memory. */
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, posix_spawnp(&pid, "true", NULL, NULL, argv, environ));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_EQ(0, intact(self));
}

struct sharer {
	int fd, ret;
};

static int recv_once(void *arg)
{
	struct sharer *sharer = arg;
	__u32 offset;
	struct symphony_recv recv = {
		.size = sizeof(recv), .flags = SYMPHONY_RECV_DONTWAIT, .max = 1,
		.offsets = (uintptr_t)&offset,
	};

	sharer->ret = dev_ioctl(sharer->fd, SYMPHONY_IOC_RECV, &recv);
	return 0;
}

TEST_F(owner, a_child_with_the_same_memory_is_not_the_owner)
{
	struct sharer sharer = { .fd = self->duo.client.fd };
	static char stack[64 << 10] __attribute__((aligned(16)));
	int status;
	/* As vfork(), which AddressSanitizer makes a fork. */
	pid_t pid = clone(recv_once, stack + sizeof(stack),
			  CLONE_VM | CLONE_VFORK | SIGCHLD, &sharer);

	ASSERT_GT(pid, 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	/* The same memory, but not who the receivers were told calls them. */
	EXPECT_EQ(-EPERM, sharer.ret);
	EXPECT_EQ(0, intact(self));
}

static void *last_thread(void *arg)
{
	struct kid *kid = arg;
	__s64 value;

	kid_hear(kid, &value);
	_exit(0);
}

TEST_F(owner, first_threads_exit_is_not_the_processs)
{
	static struct kid kid;	/* outlives the first thread's stack */
	__s64 id;

	if (!kid_fork(&kid)) {
		pthread_t thread;
		struct ep ep;

		if (ep_join(&ep, 0) ||
		    pthread_create(&thread, NULL, last_thread, &kid))
			_exit(2);
		kid_tell(&kid, ep.id);
		pthread_exit(NULL);
	}
	ASSERT_EQ(0, kid_hear(&kid, &id));
	dev_nap(DEV_BEAT);
	EXPECT_EQ(0, ep_watch(&self->duo.client, id, 5, 0));
	dev_nap(DEV_BEAT);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	kid_tell(&kid, 1);
	EXPECT_NE(NULL, ep_next(&self->duo.client, DEV_LONG));
	EXPECT_EQ(0, kid_reap(&kid));
}

static void *close_it(void *arg)
{
	dev_nap(DEV_BEAT);
	close(*(int *)arg);
	return NULL;
}

TEST_F(owner, close_during_an_operation_does_no_harm)
{
	pthread_t thread;
	struct ep ep;
	int ret;

	ASSERT_EQ(0, ep_join(&ep, 0));
	munmap((void *)ep.pool, ep.size);
	ASSERT_EQ(0, ep_watch(&self->duo.client, ep.id, 5, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, close_it, &ep.fd));
	ret = ep_recv(&ep, (__u32[1]){}, 1, 5 * DEV_BEAT);
	EXPECT_TRUE(ret == -ETIMEDOUT || ret == -ESHUTDOWN) TH_LOG("gave %d", ret);
	pthread_join(thread, NULL);
	EXPECT_NE(NULL, ep_next(&self->duo.client, DEV_LONG));
}

TEST_HARNESS_MAIN
