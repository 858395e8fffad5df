// SPDX-License-Identifier: MIT
/* Over netlink, who asks is told what there is; and whom it concerns only. */
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <linux/symphony_bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <kselftest_harness.h>

#include "claim.h"
#include "gate.skel.h"
#include "puppet.skel.h"
#include "told.h"

#define ALICE	1001
#define MANY	300

FIXTURE(netlink)
{
	struct ep ep;
	struct nl_sock *sk;
	struct row row;
};

FIXTURE_SETUP(netlink)
{
	int err;

	dev_begin();
	self->ep.fd = -1;
	self->sk = NULL;
	if (geteuid())
		SKIP(return, "needs root");
	self->sk = told_open(&err);
	ASSERT_NE(NULL, self->sk) TH_LOG("%d", err);
}

FIXTURE_TEARDOWN(netlink)
{
	told_close(self->sk);
	ep_close(&self->ep);
}

static int join(FIXTURE_DATA(netlink) *self, __u32 mode)
{
	return ep_join_bus(&self->ep, dev_bus(), SYMPHONY_JOIN_CREATE, mode, 0);
}

/* The one row of @cmd on the test's bus: 1 when there is one. */
static int one(FIXTURE_DATA(netlink) *self, int cmd)
{
	memset(&self->row, 0, sizeof(self->row));
	return told_dump(self->sk, cmd, dev_bus(), &self->row, 1);
}

/* Whether a row says of an attribute that it is a number. */
#define EXPECT_NUMBER(expected, attr)					\
	do {								\
		EXPECT_TRUE(self->row.has[attr]) TH_LOG(#attr);		\
		EXPECT_EQ((__u64)(expected), self->row.number[attr])	\
			TH_LOG(#attr);					\
	} while (0)

#define EXPECT_FLAG(expected, attr)					\
	EXPECT_EQ(expected, self->row.has[attr]) TH_LOG(#attr)

#define EXPECT_TEXT(expected, attr)					\
	EXPECT_STREQ(expected, self->row.text[attr]) TH_LOG(#attr)

/* --- what is told ------------------------------------------------------------ */

TEST_F(netlink, tells_a_bus)
{
	__u64 svc;

	ASSERT_EQ(0, join(self, 0640));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_BUS_GET));
	EXPECT_EQ(SYMPHONY_CMD_BUS_GET, self->row.cmd);
	EXPECT_TEXT(dev_bus(), SYMPHONY_A_BUS);
	EXPECT_NUMBER(self->ep.id, SYMPHONY_A_BUS_ID);
	EXPECT_NUMBER(geteuid(), SYMPHONY_A_UID);
	EXPECT_NUMBER(getegid(), SYMPHONY_A_GID);
	EXPECT_NUMBER(0640, SYMPHONY_A_MODE);
	EXPECT_NUMBER(1, SYMPHONY_A_NR_ENDPOINTS);
	EXPECT_NUMBER(0, SYMPHONY_A_NR_SERVICES);
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_BUS_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_NR_SERVICES);
	/* A name stays, without replicas too. */
	ASSERT_EQ(0, ep_unclaim(&self->ep, svc));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_BUS_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_NR_SERVICES);
	ep_close(&self->ep);
	EXPECT_EQ(0, one(self, SYMPHONY_CMD_BUS_GET));
}

TEST_F(netlink, tells_an_endpoint)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	__u64 svc;

	ASSERT_EQ(0, ep_join_bus(&self->ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0, MIB));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_ENDPOINT_GET));
	EXPECT_TEXT(dev_bus(), SYMPHONY_A_BUS);
	EXPECT_NUMBER(self->ep.id, SYMPHONY_A_BUS_ID);
	EXPECT_NUMBER(self->ep.id, SYMPHONY_A_ENDPOINT);
	EXPECT_NUMBER(getpid(), SYMPHONY_A_PID);
	EXPECT_NUMBER(geteuid(), SYMPHONY_A_UID);
	EXPECT_NUMBER(MIB, SYMPHONY_A_POOL_SIZE);
	EXPECT_NUMBER(0, SYMPHONY_A_POOL_USED);
	EXPECT_NUMBER(0, SYMPHONY_A_QUEUED);
	EXPECT_NUMBER(0, SYMPHONY_A_LOAD);
	EXPECT_NUMBER(0, SYMPHONY_A_CALLS);

	/* To itself: it is the server and the caller. */
	call = ep_request(svc, NULL, 0);
	call.reply_max = 1;
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_ENDPOINT_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_QUEUED);
	EXPECT_NUMBER(1, SYMPHONY_A_LOAD);
	EXPECT_NUMBER(1, SYMPHONY_A_CALLS);
	/* The request, and the room for its answer. */
	EXPECT_NUMBER(3 * SYMPHONY_POOL_ALIGN, SYMPHONY_A_POOL_USED);

	msg = ep_next(&self->ep, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_ENDPOINT_GET));
	EXPECT_NUMBER(0, SYMPHONY_A_QUEUED);
	EXPECT_NUMBER(1, SYMPHONY_A_LOAD);

	ASSERT_EQ(0, ep_reply(&self->ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_ENDPOINT_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_QUEUED);
	EXPECT_NUMBER(0, SYMPHONY_A_LOAD);
	EXPECT_NUMBER(1, SYMPHONY_A_CALLS);

	ASSERT_EQ(0, ep_fetch(&self->ep, (__u64[1]){}));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_ENDPOINT_GET));
	EXPECT_NUMBER(0, SYMPHONY_A_QUEUED);
	EXPECT_NUMBER(0, SYMPHONY_A_CALLS);
	EXPECT_NUMBER(0, SYMPHONY_A_POOL_USED);

	/* What is withdrawn is not queued. */
	call = ep_request(svc, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	ASSERT_EQ(0, ep_cancel(&self->ep, call.id, call.slot));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_ENDPOINT_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_QUEUED);	/* the outcome */
	EXPECT_NUMBER(0, SYMPHONY_A_LOAD);
}

