// SPDX-License-Identifier: MIT
/*
 * A large body, in a sealed file, and whatever fails on its way: memory, the table of
 * descriptors, the device. Each thing in turn does, on one side or the other; then
 * there is one outcome, an error that says what happened or the right answer, and
 * nothing is left.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../device/device.h"
#include "../device/files.h"
#include "server.h"

#define LEN	(512 << 10)
#define MOST	400	/* things that can fail in one call */

/* How many succeed, and the one after them does not; 0: none fails. */
static __thread int left;
static const char *failed;

static bool fails(const char *what, int error)
{
	if (!left || --left)
		return false;
	failed = what;
	errno = error;
	return true;
}

/* --- in the place of the C library's, for the library too --- */

#define INSTEAD	__attribute__((visibility("default")))

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void *__libc_realloc(void *at, size_t size);

INSTEAD void *malloc(size_t size)
{
	return fails("malloc", ENOMEM) ? NULL : __libc_malloc(size);
}

INSTEAD void *calloc(size_t nr, size_t size)
{
	return fails("calloc", ENOMEM) ? NULL : __libc_calloc(nr, size);
}

INSTEAD void *realloc(void *at, size_t size)
{
	return fails("realloc", ENOMEM) ? NULL : __libc_realloc(at, size);
}
#endif

INSTEAD int memfd_create(const char *name, unsigned int flags)
{
	return fails("memfd_create", EMFILE) ? -1 : syscall(SYS_memfd_create, name, flags);
}

INSTEAD ssize_t write(int fd, const void *at, size_t len)
{
	return fails("write", ENOSPC) ? -1 : syscall(SYS_write, fd, at, len);
}

INSTEAD void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	return fails("mmap", ENOMEM) ? MAP_FAILED :
		(void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

INSTEAD int fcntl(int fd, int op, ...)
{
	va_list args;
	long arg;

	va_start(args, op);
	arg = va_arg(args, long);
	va_end(args);
	/* To ask does not fail. */
	if ((op == F_DUPFD_CLOEXEC || op == F_ADD_SEALS) && fails("fcntl", EMFILE))
		return -1;
	return syscall(SYS_fcntl, fd, op, arg);
}

INSTEAD int ioctl(int fd, unsigned long op, ...)
{
	va_list args;
	void *arg;

	va_start(args, op);
	arg = va_arg(args, void *);
	va_end(args);
	/* As the device says it when the table of descriptors is full. */
	return fails("ioctl", op == SYMPHONY_IOC_FDS ? EMFILE : ENOMEM) ? -1 :
		syscall(SYS_ioctl, fd, op, arg);
}

/* --- one call, with its server in the same thread --- */

static char *sent;

struct heard {
	int count, error;
	bool same;
	char text[200];
};

static int echo(struct sbus_message *request, void *userdata)
{
	size_t len;
	const void *body = sbus_message_body(request, &len);
	int fd = sbus_message_take_fd(request, 0), r;

	(void)userdata;
	if (fd < 0)
		return fd;
	r = sbus_reply_push_fd(request, fd);
	if (r) {
		close(fd);
		return r;
	}
	return sbus_reply_raw(request, body, len);
}

static void hear(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct heard *heard = userdata;
	size_t len = 0;

	heard->count++;
	if (error) {
		heard->error = error->error;
		snprintf(heard->text, sizeof(heard->text), "%s", sbus_error_message(error));
		return;
	}
	heard->same = !memcmp(sbus_message_body(reply, &len), sent, LEN) && len == LEN &&
		sbus_message_nr_fds(reply) == 1;
}

/* Which of the two sides things fail on. */
enum side { CLIENT, SERVER };

static void process(struct sbus *bus, bool here, int *nth)
{
	left = here ? *nth : 0;
	sbus_process(bus);
	*nth = here ? left : *nth;
	left = 0;
}

/* The outcome of a call in which the @nth thing on @side fails. */
static struct heard call_once(struct sbus *bus, struct sbus *server, enum side side, int nth)
{
	struct sbus_request request = request_for("large", "echo", sent, LEN);
	const uint64_t until = sbus_now() + 5000 * MS;
	struct heard heard = {};
	struct sbus_error error = SBUS_ERROR_INIT;
	int fd = dup(0);

	request.fds = &fd;
	request.nr_fds = 1;
	left = side == CLIENT ? nth : 0;
	heard.error = sbus_call_async(bus, &request, hear, &heard, NULL, &error);
	nth = side == CLIENT ? left : nth;
	left = 0;
	close(fd);
	if (heard.error) {
		heard.count++;
		snprintf(heard.text, sizeof(heard.text), "%s", sbus_error_message(&error));
	}
	sbus_error_clear(&error);
	while (!heard.count && sbus_now() < until) {
		process(server, side == SERVER, &nth);
		process(bus, side == CLIENT, &nth);
	}
	return heard;
}

static bool is_clear(const struct heard *heard)
{
	switch (heard->error) {
	case 0:
		return heard->same;
	/* Without a file the body goes through the pool, if it fits. */
	case -ENOMEM: case -EMFILE: case -ENOSPC: case -EMSGSIZE:
	/* It failed at the server. */
	case -EREMOTEIO:
		return *heard->text;
	}
	return false;
}

FIXTURE(faults)
{
	__u64 used;
	int open;
};

FIXTURE_VARIANT(faults)
{
	enum side side;
};

FIXTURE_VARIANT_ADD(faults, of_the_client) { .side = CLIENT };
FIXTURE_VARIANT_ADD(faults, of_the_server) { .side = SERVER };

FIXTURE_SETUP(faults)
{
	dev_begin();
	sent = malloc(LEN);
	dev_fill(sent, LEN, 5);
	self->used = files_in_flight();
}

FIXTURE_TEARDOWN(faults)
{
	free(sent);
}

TEST_F(faults, leave_nothing_of_a_large_body)
{
	const struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_CREATE, .bus = test_bus(),
		.pool_size = SYMPHONY_POOL_MIN,
	};
	int errors = 0, nth;

	for (nth = 1; nth < MOST; nth++) {
		struct sbus *bus, *server;
		struct heard heard;

		self->open = files_open();
		ASSERT_EQ(0, sbus_open(&server, &params, NULL));
		ASSERT_EQ(0, sbus_claim(server, "large", NULL));
		sbus_set_handler(server, echo, NULL);
		bus = test_open();
		ASSERT_NE(NULL, bus);
		failed = NULL;
		heard = call_once(bus, server, variant->side, nth);
		sbus_unref(bus);
		sbus_unref(server);
		EXPECT_EQ(1, heard.count) TH_LOG("number %d, %s", nth, failed);
		EXPECT_TRUE(is_clear(&heard))
			TH_LOG("number %d, %s: %d %s", nth, failed, heard.error, heard.text);
		EXPECT_EQ(self->open, files_open()) TH_LOG("number %d, %s", nth, failed);
		EXPECT_TRUE(dev_until(files_in_flight() == self->used));
		errors += !!heard.error;
		if (!failed)
			break;
	}
	EXPECT_LT(nth, MOST);
	EXPECT_LE(3, errors);
	TH_LOG("%d things failed, %d were errors", nth - 1, errors);
}

