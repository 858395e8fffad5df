// SPDX-License-Identifier: MIT
/* Claiming: takeover, recovery, activators, draining, grants, reserved ids. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "server.h"

#define DESCRIBE "{\"method\":\"describe\"}"
#define HOLD "{\"method\":\"hold\"}"
#define LATER "{\"method\":\"later\",\"params\":{\"ms\":1500}}"

/* A connection that a test processes itself, and what it was told and given. */
struct side {
	struct sbus *bus;
	const char *answer;		/* NULL: requests are kept */
	struct sbus_message *kept[8];
	int nr_kept;
	int notices;
	uint32_t type;
	uint64_t endpoint;
	char extension[64];
};

static int side_handle(struct sbus_message *request, void *userdata)
{
	struct side *side = userdata;

	if (side->answer)
		return sbus_reply_raw(request, side->answer, strlen(side->answer));
	side->kept[side->nr_kept++] = sbus_message_ref(request);
	return 0;
}

static void side_notice(const struct sbus_notice *notice, void *userdata)
{
	struct side *side = userdata;

	side->notices++;
	side->type = notice->type;
	side->endpoint = notice->endpoint;
	strcpy(side->extension, notice->extension);
}

static void side_open(struct side *side, const char *answer)
{
	memset(side, 0, sizeof(*side));
	side->bus = test_open();
	side->answer = answer;
	sbus_set_handler(side->bus, side_handle, side);
	sbus_set_notice_handler(side->bus, side_notice, side);
}

static void side_close(struct side *side)
{
	while (side->nr_kept)
		sbus_message_unref(side->kept[--side->nr_kept]);
	side->bus = sbus_unref(side->bus);
}

static int claim(struct side *side, uint32_t flags, uint32_t recovery, uint64_t endpoint)
{
	struct sbus_claim_params params = {
		.size = sizeof(params), .flags = flags, .recovery = recovery,
		.endpoint = endpoint,
	};

	return sbus_claim_with(side->bus, "id", &params, NULL);
}

FIXTURE(claim)
{
	struct sbus *bus;
	struct side one, two;
	struct outcome outcome;
	struct sbus_error error;
};

FIXTURE_SETUP(claim)
{
	memset(&self->error, 0, sizeof(self->error));
	self->outcome = (struct outcome)OUTCOME_INIT;
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	side_open(&self->one, NULL);
	side_open(&self->two, "two");
}

FIXTURE_TEARDOWN(claim)
{
	side_close(&self->one);
	side_close(&self->two);
	sbus_unref(self->bus);
	sbus_error_clear(&self->error);
}

static int call(struct sbus *bus, uint32_t flags, struct outcome *outcome)
{
	struct sbus_request request = request_for("id", "m", "x", 1);

	request.flags = flags;
	return sbus_call_async(bus, &request, outcome_reply, outcome, NULL, NULL);
}

/* Processes everything until @count is at least @nr. */
static void until(struct _test_data_claim *self, const int *count, int nr)
{
	struct sbus *all[] = { self->bus, self->one.bus, self->two.bus };
	struct pollfd fds[3];

	while (*(volatile const int *)count < nr) {
		for (int i = 0; i < 3; i++) {
			fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
			if (!all[i])
				continue;
			fds[i].fd = sbus_get_fd(all[i]);
			sbus_process(all[i]);
		}
		if (*(volatile const int *)count < nr)
			poll(fds, 3, 10);
	}
}

/* --- takeover */

TEST_F(claim, takeover_moves_what_is_queued_and_leaves_what_was_received)
{
	struct outcome other = OUTCOME_INIT;

	ASSERT_EQ(0, claim(&self->one, 0, 0, 0));
	ASSERT_EQ(0, call(self->bus, 0, &other));
	until(self, &self->one.nr_kept, 1);
	ASSERT_EQ(0, call(self->bus, 0, &self->outcome));
	ASSERT_EQ(0, claim(&self->two, SBUS_CLAIM_TAKEOVER, 0, 0));
	until(self, &self->outcome.count, 1);
	EXPECT_STREQ("two", self->outcome.text);

	until(self, &self->one.notices, 1);
	EXPECT_EQ(SBUS_NOTICE_TAKEOVER, self->one.type);
	EXPECT_EQ(sbus_endpoint(self->two.bus), self->one.endpoint);
	EXPECT_STREQ("id", self->one.extension);
	EXPECT_EQ(-ENOENT, sbus_unclaim(self->one.bus, "id"));

	EXPECT_EQ(0, sbus_reply_raw(self->one.kept[0], "one", 3));
	until(self, &other.count, 1);
	EXPECT_STREQ("one", other.text);
	/* And may come back. */
	EXPECT_EQ(0, claim(&self->one, SBUS_CLAIM_TAKEOVER, 0, 0));
	EXPECT_EQ(0, sbus_unclaim(self->one.bus, "id"));
}

