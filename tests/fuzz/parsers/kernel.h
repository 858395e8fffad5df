/* SPDX-License-Identifier: MIT */
/*
 * A kernel that says what a fuzzer tells it: libsymphony's operations on the
 * device end here. Messages stand in a pool as the module would put them, each
 * byte around them poisoned, and poisoned themselves once they were released.
 * What the library does and the module would refuse aborts: a message released
 * twice, a request answered that was not received.
 */
#ifndef TESTS_FUZZ_KERNEL_H
#define TESTS_FUZZ_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/symphony.h>
#include <symphony/bus.h>

/* What has to hold, whatever the input. */
#define CHECK(cond) do {							\
	if (!(cond)) {								\
		fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__,	\
			__func__, #cond);					\
		abort();							\
	}									\
} while (0)

/* How the next calls end: 0, or the operation's -errno. */
struct kernel_outcome {
	int result;
	int status;			/* negative: an outcome the kernel made */
	uint32_t needed;		/* or the limit, with a @result */
	uint32_t flags, content;
	const void *body;
	size_t len;
};

struct kernel_hooks {
	/* CALL and SEND: of SEND only the result counts; id 0: there is no parent */
	void (*call)(const struct symphony_call *call, bool waits, struct kernel_outcome *outcome);
	/* REPLY: 0, or what the caller's absence makes of it */
	int (*reply)(uint64_t id, uint32_t flags, uint32_t content, const void *body, size_t len);
	int (*watch)(uint64_t endpoint, bool remove);
};

/* A connection to this kernel; the one of the input before is forgotten. */
struct sbus *kernel_open(const struct kernel_hooks *hooks);
/* The end: whatever of the library's keeps the connection is gone. */
void kernel_close(struct sbus *bus);

/*
 * Puts a message where the next RECV takes it. Its lengths are set here; of a
 * CALL the id too. False when the pool is full.
 */
bool kernel_post(struct symphony_msg msg, const void *body, size_t len);
/* The outcome of the @n-th SEND that has none; false when there is none. */
bool kernel_answer(size_t n, struct symphony_msg msg, const void *body, size_t len);
/* The call of that id is over: who serves it learns it when it answers. */
void kernel_forget(uint64_t id);
/* The id of the @n-th request that is to be answered, 0 when there is none. */
uint64_t kernel_request(size_t n, uint64_t *sender);
/* The handle of an id that was resolved or claimed, or 0. */
uint64_t kernel_handle(const char *id);
/* Every message that was received was released. */
void kernel_check_released(const struct sbus *bus);

/* The time stands still until this. */
void kernel_advance(uint64_t ns);

/* clock.c: the Pit's timers, run by kernel_advance(). */
void clock_run(uint64_t now);

#endif
