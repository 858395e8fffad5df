// SPDX-License-Identifier: MIT
/* RECV: batches, waits and their ends, and threads that share an endpoint. */
#include <fcntl.h>
#include <signal.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(recv)
{
	struct duo duo;
};

FIXTURE_SETUP(recv)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
}

FIXTURE_TEARDOWN(recv)
{
	duo_close(&self->duo);
}

static int recv_raw(struct ep *ep, struct symphony_recv recv, __u32 *nr)
{
	int ret;

	recv.size = sizeof(recv);
	ret = dev_ioctl(ep->fd, SYMPHONY_IOC_RECV, &recv);
	if (nr)
		*nr = recv.nr;
	return ret;
}

TEST_F(recv, dontwait_is_eagain)
{
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, (__u32[1]){}, 1, -1));
}

TEST_F(recv, nonblocking_file_is_eagain)
{
	struct symphony_recv recv = {
		.max = 1, .offsets = (uintptr_t)(__u32[1]){},
		.deadline = dev_after(DEV_LONG),
	};
	struct symphony_call call;
	struct echo echo;

	ASSERT_EQ(0, fcntl(self->duo.server.fd, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, recv_raw(&self->duo.server, recv, NULL));
	ASSERT_EQ(0, fcntl(self->duo.server.fd, F_SETFL, 0));
	recv.deadline = dev_after(DEV_BEAT);
	EXPECT_EQ(-ETIMEDOUT, recv_raw(&self->duo.server, recv, NULL));

	/* It is about receiving: a CALL still waits for its answer. */
	ASSERT_EQ(0, fcntl(self->duo.client.fd, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, echo_start(&echo, &self->duo.server));
	call = ep_request(self->duo.svc, "x", 1);
	EXPECT_EQ(0, ep_outcome(&self->duo.client, &call));
	echo_stop(&echo);
}

TEST_F(recv, waits_until_its_deadline)
{
	__u64 start = dev_now();

	EXPECT_EQ(-ETIMEDOUT, ep_recv(&self->duo.server, (__u32[1]){}, 1, 100));
	EXPECT_GE(dev_now(), start + 100000000);
	EXPECT_LE(dev_now(), start + 5000000000ULL);
	EXPECT_EQ(-ETIMEDOUT, ep_recv(&self->duo.server, (__u32[1]){}, 1, 0));
}

static int cancel(struct ep *ep, __u32 flags, __u64 id)
{
	struct symphony_wait wait = { .size = sizeof(wait), .flags = flags, .id = id };

	return dev_ioctl(ep->fd, SYMPHONY_IOC_CANCEL, &wait);
}

static void *receive_one(void *ep)
{
	return (void *)(long)ep_recv(ep, (__u32[1]){}, 1, DEV_LONG);
}

TEST_F(recv, every_waiting_thread_is_cancelled_and_none_waits_until_resumed)
{
	struct ep *server = &self->duo.server;
	struct symphony_call call = ep_request(self->duo.svc, "x", 1);
	const struct symphony_msg *msg;
	pthread_t threads[4];
	void *result;

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, receive_one, server));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, cancel(server, SYMPHONY_CANCEL_RECEIVERS, 0));
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &result);
		EXPECT_EQ(-ECANCELED, (long)result);
	}
	EXPECT_EQ(-ECANCELED, ep_recv(server, (__u32[1]){}, 1, DEV_LONG));
	EXPECT_EQ(-EAGAIN, ep_recv(server, (__u32[1]){}, 1, -1));

	/* What comes is received, and answered, all the same. */
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	msg = ep_next(server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, ep_reply(server, msg, "y", 1, 0));

	ASSERT_EQ(0, cancel(server, SYMPHONY_CANCEL_RESUME, 0));
	EXPECT_EQ(-ETIMEDOUT, ep_recv(server, (__u32[1]){}, 1, DEV_BEAT));
}

TEST_F(recv, one_thing_is_cancelled_at_a_time)
{
	struct ep *server = &self->duo.server;

	EXPECT_EQ(-EINVAL, cancel(server, SYMPHONY_CANCEL_RECEIVERS, 1));
	EXPECT_EQ(-EINVAL, cancel(server, SYMPHONY_CANCEL_RESUME, 1));
	EXPECT_EQ(-EINVAL, cancel(server, SYMPHONY_CANCEL_RESUME | SYMPHONY_CANCEL_RECEIVERS, 0));
	EXPECT_EQ(-EINVAL, cancel(server, SYMPHONY_CANCEL_RECV | SYMPHONY_CANCEL_RECEIVERS, 0));
	EXPECT_EQ(-ETIMEDOUT, ep_recv(server, (__u32[1]){}, 1, DEV_BEAT));
}

