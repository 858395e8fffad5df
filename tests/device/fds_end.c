// SPDX-License-Identifier: MIT
/*
 * What becomes of files that came with a message: they move with it, and when nobody
 * claims them they are closed, whoever dies and whenever.
 */
#include <signal.h>
#include <sys/socket.h>
#include <kselftest_harness.h>

#include "files_fixture.h"

TEST_F(fds, that_nobody_claims_are_closed_on_release)
{
	const struct symphony_msg *msg;
	__u64 cookie;

	ASSERT_EQ(0, send_probe(&self->f));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	/* Before it is answered. */
	ASSERT_EQ(0, ep_release(&self->f.server, msg));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_EQ(self->f.used, files_in_flight());
	EXPECT_EQ(0, ep_reply(&self->f.server, msg, NULL, 0, 0));
	EXPECT_EQ(0, ep_fetch(&self->f.client, &cookie));
}

TEST_F(fds, of_an_answered_request_can_be_claimed_until_release)
{
	const struct symphony_msg *msg;
	int fd;

	ASSERT_EQ(0, send_probe(&self->f));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_reply(&self->f.server, msg, NULL, 0, 0));
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	ASSERT_EQ(0, take_fds(&self->f.server, msg, &fd, 1));
	close(fd);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_EQ(0, ep_release(&self->f.server, msg));
}

TEST_F(fds, are_closed_with_reply_and_release)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, send_probe(&self->f));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_reply(&self->f.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, of_a_received_message_die_with_the_receiver)
{
	ASSERT_EQ(0, send_probe(&self->f));
	ASSERT_NE(NULL, ep_next(&self->f.server, DEV_LONG));
	ep_close(&self->f.server);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, of_an_answer_die_with_the_caller)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, reply_fds(&self->f.server, msg, &self->f.probe.write, 1, NULL));
	probe_part(&self->f.probe);
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	ep_close(&self->f.client);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, of_an_answer_are_closed_on_release)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, reply_fds(&self->f.server, msg, &self->f.probe.write, 1, NULL));
	probe_part(&self->f.probe);
	msg = ep_next(&self->f.client, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	ASSERT_EQ(0, ep_release(&self->f.client, msg));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, of_a_cancelled_request_are_closed)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);

	ASSERT_EQ(0, send_probe_as(&self->f, &call));
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	ASSERT_EQ(0, ep_cancel(&self->f.client, call.id, call.slot));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, of_a_late_request_are_closed)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	__u64 cookie;

	call.deadline = dev_after(DEV_BEAT);
	ASSERT_EQ(0, send_probe_as(&self->f, &call));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_EQ(-ETIME, ep_fetch(&self->f.client, &cookie));
}

TEST_F(fds, of_a_request_that_waits_end_with_its_sender)
{
	ASSERT_EQ(0, send_probe(&self->f));
	ep_close(&self->f.client);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_TRUE(ep_is_quiet(&self->f.server));
}

TEST_F(fds, of_a_received_request_outlive_its_sender_and_its_call)
{
	const struct symphony_msg *msg;
	int fd;

	ASSERT_EQ(0, send_probe(&self->f));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ep_close(&self->f.client);
	EXPECT_EQ(-ESRCH, ep_reply(&self->f.server, msg, NULL, 0, 0));
	ASSERT_EQ(0, take_fds(&self->f.server, msg, &fd, 1));
	EXPECT_TRUE(probe_is(&self->f.probe, fd));
	close(fd);
	EXPECT_EQ(0, ep_release(&self->f.server, msg));
}

TEST_F(fds, of_an_answer_that_comes_too_late_are_closed)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	const struct symphony_msg *msg;

	ASSERT_EQ(0, ep_send(&self->f.client, &call));
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_cancel(&self->f.client, call.id, call.slot));
	EXPECT_EQ(-ESRCH, reply_fds(&self->f.server, msg, &self->f.probe.write, 1, NULL));
	EXPECT_EQ(self->f.used, files_in_flight());
	probe_part(&self->f.probe);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, of_a_refused_request_are_closed)
{
	struct symphony_call call = ep_request(~0ULL, "x", 1);

	EXPECT_EQ(-ENOENT, send_probe_as(&self->f, &call));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, move_when_the_service_is_taken_over)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, send_probe(&self->f));
	ASSERT_EQ(0, ep_claim_with(&self->f.other, "svc", SYMPHONY_CLAIM_TAKEOVER,
				   0, &self->f.svc));
	EXPECT_TRUE(arrives(&self->f, &self->f.other, &msg));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	/* The old one is told, and has none of it. */
	EXPECT_NE(NULL, ep_expect(&self->f.server, SYMPHONY_MSG_TAKEOVER, 0));
	EXPECT_TRUE(ep_is_quiet(&self->f.server));
}

