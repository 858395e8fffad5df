// SPDX-License-Identifier: MIT
/*
 * The bus, by bare ioctls: CALL against REPLY with RECV. What was received is
 * given back with the next operation, so that a round trip is two syscalls.
 * With the argument "deadline" each call has one.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <linux/symphony.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define POOL_SIZE	(1U << 20)
#define DEADLINE_NS	10000000000ULL

static const char bus_name[] = "bench";
static const char service_name[] = "echo";
static int device;
static const unsigned char *pool;
static uint64_t handle;
static uint32_t held;
static int have_held;
static int with_deadline;

static const struct symphony_msg *message(uint32_t offset)
{
	return (const void *)(pool + offset);
}

static const void *body(uint32_t offset, size_t size)
{
	const struct symphony_msg *msg = message(offset);

	if (msg->body_len != size)
		errx(1, "%u bytes instead of %zu", msg->body_len, size);
	return pool + offset + msg->header_len;
}

static void join(unsigned int flags)
{
	struct symphony_join join = {
		.size = sizeof(join),
		.flags = flags,
		.name = (uintptr_t)bus_name,
		.name_len = strlen(bus_name),
		.pool_size = POOL_SIZE,
	};

	device = open("/dev/symphony", O_RDWR | O_CLOEXEC);
	if (device < 0)
		err(1, "/dev/symphony");
	if (ioctl(device, SYMPHONY_IOC_JOIN, &join))
		err(1, "JOIN");
	pool = mmap(NULL, join.pool_size, PROT_READ, MAP_SHARED, device, 0);
	if (pool == MAP_FAILED)
		err(1, "mmap of the pool");
}

static uint64_t service(unsigned long operation, const char *what)
{
	struct symphony_service service = {
		.size = sizeof(service),
		.name = (uintptr_t)service_name,
		.name_len = strlen(service_name),
	};

	if (ioctl(device, operation, &service))
		err(1, "%s", what);
	return service.handle;
}

static void serve(size_t size)
{
	uint32_t offset;
	struct symphony_recv recv = {
		.size = sizeof(recv),
		.offsets = (uintptr_t)&offset,
		.max = 1,
	};
	struct symphony_reply reply = {
		.size = sizeof(reply),
		.flags = SYMPHONY_REPLY_RELEASE | SYMPHONY_REPLY_RECV,
		.body_len = size,
		.offsets = (uintptr_t)&offset,
		.max = 1,
	};

	join(SYMPHONY_JOIN_CREATE);
	service(SYMPHONY_IOC_CLAIM, "CLAIM");
	bench_serving();
	if (ioctl(device, SYMPHONY_IOC_RECV, &recv))
		err(1, "RECV");
	for (;;) {
		reply.id = message(offset)->id;
		reply.slot = offset;
		reply.body = (uintptr_t)bench_answer(body(offset, size), size);
		reply.nr = 0;
		if (ioctl(device, SYMPHONY_IOC_REPLY, &reply) || reply.nr != 1)
			err(1, "REPLY");
	}
}

static void connect_caller(size_t size)
{
	(void)size;
	join(0);
	handle = service(SYMPHONY_IOC_RESOLVE, "RESOLVE");
}

static const void *call(const void *request, size_t size)
{
	struct symphony_call call = {
		.size = sizeof(call),
		.handle = handle,
		.body = (uintptr_t)request,
		.body_len = size,
		.reply_max = size,
		.release = (uintptr_t)&held,
		.nr_release = have_held,
		.deadline = with_deadline ? bench_now() + DEADLINE_NS : 0,
	};

	if (ioctl(device, SYMPHONY_IOC_CALL, &call))
		err(1, "CALL");
	if (call.status)
		errx(1, "CALL: outcome %d", call.status);
	held = call.offset;
	have_held = 1;
	return body(held, size);
}

int main(int argc, char **argv)
{
	struct bench_peer symphony = {
		.name = "symphony",
		.serve = serve,
		.connect = connect_caller,
		.call = call,
	};

	if (argc > 1 && !strcmp(argv[1], "deadline")) {
		with_deadline = 1;
		symphony.name = "symphony-deadline";
	}
	bench_round_trips(&symphony);
	return 0;
}