TEST_F(recv, max_is_checked)
{
	__u32 offsets[SYMPHONY_BATCH_MAX + 1];

	EXPECT_EQ(-EINVAL, ep_recv(&self->duo.server, offsets, 0, -1));
	EXPECT_EQ(-EINVAL, ep_recv(&self->duo.server, offsets,
				   SYMPHONY_BATCH_MAX + 1, -1));
	EXPECT_EQ(-EINVAL, ep_recv(&self->duo.server, offsets, ~0U, -1));
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, offsets,
				   SYMPHONY_BATCH_MAX, -1));
}

TEST_F(recv, takes_batches_in_order)
{
	__u32 offsets[16];
	int at = 0;

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
	}
	for (int want = 4; want; want = at == 8 ? 2 : at == 10 ? 0 : 4) {
		ASSERT_EQ(want, ep_recv(&self->duo.server, offsets, 4, DEV_LONG));
		for (int i = 0; i < want; i++) {
			EXPECT_EQ(at++, ep_msg(&self->duo.server, offsets[i])->method);
		}
	}
	EXPECT_EQ(-EAGAIN, ep_recv(&self->duo.server, offsets, 4, -1));
}

TEST_F(recv, does_not_wait_to_fill_a_batch)
{
	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	EXPECT_EQ(1, ep_recv(&self->duo.server, (__u32[16]){}, 16, DEV_LONG));
}

TEST_F(recv, bad_room_loses_nothing)
{
	__u32 *cliff = (void *)dev_cliff();
	__u32 nr = 99, offsets[4];

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
	}
	EXPECT_EQ(-EFAULT, recv_raw(&self->duo.server, (struct symphony_recv){
		.flags = SYMPHONY_RECV_DONTWAIT, .max = 4 }, NULL));
	EXPECT_EQ(-EFAULT, recv_raw(&self->duo.server, (struct symphony_recv){
		.flags = SYMPHONY_RECV_DONTWAIT, .max = 4,
		.offsets = (uintptr_t)cliff }, NULL));
	/* Room for two of four: those two, or none and EFAULT. */
	if (recv_raw(&self->duo.server, (struct symphony_recv){
			.flags = SYMPHONY_RECV_DONTWAIT, .max = 4,
			.offsets = (uintptr_t)(cliff - 2) }, &nr))
		nr = 0;
	EXPECT_LE(nr, 2);
	EXPECT_EQ(4 - nr, ep_recv(&self->duo.server, offsets, 4, -1));
	EXPECT_EQ(nr, ep_msg(&self->duo.server, offsets[0])->method);
}

TEST_F(recv, bad_room_does_not_reach_past_max)
{
	__u32 *edge = (__u32 *)dev_cliff() - 2;

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
	}
	EXPECT_EQ(2, ep_recv(&self->duo.server, edge, 2, -1));
	EXPECT_EQ(2, ep_recv(&self->duo.server, edge, 2, -1));
}

struct receiver {
	struct ep *ep;
	pthread_t thread;
	struct symphony_recv recv;
	__u32 offset;
	int ret;
	atomic_bool done;
};

static void *receiver_run(void *arg)
{
	struct receiver *r = arg;

	r->ret = dev_ioctl(r->ep->fd, SYMPHONY_IOC_RECV, &r->recv);
	r->done = true;
	return NULL;
}

static int receiver_start(struct receiver *r, struct ep *ep)
{
	*r = (struct receiver){
		.ep = ep, .offset = SYMPHONY_NO_OFFSET,
		.recv = {
			.size = sizeof(r->recv), .max = 1,
			.deadline = dev_after(DEV_LONG),
			.offsets = (uintptr_t)&r->offset,
		},
	};
	return -pthread_create(&r->thread, NULL, receiver_run, r);
}

static bool receiver_done(struct receiver *r, int ms)
{
	for (; !r->done && ms > 0; ms -= 5)
		dev_nap(5);
	return r->done;
}

