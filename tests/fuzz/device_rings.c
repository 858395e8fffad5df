// SPDX-License-Identifier: MIT
/* The rings of a program: made when it first submits to them, closed at its end. */
#include <liburing.h>

#include "device.h"

static struct fz_ring {
	struct io_uring uring;
	bool open;
} rings[2][FZ_RINGS];

static struct fz_ring *ring_of(unsigned int who, unsigned int which)
{
	static const unsigned int flags[FZ_RINGS] = {
		0, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
	};
	struct fz_ring *ring = &rings[who][which % FZ_RINGS];

	if (!ring->open)
		ring->open = !io_uring_queue_init(FZ_OPS, &ring->uring, flags[which % FZ_RINGS]);
	return ring->open ? ring : NULL;
}

bool fz_ring_submit(unsigned int who, unsigned int which, int fd, unsigned long cmd,
		    const void *arg, unsigned int index)
{
	struct fz_ring *ring = ring_of(who, which);
	struct io_uring_sqe *sqe = ring ? io_uring_get_sqe(&ring->uring) : NULL;

	if (!sqe)
		return false;
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->cmd_op = cmd;
	*(struct symphony_uring *)sqe->cmd = (struct symphony_uring){ .arg = (uintptr_t)arg };
	io_uring_sqe_set_data64(sqe, index);
	return io_uring_submit(&ring->uring) >= 0;
}

bool fz_ring_reap(unsigned int who, unsigned int which, unsigned int *index, int *ret)
{
	struct fz_ring *ring = &rings[who][which % FZ_RINGS];
	struct io_uring_cqe *cqe;

	if (!ring->open || io_uring_get_events(&ring->uring) < 0 ||
	    io_uring_peek_cqe(&ring->uring, &cqe))
		return false;
	*index = io_uring_cqe_get_data64(cqe);
	*ret = cqe->res;
	io_uring_cqe_seen(&ring->uring, cqe);
	return true;
}

void fz_ring_close(unsigned int who, unsigned int which)
{
	struct fz_ring *ring = &rings[who][which % FZ_RINGS];

	if (ring->open)
		io_uring_queue_exit(&ring->uring);
	ring->open = false;
}
