// SPDX-License-Identifier: MIT
/*
 * Large bodies: through pools, in files, and through unix sockets.
 *
 *	large		there and back, at every size: both sides write each body
 *	large oneway	a MiB that is there already, and a word back: what it costs, and
 *			each side of it
 *	large oneway WAY	only that
 *
 * Who receives a body looks at every page of it.
 */
#include "bench.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <symphony/bus.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS	20
#define LARGEST	(8U << 20)
#define MIB	(1U << 20)

/**
 * struct way - a way for a body
 * @name: what the row is called
 * @setup: before the fork: 0 or -errno; may be NULL
 * @serve: in the child: receives bodies and answers them, for ever, with @answer bytes
 * @connect: in the parent; may be NULL
 * @call: sends @size bytes of @body, and looks at an answer of @answer bytes
 * @variant: for these functions
 */
struct way {
	const char *name;
	int (*setup)(const struct way *way, size_t size);
	void (*serve)(const struct way *way, size_t size, size_t answer, int ready);
	void (*connect)(const struct way *way);
	void (*call)(size_t size, size_t answer);
	uint32_t variant;
};

static char *body, *received;
static size_t body_len, answer_len;

static void look(const volatile char *bytes, size_t len, size_t expected)
{
	if (len != expected)
		errx(1, "%zu bytes instead of %zu", len, expected);
	for (size_t i = 0; i < len; i += 4096)
		(void)bytes[i];
}

/* A body of a word is an answer that only says that the other was received. */
static void write_body(size_t len)
{
	static unsigned char number;

	if (len > sizeof(uint64_t))
		memset(body, number++, len);
}

/* --- Symphony ----------------------------------------------------------------- */

static struct sbus *bus;

static void open_bus(const struct way *way, unsigned int flags)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_params params = {
		.size = sizeof(params), .flags = flags, .bus = "large",
		.pool_size = 64U << 20, .sealed_min = way->variant,
	};

	if (sbus_open(&bus, &params, &error))
		errx(1, "%s", sbus_error_message(&error));
}

static void look_at(const struct sbus_message *message, size_t expected)
{
	size_t len;
	const void *bytes = sbus_message_body(message, &len);

	look(bytes, len, expected);
}

static int handle(struct sbus_message *request, void *userdata)
{
	(void)userdata;
	look_at(request, body_len);
	write_body(answer_len);
	return sbus_reply_raw(request, body, answer_len);
}

static void bus_serve(const struct way *way, size_t size, size_t answer, int ready)
{
	body_len = size;
	answer_len = answer;
	open_bus(way, SBUS_OPEN_CREATE);
	sbus_set_handler(bus, handle, NULL);
	if (sbus_claim(bus, "echo", NULL) || write(ready, "x", 1) != 1)
		errx(1, "cannot serve");
	sbus_serve(bus, NULL, NULL);
}

static void bus_connect(const struct way *way)
{
	bus = sbus_unref(bus);
	open_bus(way, 0);
}

static void bus_call(size_t size, size_t answer)
{
	struct sbus_request request = SBUS_REQUEST_INIT("echo");
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_message *reply;

	request.body = body;
	request.body_len = size;
	request.reply_max = answer;
	if (sbus_call(bus, &request, &reply, &error))
		errx(1, "%s", sbus_error_message(&error));
	look_at(reply, answer);
	sbus_message_unref(reply);
}

/* --- unix sockets ------------------------------------------------------------- */

static int sockets[2];

/* With a buffer that takes all of a body; or the system's. */
#define ROOMY	(1U << 31)

