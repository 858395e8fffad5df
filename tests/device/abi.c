// SPDX-License-Identifier: MIT
/*
 * The rules of size-first structures, on every operation: shorter and longer
 * ones, unknown flags, reserved members, memory that is not there.
 */
#include <sys/mman.h>
#include <kselftest_harness.h>

#include "device.h"

/* More than any structure, less than a page. */
#define ROOM	2048

FIXTURE(abi)
{
	struct duo duo;
	int unjoined;
	unsigned char *arg;	/* of the variant's structure, valid */
	__u32 offset;
	int valid;		/* what the operation gives for it */
	struct symphony_call call;
};

FIXTURE_VARIANT(abi)
{
	unsigned long op;
	__u32 size;
	__u32 known_flags;
	__u32 reserved[4];	/* offsets of __u32 members that must be 0 */
};

#define RESERVED(type, member) offsetof(struct symphony_##type, member)

FIXTURE_VARIANT_ADD(abi, query) {
	.op = SYMPHONY_IOC_QUERY, .size = sizeof(struct symphony_query),
};
FIXTURE_VARIANT_ADD(abi, join) {
	.op = SYMPHONY_IOC_JOIN, .size = sizeof(struct symphony_join),
	.known_flags = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL |
		       SYMPHONY_JOIN_GRANTS | SYMPHONY_JOIN_INHERIT,
	/* Names are reserved with EXCL. */
	.reserved = { RESERVED(join, reserved), RESERVED(join, reserve_len),
		      RESERVED(join, reserve), RESERVED(join, reserve) + 4 },
};
/* What only CLAIM takes: @endpoint with TAKEOVER, @grant with GRANT. */
#define SERVICE_RESERVED						\
	{ RESERVED(service, reserved), RESERVED(service, grant),	\
	  RESERVED(service, endpoint), RESERVED(service, endpoint) + 4 }
FIXTURE_VARIANT_ADD(abi, claim) {
	.op = SYMPHONY_IOC_CLAIM, .size = sizeof(struct symphony_service),
	.known_flags = SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE |
		       SYMPHONY_CLAIM_TAKEOVER | SYMPHONY_CLAIM_ACTIVATOR |
		       SYMPHONY_CLAIM_NOTIFY | SYMPHONY_CLAIM_GRANT,
	.reserved = SERVICE_RESERVED,
};
FIXTURE_VARIANT_ADD(abi, unclaim) {
	.op = SYMPHONY_IOC_UNCLAIM, .size = sizeof(struct symphony_service),
	.reserved = SERVICE_RESERVED,
};
FIXTURE_VARIANT_ADD(abi, resolve) {
	.op = SYMPHONY_IOC_RESOLVE, .size = sizeof(struct symphony_service),
	.reserved = SERVICE_RESERVED,
};
FIXTURE_VARIANT_ADD(abi, drain) {
	.op = SYMPHONY_IOC_DRAIN, .size = sizeof(struct symphony_service),
	.known_flags = SYMPHONY_DRAIN_RESUME, .reserved = SERVICE_RESERVED,
};
FIXTURE_VARIANT_ADD(abi, grant) {
	.op = SYMPHONY_IOC_GRANT, .size = sizeof(struct symphony_service),
	.reserved = { RESERVED(service, reserved), RESERVED(service, endpoint) },
};
#define CALL_RESERVED { RESERVED(call, parent_slot) }
FIXTURE_VARIANT_ADD(abi, call) {
	.op = SYMPHONY_IOC_CALL, .size = sizeof(struct symphony_call),
	.known_flags = SYMPHONY_CALL_DONTWAIT | SYMPHONY_CALL_IDEMPOTENT |
		       SYMPHONY_CALL_VECTOR,
	.reserved = CALL_RESERVED,
};
FIXTURE_VARIANT_ADD(abi, send) {
	.op = SYMPHONY_IOC_SEND, .size = sizeof(struct symphony_call),
	.known_flags = SYMPHONY_CALL_ONEWAY | SYMPHONY_CALL_DONTWAIT | SYMPHONY_CALL_NOTIFY |
		       SYMPHONY_CALL_IDEMPOTENT | SYMPHONY_CALL_VECTOR,
	.reserved = CALL_RESERVED,
};
FIXTURE_VARIANT_ADD(abi, send_batch) {
	.op = SYMPHONY_IOC_SEND_BATCH, .size = sizeof(struct symphony_send_batch),
};
FIXTURE_VARIANT_ADD(abi, recv) {
	.op = SYMPHONY_IOC_RECV, .size = sizeof(struct symphony_recv),
	.known_flags = SYMPHONY_RECV_DONTWAIT,
	.reserved = { RESERVED(recv, reserved) },
};
FIXTURE_VARIANT_ADD(abi, reply) {
	.op = SYMPHONY_IOC_REPLY, .size = sizeof(struct symphony_reply),
	.known_flags = 0x3f,
};
FIXTURE_VARIANT_ADD(abi, cancel) {
	.op = SYMPHONY_IOC_CANCEL, .size = sizeof(struct symphony_wait),
	.known_flags = SYMPHONY_CANCEL_RECV | SYMPHONY_CANCEL_RECEIVERS | SYMPHONY_CANCEL_RESUME,
};
FIXTURE_VARIANT_ADD(abi, wait) {
	.op = SYMPHONY_IOC_WAIT, .size = sizeof(struct symphony_wait),
	.known_flags = SYMPHONY_WAIT_DONTWAIT,
};
FIXTURE_VARIANT_ADD(abi, watch) {
	.op = SYMPHONY_IOC_WATCH, .size = sizeof(struct symphony_watch),
	.known_flags = SYMPHONY_WATCH_REMOVE,
};
FIXTURE_VARIANT_ADD(abi, release) {
	.op = SYMPHONY_IOC_RELEASE, .size = sizeof(struct symphony_release),
	.reserved = { RESERVED(release, reserved) },
};
FIXTURE_VARIANT_ADD(abi, fds) {
	.op = SYMPHONY_IOC_FDS, .size = sizeof(struct symphony_fds),
};