TEST_F(recv, wakes_for_a_message)
{
	struct receiver r;

	ASSERT_EQ(0, receiver_start(&r, &self->duo.server));
	dev_nap(DEV_BEAT);
	EXPECT_FALSE(r.done);
	ASSERT_EQ(0, duo_send(&self->duo, 5, 8));
	ASSERT_TRUE(receiver_done(&r, DEV_LONG));
	EXPECT_EQ(0, r.ret);
	EXPECT_EQ(1, r.recv.nr);
	EXPECT_EQ(5, ep_msg(&self->duo.server, r.offset)->method);
	pthread_join(r.thread, NULL);
}

TEST_F(recv, signal_is_eintr)
{
	struct receiver r;

	dev_on_usr1(0);
	ASSERT_EQ(0, receiver_start(&r, &self->duo.server));
	dev_nap(DEV_BEAT);
	pthread_kill(r.thread, SIGUSR1);
	ASSERT_TRUE(receiver_done(&r, DEV_LONG));
	EXPECT_EQ(-EINTR, r.ret);
	pthread_join(r.thread, NULL);
	/* It left the waiters: the message is not handed to it. */
	ASSERT_EQ(0, duo_send(&self->duo, 5, 8));
	EXPECT_NE(NULL, ep_next(&self->duo.server, -1));
}

TEST_F(recv, restarts_after_a_signal_with_sa_restart)
{
	struct receiver r;

	dev_on_usr1(SA_RESTART);
	ASSERT_EQ(0, receiver_start(&r, &self->duo.server));
	dev_nap(DEV_BEAT);
	pthread_kill(r.thread, SIGUSR1);
	dev_nap(DEV_BEAT);
	EXPECT_FALSE(r.done);
	ASSERT_EQ(0, duo_send(&self->duo, 5, 8));
	ASSERT_TRUE(receiver_done(&r, DEV_LONG));
	EXPECT_EQ(0, r.ret);
	EXPECT_EQ(1, r.recv.nr);
	pthread_join(r.thread, NULL);
}

TEST_F(recv, goes_to_who_waited_the_shortest)
{
	struct receiver r[3];

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, receiver_start(&r[i], &self->duo.server));
		dev_nap(DEV_BEAT);
	}
	for (int i = 2; i >= 0; i--) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
		ASSERT_TRUE(receiver_done(&r[i], DEV_LONG));
		EXPECT_EQ(1, r[i].recv.nr);
		for (int j = 0; j < i; j++) {
			EXPECT_FALSE(r[j].done);
		}
		pthread_join(r[i].thread, NULL);
	}
}

TEST_F(recv, releases_first)
{
	struct symphony_recv recv = { .size = sizeof(recv), .max = 1 };
	__u32 offset, release[3];

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
		ASSERT_EQ(1, ep_recv(&self->duo.server, &release[i], 1, DEV_LONG));
		ASSERT_EQ(0, ep_reply(&self->duo.server,
				      ep_msg(&self->duo.server, release[i]), NULL, 0, 0));
	}
	recv.flags = SYMPHONY_RECV_DONTWAIT;
	recv.offsets = (uintptr_t)&offset;
	recv.release = (uintptr_t)release;
	recv.nr_release = 2;
	/* Released whether or not there is a message. */
	EXPECT_EQ(-EAGAIN, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_RECV, &recv));
	EXPECT_EQ(0, recv.nr_release);
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, release[0]));
	EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, release[1]));

	/* A bad one: nothing is received. */
	ASSERT_EQ(0, duo_send(&self->duo, 3, 8));
	recv.nr_release = 1;
	EXPECT_EQ(-EINVAL, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_RECV, &recv));
	EXPECT_EQ(1, recv.nr_release);
	recv.nr_release = SYMPHONY_BATCH_MAX + 1;
	EXPECT_EQ(-EINVAL, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_RECV, &recv));
	recv.release = 0;
	recv.nr_release = 1;
	EXPECT_EQ(-EFAULT, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_RECV, &recv));
	EXPECT_NE(NULL, ep_next(&self->duo.server, -1));
}

