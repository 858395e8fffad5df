// SPDX-License-Identifier: MIT
/*
 * Files with requests and answers, and bodies that are in one: both arrive as they
 * were sent, whatever a peer without the library says of its own is looked at, and
 * nothing is left of either.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../device/device.h"
#include "server.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static int nr_open(void)
{
	int nr = 0;

	for (int fd = 0; fd < 1024; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

/* The server is in this process, and ends with a request a moment after its answer. */
#define until(condition)						\
({									\
	uint64_t until_ = sbus_now() + 10000 * MS;			\
									\
	while (!(condition) && sbus_now() < until_)			\
		usleep(1000);						\
	(condition);							\
})

static int nr_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	while (maps && fgets(line, sizeof(line), maps))
		nr += !!strstr(line, "symphony-body");
	if (maps)
		fclose(maps);
	return nr;
}

/*
 * "echo": the body, and the request's files; "text": of its first file, the first ten
 * bytes; "busy": pushes a connection, which cannot be sent, and then fails.
 */
static int handle(struct sbus_message *request, void *userdata)
{
	uint64_t method = sbus_message_method(request);
	unsigned int nr = sbus_message_nr_fds(request);
	char text[11] = "";
	const void *body;
	size_t len;
	int r;

	(void)userdata;
	if (method == sbus_method_id("text")) {
		r = sbus_message_fd(request, 0);
		if (r < 0)
			return r;
		if (pread(r, text, 10, 0) < 0)
			return -errno;
		return sbus_reply_raw(request, text, strlen(text));
	}
	if (method == sbus_method_id("busy")) {
		sbus_reply_push_fd(request, dup(sbus_get_fd(sbus_message_bus(request))));
		r = sbus_reply_raw(request, "x", 1);
		return r == -ELOOP ? -EIO : -EPROTO;
	}
	for (unsigned int i = 0; i < nr; i++) {
		r = sbus_message_take_fd(request, i);
		if (r < 0)
			return r;
		r = sbus_reply_push_fd(request, r);
		if (r)
			return r;
	}
	body = sbus_message_body(request, &len);
	return sbus_reply_raw(request, body, len);
}

static void *serve(void *bus)
{
	sbus_serve(bus, NULL, NULL);
	return NULL;
}

FIXTURE(files)
{
	struct sbus *bus, *server;
	pthread_t thread;
	struct ep peer;
	char *body;
	int open, mapped;
};

FIXTURE_SETUP(files)
{
	const struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(),
		.pool_size = SYMPHONY_POOL_MIN,
	};
	__u64 handle_of;

	self->body = malloc(16 * MIB);
	dev_fill(self->body, 16 * MIB, 3);
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	ASSERT_EQ(0, sbus_open(&self->server, &params, NULL));
	ASSERT_EQ(0, sbus_claim(self->server, "files", NULL));
	sbus_set_handler(self->server, handle, NULL);
	ASSERT_EQ(0, ep_join_bus(&self->peer, test_bus(), 0, 0, MIB));
	ASSERT_EQ(0, ep_claim(&self->peer, "peer", &handle_of));
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, serve, self->server));
	self->open = nr_open();
	self->mapped = nr_mapped();
}

FIXTURE_TEARDOWN(files)
{
	EXPECT_TRUE(until(nr_open() == self->open));
	EXPECT_TRUE(until(nr_mapped() == self->mapped));
	sbus_stop(self->server);
	pthread_join(self->thread, NULL);
	sbus_unref(self->server);
	sbus_unref(self->bus);
	ep_close(&self->peer);
	free(self->body);
}

static int text_file(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	return write(fd, text, strlen(text)) < 0 ? -1 : fd;
}

static int call(struct sbus *bus, const char *method, const void *body, size_t len,
		const int *fds, size_t nr, struct sbus_message **reply,
		struct sbus_error *error)
{
	struct sbus_request request = request_for("files", method, body, len);

	request.fds = fds;
	request.nr_fds = nr;
	request.timeout = 10000 * MS;
	return sbus_call(bus, &request, reply, error);
}

TEST_F(files, reach_the_handler)
{
	int fd = text_file("ten bytes!");
	struct sbus_message *reply;
	const char *text;
	size_t len;

	ASSERT_EQ(0, call(self->bus, "text", "x", 1, &fd, 1, &reply, NULL));
	text = sbus_message_body(reply, &len);
	EXPECT_EQ(10, len);
	EXPECT_EQ(0, memcmp(text, "ten bytes!", 10));
	EXPECT_EQ(0, sbus_message_nr_fds(reply));
	EXPECT_EQ(-ENXIO, sbus_message_fd(reply, 0));
	sbus_message_unref(reply);
	close(fd);
}

