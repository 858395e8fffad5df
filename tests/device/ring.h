/* SPDX-License-Identifier: MIT */
/* What the tests of operations over io_uring share, over device.h. */
#ifndef SYMPHONY_TESTS_RING_H
#define SYMPHONY_TESTS_RING_H

#include <liburing.h>

#include "device.h"

#ifndef IORING_URING_CMD_MULTISHOT
#define IORING_URING_CMD_MULTISHOT	(1U << 1)
#endif

/* The ways in which completions reach a ring. */
#define RING_PLAIN	0U
#define RING_DEFER	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)
#define RING_SQPOLL	IORING_SETUP_SQPOLL

int ring_open(struct io_uring *ring, unsigned int entries, unsigned int flags);
/* Put an operation on @ring, @data is its user_data; the next submit sends it. */
struct io_uring_sqe *ring_put(struct io_uring *ring, const struct ep *ep,
			      unsigned long op, const void *arg, __u64 data);
/* Submit what was put. How many, or -errno. */
int ring_submit(struct io_uring *ring);
/* The next completion within @ms: its result, and whose it is. */
int ring_next(struct io_uring *ring, int ms, __u64 *data);
/* Put, submit and wait for one operation. */
int ring_do(struct io_uring *ring, const struct ep *ep, unsigned long op,
	    const void *arg);
/* A RECV that a ring waits with, and what gives it up. */
struct symphony_recv recv_to(__u32 *offsets, __u32 max);
struct symphony_wait recv_cancel(const __u32 *offsets);
/* Nothing completes. */
bool ring_is_quiet(struct io_uring *ring);

#endif
