// SPDX-License-Identifier: MIT
/* The filter forbids, and the launcher sees where nothing does. */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest_harness.h>

#include "rings.h"

static char launcher[4096];

/* The status of the launcher with these arguments. */
static int launch(char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execv(launcher, argv);
		_exit(99);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

#define LAUNCH(...)	launch((char *[]){ launcher, __VA_ARGS__, NULL })

FIXTURE(without)
{
	bool already;
};

FIXTURE_SETUP(without)
{
	char self_path[4000] = {};

	ASSERT_LT(0, readlink("/proc/self/exe", self_path, sizeof(self_path) - 1));
	snprintf(launcher, sizeof(launcher), "%s/without_io_uring", dirname(self_path));
	self->already = rings_are_forbidden();
}

FIXTURE_TEARDOWN(without)
{
}

TEST_F(without, the_filter_forbids_to_children_too)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, rings_forbid());
	EXPECT_TRUE(rings_are_forbidden());
	pid = fork();
	if (!pid)
		_exit(rings_are_forbidden() ? 7 : 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(7, WEXITSTATUS(status));
	EXPECT_EQ(5, LAUNCH("--check", "sh", "-c", "exit 5"));
}

TEST_F(without, nothing_runs_where_nothing_forbids)
{
	if (self->already)
		SKIP(return, "io_uring is forbidden");
	EXPECT_EQ(125, LAUNCH("--check", "sh", "-c", "exit 5"));
}

TEST_F(without, a_command_runs_with_its_status)
{
	EXPECT_EQ(5, LAUNCH("sh", "-c", "exit 5"));
	EXPECT_EQ(5, LAUNCH(launcher, "--check", "sh", "-c", "exit 5"));
	EXPECT_EQ(127, LAUNCH("/nothing/there"));
	EXPECT_EQ(125, LAUNCH("--check"));
}

TEST_HARNESS_MAIN
