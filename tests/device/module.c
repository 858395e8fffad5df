// SPDX-License-Identifier: MIT
/* The module stays while anybody has it open. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(module)
{
	struct ep ep;
};

FIXTURE_SETUP(module)
{
	dev_begin();
	self->ep.fd = -1;
	if (access("/sys/module/symphony/refcnt", R_OK))
		SKIP(return, "symphony is not a module here");
	if (geteuid())
		SKIP(return, "needs root");
}

FIXTURE_TEARDOWN(module)
{
	ep_close(&self->ep);
}

static long refcount(void)
{
	FILE *file = fopen("/sys/module/symphony/refcnt", "re");
	long refs = -1;

	if (!file)
		return -errno;
	if (fscanf(file, "%ld", &refs) != 1)
		refs = -EIO;
	fclose(file);
	return refs;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "symphony", O_NONBLOCK) ? -errno : 0;
}

TEST_F(module, stays_while_the_device_is_open)
{
	int fd = dev_open();

	ASSERT_GE(fd, 0);
	EXPECT_GT(refcount(), 0);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	close(fd);
}

TEST_F(module, stays_while_there_is_an_endpoint)
{
	ASSERT_EQ(0, ep_join(&self->ep, 0));
	EXPECT_EQ(-EWOULDBLOCK, unload());
}

TEST_F(module, stays_while_a_pool_is_mapped)
{
	ASSERT_EQ(0, ep_join(&self->ep, 0));
	close(self->ep.fd);
	self->ep.fd = -1;
	EXPECT_GT(refcount(), 0);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(0, self->ep.pool[0]);
}

TEST_F(module, stays_while_a_dead_endpoints_file_is_held)
{
	struct kid kid;
	__s64 fd;

	if (!kid_fork(&kid)) {
		if (ep_join(&self->ep, 0))
			_exit(2);
		kid_pass(&kid, self->ep.fd);
		for (;;)
			pause();
	}
	fd = kid_take(&kid);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_EQ(-EWOULDBLOCK, unload());
	close(fd);
}

TEST_F(module, stays_while_there_is_a_grant)
{
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)"svc", .name_len = 3,
	};
	long before;

	ASSERT_EQ(0, ep_join_bus(&self->ep, dev_bus(), SYMPHONY_JOIN_CREATE |
				 SYMPHONY_JOIN_EXCL | SYMPHONY_JOIN_GRANTS, 0, 0));
	before = refcount();
	ASSERT_EQ(0, dev_ioctl(self->ep.fd, SYMPHONY_IOC_GRANT, &service));
	EXPECT_EQ(before + 1, refcount());
	ep_close(&self->ep);
	self->ep.fd = -1;
	/* Read first: were it to go, so would this test's kernel. */
	ASSERT_LT(0, refcount());
	EXPECT_EQ(-EWOULDBLOCK, unload());
	close(service.grant);
}

TEST_F(module, is_let_go_by_the_last)
{
	long before = refcount();

	for (int i = 0; i < 5; i++) {
		struct kid kid;

		if (!kid_fork(&kid)) {
			struct duo duo;
			int why;

			if (duo_join(&duo, MIB, MIB))
				_exit(2);
			duo_flood(&duo, 10000, 100, &why);
			ep_watch(&duo.client, duo.server.id, 0, 0);
			_exit(0);
		}
		EXPECT_EQ(0, kid_reap(&kid));
	}
	for (int i = 0; i < 100 && refcount() > before; i++)
		dev_nap(20);
	EXPECT_EQ(before, refcount());
}

static int load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

TEST_F(module, goes_right_behind_the_last_process)
{
	const char *path = getenv("ko");

	if (!path || refcount())
		SKIP(return, "it is in use, or not known where it is");
	for (int i = 0; i < (dev_slow() ? 3 : 10); i++) {
		struct kid kid;

		if (!kid_fork(&kid))
			_exit(ep_join(&self->ep, 0) ? 2 : 0);
		EXPECT_EQ(0, kid_reap(&kid));
		ASSERT_EQ(0, unload());
		ASSERT_EQ(0, load(path)) TH_LOG("%s", path);
	}
}

/* Keeps the others on its processor waiting once an endpoint dies. */
struct hog {
	int fd;
	pthread_t thread;
	atomic_bool hogs, stop;
};

static int run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

static void *hog_run(void *arg)
{
	struct pollfd pfd = { };
	struct hog *hog = arg;
	__u64 until;

	pfd.fd = hog->fd;
	if (run_on(0) || setpriority(PRIO_PROCESS, gettid(), -20) ||
	    poll(&pfd, 1, DEV_LONG) != 1)
		return NULL;
	until = dev_now() + (dev_slow() ? 5000 : 1500) * 1000000ULL;
	hog->hogs = true;
	while (!hog->stop && dev_now() < until)
		;
	return NULL;
}

/* An owner that dies while the file of its endpoint is let go by somebody else. */
TEST_F(module, waits_for_an_owner_that_is_dying)
{
	const char *path = getenv("ko");
	struct hog hog = { };
	struct kid kid;

	if (!path || refcount())
		SKIP(return, "it is in use, or not known where it is");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two processors");
	if (!kid_fork(&kid)) {
		struct sched_param param = { };

		/*
		 * It is to be interrupted where it wakes the pollers, with the
		 * pages of a large pool still to be freed.
		 */
		if (ep_join(&self->ep, dev_limits().pool_max) ||
		    munmap((void *)self->ep.pool, self->ep.size) || run_on(0) ||
		    sched_setscheduler(0, SCHED_IDLE, &param))
			_exit(2);
		kid_pass(&kid, self->ep.fd);
		close(self->ep.fd);
		kid_tell(&kid, 0);
		for (;;)
			pause();
	}
	hog.fd = kid_take(&kid);
	ASSERT_GE(hog.fd, 0);
	ASSERT_EQ(0, kid_hear(&kid, (__s64[1]){}));
	ASSERT_EQ(0, run_on(1));
	ASSERT_EQ(0, pthread_create(&hog.thread, NULL, hog_run, &hog));
	dev_nap(DEV_BEAT);
	kill(kid.pid, SIGKILL);
	for (int ms = 0; !hog.hogs && ms < DEV_LONG; ms++)
		dev_nap(1);
	ASSERT_TRUE(hog.hogs);
	close(hog.fd);
	EXPECT_EQ(0, unload());
	hog.stop = true;
	pthread_join(hog.thread, NULL);
	EXPECT_EQ(128 + SIGKILL, kid_reap(&kid));
	ASSERT_EQ(0, load(path)) TH_LOG("%s", path);
}

TEST_HARNESS_MAIN
