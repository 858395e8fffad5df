// SPDX-License-Identifier: MIT
/* Who may claim: grants, reserved ids, and the Pit whose ids are reserved. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

FIXTURE(grant)
{
	struct sbus *creator;
	struct sbus *bus;
	struct sbus_error error;
};

FIXTURE_SETUP(grant)
{
	memset(self, 0, sizeof(*self));
}

FIXTURE_TEARDOWN(grant)
{
	sbus_unref(self->bus);
	sbus_unref(self->creator);
	sbus_error_clear(&self->error);
}

static int open_with(struct sbus **bus, uint32_t flags, const char *const *reserve,
		     struct sbus_error *error)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = flags, .bus = test_bus(), .reserve = reserve,
	};

	return sbus_open(bus, &params, error);
}

static int claim_granted(struct sbus *bus, const char *id, int grant, struct sbus_error *error)
{
	struct sbus_claim_params params = {
		.size = sizeof(params), .flags = SBUS_CLAIM_GRANT, .grant = grant,
	};

	return sbus_claim_with(bus, id, &params, error);
}

TEST_F(grant, bus_made_so_takes_claims_with_a_grant_only)
{
	int fd;

	ASSERT_EQ(0, open_with(&self->creator, SBUS_OPEN_CREATE | SBUS_OPEN_GRANTS, NULL, NULL));
	EXPECT_TRUE(sbus_is_creator(self->creator));
	self->bus = test_open();
	EXPECT_FALSE(sbus_is_creator(self->bus));
	EXPECT_EQ(-EPERM, sbus_claim(self->bus, "id", &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "grant"));
	EXPECT_EQ(-EPERM, sbus_grant(self->bus, "id", &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "created"));
	EXPECT_EQ(-EINVAL, sbus_grant(self->creator, "No", NULL));

	fd = sbus_grant(self->creator, "id", &self->error);
	ASSERT_LE(0, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(-EPERM, claim_granted(self->bus, "other", fd, NULL));
	EXPECT_EQ(-EBADF, claim_granted(self->bus, "id", 900, &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "900"));
	EXPECT_EQ(-EBADF, claim_granted(self->bus, "id", STDIN_FILENO, NULL));
	EXPECT_EQ(0, claim_granted(self->bus, "id", fd, &self->error));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, sbus_claim(self->creator, "id", NULL));
}

TEST_F(grant, reserved_ids_alone_need_one)
{
	static const char *const ids[] = { "one", "two", NULL };
	int fd;

	ASSERT_EQ(0, open_with(&self->creator, SBUS_OPEN_CREATE, ids, &self->error));
	self->bus = test_open();
	EXPECT_EQ(-EPERM, sbus_claim(self->bus, "one", NULL));
	EXPECT_EQ(-EPERM, sbus_claim(self->bus, "two", NULL));
	EXPECT_EQ(0, sbus_claim(self->bus, "three", NULL));
	EXPECT_EQ(0, sbus_claim(self->creator, "one", NULL));
	fd = sbus_grant(self->creator, "two", NULL);
	EXPECT_EQ(0, claim_granted(self->bus, "two", fd, NULL));
	close(fd);
}

TEST_F(grant, bus_that_is_there_without_them_is_refused)
{
	static const char *const ids[] = { "one", NULL };

	self->bus = test_open();
	EXPECT_TRUE(sbus_is_creator(self->bus));
	EXPECT_EQ(-EEXIST, open_with(&self->creator, SBUS_OPEN_CREATE | SBUS_OPEN_GRANTS, NULL,
				     &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "needs no grant"));
	EXPECT_EQ(-EEXIST, open_with(&self->creator, SBUS_OPEN_CREATE, ids, &self->error));
	EXPECT_NE(NULL, strstr(self->error.message, "not all of the ids"));
	EXPECT_EQ(0, sbus_claim(self->bus, "one", NULL));
	EXPECT_EQ(-EEXIST, open_with(&self->creator, SBUS_OPEN_CREATE | SBUS_OPEN_EXCL, ids,
				     NULL));
	EXPECT_EQ(-EINVAL, open_with(&self->creator, 0, ids, NULL));
	EXPECT_EQ(-EINVAL, open_with(&self->creator, SBUS_OPEN_GRANTS, NULL, NULL));
}

TEST_F(grant, creator_that_is_dead_is_succeeded_by_who_would_reserve)
{
	static const char *const ids[] = { "one", NULL };
	struct sbus *plain;

	ASSERT_EQ(0, open_with(&self->creator, SBUS_OPEN_CREATE, ids, NULL));
	self->bus = test_open();
	self->creator = sbus_unref(self->creator);

	plain = test_open();
	EXPECT_FALSE(sbus_is_creator(plain));
	sbus_unref(plain);
	EXPECT_EQ(-EPERM, sbus_claim(self->bus, "one", NULL));

	ASSERT_EQ(0, open_with(&self->creator, SBUS_OPEN_CREATE, ids, &self->error));
	EXPECT_TRUE(sbus_is_creator(self->creator));
	EXPECT_EQ(0, sbus_claim(self->creator, "one", &self->error));
}

TEST_F(grant, impossible_reservations_are_refused)
{
	static const char *const bad[] = { "one", "No", NULL };
	static const char *const none[] = { NULL };
	char names[64][66], long_name[64];
	const char *many[65] = { NULL };

	EXPECT_EQ(-EINVAL, open_with(&self->bus, SBUS_OPEN_CREATE, bad, NULL));
	memset(long_name, 'x', sizeof(long_name));
	for (int i = 0; i < 64; i++) {
		snprintf(names[i], sizeof(names[i]), "n%02d%.60s", i, long_name);
		many[i] = names[i];
	}
	EXPECT_EQ(0, open_with(&self->bus, SBUS_OPEN_CREATE, many, NULL));
	self->bus = sbus_unref(self->bus);
	many[63] = "x";
	EXPECT_EQ(0, open_with(&self->bus, SBUS_OPEN_CREATE, none, NULL));
}

TEST_F(grant, second_connection_serves_the_pit_whose_ids_are_reserved)
{
	sbus_cleanup_pit struct sbus_pit *pit = NULL;
	struct symphony_extension other = probe;
	struct sbus *server, *third;

	other.name = "other";
	ASSERT_EQ(0, sbus_pit_new(&pit));
	EXPECT_EQ(NULL, sbus_pit_ids(pit)[0]);
	ASSERT_EQ(0, sbus_pit_add(pit, &probe, NULL, NULL));
	ASSERT_EQ(0, sbus_pit_add(pit, &other, NULL, NULL));
	EXPECT_STREQ("probe", sbus_pit_ids(pit)[0]);
	EXPECT_STREQ("other", sbus_pit_ids(pit)[1]);
	EXPECT_EQ(NULL, sbus_pit_ids(pit)[2]);
	ASSERT_EQ(0, sbus_pit_start(pit, NULL, NULL));
	ASSERT_EQ(0, open_with(&self->creator, SBUS_OPEN_CREATE, sbus_pit_ids(pit), NULL));

	third = test_open();
	EXPECT_EQ(-EPERM, sbus_claim(third, "probe", NULL));
	server = test_open();
	EXPECT_EQ(-EPERM, sbus_pit_serve(pit, server, 1, NULL));
	sbus_pit_set_creator(pit, self->creator);
	EXPECT_EQ(0, sbus_pit_serve(pit, server, 1, &self->error));
	EXPECT_EQ(-EPERM, sbus_claim(third, "probe", NULL));
	EXPECT_EQ(0, sbus_call_json(third, "other", "{\"method\":\"describe\"}", 21, 0, NULL, NULL));
	sbus_pit_stop(pit);
	sbus_unref(server);
	sbus_unref(third);
}

/* An extension in a process of its own gets the descriptor by an option or a variable. */
static int run_granted(int fd, bool variable)
{
	char number[16];
	const char *argv[] = { "probe", "--bus", test_bus(), "--id", "id", "--grant", number, NULL };
	pid_t pid;

	snprintf(number, sizeof(number), "%d", fd);
	if (variable) {
		setenv("SYMPHONY_GRANT", number, 1);
		argv[5] = NULL;
	}
	pid = run_probe(argv, false);
	unsetenv("SYMPHONY_GRANT");
	return pid;
}

TEST_F(grant, child_inherits_its_grant)
{
	int fd, inherited;
	pid_t pid;

	ASSERT_EQ(0, open_with(&self->creator, SBUS_OPEN_CREATE | SBUS_OPEN_GRANTS, NULL, NULL));
	fd = sbus_grant(self->creator, "id", NULL);
	inherited = dup(fd);
	for (int variable = 0; variable < 2; variable++) {
		pid = run_granted(inherited, variable);
		ASSERT_LT(0, pid);
		while (sbus_call_json(self->creator, "id", "{\"method\":\"describe\"}", 21, 0, NULL,
				      NULL)) {
			ASSERT_EQ(0, waitpid(pid, NULL, WNOHANG));
			usleep(10000);
		}
		EXPECT_EQ(0, stop_child(pid));
	}
	close(inherited);
	/* Without it: refused. The original is close-on-exec. */
	pid = run_granted(fd, false);
	EXPECT_EQ(1, ({ int status; waitpid(pid, &status, 0); WEXITSTATUS(status); }));
	close(fd);
}

TEST_HARNESS_MAIN
