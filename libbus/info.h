/* SPDX-License-Identifier: MIT */
/* What a message of the module says of something, as the structures that are told. */
#ifndef LIBBUS_INFO_H
#define LIBBUS_INFO_H

#include <symphony/control.h>

struct nlattr;

struct sbus_bus_info info_bus(struct nlattr *const *attrs);
struct sbus_endpoint_info info_endpoint(struct nlattr *const *attrs);
struct sbus_service_info info_service(struct nlattr *const *attrs);
struct sbus_replica_info info_replica(struct nlattr *const *attrs);
struct sbus_program_info info_program(struct nlattr *const *attrs);

#endif /* LIBBUS_INFO_H */