/* A valid structure whose outcome is known and can be had again and again. */
static void fill(struct _test_data_abi *self, unsigned long op)
{
	void *arg = memset(self->arg, 0, ROOM);
	struct symphony_send_batch *batch = arg;
	struct symphony_service *service = arg;
	struct symphony_recv *recv = arg;
	struct symphony_join *join = arg;

	self->valid = 0;
	switch (op) {
	case SYMPHONY_IOC_JOIN:
		join->name = (uintptr_t)"no-such-bus";
		join->name_len = 11;
		self->valid = -ENOENT;
		break;
	case SYMPHONY_IOC_CLAIM:
		service->name = (uintptr_t)"svc";
		service->name_len = 3;
		self->valid = -EALREADY;
		break;
	case SYMPHONY_IOC_UNCLAIM:
	case SYMPHONY_IOC_DRAIN:
		service->handle = ~0ULL;
		self->valid = -ENOENT;
		break;
	case SYMPHONY_IOC_RESOLVE:
	case SYMPHONY_IOC_GRANT:
		service->name = (uintptr_t)"svc";
		service->name_len = 3;
		break;
	case SYMPHONY_IOC_CALL:
	case SYMPHONY_IOC_SEND:
		*(struct symphony_call *)arg = ep_request(~0ULL, NULL, 0);
		self->valid = -ENOENT;
		break;
	case SYMPHONY_IOC_SEND_BATCH:
		self->call = ep_request(~0ULL, NULL, 0);
		batch->calls = (uintptr_t)&self->call;
		batch->stride = sizeof(self->call);
		batch->nr = 1;
		self->valid = -ENOENT;
		break;
	case SYMPHONY_IOC_RECV:
		recv->flags = SYMPHONY_RECV_DONTWAIT;
		recv->max = 1;
		recv->offsets = (uintptr_t)&self->offset;
		self->valid = -EAGAIN;
		break;
	case SYMPHONY_IOC_REPLY:
	case SYMPHONY_IOC_CANCEL:
	case SYMPHONY_IOC_WAIT:
		((struct symphony_wait *)arg)->id = ~0ULL;
		self->valid = -ESRCH;
		break;
	case SYMPHONY_IOC_FDS:
		((struct symphony_fds *)arg)->id = ~0ULL;
		self->valid = -ESRCH;
		break;
	case SYMPHONY_IOC_WATCH:
		((struct symphony_watch *)arg)->endpoint = ~0ULL;
		self->valid = -ESRCH;
		break;
	}
}

static int run(struct _test_data_abi *self, unsigned long op, __u32 size)
{
	int fd = op == SYMPHONY_IOC_JOIN ? self->unjoined : self->duo.server.fd;

	*(__u32 *)self->arg = size;
	return dev_ioctl(fd, op, self->arg);
}

FIXTURE_SETUP(abi)
{
	dev_begin();
	ASSERT_EQ(0, duo_join(&self->duo, SYMPHONY_POOL_MIN, SYMPHONY_POOL_MIN));
	self->unjoined = dev_open();
	ASSERT_GE(self->unjoined, 0);
	/* At the end of a page: reading too far is EFAULT. */
	self->arg = dev_cliff() - ROOM;
	fill(self, variant->op);
}

FIXTURE_TEARDOWN(abi)
{
	close(self->unjoined);
	duo_close(&self->duo);
}

TEST_F(abi, exact_size_works)
{
	EXPECT_EQ(self->valid, run(self, variant->op, variant->size));
}