TEST_F(recv, offsets_can_replace_what_they_release)
{
	__u32 offsets[4], first[4];
	struct symphony_recv recv = {
		.size = sizeof(recv), .max = 4, .deadline = dev_after(DEV_LONG),
		.offsets = (uintptr_t)offsets, .release = (uintptr_t)offsets,
		.nr_release = 4,
	};

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
	}
	ASSERT_EQ(4, ep_recv(&self->duo.server, offsets, 4, DEV_LONG));
	memcpy(first, offsets, sizeof(first));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, 10 + i, 8));
	}
	ASSERT_EQ(0, dev_ioctl(self->duo.server.fd, SYMPHONY_IOC_RECV, &recv));
	EXPECT_EQ(0, recv.nr_release);
	ASSERT_EQ(4, recv.nr);
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(-EINVAL, ep_release_at(&self->duo.server, first[i]));
		EXPECT_EQ(10 + i, ep_msg(&self->duo.server, offsets[i])->method);
		EXPECT_EQ(0, ep_release_at(&self->duo.server, offsets[i]));
	}
}

struct sharer {
	struct ep *ep;
	pthread_t thread;
	atomic_int *seen;
	atomic_bool *stop;
	int count;
};

static void *sharer_run(void *arg)
{
	struct sharer *s = arg;
	__u32 offsets[3];
	int nr;

	while (!*s->stop) {
		nr = ep_recv(s->ep, offsets, 3, 20);
		for (int i = 0; i < nr; i++) {
			const struct symphony_msg *msg = ep_msg(s->ep, offsets[i]);

			s->seen[msg->method]++;
			s->count++;
			ep_reply(s->ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE);
		}
	}
	return NULL;
}

TEST_F(recv, each_message_goes_to_one_thread)
{
	static atomic_int seen[400];
	atomic_bool stop = false;
	struct sharer sharers[4];
	__u32 offset;

	for (size_t i = 0; i < ARRAY_SIZE(sharers); i++) {
		sharers[i] = (struct sharer){
			.ep = &self->duo.server, .seen = seen, .stop = &stop,
		};
		ASSERT_EQ(0, pthread_create(&sharers[i].thread, NULL, sharer_run,
					    &sharers[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		int ret;

		while ((ret = duo_send(&self->duo, i, 8)) == -EAGAIN)
			dev_nap(1);
		ASSERT_EQ(0, ret);
	}
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		ASSERT_EQ(1, ep_recv(&self->duo.client, &offset, 1, DEV_LONG));
		ASSERT_EQ(0, ep_release_at(&self->duo.client, offset));
	}
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(sharers); i++)
		pthread_join(sharers[i].thread, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		EXPECT_EQ(1, seen[i]);
	}
}

/* A receiver that is in RECV for a moment at a time, until it is told to stop. */
struct glancer {
	struct ep *ep;
	pthread_t thread;
	atomic_bool stop;
	atomic_int seen;
	atomic_int late;
};

static void *glancer_run(void *arg)
{
	struct glancer *g = arg;
	__u32 offset, nr;

	for (unsigned int i = 0; !g->stop; i++) {
		struct symphony_recv recv = {
			.max = 1, .offsets = (uintptr_t)&offset,
			.deadline = dev_now() + 20000 + i * 7919 % 200000,
		};
		int ret = recv_raw(g->ep, recv, &nr);

		g->late += ret == -ETIMEDOUT;
		if (ret || !nr)
			continue;
		ep_reply(g->ep, ep_msg(g->ep, offset), NULL, 0,
			 SYMPHONY_REPLY_RELEASE);
		g->seen++;
	}
	return NULL;
}

TEST_F(recv, a_message_at_the_deadline_is_not_lost)
{
	struct glancer g = { .ep = &self->duo.server };
	__u32 offset;

	ASSERT_EQ(0, pthread_create(&g.thread, NULL, glancer_run, &g));
	for (int i = 0; i < 500; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
		/* The answer; or the message fell between two stools. */
		ASSERT_EQ(1, ep_recv(&self->duo.client, &offset, 1, DEV_LONG))
			TH_LOG("number %d", i);
		ASSERT_EQ(0, ep_release_at(&self->duo.client, offset));
		for (volatile int spin = i % 50 * 100; spin; spin--)
			;
	}
	g.stop = true;
	pthread_join(g.thread, NULL);
	EXPECT_EQ(500, g.seen);
	EXPECT_LT(0, g.late);
}

TEST_HARNESS_MAIN