TEST_F(claim, takeover_of_one_replica_leaves_the_others)
{
	struct side three;

	side_open(&three, "three");
	ASSERT_EQ(0, claim(&self->one, 0, 0, 0));
	ASSERT_EQ(0, claim(&self->two, 0, 0, 0));
	EXPECT_EQ(-ESRCH, claim(&three, SBUS_CLAIM_TAKEOVER, 0, sbus_endpoint(self->bus)));
	EXPECT_EQ(0, claim(&three, SBUS_CLAIM_TAKEOVER, 0, sbus_endpoint(self->one.bus)));
	until(self, &self->one.notices, 1);
	sbus_process(self->two.bus);
	EXPECT_EQ(0, self->two.notices);
	EXPECT_EQ(0, sbus_unclaim(self->two.bus, "id"));
	side_close(&three);
}

/* --- recovery */

/* A replica in a process of its own, to be killed: it has received the call of @json. */
static pid_t victim(struct _test_data_claim *self, const char *recovery, const char *json,
		    struct outcome *received)
{
	struct sbus_request request = request_for("id", "", json, strlen(json));
	pid_t pid = serve_child(self->bus, "id", "--recovery", recovery, NULL);
	int r;

	request.content_type = SBUS_JSON;
	request.flags = SBUS_CALL_IDEMPOTENT;
	r = sbus_call_async(self->bus, &request, outcome_reply, received, NULL, NULL);
	/* Answered after that was received. */
	if (!r)
		r = sbus_call_json(self->bus, "id", DESCRIBE, strlen(DESCRIBE), 0, NULL, NULL);
	return r ? r : pid;
}