TEST_F(netlink, tells_services_and_replicas)
{
	struct row rows[3];
	__u64 svc, idle;
	struct ep other;

	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_join(&other, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "idle", &idle));
	ASSERT_EQ(0, ep_unclaim(&self->ep, idle));
	/* In another order than that of their ids. */
	ASSERT_EQ(0, ep_claim_with(&other, "svc", SYMPHONY_CLAIM_REQUEUE, 0, &svc));
	ASSERT_EQ(0, ep_claim_with(&self->ep, "svc", SYMPHONY_CLAIM_REQUEUE, 0, &svc));
	ASSERT_EQ(0, ep_drain(&other, svc, false));
	ASSERT_EQ(0, ep_mark(&self->ep, svc, 1, 8));

	ASSERT_EQ(2, told_dump(self->sk, SYMPHONY_CMD_SERVICE_GET, dev_bus(), rows, 2));
	self->row = rows[0];
	EXPECT_TEXT("idle", SYMPHONY_A_SERVICE);
	EXPECT_NUMBER(idle, SYMPHONY_A_HANDLE);
	EXPECT_NUMBER(0, SYMPHONY_A_NR_REPLICAS);
	EXPECT_NUMBER(0, SYMPHONY_A_RECOVERY);
	self->row = rows[1];
	EXPECT_TEXT(dev_bus(), SYMPHONY_A_BUS);
	EXPECT_NUMBER(self->ep.id, SYMPHONY_A_BUS_ID);
	EXPECT_TEXT("svc", SYMPHONY_A_SERVICE);
	EXPECT_NUMBER(svc, SYMPHONY_A_HANDLE);
	EXPECT_NUMBER(geteuid(), SYMPHONY_A_UID);
	EXPECT_NUMBER(SYMPHONY_CLAIM_REQUEUE, SYMPHONY_A_RECOVERY);
	EXPECT_NUMBER(2, SYMPHONY_A_NR_REPLICAS);
	EXPECT_NUMBER(0, SYMPHONY_A_PARKED);
	EXPECT_FLAG(false, SYMPHONY_A_RESERVED);
	EXPECT_FLAG(false, SYMPHONY_A_ACTIVATOR);

	ASSERT_EQ(2, told_dump(self->sk, SYMPHONY_CMD_REPLICA_GET, dev_bus(), rows, 2));
	self->row = rows[0];
	EXPECT_TEXT("svc", SYMPHONY_A_SERVICE);
	EXPECT_NUMBER(svc, SYMPHONY_A_HANDLE);
	EXPECT_NUMBER(self->ep.id, SYMPHONY_A_ENDPOINT);
	EXPECT_NUMBER(1, SYMPHONY_A_LOAD);
	EXPECT_FLAG(false, SYMPHONY_A_DRAINING);
	self->row = rows[1];
	EXPECT_NUMBER(other.id, SYMPHONY_A_ENDPOINT);
	EXPECT_NUMBER(0, SYMPHONY_A_LOAD);
	EXPECT_FLAG(true, SYMPHONY_A_DRAINING);
	ep_close(&other);
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_REPLICA_GET));
	EXPECT_NUMBER(self->ep.id, SYMPHONY_A_ENDPOINT);
}

TEST_F(netlink, tells_of_parked_calls)
{
	struct ep activator, server;
	struct symphony_call call;
	__u64 svc;

	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_join(&activator, 0));
	ASSERT_EQ(0, ep_claim_with(&activator, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0, &svc));
	for (int i = 0; i < 3; i++) {
		call = ep_request(svc, NULL, 0);
		ASSERT_EQ(0, ep_send(&self->ep, &call));
	}
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(0, SYMPHONY_A_NR_REPLICAS);
	EXPECT_NUMBER(activator.id, SYMPHONY_A_ACTIVATOR);
	EXPECT_NUMBER(3, SYMPHONY_A_PARKED);
	EXPECT_EQ(0, one(self, SYMPHONY_CMD_REPLICA_GET));

	ASSERT_EQ(0, ep_cancel(&self->ep, call.id, call.slot));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(2, SYMPHONY_A_PARKED);

	/* They move. */
	ASSERT_EQ(0, ep_join(&server, 0));
	ASSERT_EQ(0, ep_claim(&server, "svc", &svc));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(0, SYMPHONY_A_PARKED);
	EXPECT_EQ(0, ep_serve(&server));
	EXPECT_EQ(0, ep_serve(&server));
	ep_close(&server);

	/* They end with the activator. */
	call = ep_request(svc, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_PARKED);
	ep_close(&activator);
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(0, SYMPHONY_A_PARKED);
	EXPECT_FLAG(false, SYMPHONY_A_ACTIVATOR);

	/* Or when it gives up. */
	ASSERT_EQ(0, ep_join(&activator, 0));
	ASSERT_EQ(0, ep_claim_with(&activator, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0, &svc));
	call = ep_request(svc, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_PARKED);
	ASSERT_EQ(0, ep_unclaim(&activator, svc));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(0, SYMPHONY_A_PARKED);
	ep_close(&activator);
}

TEST_F(netlink, tells_of_reserved_names)
{
	struct symphony_join arg = {
		.size = sizeof(arg),
		.flags = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL,
		.name = (uintptr_t)dev_bus(),
		.name_len = strlen(dev_bus()),
		.reserve = (uintptr_t)"one",
		.reserve_len = sizeof("one"),
	};
	int fd = dev_open();

	ASSERT_EQ(0, dev_ioctl(fd, SYMPHONY_IOC_JOIN, &arg));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_BUS_GET));
	EXPECT_NUMBER(1, SYMPHONY_A_NR_SERVICES);
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_TEXT("one", SYMPHONY_A_SERVICE);
	EXPECT_FLAG(true, SYMPHONY_A_RESERVED);
	close(fd);
}

static struct gate *gate_load(const char *service)
{
	struct gate *gate = gate__open();
	struct bpf_map *maps[] = { gate->maps.gate, gate->maps.closing, gate->maps.absent };

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		struct symphony_admit_ops *ops =
			bpf_map__initial_value(maps[i], &(size_t){ 0 });

		strcpy(ops->bus, dev_bus());
		strcpy(ops->service, service);
	}
	bpf_map__set_autocreate(gate->maps.strange, false);
	if (!gate__load(gate))
		return gate;
	gate__destroy(gate);
	return NULL;
}

static __u32 link_id(struct bpf_link *link)
{
	struct bpf_link_info info = { };
	__u32 len = sizeof(info);

	return bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &len) ? 0 : info.id;
}

