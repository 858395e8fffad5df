// SPDX-License-Identifier: MIT
/*
 * Pid, uid and gid in user and pid namespaces that lie in one another: each
 * process is to each other one what that one's namespaces know of it.
 */
#include <sched.h>
#include <kselftest_harness.h>

#include "device.h"

#define OVERFLOW	65534

/* What somebody is to somebody else. */
struct seen {
	__u32 pid, uid, gid;
};

#define ANY_PID	(~0U)

/*
 * Three processes, each a service "level-N", call each other; @seen is what this
 * one is to see. What is answered is seen as what calls. The pid of the last.
 */
static __u32 meet(struct __test_metadata *_metadata, int level, struct ep *ep,
		  const struct seen seen[3])
{
	const struct symphony_msg *msg;
	char name[] = "level-0";
	__u64 handle;
	__u32 pid = 0;

	name[6] += level;
	EXPECT_EQ(0, ep_claim(ep, name, &handle));
	for (int other = 0; other < 3; other++) {
		struct symphony_call call;
		int ret, ms = 0;

		if (other == level)
			continue;
		name[6] = '0' + other;
		/* The name is there a moment before its first replica is. */
		do {
			call = ep_request(0, NULL, 0);
			call.method = level;
			call.cookie = other;
			ret = ep_resolve(ep, name, &call.handle) ?: ep_send(ep, &call);
		} while ((ret == -ENOENT || ret == -ECONNREFUSED) && ms++ < DEV_LONG &&
			 (dev_nap(1), true));
		EXPECT_EQ(0, ret);
	}
	for (int i = 0; i < 4 && (msg = ep_next(ep, DEV_LONG)); i++) {
		bool called = msg->type == SYMPHONY_MSG_CALL;
		__u64 whom = called ? msg->method : msg->cookie;

		if (seen[whom].pid != ANY_PID) {
			EXPECT_EQ(seen[whom].pid, msg->pid)
				TH_LOG("%llu at %d", whom, level);
		}
		EXPECT_EQ(seen[whom].uid, msg->uid) TH_LOG("%llu at %d", whom, level);
		EXPECT_EQ(seen[whom].gid, msg->gid) TH_LOG("%llu at %d", whom, level);
		if (whom == 2)
			pid = msg->pid;
		if (called) {
			EXPECT_EQ(0, ep_reply(ep, msg, NULL, 0, 0));
		} else {
			EXPECT_EQ(0, msg->status);
		}
	}
	EXPECT_NE(NULL, msg);
	return pid;
}

static void innermost(struct __test_metadata *_metadata, struct kid *kid)
{
	static const struct seen seen[] = {
		{ 0, OVERFLOW, OVERFLOW }, { 0, OVERFLOW, OVERFLOW }, {},
	};
	struct ep ep;

	EXPECT_EQ(1, getpid());
	EXPECT_EQ(0, dev_become(5, 15));
	EXPECT_EQ(0, unshare(CLONE_NEWUSER));
	EXPECT_EQ(0, dev_write("/proc/self/setgroups", "deny"));
	EXPECT_EQ(0, dev_write("/proc/self/uid_map", "42 5 1"));
	EXPECT_EQ(0, dev_write("/proc/self/gid_map", "43 15 1"));
	EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
	meet(_metadata, 2, &ep, seen);
	kid_hear(kid, (__s64[1]){});
	_exit(0);
}

static void in_between(struct __test_metadata *_metadata, struct kid *kid)
{
	struct kid inner;
	struct ep ep;
	__s64 value;

	EXPECT_EQ(1, getpid());
	EXPECT_EQ(0, unshare(CLONE_NEWPID));
	if (!kid_fork(&inner))
		innermost(_metadata, &inner);
	EXPECT_EQ(0, dev_become(7, 17));
	EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), 0, 0, 0));
	meet(_metadata, 1, &ep, (struct seen[3]){
		{ 0, OVERFLOW, OVERFLOW }, {}, { inner.pid, 5, 15 } });
	kid_hear(kid, &value);
	kid_tell(&inner, value);
	_exit(kid_reap(&inner));
}

/* Is @pid here one that has the number 1 two namespaces further in? */
static bool is_inner_init(__u32 pid)
{
	char path[64], line[128];
	int at, here, between, init;
	bool is = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		at = sscanf(line, "NSpid: %d %d %d", &here, &between, &init);
		is |= at == 3 && here == pid && between > 1 && init == 1;
	}
	if (file)
		fclose(file);
	return is;
}

/* What a kid expects counts, with a fixture: its metadata is shared. */
FIXTURE(nested)
{
	struct ep ep;
};

FIXTURE_SETUP(nested)
{
	dev_begin();
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, ep_join_bus(&self->ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0666, 0));
}

FIXTURE_TEARDOWN(nested)
{
	ep_close(&self->ep);
}

TEST_F(nested, each_sees_what_its_namespaces_know)
{
	struct kid outer;
	__s64 pid;
	int ret;

	if (!kid_fork(&outer)) {
		struct kid between;

		if (kid_unshare(&outer, CLONE_NEWUSER | CLONE_NEWPID))
			_exit(1);
		if (!kid_fork(&between))
			in_between(_metadata, &between);
		kid_tell(&outer, between.pid);
		kid_hear(&outer, &pid);
		kid_tell(&between, 0);
		_exit(kid_reap(&between));
	}
	ret = kid_map(&outer, "0 100000 1000");
	if (ret)
		SKIP(return, "no user or pid namespaces (%d)", ret);
	ASSERT_EQ(0, kid_hear(&outer, &pid));
	pid = meet(_metadata, 0, &self->ep, (struct seen[3]){
		{}, { pid, 100007, 100017 }, { ANY_PID, 100005, 100015 } });
	EXPECT_TRUE(is_inner_init(pid)) TH_LOG("pid %lld", pid);
	kid_tell(&outer, 0);
	EXPECT_EQ(0, kid_reap(&outer));
}

TEST_HARNESS_MAIN
