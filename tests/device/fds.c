// SPDX-License-Identifier: MIT
/*
 * File descriptors on messages: what arrives are the sender's files, whoever has the
 * message claims them, once and all of them, and what cannot be sent is refused.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/io_uring.h>
#include <kselftest_harness.h>

#include "files_fixture.h"

#define ALICE	1001

TEST_F(fds, of_a_request_are_the_same_files)
{
	int file = memfd_create("test", MFD_CLOEXEC), got[MAX] = {};
	const int sent[] = { file, self->f.probe.write };
	struct symphony_call call = with_fds(self->f.svc, sent, 2);
	const struct symphony_msg *msg;
	struct stat a, b;
	char text[4];

	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	EXPECT_EQ(self->f.used + 2, files_in_flight());
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(2, msg->nr_fds);
	EXPECT_EQ(4, msg->body_len);
	ASSERT_EQ(0, take_fds(&self->f.server, msg, got, MAX));
	EXPECT_EQ(self->f.used, files_in_flight());
	EXPECT_EQ(FD_CLOEXEC, fcntl(got[0], F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(got[1], F_GETFD));
	EXPECT_EQ(0, fstat(file, &a));
	EXPECT_EQ(0, fstat(got[0], &b));
	EXPECT_EQ(a.st_ino, b.st_ino);
	EXPECT_EQ(3, pwrite(file, "one", 3, 0));
	EXPECT_EQ(3, pread(got[0], text, 4, 0));
	EXPECT_EQ(0, memcmp(text, "one", 3));
	EXPECT_TRUE(probe_is(&self->f.probe, got[1]));
	/* The sender's are its own still. */
	EXPECT_TRUE(probe_is(&self->f.probe, self->f.probe.write));
	close(file);
	close(got[0]);
	close(got[1]);
	EXPECT_EQ(0, ep_reply(&self->f.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
}

TEST_F(fds, of_an_answer_are_the_same_files)
{
	struct caller caller;
	const struct symphony_msg *msg;
	int fd;

	ASSERT_EQ(0, caller_start(&caller, &self->f.client, ep_request(self->f.svc, "x", 1)));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, msg->nr_fds);
	EXPECT_EQ(-ENOENT, take_fds(&self->f.server, msg, &fd, 1));
	EXPECT_EQ(0, reply_fds(&self->f.server, msg, &self->f.probe.write, 1, NULL));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	ASSERT_EQ(0, caller.ret ?: caller.call.status);
	msg = ep_msg(&self->f.client, caller.call.offset);
	EXPECT_EQ(1, msg->nr_fds);
	EXPECT_EQ(6, msg->body_len);
	ASSERT_EQ(0, take_fds(&self->f.client, msg, &fd, 1));
	EXPECT_TRUE(probe_is(&self->f.probe, fd));
	close(fd);
	EXPECT_EQ(-ENOENT, take_fds(&self->f.client, msg, &fd, 1));
}

TEST_F(fds, of_an_answer_that_is_received_or_larger_than_its_room)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	static char large[20000];
	const struct symphony_msg *msg;
	struct symphony_reply reply;
	int fd;

	call.reply_max = 1;
	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	reply = (struct symphony_reply){
		.size = sizeof(reply), .id = msg->id, .slot = ep_offset(&self->f.server, msg),
		.body = (uintptr_t)large, .body_len = sizeof(large),
		.fds = (uintptr_t)&self->f.probe.write, .nr_fds = 1,
	};
	ASSERT_EQ(0, dev_ioctl(self->f.server.fd, SYMPHONY_IOC_REPLY, &reply));
	/* Before it is received, it is nobody's. */
	EXPECT_EQ(-ESRCH, fds_of(&self->f.client, call.id, call.slot, &fd, 1));
	msg = ep_next(&self->f.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(sizeof(large), msg->body_len);
	ASSERT_EQ(0, take_fds(&self->f.client, msg, &fd, 1));
	EXPECT_TRUE(probe_is(&self->f.probe, fd));
	close(fd);
}