TEST_F(netlink, tells_of_programs)
{
	struct bpf_link *link, *of_bus;
	struct gate *gate, *wide;
	struct row rows[2];
	__u64 svc;

	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
	EXPECT_EQ(0, one(self, SYMPHONY_CMD_PROGRAM_GET));
	gate = gate_load("svc");
	wide = gate_load("");
	ASSERT_NE(NULL, gate);
	ASSERT_NE(NULL, wide);
	link = bpf_map__attach_struct_ops(gate->maps.closing);
	of_bus = bpf_map__attach_struct_ops(wide->maps.gate);
	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, of_bus);

	ASSERT_EQ(2, told_dump(self->sk, SYMPHONY_CMD_PROGRAM_GET, dev_bus(), rows, 2));
	self->row = rows[0];
	EXPECT_FLAG(false, SYMPHONY_A_SERVICE);
	EXPECT_FLAG(false, SYMPHONY_A_FAIL_CLOSED);
	EXPECT_NUMBER(SYMPHONY_HOOK_ADMIT, SYMPHONY_A_HOOK);
	EXPECT_NUMBER(link_id(of_bus), SYMPHONY_A_LINK);
	bpf_link__destroy(of_bus);
	self->row = rows[1];
	EXPECT_TEXT("svc", SYMPHONY_A_SERVICE);
	EXPECT_NUMBER(svc, SYMPHONY_A_HANDLE);
	EXPECT_NUMBER(link_id(link), SYMPHONY_A_LINK);
	EXPECT_NUMBER(0, SYMPHONY_A_ERRORS);
	EXPECT_FLAG(true, SYMPHONY_A_FAIL_CLOSED);
	EXPECT_FLAG(false, SYMPHONY_A_CLOSED);
	EXPECT_FLAG(false, SYMPHONY_A_DISABLED);

	gate->bss->answer = 1;
	EXPECT_EQ(-EACCES, ep_mark(&self->ep, svc, 1, 8));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_PROGRAM_GET));
	EXPECT_NUMBER(16, SYMPHONY_A_ERRORS);
	for (int i = 1; i < 64; i++)
		EXPECT_EQ(-EACCES, ep_mark(&self->ep, svc, 1, 8));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_PROGRAM_GET));
	EXPECT_TEXT("admit() returns what it may not", SYMPHONY_A_DISABLED);

	/* The gate stays. */
	bpf_link__destroy(link);
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_PROGRAM_GET));
	EXPECT_FLAG(true, SYMPHONY_A_CLOSED);
	EXPECT_FLAG(false, SYMPHONY_A_LINK);
	gate__destroy(gate);
	gate__destroy(wide);
}

static unsigned int sum(const __u64 *times, unsigned int from)
{
	unsigned int sum = 0;

	while (from < SYMPHONY_TIME_BUCKETS)
		sum += times[from++];
	return sum;
}

