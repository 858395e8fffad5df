// SPDX-License-Identifier: MIT
/*
 * Signals: an interrupted CALL stands, and can be entered again, waited for or
 * cancelled; with SA_RESTART it goes on by itself.
 */
#include <signal.h>
#include <sys/time.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(interrupted)
{
	struct duo duo;
	struct symphony_call call;		/* returned EINTR */
	const struct symphony_msg *msg;		/* its request */
};

FIXTURE_SETUP(interrupted)
{
	struct caller caller;

	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	dev_on_usr1(0);
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client,
				  ep_request(self->duo.svc, "body", 4)));
	self->msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, self->msg);
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, caller_interrupt(&caller));
	ASSERT_EQ(-EINTR, caller.ret);
	self->call = caller.call;
}

FIXTURE_TEARDOWN(interrupted)
{
	duo_close(&self->duo);
}

static int answer(struct _test_data_interrupted *self)
{
	return ep_reply(&self->duo.server, self->msg, "answer", 6, 0);
}

static int is_answer(struct _test_data_interrupted *self)
{
	const struct symphony_msg *msg;

	if (self->call.status)
		return self->call.status;
	if (self->call.offset >= self->duo.client.size)
		return -ERANGE;
	msg = ep_msg(&self->duo.client, self->call.offset);
	if (msg->id != self->call.id || memcmp(ep_body(msg), "answer", 6))
		return -EILSEQ;
	return ep_release(&self->duo.client, msg);
}

TEST_F(interrupted, has_its_id)
{
	EXPECT_EQ(self->msg->id, self->call.id);
	EXPECT_NE(0, self->call.id);
}

TEST_F(interrupted, can_be_waited_for)
{
	EXPECT_EQ(-EAGAIN, ep_wait(&self->duo.client, &self->call,
				   SYMPHONY_WAIT_DONTWAIT));
	EXPECT_EQ(0, answer(self));
	EXPECT_EQ(0, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(0, is_answer(self));
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(-ESRCH, ep_call(&self->duo.client, &self->call));
}

TEST_F(interrupted, can_be_entered_again)
{
	struct caller caller;

	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, self->call));
	dev_nap(DEV_BEAT);
	EXPECT_FALSE(caller.done);
	EXPECT_EQ(0, answer(self));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	EXPECT_EQ(self->call.id, caller.call.id);
	self->call = caller.call;
	EXPECT_EQ(0, is_answer(self));
	/* Nobody saw a second request. */
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(interrupted, can_be_entered_again_after_the_answer)
{
	EXPECT_EQ(0, answer(self));
	EXPECT_EQ(0, ep_call(&self->duo.client, &self->call));
	EXPECT_EQ(0, is_answer(self));
}

TEST_F(interrupted, again_and_again)
{
	for (int i = 0; i < 5; i++) {
		struct caller caller;

		ASSERT_EQ(0, caller_start(&caller, &self->duo.client, self->call));
		dev_nap(DEV_BEAT);
		ASSERT_EQ(0, caller_interrupt(&caller));
		ASSERT_EQ(-EINTR, caller.ret);
		ASSERT_EQ(self->call.id, caller.call.id);
		ASSERT_EQ(self->call.slot, caller.call.slot);
	}
	EXPECT_EQ(0, answer(self));
	EXPECT_EQ(0, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(0, is_answer(self));
}

TEST_F(interrupted, can_be_cancelled)
{
	EXPECT_EQ(0, ep_cancel(&self->duo.client, self->call.id, self->call.slot));
	EXPECT_EQ(-EALREADY, ep_cancel(&self->duo.client, self->call.id,
				       self->call.slot));
	EXPECT_EQ(-ESRCH, answer(self));
	/* Fetched by WAIT, not received. */
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.client, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(-ECANCELED, self->call.status);
	EXPECT_EQ(SYMPHONY_NO_OFFSET, self->call.offset);
	EXPECT_EQ(-ESRCH, ep_wait(&self->duo.client, &self->call, 0));
}

TEST_F(interrupted, is_told_of_death)
{
	ep_close(&self->duo.server);
	EXPECT_EQ(0, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(-ECONNRESET, self->call.status);
	EXPECT_EQ(SYMPHONY_NO_OFFSET, self->call.offset);
}

TEST_F(interrupted, keeps_its_deadline)
{
	struct symphony_call call = ep_request(self->duo.svc, "z", 1);
	struct caller caller;

	call.deadline = dev_after(5 * DEV_BEAT);
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client, call));
	ASSERT_NE(NULL, ep_next(&self->duo.server, DEV_LONG));
	ASSERT_EQ(0, caller_interrupt(&caller));
	if (caller.ret == -EINTR) {
		ASSERT_EQ(0, ep_wait(&self->duo.client, &caller.call, 0));
	} else {
		ASSERT_EQ(0, caller.ret);
	}
	EXPECT_EQ(-ETIMEDOUT, caller.call.status);
	EXPECT_GE(dev_now(), call.deadline);
	EXPECT_EQ(0, answer(self));
}

