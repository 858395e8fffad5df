// SPDX-License-Identifier: MIT
/*
 * Many calls with a timeout to a server that is stopped: each has one outcome. Most
 * of them wait in the library for room, and those beyond its queue are refused at
 * once. SYMPHONY_WAITING is how many there are.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "common.h"

#define DEFAULT 20000

struct told {
	int *total, *sent;
	int count, error;
	bool retry_safe;
};

static void tell(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct told *told = userdata;

	(void)reply;
	told->count++;
	told->error = error ? error->error : 0;
	told->retry_safe = error && error->retry_safe;
	++*told->total;
	*told->sent += error && error->call;
}

static struct sbus *open_queue(uint32_t queue_max)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(),
		.queue_max = queue_max,
	};
	struct sbus *bus = NULL;

	sbus_open(&bus, &params, NULL);
	return bus;
}

static void process_until(struct sbus *bus, const int *total, int nr)
{
	while (*total < nr && sbus_wait(bus, sbus_now() + 20000 * MS) > 0)
		if (sbus_process(bus) < 0)
			break;
}

FIXTURE(waiting)
{
};

FIXTURE_SETUP(waiting)
{
}

FIXTURE_TEARDOWN(waiting)
{
}

TEST_F_TIMEOUT(waiting, every_call_to_a_stopped_server_has_one_outcome, 300)
{
	const char *wanted = getenv("SYMPHONY_WAITING");
	int nr = wanted ? atoi(wanted) : DEFAULT, total = 0, sent = 0, refused = 0, wrong = 0;
	struct sbus_request request = SBUS_REQUEST_INIT("stopped");
	struct sbus *bus = open_queue(wanted ? nr : nr / 2);
	struct told *told = calloc(nr, sizeof(*told));
	uint64_t start;
	pid_t pid;
	int r;

	ASSERT_NE(NULL, bus);
	pid = serve_child(bus, "stopped", NULL);
	ASSERT_LT(0, pid);
	request.body = "{\"method\":\"nothing\"}";
	request.body_len = 20;
	request.content_type = SBUS_JSON;
	/* Slots that are used again. */
	for (int i = 0; i < 1000; i++) {
		told[i] = (struct told){ .total = &total, .sent = &sent };
		ASSERT_EQ(0, sbus_call_async(bus, &request, tell, &told[i], NULL, NULL));
	}
	process_until(bus, &total, 1000);
	ASSERT_EQ(1000, total);

	kill(pid, SIGSTOP);
	total = sent = 0;
	start = sbus_now();
	request.timeout = 5000 * MS;
	for (int i = 0; i < nr; i++) {
		told[i] = (struct told){ .total = &total, .sent = &sent };
		r = sbus_call_async(bus, &request, tell, &told[i], NULL, NULL);
		ASSERT_TRUE(!r || r == -ENOBUFS);
		if (r) {
			told[i].count++;
			told[i].error = r;
			refused++;
		}
	}
	process_until(bus, &total, nr - refused);
	EXPECT_EQ(nr, total + refused);
	EXPECT_EQ(0, sbus_process(bus));
	for (int i = 0; i < nr; i++) {
		bool late = told[i].error == -ETIME || told[i].error == -ETIMEDOUT;

		if (told[i].count != 1 || !(late || told[i].error == -ENOBUFS) ||
		    (told[i].error == -ETIME && !told[i].retry_safe))
			wrong++;
	}
	EXPECT_EQ(0, wrong);
	TH_LOG("%d calls: %d were sent, %d refused; all had an outcome after %llu ms", nr, sent,
	       refused, (unsigned long long)((sbus_now() - start) / MS));
	kill(pid, SIGCONT);
	EXPECT_EQ(0, stop_child(pid));
	sbus_unref(bus);
	EXPECT_EQ(nr, total + refused);
	free(told);
}

TEST_HARNESS_MAIN
