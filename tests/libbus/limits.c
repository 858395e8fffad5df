// SPDX-License-Identifier: MIT
/* Errors name the limit, and sbus_query() says how much of it is used. */
#include <linux/symphony.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../device/device.h"
#include "server.h"

#define USER 4242

static char body[1 << 20];

FIXTURE(limits)
{
	struct sbus *world;		/* lets every user in */
	struct server server;
	struct sbus *bus;
	struct sbus_error error;
};

static struct sbus *open_pool(uint32_t flags, uint32_t pool_size, struct sbus_error *error)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = flags ?: SBUS_OPEN_ANY_OWNER, .bus = test_bus(), .mode = 0666,
		.pool_size = pool_size, .sealed_min = UINT32_MAX,
	};
	struct sbus *bus = NULL;

	sbus_open(&bus, &params, error);
	return bus;
}

FIXTURE_SETUP(limits)
{
	memset(&self->error, 0, sizeof(self->error));
	self->world = open_pool(SBUS_OPEN_CREATE, 0, NULL);
	ASSERT_NE(NULL, self->world);
	server_sealed_min = UINT32_MAX;
	ASSERT_EQ(0, server_start(&self->server, "echo", 1, 65536));
	self->bus = open_pool(0, 65536, NULL);
	ASSERT_NE(NULL, self->bus);
}

FIXTURE_TEARDOWN(limits)
{
	sbus_unref(self->bus);
	EXPECT_EQ(0, server_stop(&self->server));
	sbus_unref(self->world);
	sbus_error_clear(&self->error);
}

static bool says(const struct sbus_error *error, uint32_t limit, const char *text)
{
	if (error->limit == limit && strstr(sbus_error_message(error), text))
		return true;
	fprintf(stderr, "# limit %u: %s\n", error->limit, sbus_error_message(error));
	return false;
}

TEST_F(limits, body)
{
	struct sbus_request request = request_for("echo", "echo", body, 40000);

	EXPECT_EQ(-EMSGSIZE, sbus_call(self->bus, &request, NULL, &self->error));
	EXPECT_TRUE(says(&self->error, SYMPHONY_LIMIT_BODY, "half the receive pool there"));
	EXPECT_STREQ("echo", self->error.extension);
	EXPECT_EQ(0, self->error.needed);
	sbus_error_clear(&self->error);
	EXPECT_EQ(-EMSGSIZE, sbus_call_async(self->bus, &request, outcome_reply, NULL, NULL,
					     &self->error));
	EXPECT_TRUE(says(&self->error, SYMPHONY_LIMIT_BODY, "\"echo\""));
}

TEST_F(limits, answer)
{
	struct sbus_request request = request_for("echo", "echo", "", 0);

	request.reply_max = 40000;
	EXPECT_EQ(-EMSGSIZE, sbus_call(self->bus, &request, NULL, &self->error));
	EXPECT_TRUE(says(&self->error, SYMPHONY_LIMIT_REPLY, "reply_max"));
	EXPECT_EQ(0, self->error.needed);
	/* That of an outcome is no limit's. */
	request = request_for("echo", "big", "60000", 5);
	EXPECT_EQ(-EMSGSIZE, sbus_call(self->bus, &request, NULL, &self->error));
	EXPECT_TRUE(says(&self->error, SYMPHONY_LIMIT_NONE, "reply_max = 60000"));
	EXPECT_EQ(60000, self->error.needed);
}

TEST_F(limits, own_pool)
{
	struct sbus_request request = request_for("echo", "echo", body, 4000);
	struct sbus_message *held[64];
	int nr = 0, r;

	while (!(r = sbus_call(self->bus, &request, &held[nr], &self->error)))
		nr++;
	EXPECT_EQ(-ENOBUFS, r);
	EXPECT_TRUE(says(&self->error, SYMPHONY_LIMIT_POOL, "drop messages"));
	EXPECT_LT(8, nr);
	while (nr)
		sbus_message_unref(held[--nr]);
	EXPECT_EQ(0, sbus_call(self->bus, &request, NULL, &self->error));
}

TEST_F(limits, calls_of_a_connection)
{
	struct sbus_request request = request_for("echo", "keep", "", 0);
	struct outcome outcome = OUTCOME_INIT;
	long before = dev_param("calls_max", 1);
	int first, second;

	if (before < 0)
		SKIP(return, "no module parameters (%ld)", before);
	first = sbus_call_async(self->bus, &request, outcome_reply, &outcome, NULL, NULL);
	second = sbus_call(self->bus, &request, NULL, &self->error);
	dev_param("calls_max", before);
	EXPECT_EQ(0, first);
	EXPECT_EQ(-EDQUOT, second);
	EXPECT_TRUE(says(&self->error, SYMPHONY_LIMIT_CALLS, "calls_max"));
	sbus_close(self->bus);
}

