/* SPDX-License-Identifier: MIT */
/* What there is on the buses, all of it at hand. */
#ifndef CLI_SNAPSHOT_H
#define CLI_SNAPSHOT_H

#include <symphony/control.h>

enum snapshot_part {
	SNAPSHOT_BUSES = 1 << 0,
	SNAPSHOT_ENDPOINTS = 1 << 1,
	SNAPSHOT_SERVICES = 1 << 2,
	SNAPSHOT_REPLICAS = 1 << 3,
	SNAPSHOT_PROGRAMS = 1 << 4,
};

/* Each sorted by the bus's name and id, then the service's name; the strings are its own. */
struct snapshot {
	struct sbus_bus_info *buses;
	struct sbus_endpoint_info *endpoints;
	struct sbus_service_info *services;
	struct sbus_replica_info *replicas;
	struct sbus_program_info *programs;
	size_t nr_buses, nr_endpoints, nr_services, nr_replicas, nr_programs;
};

/* @bus: only that one, or NULL; -ENOENT when it is not there. @parts of enum snapshot_part. */
int snapshot_take(struct snapshot *snapshot, const char *bus, unsigned int parts,
		  struct sbus_error *error);
void snapshot_free(struct snapshot *snapshot);

const struct sbus_endpoint_info *snapshot_endpoint(const struct snapshot *snapshot, uint64_t bus,
						   uint64_t id);
/* The program of that service, or of all of the bus (NULL), for @hook. */
const struct sbus_program_info *snapshot_program(const struct snapshot *snapshot, uint64_t bus,
						 const char *service, uint32_t hook);
const char *snapshot_recovery(const struct sbus_service_info *service);
const char *snapshot_hook(uint32_t hook);

#endif