static bool is_stopped(pid_t pid)
{
	char path[64], text[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return true;
	fgets(text, sizeof(text), file);
	fclose(file);
	return strstr(text, ") T ");
}

/* One more call, which it will not receive: it no longer waits for one. */
static int queue_one(struct _test_data_claim *self, pid_t pid)
{
	kill(pid, SIGSTOP);
	while (!is_stopped(pid))
		usleep(1000);
	return call(self->bus, 0, &self->outcome);
}

static void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F(claim, fail_ends_the_calls_of_a_dead_replica)
{
	struct outcome received = OUTCOME_INIT;
	pid_t pid = victim(self, "fail", HOLD, &received);

	ASSERT_LT(0, pid);
	EXPECT_EQ(0, queue_one(self, pid));
	EXPECT_EQ(0, claim(&self->two, 0, SBUS_RECOVERY_FAIL, 0));
	kill_child(pid);
	until(self, &received.count, 1);
	until(self, &self->outcome.count, 1);
	EXPECT_EQ(-ECONNRESET, received.error);
	EXPECT_EQ(-ECONNABORTED, self->outcome.error);
}

TEST_F(claim, requeue_saves_what_was_not_received)
{
	struct outcome received = OUTCOME_INIT;
	pid_t pid = victim(self, "requeue", HOLD, &received);

	ASSERT_LT(0, pid);
	EXPECT_EQ(0, queue_one(self, pid));
	EXPECT_EQ(-EINVAL, claim(&self->two, 0, SBUS_RECOVERY_FAIL, 0));
	EXPECT_EQ(0, claim(&self->two, 0, SBUS_RECOVERY_REQUEUE, 0));
	kill_child(pid);
	until(self, &received.count, 1);
	until(self, &self->outcome.count, 1);
	EXPECT_EQ(-ECONNRESET, received.error);
	EXPECT_STREQ("two", self->outcome.text);
}

TEST_F(claim, reissue_saves_what_may_be_done_twice)
{
	struct outcome received = OUTCOME_INIT;
	pid_t pid = victim(self, "reissue", HOLD, &received);

	ASSERT_LT(0, pid);
	EXPECT_EQ(0, claim(&self->two, 0, SBUS_RECOVERY_REISSUE, 0));
	kill_child(pid);
	until(self, &received.count, 1);
	EXPECT_STREQ("two", received.text);
}

/* --- activator */

TEST_F(claim, activator_holds_calls_for_the_first_replica)
{
	ASSERT_EQ(0, claim(&self->one, SBUS_CLAIM_ACTIVATOR, 0, 0));
	EXPECT_EQ(-EBUSY, claim(&self->two, SBUS_CLAIM_ACTIVATOR, 0, 0));
	ASSERT_EQ(0, call(self->bus, 0, &self->outcome));
	until(self, &self->one.notices, 1);
	EXPECT_EQ(SBUS_NOTICE_ACTIVATE, self->one.type);
	EXPECT_STREQ("id", self->one.extension);
	EXPECT_EQ(0, self->outcome.count);
	ASSERT_EQ(0, claim(&self->two, 0, 0, 0));
	until(self, &self->outcome.count, 1);
	EXPECT_STREQ("two", self->outcome.text);
	EXPECT_EQ(0, self->one.nr_kept);
	EXPECT_EQ(1, self->one.notices);
}

TEST_F(claim, activator_that_gives_up_refuses_what_it_holds)
{
	ASSERT_EQ(0, claim(&self->one, SBUS_CLAIM_ACTIVATOR, 0, 0));
	ASSERT_EQ(0, call(self->bus, 0, &self->outcome));
	until(self, &self->one.notices, 1);
	EXPECT_EQ(0, sbus_unclaim(self->one.bus, "id"));
	until(self, &self->outcome.count, 1);
	EXPECT_EQ(-ECONNREFUSED, self->outcome.error);
}

/* --- drain */

TEST_F(claim, drained_replica_gets_no_calls)
{
	/* Its outcome comes when the connection is closed. */
	static struct outcome other = OUTCOME_INIT;

	EXPECT_EQ(-ENOENT, sbus_drain(self->one.bus, "id", false));
	ASSERT_EQ(0, claim(&self->one, 0, 0, 0));
	ASSERT_EQ(0, claim(&self->two, 0, 0, 0));
	ASSERT_EQ(0, sbus_drain(self->one.bus, "id", false));
	for (int i = 1; i <= 4; i++) {
		ASSERT_EQ(0, call(self->bus, 0, &self->outcome));
		until(self, &self->outcome.count, i);
		EXPECT_STREQ("two", self->outcome.text);
	}
	ASSERT_EQ(0, sbus_drain(self->two.bus, "id", false));
	EXPECT_EQ(-ECONNREFUSED, sbus_call_raw(self->bus, "id", "", 0, 0, NULL, NULL));
	ASSERT_EQ(0, sbus_drain(self->one.bus, "id", true));
	ASSERT_EQ(0, call(self->bus, 0, &other));
	until(self, &self->one.nr_kept, 1);
}

TEST_F(claim, impossible_parameters_are_refused)
{
	struct sbus_claim_params params = { .size = sizeof(params) - 1 };

	EXPECT_EQ(-EINVAL, sbus_claim_with(self->bus, "id", &params, &self->error));
	params.size++;
	params.flags = 1U << 31;
	EXPECT_EQ(-EINVAL, sbus_claim_with(self->bus, "id", &params, &self->error));
	params.flags = 0;
	params.recovery = SBUS_RECOVERY_REISSUE + 1;
	EXPECT_EQ(-EINVAL, sbus_claim_with(self->bus, "id", &params, &self->error));
	params.recovery = 0;
	EXPECT_EQ(-EINVAL, sbus_claim_with(self->bus, "No", &params, &self->error));
	EXPECT_EQ(0, sbus_claim_with(self->bus, "id", &params, &self->error));
	EXPECT_EQ(-EALREADY, sbus_claim_with(self->bus, "id", &params, &self->error));
}

/* --- extensions in processes of their own */

/* Calls until that process answers. */
static int until_served_by(struct _test_data_claim *self, pid_t pid)
{
	struct sbus_message *reply;
	pid_t by = 0;
	int r = 0;

	while (!r && by != pid) {
		r = sbus_call_json(self->bus, "id", DESCRIBE, strlen(DESCRIBE), 0, &reply, NULL);
		if (r)
			break;
		by = sbus_message_pid(reply);
		sbus_message_unref(reply);
		usleep(1000);
	}
	return r;
}

TEST_F(claim, extension_that_is_taken_over_finishes_and_ends)
{
	struct outcome late = OUTCOME_INIT;
	pid_t old = victim(self, "fail", LATER, &late), new;
	int status = -1;

	ASSERT_LT(0, old);
	new = serve_child(self->bus, "id", "--takeover", NULL);
	ASSERT_LT(0, new);
	EXPECT_EQ(0, until_served_by(self, new));
	EXPECT_EQ(old, waitpid(old, &status, 0));
	EXPECT_EQ(0, status);
	until(self, &late.count, 1);
	EXPECT_STREQ("null", late.text);
	EXPECT_EQ(0, stop_child(new));
}

static int status_of(const char *option, const char *value)
{
	const char *argv[] = { "probe", "--bus", test_bus(), option, value, NULL };
	pid_t pid = run_probe(argv, true);
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(claim, extension_refuses_impossible_options)
{
	EXPECT_EQ(2, status_of("--recovery", "never"));
	EXPECT_EQ(2, status_of("--grant", "x"));
	EXPECT_EQ(2, status_of("--grant", "-1"));
	EXPECT_EQ(2, status_of("--threads", "0"));
	EXPECT_EQ(2, status_of("--threads", "1x"));
	/* No such descriptor. */
	EXPECT_EQ(1, status_of("--grant", "900"));
}

TEST_HARNESS_MAIN
