// SPDX-License-Identifier: MIT
#include "ring.h"

int ring_open(struct io_uring *ring, unsigned int entries, unsigned int flags)
{
	struct io_uring_params params = {
		.flags = flags | IORING_SETUP_CLAMP,
		.sq_thread_idle = 50,
	};

	return io_uring_queue_init_params(entries, ring, &params);
}

struct io_uring_sqe *ring_put(struct io_uring *ring, const struct ep *ep,
			      unsigned long op, const void *arg, __u64 data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct symphony_uring *cmd;

	if (!sqe)
		return NULL;
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, ep->fd, NULL, 0, 0);
	sqe->cmd_op = op;
	cmd = (void *)sqe->cmd;
	*cmd = (struct symphony_uring){ .arg = (uintptr_t)arg };
	io_uring_sqe_set_data64(sqe, data);
	return sqe;
}

int ring_submit(struct io_uring *ring)
{
	return io_uring_submit(ring);
}

int ring_next(struct io_uring *ring, int ms, __u64 *data)
{
	struct __kernel_timespec timeout = {
		.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L,
	};
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe_timeout(ring, &cqe, &timeout);

	if (ret)
		return ret;
	ret = cqe->res;
	if (data)
		*data = io_uring_cqe_get_data64(cqe);
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

int ring_do(struct io_uring *ring, const struct ep *ep, unsigned long op,
	    const void *arg)
{
	int ret;

	if (!ring_put(ring, ep, op, arg, 0))
		return -EBUSY;
	ret = ring_submit(ring);
	return ret < 0 ? ret : ring_next(ring, DEV_LONG, NULL);
}

struct symphony_recv recv_to(__u32 *offsets, __u32 max)
{
	return (struct symphony_recv){
		.size = sizeof(struct symphony_recv),
		.offsets = (uintptr_t)offsets,
		.max = max,
	};
}

struct symphony_wait recv_cancel(const __u32 *offsets)
{
	return (struct symphony_wait){
		.size = sizeof(struct symphony_wait),
		.flags = SYMPHONY_CANCEL_RECV,
		.id = (uintptr_t)offsets,
	};
}

bool ring_is_quiet(struct io_uring *ring)
{
	return ring_next(ring, DEV_BEAT, NULL) == -ETIME;
}
