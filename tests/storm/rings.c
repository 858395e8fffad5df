// SPDX-License-Identifier: MIT
/* What a peer does over io_uring: CALLs, several at a time, RECV, SEND and REPLY. */
#include <errno.h>
#include <string.h>

#include "../device/ring.h"
#include "peer.h"

#define AT_ONCE		16
#define BATCH_SHIFT	26	/* above the number of a thread's calls, in a tag */
#define NOBODY		~0ULL

static __thread struct io_uring ring;
static __thread bool ready;
/* For RECVs that go on. Small: completions and buffers are to run out. */
static __thread struct io_uring many;
static __thread bool many_ready;

static bool begin_with(struct io_uring *ring, bool *ready, int entries, struct dice *dice)
{
	int ret = *ready ? 0 :
		ring_open(ring, entries, once(dice, 2) ? RING_DEFER : RING_PLAIN);

	if (ret)
		FAULT("a ring", ret, entries);
	*ready = !ret;
	return *ready;
}

static bool begin(struct dice *dice)
{
	return begin_with(&ring, &ready, 2 * AT_ONCE, dice);
}

/* With all that is under way: the endpoint was given up, and must not be kept. */
void ring_end(void)
{
	if (ready)
		io_uring_queue_exit(&ring);
	if (many_ready)
		io_uring_queue_exit(&many);
	ready = many_ready = false;
}

static void outcome(struct peer *peer, __u64 tag, struct symphony_call *call, int offset)
{
	const struct symphony_msg *msg = ep_msg(&peer->ep, offset);

	call->offset = offset;
	call->status = msg->status;
	call->needed = msg->needed;
	if (peer->ended)
		return;
	if (msg->type != SYMPHONY_MSG_REPLY || msg->id != call->id)
		FAULT("not the outcome of this call", msg->type, tag);
	if (!call->status) {
		request_outcome(peer, tag, call);
		return;
	}
	/* The kernel's stands in a message, too. */
	call->offset = SYMPHONY_NO_OFFSET;
	request_outcome(peer, tag, call);
	if (ep_release_at(&peer->ep, offset) && !peer->ended)
		FAULT("RELEASE of an outcome", offset, tag);
}

void ring_calls(struct requester *r, __u64 first, struct dice *dice)
{
	struct symphony_call calls[AT_ONCE];
	struct peer *peer = r->peer;
	bool done[AT_ONCE] = {};
	int nr = 0, open = 0, most = 1 + roll(dice, AT_ONCE);

	if (!begin(dice))
		return;
	while (nr < most && !peer->ended) {
		calls[nr] = request_make(&peer->ep, first | (__u64)nr << BATCH_SHIFT, dice,
					 peer->handles, 0, NULL);
		calls[nr].flags &= ~SYMPHONY_CALL_DONTWAIT;
		ring_put(&ring, &peer->ep, SYMPHONY_IOC_CALL, &calls[nr], nr);
		/* Each by itself: they share the memory of their bodies. */
		if (ring_submit(&ring) != 1)
			FAULT("a submission", nr, first);
		request_is_made();
		nr++;
		open++;
	}
	while (open && !peer->ended) {
		int some = roll(dice, nr);
		__u64 i = NOBODY;
		int ret;

		if (once(dice, 8) && !done[some] && calls[some].id)
			request_cancel(peer, calls[some].id, calls[some].slot);
		ret = ring_next(&ring, 20, &i);
		if (i == NOBODY && (ret == -ETIME || ret == -EINTR))
			continue;
		if (i >= nr || done[i]) {
			FAULT("a second completion", ret, i);
			continue;
		}
		done[i] = true;
		open--;
		if (ret >= 0)
			outcome(peer, first | i << BATCH_SHIFT, &calls[i], ret);
		else if (!peer->ended)
			request_refused(&peer->ep, first | i << BATCH_SHIFT, ret);
	}
	if (open)
		ring_end();
}

int ring_recv(struct peer *peer, __u32 *offsets, __u32 max, int ms, struct dice *dice)
{
	struct symphony_recv recv = recv_to(offsets, max);
	struct symphony_wait cancel = recv_cancel(offsets);
	int ret;

	if (!begin(dice))
		return -EAGAIN;
	ring_put(&ring, &peer->ep, SYMPHONY_IOC_RECV, &recv, 0);
	if (ring_submit(&ring) != 1)
		FAULT("a submission", 0, 0);
	do
		ret = ring_next(&ring, ms, NULL);
	while (ret == -EINTR);
	if (ret != -ETIME)
		return ret == -ECANCELED ? -EAGAIN : ret;
	/* It can be served at this moment, which is as well. */
	dev_ioctl(peer->ep.fd, SYMPHONY_IOC_CANCEL, &cancel);
	for (;;) {
		ret = ring_next(&ring, 20, NULL);
		if (ret != -ETIME && ret != -EINTR)
			return ret == -ECANCELED ? -EAGAIN : ret;
		if (peer->ended) {
			ring_end();
			return -EAGAIN;
		}
	}
}