static int nothing_to_handle(struct sbus_message *request, void *userdata)
{
	(void)request;
	(void)userdata;
	return 0;
}

/* A member watches an endpoint while the @nth thing fails: the result. */
static int watch_once(struct sbus *bus, struct sbus *other, int nth)
{
	struct sbus_member *member;
	struct sbus_pit *pit;
	int r;

	if (sbus_pit_new(&pit) || sbus_pit_add(pit, &probe, NULL, NULL) ||
	    sbus_pit_start(pit, bus, NULL))
		return -EINVAL;
	sbus_set_handler(bus, nothing_to_handle, NULL);
	member = sbus_pit_lookup(pit, "probe");
	probe_seen.gone = 0;
	left = nth;
	sbus_member_lock(member);
	r = sbus_member_watch(member, sbus_endpoint(other));
	sbus_member_unlock(member);
	left = 0;
	sbus_unref(other);
	while (sbus_wait(bus, sbus_now() + (r ? 20 : 5000) * MS) > 0 && !probe_seen.gone)
		sbus_process(bus);
	sbus_pit_unref(pit);
	return r;
}

TEST(watch_that_cannot_be_made_leaves_nothing)
{
	int before = files_open(), errors = 0, nth, r;

	for (nth = 1; nth < MOST; nth++) {
		struct sbus *bus = test_open(), *other = test_open();

		ASSERT_NE(NULL, other);
		failed = NULL;
		r = watch_once(bus, other, nth);
		EXPECT_TRUE(!r || r == -ENOMEM) TH_LOG("number %d, %s: %d", nth, failed, r);
		EXPECT_EQ(!r, probe_seen.gone) TH_LOG("number %d, %s", nth, failed);
		sbus_unref(bus);
		EXPECT_EQ(before, files_open()) TH_LOG("number %d, %s", nth, failed);
		errors += !!r;
		if (!failed)
			break;
	}
	EXPECT_LT(nth, MOST);
	EXPECT_LT(0, errors);
}

TEST_HARNESS_MAIN
