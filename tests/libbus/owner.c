// SPDX-License-Identifier: MIT
/* Whose bus: another user's is refused unless it is meant, and so is one that protects less. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"

#define ALICE 1001

/* A process of @ALICE's has the bus; the test is another user's. */
FIXTURE(owner)
{
	struct sbus *bus;
	struct sbus_error error;
	pid_t alice;
	int said;
};

static void squat(int told, uint32_t mode)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(), .mode = mode,
	};
	struct sbus *bus;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = setgid(ALICE) || setuid(ALICE) ? -errno : sbus_open(&bus, &params, NULL);
	r = r ? r : sbus_claim(bus, "sum", NULL);
	if (write(told, &r, sizeof(r)) != sizeof(r))
		_exit(1);
	for (;;)
		pause();
}

static int start_alice(struct _test_data_owner *self, uint32_t mode)
{
	int pipes[2], r;

	test_bus();
	if (pipe(pipes))
		return -errno;
	self->alice = fork();
	if (!self->alice)
		squat(pipes[1], mode);
	close(pipes[1]);
	if (read(pipes[0], &r, sizeof(r)) != sizeof(r))
		r = -EPIPE;
	close(pipes[0]);
	return r;
}

FIXTURE_SETUP(owner)
{
	memset(self, 0, sizeof(*self));
	if (geteuid())
		SKIP(return, "needs root");
}

FIXTURE_TEARDOWN(owner)
{
	sbus_unref(self->bus);
	sbus_error_clear(&self->error);
	unsetenv("SYMPHONY_BUS");
	unsetenv("SYMPHONY_BUS_OWNER");
	if (self->alice > 0) {
		kill(self->alice, SIGKILL);
		waitpid(self->alice, NULL, 0);
	}
}

static int open_as(struct _test_data_owner *self, struct sbus_params params)
{
	int r;

	params.size = sizeof(params);
	self->bus = sbus_unref(self->bus);
	sbus_error_clear(&self->error);
	r = sbus_open(&self->bus, &params, &self->error);
	return r;
}

static bool says(struct _test_data_owner *self, const char *what)
{
	const char *text = sbus_error_message(&self->error);

	if (strstr(text, what))
		return true;
	fprintf(stderr, "# \"%s\" does not say \"%s\"\n", text, what);
	return false;
}

TEST_F(owner, another_users_bus_is_refused_by_name_and_uid)
{
	static const char *const ids[] = { "sum", NULL };

	ASSERT_EQ(0, start_alice(self, 0666));
	EXPECT_EQ(-EPERM, open_as(self, (struct sbus_params){
			.flags = SBUS_OPEN_CREATE | SBUS_OPEN_GRANTS, .mode = 0600,
			.bus = test_bus(), .reserve = ids }));
	EXPECT_TRUE(says(self, test_bus()));
	EXPECT_TRUE(says(self, "uid 1001"));
	EXPECT_TRUE(says(self, "owner"));
	EXPECT_EQ(-EPERM, open_as(self, (struct sbus_params){ .bus = test_bus() }));
	EXPECT_EQ(-EPERM, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_OWNER, .owner = 1002 }));
	EXPECT_EQ(-EPERM, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_OWNER, .owner = 0 }));
}

TEST_F(owner, it_is_joined_when_it_is_meant)
{
	ASSERT_EQ(0, start_alice(self, 0666));
	EXPECT_EQ(0, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_OWNER, .owner = ALICE }));
	EXPECT_EQ(0, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_ANY_OWNER | SBUS_OPEN_CREATE }));
	/* With less than was asked for it is refused all the same. */
	EXPECT_EQ(-EEXIST, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_ANY_OWNER, .mode = 0600 }));
	EXPECT_TRUE(says(self, "0666 lets in more than 0600"));
	EXPECT_TRUE(says(self, "uid 1001"));
	EXPECT_EQ(0, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_ANY_OWNER, .mode = 0666 }));
	EXPECT_EQ(-EEXIST, open_as(self, (struct sbus_params){
			.bus = test_bus(),
			.flags = SBUS_OPEN_ANY_OWNER | SBUS_OPEN_CREATE | SBUS_OPEN_GRANTS }));
}

