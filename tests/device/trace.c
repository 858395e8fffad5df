// SPDX-License-Identifier: MIT
/* Tracepoints: the life of a call, as tracefs shows it. */
#include <fcntl.h>
#include <kselftest_harness.h>
#include <sys/mount.h>
#include <unistd.h>

#include "claim.h"

#define TRACING	"/sys/kernel/tracing/"

static int put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_TRUNC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

FIXTURE(trace)
{
	struct ep client, server;
	__u64 svc;
	char text[65536];
	char *at;
};

FIXTURE_SETUP(trace)
{
	dev_begin();
	if (geteuid())
		SKIP(return, "needs root");
	if (access(TRACING "trace", F_OK))
		ASSERT_EQ(0, mount("tracefs", TRACING, "tracefs", 0, NULL));
	ASSERT_EQ(0, ep_join(&self->client, 0));
	ASSERT_EQ(0, ep_join(&self->server, 0));
	ASSERT_EQ(0, ep_claim(&self->server, "svc", &self->svc));
	ASSERT_EQ(0, put(TRACING "trace", ""));
	ASSERT_EQ(0, put(TRACING "events/symphony/enable", "1"));
}

FIXTURE_TEARDOWN(trace)
{
	EXPECT_EQ(0, put(TRACING "events/symphony/enable", "0"));
	ep_close(&self->client);
	ep_close(&self->server);
}

static void look(FIXTURE_DATA(trace) *self)
{
	int fd = open(TRACING "trace", O_RDONLY);
	ssize_t got, len = 0;

	while (fd >= 0 && len < (ssize_t)sizeof(self->text) - 1 &&
	       (got = read(fd, self->text + len, sizeof(self->text) - 1 - len)) > 0)
		len += got;
	self->text[len] = '\0';
	self->at = self->text;
	close(fd);
}

/* The next line that has @what and @id also has this text. */
static bool next_is(FIXTURE_DATA(trace) *self, const char *what, __u64 id, const char *text)
{
	char call[64], line[512], *end;

	snprintf(call, sizeof(call), " symphony_call_%s: call=%llu ", what, id);
	self->at = strstr(self->at, call);
	if (!self->at) {
		self->at = self->text;
		return false;
	}
	end = strchrnul(self->at, '\n');
	snprintf(line, sizeof(line), "%.*s", (int)(end - self->at), self->at);
	self->at = end;
	return strstr(line, text);
}

TEST_F(trace, shows_the_life_of_a_call)
{
	struct symphony_call call = ep_request(self->svc, "hello", 5);
	char caller[64], server[64];
	__u64 cookie;

	snprintf(caller, sizeof(caller), "caller=%llu bus=%s", self->client.id, dev_bus());
	snprintf(server, sizeof(server), "service=svc server=%llu load=1", self->server.id);
	call.method = 0xabc;
	ASSERT_EQ(0, ep_send(&self->client, &call));
	look(self);
	EXPECT_TRUE(next_is(self, "made", call.id, caller));
	EXPECT_TRUE(next_is(self, "queued", call.id, server));
	EXPECT_FALSE(next_is(self, "received", call.id, ""));
	EXPECT_EQ(0xabc, ep_serve(&self->server));
	EXPECT_EQ(0, ep_fetch(&self->client, &cookie));
	look(self);
	EXPECT_TRUE(next_is(self, "made", call.id, "method=0xabc"));
	EXPECT_TRUE(next_is(self, "queued", call.id, server));
	EXPECT_TRUE(next_is(self, "received", call.id, server));
	EXPECT_TRUE(next_is(self, "done", call.id, "status=0"));

	call = ep_request(self->svc, "hello", 5);
	ASSERT_EQ(0, ep_send(&self->client, &call));
	ASSERT_EQ(0, ep_cancel(&self->client, call.id, call.slot));
	look(self);
	EXPECT_TRUE(next_is(self, "queued", call.id, server));
	EXPECT_TRUE(next_is(self, "done", call.id, "status=-125"));
}

TEST_HARNESS_MAIN
