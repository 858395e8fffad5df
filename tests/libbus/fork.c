// SPDX-License-Identifier: MIT
/*
 * In a forked child everything that was made before the fork is inert: it says so
 * when it is used, it can be dropped, and nothing of that reaches the parent or the
 * child's own memory.
 */
#include <linux/symphony.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

#define BODY	20000

FIXTURE(forked)
{
	struct server server;
	struct sbus *bus;
	struct sbus_message *reply, *request;
	struct sbus_slot *call, *watch;
	struct sbus_cancel *cancel;
	struct sbus_pit *pit;
	struct outcome outcome;
};

FIXTURE_VARIANT(forked)
{
	pid_t (*fork)(void);
};

/* Without what the C library does around a fork. */
static pid_t bare_clone(void)
{
	return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
}

FIXTURE_VARIANT_ADD(forked, by_fork) { .fork = fork };
FIXTURE_VARIANT_ADD(forked, by_fork_without_handlers) { .fork = _Fork };
FIXTURE_VARIANT_ADD(forked, by_bare_clone) { .fork = bare_clone };

static void never(uint64_t endpoint, void *userdata)
{
	(void)endpoint;
	(void)userdata;
}

FIXTURE_SETUP(forked)
{
	struct sbus_request request;
	static char body[BODY];

	*self = (struct _test_data_forked){ .outcome = OUTCOME_INIT };
	ASSERT_EQ(0, server_start(&self->server, "echo", 2, 0));
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	request = request_for("echo", "echo", body, BODY);
	request.reply_max = BODY;
	ASSERT_EQ(0, sbus_call(self->bus, &request, &self->reply, NULL));
	request = request_for("echo", "keep", body, BODY);
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, outcome_reply, &self->outcome,
				     &self->call, NULL));
	server_wait_kept(&self->server, 1);
	self->request = self->server.kept[0];
	ASSERT_EQ(0, sbus_watch(self->bus, sbus_endpoint(self->server.bus), never, NULL,
				&self->watch));
	ASSERT_EQ(0, sbus_cancel_new(&self->cancel));
	ASSERT_EQ(0, sbus_pit_new(&self->pit));
	ASSERT_EQ(0, sbus_pit_add(self->pit, &probe, NULL, NULL));
	ASSERT_EQ(0, sbus_pit_start(self->pit, self->bus, NULL));
}

FIXTURE_TEARDOWN(forked)
{
	sbus_pit_unref(self->pit);
	sbus_cancel_unref(self->cancel);
	sbus_slot_unref(self->watch);
	sbus_slot_unref(self->call);
	sbus_message_unref(self->reply);
	sbus_unref(self->bus);
	EXPECT_EQ(0, server_stop(&self->server));
}