TEST_F(fds, move_when_the_replica_dies)
{
	const struct symphony_msg *msg;

	ASSERT_EQ(0, send_probe(&self->f));
	ASSERT_EQ(0, ep_claim_with(&self->f.other, "svc", FDS_RECOVERY, 0, &self->f.svc));
	ep_close(&self->f.server);
	EXPECT_TRUE(arrives(&self->f, &self->f.other, &msg));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, are_closed_when_there_is_no_other_replica)
{
	__u64 cookie;

	ASSERT_EQ(0, send_probe(&self->f));
	ep_close(&self->f.server);
	EXPECT_EQ(-ECONNABORTED, ep_fetch(&self->f.client, &cookie));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

TEST_F(fds, wait_with_an_activator)
{
	const struct symphony_msg *msg;
	__u64 cookie;

	ASSERT_EQ(0, ep_unclaim(&self->f.server, self->f.svc));
	ASSERT_EQ(0, ep_claim_with(&self->f.other, "svc", SYMPHONY_CLAIM_ACTIVATOR,
				   0, &self->f.svc));
	ASSERT_EQ(0, send_probe(&self->f));
	ASSERT_EQ(0, ep_claim(&self->f.server, "svc", &self->f.svc));
	EXPECT_TRUE(arrives(&self->f, &self->f.server, &msg));
	EXPECT_EQ(0, ep_reply(&self->f.server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, ep_fetch(&self->f.client, &cookie));
	/* One that gives up. */
	close(self->f.probe.read);
	ASSERT_EQ(0, probe_open(&self->f.probe));
	ASSERT_EQ(0, ep_unclaim(&self->f.server, self->f.svc));
	ASSERT_EQ(0, send_probe(&self->f));
	ASSERT_EQ(0, ep_unclaim(&self->f.other, self->f.svc));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_EQ(-ECONNREFUSED, ep_fetch(&self->f.client, &cookie));
}

/* What may be done twice is given twice. */
TEST_F(fds, come_again_when_the_call_is_reissued)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	const struct symphony_msg *msg;
	__u64 cookie;
	int fd;

	call.flags = SYMPHONY_CALL_IDEMPOTENT;
	ASSERT_EQ(0, send_probe_as(&self->f, &call));
	ASSERT_TRUE(arrives(&self->f, &self->f.server, &msg));
	EXPECT_EQ(-ENOENT, take_fds(&self->f.server, msg, &fd, 1));
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	ASSERT_EQ(0, ep_release(&self->f.server, msg));
	EXPECT_EQ(-ESRCH, take_fds(&self->f.server, msg, &fd, 1));
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	EXPECT_EQ(self->f.used + 1, files_in_flight());
	ASSERT_EQ(0, ep_claim_with(&self->f.other, "svc", FDS_RECOVERY, 0, &self->f.svc));
	ep_close(&self->f.server);
	ASSERT_TRUE(arrives(&self->f, &self->f.other, &msg));
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	/* Until the outcome. */
	EXPECT_EQ(0, ep_reply(&self->f.other, msg, NULL, 0, 0));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_EQ(self->f.used, files_in_flight());
	EXPECT_EQ(-ENOENT, take_fds(&self->f.other, msg, &fd, 1));
	EXPECT_EQ(0, ep_release(&self->f.other, msg));
	EXPECT_EQ(0, ep_fetch(&self->f.client, &cookie));
}

TEST_F(fds, of_an_idempotent_call_that_is_cancelled_are_closed)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	const struct symphony_msg *msg;

	call.flags = SYMPHONY_CALL_IDEMPOTENT;
	ASSERT_EQ(0, send_probe_as(&self->f, &call));
	ASSERT_TRUE(arrives(&self->f, &self->f.server, &msg));
	EXPECT_TRUE(probe_is_open(&self->f.probe));
	ASSERT_EQ(0, ep_cancel(&self->f.client, call.id, call.slot));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_EQ(0, ep_release(&self->f.server, msg));
}

TEST_F(fds, are_kept_for_nobody_when_the_call_may_not_be_done_twice)
{
	struct symphony_call call = ep_request(self->f.svc, "x", 1);
	__u64 cookie;

	ASSERT_EQ(0, send_probe_as(&self->f, &call));
	ASSERT_NE(NULL, ep_next(&self->f.server, DEV_LONG));
	ASSERT_EQ(0, ep_claim_with(&self->f.other, "svc", FDS_RECOVERY, 0, &self->f.svc));
	ep_close(&self->f.server);
	EXPECT_EQ(-ECONNRESET, ep_fetch(&self->f.client, &cookie));
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
	EXPECT_TRUE(ep_is_quiet(&self->f.other));
}

