// SPDX-License-Identifier: MIT
/*
 * Many in flight: 32 at a time. CALL and REPLY through rings, a figure is per round
 * trip; and per message, one way, SEND through a ring, received by ioctl, beside
 * sendmmsg() and recvmmsg() on a unix socket of packets. Who sends one way waits
 * after each batch until it has been read, by giving way to the reader.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <linux/symphony.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH		32
#define POOL_SIZE	(16U << 20)

static const char bus_name[] = "bench";
static const char service_name[] = "echo";

static int device;
static const unsigned char *pool;
static uint64_t handle;
static struct io_uring ring;
static size_t size;
static unsigned char bodies[BATCH][BENCH_SIZE_MAX];
static uint64_t sent;
/* How many were read: shared, for who sends one way. */
static volatile uint64_t *taken;

static void fill(unsigned char *body, uint64_t number)
{
	memcpy(body, &number, sizeof(number));
	memcpy(body + size - sizeof(number), &number, sizeof(number));
}

static void check(const unsigned char *body, size_t len, uint64_t number)
{
	uint64_t head, tail;

	if (len != size)
		errx(1, "%zu bytes instead of %zu", len, size);
	memcpy(&head, body, sizeof(head));
	memcpy(&tail, body + size - sizeof(tail), sizeof(tail));
	if (head != number || tail != number)
		errx(1, "message %llu: wrong number", (unsigned long long)number);
}

static const struct symphony_msg *message(uint32_t offset)
{
	return (const void *)(pool + offset);
}

static void check_at(uint32_t offset, uint64_t number)
{
	const struct symphony_msg *msg = message(offset);

	if (msg->status)
		errx(1, "outcome %d", msg->status);
	check(pool + offset + msg->header_len, msg->body_len, number);
}

static void join(unsigned long operation)
{
	struct symphony_service service = {
		.size = sizeof(service),
		.name = (uintptr_t)service_name,
		.name_len = strlen(service_name),
	};
	struct symphony_join join = {
		.size = sizeof(join),
		.flags = SYMPHONY_JOIN_CREATE,
		.name = (uintptr_t)bus_name,
		.name_len = strlen(bus_name),
		.pool_size = POOL_SIZE,
	};

	device = open("/dev/symphony", O_RDWR | O_CLOEXEC);
	if (device < 0 || ioctl(device, SYMPHONY_IOC_JOIN, &join))
		err(1, "JOIN");
	pool = mmap(NULL, join.pool_size, PROT_READ, MAP_SHARED, device, 0);
	if (pool == MAP_FAILED)
		err(1, "mmap of the pool");
	if (ioctl(device, operation, &service))
		err(1, "%s", service_name);
	handle = service.handle;
}

static void ring_init(void)
{
	int ret = io_uring_queue_init(2 * BATCH, &ring, IORING_SETUP_SINGLE_ISSUER |
				      IORING_SETUP_DEFER_TASKRUN);

	if (!ret)
		ret = io_uring_register_files(&ring, &device, 1);
	if (ret >= 0)
		ret = io_uring_register_ring_fd(&ring);
	if (ret < 0)
		errx(1, "io_uring: %s", strerror(-ret));
}

static void put(unsigned int operation, const void *arg, uint64_t data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe)
		errx(1, "the ring is full");
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, NULL, 0, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = operation;
	*(struct symphony_uring *)sqe->cmd = (struct symphony_uring){ .arg = (uintptr_t)arg };
	io_uring_sqe_set_data64(sqe, data);
}

/* Receive up to @max: how many, with the offsets of earlier ones given back. */
static int receive(uint32_t *offsets, unsigned int max, uint32_t *release, unsigned int nr)
{
	struct symphony_recv recv = {
		.size = sizeof(recv),
		.offsets = (uintptr_t)offsets,
		.max = max,
		.release = (uintptr_t)release,
		.nr_release = nr,
	};

	if (ioctl(device, SYMPHONY_IOC_RECV, &recv))
		err(1, "RECV");
	return recv.nr;
}

static void serve_calls(size_t len)
{
	static struct symphony_reply replies[BATCH];
	uint32_t offsets[BATCH];
	struct symphony_recv recv = {
		.size = sizeof(recv),
		.offsets = (uintptr_t)offsets,
		.max = BATCH,
	};
	struct io_uring_cqe *cqe;
	unsigned int head, seen;
	int n = 0;

	size = len;
	join(SYMPHONY_IOC_CLAIM);
	ring_init();
	bench_serving();
	for (;;) {
		put(SYMPHONY_IOC_RECV, &recv, BATCH);
		io_uring_submit_and_wait(&ring, n + 1);
		seen = 0;
		n = 0;
		io_uring_for_each_cqe(&ring, head, cqe) {
			seen++;
			if (cqe->res < 0)
				errx(1, "REPLY: %s", strerror(-cqe->res));
			if (io_uring_cqe_get_data64(cqe) == BATCH)
				n = cqe->res;
		}
		io_uring_cq_advance(&ring, seen);
		for (int i = 0; i < n; i++) {
			const struct symphony_msg *msg = message(offsets[i]);

			check_at(offsets[i], *taken);
			fill(bodies[i], ~*taken);
			++*taken;
			replies[i] = (struct symphony_reply){
				.size = sizeof(replies[i]),
				.flags = SYMPHONY_REPLY_RELEASE,
				.id = msg->id,
				.slot = offsets[i],
				.body = (uintptr_t)bodies[i],
				.body_len = size,
			};
			put(SYMPHONY_IOC_REPLY, &replies[i], i);
		}
	}
}

