/* SPDX-License-Identifier: MIT */
/* A policy: an object file with one program, loaded for a bus and service. */
#ifndef LIBBUS_BPF_POLICY_H
#define LIBBUS_BPF_POLICY_H

#include <symphony/router.h>

struct bpf_map;
struct bpf_object;

struct policy {
	struct bpf_object *object;
	struct bpf_map *ops;		/* its struct_ops map */
	enum sbus_hook hook;
};

/*
 * @name as for sbus_router_attach(), @service can be NULL; a policy that routes can be
 * a shadow instead. With @options set, the program is ready to be attached.
 */
int policy_load(struct policy *policy, const char *bus, const char *service, const char *name,
		const char *options, bool shadow, struct sbus_error *error);
void policy_deinit(struct policy *policy);

#endif