TEST_F(netlink, tells_what_became_of_calls)
{
	const struct symphony_msg *msg;
	struct symphony_call call;
	struct ep server;
	__u64 svc, cookie;

	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_join(&server, 0));
	ASSERT_EQ(0, ep_claim(&server, "svc", &svc));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	for (int attr = SYMPHONY_A_REPLIES; attr <= SYMPHONY_A_REFUSALS; attr++)
		EXPECT_NUMBER(0, attr);
	EXPECT_NUMBER(0, SYMPHONY_A_REQUEST_BYTES);
	EXPECT_NUMBER(0, SYMPHONY_A_ANSWER_BYTES);

	/* An answer, an error, a timeout, a cancel. */
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, ep_mark(&self->ep, svc, i, 8));
		msg = ep_next(&server, DEV_LONG);
		ASSERT_NE(NULL, msg);
		ASSERT_EQ(0, ep_reply(&server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE |
				      (i ? SYMPHONY_REPLY_ERROR : 0)));
		ASSERT_EQ(0, ep_fetch(&self->ep, &cookie));
	}
	call = ep_request(svc, NULL, 0);
	call.deadline = dev_after(20);
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	EXPECT_EQ(-ETIME, ep_fetch(&self->ep, &cookie));
	call = ep_request(svc, NULL, 0);
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	ASSERT_EQ(0, ep_cancel(&self->ep, call.id, call.slot));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(2, SYMPHONY_A_REPLIES);
	EXPECT_NUMBER(1, SYMPHONY_A_ERROR_REPLIES);
	EXPECT_NUMBER(1, SYMPHONY_A_TIMEOUTS);
	EXPECT_NUMBER(1, SYMPHONY_A_CANCELS);
	EXPECT_EQ(0, sum(self->row.queue_times, 0));

	/* Times: 20 ms and more in either, from the bucket of 16 ms on. */
	dev_param("stats", 1);
	ASSERT_EQ(0, ep_mark(&self->ep, svc, 3, 8));
	dev_nap(20);
	msg = ep_next(&server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	dev_nap(20);
	ASSERT_EQ(0, ep_reply(&server, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
	dev_param("stats", 0);
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_EQ(1, sum(self->row.queue_times, 0));
	EXPECT_EQ(1, sum(self->row.queue_times, 14));
	EXPECT_EQ(1, sum(self->row.service_times, 0));
	EXPECT_EQ(1, sum(self->row.service_times, 14));

	/* The replica's death, and then nobody is there. */
	ASSERT_EQ(0, ep_mark(&self->ep, svc, 4, 8));
	ep_close(&server);
	EXPECT_EQ(-ECONNREFUSED, ep_mark(&self->ep, svc, 5, 8));
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	EXPECT_NUMBER(3, SYMPHONY_A_REPLIES);
	EXPECT_NUMBER(1, SYMPHONY_A_RESETS);
	EXPECT_NUMBER(1, SYMPHONY_A_REFUSALS);
	EXPECT_NUMBER(0, SYMPHONY_A_OTHERS);
	EXPECT_EQ(1, sum(self->row.queue_times, 0));
}

static int count(struct _test_data_netlink *self, __u64 requests, __u64 answers)
{
	if (one(self, SYMPHONY_CMD_SERVICE_GET) != 1)
		return -EPROTO;
	return self->row.number[SYMPHONY_A_REQUEST_BYTES] == requests &&
	       self->row.number[SYMPHONY_A_ANSWER_BYTES] == answers ? 0 : -ERANGE;
}

TEST_F(netlink, counts_the_bytes_of_bodies_that_are_copied)
{
	static unsigned char body[100000];
	struct symphony_piece pieces[] = { { (uintptr_t)body, 600 }, { (uintptr_t)body, 400 } };
	const struct symphony_msg *msg;
	struct ep server, other;
	struct symphony_call call;
	__u64 svc, cookie;

	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_join(&server, 0));
	ASSERT_EQ(0, ep_join(&other, 0));
	ASSERT_EQ(0, ep_claim_with(&server, "svc", SYMPHONY_CLAIM_REQUEUE, 0, &svc));
	call = ep_request(svc, body, sizeof(body));
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	EXPECT_EQ(0, count(self, 100000, 0));
	msg = ep_next(&server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_reply(&server, msg, body, 50000, SYMPHONY_REPLY_RELEASE));
	ASSERT_EQ(0, ep_fetch(&self->ep, &cookie));
	EXPECT_EQ(0, count(self, 100000, 50000));

	/* Neither what could not be read, nor what came too late. */
	call = ep_request(svc, (void *)8, 1000);
	ASSERT_EQ(-EFAULT, ep_send(&self->ep, &call));
	call = ep_request(svc, pieces, 2);
	call.flags = SYMPHONY_CALL_VECTOR;
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	EXPECT_EQ(0, count(self, 101000, 50000));
	msg = ep_next(&server, DEV_LONG);
	ASSERT_NE(NULL, msg);
	ASSERT_EQ(0, ep_cancel(&self->ep, call.id, call.slot));
	EXPECT_EQ(-ESRCH, ep_reply(&server, msg, body, 50000, 0));
	EXPECT_EQ(0, ep_release(&server, msg));
	EXPECT_EQ(-ECANCELED, ep_fetch(&self->ep, &cookie));
	EXPECT_EQ(0, count(self, 101000, 50000));

	/* A move copies. */
	call = ep_request(svc, body, 10);
	ASSERT_EQ(0, ep_send(&self->ep, &call));
	ASSERT_EQ(0, ep_claim_with(&other, "svc", SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_TAKEOVER,
				   0, &svc));
	msg = ep_next(&other, DEV_LONG);
	ASSERT_NE(NULL, msg);
	EXPECT_EQ(0, count(self, 101020, 50000));
	ASSERT_EQ(0, ep_reply(&other, msg, body, 1, SYMPHONY_REPLY_RELEASE));
	EXPECT_EQ(0, count(self, 101020, 50001));
	ep_close(&server);
	ep_close(&other);
}

/* Whether @times are as before, and one more that took so long. */
static bool is_one_more(const __u64 *times, const __u64 *before, __u64 ns)
{
	int at = 0;

	while (at < SYMPHONY_TIME_BUCKETS - 1 && ns >= 2048ULL << at)
		at++;
	for (int i = 0; i < SYMPHONY_TIME_BUCKETS; i++)
		if (times[i] != before[i] + (i == at))
			return false;
	return true;
}

/* A program is told the very times that are counted. */
TEST_F(netlink, tells_times_in_their_buckets)
{
	static const int naps[] = { 0, 1, 3, 5, 9, 20, 40 };
	struct puppet *puppet = puppet__open();
	struct symphony_route_ops *ops;
	const struct symphony_msg *msg;
	struct bpf_link *link;
	struct row before;
	__u64 svc, cookie;

	ASSERT_NE(NULL, puppet);
	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
	ops = bpf_map__initial_value(puppet->maps.puppet, &(size_t){ 0 });
	strcpy(ops->bus, dev_bus());
	bpf_map__set_autocreate(puppet->maps.empty, false);
	bpf_map__set_autocreate(puppet->maps.unlinked, false);
	ASSERT_EQ(0, puppet__load(puppet));
	link = bpf_map__attach_struct_ops(puppet->maps.puppet);
	ASSERT_NE(NULL, link);
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
	for (size_t i = 0; i < ARRAY_SIZE(naps); i++) {
		before = self->row;
		ASSERT_EQ(0, ep_mark(&self->ep, svc, i, 8));
		dev_nap(naps[i]);
		msg = ep_next(&self->ep, DEV_LONG);
		ASSERT_NE(NULL, msg);
		dev_nap(naps[ARRAY_SIZE(naps) - 1 - i]);
		ASSERT_EQ(0, ep_reply(&self->ep, msg, NULL, 0, SYMPHONY_REPLY_RELEASE));
		ASSERT_EQ(0, ep_fetch(&self->ep, &cookie));
		ASSERT_EQ(1, one(self, SYMPHONY_CMD_SERVICE_GET));
		EXPECT_EQ(i + 1, puppet->bss->told);
		EXPECT_TRUE(is_one_more(self->row.queue_times, before.queue_times,
					puppet->bss->over.queue_time));
		EXPECT_TRUE(is_one_more(self->row.service_times, before.service_times,
					puppet->bss->over.service_time));
	}
	bpf_link__destroy(link);
	puppet__destroy(puppet);
}

TEST_F(netlink, tells_of_a_shadow_how_often_it_was_right)
{
	struct puppet *puppet = puppet__open();
	struct symphony_route_ops *ops;
	struct bpf_link *link;
	__u64 svc, cookie;

	ASSERT_NE(NULL, puppet);
	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
	ops = bpf_map__initial_value(puppet->maps.puppet, &(size_t){ 0 });
	strcpy(ops->bus, dev_bus());
	ops->flags = SYMPHONY_ROUTE_SHADOW;
	bpf_map__set_autocreate(puppet->maps.empty, false);
	bpf_map__set_autocreate(puppet->maps.unlinked, false);
	ASSERT_EQ(0, puppet__load(puppet));
	link = bpf_map__attach_struct_ops(puppet->maps.puppet);
	ASSERT_NE(NULL, link);
	/* It chooses nobody, then the one that there is. */
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, ep_mark(&self->ep, svc, i, 8));
		EXPECT_EQ(i, ep_serve(&self->ep));
		EXPECT_EQ(0, ep_fetch(&self->ep, &cookie));
		puppet->bss->wanted = self->ep.id;
	}
	ASSERT_EQ(1, one(self, SYMPHONY_CMD_PROGRAM_GET));
	EXPECT_NUMBER(SYMPHONY_HOOK_SHADOW, SYMPHONY_A_HOOK);
	EXPECT_NUMBER(2, SYMPHONY_A_SAME);
	EXPECT_NUMBER(1, SYMPHONY_A_DIFFERENT);
	bpf_link__destroy(link);
	EXPECT_EQ(0, one(self, SYMPHONY_CMD_PROGRAM_GET));
	puppet__destroy(puppet);
}

