// SPDX-License-Identifier: MIT
/* Batches: answers that go out together, over a ring or without one. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../without/rings.h"
#include "server.h"

#define CALLS 200

/* How many rings this process has. */
static int rings(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char target[64];
	int nr = 0;

	while ((entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[len < 0 ? 0 : len] = 0;
		nr += !strcmp(target, "anon_inode:[io_uring]");
	}
	closedir(dir);
	return nr;
}

struct got {
	int nr, wrong;
	int seen[CALLS];
};

static struct got got;

static void take(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	char expected[32];
	const char *body;
	size_t len;

	got.nr++;
	got.seen[(long)userdata]++;
	if (error) {
		got.wrong++;
		return;
	}
	body = sbus_message_body(reply, &len);
	snprintf(expected, sizeof(expected), "call %ld", (long)userdata);
	got.wrong += len != strlen(expected) || memcmp(body, expected, len);
}

/* Handle what comes until @nr outcomes did, or 10 s passed. */
static void process_until(struct sbus *bus, int nr)
{
	uint64_t until = sbus_now() + 10000 * MS;

	while (got.nr < nr && sbus_now() < until)
		if (!sbus_process(bus))
			sbus_wait(bus, sbus_now() + 50 * MS);
}

/* CALLS calls of @method at once; the number of right answers. */
static int call_many(const char *method)
{
	struct sbus *bus = test_open();
	char body[32];

	memset(&got, 0, sizeof(got));
	for (long i = 0; i < CALLS; i++) {
		struct sbus_request request = request_for("echo", method, body,
							  sprintf(body, "call %ld", i));

		if (sbus_call_async(bus, &request, take, (void *)i, NULL, NULL))
			return -1;
	}
	process_until(bus, CALLS);
	sbus_unref(bus);
	for (int i = 0; i < CALLS; i++)
		if (got.seen[i] != 1)
			return -2;
	return got.nr - got.wrong;
}

TEST(batches_are_answered_over_a_ring)
{
	struct server server;

	if (rings_are_forbidden())
		SKIP(return, "io_uring is forbidden");
	ASSERT_EQ(0, server_start_batch(&server, "echo", 1, 0, 64));
	EXPECT_EQ(0, rings());
	EXPECT_EQ(CALLS, call_many("echo"));
	EXPECT_EQ(CALLS, call_many("take"));
	EXPECT_EQ(1, rings());
	EXPECT_EQ(2 * CALLS, server.handled);
	EXPECT_EQ(0, server_stop(&server));
	EXPECT_EQ(0, rings());
}

TEST(batches_of_several_threads_are_answered)
{
	struct server server;

	ASSERT_EQ(0, server_start_batch(&server, "echo", 4, 0, 16));
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(CALLS, call_many("echo"));
	EXPECT_EQ(0, server_stop(&server));
	EXPECT_TRUE(single_threaded());
}

TEST(who_wants_no_ring_gets_none)
{
	struct server server;

	setenv("SYMPHONY_ENGINE", "ioctl", 1);
	ASSERT_EQ(0, server_start_batch(&server, "echo", 1, 0, 64));
	EXPECT_EQ(CALLS, call_many("echo"));
	EXPECT_EQ(0, rings());
	EXPECT_EQ(0, server_stop(&server));
}

/* Said once, however many connections there are, and everything works. */
TEST(where_rings_are_forbidden_it_is_said_once)
{
	struct server server;
	char text[1024];
	int ends[2], saved, len;

	ASSERT_EQ(0, pipe(ends));
	saved = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	ASSERT_EQ(0, rings_forbid());
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, server_start_batch(&server, "echo", 1, 0, 64));
		EXPECT_EQ(CALLS, call_many("echo"));
		EXPECT_EQ(0, server_stop(&server));
	}
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(ends[1]);
	len = read(ends[0], text, sizeof(text) - 1);
	ASSERT_LT(0, len);
	text[len] = 0;
	EXPECT_NE(NULL, strstr(text, "io_uring cannot be used (Operation not permitted)"));
	EXPECT_EQ(strchr(text, '\n') + 1, text + len);
	EXPECT_EQ(0, rings());
}

static int handled_at_first;
static atomic_int handled_slowly;

static int slowly(struct sbus_message *request, void *userdata)
{
	size_t len;
	const char *body = sbus_message_body(request, &len);

	(void)userdata;
	usleep(5000);
	handled_slowly++;
	return sbus_reply_raw(request, body, len);
}

static void note_first(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	(void)reply;
	(void)error;
	(void)userdata;
	if (!got.nr++)
		handled_at_first = handled_slowly;
}

static void *serve_slowly(void *arg)
{
	struct sbus_serve_params params = { .size = sizeof(params), .batch = 64 };

	return (void *)(long)sbus_serve(arg, &params, NULL);
}

TEST(an_answer_does_not_wait_for_slow_handlers)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(),
	};
	struct sbus_request request = request_for("slow", "echo", "x", 1);
	struct sbus *server, *client;
	pthread_t thread;

	ASSERT_EQ(0, sbus_open(&server, &params, NULL));
	sbus_set_handler(server, slowly, NULL);
	ASSERT_EQ(0, sbus_claim(server, "slow", NULL));
	client = test_open();
	memset(&got, 0, sizeof(got));
	for (int i = 0; i < 50; i++)
		ASSERT_EQ(0, sbus_call_async(client, &request, note_first, NULL, NULL, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, serve_slowly, server));
	process_until(client, 50);
	EXPECT_EQ(50, got.nr);
	EXPECT_GT(40, handled_at_first);
	sbus_stop(server);
	pthread_join(thread, NULL);
	sbus_unref(client);
	sbus_unref(server);
}

/* A handler that calls somebody sends what it held before: they may wait for it. */
TEST(a_handler_that_calls_holds_nothing_back)
{
	struct server server, other;

	ASSERT_EQ(0, server_start(&other, "other", 1, 0));
	ASSERT_EQ(0, server_start_batch(&server, "echo", 1, 0, 64));
	memset(&got, 0, sizeof(got));
	{
		struct sbus *bus = test_open();

		for (int i = 0; i < 60; i++) {
			struct sbus_request request = request_for("echo", i % 3 ? "echo" : "call",
								  "other", 5);

			ASSERT_EQ(0, sbus_call_async(bus, &request, note_first, NULL, NULL, NULL));
		}
		process_until(bus, 60);
		sbus_unref(bus);
	}
	EXPECT_EQ(60, got.nr);
	EXPECT_EQ(20, other.handled);
	EXPECT_EQ(0, server_stop(&server));
	EXPECT_EQ(0, server_stop(&other));
}

TEST(a_batch_that_is_too_large_is_refused)
{
	struct server server;

	ASSERT_EQ(0, server_start_batch(&server, "echo", 1, 0, 65));
	EXPECT_EQ(-EINVAL, server_stop(&server));
}

/* A child has the ring's memory too: it must not disturb the parent's. */
TEST(a_forked_child_leaves_the_ring_alone)
{
	struct server server;
	int status;
	pid_t pid;

	ASSERT_EQ(0, server_start_batch(&server, "echo", 1, 0, 64));
	EXPECT_EQ(CALLS, call_many("echo"));
	pid = fork();
	if (!pid)
		_exit(sbus_unref(server.bus) != NULL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(CALLS, call_many("echo"));
	EXPECT_EQ(0, server_stop(&server));
}

TEST_HARNESS_MAIN