static int socket_setup(const struct way *way, size_t size)
{
	const int room = 4 * size;

	if (sockets[0]) {
		close(sockets[0]);
		close(sockets[1]);
	}
	if (socketpair(AF_UNIX, (way->variant & ~ROOMY) | SOCK_CLOEXEC, 0, sockets))
		err(1, "socketpair");
	for (int i = 0; i < 2 && way->variant & ROOMY; i++)
		if (setsockopt(sockets[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
			err(1, "SO_SNDBUFFORCE");
	/* A packet is one piece of the kernel's memory, most of it. */
	if (way->variant == (ROOMY | SOCK_SEQPACKET)) {
		if (send(sockets[0], body, size, MSG_DONTWAIT) < 0)
			return -errno;
		if (recv(sockets[1], received, size, 0) < 0)
			err(1, "recv");
	}
	return 0;
}

static void put(int fd, const char *bytes, size_t len)
{
	for (ssize_t n; len; bytes += n, len -= n) {
		struct iovec iov = { (void *)bytes, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

		n = sendmsg(fd, &msg, 0);
		if (n < 0)
			err(1, "sendmsg");
	}
}

static void take(int fd, size_t len)
{
	char *to = received;

	for (ssize_t n; len; to += n, len -= n) {
		struct iovec iov = { to, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

		n = recvmsg(fd, &msg, 0);
		if (n <= 0)
			err(1, "recvmsg");
	}
}

static void socket_serve(const struct way *way, size_t size, size_t answer, int ready)
{
	(void)way;
	if (write(ready, "x", 1) != 1)
		err(1, "write");
	for (;;) {
		take(sockets[1], size);
		look(received, size, size);
		write_body(answer);
		put(sockets[1], body, answer);
	}
}

static void socket_call(size_t size, size_t answer)
{
	put(sockets[0], body, size);
	take(sockets[0], answer);
	look(received, answer, answer);
}

static const struct way ways[] = {
	{ "large-pool", NULL, bus_serve, bus_connect, bus_call, UINT32_MAX },
	{ "large-file", NULL, bus_serve, bus_connect, bus_call, 1 },
	{ "large-stream", socket_setup, socket_serve, NULL, socket_call, ROOMY | SOCK_STREAM },
	{ "large-stream-default", socket_setup, socket_serve, NULL, socket_call, SOCK_STREAM },
	{ "large-seqpacket", socket_setup, socket_serve, NULL, socket_call, ROOMY | SOCK_SEQPACKET },
};
#define NR_WAYS (sizeof(ways) / sizeof(ways[0]))

/* --- measuring ---------------------------------------------------------------- */

/* What a process has used of the processor, in ns. */
static uint64_t used(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		errx(1, "no clock of %d", pid);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void print(const struct way *way, const char *what, size_t size, uint64_t ns)
{
	char name[64], text[16];

	snprintf(name, sizeof(name), "%s%s", way->name, what);
	snprintf(text, sizeof(text), "%zu", size);
	bench_print(name, text, ns, ROUNDS);
}

static pid_t start(const struct way *way, size_t size, size_t answer)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		way->serve(way, size, answer, ready[1]);
		_exit(1);
	}
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		errx(1, "no server");
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void measure(const struct way *way, size_t size, bool oneway)
{
	size_t answer = oneway ? sizeof(uint64_t) : size;
	uint64_t ours = 0, theirs = 0, ns;
	pid_t pid;
	int r;

	r = way->setup ? way->setup(way, size) : 0;
	if (r) {
		printf("# %s at %zu bytes: %s\n", way->name, size, strerror(-r));
		return;
	}
	pid = start(way, size, answer);
	if (way->connect)
		way->connect(way);
	for (int i = 0; i < 2 * ROUNDS; i++) {
		if (i == ROUNDS) {
			ours = used(0);
			theirs = used(pid);
			bench_begin();
		}
		if (!oneway)
			write_body(size);
		way->call(size, answer);
	}
	ns = bench_end();
	print(way, oneway ? "-oneway" : "", size, ns);
	if (oneway) {
		print(way, "-sender", size, used(0) - ours);
		print(way, "-receiver", size, used(pid) - theirs);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	bool oneway = argc > 1 && !strcmp(argv[1], "oneway");

	bench_pin();
	body = malloc(LARGEST);
	received = malloc(LARGEST);
	if (!body || !received)
		err(1, "malloc");
	memset(body, 1, LARGEST);
	memset(received, 1, LARGEST);
	for (size_t i = 0; i < NR_WAYS && oneway; i++)
		if (argc == 2 || !strcmp(argv[2], ways[i].name))
			measure(&ways[i], MIB, true);
	for (size_t size = 32U << 10; size <= LARGEST && !oneway; size *= 2)
		for (size_t i = 0; i < NR_WAYS; i++)
			measure(&ways[i], size, false);
	return 0;
}
