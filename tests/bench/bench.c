// SPDX-License-Identifier: MIT
/* The harness of the benchmarks: the two processes, the clock, the checks. */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
/* For roundtrip.py, out of member.so. */
#define EXPORT __attribute__((visibility("default")))

static const size_t sizes[] = { 64, 4 << 10, BENCH_SIZE_MAX };

unsigned char bench_scratch[BENCH_SIZE_MAX];
static unsigned char answer[BENCH_SIZE_MAX];
static uint64_t answered;
static uint64_t begun;
static int ready_fd;

uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

EXPORT void bench_begin(void)
{
	asm volatile("xchg %%bx, %%bx" ::: "memory");
	begun = bench_now();
}

EXPORT uint64_t bench_end(void)
{
	uint64_t ns = bench_now() - begun;

	asm volatile("xchg %%cx, %%cx" ::: "memory");
	return ns;
}

void bench_print(const char *name, const char *size, uint64_t ns, unsigned int rounds)
{
	printf("%s %s %llu\n", name, size, (unsigned long long)((ns + rounds / 2) / rounds));
	fflush(stdout);
}

void bench_pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "sched_setaffinity");
}

/*
 * A body is a pattern, with a number at both ends: the round's in a request,
 * its complement in the answer.
 */
static void fill(unsigned char *body, size_t size, unsigned char start)
{
	for (size_t i = 0; i < size; i++)
		body[i] = start + i * 7;
}

static void stamp(unsigned char *body, size_t size, uint64_t number)
{
	memcpy(body, &number, sizeof(number));
	memcpy(body + size - sizeof(number), &number, sizeof(number));
}

static void check(const char *what, const unsigned char *body, size_t size, uint64_t number,
		  uint64_t round, unsigned char start)
{
	uint64_t head, tail;

	memcpy(&head, body, sizeof(head));
	memcpy(&tail, body + size - sizeof(tail), sizeof(tail));
	if (head != number || tail != number)
		errx(1, "%s of round %llu: wrong number", what, (unsigned long long)round);
	if (round >= BENCH_WARMUP)
		return;
	for (size_t i = sizeof(head); i < size - sizeof(tail); i++)
		if (body[i] != (unsigned char)(start + i * 7))
			errx(1, "%s of round %llu: wrong byte at %zu", what,
			     (unsigned long long)round, i);
}

const void *bench_answer(const void *request, size_t size)
{
	check("request", request, size, answered, answered, 1);
	stamp(answer, size, ~answered);
	answered++;
	return answer;
}

void bench_serving(void)
{
	if (write(ready_fd, "", 1) != 1)
		err(1, "telling the caller");
	close(ready_fd);
}

/* Without it a caller would wait for ever when its peer failed. */
static void child_ended(int sig)
{
	static const char text[] = "bench: the serving process ended\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

static pid_t start_server(const struct bench_peer *peer, size_t size)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC))
		err(1, "pipe2");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGCHLD, SIG_DFL);
		close(ready[0]);
		ready_fd = ready[1];
		answered = 0;
		fill(answer, size, 2);
		peer->serve(size);
		errx(1, "%s: stopped serving", peer->name);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "%s: does not serve", peer->name);
	close(ready[0]);
	return pid;
}

static void round_trip(const struct bench_peer *peer, unsigned char *request, size_t size,
		       uint64_t round)
{
	if (peer->batch) {
		peer->call(NULL, size);
		return;
	}
	stamp(request, size, round);
	check("answer", peer->call(request, size), size, ~round, round, 2);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/*
 * The figure is the median of a few: now and then the kernel has housekeeping
 * to do, for the length of ten round trips.
 */
static void measure(const struct bench_peer *peer, size_t size, const char *label)
{
	unsigned char *request = malloc(size);
	const unsigned int messages = peer->batch ?: 1, rounds = BENCH_ROUNDS / messages;
	uint64_t round = 0, ns[3];
	pid_t pid;

	if (!request)
		err(1, "malloc");
	fill(request, size, 1);
	signal(SIGCHLD, child_ended);
	if (peer->setup)
		peer->setup(size);
	pid = start_server(peer, size);
	if (peer->connect)
		peer->connect(size);

	while (round < BENCH_WARMUP)
		round_trip(peer, request, size, round++);
	for (size_t i = 0; i < ARRAY_SIZE(ns); i++) {
		bench_begin();
		for (unsigned int j = 0; j < rounds; j++)
			round_trip(peer, request, size, round++);
		ns[i] = bench_end();
	}
	qsort(ns, ARRAY_SIZE(ns), sizeof(ns[0]), by_value);

	signal(SIGCHLD, SIG_DFL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(request);
	bench_print(peer->name, label, ns[ARRAY_SIZE(ns) / 2], rounds * messages);
}

/* In a fresh process, so that no measurement starts from another's state. */
void bench_round_trips_at(const struct bench_peer *peer, size_t size, const char *label)
{
	int status;
	pid_t pid;

	bench_pin();
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		measure(peer, size, label);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s at %zu bytes failed", peer->name, size);
}

/* $BENCH_SIZE leaves one of the sizes. */
void bench_round_trips(const struct bench_peer *peer)
{
	const char *only = getenv("BENCH_SIZE");
	char label[24];

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (only && strtoul(only, NULL, 10) != sizes[i])
			continue;
		snprintf(label, sizeof(label), "%zu", sizes[i]);
		bench_round_trips_at(peer, sizes[i], label);
	}
}
