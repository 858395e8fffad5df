// SPDX-License-Identifier: MIT
/* What a message of the module says of something, as the structures that are told. */
#include "info.h"

#include <assert.h>
#include <string.h>
#include <linux/symphony.h>
#include <netlink/attr.h>

#include "netlink.h"

static_assert((int)SBUS_HOOK_ADMIT == (int)SYMPHONY_HOOK_ADMIT, "enum symphony_hook");
static_assert((int)SBUS_HOOK_ROUTE == (int)SYMPHONY_HOOK_ROUTE, "enum symphony_hook");
static_assert((int)SBUS_HOOK_SHADOW == (int)SYMPHONY_HOOK_SHADOW, "enum symphony_hook");
static_assert(SBUS_TIME_BUCKETS == SYMPHONY_TIME_BUCKETS, "histograms");

#define NUMBER(attr) netlink_number(attrs[SYMPHONY_A_##attr])
#define TEXT(attr) netlink_text(attrs[SYMPHONY_A_##attr])
#define FLAG(attr) (attrs[SYMPHONY_A_##attr] != NULL)

/* A name that is always there. */
static const char *name(const struct nlattr *attr)
{
	const char *text = netlink_text(attr);

	return text ? text : "";
}

struct sbus_bus_info info_bus(struct nlattr *const *attrs)
{
	return (struct sbus_bus_info){
		.size = sizeof(struct sbus_bus_info),
		.name = name(attrs[SYMPHONY_A_BUS]),
		.id = NUMBER(BUS_ID),
		.uid = NUMBER(UID),
		.gid = NUMBER(GID),
		.mode = NUMBER(MODE),
		.nr_endpoints = NUMBER(NR_ENDPOINTS),
		.nr_services = NUMBER(NR_SERVICES),
	};
}

struct sbus_endpoint_info info_endpoint(struct nlattr *const *attrs)
{
	return (struct sbus_endpoint_info){
		.size = sizeof(struct sbus_endpoint_info),
		.bus = name(attrs[SYMPHONY_A_BUS]),
		.bus_id = NUMBER(BUS_ID),
		.id = NUMBER(ENDPOINT),
		.pid = NUMBER(PID),
		.uid = NUMBER(UID),
		.pool_size = NUMBER(POOL_SIZE),
		.pool_used = NUMBER(POOL_USED),
		.queued = NUMBER(QUEUED),
		.load = NUMBER(LOAD),
		.calls = NUMBER(CALLS),
	};
}

static void histogram(uint64_t *buckets, const struct nlattr *attr)
{
	size_t len = SBUS_TIME_BUCKETS * sizeof(*buckets);

	if (attr && (size_t)nla_len(attr) >= len)
		memcpy(buckets, nla_data(attr), len);
}

struct sbus_service_info info_service(struct nlattr *const *attrs)
{
	uint32_t recovery = NUMBER(RECOVERY);
	struct sbus_service_info info = {
		.size = sizeof(struct sbus_service_info),
		.bus = name(attrs[SYMPHONY_A_BUS]),
		.bus_id = NUMBER(BUS_ID),
		.name = name(attrs[SYMPHONY_A_SERVICE]),
		.handle = NUMBER(HANDLE),
		.uid = NUMBER(UID),
		.requeue = recovery & SYMPHONY_CLAIM_REQUEUE,
		.reissue = recovery & SYMPHONY_CLAIM_REISSUE,
		.reserved = FLAG(RESERVED),
		.nr_replicas = NUMBER(NR_REPLICAS),
		.parked = NUMBER(PARKED),
		.activator = NUMBER(ACTIVATOR),
		.replies = NUMBER(REPLIES),
		.error_replies = NUMBER(ERROR_REPLIES),
		.timeouts = NUMBER(TIMEOUTS),
		.cancels = NUMBER(CANCELS),
		.resets = NUMBER(RESETS),
		.others = NUMBER(OTHERS),
		.refusals = NUMBER(REFUSALS),
		.request_bytes = NUMBER(REQUEST_BYTES),
		.answer_bytes = NUMBER(ANSWER_BYTES),
	};

	histogram(info.queue_times, attrs[SYMPHONY_A_QUEUE_TIMES]);
	histogram(info.service_times, attrs[SYMPHONY_A_SERVICE_TIMES]);
	return info;
}

struct sbus_replica_info info_replica(struct nlattr *const *attrs)
{
	return (struct sbus_replica_info){
		.size = sizeof(struct sbus_replica_info),
		.bus = name(attrs[SYMPHONY_A_BUS]),
		.bus_id = NUMBER(BUS_ID),
		.service = name(attrs[SYMPHONY_A_SERVICE]),
		.handle = NUMBER(HANDLE),
		.draining = FLAG(DRAINING),
		.load = NUMBER(LOAD),
		.endpoint = NUMBER(ENDPOINT),
	};
}

struct sbus_program_info info_program(struct nlattr *const *attrs)
{
	return (struct sbus_program_info){
		.size = sizeof(struct sbus_program_info),
		.bus = name(attrs[SYMPHONY_A_BUS]),
		.bus_id = NUMBER(BUS_ID),
		.service = TEXT(SERVICE),
		.handle = NUMBER(HANDLE),
		.hook = NUMBER(HOOK),
		.link = NUMBER(LINK),
		.errors = NUMBER(ERRORS),
		.disabled = TEXT(DISABLED),
		.fail_closed = FLAG(FAIL_CLOSED),
		.closed = FLAG(CLOSED),
		.same = NUMBER(SAME),
		.different = NUMBER(DIFFERENT),
	};
}
