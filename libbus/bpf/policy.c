// SPDX-License-Identifier: MIT
/* A policy: an object file with one program, loaded for a bus and service. */
#include "policy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/symphony_bpf.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "acl.skel.h"
#include "canary.skel.h"
#include "consistent_hash.skel.h"
#include "deadline_shed.skel.h"
#include "least_loaded.skel.h"
#include "log.h"
#include "options.h"
#include "round_robin.skel.h"

#define POLICIES(X) \
	X(acl) X(canary) X(consistent_hash) X(deadline_shed) X(least_loaded) \
	X(round_robin)

#define LISTED(name) " " #name

static const struct shipped {
	const char *name;
	const void *(*bytes)(size_t *size);
} shipped[] = {
#define SHIPPED(name) { #name, name##__elf_bytes },
	POLICIES(SHIPPED)
#undef SHIPPED
};

SBUS_API const char *const *sbus_router_policies(void)
{
#define NAME(name) #name,
	static const char *const names[] = { POLICIES(NAME) NULL };
#undef NAME

	return names;
}

/* --- what is missing ------------------------------------------------------ */

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

/* Whether a program can be loaded here at all. */
static int check_kernel(const char *name, struct sbus_error *error)
{
	if (!is_there("/sys/module/symphony"))
		return sbus_error_set(error, -ENODEV, "policy \"%s\" was not loaded: the symphony module is not: modprobe symphony",
				      name);
	if (!is_there("/sys/kernel/btf/vmlinux"))
		return sbus_error_set(error, -ENOTSUP, "policy \"%s\" was not loaded: this kernel was built without BTF (CONFIG_DEBUG_INFO_BTF): boot one that has it",
				      name);
	if (!is_there("/sys/kernel/btf/symphony"))
		return sbus_error_set(error, -ENOTSUP, "policy \"%s\" was not loaded: the symphony module was built without BTF, or for a kernel other than this: build it here, with pahole (dwarves) installed",
				      name);
	return 0;
}

static bool capable(unsigned int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	return !syscall(SYS_capget, &header, data) &&
	       data[capability / 32].effective & 1U << capability % 32;
}

/* libbpf has errors of its own, of which all say that it is no such object file. */
static int error_of(int r)
{
	return r <= -__LIBBPF_ERRNO__START ? -EINVAL : r;
}

static int load_failed(const char *name, int r, struct log *log, struct sbus_error *error)
{
	const char *said = log_tail(log);

	r = error_of(r);
	/* Without it, libbpf does not even find the module's types. */
	if (!capable(CAP_SYS_ADMIN))
		return sbus_error_set(error, -EPERM, "policy \"%s\" was not loaded: that needs CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN: do it as root",
				      name);
	if (said && strstr(log->text, "not found in kernel"))
		return sbus_error_set(error, -ENOTSUP, "policy \"%s\" was not loaded: the symphony module that is loaded is too old for it: install the one that belongs to it; %s",
				      name, said);
	return sbus_error_set(error, r, "policy \"%s\" was not loaded: %s; %s", name,
			      strerrordesc_np(-r), said ? said : "libbpf says nothing");
}

/* --- opening -------------------------------------------------------------- */

static const struct shipped *find(const char *name)
{
	for (size_t i = 0; i < sizeof(shipped) / sizeof(shipped[0]); i++)
		if (!strcmp(shipped[i].name, name))
			return &shipped[i];
	return NULL;
}

static int open_object(struct policy *policy, const char *name, struct log *log,
		       struct sbus_error *error)
{
	const struct shipped *known = find(name);
	const char *said;
	const void *bytes;
	size_t size;
	int r;

	if (!known && !strpbrk(name, "/."))
		return sbus_error_set(error, -ENOENT, "there is no policy \"%s\": there are" POLICIES(LISTED) "; for an object file of yours give its path, as ./%s.bpf.o",
				      name, name);
	if (known) {
		bytes = known->bytes(&size);
		policy->object = bpf_object__open_mem(bytes, size, NULL);
	} else {
		policy->object = bpf_object__open_file(name, NULL);
	}
	if (policy->object)
		return 0;
	r = error_of(-errno);
	said = log_tail(log);
	return sbus_error_set(error, r, "policy \"%s\" was not opened: %s; %s", name,
			      strerrordesc_np(-r), said ? said : "libbpf says nothing");
}

static int find_ops(struct policy *policy, const char *name, struct sbus_error *error)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, policy->object) {
		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		if (policy->ops)
			return sbus_error_set(error, -EINVAL, "\"%s\" has more than one struct_ops map (%s, %s): one object file for each policy",
					      name, bpf_map__name(policy->ops), bpf_map__name(map));
		policy->ops = map;
	}
	if (!policy->ops)
		return sbus_error_set(error, -EINVAL, "\"%s\" has no struct symphony_route_ops or symphony_admit_ops in \".struct_ops.link\"",
				      name);
	return 0;
}

