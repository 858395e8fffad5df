// SPDX-License-Identifier: MIT
/* Requests and answers in pieces: however they go, they arrive as one body. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../device/device.h"
#include "server.h"

FIXTURE(pieces)
{
	struct server server;
	struct sbus *bus;
	struct sbus_message *reply;
	struct sbus_error error;
};

FIXTURE_SETUP(pieces)
{
	/* Its batches show answers that wait for each other. */
	ASSERT_EQ(0, server_start_batch(&self->server, "echo", 1, MIB, 64));
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	self->reply = NULL;
	memset(&self->error, 0, sizeof(self->error));
}

FIXTURE_TEARDOWN(pieces)
{
	sbus_message_unref(self->reply);
	sbus_error_clear(&self->error);
	sbus_unref(self->bus);
	EXPECT_EQ(0, server_stop(&self->server));
}

/* @nr pieces of @len bytes, some of none. */
static void cut(struct iovec *iov, unsigned int nr, unsigned char *body, size_t len)
{
	size_t part;

	for (unsigned int i = 0; i < nr; i++) {
		part = i == nr - 1 ? len : i % 4 == 2 ? 0 : len / 3;
		iov[i] = (struct iovec){ part ? body : NULL, part };
		body += part;
		len -= part;
	}
}

static struct sbus_request request_of(const char *method, const struct iovec *iov, unsigned int nr)
{
	struct sbus_request request = request_for("echo", method, NULL, 0);

	request.iov = iov;
	request.nr_iov = nr;
	return request;
}

static bool holds(const struct sbus_message *message, size_t len, unsigned int seed)
{
	size_t got;
	const void *body = sbus_message_body(message, &got);

	return got == len && dev_filled(body, len, seed);
}

static int echo(struct _test_data_pieces *self, const char *method, size_t len, unsigned int nr)
{
	struct iovec iov[SBUS_IOV_MAX];
	unsigned char *body = malloc(len ?: 1);
	struct sbus_request request = request_of(method, iov, nr);
	int r;

	dev_fill(body, len, len);
	cut(iov, nr, body, len);
	request.reply_max = len < MIB ? len : 0;
	sbus_message_unref(self->reply);
	self->reply = NULL;
	r = sbus_call(self->bus, &request, &self->reply, &self->error);
	free(body);
	return r ?: holds(self->reply, len, len) ? 0 : -EILSEQ;
}

TEST_F(pieces, come_back_whole)
{
	static const size_t sizes[] = { 0, 1, 100, 8191, 8192, 8193, 20000, 65537, 200000 };
	static const unsigned int numbers[] = { 1, 2, 5, 64, SBUS_IOV_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(numbers); j++) {
			EXPECT_EQ(0, echo(self, "echo", sizes[i], numbers[j]))
				TH_LOG("%zu in %u: %s", sizes[i], numbers[j], self->error.message);
			EXPECT_EQ(0, echo(self, "iov", sizes[i], numbers[j]))
				TH_LOG("%zu in %u: %s", sizes[i], numbers[j], self->error.message);
		}
	}
}

/* Larger than any pool here: in a file, and so is the answer. */
TEST_F(pieces, go_in_a_file_that_no_pool_holds)
{
	EXPECT_EQ(0, echo(self, "echo", 5 * MIB, 100)) TH_LOG("%s", self->error.message);
	EXPECT_EQ(0, echo(self, "iov", 5 * MIB, 100)) TH_LOG("%s", self->error.message);
	EXPECT_EQ(0, echo(self, "iov", 300000, 7)) TH_LOG("%s", self->error.message);
}