TEST_F(limits, waiting_calls_of_a_connection)
{
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .queue_max = 1,
	};
	struct sbus_request request = request_for("echo", "keep", body, 30000);
	struct outcome outcome = OUTCOME_INIT;
	struct sbus *bus;
	int r;

	ASSERT_EQ(0, sbus_open(&bus, &params, NULL));
	do
		r = sbus_call_async(bus, &request, outcome_reply, &outcome, NULL, &self->error);
	while (!r);
	EXPECT_EQ(-ENOBUFS, r);
	EXPECT_TRUE(says(&self->error, SYMPHONY_LIMIT_NONE, "queue_max"));
	sbus_unref(bus);
}

/* Runs @fn as a user without privileges, with the module's parameter: its result. */
static int as_user(const char *param, long value, int (*fn)(void))
{
	long before = dev_param(param, value);
	int status = -1;
	pid_t pid;

	if (before < 0)
		return before;
	pid = fork();
	if (!pid)
		_exit(setgid(USER) || setuid(USER) ? 100 : fn());
	waitpid(pid, &status, 0);
	dev_param(param, before);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The third connection of a user is refused, and @limit is why. */
static int third_is_refused(uint32_t flags, uint32_t pool_size, uint32_t limit, const char *text)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus;

	for (int i = 0; i < 2; i++)
		if (!open_pool(flags, pool_size, NULL))
			return 1;
	bus = open_pool(flags, pool_size, &error);
	return bus ? 2 : error.error != -EDQUOT ? 3 : !says(&error, limit, text) ? 4 : 0;
}

static int connections(void)
{
	return third_is_refused(0, 65536, SYMPHONY_LIMIT_USER_ENDPOINTS, "user_endpoints_max");
}

static int pools(void)
{
	return third_is_refused(0, 1 << 19, SYMPHONY_LIMIT_USER_POOL, "user_pool_max");
}

static int buses(void)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = "limits-one",
	};
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus;

	if (sbus_open(&bus, &params, NULL))
		return 1;
	/* Joining takes nothing. */
	if (sbus_open(&bus, &params, NULL))
		return 2;
	params.bus = "limits-two";
	if (sbus_open(&bus, &params, &error) != -EDQUOT)
		return 3;
	return says(&error, SYMPHONY_LIMIT_USER_BUSES, "limits-two") ? 0 : 4;
}

static int ids(void)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = open_pool(0, 65536, NULL);

	if (!bus || sbus_claim(bus, "first", NULL))
		return 1;
	if (sbus_claim(bus, "second", &error) != -EDQUOT)
		return 2;
	return says(&error, SYMPHONY_LIMIT_USER_SERVICES, "user_services_max") &&
	       !strcmp(error.extension, "second") ? 0 : 3;
}

static int calls(void)
{
	struct sbus_request request = request_for("echo", "keep", "", 0);
	struct sbus_error error = SBUS_ERROR_INIT;
	struct outcome outcome = OUTCOME_INIT;
	struct sbus *bus = open_pool(0, 65536, NULL);

	request.reply_max = 1;
	for (int i = 0; i < 32; i++)
		if (!bus || sbus_call_async(bus, &request, outcome_reply, &outcome, NULL, NULL))
			return 1;
	if (sbus_call(bus, &request, NULL, &error) != -EDQUOT)
		return 2;
	return says(&error, SYMPHONY_LIMIT_USER_CALLS, "user_calls_max") ? 0 : 3;
}

TEST_F(limits, connections_of_a_user)
{
	EXPECT_EQ(0, as_user("user_endpoints_max", 2, connections));
}

TEST_F(limits, pools_of_a_user)
{
	EXPECT_EQ(0, as_user("user_pool_max", 1, pools));
}

TEST_F(limits, buses_of_a_user)
{
	EXPECT_EQ(0, as_user("user_buses_max", 1, buses));
}

TEST_F(limits, ids_of_a_user)
{
	EXPECT_EQ(0, as_user("user_services_max", 1, ids));
}

TEST_F(limits, calls_of_a_user)
{
	EXPECT_EQ(0, as_user("user_calls_max", 32, calls));
}

TEST_F(limits, query_says_what_a_user_has)
{
	struct sbus_info before = { .size = sizeof(before) }, after = before;
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = "limits-use",
		.pool_size = 65536,
	};
	struct sbus *bus;

	ASSERT_EQ(0, sbus_query(self->bus, &before, NULL));
	ASSERT_EQ(0, sbus_open(&bus, &params, NULL));
	ASSERT_EQ(0, sbus_claim(bus, "used", NULL));
	ASSERT_EQ(0, sbus_query(NULL, &after, NULL));
	EXPECT_EQ(before.user_buses.used + 1, after.user_buses.used);
	EXPECT_EQ(before.user_endpoints.used + 1, after.user_endpoints.used);
	EXPECT_EQ(before.user_pool.used + 65536, after.user_pool.used);
	EXPECT_EQ(before.user_services.used + 1, after.user_services.used);
	EXPECT_LE(after.user_calls.used, after.user_calls.max);
	EXPECT_LT(0, after.user_calls.max);
	sbus_unref(bus);
}

TEST_HARNESS_MAIN
