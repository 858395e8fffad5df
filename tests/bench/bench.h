/* SPDX-License-Identifier: MIT */
/* Round trips between two processes, the same for every way of making them. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_WARMUP	200
#define BENCH_ROUNDS	2000
#define BENCH_SIZE_MAX	(64U << 10)

/**
 * struct bench_peer - a way to make a round trip
 * @name: what the row of the table is called
 * @setup: before the fork; may be NULL
 * @serve: in the child: call bench_serving() once callers can come, then answer
 *	each request with what bench_answer() makes of it, for ever
 * @connect: in the parent, when the child is serving; may be NULL
 * @call: send @size bytes and return the answer, which is good until the next
 *	call
 * @batch: how many messages one @call moves, which then makes and checks them
 *	itself; 0 for one
 *
 * Every request and every answer is written and read at both ends; the whole
 * of it during warm-up. A peer that fails exits, with a message.
 */
struct bench_peer {
	const char *name;
	void (*setup)(size_t size);
	void (*serve)(size_t size);
	void (*connect)(size_t size);
	const void *(*call)(const void *request, size_t size);
	unsigned int batch;
};

/* Measure a peer at every size and print "name size figure" for each. */
void bench_round_trips(const struct bench_peer *peer);

/* The same at one size, for a row of another @label. */
void bench_round_trips_at(const struct bench_peer *peer, size_t size, const char *label);

/* The child's side: where requests may go, and what a request is answered with. */
extern unsigned char bench_scratch[BENCH_SIZE_MAX];
void bench_serving(void);
const void *bench_answer(const void *request, size_t size);

/*
 * What is measured lies between begin and end. bench_end() gives the ns passed,
 * which are instructions where the clock counts those. Both hold an instruction
 * that does nothing, by which profile.c knows them.
 */
void bench_begin(void);
uint64_t bench_end(void);
uint64_t bench_now(void);

void bench_print(const char *name, const char *size, uint64_t ns, unsigned int rounds);

/* Stops the caller from being moved between CPUs; children inherit it. */
void bench_pin(void);

#endif /* BENCH_H */