TEST_F(files, come_back_with_the_answer_in_order)
{
	int fds[SYMPHONY_FDS_MAX];
	struct sbus_message *reply;
	struct stat a, b;
	int taken;

	for (int i = 0; i < SYMPHONY_FDS_MAX; i++)
		fds[i] = text_file("x");
	ASSERT_EQ(0, call(self->bus, "echo", "x", 1, fds, SYMPHONY_FDS_MAX, &reply, NULL));
	ASSERT_EQ(SYMPHONY_FDS_MAX, sbus_message_nr_fds(reply));
	for (int i = 0; i < SYMPHONY_FDS_MAX; i++) {
		EXPECT_EQ(0, fstat(fds[i], &a));
		EXPECT_EQ(0, fstat(sbus_message_fd(reply, i), &b));
		EXPECT_EQ(a.st_ino, b.st_ino);
		EXPECT_EQ(FD_CLOEXEC, fcntl(sbus_message_fd(reply, i), F_GETFD));
		close(fds[i]);
	}
	taken = sbus_message_take_fd(reply, 3);
	EXPECT_LE(0, taken);
	EXPECT_EQ(-ENXIO, sbus_message_take_fd(reply, 3));
	EXPECT_EQ(-ENXIO, sbus_message_fd(reply, SYMPHONY_FDS_MAX));
	sbus_message_unref(reply);
	EXPECT_LE(0, fcntl(taken, F_GETFD));
	close(taken);
}

TEST_F(files, that_cannot_be_sent_are_an_error_that_says_so)
{
	int fds[SYMPHONY_FDS_MAX + 1] = { 1000 }, ring = sbus_get_fd(self->bus);
	struct sbus_error error = SBUS_ERROR_INIT;

	EXPECT_EQ(-EBADF, call(self->bus, "echo", "x", 1, fds, 1, NULL, &error));
	EXPECT_NE(NULL, strstr(sbus_error_message(&error), "not open"));
	EXPECT_EQ(-ELOOP, call(self->bus, "echo", "x", 1, &ring, 1, NULL, &error));
	EXPECT_NE(NULL, strstr(sbus_error_message(&error), "connection to a bus"));
	EXPECT_EQ(-E2BIG, call(self->bus, "echo", "x", 1, fds, SYMPHONY_FDS_MAX + 1, NULL,
			       &error));
	sbus_error_clear(&error);
	/* An answer's: the caller is told, and not left waiting. */
	EXPECT_EQ(-EREMOTEIO, call(self->bus, "busy", "x", 1, NULL, 0, NULL, &error));
	EXPECT_EQ(EIO, error.code);
	sbus_error_clear(&error);
}

/* Through a pool of 64 KiB. */
TEST_F(files, hold_a_body_of_any_length)
{
	static const size_t lens[] = {
		30000, 40000, (256 << 10) - 1, 256 << 10, MIB, MIB + 1, 16 * MIB,
	};
	struct sbus_message *reply;
	const void *body;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		ASSERT_EQ(0, call(self->bus, "echo", self->body, lens[i], NULL, 0, &reply, NULL));
		body = sbus_message_body(reply, &len);
		ASSERT_EQ(lens[i], len);
		EXPECT_EQ(0, memcmp(body, self->body, len));
		EXPECT_EQ(SBUS_RAW, sbus_message_content(reply));
		EXPECT_EQ(0, sbus_message_nr_fds(reply));
		EXPECT_TRUE(until(nr_mapped() == self->mapped + (len >= 256 << 10)));
		sbus_message_unref(reply);
	}
}

TEST_F(files, and_a_large_body_go_together)
{
	int fds[SYMPHONY_FDS_MAX], fd = text_file("x");
	struct sbus_message *reply;
	struct stat a, b;
	size_t len;

	ASSERT_EQ(0, call(self->bus, "echo", self->body, MIB, &fd, 1, &reply, NULL));
	EXPECT_EQ(1, sbus_message_nr_fds(reply));
	EXPECT_EQ(0, fstat(fd, &a));
	EXPECT_EQ(0, fstat(sbus_message_fd(reply, 0), &b));
	EXPECT_EQ(a.st_ino, b.st_ino);
	EXPECT_EQ(0, memcmp(sbus_message_body(reply, &len), self->body, MIB));
	EXPECT_EQ(MIB, len);
	sbus_message_unref(reply);
	/* Sixteen leave no room for one more: the pool would have to do. */
	for (int i = 0; i < SYMPHONY_FDS_MAX; i++)
		fds[i] = fd;
	EXPECT_EQ(-EMSGSIZE, call(self->bus, "echo", self->body, MIB, fds, SYMPHONY_FDS_MAX,
				  NULL, NULL));
	close(fd);
}

