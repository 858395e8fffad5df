// SPDX-License-Identifier: MIT
/* poll and epoll: EPOLLIN while there is a message, EPOLLHUP after death. */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(poll)
{
	struct duo duo;
	int epfd;
};

FIXTURE_SETUP(poll)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, MIB, MIB));
	self->epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_GE(self->epfd, 0);
}

FIXTURE_TEARDOWN(poll)
{
	close(self->epfd);
	duo_close(&self->duo);
}

static int events(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int ret = poll(&pfd, 1, ms);

	return ret < 0 ? -errno : ret ? pfd.revents : 0;
}

static int watch_with(int epfd, int fd, __u32 how)
{
	struct epoll_event event = { .events = how };

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int epoll_events(int epfd, int ms)
{
	struct epoll_event event;
	int ret = epoll_wait(epfd, &event, 1, ms);

	return ret < 0 ? -errno : ret ? (int)event.events : 0;
}

TEST_F(poll, is_quiet_without_messages)
{
	EXPECT_EQ(0, events(self->duo.server.fd, 0));
	EXPECT_EQ(0, events(self->duo.client.fd, 0));
}

TEST_F(poll, in_while_there_is_a_message)
{
	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	ASSERT_EQ(0, duo_send(&self->duo, 2, 8));
	EXPECT_EQ(POLLIN, events(self->duo.server.fd, 0));
	ASSERT_NE(NULL, ep_next(&self->duo.server, -1));
	EXPECT_EQ(POLLIN, events(self->duo.server.fd, 0));
	ASSERT_NE(NULL, ep_next(&self->duo.server, -1));
	EXPECT_EQ(0, events(self->duo.server.fd, 0));
}

TEST_F(poll, in_for_an_outcome)
{
	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	EXPECT_EQ(0, events(self->duo.client.fd, 0));
	ASSERT_EQ(0, ep_reply(&self->duo.server, ep_next(&self->duo.server, -1),
			      NULL, 0, 0));
	EXPECT_EQ(POLLIN, events(self->duo.client.fd, 0));
}

TEST_F(poll, in_for_a_death)
{
	ASSERT_EQ(0, ep_watch(&self->duo.client, self->duo.server.id, 0, 0));
	ep_close(&self->duo.server);
	EXPECT_EQ(POLLIN, events(self->duo.client.fd, DEV_LONG));
}

TEST_F(poll, not_in_after_a_withdrawal)
{
	struct symphony_call call = ep_request(self->duo.svc, NULL, 0);

	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	EXPECT_EQ(POLLIN, events(self->duo.server.fd, 0));
	ASSERT_EQ(0, ep_cancel(&self->duo.client, call.id, call.slot));
	EXPECT_EQ(0, events(self->duo.server.fd, 0));
	EXPECT_EQ(POLLIN, events(self->duo.client.fd, 0));
}

struct poller {
	int fd, epfd, got;
	pthread_t thread;
};

static void *poller_run(void *arg)
{
	struct poller *poller = arg;

	poller->got = poller->epfd ? epoll_events(poller->epfd, DEV_LONG) :
				     events(poller->fd, DEV_LONG);
	return NULL;
}

TEST_F(poll, wakes_for_a_message)
{
	struct poller poller = { .fd = self->duo.server.fd };
	__u64 start;

	ASSERT_EQ(0, pthread_create(&poller.thread, NULL, poller_run, &poller));
	dev_nap(DEV_BEAT);
	start = dev_now();
	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	pthread_join(poller.thread, NULL);
	EXPECT_EQ(POLLIN, poller.got);
	EXPECT_LE(dev_now() - start, 2000000000ULL);
}

TEST_F(poll, epoll_wakes_for_each_kind)
{
	struct poller poller = { .epfd = self->epfd };

	ASSERT_EQ(0, watch_with(self->epfd, self->duo.client.fd, EPOLLIN));
	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	ASSERT_EQ(0, pthread_create(&poller.thread, NULL, poller_run, &poller));
	dev_nap(DEV_BEAT);
	ASSERT_EQ(0, ep_reply(&self->duo.server, ep_next(&self->duo.server, -1),
			      NULL, 0, 0));
	pthread_join(poller.thread, NULL);
	EXPECT_EQ(EPOLLIN, poller.got);
	ASSERT_NE(NULL, ep_next(&self->duo.client, -1));

	ASSERT_EQ(0, ep_watch(&self->duo.client, self->duo.server.id, 0, 0));
	ASSERT_EQ(0, pthread_create(&poller.thread, NULL, poller_run, &poller));
	dev_nap(DEV_BEAT);
	ep_close(&self->duo.server);
	pthread_join(poller.thread, NULL);
	EXPECT_EQ(EPOLLIN, poller.got);
}

TEST_F(poll, edge_triggered_tells_of_each_arrival)
{
	ASSERT_EQ(0, watch_with(self->epfd, self->duo.server.fd, EPOLLIN | EPOLLET));
	EXPECT_EQ(0, epoll_events(self->epfd, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, duo_send(&self->duo, i, 8));
		EXPECT_EQ(EPOLLIN, epoll_events(self->epfd, DEV_LONG));
		EXPECT_EQ(0, epoll_events(self->epfd, 0));
	}
	EXPECT_EQ(3, ep_recv(&self->duo.server, (__u32[8]){}, 8, -1));
	EXPECT_EQ(0, epoll_events(self->epfd, 0));
	ASSERT_EQ(0, duo_send(&self->duo, 5, 8));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epfd, DEV_LONG));
}