/* The member @name of what @policy's map begins as, and how long it is; or NULL. */
static char *member_of(struct policy *policy, const struct btf *btf, const struct btf_type *type,
		       const char *name, size_t *len)
{
	const struct btf_member *member = btf_members(type);
	size_t size;
	char *ops = bpf_map__initial_value(policy->ops, &size);

	for (int i = 0; i < btf_vlen(type); i++, member++) {
		uint32_t offset = btf_member_bit_offset(type, i) / 8;
		int64_t resolved;

		if (strcmp(btf__name_by_offset(btf, member->name_off), name))
			continue;
		resolved = btf__resolve_size(btf, member->type);
		if (resolved <= 0 || (size_t)(offset + resolved) > size)
			return NULL;
		*len = resolved;
		return ops + offset;
	}
	return NULL;
}

static int write_name(struct policy *policy, const struct btf *btf, const struct btf_type *type,
		      const char *name, const char *value)
{
	size_t len;
	char *to = member_of(policy, btf, type, name, &len);

	if (!to || len <= strlen(value))
		return -EINVAL;
	memset(to, 0, len);
	memcpy(to, value, strlen(value));
	return 0;
}

static int write_shadow(struct policy *policy, const struct btf *btf, const struct btf_type *type,
			bool shadow)
{
	uint32_t flags;
	size_t len;
	char *to = member_of(policy, btf, type, "flags", &len);

	if (!to || len != sizeof(flags))
		return -EINVAL;
	memcpy(&flags, to, len);
	flags |= shadow ? SYMPHONY_ROUTE_SHADOW : 0;
	memcpy(to, &flags, len);
	policy->hook = flags & SYMPHONY_ROUTE_SHADOW ? SBUS_HOOK_SHADOW : SBUS_HOOK_ROUTE;
	return 0;
}

static int aim(struct policy *policy, const char *bus, const char *service, const char *name,
	       bool shadow, struct sbus_error *error)
{
	const struct btf *btf = bpf_object__btf(policy->object);
	const struct btf_type *type;
	const char *type_name;
	bool admits;
	int id = btf__find_by_name_kind(btf, bpf_map__name(policy->ops), BTF_KIND_VAR);

	type = id < 0 ? NULL : btf__type_by_id(btf, btf__resolve_type(btf, id));
	type_name = type ? btf__name_by_offset(btf, type->name_off) : "";
	policy->hook = SBUS_HOOK_ADMIT;
	admits = !strcmp(type_name, "symphony_admit_ops");
	if (!admits && strcmp(type_name, "symphony_route_ops"))
		return sbus_error_set(error, -EINVAL, "\"%s\" is of struct \"%s\", not symphony_route_ops or symphony_admit_ops",
				      name, type_name);
	if (write_name(policy, btf, type, "bus", bus) ||
	    write_name(policy, btf, type, "service", service ? service : ""))
		return sbus_error_set(error, -EINVAL, "bus \"%s\" or service \"%s\" cannot be a name: at most %d characters",
				      bus, service ? service : "", SBUS_NAME_MAX);
	if (admits && shadow)
		return sbus_error_set(error, -EINVAL, "policy \"%s\" says who may call: only one that chooses replicas can be a shadow",
				      name);
	if (!admits && write_shadow(policy, btf, type, shadow))
		return sbus_error_set(error, -EINVAL, "policy \"%s\" was built without the member \"flags\": build it with the header of this library's version",
				      name);
	return 0;
}

/* --- loading -------------------------------------------------------------- */

static int duplicate(const struct bpf_object *object, const char *name)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map ? fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3) : -1;
}

static int set_options(const struct policy *policy, const char *bus, const char *text,
		       struct sbus_error *error)
{
	const char *name = bpf_map__name(policy->ops);
	int values = duplicate(policy->object, OPTIONS_VALUES);
	int allow = duplicate(policy->object, OPTIONS_ALLOW);
	struct options options;
	int r;

	r = options_init(&options, bpf_object__btf(policy->object), values, allow);
	if (r)
		sbus_error_set(error, r, "the options of policy \"%s\" are not known: no BTF of them",
			       name);
	else
		r = options_set(&options, name, bus, text, error);
	options_deinit(&options);
	return r;
}

static int load(struct policy *policy, const char *bus, const char *service, const char *name,
		bool shadow, struct log *log, struct sbus_error *error)
{
	int r;

	r = open_object(policy, name, log, error);
	if (r)
		return r;
	r = find_ops(policy, name, error);
	if (r)
		return r;
	r = aim(policy, bus, service, name, shadow, error);
	if (r)
		return r;
	r = bpf_object__load(policy->object);
	return r ? load_failed(name, r, log, error) : 0;
}

int policy_load(struct policy *policy, const char *bus, const char *service, const char *name,
		const char *options, bool shadow, struct sbus_error *error)
{
	struct log log;
	int r;

	*policy = (struct policy){ 0 };
	r = check_kernel(name, error);
	if (r)
		return r;
	log_begin(&log);
	r = load(policy, bus, service, name, shadow, &log, error);
	log_end();
	r = r ? r : set_options(policy, bus, options, error);
	if (r)
		policy_deinit(policy);
	return r;
}

void policy_deinit(struct policy *policy)
{
	bpf_object__close(policy->object);
}