struct heard {
	int count, error;
	size_t len;
	bool same;
	unsigned int nr_fds;
	char text[200];
	const void *sent;
};

static void hear(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct heard *heard = userdata;

	heard->count++;
	heard->error = error ? error->error : 0;
	if (error) {
		snprintf(heard->text, sizeof(heard->text), "%s", sbus_error_message(error));
		return;
	}
	heard->same = !memcmp(sbus_message_body(reply, &heard->len), heard->sent, 1000);
	heard->nr_fds = sbus_message_nr_fds(reply);
}

static void process_until(struct sbus *bus, const int *count, int nr)
{
	uint64_t until = sbus_now() + 10000 * MS;

	while (*count < nr && sbus_now() < until) {
		sbus_wait(bus, sbus_now() + 10 * MS);
		sbus_process(bus);
	}
}

/* More than there is room for: some wait here, with files of their own. */
TEST_F(files, wait_with_an_asynchronous_call)
{
	struct heard heard = { .sent = self->body };
	int fd = text_file("x"), nr = 0;

	for (; nr < 60; nr++) {
		struct sbus_request request = request_for("files", "echo", self->body,
							  nr % 3 ? 20000 : 512 << 10);

		request.fds = &fd;
		request.nr_fds = 1;
		if (sbus_call_async(self->bus, &request, hear, &heard, NULL, NULL))
			break;
	}
	close(fd);
	EXPECT_EQ(60, nr);
	process_until(self->bus, &heard.count, nr);
	EXPECT_EQ(nr, heard.count);
	EXPECT_EQ(0, heard.error);
	EXPECT_TRUE(heard.same);
	EXPECT_EQ(1, heard.nr_fds);
}

/* A table without room for one more: through the pool. */
TEST_F(files, are_done_without_for_a_body_when_there_are_none)
{
	struct rlimit before, tight;
	struct sbus_message *reply = NULL;
	int top = dup(0), r;

	close(top);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	tight = before;
	tight.rlim_cur = top;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &tight));
	r = call(self->bus, "echo", self->body, MIB, NULL, 0, &reply, NULL);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
	EXPECT_EQ(-EMSGSIZE, r);
}

static int bad_file(int kind, const char *body, size_t len)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, pair[2];

	switch (kind) {
	case 0:		/* not sealed */
	case 1:		/* can be written */
	case 2:		/* can be cut */
	case 3:		/* longer than it says */
	case 4:		/* shorter */
	case 5:		/* holes */
		fd = memfd_create("bad", flags);
		if (kind == 5 ? ftruncate(fd, len) : write(fd, body, len) != (ssize_t)len)
			return -1;
		if (kind == 3 && write(fd, "x", 1) != 1)
			return -1;
		if (kind == 4 && ftruncate(fd, len - 1))
			return -1;
		if (kind)
			fcntl(fd, F_ADD_SEALS, kind == 1 ? SEALS & ~F_SEAL_WRITE :
			      kind == 2 ? SEALS & ~F_SEAL_SHRINK : SEALS);
		return fd;
	case 6:		/* no memory */
		if (pipe2(pair, O_CLOEXEC))
			return -1;
		close(pair[1]);
		return pair[0];
	case 7:
		return open("/dev/zero", O_RDONLY | O_CLOEXEC);
	case 8:
		return open("/", O_PATH | O_CLOEXEC);
	default:
		return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	}
}

#define NR_BAD 10