TEST_F(poll, what_was_there_before_add_is_an_edge)
{
	ASSERT_EQ(0, duo_send(&self->duo, 0, 8));
	ASSERT_EQ(0, watch_with(self->epfd, self->duo.server.fd, EPOLLIN | EPOLLET));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epfd, DEV_LONG));
}

TEST_F(poll, oneshot_rearms)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };

	ASSERT_EQ(0, watch_with(self->epfd, self->duo.server.fd, event.events));
	ASSERT_EQ(0, duo_send(&self->duo, 0, 8));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epfd, DEV_LONG));
	ASSERT_EQ(0, duo_send(&self->duo, 1, 8));
	EXPECT_EQ(0, epoll_events(self->epfd, 20));
	ASSERT_EQ(0, epoll_ctl(self->epfd, EPOLL_CTL_MOD, self->duo.server.fd, &event));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epfd, DEV_LONG));
}

TEST_F(poll, exclusive_wakes)
{
	ASSERT_EQ(0, watch_with(self->epfd, self->duo.server.fd,
				EPOLLIN | EPOLLEXCLUSIVE));
	ASSERT_EQ(0, duo_send(&self->duo, 0, 8));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epfd, DEV_LONG));
}

/* A kid that JOINs a file of ours is its owner; we only see it die. */
TEST_F(poll, hangs_up_when_the_owner_dies)
{
	struct poller poller = { .epfd = self->epfd };
	int fd = dev_open();
	struct kid kid;
	__s64 ret;

	ASSERT_GE(fd, 0);
	if (!kid_fork(&kid)) {
		struct symphony_join join = {
			.size = sizeof(join), .name = (uintptr_t)dev_bus(),
			.name_len = strlen(dev_bus()),
		};

		kid_tell(&kid, dev_ioctl(fd, SYMPHONY_IOC_JOIN, &join));
		kid_hear(&kid, &ret);
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, &ret));
	ASSERT_EQ(0, ret);
	EXPECT_EQ(0, events(fd, 0) & POLLHUP);
	ASSERT_EQ(0, watch_with(self->epfd, fd, 0));
	ASSERT_EQ(0, pthread_create(&poller.thread, NULL, poller_run, &poller));
	dev_nap(DEV_BEAT);
	EXPECT_EQ(128 + SIGKILL, kid_kill(&kid, SIGKILL));
	pthread_join(poller.thread, NULL);
	EXPECT_TRUE(poller.got & EPOLLHUP);
	EXPECT_TRUE(events(fd, DEV_LONG) & POLLHUP);
	close(fd);
}

TEST_F(poll, survives_close_while_watched)
{
	ASSERT_EQ(0, watch_with(self->epfd, self->duo.server.fd, EPOLLIN));
	ASSERT_EQ(0, duo_send(&self->duo, 0, 8));
	ep_close(&self->duo.server);
	EXPECT_EQ(0, epoll_events(self->epfd, 20));
}

TEST_F(poll, before_join_then_after)
{
	struct symphony_join join = {
		.size = sizeof(join), .name = (uintptr_t)dev_bus(),
		.name_len = strlen(dev_bus()),
	};
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)"late", .name_len = 4,
	};
	struct symphony_call call;
	int fd = dev_open();

	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, events(fd, 0) & POLLIN);
	ASSERT_EQ(0, dev_ioctl(fd, SYMPHONY_IOC_JOIN, &join));
	ASSERT_EQ(0, dev_ioctl(fd, SYMPHONY_IOC_CLAIM, &service));
	EXPECT_EQ(0, events(fd, 0));
	call = ep_request(service.handle, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->duo.client, &call));
	EXPECT_EQ(POLLIN, events(fd, DEV_LONG));
	close(fd);
}

TEST_HARNESS_MAIN
