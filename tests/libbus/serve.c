// SPDX-License-Identifier: MIT
/* Serving: threads, stopping, event loops, room given back. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

static void *call_slow(void *arg)
{
	struct sbus_request request = request_for("echo", "slow", "x", 1);

	return (void *)(long)sbus_call(arg, &request, NULL, NULL);
}

TEST(threads_handle_requests_at_once)
{
	pthread_t threads[4];
	struct server server;
	struct sbus *bus;
	void *result;

	ASSERT_EQ(0, server_start(&server, "echo", 4, 0));
	bus = test_open();
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, call_slow, bus));
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &result);
		EXPECT_EQ(NULL, result);
	}
	EXPECT_LT(1, server.most);
	sbus_unref(bus);
	EXPECT_EQ(0, server_stop(&server));
	EXPECT_TRUE(single_threaded());
}

TEST(stop_wakes_every_sleeping_thread)
{
	struct server server;
	uint64_t start;

	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, server_start(&server, "echo", 8, 0));
		usleep(i * 5000);
		start = sbus_now();
		EXPECT_EQ(0, server_stop(&server));
		EXPECT_GT(2000 * MS, sbus_now() - start);
	}
	EXPECT_TRUE(single_threaded());
}

TEST(who_stopped_and_closed_is_gone_from_the_bus)
{
	struct sbus_params params = { .size = sizeof(params) };
	struct server server;
	struct sbus *bus;

	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(0, server_start(&server, "echo", 1, 0));
		EXPECT_EQ(0, server_stop(&server));
		ASSERT_EQ(-ENOENT, sbus_open(&bus, &params, NULL));
	}
}

TEST(stop_works_while_a_forked_child_holds_every_file)
{
	struct server server;
	uint64_t start;
	pid_t pid;

	ASSERT_EQ(0, server_start(&server, "echo", 3, 0));
	usleep(20000);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	start = sbus_now();
	EXPECT_EQ(0, server_stop(&server));
	EXPECT_GT(2000 * MS, sbus_now() - start);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A process that cannot open the device and join the bus any more. */
FIXTURE(confined)
{
	struct server server;
};

FIXTURE_VARIANT(confined)
{
	int (*confine)(void);
};

static int no_descriptors(void)
{
	return setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, 0 });
}

static int other_root(void)
{
	return chroot("/proc/self/fdinfo");
}

static int other_user(void)
{
	return setuid(65534);
}

/* AddressSanitizer itself needs memory. */
#ifndef __SANITIZE_ADDRESS__
static int no_memory(void)
{
	return setrlimit(RLIMIT_AS, &(struct rlimit){ 0, 0 });
}
#endif

FIXTURE_VARIANT_ADD(confined, without_descriptors) { .confine = no_descriptors };
FIXTURE_VARIANT_ADD(confined, in_another_root) { .confine = other_root };
FIXTURE_VARIANT_ADD(confined, as_another_user) { .confine = other_user };
#ifndef __SANITIZE_ADDRESS__
FIXTURE_VARIANT_ADD(confined, without_memory) { .confine = no_memory };
#endif

FIXTURE_SETUP(confined)
{
	ASSERT_EQ(0, server_start(&self->server, "echo", 3, 0));
}

FIXTURE_TEARDOWN(confined)
{
}

TEST_F(confined, process_can_stop_serving)
{
	usleep(20000);
	ASSERT_EQ(0, variant->confine());
	EXPECT_EQ(0, server_stop(&self->server));
}

TEST(serving_can_be_stopped_and_begun_again)
{
	struct server server;
	struct sbus *bus;

	ASSERT_EQ(0, server_start(&server, "echo", 2, 0));
	bus = test_open();
	for (int i = 0; i < 20; i++) {
		sbus_stop(server.bus);
		pthread_join(server.thread, NULL);
		EXPECT_EQ(0, server.result);
		ASSERT_EQ(0, server_serve(&server));
		EXPECT_EQ(0, sbus_call_raw(bus, "echo", "x", 1, 10000 * MS, NULL, NULL));
	}
	sbus_unref(bus);
	EXPECT_EQ(0, server_stop(&server));
}

TEST(stop_before_serve_makes_it_return_at_once)
{
	struct sbus *bus = test_open();

	sbus_stop(bus);
	EXPECT_EQ(0, sbus_serve(bus, NULL, NULL));
	sbus_unref(bus);
}

static int stop_from_within(struct sbus_message *request, void *userdata)
{
	(void)userdata;
	sbus_stop(sbus_message_bus(request));
	return sbus_reply_json(request, "true", 4);
}

static void *call_once(void *arg)
{
	struct sbus *bus = test_open();
	struct sbus_message *reply = NULL;
	int *result = arg;

	for (int i = 0; i < 1000; i++) {
		*result = sbus_call_json(bus, "once", "1", 1, 0, &reply, NULL);
		if (*result != -ENOENT)
			break;
		usleep(1000);
	}
	sbus_message_unref(reply);
	sbus_unref(bus);
	return NULL;
}

TEST(stop_from_a_handler_lets_the_answer_out)
{
	struct sbus *bus = test_open();
	pthread_t thread;
	int result = 1;

	sbus_set_handler(bus, stop_from_within, NULL);
	ASSERT_EQ(0, sbus_claim(bus, "once", NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, call_once, &result));
	EXPECT_EQ(0, sbus_serve(bus, NULL, NULL));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, result);
	sbus_unref(bus);
}