static void *wait_for_it(void *arg)
{
	struct caller *caller = arg;

	caller->ret = ep_wait(caller->ep, &caller->call, 0);
	caller->done = true;
	return NULL;
}

TEST_F(interrupted, wait_is_interrupted_too)
{
	struct caller caller = { .ep = &self->duo.client, .call = self->call };
	struct symphony_call other = self->call;

	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, wait_for_it, &caller));
	dev_nap(DEV_BEAT);
	EXPECT_EQ(-EBUSY, ep_wait(&self->duo.client, &other, 0));
	EXPECT_EQ(-EBUSY, ep_wait(&self->duo.client, &other, SYMPHONY_WAIT_DONTWAIT));
	ASSERT_EQ(0, caller_interrupt(&caller));
	EXPECT_EQ(-EINTR, caller.ret);
	EXPECT_EQ(0, answer(self));
	EXPECT_EQ(0, ep_wait(&self->duo.client, &self->call, 0));
	EXPECT_EQ(0, is_answer(self));
}

TEST_F(interrupted, sa_restart_goes_on_by_itself)
{
	const struct symphony_msg *msg;
	struct caller caller;

	dev_on_usr1(SA_RESTART);
	ASSERT_EQ(0, caller_start(&caller, &self->duo.client,
				  ep_request(self->duo.svc, "more", 4)));
	msg = ep_next(&self->duo.server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	for (int i = 0; i < 5; i++) {
		dev_nap(DEV_BEAT / 2);
		pthread_kill(caller.thread, SIGUSR1);
	}
	EXPECT_FALSE(caller.done);
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
	EXPECT_EQ(0, ep_reply(&self->duo.server, msg, "again", 5, 0));
	ASSERT_EQ(0, caller_join(&caller, DEV_LONG));
	EXPECT_EQ(0, caller.ret);
	ASSERT_EQ(0, caller.call.status);
	EXPECT_EQ(msg->id, caller.call.id);
	EXPECT_EQ(0, memcmp(ep_body(ep_msg(&self->duo.client, caller.call.offset)),
			    "again", 5));
}

TEST_F(interrupted, storm_of_signals_loses_no_outcome)
{
	struct itimerval storm = {
		.it_interval.tv_usec = 700, .it_value.tv_usec = 700,
	};
	struct sigaction nothing;
	__u64 until = dev_after(1500);
	int interrupted = 0, done = 0;
	struct echo echo;
	sigset_t set;

	/* The storm takes SIGALRM, and this thread takes the storm. */
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	sigaction(SIGUSR1, NULL, &nothing);
	sigaction(SIGALRM, &nothing, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	setitimer(ITIMER_REAL, &storm, NULL);
	while (dev_now() < until) {
		__u64 tag = done;
		struct symphony_call call = ep_request(self->duo.svc, &tag, 8);
		int ret;

		while ((ret = ep_call(&self->duo.client, &call)) == -EINTR)
			interrupted++;
		if (ret || call.status)
			break;
		if (*(const __u64 *)ep_body(ep_msg(&self->duo.client, call.offset)) != tag)
			break;
		if (ep_release_at(&self->duo.client, call.offset))
			break;
		done++;
	}
	setitimer(ITIMER_REAL, &(struct itimerval){}, NULL);
	signal(SIGALRM, SIG_DFL);
	alarm(DEV_ALARM);
	EXPECT_GE(dev_now(), until);
	TH_LOG("%d calls, %d interruptions", done, interrupted);
	echo_stop(&echo);
	EXPECT_EQ(done, echo.served);
	EXPECT_EQ(0, echo.refused);
}

TEST_HARNESS_MAIN