TEST_F(owner, one_that_keeps_us_out_is_named_too)
{
	pid_t pid;
	int status;

	/* Root is let in by its capability. */
	ASSERT_EQ(0, start_alice(self, 0600));
	pid = fork();
	if (!pid) {
		if (setgid(1002) || setuid(1002))
			_exit(9);
		_exit(open_as(self, (struct sbus_params){ .bus = test_bus() }) != -EACCES ||
		      !says(self, "uid 1001"));
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(owner, environment_says_whose_its_own_bus_is)
{
	char name[SBUS_NAME_MAX + 1];

	ASSERT_EQ(0, start_alice(self, 0666));
	setenv("SYMPHONY_BUS", test_bus(), 1);
	EXPECT_EQ(-EPERM, open_as(self, (struct sbus_params){ .flags = SBUS_OPEN_CREATE }));
	setenv("SYMPHONY_BUS_OWNER", "1001", 1);
	EXPECT_EQ(0, open_as(self, (struct sbus_params){ .flags = SBUS_OPEN_CREATE }));
	/* Not of a bus that the program names. */
	EXPECT_EQ(-EPERM, open_as(self, (struct sbus_params){ .bus = test_bus() }));
	setenv("SYMPHONY_BUS_OWNER", "any", 1);
	EXPECT_EQ(0, open_as(self, (struct sbus_params){ 0 }));
	setenv("SYMPHONY_BUS_OWNER", "", 1);
	EXPECT_EQ(-EPERM, open_as(self, (struct sbus_params){ 0 }));
	setenv("SYMPHONY_BUS_OWNER", "alice", 1);
	EXPECT_EQ(-EINVAL, open_as(self, (struct sbus_params){ 0 }));
	EXPECT_TRUE(says(self, "SYMPHONY_BUS_OWNER"));
	setenv("SYMPHONY_BUS_OWNER", "1001", 1);
	unsetenv("SYMPHONY_BUS");
	EXPECT_STREQ("symphony-1001", sbus_bus_name(NULL, name));
	unsetenv("SYMPHONY_BUS_OWNER");
	EXPECT_STREQ("symphony-0", sbus_bus_name(NULL, name));
}

TEST_F(owner, one_cannot_create_for_another)
{
	EXPECT_EQ(-ENOENT, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_CREATE | SBUS_OPEN_OWNER,
			.owner = ALICE }));
	EXPECT_TRUE(says(self, "uid 1001"));
	EXPECT_EQ(-EINVAL, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_CREATE | SBUS_OPEN_EXCL |
			SBUS_OPEN_OWNER, .owner = ALICE }));
	EXPECT_EQ(-EINVAL, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_ANY_OWNER | SBUS_OPEN_OWNER }));
	EXPECT_EQ(0, open_as(self, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_CREATE | SBUS_OPEN_OWNER }));
}

TEST_F(owner, ones_own_bus_has_what_was_asked_for_or_is_refused)
{
	static const char *const ids[] = { "one", "two", NULL }, *const more[] = { "three", NULL };
	struct sbus *first;
	struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(),
		.mode = 0640, .reserve = ids, .reserve_new = more,
	};

	ASSERT_EQ(0, sbus_open(&first, &params, NULL));
	EXPECT_TRUE(sbus_is_creator(first));
	EXPECT_EQ(0, open_as(self, params));
	EXPECT_FALSE(sbus_is_creator(self->bus));
	params.mode = 0600;
	EXPECT_EQ(-EEXIST, open_as(self, params));
	params.mode = 0666;
	EXPECT_EQ(0, open_as(self, params));
	EXPECT_EQ(-EPERM, sbus_claim(self->bus, "two", NULL));
	EXPECT_EQ(-EPERM, sbus_claim(self->bus, "three", NULL));
	params.flags |= SBUS_OPEN_GRANTS;
	EXPECT_EQ(-EEXIST, open_as(self, params));
	params.flags &= ~SBUS_OPEN_GRANTS;
	params.reserve_new = ids;
	EXPECT_EQ(0, open_as(self, params));
	params.reserve_new = (const char *const[]){ "four", NULL };
	params.reserve = NULL;
	EXPECT_EQ(0, open_as(self, params));
	params.reserve = (const char *const[]){ "one", "four", NULL };
	EXPECT_EQ(-EEXIST, open_as(self, params));
	/* Who inherits it is told no less. */
	sbus_unref(self->bus);
	self->bus = NULL;
	params.reserve = NULL;
	params.reserve_new = NULL;
	ASSERT_EQ(0, open_as(self, params));
	sbus_unref(first);
	params.reserve = (const char *const[]){ "four", NULL };
	EXPECT_EQ(-EEXIST, sbus_open(&first, &params, NULL));
	params.reserve = ids;
	ASSERT_EQ(0, sbus_open(&first, &params, NULL));
	EXPECT_TRUE(sbus_is_creator(first));
	sbus_unref(first);
}

TEST(owners_are_uids_or_any)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "root", "4294967295",
					   "18446744073709551616", "0x1", "Any" };
	struct sbus_params params = { .size = sizeof(params) };

	EXPECT_EQ(0, sbus_owner_parse("4294967294", &params));
	EXPECT_EQ(4294967294U, params.owner);
	EXPECT_EQ(SBUS_OPEN_OWNER, params.flags);
	EXPECT_EQ(0, sbus_owner_parse("any", &params));
	EXPECT_EQ(SBUS_OPEN_ANY_OWNER, params.flags);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		EXPECT_EQ(-EINVAL, sbus_owner_parse(bad[i], &params));
}

TEST_HARNESS_MAIN
