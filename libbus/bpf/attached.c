// SPDX-License-Identifier: MIT
/*
 * Attached: what a link has attached, asked of the kernel.
 *
 * A link names its struct_ops map; in that are the names of the bus and the service
 * and the id of the program, which names its maps: among them those of its options.
 */
#include "attached.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/symphony_bpf.h>

#define MAPS_MAX 32

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

#define cleanup_fd __attribute__((cleanup(close_fd)))
#define cleanup_btf __attribute__((cleanup(free_btf)))

/* Where the member is, in bytes, and which type it has; or -ENOENT. */
static int find_member(const struct btf *btf, const struct btf_type *type, const char *name,
		       const struct btf_type **of)
{
	const struct btf_member *member = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++, member++) {
		if (strcmp(btf__name_by_offset(btf, member->name_off), name))
			continue;
		if (of)
			*of = btf__type_by_id(btf, member->type);
		return btf_member_bit_offset(type, i) / 8;
	}
	return -ENOENT;
}

/* Of the map's value: the names, and the id of its program. */
static int read_value(struct attached *attached, const struct btf *btf, uint32_t value_type,
		      const char *value, size_t size, uint32_t *program)
{
	const struct btf_type *type = btf__type_by_id(btf, value_type), *ops = NULL;
	const char *name = type ? btf__name_by_offset(btf, type->name_off) : "";
	bool admits = !strcmp(name, "bpf_struct_ops_symphony_admit_ops");
	int data, bus, service, entry, flags;
	unsigned long id;
	uint32_t bits;

	if (!admits && strcmp(name, "bpf_struct_ops_symphony_route_ops"))
		return -EINVAL;
	data = find_member(btf, type, "data", &ops);
	if (data < 0)
		return -EINVAL;
	bus = find_member(btf, ops, "bus", NULL);
	service = find_member(btf, ops, "service", NULL);
	entry = find_member(btf, ops, admits ? "admit" : "route", NULL);
	flags = find_member(btf, ops, "flags", NULL);
	if (bus < 0 || service < 0 || entry < 0 || flags < 0 ||
	    data + flags + sizeof(bits) > size ||
	    data + bus + sizeof(attached->bus) > size ||
	    data + service + sizeof(attached->service) > size ||
	    data + entry + sizeof(id) > size)
		return -EINVAL;
	memcpy(attached->bus, value + data + bus, sizeof(attached->bus) - 1);
	memcpy(attached->service, value + data + service, sizeof(attached->service) - 1);
	memcpy(&id, value + data + entry, sizeof(id));
	memcpy(&bits, value + data + flags, sizeof(bits));
	*program = id;
	attached->hook = admits ? SBUS_HOOK_ADMIT :
		bits & SYMPHONY_ROUTE_SHADOW ? SBUS_HOOK_SHADOW : SBUS_HOOK_ROUTE;
	return 0;
}

static int read_map(struct attached *attached, uint32_t map_id, uint32_t *program)
{
	cleanup_btf struct btf *vmlinux = NULL;
	cleanup_btf struct btf *btf = NULL;
	cleanup_fd int map = bpf_map_get_fd_by_id(map_id);
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info), zero = 0;
	char *value;
	int r;

	if (map < 0)
		return map;
	r = bpf_map_get_info_by_fd(map, &info, &size);
	if (r)
		return r;
	vmlinux = btf__load_vmlinux_btf();
	btf = vmlinux ? btf__load_from_kernel_by_id_split(info.btf_vmlinux_id, vmlinux) : NULL;
	if (!btf)
		return -errno;
	value = calloc(1, info.value_size);
	if (!value)
		return -ENOMEM;
	r = bpf_map_lookup_elem(map, &zero, value);
	if (!r)
		r = read_value(attached, btf, info.btf_vmlinux_value_type_id, value,
			       info.value_size, program);
	free(value);
	memcpy(attached->policy, info.name, sizeof(attached->policy) - 1);
	return r;
}

/* @map is the map of options: they are in its BTF. */
static int read_options(struct attached *attached, int values, uint32_t btf_id, int allow)
{
	cleanup_btf struct btf *btf = NULL;

	if (values >= 0) {
		btf = btf__load_from_kernel_by_id(btf_id);
		if (!btf)
			return -errno;
	}
	return options_init(&attached->options, btf, values, allow);
}

static int read_program(struct attached *attached, uint32_t id)
{
	cleanup_fd int program = bpf_prog_get_fd_by_id(id);
	uint32_t maps[MAPS_MAX] = { 0 }, btf_id = 0;
	struct bpf_prog_info info = { .map_ids = (uintptr_t)maps, .nr_map_ids = MAPS_MAX };
	uint32_t size = sizeof(info);
	cleanup_fd int values = -1;
	cleanup_fd int allow = -1;
	int r;

	if (program < 0)
		return program;
	r = bpf_prog_get_info_by_fd(program, &info, &size);
	if (r)
		return r;
	for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++) {
		struct bpf_map_info map_info = { 0 };
		int map = bpf_map_get_fd_by_id(maps[i]);

		if (map < 0)
			return map;
		size = sizeof(map_info);
		r = bpf_map_get_info_by_fd(map, &map_info, &size);
		if (!r && values < 0 && !strcmp(map_info.name, OPTIONS_VALUES)) {
			values = map;
			btf_id = map_info.btf_id;
		} else if (!r && allow < 0 && !strcmp(map_info.name, OPTIONS_ALLOW)) {
			allow = map;
		} else {
			close(map);
		}
		if (r)
			return r;
	}
	r = read_options(attached, values, btf_id, allow);
	if (!r)
		values = allow = -1;
	return r;
}

int attached_refresh(struct attached *attached, int link, struct sbus_error *error)
{
	struct attached fresh = { .options.values = -1, .options.allow = -1 };
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info), program = 0;
	int r;

	r = bpf_link_get_info_by_fd(link, &info, &size);
	if (r)
		return sbus_error_set(error, r, "the kernel does not say what is attached: %s",
				      strerrordesc_np(-r));
	if (info.type != BPF_LINK_TYPE_STRUCT_OPS)
		return sbus_error_set(error, -EINVAL, "this BPF link is of another kind than a router");
	fresh.map = info.struct_ops.map_id;
	if (!fresh.map)
		return sbus_error_set(error, -ENOLINK, "the router was detached: attach another one");
	if (fresh.map == attached->map)
		return 0;
	r = read_map(&fresh, fresh.map, &program);
	r = r ? r : read_program(&fresh, program);
	if (r == -EPERM)
		return sbus_error_set(error, r, "what is attached cannot be seen: that needs CAP_SYS_ADMIN: do it as root");
	if (r)
		return sbus_error_set(error, r, "this BPF link is not a router, or the symphony module another than this library's: %s",
				      strerrordesc_np(-r));
	attached_deinit(attached);
	*attached = fresh;
	return 0;
}

void attached_deinit(struct attached *attached)
{
	options_deinit(&attached->options);
}