TEST_F(abi, reads_no_further_than_size)
{
	unsigned char *edge = self->arg + ROOM - variant->size;

	memmove(edge, self->arg, variant->size);
	self->arg = edge;
	EXPECT_EQ(self->valid, run(self, variant->op, variant->size));
}

TEST_F(abi, longer_with_a_zero_tail_works)
{
	EXPECT_EQ(self->valid, run(self, variant->op, variant->size + 8));
	fill(self, variant->op);
	EXPECT_EQ(self->valid, run(self, variant->op, ROOM));
}

TEST_F(abi, longer_with_a_tail_is_e2big)
{
	self->arg[variant->size] = 1;
	EXPECT_EQ(-E2BIG, run(self, variant->op, variant->size + 8));
	EXPECT_EQ(self->valid, run(self, variant->op, variant->size));
	fill(self, variant->op);
	self->arg[ROOM - 1] = 1;
	EXPECT_EQ(-E2BIG, run(self, variant->op, ROOM));
}

TEST_F(abi, absurd_sizes_are_refused)
{
	int ret;

	EXPECT_EQ(-EINVAL, run(self, variant->op, 0));
	EXPECT_EQ(-EINVAL, run(self, variant->op, 1));
	EXPECT_EQ(-EINVAL, run(self, variant->op, 4));
	/* E2BIG for more than the kernel looks at, EFAULT for looking. */
	ret = run(self, variant->op, 0xffffffff);
	EXPECT_TRUE(ret == -E2BIG || ret == -EFAULT || ret == -EINVAL);
	ret = run(self, variant->op, 0x80000000);
	EXPECT_TRUE(ret == -E2BIG || ret == -EFAULT || ret == -EINVAL);
}

TEST_F(abi, writes_no_further_than_size)
{
	__u32 size;
	int ret;

	for (size = 8; size < variant->size; size += 4) {
		unsigned char tail[ROOM];

		fill(self, variant->op);
		memset(self->arg + size, 0xa5, ROOM - size);
		memset(tail, 0xa5, sizeof(tail));
		ret = run(self, variant->op, size);
		/* Members cut off are zero, or the structure is too short. */
		EXPECT_NE(-ENOTTY, ret);
		EXPECT_EQ(0, memcmp(self->arg + size, tail, ROOM - size))
			TH_LOG("wrote past size %u", size);
		if (variant->op == SYMPHONY_IOC_JOIN && !ret)
			break;
	}
}

TEST_F(abi, unknown_flags_are_einval)
{
	__u32 *flags = (__u32 *)self->arg + 1;

	for (int bit = 0; bit < 32; bit++) {
		if (variant->known_flags & (1U << bit))
			continue;
		fill(self, variant->op);
		*flags |= 1U << bit;
		EXPECT_EQ(-EINVAL, run(self, variant->op, variant->size))
			TH_LOG("flag %#x", 1U << bit);
	}
}

TEST_F(abi, reserved_members_are_einval)
{
	for (size_t i = 0; i < ARRAY_SIZE(variant->reserved); i++) {
		if (!variant->reserved[i])
			continue;
		fill(self, variant->op);
		*(__u32 *)(self->arg + variant->reserved[i]) = 1;
		EXPECT_EQ(-EINVAL, run(self, variant->op, variant->size))
			TH_LOG("member at %u", variant->reserved[i]);
	}
}

TEST_F(abi, bad_addresses_are_efault)
{
	int fd = variant->op == SYMPHONY_IOC_JOIN ? self->unjoined :
						    self->duo.server.fd;
	unsigned char *edge = self->arg + ROOM - variant->size;
	void *bad[] = {
		NULL, (void *)1, self->arg + ROOM, edge + 8,
		(void *)0xffff888000000000, (void *)0x8000000000000000,
		(void *)-1, (void *)-4096,
	};

	*(__u32 *)(edge + 8) = variant->size;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, dev_ioctl(fd, variant->op, bad[i]))
			TH_LOG("address %p", bad[i]);
	}
}

TEST_F(abi, read_only_structure_does_no_harm)
{
	int fd = variant->op == SYMPHONY_IOC_JOIN ? self->unjoined :
						    self->duo.server.fd;
	size_t page = sysconf(_SC_PAGESIZE);
	unsigned char *start = self->arg + ROOM - page;
	int ret;

	*(__u32 *)self->arg = variant->size;
	ASSERT_EQ(0, mprotect(start, page, PROT_READ));
	ret = dev_ioctl(fd, variant->op, self->arg);
	EXPECT_TRUE(ret == self->valid || ret == -EFAULT) TH_LOG("gave %d", ret);
	ASSERT_EQ(0, mprotect(start, page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(self->valid, run(self, variant->op, variant->size));
}

TEST_HARNESS_MAIN