static void connect_ring(size_t len)
{
	size = len;
	join(SYMPHONY_IOC_RESOLVE);
	ring_init();
}

static const void *call_batch(const void *request, size_t len)
{
	static struct symphony_call calls[BATCH];
	static uint32_t held[BATCH];
	static int have_held;
	struct io_uring_cqe *cqe;
	unsigned int head;
	int n = 0;

	(void)request;
	(void)len;
	for (int i = 0; i < BATCH; i++) {
		fill(bodies[i], sent + i);
		calls[i] = (struct symphony_call){
			.size = sizeof(calls[i]),
			.handle = handle,
			.body = (uintptr_t)bodies[i],
			.body_len = size,
			.reply_max = size,
			.release = (uintptr_t)&held[i],
			.nr_release = have_held,
		};
		put(SYMPHONY_IOC_CALL, &calls[i], i);
	}
	have_held = 1;
	io_uring_submit_and_wait(&ring, BATCH);
	io_uring_for_each_cqe(&ring, head, cqe) {
		uint64_t i = io_uring_cqe_get_data64(cqe);

		if (cqe->res < 0)
			errx(1, "CALL: %s", strerror(-cqe->res));
		held[i] = cqe->res;
		check_at(held[i], ~(sent + i));
		n++;
	}
	if (n != BATCH)
		errx(1, "%d completions", n);
	io_uring_cq_advance(&ring, n);
	sent += n;
	return NULL;
}

static void serve_oneway(size_t len)
{
	uint32_t offsets[BATCH], old[BATCH];
	int n, had = 0;

	size = len;
	join(SYMPHONY_IOC_CLAIM);
	bench_serving();
	for (;;) {
		n = receive(offsets, BATCH, old, had);
		for (int i = 0; i < n; i++)
			check_at(offsets[i], *taken + i);
		memcpy(old, offsets, sizeof(old));
		had = n;
		*taken += n;
	}
}

/* The reader has been through all. */
static void settle(void)
{
	while (*taken != sent)
		sched_yield();
}

static const void *send_batch(const void *request, size_t len)
{
	static struct symphony_call calls[BATCH];
	struct symphony_send_batch batch = {
		.size = sizeof(batch),
		.calls = (uintptr_t)calls,
		.stride = sizeof(calls[0]),
		.nr = BATCH,
	};
	struct io_uring_cqe *cqe;

	(void)request;
	(void)len;
	for (int i = 0; i < BATCH; i++) {
		fill(bodies[i], sent++);
		calls[i] = (struct symphony_call){
			.size = sizeof(calls[i]),
			.flags = SYMPHONY_CALL_ONEWAY,
			.handle = handle,
			.body = (uintptr_t)bodies[i],
			.body_len = size,
		};
	}
	put(SYMPHONY_IOC_SEND_BATCH, &batch, 0);
	io_uring_submit_and_wait(&ring, 1);
	if (io_uring_peek_cqe(&ring, &cqe))
		errx(1, "no completion");
	if (cqe->res || batch.nr != BATCH)
		errx(1, "SEND_BATCH: %s, %u made", strerror(-cqe->res), batch.nr);
	io_uring_cqe_seen(&ring, cqe);
	settle();
	return NULL;
}

static int sockets[2];
static struct mmsghdr headers[BATCH];
static struct iovec vectors[BATCH];

static void use_socket(size_t len)
{
	size = len;
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ bodies[i], size };
		headers[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &vectors[i], .msg_iovlen = 1 } };
	}
}

static void serve_socket(size_t len)
{
	int n;

	use_socket(len);
	bench_serving();
	for (;;) {
		n = recvmmsg(sockets[1], headers, BATCH, MSG_WAITFORONE, NULL);
		if (n < 0)
			err(1, "recvmmsg");
		for (int i = 0; i < n; i++)
			check(bodies[i], headers[i].msg_len, *taken + i);
		*taken += n;
	}
}

static const void *send_batch_to_socket(const void *request, size_t len)
{
	(void)request;
	(void)len;
	for (int i = 0; i < BATCH; i++)
		fill(bodies[i], sent++);
	for (int done = 0, n; done < BATCH; done += n) {
		n = sendmmsg(sockets[0], headers + done, BATCH - done, 0);
		if (n < 0)
			err(1, "sendmmsg");
	}
	settle();
	return NULL;
}

static void share(size_t len)
{
	(void)len;
	taken = mmap(NULL, sizeof(*taken), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	if (taken == MAP_FAILED)
		err(1, "mmap");
}

static void pair(size_t len)
{
	int room = 2 * BATCH * BENCH_SIZE_MAX;

	share(len);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) ||
	    setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		err(1, "socketpair");
}

static const struct bench_peer calls = {
	.name = "ring", .batch = BATCH,
	.setup = share, .serve = serve_calls, .connect = connect_ring, .call = call_batch,
};

static const struct bench_peer oneway = {
	.name = "oneway", .batch = BATCH,
	.setup = share, .serve = serve_oneway, .connect = connect_ring, .call = send_batch,
};

static const struct bench_peer sendmmsg_peer = {
	.name = "sendmmsg", .batch = BATCH,
	.setup = pair, .serve = serve_socket, .connect = use_socket, .call = send_batch_to_socket,
};

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "oneway"))
		bench_round_trips(&oneway);
	else if (!strcmp(mode, "sendmmsg"))
		bench_round_trips(&sendmmsg_peer);
	else
		bench_round_trips(&calls);
	return 0;
}