/* In a child, which ends with the line of what is not as it should be. */
#define OR_EXIT(cond)						\
	do {							\
		if (!(cond)) {					\
			fprintf(stderr, "# %d: %s\n", __LINE__, #cond);	\
			_exit(1);				\
		}						\
	} while (0)

static int child_status(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) != pid ? -1 :
		WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void use_connection(struct sbus *bus)
{
	struct sbus_claim_params claim = { .size = sizeof(claim) };
	struct sbus_request request = request_for("echo", "echo", "x", 1);
	struct sbus_info info = { .size = sizeof(info) };
	struct sbus_error error = SBUS_ERROR_INIT;
	uint64_t handle;

	OR_EXIT(sbus_call(bus, &request, NULL, &error) == -EPERM);
	OR_EXIT(strstr(sbus_error_message(&error), "another process"));
	OR_EXIT(sbus_call_async(bus, &request, outcome_reply, NULL, NULL, &error) == -EPERM);
	OR_EXIT(sbus_resolve(bus, "other", &handle, &error) == -EPERM);
	OR_EXIT(sbus_claim_with(bus, "other", &claim, &error) == -EPERM);
	OR_EXIT(strstr(sbus_error_message(&error), "another process"));
	OR_EXIT(sbus_unclaim(bus, "echo") == -EPERM);
	OR_EXIT(sbus_drain(bus, "echo", false) == -EPERM);
	OR_EXIT(sbus_grant(bus, "echo", &error) == -EPERM);
	OR_EXIT(sbus_query(bus, &info, &error) == -EPERM);
	OR_EXIT(sbus_watch(bus, sbus_endpoint(bus), never, NULL, NULL) == -EPERM);
	OR_EXIT(sbus_process(bus) == -EPERM);
	OR_EXIT(sbus_wait(bus, 1) == -EPERM);
	OR_EXIT(sbus_serve(bus, NULL, &error) == -EPERM);
	OR_EXIT(strstr(sbus_error_message(&error), "another process"));
	OR_EXIT(sbus_get_fd(bus) == -EPERM);
	OR_EXIT(sbus_get_timeout(bus) == UINT64_MAX);
	sbus_stop(bus);
	sbus_cork(bus, SBUS_ANSWERS | SBUS_CALLS);
	sbus_uncork(bus, SBUS_ANSWERS | SBUS_CALLS);
	sbus_error_clear(&error);
}

static void use_message(struct sbus_message *message)
{
	size_t len = 1;
	yyjson_val *root;

	OR_EXIT(!sbus_message_body(message, &len) && !len);
	OR_EXIT(sbus_message_json(message, &root, NULL) == -EPERM);
	OR_EXIT(!sbus_message_nr_fds(message));
	OR_EXIT(sbus_message_fd(message, 0) == -EPERM);
	OR_EXIT(sbus_message_take_fd(message, 0) == -EPERM);
	OR_EXIT(!sbus_message_content(message) && !sbus_message_sender(message));
	OR_EXIT(!sbus_message_pid(message) && !sbus_message_uid(message));
	OR_EXIT(!sbus_message_gid(message) && !sbus_message_method(message));
	OR_EXIT(!sbus_message_key(message) && !sbus_message_deadline(message));
	OR_EXIT(!*sbus_message_extension(message));
}

static void set_flag(void *flag)
{
	*(bool *)flag = true;
}

static void use_request(struct sbus_message *request)
{
	struct iovec iov = { "x", 1 };
	bool destroyed = false;

	use_message(request);
	OR_EXIT(sbus_reply_raw(request, "x", 1) == -EPERM);
	OR_EXIT(sbus_reply_json(request, "1", 1) == -EPERM);
	OR_EXIT(sbus_reply_iov(request, SBUS_RAW, &iov, 1) == -EPERM);
	OR_EXIT(sbus_reply_error(request, 1, NULL, "no") == -EPERM);
	OR_EXIT(sbus_reply_take(request, SBUS_RAW, &destroyed, 1, set_flag) == -EPERM);
	OR_EXIT(destroyed);
	OR_EXIT(sbus_reply_push_fd(request, 0) == -EPERM);
	OR_EXIT(sbus_message_cancelled(request) == -EPERM);
}

static void use_pit(struct sbus_pit *pit, struct sbus *bus)
{
	struct sbus_member *member = sbus_pit_lookup(pit, "probe");
	struct outcome outcome = OUTCOME_INIT;
	struct sbus_timer *timer;

	OR_EXIT(member);
	OR_EXIT(pit_call(member, "{\"method\":\"nothing\"}", 0, &outcome, NULL) == -EPERM);
	OR_EXIT(sbus_pit_add(pit, &probe, NULL, NULL) == -EPERM);
	OR_EXIT(sbus_pit_start(pit, bus, NULL) == -EPERM);
	OR_EXIT(sbus_pit_serve(pit, bus, 1, NULL) == -EPERM);
	OR_EXIT(sbus_timer_new(member, NULL, NULL, &timer) == -EPERM);
	sbus_member_lock(member);
	OR_EXIT(sbus_member_watch(member, sbus_endpoint(bus)) == -EPERM);
	sbus_member_unlock(member);
	sbus_pit_stop(pit);
}

/* Memory of the child's own where the parent has its pool. */
static char *put_memory(const void *body)
{
	char *at = (char *)((uintptr_t)body & ~4095UL);

	at = mmap(at, 4096, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	OR_EXIT(at != MAP_FAILED);
	memset(at, 7, 4096);
	return at;
}

static void drop_all(FIXTURE_DATA(forked) *self)
{
	sbus_pit_unref(self->pit);
	sbus_cancel_trigger(self->cancel);
	sbus_cancel_unref(self->cancel);
	OR_EXIT(sbus_slot_cancel(self->call) == -EPERM);
	OR_EXIT(sbus_slot_cancel(self->watch) == -EPERM);
	sbus_slot_unref(self->watch);
	sbus_slot_unref(self->call);
	sbus_message_unref(self->reply);
	sbus_message_unref(self->request);
	sbus_close(self->bus);
	sbus_unref(self->bus);
	sbus_close(self->server.bus);
	sbus_unref(self->server.bus);
}

static void call_as_oneself(void)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = test_open();
	int r;

	OR_EXIT(bus);
	r = sbus_call_raw(bus, "echo", "x", 1, 10000 * MS, NULL, &error);
	if (r)
		fprintf(stderr, "# %s\n", sbus_error_message(&error));
	OR_EXIT(!r);
	sbus_unref(bus);
}

TEST_F(forked, child_can_use_nothing_and_drop_everything)
{
	const void *body = sbus_message_body(self->reply, NULL);
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);
	pid_t pid;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, sbus_get_fd(self->bus), &event));
	pid = variant->fork();
	if (!pid) {
		char *memory;

		alarm(20);
		use_connection(self->bus);
		use_connection(self->server.bus);
		use_message(self->reply);
		use_request(self->request);
		use_pit(self->pit, self->bus);
		memory = put_memory(body);
		drop_all(self);
		for (int i = 0; i < 4096; i++)
			OR_EXIT(memory[i] == 7);
		/* By another way the C library's own locks are not to be trusted. */
		if (variant->fork == fork)
			call_as_oneself();
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));

	/* The parent has lost nothing, and its loop hears of what comes. */
	EXPECT_EQ(0, sbus_call_raw(self->bus, "echo", "x", 1, 10000 * MS, NULL, NULL));
	EXPECT_EQ(0, self->outcome.count);
	EXPECT_EQ(1, server_answer_kept(&self->server, true));
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 10000));
	EXPECT_LE(1, sbus_process(self->bus));
	EXPECT_EQ(1, self->outcome.count);
	EXPECT_EQ(0, self->outcome.error);
	close(epoll);
}

