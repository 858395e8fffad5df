// SPDX-License-Identifier: MIT
/*
 * The owner's end, when its memory outlives it: a core dump, a child that shares
 * the memory, an exec beside such a child. Callers and watchers are told while
 * the memory is there still. And GONE comes after what the dead had sent.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <kselftest_harness.h>

#include "claim.h"

#define PATTERN	"/proc/sys/kernel/core_pattern"

FIXTURE(dying)
{
	struct ep client;
	struct kid kid;
	int held[2];	/* what keeps the memory ends with its first end */
	char pattern[128];
};

FIXTURE_SETUP(dying)
{
	dev_begin();
	self->pattern[0] = 0;
	ASSERT_EQ(0, ep_join(&self->client, MIB));
	ASSERT_EQ(0, pipe(self->held));
}

FIXTURE_TEARDOWN(dying)
{
	if (self->pattern[0])
		dev_write(PATTERN, "%s", self->pattern);
	ep_close(&self->client);
}

/* The kid: a replica that passes its file on, and then does as it is told. */
static struct ep serve(struct _test_data_dying *self)
{
	__u64 svc = 0;
	struct ep ep;
	__s64 go;

	close(self->held[1]);
	if (ep_join(&ep, MIB) || ep_claim(&ep, "dying", &svc))
		_exit(2);
	kid_tell(&self->kid, ep.id);
	kid_hear(&self->kid, &go);
	return ep;
}

static int wait_for_end(void *arg)
{
	char byte;

	if (read(*(int *)arg, &byte, 1) < 0)
		return 1;
	return 0;
}

/* A process with the kid's memory, but without its files. */
static void share_memory(struct _test_data_dying *self)
{
	static char stack[64 << 10] __attribute__((aligned(16)));

	if (clone(wait_for_end, stack + sizeof(stack), CLONE_VM | SIGCHLD,
		  &self->held[0]) < 0)
		_exit(3);
}

/* A call stands there, the kid is told to end; and what is told of that. */
static void expect_told(struct __test_metadata *_metadata,
			struct _test_data_dying *self)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	bool gone = false;
	__u64 svc = 0;
	__s64 id;

	ASSERT_EQ(0, kid_hear(&self->kid, &id));
	ASSERT_EQ(0, ep_watch(&self->client, id, 5, 0));
	ASSERT_EQ(0, ep_resolve(&self->client, "dying", &svc));
	call = ep_request(svc, "x", 1);
	call.deadline = 0;
	ASSERT_EQ(0, ep_send(&self->client, &call));
	kid_tell(&self->kid, 1);
	for (int i = 0; i < 2; i++) {
		msg = ep_next(&self->client, DEV_LONG);
		ASSERT_NE(NULL, msg) TH_LOG("message %d: %s", i, strerror(errno));
		gone |= msg->type == SYMPHONY_MSG_GONE;
		if (msg->type == SYMPHONY_MSG_REPLY)
			EXPECT_GT(0, msg->status);
	}
	EXPECT_TRUE(gone);
	call = ep_request(svc, "x", 1);
	EXPECT_EQ(-ECONNREFUSED, ep_outcome(&self->client, &call));
}

TEST_F(dying, core_dump_tells_callers_when_it_begins)
{
	int status, fd = open(PATTERN, O_RDONLY | O_CLOEXEC);

	if (geteuid() || fd < 0 ||
	    read(fd, self->pattern, sizeof(self->pattern) - 1) <= 0)
		SKIP(return, "core dumps cannot be directed");
	/* Reads nothing, so that the dump does not end before it does. */
	ASSERT_EQ(0, dev_write(PATTERN, "|/bin/sleep 60"));
	if (!kid_fork(&self->kid)) {
		struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
		char *memory = malloc(4 * MIB);

		setrlimit(RLIMIT_CORE, &unlimited);
		prctl(PR_SET_DUMPABLE, 1);
		memset(memory, 1, 4 * MIB);
		serve(self);
		raise(SIGSEGV);
		_exit(4);
	}
	expect_told(_metadata, self);
	/* The dump goes on. */
	EXPECT_EQ(0, waitpid(self->kid.pid, &status, WNOHANG));
	/* It ends with its reader. */
	EXPECT_EQ(0, system("pkill -x -f '/bin/sleep 60'"));
	EXPECT_EQ(128 + SIGSEGV, kid_reap(&self->kid));
}

TEST_F(dying, exit_beside_a_child_with_its_memory)
{
	if (!kid_fork(&self->kid)) {
		struct ep ep = serve(self);

		kid_pass(&self->kid, ep.fd);
		close(ep.fd);
		share_memory(self);
		_exit(0);
	}
	expect_told(_metadata, self);
	EXPECT_LE(0, kid_take(&self->kid));
	EXPECT_EQ(0, kid_reap(&self->kid));
	close(self->held[1]);
}