/* @nr_fds and @body_len of a message that says that its body is in a file. */
static int peer_answers(struct sbus *bus, struct ep *peer, struct heard *heard, const int *fds,
			uint32_t nr_fds, uint64_t len, uint32_t body_len)
{
	struct sbus_request request = SBUS_REQUEST_INIT("peer");
	const struct symphony_msg *msg;
	struct symphony_sealed sealed[2] = { { .len = len } };
	struct symphony_reply reply = {
		.size = sizeof(reply), .flags = SYMPHONY_REPLY_RELEASE,
		.content_type = SYMPHONY_CONTENT_SEALED, .body = (uintptr_t)sealed,
		.body_len = body_len, .fds = (uintptr_t)fds, .nr_fds = nr_fds,
	};
	int before = heard->count, r;

	r = sbus_call_async(bus, &request, hear, heard, NULL, NULL);
	msg = r ? NULL : ep_next(peer, DEV_LONG);
	if (!msg)
		return r ? r : -errno;
	reply.id = msg->id;
	reply.slot = ep_offset(peer, msg);
	r = dev_ioctl(peer->fd, SYMPHONY_IOC_REPLY, &reply);
	process_until(bus, &heard->count, before + 1);
	return r;
}

TEST_F(files, that_are_no_body_are_an_error_of_that_answer)
{
	struct heard heard = { .sent = self->body };
	int fds[2];

	for (int kind = 0; kind < NR_BAD; kind++) {
		fds[0] = bad_file(kind, self->body, 5000);
		ASSERT_LE(0, fds[0]);
		ASSERT_EQ(0, peer_answers(self->bus, &self->peer, &heard, fds, 1, 5000, 8));
		EXPECT_EQ(kind + 1, heard.count);
		EXPECT_EQ(-EBADMSG, heard.error) TH_LOG("kind %d: %s", kind, heard.text);
		EXPECT_NE(NULL, strstr(heard.text, "file")) TH_LOG("%s", heard.text);
		close(fds[0]);
	}
	/* None, or a body that does not name one; lengths that nothing has. */
	fds[0] = fds[1] = bad_file(10 - 1, NULL, 0);
	ASSERT_EQ(0, peer_answers(self->bus, &self->peer, &heard, fds, 0, 5000, 8));
	EXPECT_EQ(-EBADMSG, heard.error);
	ASSERT_EQ(0, peer_answers(self->bus, &self->peer, &heard, fds, 2, 5000, 0));
	EXPECT_EQ(-EBADMSG, heard.error);
	ASSERT_EQ(0, peer_answers(self->bus, &self->peer, &heard, fds, 2, 5000, 16));
	EXPECT_EQ(-EBADMSG, heard.error);
	ASSERT_EQ(0, peer_answers(self->bus, &self->peer, &heard, fds, 2, ~0ULL, 8));
	EXPECT_EQ(-EBADMSG, heard.error);
	close(fds[0]);
	/* And one that is. */
	fds[0] = text_file("x");
	fds[1] = memfd_create("good", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ASSERT_EQ(5000, write(fds[1], self->body, 5000));
	ASSERT_EQ(0, fcntl(fds[1], F_ADD_SEALS, SEALS));
	ASSERT_EQ(0, peer_answers(self->bus, &self->peer, &heard, fds, 2, 5000, 8));
	EXPECT_EQ(0, heard.error);
	EXPECT_EQ(5000, heard.len);
	EXPECT_TRUE(heard.same);
	EXPECT_EQ(1, heard.nr_fds);
	close(fds[0]);
	close(fds[1]);
}

TEST_F(files, that_are_no_body_are_an_error_of_that_request)
{
	const struct symphony_msg *msg;
	struct sbus_message *reply;
	struct symphony_sealed sealed = { .len = 5000 };
	struct symphony_call request;
	__u64 svc;

	ASSERT_EQ(0, ep_resolve(&self->peer, "files", &svc));
	for (int kind = 0; kind < NR_BAD; kind++) {
		int fd = bad_file(kind, self->body, 5000);

		request = ep_request(svc, &sealed, sizeof(sealed));
		request.content_type = SYMPHONY_CONTENT_SEALED;
		request.fds = (uintptr_t)&fd;
		request.nr_fds = 1;
		ASSERT_EQ(0, ep_send(&self->peer, &request));
		close(fd);
		msg = ep_next(&self->peer, DEV_LONG);
		ASSERT_NE(NULL, msg);
		EXPECT_EQ(SYMPHONY_MSG_ERROR, msg->flags);
		EXPECT_EQ(0, msg->status);
		EXPECT_NE(NULL, memmem(ep_body(msg), msg->body_len, "file", 4));
		ep_release(&self->peer, msg);
	}
	/* The server is as it was. */
	ASSERT_EQ(0, call(self->bus, "echo", "x", 1, NULL, 0, &reply, NULL));
	sbus_message_unref(reply);
}

TEST_HARNESS_MAIN