TEST_F(fds, are_sixteen_at_most_and_in_order)
{
	struct probe probes[MAX];
	int sent[MAX + 1], got[MAX];
	struct symphony_call call = with_fds(self->f.svc, sent, MAX + 1);
	const struct symphony_msg *msg;

	for (int i = 0; i < MAX; i++) {
		ASSERT_EQ(0, probe_open(&probes[i]));
		sent[i] = probes[i].write;
	}
	sent[MAX] = 0;
	EXPECT_EQ(-EINVAL, ep_send(&self->f.client, &call));
	EXPECT_EQ(-EINVAL, ep_call(&self->f.client, &call));
	call.nr_fds = ~0U;
	EXPECT_EQ(-EINVAL, ep_send(&self->f.client, &call));
	call.nr_fds = MAX;
	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(MAX, msg->nr_fds);
	ASSERT_EQ(0, take_fds(&self->f.server, msg, got, MAX));
	EXPECT_EQ(-EINVAL, reply_fds(&self->f.server, msg, sent, MAX + 1, NULL));
	EXPECT_EQ(0, reply_fds(&self->f.server, msg, NULL, 0, NULL));
	for (int i = 0; i < MAX; i++) {
		EXPECT_TRUE(probe_is(&probes[i], got[i]));
		close(got[i]);
		close(probes[i].read);
		close(probes[i].write);
	}
}

/* Nothing comes of a message with one that cannot be sent. */
TEST_F(fds, that_cannot_be_sent_are_refused)
{
	int grant, ring, bare = dev_open();
	struct io_uring_params params = {};
	struct { int fd, error; } bad[] = {
		{ -1, -EBADF }, { 4000, -EBADF }, { bare, -ELOOP },
		{ self->f.server.fd, -ELOOP }, { self->f.client.fd, -ELOOP }, { -1, -EBADF },
	};
	const struct symphony_msg *msg;
	struct symphony_call call;
	int sent[2] = { self->f.probe.write };

	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring >= 0) {
		bad[5].fd = ring;
		bad[5].error = -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		sent[1] = bad[i].fd;
		call = with_fds(self->f.svc, sent, 2);
		EXPECT_EQ(bad[i].error, ep_send(&self->f.client, &call)) TH_LOG("of %zu", i);
		EXPECT_EQ(bad[i].error, ep_call(&self->f.client, &call)) TH_LOG("of %zu", i);
		EXPECT_EQ(0, call.id);
	}
	call = with_fds(self->f.svc, (int *)(dev_cliff() - sizeof(int)), 2);
	EXPECT_EQ(-EFAULT, ep_send(&self->f.client, &call));
	EXPECT_TRUE(ep_is_quiet(&self->f.server));
	EXPECT_EQ(self->f.used, files_in_flight());
	/* The call is as it was when its answer is refused. */
	call = with_fds(self->f.svc, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		sent[1] = bad[i].fd;
		EXPECT_EQ(bad[i].error, reply_fds(&self->f.server, msg, sent, 2, NULL));
	}
	EXPECT_EQ(-EFAULT, reply_fds(&self->f.server, msg, (int *)8, 1, NULL));
	EXPECT_EQ(0, reply_fds(&self->f.server, msg, sent, 1, NULL));
	EXPECT_EQ(-ESRCH, reply_fds(&self->f.server, msg, sent, 1, NULL));
	/* A grant is a file like others. */
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)"svc", .name_len = 3,
	};
	ASSERT_EQ(0, dev_ioctl(self->f.client.fd, SYMPHONY_IOC_GRANT, &service));
	grant = service.grant;
	call = with_fds(self->f.svc, &grant, 1);
	EXPECT_EQ(0, ep_send(&self->f.client, &call));
	close(grant);
	close(bare);
	if (ring >= 0)
		close(ring);
}

