// SPDX-License-Identifier: MIT
/*
 * Who sent it is the kernel's word: pid, uid and gid of the sender's owner as
 * the receiver's namespaces see them, fixed at JOIN.
 */
#include <sched.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

#define ALICE		1001
#define ALICES		1002
#define OVERFLOW	65534

FIXTURE(identity)
{
	struct ep server;	/* on a bus for everybody */
	__u64 svc;
};

FIXTURE_SETUP(identity)
{
	dev_begin();
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join_bus(&self->server, dev_bus(), SYMPHONY_JOIN_CREATE,
				 0666, 0));
	ASSERT_EQ(0, ep_claim(&self->server, "outer", &self->svc));
}

FIXTURE_TEARDOWN(identity)
{
	ep_close(&self->server);
}

static int become(uid_t ruid, uid_t euid, gid_t rgid, gid_t egid)
{
	if (syscall(SYS_setresgid, rgid, egid, -1) ||
	    syscall(SYS_setresuid, ruid, euid, -1))
		return -errno;
	return 0;
}

static int join_and_send(struct ep *ep)
{
	struct symphony_call call;
	__u64 handle;
	int ret = ep_join_bus(ep, dev_bus(), 0, 0, 0) ?:
		  ep_resolve(ep, "outer", &handle);

	if (ret)
		return ret;
	call = ep_request(handle, NULL, 0);
	return ep_send(ep, &call);
}

/* A kid keeps its endpoint, whose requests go with it, until it is told. */
static void stay(struct kid *kid)
{
	__s64 value;

	kid_hear(kid, &value);
	_exit(0);
}

TEST_F(identity, is_that_of_the_senders_process)
{
	const struct symphony_msg *msg;
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, become(ALICE, ALICE, ALICES, ALICES));
		EXPECT_EQ(0, join_and_send(&ep));
		stay(&kid);
	}
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(kid.pid, msg->pid);
	EXPECT_EQ(ALICE, msg->uid);
	EXPECT_EQ(ALICES, msg->gid);
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(identity, is_the_effective_one_at_join)
{
	const struct symphony_msg *msg;
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;
		__u64 handle;

		EXPECT_EQ(0, become(0, ALICE, 0, ALICES));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		EXPECT_EQ(0, become(-1, 0, -1, -1));
		EXPECT_EQ(0, ep_resolve(&ep, "outer", &handle));
		call = ep_request(handle, NULL, 0);
		EXPECT_EQ(0, ep_send(&ep, &call));
		stay(&kid);
	}
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(ALICE, msg->uid);
	EXPECT_EQ(ALICES, msg->gid);
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
}

static void *send_from_thread(void *arg)
{
	struct symphony_call call = ep_request(0, NULL, 0);
	struct ep *ep = arg;
	__u64 handle;

	ep_resolve(ep, "outer", &handle);
	call.handle = handle;
	ep_send(ep, &call);
	return NULL;
}

TEST_F(identity, of_a_thread_is_its_process)
{
	const struct symphony_msg *msg;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, send_from_thread, &self->server));
	pthread_join(thread, NULL);
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(getpid(), msg->pid);
}