static void *be_busy(void *arg)
{
	struct sbus_request request = request_for("echo", "echo", "x", 1);
	FIXTURE_DATA(forked) *self = arg;

	while (!atomic_load(&self->server.most) || atomic_load(&self->server.most) < 1000) {
		sbus_call(self->bus, &request, NULL, NULL);
		sbus_slot_unref(sbus_slot_ref(self->watch));
		sbus_member_lock(sbus_pit_lookup(self->pit, "probe"));
		sbus_member_unlock(sbus_pit_lookup(self->pit, "probe"));
	}
	return NULL;
}

/* Whatever lock another thread holds when the process forks. */
TEST_F(forked, child_of_a_busy_parent_does_not_wait_for_its_locks)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, be_busy, self));
	for (int i = 0; i < 50; i++) {
		pid_t pid = variant->fork();

		if (!pid) {
			alarm(10);
			OR_EXIT(sbus_process(self->bus) == -EPERM);
			OR_EXIT(sbus_get_timeout(self->bus) == UINT64_MAX);
			drop_all(self);
			_exit(0);
		}
		ASSERT_EQ(0, child_status(pid));
	}
	self->server.most = 1000;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

static atomic_int forked_pid;

/* What a child drops is freed with its process: it has no leaks to look for. */
static void leave_at_once(void)
{
	_exit(0);
}

static int fork_and_return(struct sbus_message *request, void *userdata)
{
	pid_t pid;

	(void)userdata;
	if (!forked_pid) {
		pid = fork();
		if (pid)
			forked_pid = pid;
		else
			OR_EXIT(!atexit(leave_at_once) && !alarm(10));
	}
	return sbus_reply_raw(request, "x", 1);
}

/* In the child sbus_serve() returns, and does not wait for threads that are not there. */
TEST(child_of_a_handler_may_return)
{
	struct server server;
	struct sbus *bus;

	ASSERT_EQ(0, server_start(&server, "other", 2, 0));
	sbus_set_handler(server.bus, fork_and_return, NULL);
	bus = test_open();
	EXPECT_EQ(0, sbus_call_raw(bus, "other", "x", 1, 10000 * MS, NULL, NULL));
	ASSERT_LT(0, forked_pid);
	EXPECT_EQ(0, child_status(forked_pid));
	EXPECT_EQ(0, sbus_call_raw(bus, "other", "x", 1, 10000 * MS, NULL, NULL));
	sbus_unref(bus);
	EXPECT_EQ(0, server_stop(&server));
}

TEST_HARNESS_MAIN