TEST_F(fds, are_claimed_by_what_names_them)
{
	const int sent[] = { self->f.probe.write, self->f.probe.write };
	struct symphony_call call = with_fds(self->f.svc, sent, 2);
	const struct symphony_msg *msg;
	int got[2], open;
	__u32 at;

	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	/* Queued: it is nobody's yet. */
	for (at = 0; at < 4096; at += SYMPHONY_POOL_ALIGN) {
		EXPECT_EQ(-ESRCH, fds_of(&self->f.server, call.id, at, got, 2));
	}
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	at = ep_offset(&self->f.server, msg);
	open = files_open();
	EXPECT_EQ(-ESRCH, fds_of(&self->f.server, msg->id + 1, at, got, 2));
	EXPECT_EQ(-ESRCH, fds_of(&self->f.server, msg->id, at + SYMPHONY_POOL_ALIGN, got, 2));
	EXPECT_EQ(-ESRCH, fds_of(&self->f.server, msg->id, at + 1, got, 2));
	EXPECT_EQ(-ESRCH, fds_of(&self->f.server, msg->id, SYMPHONY_NO_OFFSET, got, 2));
	EXPECT_EQ(-ESRCH, fds_of(&self->f.other, msg->id, at, got, 2));
	EXPECT_EQ(-ERANGE, fds_of(&self->f.server, msg->id, at, got, 1));
	EXPECT_EQ(-EFAULT, fds_of(&self->f.server, msg->id, at, (int *)8, 2));
	/* The first can be told, the second not. */
	EXPECT_EQ(-EFAULT, fds_of(&self->f.server, msg->id, at,
				  (int *)(dev_cliff() - sizeof(int)), 2));
	EXPECT_EQ(open, files_open());
	EXPECT_EQ(self->f.used + 2, files_in_flight());
	ASSERT_EQ(0, fds_of(&self->f.server, msg->id, at, got, 2));
	EXPECT_EQ(open + 2, files_open());
	close(got[0]);
	close(got[1]);
	EXPECT_EQ(-ENOENT, fds_of(&self->f.server, msg->id, at, got, 2));
	EXPECT_EQ(0, ep_reply(&self->f.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(-ESRCH, fds_of(&self->f.server, call.id, at, got, 2));
}

/* All or none, and the message has them still. */
TEST_F(fds, find_no_room_in_a_full_table)
{
	int sent[3] = { self->f.probe.write, self->f.probe.write, self->f.probe.write };
	struct symphony_call call = with_fds(self->f.svc, sent, 3);
	const struct symphony_msg *msg;
	struct rlimit before, tight;
	int got[3], open, top;

	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	open = files_open();
	top = dup(0);
	close(top);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	tight = before;
	for (int room = 0; room < 3; room++) {
		tight.rlim_cur = top + room;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &tight));
		EXPECT_EQ(-EMFILE, take_fds(&self->f.server, msg, got, 3));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
		EXPECT_EQ(open, files_open());
	}
	ASSERT_EQ(0, take_fds(&self->f.server, msg, got, 3));
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(probe_is(&self->f.probe, got[i]));
		close(got[i]);
	}
}

TEST_F(fds, are_not_for_another_process)
{
	const struct symphony_msg *msg;
	struct kid kid;
	int fd;

	ASSERT_EQ(0, send_probe(&self->f));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	fd = ep_offset(&self->f.server, msg);
	if (!kid_fork(&kid))
		_exit(fds_of(&self->f.server, 1, fd, &fd, 1) != -EPERM);
	EXPECT_EQ(0, kid_reap(&kid));
	ASSERT_EQ(0, take_fds(&self->f.server, msg, &fd, 1));
	EXPECT_TRUE(probe_is(&self->f.probe, fd));
	close(fd);
}

/* What a user may have on the way, without CAP_SYS_RESOURCE. */
static int use_it_up(struct files *f, struct kid *kid)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct ep alice;
	int fds[MAX];
	__u32 limit = 0;
	__u64 svc, own;
	__s64 go;

	for (int i = 0; i < MAX; i++)
		fds[i] = f->probe.write;
	if (dev_become(ALICE, ALICE) || ep_join(&alice, MIB) ||
	    ep_resolve(&alice, "svc", &svc) || ep_claim(&alice, "hers", &own))
		return 2;
	call = with_fds(svc, fds, 5);
	if (ep_send(&alice, &call) != -EDQUOT || call.limit != SYMPHONY_LIMIT_USER_FILES)
		return 3;
	call = with_fds(svc, fds, 3);
	if (ep_send(&alice, &call) || files_in_flight() != 3)
		return 4;
	call = with_fds(svc, fds, 2);
	if (ep_send(&alice, &call) != -EDQUOT || call.id)
		return 5;
	call = with_fds(svc, fds, 1);
	if (ep_send(&alice, &call) || files_in_flight() != 4)
		return 6;
	/* Claimed by root, who is not charged. */
	kid_tell(kid, 1);
	if (kid_hear(kid, &go) || files_in_flight() != 1)
		return 7;
	/* An answer counts likewise. */
	msg = ep_next(&alice, DEV_LONG);
	if (!msg || msg->type != SYMPHONY_MSG_CALL)
		return 8;
	if (reply_fds(&alice, msg, fds, 4, &limit) != -EDQUOT ||
	    limit != SYMPHONY_LIMIT_USER_FILES)
		return 9;
	if (reply_fds(&alice, msg, fds, 3, NULL) || files_in_flight() != 4)
		return 10;
	return 0;
}

