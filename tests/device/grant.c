// SPDX-License-Identifier: MIT
/*
 * On a bus with GRANTS, and for names that were reserved when it was created, a
 * uid does not suffice: a name is claimed with a file that the creator gave.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <kselftest_harness.h>

#include "device.h"

#define ALICE	1001
#define EXCL	(SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL)

static const char reserved[] = "pool\0dag\0store";

static int join(struct ep *ep, const char *bus, __u32 flags, __u32 mode,
		const void *reserve, __u32 reserve_len)
{
	struct symphony_join join = {
		.size = sizeof(join), .flags = flags, .name = (uintptr_t)bus,
		.name_len = strlen(bus), .mode = mode,
		.pool_size = SYMPHONY_POOL_MIN, .reserve = (uintptr_t)reserve,
		.reserve_len = reserve_len,
	};
	int ret;

	*ep = (struct ep){ .fd = dev_open(), .size = SYMPHONY_POOL_MIN };
	ret = dev_ioctl(ep->fd, SYMPHONY_IOC_JOIN, &join);
	if (ret) {
		ep_close(ep);
		return ret;
	}
	ep->id = join.endpoint;
	ep->pool = mmap(NULL, ep->size, PROT_READ, MAP_SHARED, ep->fd, 0);
	return ep->pool == MAP_FAILED ? -errno : 0;
}

static int grant(struct ep *ep, const char *name)
{
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)name,
		.name_len = strlen(name),
	};
	int ret = dev_ioctl(ep->fd, SYMPHONY_IOC_GRANT, &service);

	return ret ?: service.grant;
}

static int claim(struct ep *ep, const char *name, int fd, __u32 flags)
{
	struct symphony_service service = {
		.size = sizeof(service), .flags = flags | SYMPHONY_CLAIM_GRANT,
		.name = (uintptr_t)name, .name_len = strlen(name), .grant = fd,
	};

	return dev_ioctl(ep->fd, SYMPHONY_IOC_CLAIM, &service);
}

static int claim_bare(struct ep *ep, const char *name)
{
	return ep_claim(ep, name, (__u64[1]){});
}

/* A program that is run anew: it has nothing but the file. */
static __attribute__((constructor)) void claim_after_exec(void)
{
	const char *bus = getenv("GRANT_BUS");
	struct ep ep;
	int err;

	if (!bus)
		return;
	err = join(&ep, bus, 0, 0, NULL, 0) ?:
	      claim(&ep, "svc", atoi(getenv("GRANT_FD")), 0);
	_exit(err ? 1 : 0);
}

FIXTURE(grant)
{
	struct ep creator, other;
};

FIXTURE_SETUP(grant)
{
	dev_begin();
	ASSERT_EQ(0, join(&self->creator, dev_bus(), EXCL | SYMPHONY_JOIN_GRANTS,
			  0666, NULL, 0));
	ASSERT_EQ(0, join(&self->other, dev_bus(), 0, 0, NULL, 0));
}

FIXTURE_TEARDOWN(grant)
{
	ep_close(&self->other);
	ep_close(&self->creator);
}

TEST_F(grant, is_needed_by_all_but_the_creator)
{
	__u64 handle;
	int fd;

	EXPECT_EQ(-EPERM, claim_bare(&self->other, "svc"));
	/* Nothing is there by that, and it was not a matter of who is first. */
	EXPECT_EQ(-ENOENT, ep_resolve(&self->other, "svc", &handle));
	EXPECT_EQ(0, claim_bare(&self->creator, "svc"));
	EXPECT_EQ(-EPERM, claim_bare(&self->other, "svc"));

	fd = grant(&self->creator, "svc");
	ASSERT_GE(fd, 0);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(0, claim(&self->other, "svc", fd, 0));
	close(fd);
}

