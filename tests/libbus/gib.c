// SPDX-License-Identifier: MIT
/*
 * A GiB in bodies of a MiB, there and back: the kernel copies each byte once each way,
 * or not at all when it is in a file (of which fewer have to do), and who receives it
 * reads it where that put it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <symphony/control.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../device/device.h"
#include "server.h"

#define LEN ((size_t)MIB)

static unsigned int nr_bodies(bool in_files)
{
	return in_files || dev_slow() ? 64 : 1024;
}

/* Where @address is mapped from, "" for nowhere; what was found last is asked first. */
static const char *mapped(const void *address)
{
	static unsigned long from, to;
	static char name[512];
	unsigned long at = (uintptr_t)address;
	char line[512];
	FILE *maps;

	if (at >= from && at < to && strstr(name, "symphony"))
		return name;
	*name = 0;
	maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && at >= from && at < to) {
			strcpy(name, line);
			break;
		}
	if (maps)
		fclose(maps);
	/* The next file is mapped there, too. */
	if (strstr(name, "symphony-body"))
		to = 0;
	return name;
}

/* It reads a word of each page. */
static bool is_received(const struct sbus_message *message, const char *where)
{
	size_t len;
	const unsigned char *body = sbus_message_body(message, &len);
	uint64_t word, first = 0;

	if (len != LEN || !strstr(mapped(body), where) || !strstr(mapped(body + LEN - 1), where))
		return false;
	for (size_t i = 0; i < len; i += 4096) {
		memcpy(&word, body + i, sizeof(word));
		if (!i)
			first = word;
		if (word != first + i)
			return false;
	}
	return true;
}

static void make(unsigned char *body, uint64_t number)
{
	for (size_t i = 0; i < LEN; i += 4096) {
		uint64_t word = (number << 32) + i;

		memcpy(body + i, &word, sizeof(word));
	}
}

/* What a process can tell of memory that it writes to. */
struct memory {
	long faults, most;
};

static struct memory memory(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (struct memory){ use.ru_minflt, use.ru_maxrss };
}

static struct memory since(struct memory before)
{
	struct memory now = memory();

	return (struct memory){ now.faults - before.faults, now.most - before.most };
}

static struct sbus *open_bus(uint32_t flags, uint32_t sealed_min)
{
	struct sbus_params params = {
		.size = sizeof(params), .flags = flags, .bus = test_bus(),
		.pool_size = 16 * MIB, .sealed_min = sealed_min,
	};
	struct sbus *bus;

	return sbus_open(&bus, &params, NULL) ? NULL : bus;
}

struct receiver {
	const char *where;
	struct memory before;
	long received, wrong;
};

/* Answers with the very bytes that it received, where they are; or says how it went. */
static int handle(struct sbus_message *request, void *userdata)
{
	struct receiver *receiver = userdata;
	struct memory memory_since;
	const void *body;
	char text[100];
	size_t len;

	body = sbus_message_body(request, &len);
	if (!len) {
		memory_since = since(receiver->before);
		snprintf(text, sizeof(text), "%ld %ld %ld %ld", receiver->received,
			 receiver->wrong, memory_since.faults, memory_since.most);
		return sbus_reply_raw(request, text, strlen(text) + 1);
	}
	receiver->wrong += !is_received(request, receiver->where);
	/* The first ones warm it up. */
	if (++receiver->received == 10)
		receiver->before = memory();
	return sbus_reply_take(request, SBUS_RAW, body, len, NULL);
}

static pid_t serve(const char *where, uint32_t sealed_min)
{
	struct receiver receiver = { .where = where };
	struct sbus *bus;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bus = open_bus(0, sealed_min);
	if (!bus)
		_exit(2);
	sbus_set_handler(bus, handle, &receiver);
	if (sbus_claim(bus, "gib", NULL))
		_exit(3);
	_exit(-sbus_serve(bus, NULL, NULL));
}

static int on_service(const struct sbus_service_info *info, void *userdata)
{
	*(struct sbus_service_info *)userdata = *info;
	return 0;
}