TEST_F(identity, of_a_replier_is_its_own)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct kid kid;
	__s64 handle;

	if (!kid_fork(&kid)) {
		struct ep ep;
		__u64 svc = 0;

		EXPECT_EQ(0, become(ALICE, ALICE, ALICES, ALICES));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		EXPECT_EQ(0, ep_claim(&ep, "hers", &svc));
		kid_tell(&kid, svc);
		msg = ep_next(&ep, DEV_LONG);
		EXPECT_EQ(0, ep_reply(&ep, msg, NULL, 0, 0));
		stay(&kid);
	}
	ASSERT_EQ(0, kid_hear(&kid, &handle));
	call = ep_request(handle, NULL, 0);
	ASSERT_EQ(0, ep_outcome(&self->server, &call));
	msg = ep_msg(&self->server, call.offset);
	EXPECT_EQ(kid.pid, msg->pid);
	EXPECT_EQ(ALICE, msg->uid);
	EXPECT_EQ(ALICES, msg->gid);
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(identity, from_a_child_pid_namespace_is_the_outer_pid)
{
	const struct symphony_msg *msg;
	struct kid kid;
	__s64 pid = -1;

	if (!kid_fork(&kid)) {
		struct kid inner;
		struct ep ep;

		if (unshare(CLONE_NEWPID)) {
			kid_tell(&kid, -errno);
			_exit(0);
		}
		if (!kid_fork(&inner)) {
			EXPECT_EQ(1, getpid());
			EXPECT_EQ(0, join_and_send(&ep));
			stay(&inner);
		}
		kid_tell(&kid, inner.pid);
		kid_hear(&kid, &pid);
		kid_tell(&inner, 1);
		_exit(kid_reap(&inner));
	}
	ASSERT_EQ(0, kid_hear(&kid, &pid));
	if (pid == -EINVAL)
		SKIP(return, "no pid namespaces");
	ASSERT_GT(pid, 1);
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(pid, msg->pid);
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(identity, from_outside_a_pid_namespace_is_no_pid)
{
	struct symphony_call call;
	struct kid kid;
	__s64 handle = -1;

	if (!kid_fork(&kid)) {
		struct kid inner;
		struct ep ep;
		__u64 svc = 0;

		if (unshare(CLONE_NEWPID)) {
			kid_tell(&kid, -errno);
			_exit(0);
		}
		if (!kid_fork(&inner)) {
			const struct symphony_msg *msg;

			EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
			EXPECT_EQ(0, ep_claim(&ep, "inner", &svc));
			kid_tell(&inner, svc);
			msg = ep_next(&ep, DEV_LONG);
			if (!msg)
				_exit(3);
			EXPECT_EQ(0, msg->pid);
			EXPECT_EQ(0, msg->uid);
			EXPECT_EQ(0, ep_reply(&ep, msg, NULL, 0, 0));
			stay(&inner);
		}
		kid_hear(&inner, &handle);
		kid_tell(&kid, handle);
		kid_hear(&kid, &handle);
		kid_tell(&inner, 1);
		_exit(kid_reap(&inner));
	}
	ASSERT_EQ(0, kid_hear(&kid, &handle));
	if (handle == -EINVAL)
		SKIP(return, "no pid namespaces");
	call = ep_request(handle, NULL, 0);
	ASSERT_EQ(0, ep_outcome(&self->server, &call));
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
}

/* A server in a user namespace with @map is called by root from outside. */
static void serve_in_user_ns(struct __test_metadata *_metadata, struct kid *kid,
			     const char *map, __u32 expected)
{
	const struct symphony_msg *msg;
	struct ep ep;
	__u64 svc = 0;

	if (unshare(CLONE_NEWUSER)) {
		kid_tell(kid, -errno);
		_exit(0);
	}
	if (map) {
		EXPECT_EQ(0, dev_write("/proc/self/setgroups", "deny"));
		EXPECT_EQ(0, dev_write("/proc/self/uid_map", "%s", map));
		EXPECT_EQ(0, dev_write("/proc/self/gid_map", "%s", map));
	}
	EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
	EXPECT_EQ(0, ep_claim(&ep, "inner", &svc));
	kid_tell(kid, svc);
	msg = ep_next(&ep, DEV_LONG);
	if (!msg)
		_exit(3);
	EXPECT_EQ(expected, msg->uid);
	EXPECT_EQ(expected, msg->gid);
	EXPECT_EQ(0, ep_reply(&ep, msg, NULL, 0, 0));
	stay(kid);
}

TEST_F(identity, unmapped_in_a_user_namespace_is_the_overflow_id)
{
	struct symphony_call call;
	struct kid kid;
	__s64 handle;

	if (!kid_fork(&kid))
		serve_in_user_ns(_metadata, &kid, NULL, OVERFLOW);
	ASSERT_EQ(0, kid_hear(&kid, &handle));
	if (handle < 0)
		SKIP(return, "no user namespaces");
	call = ep_request(handle, NULL, 0);
	ASSERT_EQ(0, ep_outcome(&self->server, &call));
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(identity, mapped_in_a_user_namespace_is_the_inner_id)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct kid kid;
	__s64 handle;

	if (!kid_fork(&kid))
		serve_in_user_ns(_metadata, &kid, "5000 0 1", 5000);
	ASSERT_EQ(0, kid_hear(&kid, &handle));
	if (handle < 0)
		SKIP(return, "no user namespaces");
	call = ep_request(handle, NULL, 0);
	ASSERT_EQ(0, ep_outcome(&self->server, &call));
	/* And the inner one is what it is outside. */
	msg = ep_msg(&self->server, call.offset);
	EXPECT_EQ(0, msg->uid);
	EXPECT_EQ(0, msg->gid);
	EXPECT_EQ(kid.pid, msg->pid);
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(identity, root_of_a_user_namespace_is_not_root_of_the_bus)
{
	struct ep closed;
	struct kid kid;
	__s64 ret = 0;

	ASSERT_EQ(0, ep_join_bus(&closed, "test-closed", SYMPHONY_JOIN_CREATE, 0600, 0));
	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICES));
		if (unshare(CLONE_NEWUSER)) {
			kid_tell(&kid, -EACCES);
			_exit(0);
		}
		EXPECT_EQ(0, dev_write("/proc/self/uid_map", "0 1001 1"));
		EXPECT_EQ(0, geteuid());
		kid_tell(&kid, ep_join_bus(&ep, "test-closed", 0, 0, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_hear(&kid, &ret));
	EXPECT_EQ(-EACCES, ret);
	EXPECT_EQ(0, kid_reap(&kid));
	ep_close(&closed);
}

TEST_F(identity, of_a_notice_is_that_of_whom_it_is_about)
{
	const struct symphony_msg *msg;
	struct kid kid;
	__s64 id;

	/* Of an endpoint that is gone, in a namespace that is, too. */
	if (!kid_fork(&kid)) {
		struct kid inner;
		struct ep ep;

		if (unshare(CLONE_NEWPID))
			_exit(1);
		if (!kid_fork(&inner)) {
			EXPECT_EQ(0, dev_become(ALICE, ALICES));
			EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
			kid_tell(&inner, ep.id);
			stay(&inner);
		}
		kid_hear(&inner, &id);
		kid_tell(&kid, id);
		kid_tell(&kid, inner.pid);
		kid_hear(&kid, &id);
		kid_tell(&inner, 0);
		_exit(kid_reap(&inner));
	}
	if (kid_hear(&kid, &id))
		SKIP(return, "no pid namespaces");
	ASSERT_EQ(0, ep_watch(&self->server, id, 1, 0));
	ASSERT_EQ(0, kid_hear(&kid, &id));
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_GONE, msg->type);
	EXPECT_EQ(id, msg->pid);
	EXPECT_EQ(ALICE, msg->uid);
	EXPECT_EQ(ALICES, msg->gid);

	/* Of one that took over. */
	if (!kid_fork(&kid)) {
		struct symphony_service service = {
			.size = sizeof(service), .flags = SYMPHONY_CLAIM_TAKEOVER,
			.name = (uintptr_t)"outer", .name_len = 5,
		};
		struct ep ep;

		EXPECT_EQ(0, become(-1, -1, ALICES, ALICES));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
		EXPECT_EQ(0, dev_ioctl(ep.fd, SYMPHONY_IOC_CLAIM, &service));
		stay(&kid);
	}
	msg = ep_next(&self->server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(SYMPHONY_MSG_TAKEOVER, msg->type);
	EXPECT_EQ(kid.pid, msg->pid);
	EXPECT_EQ(0, msg->uid);
	EXPECT_EQ(ALICES, msg->gid);
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_HARNESS_MAIN