/* A replica that takes, claims and answers with what it has until it is killed. */
static void serve_files(struct kid *kid)
{
	const struct symphony_msg *msg;
	struct ep ep;
	__u64 svc;
	int fds[MAX];

	kid_tell(kid, ep_join(&ep, MIB) ?:
		 ep_claim_with(&ep, "svc", FDS_RECOVERY, 0, &svc));
	for (;;) {
		msg = ep_next(&ep, DEV_LONG);
		if (!msg || take_fds(&ep, msg, fds, MAX))
			continue;
		reply_fds(&ep, msg, fds, msg->nr_fds, NULL);
		for (__u32 i = 0; i < msg->nr_fds; i++)
			close(fds[i]);
	}
}

TEST_F(fds, are_not_lost_when_a_replica_is_killed_in_the_middle)
{
	int rounds = dev_slow() ? 6 : 20, sent[MAX], got[MAX];
	__u64 until;

	ASSERT_EQ(0, ep_unclaim(&self->f.server, self->f.svc));
	for (int i = 0; i < MAX; i++)
		sent[i] = self->f.probe.write;
	for (int i = 0; i < rounds; i++) {
		struct kid kid;
		__s64 ret;
		int owed = 0;

		if (!kid_fork(&kid))
			serve_files(&kid);
		ASSERT_EQ(0, kid_hear(&kid, &ret));
		ASSERT_EQ(0, ret);
		until = dev_now() + 3000000ULL * (i % 7) + 200000;
		do {
			struct symphony_call call = with_fds(self->f.svc, sent, 1 + owed % MAX);
			const struct symphony_msg *msg;

			call.flags = owed % 3 ? 0 : SYMPHONY_CALL_IDEMPOTENT;
			owed += !ep_send(&self->f.client, &call);
			msg = ep_next(&self->f.client, -1);
			if (!msg)
				continue;
			owed--;
			if (!msg->status && !take_fds(&self->f.client, msg, got, MAX)) {
				for (__u32 j = 0; j < msg->nr_fds; j++)
					close(got[j]);
			}
			ep_release(&self->f.client, msg);
		} while (dev_now() < until);
		kid_kill(&kid, SIGKILL);
		while (owed) {
			const struct symphony_msg *msg = ep_next(&self->f.client, DEV_LONG);

			ASSERT_NE(NULL, msg);
			ep_release(&self->f.client, msg);
			owed--;
		}
		EXPECT_TRUE(dev_until(files_in_flight() == self->f.used));
	}
	probe_part(&self->f.probe);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

/* A sender that is killed with files on the way, queued and received. */
TEST_F(fds, of_a_killed_sender_are_closed_or_claimed)
{
	const struct symphony_msg *msg;
	struct kid kid;
	__s64 ret;
	int fd;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct ep ep;

		ret = ep_join(&ep, MIB);
		for (int i = 0; i < 2 && !ret; i++) {
			call = with_fds(self->f.svc, &self->f.probe.write, 1);
			ret = ep_send(&ep, &call);
		}
		kid_tell(&kid, ret);
		pause();
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &ret));
	ASSERT_EQ(0, ret);
	probe_part(&self->f.probe);
	msg = ep_next(&self->f.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(self->f.used + 2, files_in_flight());
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	EXPECT_TRUE(dev_until(files_in_flight() == self->f.used + 1));
	EXPECT_TRUE(ep_is_quiet(&self->f.server));
	ASSERT_EQ(0, take_fds(&self->f.server, msg, &fd, 1));
	EXPECT_TRUE(probe_is(&self->f.probe, fd));
	close(fd);
	EXPECT_TRUE(probe_is_closed(&self->f.probe));
}

/* The endpoint hides in a socket's queue, and that on the way to itself. */
TEST_F(fds, that_hide_their_receiver_end_with_its_owner)
{
	struct probe *probe = &self->f.probe;
	struct kid kid;
	__s64 ret;

	if (!kid_fork(&kid)) {
		struct symphony_call call;
		struct kid ends[2];
		struct ep ep;
		__u64 svc;
		int pair[2], sent[2];

		ret = ep_join(&ep, MIB) ?: ep_claim(&ep, "loop", &svc);
		if (!ret && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
			ret = -errno;
		ends[0].fd = pair[0];
		ret = ret ?: kid_pass(&ends[0], ep.fd);
		sent[0] = pair[1];
		sent[1] = probe->write;
		call = with_fds(svc, sent, 2);
		ret = ret ?: ep_send(&ep, &call);
		close(ep.fd);
		close(pair[0]);
		close(pair[1]);
		kid_tell(&kid, ret);
		kid_hear(&kid, &ret);
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &ret));
	ASSERT_EQ(0, ret);
	probe_part(probe);
	EXPECT_TRUE(probe_is_open(probe));
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
	EXPECT_TRUE(probe_is_closed(probe));
}

TEST_HARNESS_MAIN