FIXTURE(gib) {
	struct sbus *bus;
	struct sbus_control *control;
	struct sbus_service_info before, after;
	pid_t server;
};

FIXTURE_VARIANT(gib) {
	const char *where;
	uint32_t sealed_min;
	unsigned int copied;	/* of each body */
};

FIXTURE_VARIANT_ADD(gib, in_pools) {
	.where = "/dev/symphony", .sealed_min = UINT32_MAX, .copied = MIB,
};
/* What says so is all that is copied. */
FIXTURE_VARIANT_ADD(gib, in_files) {
	.where = "symphony-body", .sealed_min = 1, .copied = sizeof(struct symphony_sealed),
};

FIXTURE_SETUP(gib)
{
	self->bus = open_bus(SBUS_OPEN_CREATE, variant->sealed_min);
	ASSERT_NE(NULL, self->bus);
	ASSERT_EQ(0, sbus_control_open(&self->control, NULL));
	self->server = serve(variant->where, variant->sealed_min);
	ASSERT_LT(0, self->server);
}

FIXTURE_TEARDOWN(gib)
{
	kill(self->server, SIGKILL);
	waitpid(self->server, NULL, 0);
	sbus_control_close(self->control);
	sbus_unref(self->bus);
}

static int call(struct sbus *bus, const void *body, size_t len, struct sbus_message **reply)
{
	struct sbus_request request = request_for("gib", "gib", body, len);
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	int r;

	request.reply_max = len;
	while ((r = sbus_call(bus, &request, reply, &error)) == -ENOENT || r == -ECONNREFUSED)
		usleep(1000);
	if (r)
		printf("# %s\n", sbus_error_message(&error));
	return r;
}

TEST_F_TIMEOUT(gib, is_copied_once_each_way_by_nobody_but_the_kernel, 110)
{
	unsigned char *body = malloc(LEN);
	struct memory before = { 0 }, ours;
	struct sbus_message *reply;
	unsigned int nr = nr_bodies(variant->sealed_min == 1);
	long received, wrong, faults, most;

	ASSERT_EQ(0, call(self->bus, NULL, 0, &reply));
	sbus_message_unref(reply);
	ASSERT_EQ(0, sbus_list_services(self->control, test_bus(), on_service, &self->before, NULL));
	memset(body, 0, LEN);
	for (unsigned int i = 0; i < nr; i++) {
		make(body, i);
		ASSERT_EQ(0, call(self->bus, body, LEN, &reply));
		ASSERT_TRUE(is_received(reply, variant->where)) TH_LOG("answer %u", i);
		ASSERT_EQ(0, memcmp(sbus_message_body(reply, NULL), body, 4096));
		sbus_message_unref(reply);
		if (i == 10)
			before = memory();
	}
	ours = since(before);
	ASSERT_EQ(0, sbus_list_services(self->control, test_bus(), on_service, &self->after, NULL));
	EXPECT_EQ((uint64_t)nr * variant->copied,
		  self->after.request_bytes - self->before.request_bytes);
	EXPECT_EQ((uint64_t)nr * variant->copied,
		  self->after.answer_bytes - self->before.answer_bytes);

	ASSERT_EQ(0, call(self->bus, NULL, 0, &reply));
	ASSERT_EQ(4, sscanf(sbus_message_body(reply, NULL), "%ld %ld %ld %ld", &received, &wrong,
			    &faults, &most));
	sbus_message_unref(reply);
	EXPECT_EQ(nr, received);
	EXPECT_EQ(0, wrong);
	TH_LOG("%u MiB each way; faults and KiB more: %ld and %ld there, %ld and %ld here", nr,
	       faults, most, ours.faults, ours.most);
	/* Memory of its own would show, where it is not the pages of files that come and go. */
#ifndef __SANITIZE_ADDRESS__
	if (variant->copied == MIB) {
		EXPECT_GE(50, faults);
		EXPECT_GE(50, ours.faults);
	}
#endif
	EXPECT_GE(2048, most);
	EXPECT_GE(2048, ours.most);
	free(body);
}

TEST_HARNESS_MAIN