TEST_F(netlink, tells_of_all_buses_or_of_one)
{
	struct row rows[64];
	int nr, seen = 0;

	ASSERT_EQ(0, join(self, 0));
	nr = told_dump(self->sk, SYMPHONY_CMD_BUS_GET, NULL, rows, 64);
	ASSERT_LT(0, nr);
	for (int i = 0; i < nr && i < 64; i++)
		seen += !strcmp(dev_bus(), rows[i].text[SYMPHONY_A_BUS]);
	EXPECT_EQ(1, seen);
	EXPECT_EQ(0, told_dump(self->sk, SYMPHONY_CMD_BUS_GET, "nobodys", rows, 1));
}

/* --- to whom ----------------------------------------------------------------- */

/* How many buses @uid is told of by a socket of its own, or by @sk. */
static int nr_told_to(uid_t uid, gid_t gid, struct nl_sock *sk)
{
	__s64 nr = -EPROTO;
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct row row;
		int err = 0;

		if (dev_become(uid, gid))
			_exit(2);
		if (!sk)
			sk = told_open(&err);
		kid_tell(&kid, err ?: told_dump(sk, SYMPHONY_CMD_BUS_GET, dev_bus(), &row, 1));
		_exit(0);
	}
	kid_hear(&kid, &nr);
	kid_reap(&kid);
	return nr;
}

TEST_F(netlink, tells_those_who_may_join)
{
	static const struct {
		__u32 mode;
		gid_t gid;
		int told;
	} cases[] = {
		{ 0600, ALICE, 0 }, { 0600, 0, 0 }, { 0622, ALICE, 0 }, { 0644, ALICE, 1 },
		{ 0640, ALICE, 0 }, { 0640, 0, 1 }, { 0604, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(0, join(self, cases[i].mode));
		EXPECT_EQ(cases[i].told, nr_told_to(ALICE, cases[i].gid, NULL))
			TH_LOG("mode %o, group %d", cases[i].mode, cases[i].gid);
		EXPECT_EQ(1, nr_told_to(0, 0, NULL));
		ep_close(&self->ep);
	}
}

TEST_F(netlink, tells_the_creator_whatever_the_mode)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0066, 0));
		kid_tell(&kid, 0);
		kid_hear(&kid, (__s64[1]){});
		_exit(0);
	}
	ASSERT_EQ(0, kid_hear(&kid, (__s64[1]){}));
	EXPECT_EQ(1, nr_told_to(ALICE, ALICE, NULL));
	EXPECT_EQ(1, nr_told_to(ALICE + 1, ALICE + 1, NULL));
	EXPECT_EQ(1, nr_told_to(ALICE + 1, ALICE, NULL));
	kid_tell(&kid, 0);
	EXPECT_EQ(0, kid_reap(&kid));
}

/* Ask by write(), as a program that is made to write to a socket would. */
static int written(struct nl_sock *sk, int cmd)
{
	int family = genl_ctrl_resolve(sk, SYMPHONY_FAMILY_NAME), len;
	struct nl_msg *msg = nlmsg_alloc();
	struct row row;

	genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_DUMP, cmd, 1);
	nla_put_string(msg, SYMPHONY_A_BUS, dev_bus());
	nl_complete_msg(sk, msg);
	len = write(nl_socket_get_fd(sk), nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len);
	nlmsg_free(msg);
	return len < 0 ? -errno : told_rows(sk, &row, 1);
}