#define BUFFERS	8
#define ROOM	4	/* offsets in one */

/* Where they write; what is left of them at the end may do so later than is asked. */
static __thread __u32 buffers[BUFFERS][ROOM], the_last[ROOM];

/* What that tells of stands behind the @nr that are there; how many, or its error. */
static int told(const struct io_uring_cqe *cqe, __u32 *offsets, int nr)
{
	bool more = cqe->flags & IORING_CQE_F_MORE;
	int ret = more ? cqe->res / (int)sizeof(*offsets) : cqe->res;

	if (ret > ROOM || nr + ret > MULTISHOT_MAX) {
		FAULT("more messages than there was room for", ret, nr);
		return 0;
	}
	if (ret > 0)
		memcpy(offsets + nr, more ? buffers[cqe->flags >> IORING_CQE_BUFFER_SHIFT] :
					    the_last, ret * sizeof(*offsets));
	return ret;
}

int ring_recv_multishot(struct peer *peer, __u32 *offsets, int ms, struct dice *dice)
{
	struct __kernel_timespec wait = { .tv_nsec = ms * 1000000L };
	struct symphony_recv recv = recv_to(the_last, ROOM);
	struct symphony_wait cancel = recv_cancel(the_last);
	int nr = 0, end = 0, ret, enough = 1 + roll(dice, 2 * BUFFERS);
	static atomic_bool missing;
	struct io_uring_buf_ring *group;
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	bool more = true;

	if (missing || !begin_with(&many, &many_ready, 2, dice))
		return -EAGAIN;
	group = io_uring_setup_buf_ring(&many, BUFFERS, 0, 0, &ret);
	if (!group) {
		FAULT("a group of buffers", ret, 0);
		return -EAGAIN;
	}
	for (int i = 0; i < BUFFERS; i++)
		io_uring_buf_ring_add(group, buffers[i], sizeof(buffers[i]), i,
				      io_uring_buf_ring_mask(BUFFERS), i);
	io_uring_buf_ring_advance(group, BUFFERS);
	sqe = ring_put(&many, &peer->ep, SYMPHONY_IOC_RECV, &recv, 0);
	sqe->uring_cmd_flags = IORING_URING_CMD_MULTISHOT;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	if (ring_submit(&many) != 1)
		FAULT("a submission", 0, 0);
	/* Given up when there were enough, or none for a time, it goes on until it ends. */
	while (more) {
		ret = io_uring_wait_cqe_timeout(&many, &cqe, &wait);
		if (ret || nr >= enough)
			dev_ioctl(peer->ep.fd, SYMPHONY_IOC_CANCEL, &cancel);
		if (ret && peer->ended)
			break;
		if (ret)
			continue;
		more = cqe->flags & IORING_CQE_F_MORE;
		ret = told(cqe, offsets, nr);
		if (ret > 0)
			nr += ret;
		else
			end = ret;
		io_uring_cqe_seen(&many, cqe);
	}
	io_uring_free_buf_ring(&many, group, BUFFERS, 0);
	/* What another file than the endpoint's says is no news. */
	if (end == -EOPNOTSUPP && !peer->ended)
		missing = true;
	if (end && end != -ECANCELED && end != -ENOBUFS && end != -EOPNOTSUPP && !peer->ended)
		FAULT("the end of a RECV that went on", end, nr);
	if (nr)
		return nr;
	return end == -ECANCELED || end == -ENOBUFS || end == -EOPNOTSUPP ? -EAGAIN : end;
}

int ring_once(struct ep *ep, unsigned long op, void *arg, struct dice *dice)
{
	__u64 data = NOBODY;
	int ret;

	if (!storm->rings || !once(dice, 4) || !begin(dice))
		return dev_ioctl(ep->fd, op, arg);
	ring_put(&ring, ep, op, arg, 0);
	if (ring_submit(&ring) != 1)
		FAULT("a submission", 0, op);
	do
		ret = ring_next(&ring, 20, &data);
	while (data == NOBODY);
	return ret;
}
