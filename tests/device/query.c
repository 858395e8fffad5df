// SPDX-License-Identifier: MIT
/* QUERY says what the module is and allows, to anybody who opens the device. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>

#include "device.h"

FIXTURE(query)
{
	int fd;
};

FIXTURE_SETUP(query)
{
	dev_begin();
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(query)
{
	close(self->fd);
}

TEST_F(query, limits_make_sense)
{
	struct symphony_query q = dev_limits();
	__u32 page = sysconf(_SC_PAGESIZE);

	EXPECT_EQ(SYMPHONY_ABI_VERSION, q.abi_version);
	EXPECT_TRUE(q.features & SYMPHONY_FEATURE_CALL);
	EXPECT_TRUE(q.features & SYMPHONY_FEATURE_TENANTS);
	EXPECT_TRUE(q.features & SYMPHONY_FEATURE_VECTOR);
	EXPECT_GE(q.pool_default, SYMPHONY_POOL_MIN);
	EXPECT_EQ(0, q.pool_default % page);
	EXPECT_LE(q.pool_default, q.pool_max);
	EXPECT_LE(q.pool_max, SYMPHONY_POOL_MAX);
	EXPECT_GE(q.calls_max, 1000);
	EXPECT_GT(q.queue_max, 0);
	EXPECT_GT(q.share_max, 0);
	EXPECT_LE(q.share_max, 100);
	EXPECT_GE(q.user_buses.max, 10);
	EXPECT_GE(q.user_endpoints.max, 10);
	EXPECT_GE(q.user_pool.max, 10ULL * q.pool_default);
	EXPECT_GE(q.user_calls.max, 1000);
	EXPECT_GE(q.user_services.max, 100);
	EXPECT_GE(q.user_files.max, SYMPHONY_FDS_MAX);
	EXPECT_GE(q.user_claims.max, q.user_services.max);
	EXPECT_GE(q.user_records.max, 1000);
}

TEST_F(query, is_the_same_after_join_but_for_the_use)
{
	struct symphony_query before = dev_limits(), after = {
		.size = sizeof(after)
	};
	struct ep ep;

	ASSERT_EQ(0, ep_join(&ep, 0));
	EXPECT_EQ(0, dev_ioctl(ep.fd, SYMPHONY_IOC_QUERY, &after));
	before.user_buses.used++;
	before.user_endpoints.used++;
	before.user_pool.used += ep.size;
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
	ep_close(&ep);
}

TEST_F(query, works_for_anybody)
{
	struct symphony_query q = { .size = sizeof(q) };
	struct stat st;
	struct kid kid;

	ASSERT_EQ(0, stat(DEV_PATH, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0666, st.st_mode & 0777);
	if (!kid_fork(&kid)) {
		int fd;

		EXPECT_EQ(0, syscall(SYS_setresuid, 65534, 65534, 65534));
		fd = dev_open();
		EXPECT_GE(fd, 0);
		EXPECT_EQ(0, dev_ioctl(fd, SYMPHONY_IOC_QUERY, &q));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(query, unknown_operations_are_enotty)
{
	char arg[4096] = {};
	static const unsigned long unknown[] = {
		_IO(SYMPHONY_IOC_MAGIC, 0x0d), _IO(SYMPHONY_IOC_MAGIC, 0x0e),
		_IO(SYMPHONY_IOC_MAGIC, 0x13), _IO(SYMPHONY_IOC_MAGIC, 0xff),
		_IO(SYMPHONY_IOC_MAGIC + 1, 0x00),
		_IOW(SYMPHONY_IOC_MAGIC, 0x00, struct symphony_query),
		0, ~0U, 0x5401 /* TCGETS */,
	};

	*(__u32 *)arg = 64;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, unknown[i], arg))
			TH_LOG("operation %#lx", unknown[i]);
	}
}

TEST_F(query, file_is_not_a_stream)
{
	char byte = 0;

	int fd = open(DEV_PATH, O_RDWR);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(-1, write(fd, &byte, 1));
	EXPECT_EQ(-1, lseek(fd, 1, SEEK_SET));
	close(fd);
}

TEST_F(query, operations_need_a_join)
{
	__u32 offset;
	struct symphony_service service = {
		.size = sizeof(service), .name = (uintptr_t)"svc", .name_len = 3,
	};
	struct symphony_call call = ep_request(1, NULL, 0);
	struct symphony_recv recv = {
		.size = sizeof(recv), .flags = SYMPHONY_RECV_DONTWAIT,
		.offsets = (uintptr_t)&offset, .max = 1,
	};
	struct symphony_reply reply = { .size = sizeof(reply), .id = 1 };
	struct symphony_wait wait = { .size = sizeof(wait), .id = 1 };
	struct symphony_watch watch = { .size = sizeof(watch), .endpoint = 1 };
	struct symphony_release release = { .size = sizeof(release) };
	struct symphony_fds fds = { .size = sizeof(fds) };
	struct symphony_send_batch batch = {
		.size = sizeof(batch), .calls = (uintptr_t)&call, .stride = sizeof(call), .nr = 1,
	};
	struct { unsigned long op; void *arg; } ops[] = {
		{ SYMPHONY_IOC_CLAIM, &service }, { SYMPHONY_IOC_UNCLAIM, &service },
		{ SYMPHONY_IOC_RESOLVE, &service }, { SYMPHONY_IOC_CALL, &call },
		{ SYMPHONY_IOC_SEND, &call }, { SYMPHONY_IOC_RECV, &recv },
		{ SYMPHONY_IOC_REPLY, &reply }, { SYMPHONY_IOC_CANCEL, &wait },
		{ SYMPHONY_IOC_WAIT, &wait }, { SYMPHONY_IOC_WATCH, &watch },
		{ SYMPHONY_IOC_RELEASE, &release },
		{ SYMPHONY_IOC_DRAIN, &service }, { SYMPHONY_IOC_GRANT, &service },
		{ SYMPHONY_IOC_FDS, &fds }, { SYMPHONY_IOC_SEND_BATCH, &batch },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_EQ(-ENOTCONN, dev_ioctl(self->fd, ops[i].op, ops[i].arg))
			TH_LOG("operation %zu", i);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SYMPHONY_POOL_MIN, PROT_READ, MAP_SHARED,
				   self->fd, 0));
}

TEST_HARNESS_MAIN