TEST_F(grant, is_needed_to_take_over_and_to_activate)
{
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)"svc", .name_len = 3,
		.flags = SYMPHONY_CLAIM_TAKEOVER,
	};
	const struct symphony_msg *msg;
	int fd = grant(&self->creator, "svc");

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, claim_bare(&self->creator, "svc"));
	EXPECT_EQ(-EPERM, dev_ioctl(self->other.fd, SYMPHONY_IOC_CLAIM, &service));
	service.flags = SYMPHONY_CLAIM_ACTIVATOR;
	EXPECT_EQ(-EPERM, dev_ioctl(self->other.fd, SYMPHONY_IOC_CLAIM, &service));
	EXPECT_EQ(0, claim(&self->other, "svc", fd, SYMPHONY_CLAIM_TAKEOVER));
	msg = ep_next(&self->creator, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_TAKEOVER, msg->type);
	close(fd);
}

TEST_F(grant, is_for_one_name_on_one_bus)
{
	struct ep elsewhere;
	int fd = grant(&self->creator, "svc");

	ASSERT_GE(fd, 0);
	EXPECT_EQ(-EPERM, claim(&self->other, "sv", fd, 0));
	EXPECT_EQ(-EPERM, claim(&self->other, "svc2", fd, 0));
	ASSERT_EQ(0, join(&elsewhere, "test-elsewhere", EXCL | SYMPHONY_JOIN_GRANTS,
			  0, NULL, 0));
	EXPECT_EQ(-EPERM, claim(&elsewhere, "svc", fd, 0));
	EXPECT_EQ(0, claim_bare(&elsewhere, "svc"));
	ep_close(&elsewhere);
	close(fd);
}

TEST_F(grant, is_no_other_file)
{
	int fd = grant(&self->creator, "svc"), pipe_fds[2], gone;
	int others[] = {
		self->other.fd, self->creator.fd, STDOUT_FILENO, -1, 0x7fffffff,
		-0x7fffffff,
	};

	ASSERT_GE(fd, 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_EQ(-EBADF, claim(&self->other, "svc", others[i], 0))
			TH_LOG("file %d", others[i]);
	}
	ASSERT_EQ(0, pipe(pipe_fds));
	EXPECT_EQ(-EBADF, claim(&self->other, "svc", pipe_fds[0], 0));
	gone = dup(fd);
	close(gone);
	EXPECT_EQ(-EBADF, claim(&self->other, "svc", gone, 0));
	/* And it is of no other use. */
	EXPECT_NE(0, dev_ioctl(fd, SYMPHONY_IOC_QUERY, &(struct symphony_query){
		.size = sizeof(struct symphony_query) }));
	EXPECT_EQ(-1, read(fd, &gone, 1));
	EXPECT_EQ(-1, write(fd, &gone, 1));
	EXPECT_EQ(0, claim(&self->other, "svc", fd, 0));
}

TEST_F(grant, is_given_by_the_creating_endpoint_alone)
{
	struct ep late;

	/* The same process, the same uid: another endpoint. */
	EXPECT_EQ(-EPERM, grant(&self->other, "svc"));
	ep_close(&self->creator);
	EXPECT_EQ(-EPERM, grant(&self->other, "svc"));
	ASSERT_EQ(0, join(&late, dev_bus(), 0, 0, NULL, 0));
	EXPECT_EQ(-EPERM, grant(&late, "svc"));
	EXPECT_EQ(-EPERM, claim_bare(&late, "svc"));
	ep_close(&late);
}

TEST_F(grant, names_are_checked)
{
	char longest[SYMPHONY_NAME_MAX + 2] = {};

	EXPECT_EQ(-EINVAL, grant(&self->creator, ""));
	EXPECT_EQ(-EINVAL, grant(&self->creator, "Svc"));
	memset(longest, 'x', SYMPHONY_NAME_MAX + 1);
	EXPECT_EQ(-ENAMETOOLONG, grant(&self->creator, longest));
	longest[SYMPHONY_NAME_MAX] = 0;
	EXPECT_LE(0, grant(&self->creator, longest));
}

