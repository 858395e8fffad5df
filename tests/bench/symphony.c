// SPDX-License-Identifier: MIT
/*
 * The bus, by bare ioctls: CALL against REPLY with RECV. What was received is
 * given back with the next operation, so that a round trip is two syscalls.
 * With the argument "deadline" each call has one. "services", "spread" and
 * "outstanding" ask whether a call costs more where there is more: services on
 * the bus, of which one or all are called, and calls without an outcome. With
 * "router" and "admit" each call is put before a BPF program; "stats" and "traced"
 * have the kernel take the times of calls, and write down the stages of each.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <linux/symphony.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include <linux/symphony_bpf.h>

#include "gate.skel.h"
#include "round_robin.skel.h"

#define POOL_SIZE	(1U << 20)
#define DEADLINE_NS	10000000000ULL
#define FLAT_SIZE	64
#define FLAT_MAX	10000
#define FLAT_POOL	(16U << 20)
#define STATS		"/sys/module/symphony/parameters/stats"
#define TRACING		"/sys/kernel/tracing"
#define EVENTS		TRACING "/events/symphony/enable"
#define QUEUE_MAX	"/sys/module/symphony/parameters/queue_max"

static const char bus_name[] = "bench";
static int device;
static const unsigned char *pool;
static uint64_t handles[FLAT_MAX];
static uint32_t held;
static int have_held;
static int with_deadline;
static unsigned int nr_services = 1;
static unsigned int nr_called = 1;
static unsigned int nr_outstanding = 1;
static int with_router;
static int with_admit;

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
		.pool_size = nr_outstanding > 1 ? FLAT_POOL : POOL_SIZE,
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

/* CLAIM or RESOLVE all services. */
static void services(unsigned long operation, const char *what)
{
	char name[16];

	for (unsigned int i = 0; i < nr_services; i++) {
		struct symphony_service service = {
			.size = sizeof(service),
			.name = (uintptr_t)name,
			.name_len = snprintf(name, sizeof(name), "echo%u", i),
		};

		if (ioctl(device, operation, &service))
			err(1, "%s", what);
		handles[i] = service.handle;
	}
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
	services(SYMPHONY_IOC_CLAIM, "CLAIM");
	bench_serving();
	/* All but the last stay with the server, which does not answer them. */
	for (unsigned int i = 0; i < nr_outstanding; i++)
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

/* Attach the program of a map to the bus, for as long as this process lives. */
static void attach(struct bpf_map *map)
{
	if (!bpf_map__attach_struct_ops(map))
		err(1, "%s", bpf_map__name(map));
}

static void attach_round_robin(void)
{
	struct round_robin *rr = round_robin__open();
	struct symphony_route_ops *ops;

	if (!rr)
		err(1, "round_robin");
	ops = bpf_map__initial_value(rr->maps.round_robin, &(size_t){ 0 });
	strcpy(ops->bus, bus_name);
	if (round_robin__load(rr))
		err(1, "round_robin");
	attach(rr->maps.round_robin);
}

static void attach_gate(void)
{
	struct gate *gate = gate__open();
	struct symphony_admit_ops *ops;

	if (!gate)
		err(1, "gate");
	ops = bpf_map__initial_value(gate->maps.gate, &(size_t){ 0 });
	strcpy(ops->bus, bus_name);
	bpf_map__set_autocreate(gate->maps.closing, false);
	bpf_map__set_autocreate(gate->maps.strange, false);
	bpf_map__set_autocreate(gate->maps.absent, false);
	if (gate__load(gate))
		err(1, "gate");
	attach(gate->maps.gate);
}

static void connect_caller(size_t size)
{
	join(0);
	if (with_router)
		attach_round_robin();
	if (with_admit)
		attach_gate();
	services(SYMPHONY_IOC_RESOLVE, "RESOLVE");
	for (unsigned int i = 1; i < nr_outstanding; i++) {
		struct symphony_call send = {
			.size = sizeof(send),
			.handle = handles[0],
			.body = (uintptr_t)bench_scratch,
			.body_len = size,
			.reply_max = size,
		};

		if (ioctl(device, SYMPHONY_IOC_SEND, &send))
			err(1, "SEND");
	}
}

/* The next service to call: each of them as often, in no order. */
static unsigned int next_called(void)
{
	static uint32_t state = 1;

	state = state * 1664525 + 1013904223;
	return (uint64_t)state * nr_called >> 32;
}

static const void *call(const void *request, size_t size)
{
	struct symphony_call call = {
		.size = sizeof(call),
		.handle = handles[next_called()],
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

/* At one size, with more and more of what is counted in @nr. */
static void flat(const struct bench_peer *peer, unsigned int *nr, unsigned int *too)
{
	char label[24];

	for (*nr = 1; *nr <= FLAT_MAX; *nr *= 100) {
		*too = *nr;
		snprintf(label, sizeof(label), "%u", *nr);
		bench_round_trips_at(peer, FLAT_SIZE, label);
	}
}

/* How many messages one sender may have at one server: what it was before. */
static unsigned int set_queue_max(unsigned int max)
{
	FILE *file = fopen(QUEUE_MAX, "r+e");
	unsigned int before;

	if (!file || fscanf(file, "%u", &before) != 1)
		err(1, QUEUE_MAX);
	rewind(file);
	fprintf(file, "%u", max);
	if (fclose(file))
		err(1, QUEUE_MAX);
	return before;
}

static void put(const char *path, const char *value)
{
	FILE *file = fopen(path, "we");

	if (!file)
		err(1, "%s", path);
	fputs(value, file);
	if (fclose(file))
		err(1, "%s", path);
}

static void run_with(const char *path, struct bench_peer *peer)
{
	put(path, "1");
	bench_round_trips_at(peer, FLAT_SIZE, "64");
	put(path, "0");
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	struct bench_peer symphony = {
		.name = "symphony",
		.serve = serve,
		.connect = connect_caller,
		.call = call,
	};
	unsigned int queue_max;

	if (!strcmp(mode, "services")) {
		symphony.name = mode;
		flat(&symphony, &nr_services, &nr_services);
	} else if (!strcmp(mode, "spread")) {
		symphony.name = mode;
		flat(&symphony, &nr_services, &nr_called);
	} else if (!strcmp(mode, "outstanding")) {
		symphony.name = mode;
		queue_max = set_queue_max(2 * FLAT_MAX);
		flat(&symphony, &nr_outstanding, &nr_outstanding);
		set_queue_max(queue_max);
	} else if (!strcmp(mode, "router")) {
		with_router = 1;
		symphony.name = "symphony-router";
		bench_round_trips_at(&symphony, FLAT_SIZE, "64");
	} else if (!strcmp(mode, "admit")) {
		with_admit = 1;
		symphony.name = "symphony-admit";
		bench_round_trips_at(&symphony, FLAT_SIZE, "64");
	} else if (!strcmp(mode, "stats")) {
		symphony.name = "symphony-stats";
		run_with(STATS, &symphony);
	} else if (!strcmp(mode, "traced")) {
		symphony.name = "symphony-traced";
		if (access(EVENTS, F_OK) && mount("tracefs", TRACING, "tracefs", 0, NULL))
			err(1, TRACING);
		run_with(EVENTS, &symphony);
	} else {
		if (!strcmp(mode, "deadline")) {
			with_deadline = 1;
			symphony.name = "symphony-deadline";
		}
		bench_round_trips(&symphony);
	}
	return 0;
}
