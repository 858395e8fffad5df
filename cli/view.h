/* SPDX-License-Identifier: MIT */
/* How what there is looks: objects of JSON, and rows of tables. */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include "cli.h"
#include "snapshot.h"
#include "table.h"

/* What the replicas of a service have, taken together. */
struct view_sum {
	uint64_t load;		/* requests not answered, those that the activator holds too */
	uint64_t queued;	/* messages not received, of these endpoints */
	uint64_t calls;		/* calls that these endpoints made */
	uint64_t pool_size, pool_used;
	unsigned int draining;
};

/* Calls of the service that came to an end, or were never made. */
uint64_t view_ended(const struct sbus_service_info *service);
/* Those of them that the extension did not answer. */
uint64_t view_failed(const struct sbus_service_info *service);
/* What @percent of the times are below; "-" where none were taken. */
const char *view_percentile(char text[32], const uint64_t times[SBUS_TIME_BUCKETS],
			    unsigned int percent);

struct view_sum view_sum(const struct snapshot *snapshot, const struct sbus_service_info *service);

/* Objects; what @snapshot was taken without is not in them. */
yyjson_mut_val *view_bus(yyjson_mut_doc *doc, const struct sbus_bus_info *bus);
yyjson_mut_val *view_endpoint(yyjson_mut_doc *doc, const struct sbus_endpoint_info *endpoint);
yyjson_mut_val *view_replica(yyjson_mut_doc *doc, const struct snapshot *snapshot,
			     const struct sbus_replica_info *replica);
/* With its replicas. */
yyjson_mut_val *view_service(yyjson_mut_doc *doc, const struct snapshot *snapshot,
			     const struct sbus_service_info *service);

/* All of one kind; @service: only its replicas. */
void view_buses(const struct snapshot *snapshot);
void view_endpoints(const struct snapshot *snapshot);
void view_services(const struct snapshot *snapshot);
void view_replicas(const struct snapshot *snapshot, const struct sbus_service_info *service);

/* "route,shadow", or "-"; valid until the next. */
const char *view_programs(const struct snapshot *snapshot, uint64_t bus, const char *service);
/* Valid until the next: the name, or the number. */
const char *view_user(uid_t uid);
/* Likewise: of the process, or "-". */
const char *view_command(pid_t pid);
/* Likewise: "12.0M". */
const char *view_bytes(uint64_t bytes);

#endif