/* As root's word can be had from a program that is setuid. */
TEST_F(netlink, tells_nobody_more_than_the_opener_of_a_socket_that_is_written_to)
{
	struct kid kid;
	int err;

	ASSERT_EQ(0, join(self, 0));
	if (!kid_fork(&kid)) {
		struct nl_sock *sk;
		struct row row;

		EXPECT_EQ(0, syscall(SYS_setresuid, ALICE, ALICE, 0));
		sk = told_open(&err);
		EXPECT_NE(NULL, sk);
		EXPECT_EQ(0, told_dump(sk, SYMPHONY_CMD_BUS_GET, dev_bus(), &row, 1));
		EXPECT_EQ(0, written(sk, SYMPHONY_CMD_BUS_GET));
		EXPECT_EQ(0, syscall(SYS_setresuid, 0, 0, 0));
		EXPECT_EQ(0, written(sk, SYMPHONY_CMD_BUS_GET));
		EXPECT_EQ(0, written(sk, SYMPHONY_CMD_ENDPOINT_GET));
		/* With an address, nobody is fooled. */
		EXPECT_EQ(1, told_dump(sk, SYMPHONY_CMD_BUS_GET, dev_bus(), &row, 1));
		told_close(sk);
		sk = told_open(&err);
		EXPECT_EQ(1, written(sk, SYMPHONY_CMD_BUS_GET));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	/* Nor more than who uses it. */
	EXPECT_EQ(0, nr_told_to(ALICE, ALICE, self->sk));
}

/* Who opens it as root and then gives that up sees what is its own. */
TEST_F(netlink, tells_who_asks_on_a_socket_of_roots)
{
	struct kid kid;

	if (!kid_fork(&kid)) {
		struct row row;
		struct ep ep;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(0, ep_join(&ep, 0));
		EXPECT_EQ(1, told_dump(self->sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus(), &row, 1));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(netlink, tells_of_the_sockets_namespace_only)
{
	struct kid kid;
	int err;

	ASSERT_EQ(0, join(self, 0666));
	if (!kid_fork(&kid)) {
		struct nl_sock *sk;
		struct row row;
		struct ep ep;

		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		sk = told_open(&err);
		EXPECT_NE(NULL, sk);
		EXPECT_EQ(0, told_dump(sk, SYMPHONY_CMD_BUS_GET, NULL, &row, 1));
		EXPECT_EQ(0, ep_join_bus(&ep, dev_bus(), SYMPHONY_JOIN_CREATE, 0, 0));
		EXPECT_EQ(1, told_dump(sk, SYMPHONY_CMD_ENDPOINT_GET, NULL, &row, 1));
		EXPECT_EQ(ep.id, row.number[SYMPHONY_A_ENDPOINT]);
		EXPECT_EQ(1, told_dump(self->sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus(), &row, 1));
		EXPECT_EQ(self->ep.id, row.number[SYMPHONY_A_ENDPOINT]);
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(netlink, tells_pids_as_the_asker_sees_them)
{
	struct kid kid;
	int err;

	ASSERT_EQ(0, join(self, 0));
	if (!kid_fork(&kid)) {
		struct kid inner;

		EXPECT_EQ(0, unshare(CLONE_NEWPID));
		if (!kid_fork(&inner)) {
			struct nl_sock *sk = told_open(&err);
			struct row rows[2];
			struct ep ep;

			EXPECT_EQ(0, ep_join(&ep, 0));
			EXPECT_EQ(2, told_dump(sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus(), rows, 2));
			EXPECT_EQ(0, rows[0].number[SYMPHONY_A_PID]);
			EXPECT_EQ(1, rows[1].number[SYMPHONY_A_PID]);
			_exit(0);
		}
		_exit(kid_reap(&inner));
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

TEST_F(netlink, tells_uids_as_the_asker_sees_them)
{
	struct kid kid;
	int err, ret;

	ASSERT_EQ(0, join(self, 0666));
	if (!kid_fork(&kid)) {
		struct nl_sock *sk;
		struct row row;

		if (kid_unshare(&kid, CLONE_NEWUSER))
			_exit(1);
		sk = told_open(&err);
		EXPECT_NE(NULL, sk);
		EXPECT_EQ(1, told_dump(sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus(), &row, 1));
		EXPECT_EQ(65534, row.number[SYMPHONY_A_UID]);
		EXPECT_EQ(1, told_dump(sk, SYMPHONY_CMD_BUS_GET, dev_bus(), &row, 1));
		EXPECT_EQ(65534, row.number[SYMPHONY_A_UID]);
		EXPECT_EQ(65534, row.number[SYMPHONY_A_GID]);
		_exit(0);
	}
	ret = kid_map(&kid, "0 100000 1000");
	if (ret)
		SKIP(return, "no user namespaces (%d)", ret);
	EXPECT_EQ(0, kid_reap(&kid));
}

/* --- in parts ---------------------------------------------------------------- */

struct crowd {
	struct ep eps[MANY];
	pthread_t thread;
	atomic_bool stop;
	atomic_int came;
	bool seen[MANY];
};

static int crowd_join(struct crowd *crowd)
{
	int err = 0;

	for (int i = 0; !err && i < MANY; i++)
		err = ep_join(&crowd->eps[i], SYMPHONY_POOL_MIN);
	return err;
}

static void crowd_leave(struct crowd *crowd)
{
	for (int i = 0; i < MANY; i++)
		ep_close(&crowd->eps[i]);
}

/* Whether @rows name each of the crowd exactly once, and nobody twice. */
static bool crowd_is_in(struct crowd *crowd, const struct row *rows, int nr)
{
	__u64 last = 0;
	int seen = 0;

	memset(crowd->seen, 0, sizeof(crowd->seen));
	for (int i = 0; i < nr; i++) {
		__u64 id = rows[i].number[SYMPHONY_A_ENDPOINT];

		if (id <= last)
			return false;
		last = id;
		for (int j = 0; j < MANY; j++) {
			if (crowd->eps[j].id == id && !crowd->seen[j]) {
				crowd->seen[j] = true;
				seen++;
			}
		}
	}
	return seen == MANY;
}

/* Others come and go, before, between and behind them. */
static void *come_and_go(void *arg)
{
	struct crowd *crowd = arg;
	struct ep ep[8] = { [0 ... 7] = { .fd = -1 } };

	for (int i = 0; !crowd->stop; i = (i + 1) % 8) {
		__u64 svc;

		ep_close(&ep[i]);
		if (ep_join(&ep[i], SYMPHONY_POOL_MIN) || ep_claim(&ep[i], "svc", &svc))
			break;
		crowd->came++;
	}
	for (int i = 0; i < 8; i++)
		ep_close(&ep[i]);
	return NULL;
}

TEST_F(netlink, tells_each_who_is_there_once)
{
	static struct row rows[2 * MANY];
	static struct crowd crowd;
	int nr = 0, came;
	__u64 svc;

	ASSERT_EQ(0, crowd_join(&crowd));
	ASSERT_EQ(0, ep_claim(&crowd.eps[0], "svc", &svc));
	ASSERT_EQ(0, pthread_create(&crowd.thread, NULL, come_and_go, &crowd));
	for (int i = 0; i < (dev_slow() ? 5 : 20); i++) {
		nr = told_dump(self->sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus(), rows, 2 * MANY);
		ASSERT_LE(MANY, nr);
		ASSERT_GE(2 * MANY, nr);
		EXPECT_TRUE(crowd_is_in(&crowd, rows, nr));
		nr = told_dump(self->sk, SYMPHONY_CMD_REPLICA_GET, dev_bus(), rows, 2 * MANY);
		ASSERT_LE(1, nr);
		EXPECT_EQ(crowd.eps[0].id, rows[0].number[SYMPHONY_A_ENDPOINT]);
		/* A dump that is left half read. */
		came = crowd.came;
		ASSERT_EQ(0, told_ask(self->sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus()));
		dev_until(crowd.came > came + 8);
		nr = told_rows(self->sk, rows, 2 * MANY);
		ASSERT_LE(MANY, nr);
		EXPECT_TRUE(crowd_is_in(&crowd, rows, nr));
	}
	crowd.stop = true;
	pthread_join(crowd.thread, NULL);
	EXPECT_LT(8, crowd.came);
	crowd_leave(&crowd);
}

TEST_F(netlink, tells_of_many_services_and_buses)
{
	static struct row rows[MANY];
	struct ep eps[32];
	char name[32];
	__u64 svc;
	int nr;

	ASSERT_EQ(0, join(self, 0));
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "service-%d", i);
		ASSERT_EQ(0, ep_claim(&self->ep, name, &svc));
	}
	ASSERT_EQ(MANY, told_dump(self->sk, SYMPHONY_CMD_SERVICE_GET, dev_bus(), rows, MANY));
	for (int i = 0; i < MANY; i++)
		EXPECT_EQ(i + 1, rows[i].number[SYMPHONY_A_HANDLE]);
	ASSERT_EQ(MANY, told_dump(self->sk, SYMPHONY_CMD_REPLICA_GET, dev_bus(), rows, MANY));
	for (int i = 0; i < MANY; i++)
		EXPECT_EQ(i + 1, rows[i].number[SYMPHONY_A_HANDLE]);

	for (int i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "many-%d", i);
		ASSERT_EQ(0, ep_join_bus(&eps[i], name, SYMPHONY_JOIN_CREATE, 0,
					 SYMPHONY_POOL_MIN));
	}
	nr = told_dump(self->sk, SYMPHONY_CMD_BUS_GET, NULL, rows, MANY);
	EXPECT_LE(33, nr);
	for (int i = 1; i < nr; i++)
		EXPECT_LT(rows[i - 1].number[SYMPHONY_A_BUS_ID],
			  rows[i].number[SYMPHONY_A_BUS_ID]);
	/* The bus that a dump is in the middle of goes away. */
	ASSERT_EQ(0, told_ask(self->sk, SYMPHONY_CMD_SERVICE_GET, NULL));
	ep_close(&self->ep);
	self->ep.fd = -1;
	nr = told_rows(self->sk, rows, MANY);
	EXPECT_LT(0, nr);
	EXPECT_GT(MANY, nr);
	for (int i = 0; i < 32; i++)
		ep_close(&eps[i]);
}

/* Root begins to read, and goes on as somebody else. */
TEST_F(netlink, remembers_who_asked)
{
	static struct row rows[2 * MANY];
	static struct crowd crowd;
	struct kid kid;

	ASSERT_EQ(0, crowd_join(&crowd));
	if (!kid_fork(&kid)) {
		EXPECT_EQ(0, told_ask(self->sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus()));
		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		EXPECT_EQ(MANY, told_rows(self->sk, rows, 2 * MANY));
		EXPECT_TRUE(crowd_is_in(&crowd, rows, MANY));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	crowd_leave(&crowd);
}

static long refcount(void)
{
	FILE *file = fopen("/sys/module/symphony/refcnt", "re");
	long refs = -1;

	if (!file)
		return -errno;
	if (fscanf(file, "%ld", &refs) != 1)
		refs = -EIO;
	fclose(file);
	return refs;
}

TEST_F(netlink, keeps_the_module_while_a_dump_goes_on)
{
	static struct crowd crowd;
	long before;
	int err;

	if (refcount() < 0)
		SKIP(return, "symphony is not a module here");
	ASSERT_EQ(0, crowd_join(&crowd));
	before = refcount();
	ASSERT_EQ(0, told_ask(self->sk, SYMPHONY_CMD_ENDPOINT_GET, dev_bus()));
	EXPECT_EQ(before + 1, refcount());
	crowd_leave(&crowd);
	/* Read first: were it to go, so would this test's kernel. */
	ASSERT_LT(0, refcount());
	EXPECT_EQ(-1, syscall(SYS_delete_module, "symphony", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	told_close(self->sk);
	EXPECT_TRUE(dev_until(refcount() == before - MANY));
	self->sk = told_open(&err);
}

static int load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

TEST_F(netlink, goes_with_the_module)
{
	const char *path = getenv("ko");
	struct row row;
	int err;

	if (!path || refcount())
		SKIP(return, "it is in use, or not known where it is");
	ASSERT_EQ(0, told_listen(self->sk));
	ASSERT_EQ(0, syscall(SYS_delete_module, "symphony", O_NONBLOCK));
	EXPECT_EQ(NULL, told_open(&err));
	EXPECT_EQ(-ENOENT, err);
	ASSERT_EQ(0, load(path));
	told_close(self->sk);
	self->sk = told_open(&err);
	ASSERT_NE(NULL, self->sk);
	EXPECT_LE(0, told_dump(self->sk, SYMPHONY_CMD_BUS_GET, NULL, &row, 1));
}

/* --- what cannot be asked ----------------------------------------------------- */

static int ask_raw(struct nl_sock *sk, int cmd, int flags, int attr, int len)
{
	int family = genl_ctrl_resolve(sk, SYMPHONY_FAMILY_NAME), err;
	struct nl_msg *msg = nlmsg_alloc();
	struct row row;

	genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, flags, cmd, 1);
	if (attr) {
		struct nlattr *nla = nla_reserve(msg, attr, len);

		memset(nla_data(nla), 'x', len);
		((char *)nla_data(nla))[len - 1] = len > SYMPHONY_NAME_MAX ? '\0' : 'x';
	}
	err = nl_send_auto(sk, msg);
	nlmsg_free(msg);
	return err < 0 ? err : told_rows(sk, &row, 1);
}

TEST_F(netlink, refuses_what_it_does_not_know)
{
	int get = SYMPHONY_CMD_BUS_GET;

	EXPECT_EQ(-EOPNOTSUPP, ask_raw(self->sk, get, NLM_F_ACK, 0, 0));
	EXPECT_EQ(-EOPNOTSUPP, ask_raw(self->sk, SYMPHONY_CMD_MAX + 1, NLM_F_DUMP, 0, 0));
	EXPECT_EQ(-EOPNOTSUPP, ask_raw(self->sk, SYMPHONY_CMD_BUS_ADD_NTF, NLM_F_DUMP, 0, 0));
	EXPECT_EQ(-EOPNOTSUPP, ask_raw(self->sk, 0, NLM_F_DUMP, 0, 0));
	/* Without its end, too long, an attribute of answers, an unknown one. */
	EXPECT_EQ(-EINVAL, ask_raw(self->sk, get, NLM_F_DUMP, SYMPHONY_A_BUS, 4));
	EXPECT_EQ(-EINVAL, ask_raw(self->sk, get, NLM_F_DUMP, SYMPHONY_A_BUS, 100));
	EXPECT_EQ(-EINVAL, ask_raw(self->sk, get, NLM_F_DUMP, SYMPHONY_A_ENDPOINT, 8));
	EXPECT_EQ(-EINVAL, ask_raw(self->sk, get, NLM_F_DUMP, SYMPHONY_A_MAX + 1, 8));
	EXPECT_EQ(0, one(self, get));
}

/* --- events -------------------------------------------------------------------- */

TEST_F(netlink, events_are_for_the_privileged)
{
	struct kid kid;
	int err;

	if (!kid_fork(&kid)) {
		struct nl_sock *sk;

		EXPECT_EQ(0, dev_become(ALICE, ALICE));
		sk = told_open(&err);
		EXPECT_NE(NULL, sk);
		EXPECT_EQ(-EPERM, told_listen(sk));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
}

/* The next event on the test's bus is @what. */
#define EXPECT_EVENT(what)						\
	do {								\
		do {							\
			ASSERT_EQ(0, told_event(self->sk, &self->row));	\
		} while (strcmp(dev_bus(), self->row.text[SYMPHONY_A_BUS]));	\
		EXPECT_EQ(what, self->row.cmd) TH_LOG(#what);		\
	} while (0)

TEST_F(netlink, events_come_in_their_order)
{
	__u64 svc, id, other_id;
	struct ep other;

	ASSERT_EQ(0, told_listen(self->sk));
	ASSERT_EQ(0, join(self, 0640));
	id = self->ep.id;
	EXPECT_EVENT(SYMPHONY_CMD_BUS_ADD_NTF);
	EXPECT_NUMBER(id, SYMPHONY_A_BUS_ID);
	EXPECT_NUMBER(0, SYMPHONY_A_UID);
	EXPECT_NUMBER(0640, SYMPHONY_A_MODE);
	EXPECT_EVENT(SYMPHONY_CMD_ENDPOINT_ADD_NTF);
	EXPECT_NUMBER(id, SYMPHONY_A_BUS_ID);
	EXPECT_NUMBER(id, SYMPHONY_A_ENDPOINT);
	EXPECT_NUMBER(0, SYMPHONY_A_UID);

	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
	EXPECT_EVENT(SYMPHONY_CMD_SERVICE_CLAIM_NTF);
	EXPECT_TEXT("svc", SYMPHONY_A_SERVICE);
	EXPECT_NUMBER(svc, SYMPHONY_A_HANDLE);
	EXPECT_NUMBER(id, SYMPHONY_A_ENDPOINT);
	EXPECT_FLAG(false, SYMPHONY_A_ACTIVATOR);

	ASSERT_EQ(0, ep_join(&other, 0));
	other_id = other.id;
	EXPECT_EVENT(SYMPHONY_CMD_ENDPOINT_ADD_NTF);
	EXPECT_NUMBER(other_id, SYMPHONY_A_ENDPOINT);
	ASSERT_EQ(0, ep_claim_with(&other, "svc", SYMPHONY_CLAIM_TAKEOVER, 0, &svc));
	EXPECT_EVENT(SYMPHONY_CMD_SERVICE_UNCLAIM_NTF);
	EXPECT_NUMBER(id, SYMPHONY_A_ENDPOINT);
	EXPECT_EVENT(SYMPHONY_CMD_SERVICE_CLAIM_NTF);
	EXPECT_NUMBER(other_id, SYMPHONY_A_ENDPOINT);

	ASSERT_EQ(0, ep_claim_with(&self->ep, "svc", SYMPHONY_CLAIM_ACTIVATOR, 0, &svc));
	EXPECT_EVENT(SYMPHONY_CMD_SERVICE_CLAIM_NTF);
	EXPECT_NUMBER(id, SYMPHONY_A_ACTIVATOR);
	ASSERT_EQ(0, ep_unclaim(&self->ep, svc));
	EXPECT_EVENT(SYMPHONY_CMD_SERVICE_UNCLAIM_NTF);
	EXPECT_NUMBER(id, SYMPHONY_A_ACTIVATOR);

	/* Death. */
	ep_close(&other);
	EXPECT_EVENT(SYMPHONY_CMD_SERVICE_UNCLAIM_NTF);
	EXPECT_NUMBER(other_id, SYMPHONY_A_ENDPOINT);
	EXPECT_EVENT(SYMPHONY_CMD_ENDPOINT_DEL_NTF);
	EXPECT_NUMBER(other_id, SYMPHONY_A_ENDPOINT);
	ep_close(&self->ep);
	self->ep.fd = -1;
	EXPECT_EVENT(SYMPHONY_CMD_ENDPOINT_DEL_NTF);
	EXPECT_NUMBER(id, SYMPHONY_A_ENDPOINT);
	EXPECT_EVENT(SYMPHONY_CMD_BUS_DEL_NTF);
	EXPECT_NUMBER(id, SYMPHONY_A_BUS_ID);
}

TEST_F(netlink, events_of_programs)
{
	struct bpf_link *link;
	struct gate *gate;
	__u64 svc;

	ASSERT_EQ(0, join(self, 0));
	ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
	gate = gate_load("svc");
	ASSERT_NE(NULL, gate);
	ASSERT_EQ(0, told_listen(self->sk));
	link = bpf_map__attach_struct_ops(gate->maps.gate);
	ASSERT_NE(NULL, link);
	EXPECT_EVENT(SYMPHONY_CMD_PROGRAM_ATTACH_NTF);
	EXPECT_TEXT("svc", SYMPHONY_A_SERVICE);
	EXPECT_NUMBER(SYMPHONY_HOOK_ADMIT, SYMPHONY_A_HOOK);
	EXPECT_FLAG(false, SYMPHONY_A_FAIL_CLOSED);
	ASSERT_EQ(0, bpf_link__update_map(link, gate->maps.closing));
	EXPECT_EVENT(SYMPHONY_CMD_PROGRAM_REPLACE_NTF);
	EXPECT_FLAG(true, SYMPHONY_A_FAIL_CLOSED);
	gate->bss->answer = 1;
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(-EACCES, ep_mark(&self->ep, svc, 1, 8));
	EXPECT_EVENT(SYMPHONY_CMD_PROGRAM_DISABLE_NTF);
	EXPECT_TEXT("admit() returns what it may not", SYMPHONY_A_DISABLED);
	bpf_link__destroy(link);
	EXPECT_EVENT(SYMPHONY_CMD_PROGRAM_DETACH_NTF);
	EXPECT_FLAG(true, SYMPHONY_A_CLOSED);
	gate__destroy(gate);
}

TEST_F(netlink, events_stay_in_their_namespace)
{
	struct kid kid;

	ASSERT_EQ(0, told_listen(self->sk));
	if (!kid_fork(&kid)) {
		struct ep ep;

		EXPECT_EQ(0, unshare(CLONE_NEWNET));
		EXPECT_EQ(0, ep_join(&ep, 0));
		_exit(0);
	}
	EXPECT_EQ(0, kid_reap(&kid));
	ASSERT_EQ(0, join(self, 0));
	EXPECT_EVENT(SYMPHONY_CMD_BUS_ADD_NTF);
	EXPECT_NUMBER(self->ep.id, SYMPHONY_A_BUS_ID);
}

TEST_F(netlink, events_that_are_lost_are_missed_by_the_listener_alone)
{
	struct row row;
	int err = 0;
	__u64 svc;

	ASSERT_EQ(0, nl_socket_set_buffer_size(self->sk, 4096, 0));
	ASSERT_EQ(0, told_listen(self->sk));
	ASSERT_EQ(0, join(self, 0));
	for (int i = 0; i < 200; i++) {
		ASSERT_EQ(0, ep_claim(&self->ep, "svc", &svc));
		ASSERT_EQ(0, ep_unclaim(&self->ep, svc));
	}
	for (int i = 0; !err && i < 500; i++)
		err = told_event(self->sk, &row);
	EXPECT_EQ(-ENOBUFS, err);
}

TEST_HARNESS_MAIN