TEST_F(pieces, that_cannot_be_are_refused)
{
	static struct iovec iov[SBUS_IOV_MAX + 1];
	struct sbus_request request = request_of("echo", iov, SBUS_IOV_MAX + 1);

	EXPECT_EQ(-EINVAL, sbus_call(self->bus, &request, NULL, &self->error));
	EXPECT_STREQ("a body of 257 pieces: put some of them together, 256 can be sent",
		     sbus_error_message(&self->error));
	EXPECT_EQ(-EINVAL, sbus_call_async(self->bus, &request, outcome_reply, NULL, NULL,
					   &self->error));
	request.nr_iov = 1;
	request.body = "x";
	EXPECT_EQ(-EINVAL, sbus_call(self->bus, &request, NULL, &self->error));
	EXPECT_EQ(-EINVAL, sbus_call_async(self->bus, &request, outcome_reply, NULL, NULL,
					   &self->error));
	request.body = NULL;
	iov[0].iov_len = SIZE_MAX;
	for (request.nr_iov = 1; request.nr_iov < 3; request.nr_iov++) {
		iov[1].iov_len = 2;
		EXPECT_EQ(-EMSGSIZE, sbus_call(self->bus, &request, NULL, &self->error));
		EXPECT_EQ(-EMSGSIZE, sbus_call_async(self->bus, &request, outcome_reply, NULL,
						     NULL, &self->error));
	}
	EXPECT_EQ(0, self->server.handled);
}

struct count {
	int told, wrong;
};

static void count(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct count *count = userdata;

	count->told++;
	if (error || !holds(reply, 20000, 7))
		count->wrong++;
}

static void count_small(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct count *count = userdata;

	count->told++;
	if (error || !holds(reply, 50, 7))
		count->wrong++;
}

static int send_many(struct _test_data_pieces *self, const char *method, size_t len, int nr,
		     sbus_reply_fn fn, struct count *counted)
{
	unsigned char *body = malloc(len);
	struct iovec iov[9];
	struct sbus_request request = request_of(method, iov, 9);
	int r = 0;

	dev_fill(body, len, 7);
	cut(iov, 9, body, len);
	request.reply_max = len;
	for (int i = 0; i < nr && !r; i++)
		r = sbus_call_async(self->bus, &request, fn, counted, NULL, &self->error);
	/* What waits has a copy. */
	memset(body, 0, len);
	memset(iov, 0, sizeof(iov));
	free(body);
	while (!r && counted->told < nr && sbus_wait(self->bus, sbus_now() + 8000 * MS) > 0)
		if (sbus_process(self->bus) < 0)
			r = -EIO;
	return r;
}

TEST_F(pieces, wait_for_room_together)
{
	struct count counted = { 0 };

	ASSERT_EQ(0, send_many(self, "echo", 20000, 300, count, &counted))
		TH_LOG("%s", self->error.message);
	EXPECT_EQ(300, counted.told);
	EXPECT_EQ(0, counted.wrong);
}

TEST_F(pieces, of_answers_wait_for_those_of_a_batch)
{
	struct count counted = { 0 };

	ASSERT_EQ(0, send_many(self, "iov", 50, 500, count_small, &counted))
		TH_LOG("%s", self->error.message);
	EXPECT_EQ(500, counted.told);
	EXPECT_EQ(0, counted.wrong);
	counted = (struct count){ 0 };
	ASSERT_EQ(0, send_many(self, "iov", 20000, 100, count, &counted))
		TH_LOG("%s", self->error.message);
	EXPECT_EQ(100, counted.told);
	EXPECT_EQ(0, counted.wrong);
}

/* --- answers of a request that was kept --------------------------------------- */

static struct sbus_message *keep(struct _test_data_pieces *self, struct count *counted,
				 sbus_reply_fn fn)
{
	struct sbus_request request = request_for("echo", "keep", "", 0);

	request.reply_max = 1;
	if (sbus_call_async(self->bus, &request, fn, counted, NULL, &self->error))
		return NULL;
	server_wait_kept(&self->server, 1);
	self->server.nr_kept = 0;
	return self->server.kept[0];
}

static void process(struct _test_data_pieces *self, struct count *counted)
{
	while (!counted->told && sbus_wait(self->bus, sbus_now() + 8000 * MS) > 0)
		if (sbus_process(self->bus) < 0)
			break;
}