TEST(serving_without_a_handler_is_refused)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = test_open();

	ASSERT_EQ(0, sbus_claim(bus, "nobody", NULL));
	EXPECT_EQ(-EINVAL, sbus_serve(bus, NULL, &error));
	EXPECT_NE(NULL, strstr(error.message, "handler"));
	sbus_error_clear(&error);
	sbus_unref(bus);
}

static struct sbus *to_stop;

static void on_alarm(int signal)
{
	(void)signal;
	sbus_stop(to_stop);
}

TEST(stop_is_safe_in_a_signal_handler)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };

	to_stop = test_open();
	sigaction(SIGUSR2, &action, NULL);
	if (!fork()) {
		usleep(50000);
		kill(getppid(), SIGUSR2);
		_exit(0);
	}
	EXPECT_EQ(0, sbus_serve(to_stop, NULL, NULL));
	wait(NULL);
	sbus_unref(to_stop);
}

static int give_up(void *data)
{
	return *(int *)data;
}

static void ignore(int signal)
{
	(void)signal;
}

TEST(signal_asks_whether_to_serve_on)
{
	struct sigaction action = { .sa_handler = ignore };
	int result = -EOWNERDEAD;
	struct sbus_serve_params params = {
		.size = sizeof(params), .threads = 3, .interrupted = give_up,
		.interrupted_data = &result,
	};
	struct sbus *bus = test_open();

	sigaction(SIGUSR2, &action, NULL);
	if (!fork()) {
		for (int i = 0; i < 20; i++) {
			usleep(20000);
			kill(getppid(), SIGUSR2);
		}
		_exit(0);
	}
	EXPECT_EQ(-EOWNERDEAD, sbus_serve(bus, &params, NULL));
	while (wait(NULL) < 0)
		;
	sbus_unref(bus);
}

TEST(room_does_not_lie_idle_in_a_server_that_sleeps)
{
	static char body[20000];
	struct sbus_request request = request_for("echo", "keep", body, sizeof(body));
	struct server server;
	struct sbus *bus;

	ASSERT_EQ(0, server_start(&server, "echo", 1, 64 << 10));
	bus = test_open();
	for (int i = 0; i < 40; i++) {
		struct outcome outcome = OUTCOME_INIT;

		ASSERT_EQ(0, sbus_call_async(bus, &request, outcome_reply, &outcome, NULL, NULL));
		/* The call may have to wait here until the last one's room is back. */
		while (!server_answer_kept(&server, true)) {
			ASSERT_LE(0, sbus_process(bus));
			usleep(1000);
		}
		while (!outcome.count) {
			ASSERT_EQ(1, sbus_wait(bus, sbus_now() + 3000 * MS));
			sbus_process(bus);
		}
		ASSERT_EQ(0, outcome.error);
	}
	sbus_unref(bus);
	EXPECT_EQ(0, server_stop(&server));
}

static int echo(struct sbus_message *request, void *userdata)
{
	size_t len;
	const void *body = sbus_message_body(request, &len);

	(*(int *)userdata)++;
	return sbus_reply_raw(request, body, len);
}

static void *call_loop(void *arg)
{
	struct sbus_request request = request_for("loop", "echo", "abc", 3);
	struct sbus *bus = test_open();
	long wrong = 0;

	for (int i = 0; i < 500; i++)
		wrong += sbus_call(bus, &request, NULL, NULL) != 0;
	sbus_unref(bus);
	*(atomic_int *)arg = 1;
	return (void *)wrong;
}

TEST(event_loop_serves_with_process_alone)
{
	struct sbus *bus = test_open();
	pthread_t threads[2];
	atomic_int done[2] = { 0 };
	int handled = 0;
	void *wrong;

	sbus_set_handler(bus, echo, &handled);
	ASSERT_EQ(0, sbus_claim(bus, "loop", NULL));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, call_loop, &done[i]));
	while (!done[0] || !done[1])
		if (sbus_wait(bus, sbus_now() + 10 * MS) > 0)
			ASSERT_LE(0, sbus_process(bus));
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &wrong);
		EXPECT_EQ(NULL, wrong);
	}
	EXPECT_EQ(1000, handled);
	sbus_unref(bus);
}

TEST(server_sends_what_waited_for_room_while_its_threads_sleep)
{
	static char body[30000];
	struct sbus_request request = request_for("echo", "keep", body, sizeof(body));
	struct outcome outcomes[6];
	struct server server, caller;
	int told = 0;

	ASSERT_EQ(0, server_start(&server, "echo", 1, 64 << 10));
	ASSERT_EQ(0, server_start(&caller, "caller", 2, 0));
	usleep(20000);
	for (int i = 0; i < 6; i++) {
		outcomes[i] = (struct outcome)OUTCOME_INIT;
		ASSERT_EQ(0, sbus_call_async(caller.bus, &request, outcome_reply, &outcomes[i],
					     NULL, NULL));
	}
	for (int i = 0; i < 2000 && told < 6; i++) {
		server_answer_kept(&server, true);
		usleep(2000);
		told = 0;
		for (int j = 0; j < 6; j++)
			told += outcomes[j].count;
	}
	EXPECT_EQ(6, told);
	EXPECT_EQ(0, server_stop(&caller));
	EXPECT_EQ(0, server_stop(&server));
}

TEST_HARNESS_MAIN