TEST_F(fds, on_the_way_are_limited_for_each_user)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct kid kid;
	int got[MAX];
	__u64 hers;
	__s64 told;
	long max;

	if (geteuid())
		SKIP(return, "needs root");
	max = dev_param("user_files_max", 4);
	ASSERT_GT(max, 0);
	if (!kid_fork(&kid))
		_exit(use_it_up(&self->f, &kid));
	EXPECT_EQ(0, kid_hear(&kid, &told));
	msg = ep_next(&self->f.server, DEV_LONG);
	EXPECT_EQ(0, msg ? take_fds(&self->f.server, msg, got, MAX) : -errno);
	for (int i = 0; msg && i < 3; i++)
		close(got[i]);
	EXPECT_EQ(0, ep_resolve(&self->f.client, "hers", &hers));
	call = ep_request(hers, "x", 1);
	EXPECT_EQ(0, ep_send(&self->f.client, &call));
	kid_tell(&kid, 1);
	EXPECT_EQ(0, kid_reap(&kid));
	dev_param("user_files_max", max);
}

struct racer {
	struct files *f;
	const struct symphony_msg *msg;
	pthread_barrier_t *barrier;
	int ret, fd;
	bool releases;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	pthread_barrier_wait(racer->barrier);
	racer->ret = racer->releases ? ep_release(&racer->f->server, racer->msg) :
				       take_fds(&racer->f->server, racer->msg, &racer->fd, 1);
	return NULL;
}

/* Two threads claim and one releases: one at most has it, and none is left. */
TEST_F(fds, have_one_claimer)
{
	int rounds = dev_slow() ? 50 : 300;

	for (int i = 0; i < rounds; i++) {
		struct symphony_call call = with_fds(self->f.svc, &self->f.probe.write, 1);
		struct racer racers[3] = {};
		pthread_barrier_t barrier;
		pthread_t threads[3];
		__u64 cookie;
		int had = 0;

		call.flags = i % 2 ? SYMPHONY_CALL_IDEMPOTENT : 0;
		ASSERT_EQ(0, ep_send(&self->f.client, &call));
		pthread_barrier_init(&barrier, NULL, 3);
		racers[0].msg = ep_next(&self->f.server, DEV_LONG);
		ASSERT_NE(NULL, racers[0].msg);
		for (int j = 0; j < 3; j++) {
			racers[j] = (struct racer){
				.f = &self->f, .msg = racers[0].msg, .barrier = &barrier,
				.releases = j == 2 && i % 3,
			};
			ASSERT_EQ(0, pthread_create(&threads[j], NULL, race, &racers[j]));
		}
		for (int j = 0; j < 3; j++) {
			pthread_join(threads[j], NULL);
			if (racers[j].releases) {
				EXPECT_EQ(0, racers[j].ret);
			} else if (!racers[j].ret) {
				had++;
				close(racers[j].fd);
			} else {
				EXPECT_TRUE(racers[j].ret == -ENOENT ||
					    racers[j].ret == -EBUSY ||
					    racers[j].ret == -ESRCH)
					TH_LOG("gave %d", racers[j].ret);
			}
		}
		EXPECT_LE(had, 1);
		if (!(i % 3)) {
			EXPECT_EQ(1, had);
			EXPECT_EQ(0, ep_release(&self->f.server, racers[0].msg));
		}
		EXPECT_EQ(0, ep_cancel(&self->f.client, call.id, call.slot));
		EXPECT_EQ(self->f.used, files_in_flight());
		pthread_barrier_destroy(&barrier);
		ASSERT_EQ(-ECANCELED, ep_fetch(&self->f.client, &cookie));
	}
}

TEST_HARNESS_MAIN