TEST_F(pieces, that_cannot_be_leave_the_request)
{
	static struct iovec iov[SBUS_IOV_MAX + 1];
	static unsigned char body[20000];
	struct count counted = { 0 };
	struct sbus_message *request = keep(self, &counted, count);

	ASSERT_NE(NULL, request);
	EXPECT_EQ(-EINVAL, sbus_reply_iov(request, SBUS_RAW, iov, SBUS_IOV_MAX + 1));
	iov[0] = (struct iovec){ (void *)8, 1ULL << 32 };
	EXPECT_EQ(-EMSGSIZE, sbus_reply_iov(request, SBUS_RAW, iov, 1));
	iov[1].iov_len = SIZE_MAX;
	EXPECT_EQ(-EMSGSIZE, sbus_reply_iov(request, SBUS_RAW, iov, 2));
	iov[0].iov_len = 10000;
	EXPECT_EQ(-EFAULT, sbus_reply_iov(request, SBUS_RAW, iov, 1));
	dev_fill(body, sizeof(body), 7);
	cut(iov, 5, body, sizeof(body));
	EXPECT_EQ(0, sbus_reply_iov(request, SBUS_RAW, iov, 5));
	EXPECT_EQ(-EALREADY, sbus_reply_iov(request, SBUS_RAW, iov, 5));
	EXPECT_EQ(-EALREADY, sbus_reply_iov(request, SBUS_RAW, iov, 0));
	sbus_message_unref(request);
	process(self, &counted);
	EXPECT_EQ(1, counted.told);
	EXPECT_EQ(0, counted.wrong);
}

TEST_F(pieces, are_held_back_when_they_are_small)
{
	static unsigned char body[20000];
	struct iovec iov[5];

	for (int large = 0; large < 2; large++) {
		size_t len = large ? sizeof(body) : 50;
		struct count counted = { 0 };
		struct sbus_message *request = keep(self, &counted, large ? count : count_small);

		ASSERT_NE(NULL, request);
		dev_fill(body, len, 7);
		cut(iov, 5, body, len);
		sbus_cork(self->server.bus, SBUS_ANSWERS);
		EXPECT_EQ(0, sbus_reply_iov(request, SBUS_RAW, iov, 5));
		memset(body, 0, len);
		memset(iov, 0, sizeof(iov));
		EXPECT_EQ(large, sbus_wait(self->bus, sbus_now() + (large ? 8000 : 60) * MS));
		sbus_uncork(self->server.bus, SBUS_ANSWERS);
		sbus_message_unref(request);
		process(self, &counted);
		EXPECT_EQ(1, counted.told);
		EXPECT_EQ(0, counted.wrong);
	}
}

TEST_F(pieces, go_with_files)
{
	static unsigned char body[20000];
	struct iovec iov[5];
	struct sbus_request request = request_of("keep", iov, 5);
	struct count counted = { 0 };
	struct sbus_message *kept;
	int fd = memfd_create("pieces", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	dev_fill(body, sizeof(body), 7);
	cut(iov, 5, body, sizeof(body));
	request.fds = &fd;
	request.nr_fds = 1;
	ASSERT_EQ(0, sbus_call_async(self->bus, &request, count, &counted, NULL, &self->error));
	server_wait_kept(&self->server, 1);
	self->server.nr_kept = 0;
	kept = self->server.kept[0];
	EXPECT_TRUE(holds(kept, sizeof(body), 7));
	EXPECT_EQ(1, sbus_message_nr_fds(kept));
	EXPECT_EQ(0, sbus_reply_push_fd(kept, fd));
	EXPECT_EQ(0, sbus_reply_iov(kept, SBUS_RAW, iov, 5));
	sbus_message_unref(kept);
	process(self, &counted);
	EXPECT_EQ(1, counted.told);
	EXPECT_EQ(0, counted.wrong);
}

TEST_HARNESS_MAIN