TEST_F(dying, exec_beside_a_child_with_its_memory)
{
	if (!kid_fork(&self->kid)) {
		struct ep ep = serve(self);

		fcntl(ep.fd, F_SETFD, 0);
		share_memory(self);
		dup2(self->held[0], 0);
		execl("/bin/cat", "cat", NULL);
		_exit(3);
	}
	expect_told(_metadata, self);
	EXPECT_EQ(0, kill(self->kid.pid, 0));
	close(self->held[1]);
	EXPECT_EQ(0, kid_reap(&self->kid));
}

#define SENT	50

FIXTURE(gone)
{
	struct ep server, watcher;
	struct kid sender;
	__u64 svc;
};

FIXTURE_SETUP(gone)
{
	__s64 id;

	dev_begin();
	ASSERT_EQ(0, ep_join(&self->server, MIB));
	/* A few messages at a time: the others wait for room. */
	ASSERT_EQ(0, ep_join(&self->watcher, SYMPHONY_POOL_MIN));
	ASSERT_EQ(0, ep_claim(&self->server, "svc", &self->svc));
	if (!kid_fork(&self->sender)) {
		static char body[200];
		struct symphony_call call;
		struct ep ep;
		long method;
		__u64 own;
		__s64 go;

		if (ep_join(&ep, MIB) || ep_claim(&ep, "sender", &own))
			_exit(2);
		kid_tell(&self->sender, ep.id);
		kid_hear(&self->sender, &go);
		for (int i = 0; i < SENT; i++) {
			call = ep_request(self->svc, body, sizeof(body));
			call.flags = SYMPHONY_CALL_ONEWAY;
			call.deadline = 0;
			call.reply_max = 0;
			call.method = i;
			if (ep_send(&ep, &call))
				_exit(3);
		}
		method = ep_serve(&ep);
		kid_tell(&self->sender, method);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, kid_hear(&self->sender, &id));
	ASSERT_EQ(0, ep_watch(&self->server, id, 1, 0));
	ASSERT_EQ(0, ep_watch(&self->watcher, id, 1, 0));
}

FIXTURE_TEARDOWN(gone)
{
	ep_close(&self->server);
	ep_close(&self->watcher);
}

/* What @ep receives up to the GONE: requests in their order, and answers. */
static void expect_gone_last(struct __test_metadata *_metadata, struct ep *ep,
			     int answers)
{
	const struct symphony_msg *msg;
	int requests = 0;

	do {
		msg = ep_next(ep, DEV_LONG);
		ASSERT_NE(NULL, msg)
			TH_LOG("%d requests: %s", requests, strerror(errno));
		if (msg->type == SYMPHONY_MSG_CALL)
			EXPECT_EQ(requests++, msg->method);
		answers -= msg->type == SYMPHONY_MSG_REPLY;
		EXPECT_EQ(0, ep_release(ep, msg));
	} while (msg->type != SYMPHONY_MSG_GONE);
	EXPECT_EQ(SENT, requests);
	EXPECT_EQ(0, answers);
	EXPECT_TRUE(ep_is_quiet(ep));
}

TEST_F(gone, comes_after_what_was_sent)
{
	struct symphony_call call;
	__u64 own = 0;
	__s64 served;

	ASSERT_EQ(0, ep_resolve(&self->server, "sender", &own));
	call = ep_request(own, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->server, &call));
	kid_tell(&self->sender, 1);
	ASSERT_EQ(0, kid_hear(&self->sender, &served));
	EXPECT_EQ(0, served);
	EXPECT_EQ(128 + SIGKILL, kid_kill(&self->sender, SIGKILL));
	dev_nap(50);
	expect_gone_last(_metadata, &self->server, 1);
}

TEST_F(gone, comes_after_what_moves)
{
	struct symphony_call call;
	__u64 own = 0;
	__s64 served;

	ASSERT_EQ(0, ep_resolve(&self->server, "sender", &own));
	call = ep_request(own, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->server, &call));
	kid_tell(&self->sender, 1);
	ASSERT_EQ(0, kid_hear(&self->sender, &served));
	ASSERT_EQ(0, ep_claim_with(&self->watcher, "svc", SYMPHONY_CLAIM_TAKEOVER,
				   0, &own));
	EXPECT_EQ(128 + SIGKILL, kid_kill(&self->sender, SIGKILL));
	dev_nap(50);
	expect_gone_last(_metadata, &self->watcher, 0);
}

TEST_HARNESS_MAIN