TEST_F(grant, is_inherited_by_a_program)
{
	int fd = grant(&self->creator, "svc"), status;
	pid_t pid;

	ASSERT_GE(fd, 0);
	for (int inherit = 0; inherit < 2; inherit++) {
		pid = fork();
		if (!pid) {
			char number[16];

			snprintf(number, sizeof(number), "%d", fd);
			setenv("GRANT_FD", number, 1);
			setenv("GRANT_BUS", dev_bus(), 1);
			if (inherit)
				fcntl(fd, F_SETFD, 0);
			execl("/proc/self/exe", "grant", NULL);
			_exit(3);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		EXPECT_EQ(inherit ? 0 : 1, WEXITSTATUS(status));
	}
}

TEST_F(grant, is_passed_over_a_socket)
{
	int fd = grant(&self->creator, "svc");
	struct kid kid;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_GE(fd, 0);
	if (!kid_fork(&kid)) {
		struct ep ep;
		int taken;

		close(fd);
		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, join(&ep, dev_bus(), 0, 0, NULL, 0));
		EXPECT_EQ(-EPERM, claim_bare(&ep, "svc"));
		taken = kid_take(&kid);
		EXPECT_LE(0, taken);
		EXPECT_EQ(0, claim(&ep, "svc", taken, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_pass(&kid, fd));
	close(fd);
	EXPECT_EQ(0, kid_reap(&kid));
	/* It is hers now, as she was the first; a grant does not change that. */
	EXPECT_EQ(-EPERM, claim_bare(&self->creator, "svc"));
	fd = grant(&self->creator, "svc");
	EXPECT_EQ(-EPERM, claim(&self->other, "svc", fd, 0));
}

TEST_F(grant, does_not_replace_the_mode)
{
	struct ep closed;
	struct kid kid;
	int fd;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, join(&closed, "test-closed", EXCL | SYMPHONY_JOIN_GRANTS, 0644,
			  NULL, 0));
	fd = grant(&closed, "svc");
	ASSERT_GE(fd, 0);
	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, join(&ep, "test-closed", 0, 0, NULL, 0));
		EXPECT_EQ(-EACCES, claim(&ep, "svc", fd, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	ep_close(&closed);
}

TEST_F(grant, outlives_its_giver_but_not_its_bus)
{
	int fd = grant(&self->creator, "svc");

	ASSERT_GE(fd, 0);
	ep_close(&self->creator);
	EXPECT_EQ(0, claim(&self->other, "svc", fd, 0));
	/* It keeps no bus, and is for none of the same name. */
	ep_close(&self->other);
	EXPECT_EQ(-ENOENT, join(&self->other, dev_bus(), 0, 0, NULL, 0));
	ASSERT_EQ(0, join(&self->creator, dev_bus(), EXCL | SYMPHONY_JOIN_GRANTS, 0,
			  NULL, 0));
	EXPECT_EQ(-EPERM, claim(&self->creator, "svc", fd, 0));
	EXPECT_EQ(0, claim_bare(&self->creator, "svc"));
}

TEST_F(grant, are_inherited_once_the_giver_is_dead)
{
	int old = grant(&self->creator, "svc"), fd;
	struct ep heir;

	ASSERT_GE(old, 0);
	EXPECT_EQ(-EBUSY, join(&heir, dev_bus(), SYMPHONY_JOIN_INHERIT, 0, NULL, 0));
	EXPECT_EQ(-ENOENT, join(&heir, "test-no-such", SYMPHONY_JOIN_INHERIT, 0, NULL, 0));
	EXPECT_EQ(-EINVAL, join(&heir, dev_bus(), SYMPHONY_JOIN_INHERIT |
				SYMPHONY_JOIN_CREATE, 0, NULL, 0));
	ep_close(&self->creator);
	EXPECT_EQ(-EPERM, grant(&self->other, "svc"));
	EXPECT_EQ(-EPERM, claim_bare(&self->other, "svc"));

	ASSERT_EQ(0, join(&heir, dev_bus(), SYMPHONY_JOIN_INHERIT, 0, NULL, 0));
	EXPECT_EQ(0, claim_bare(&heir, "svc"));
	fd = grant(&heir, "two");
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, claim(&self->other, "two", fd, 0));
	EXPECT_EQ(0, claim(&self->other, "svc", old, 0));
	close(fd);
	close(old);

	/* One at a time; and the next one, when that is dead. */
	EXPECT_EQ(-EBUSY, join(&self->creator, dev_bus(), SYMPHONY_JOIN_INHERIT, 0,
			       NULL, 0));
	ep_close(&heir);
	EXPECT_EQ(0, join(&self->creator, dev_bus(), SYMPHONY_JOIN_INHERIT, 0, NULL, 0));
}

TEST_F(grant, are_inherited_by_the_same_uid_alone)
{
	struct kid kid;

	if (geteuid())
		SKIP(return, "needs root");
	ep_close(&self->creator);
	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(-EPERM, join(&ep, dev_bus(), SYMPHONY_JOIN_INHERIT, 0, NULL, 0));
		EXPECT_EQ(0, join(&ep, dev_bus(), 0, 0, NULL, 0));
		EXPECT_EQ(-EPERM, grant(&ep, "svc"));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

/* A JOIN that comes to nothing inherits nothing. */
TEST_F(grant, are_not_inherited_by_who_does_not_live)
{
	long pool_max = dev_param("user_pool_max", 1);
	struct kid kid;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_LT(0, pool_max);
	if (!kid_fork(&kid)) {
		struct ep creator, others[64];
		int nr = 0;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, join(&creator, "test-alice", EXCL | SYMPHONY_JOIN_GRANTS, 0,
				  NULL, 0));
		while (nr < 64 && !join(&others[nr], "test-alice", 0, 0, NULL, 0))
			nr++;
		EXPECT_LT(1, nr);
		ep_close(&creator);
		EXPECT_EQ(0, join(&creator, "test-alice", 0, 0, NULL, 0));
		EXPECT_EQ(-EDQUOT, join(&others[nr], "test-alice", SYMPHONY_JOIN_INHERIT, 0,
					NULL, 0));
		ep_close(&others[0]);
		EXPECT_EQ(0, join(&others[0], "test-alice", SYMPHONY_JOIN_INHERIT, 0, NULL, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	dev_param("user_pool_max", pool_max);
}

TEST_F(grant, is_not_asked_for_elsewhere)
{
	struct ep a, b;
	int fd;

	ASSERT_EQ(0, join(&a, "test-plain", EXCL, 0, NULL, 0));
	ASSERT_EQ(0, join(&b, "test-plain", 0, 0, NULL, 0));
	EXPECT_EQ(0, claim_bare(&b, "one"));
	fd = grant(&a, "two");
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, claim(&b, "two", fd, 0));
	/* But one that is shown has to be right. */
	EXPECT_EQ(-EPERM, claim(&b, "three", fd, 0));
	ep_close(&a);
	ep_close(&b);
}

FIXTURE(reserve)
{
	struct ep creator, other;
};

FIXTURE_SETUP(reserve)
{
	dev_begin();
	ASSERT_EQ(0, join(&self->creator, dev_bus(), EXCL, 0666, reserved,
			  sizeof(reserved)));
	ASSERT_EQ(0, join(&self->other, dev_bus(), 0, 0, NULL, 0));
}

FIXTURE_TEARDOWN(reserve)
{
	ep_close(&self->other);
	ep_close(&self->creator);
}

TEST_F(reserve, names_need_a_grant_others_do_not)
{
	__u64 handle;
	int fd;

	EXPECT_EQ(-EPERM, claim_bare(&self->other, "pool"));
	EXPECT_EQ(-EPERM, claim_bare(&self->other, "dag"));
	EXPECT_EQ(-EPERM, claim_bare(&self->other, "store"));
	EXPECT_EQ(0, claim_bare(&self->other, "free"));
	EXPECT_EQ(0, claim_bare(&self->creator, "pool"));
	EXPECT_EQ(-EPERM, claim_bare(&self->other, "pool"));
	fd = grant(&self->creator, "dag");
	ASSERT_GE(fd, 0);
	EXPECT_EQ(-EPERM, claim(&self->other, "pool", fd, 0));
	EXPECT_EQ(0, claim(&self->other, "dag", fd, 0));
	/* What one served once is not one's for good. */
	ASSERT_EQ(0, ep_resolve(&self->other, "dag", &handle));
	EXPECT_EQ(0, ep_unclaim(&self->other, handle));
	EXPECT_EQ(-EPERM, claim_bare(&self->other, "dag"));
}

TEST_F(reserve, names_are_there_without_a_replica)
{
	struct symphony_call call;
	__u64 handle;

	ASSERT_EQ(0, ep_resolve(&self->other, "store", &handle));
	call = ep_request(handle, NULL, 0);
	EXPECT_EQ(-ECONNREFUSED, ep_send(&self->other, &call));
}

TEST_F(reserve, names_are_never_another_uids)
{
	struct kid kid;
	int fd;

	if (geteuid())
		SKIP(return, "needs root");
	fd = grant(&self->creator, "pool");
	ASSERT_GE(fd, 0);
	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, join(&ep, dev_bus(), 0, 0, NULL, 0));
		EXPECT_EQ(-EPERM, claim_bare(&ep, "pool"));
		EXPECT_EQ(-EPERM, claim(&ep, "pool", fd, 0));
		EXPECT_EQ(0, claim_bare(&ep, "hers"));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(reserve, outlives_the_creator)
{
	ep_close(&self->creator);
	EXPECT_EQ(-EPERM, claim_bare(&self->other, "pool"));
}

TEST_F(reserve, bad_lists_are_refused)
{
	char name[SYMPHONY_NAME_MAX + 2], *many = calloc(1, 8192);
	struct { int err; const char *list; __u32 len; } lists[] = {
		{ -EINVAL, "a\0b\0a", 6 },		/* twice */
		{ -EINVAL, "a\0b", 3 },			/* no end */
		{ -EINVAL, "a", 1 },
		{ -EINVAL, "a\0\0b", 5 },		/* one without letters */
		{ -EINVAL, "", 1 },
		{ -EINVAL, "a\0", 3 },
		{ -EINVAL, "a\0B", 4 },
		{ -EINVAL, "a\0b c", 6 },
		{ -EINVAL, "a", 0 },			/* somewhere, but none */
		{ -EFAULT, NULL, 2 },
		{ -EFAULT, (char *)0xffff888000000000, 2 },
		{ -EFAULT, (char *)dev_cliff() - 1, 2 },
		{ -E2BIG, many, 4097 },
		{ -E2BIG, many, 0xffffffff },
		{ -ENAMETOOLONG, name, sizeof(name) },
	};
	struct ep ep;

	memset(name, 'x', sizeof(name));
	name[SYMPHONY_NAME_MAX + 1] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		EXPECT_EQ(lists[i].err, join(&ep, "test-lists", EXCL, 0,
					     lists[i].list, lists[i].len))
			TH_LOG("list %zu", i);
	}
	/* With a bus that is there already there would be nothing to reserve. */
	EXPECT_EQ(-EINVAL, join(&ep, "test-lists", SYMPHONY_JOIN_CREATE, 0, "a", 2));
	EXPECT_EQ(-EINVAL, join(&ep, "test-lists", 0, 0, "a", 2));
	EXPECT_EQ(-EINVAL, join(&ep, "test-lists", SYMPHONY_JOIN_CREATE |
				SYMPHONY_JOIN_GRANTS, 0, NULL, 0));
	EXPECT_EQ(-ENOENT, join(&ep, "test-lists", 0, 0, NULL, 0));
	free(many);
}

TEST_F(reserve, lists_can_be_long)
{
	char list[4096], *at = list;
	struct ep ep, other;

	/* 512 of them, of 7 letters. */
	for (int i = 0; i < 512; i++)
		at += snprintf(at, 9, "name%03d", i) + 1;
	ASSERT_EQ(sizeof(list), at - list);
	ASSERT_EQ(0, join(&ep, "test-lists", EXCL, 0, list, sizeof(list)));
	ASSERT_EQ(0, join(&other, "test-lists", 0, 0, NULL, 0));
	EXPECT_EQ(-EPERM, claim_bare(&other, "name000"));
	EXPECT_EQ(-EPERM, claim_bare(&other, "name511"));
	EXPECT_EQ(0, claim_bare(&ep, "name511"));
	ep_close(&ep);
	ep_close(&other);
}

TEST_HARNESS_MAIN
