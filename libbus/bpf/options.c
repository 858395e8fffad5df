// SPDX-License-Identifier: MIT
/* Options of a program that is loaded: the variables and the list that it reads. */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <symphony/policy.h>

/* One of a text, checked: a variable's new value, or a change of the list. */
struct change {
	const struct option *option;	/* NULL: of the list */
	uint32_t value;
	bool deny;
	struct sbus_acl_key key;
};

/* The range is in a tag of the variable, "range:MIN:MAX". */
static void find_range(const struct btf *btf, uint32_t var, struct option *option)
{
	option->min = 0;
	option->max = UINT32_MAX;
	for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (btf_is_decl_tag(type) && type->type == var &&
		    sscanf(btf__name_by_offset(btf, type->name_off), "range:%u:%u",
			   &option->min, &option->max) == 2)
			return;
	}
}

int options_init(struct options *options, const struct btf *btf, int values, int allow)
{
	const struct btf_var_secinfo *info;
	const struct btf_type *section;
	int id;

	*options = (struct options){ .values = values, .allow = allow };
	if (values < 0)
		return 0;
	id = btf__find_by_name_kind(btf, OPTIONS_VALUES, BTF_KIND_DATASEC);
	if (id < 0)
		return -EINVAL;
	section = btf__type_by_id(btf, id);
	options->size = section->size;
	info = btf_var_secinfos(section);
	for (int i = 0; i < btf_vlen(section) && options->nr < OPTIONS_MAX; i++, info++) {
		const struct btf_type *var = btf__type_by_id(btf, info->type);
		struct option *option = &options->at[options->nr];

		if (info->size != sizeof(uint32_t) ||
		    info->offset + info->size > options->size)
			continue;
		snprintf(option->name, sizeof(option->name), "%s",
			 btf__name_by_offset(btf, var->name_off));
		option->offset = info->offset;
		find_range(btf, info->type, option);
		options->nr++;
	}
	return 0;
}

void options_deinit(struct options *options)
{
	if (options->values >= 0)
		close(options->values);
	if (options->allow >= 0)
		close(options->allow);
	options->values = options->allow = -1;
}

static int unknown(const struct options *options, const char *policy, const char *name,
		   struct sbus_error *error)
{
	char *known = NULL;
	size_t len;
	FILE *list = open_memstream(&known, &len);

	if (!list)
		return sbus_error_set(error, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < options->nr; i++)
		fprintf(list, "%s%s=%u..%u", i ? ", " : "", options->at[i].name,
			options->at[i].min, options->at[i].max);
	if (options->allow >= 0)
		fprintf(list, "%sallow and deny=UID:CALLER:SERVICE", options->nr ? ", " : "");
	fclose(list);
	sbus_error_set(error, -EINVAL, "policy \"%s\" has no option \"%s\"; it has %s", policy,
		       name, known && *known ? known : "none");
	free(known);
	return -EINVAL;
}

static const struct option *find(const struct options *options, const char *name)
{
	for (unsigned int i = 0; i < options->nr; i++)
		if (!strcmp(options->at[i].name, name))
			return &options->at[i];
	return NULL;
}

/* --- an acl's pairs ------------------------------------------------------- */

/* The handle of @id on the bus of that name, which is joined at the first. */
static int handle_of(struct sbus **bus, const char *name, const char *id, uint32_t *handle,
		     struct sbus_error *error)
{
	/* Nothing is sent: whose it is matters to the one that attaches. */
	const struct sbus_params params = {
		.size = sizeof(params), .flags = SBUS_OPEN_ANY_OWNER, .bus = name,
	};
	uint64_t found;
	int r = *bus ? 0 : sbus_open(bus, &params, error);

	r = r ? r : sbus_resolve(*bus, id, &found, error);
	if (!r)
		*handle = found;
	return r;
}

/* UID:CALLER:SERVICE, which is taken apart. */
static int parse_pair(struct change *change, struct sbus **bus, const char *name, char *value,
		      struct sbus_error *error)
{
	char *caller = strchr(value, ':'), *service = caller ? strchr(caller + 1, ':') : NULL;
	unsigned long long uid;
	char *end;
	int r = 0;

	errno = 0;
	uid = strtoull(value, &end, 10);
	if (!service || end != caller || *value < '0' || *value > '9' || errno ||
	    uid > UINT32_MAX)
		return sbus_error_set(error, -EINVAL, "\"%s\" is not UID:CALLER:SERVICE: a number; the id that the sender serves, or nothing; the id that it calls",
				      value);
	*caller++ = *service++ = 0;
	change->key.uid = uid;
	if (*caller)
		r = handle_of(bus, name, caller, &change->key.sender_service, error);
	return r ? r : handle_of(bus, name, service, &change->key.service, error);
}

/* --- setting -------------------------------------------------------------- */

static int parse_value(struct change *change, const char *policy, const char *name,
		       const char *value, struct sbus_error *error)
{
	const struct option *option = change->option;
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno || number < option->min ||
	    number > option->max)
		return sbus_error_set(error, -EINVAL, "option \"%s\" of policy \"%s\" cannot be \"%s\": a number from %u to %u",
				      name, policy, value, option->min, option->max);
	change->value = number;
	return 0;
}

/* Returns how many changes, or -errno. @text is taken apart. */
static int parse(const struct options *options, const char *policy, const char *bus_name,
		 char *text, struct change *changes, struct sbus_error *error)
{
	sbus_cleanup_bus struct sbus *bus = NULL;
	char *save, *name, *value;
	int nr = 0, r;

	for (name = strtok_r(text, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
		struct change *change = &changes[nr++];

		value = strchr(name, '=');
		if (!value)
			return sbus_error_set(error, -EINVAL, "option \"%s\" of policy \"%s\" has no value: NAME=VALUE",
					      name, policy);
		*value++ = 0;
		change->option = find(options, name);
		change->deny = !strcmp(name, "deny");
		if (change->option)
			r = parse_value(change, policy, name, value, error);
		else if (options->allow >= 0 && (change->deny || !strcmp(name, "allow")))
			r = parse_pair(change, &bus, bus_name, value, error);
		else
			r = unknown(options, policy, name, error);
		if (r)
			return r;
	}
	return nr;
}

static void *values_map(const struct options *options)
{
	return mmap(NULL, options->size, PROT_READ | PROT_WRITE, MAP_SHARED, options->values, 0);
}

static int apply_pair(const struct options *options, const struct change *change)
{
	int r;

	if (!change->deny)
		return bpf_map_update_elem(options->allow, &change->key, &(uint8_t){ 1 },
					   BPF_ANY);
	r = bpf_map_delete_elem(options->allow, &change->key);
	return r == -ENOENT ? 0 : r;
}

static int apply(const struct options *options, const char *policy, const struct change *change,
		 int nr, struct sbus_error *error)
{
	char *values = NULL;
	int r = 0;

	for (; nr-- && !r; change++) {
		if (change->option && !values) {
			values = values_map(options);
			if (values == MAP_FAILED)
				return sbus_error_set(error, -errno, "the options of policy \"%s\" cannot be written: %s",
						      policy, strerrordesc_np(errno));
		}
		if (change->option) {
			__atomic_store_n((uint32_t *)(values + change->option->offset),
					 change->value, __ATOMIC_RELAXED);
			continue;
		}
		r = apply_pair(options, change);
		if (r)
			sbus_error_set(error, r, "the list of policy \"%s\" was not changed: %s%s",
				       policy, strerrordesc_np(-r),
				       r == -E2BIG ? " (it is full)" : "");
	}
	if (values)
		munmap(values, options->size);
	return r;
}

int options_set(const struct options *options, const char *policy, const char *bus,
		const char *text, struct sbus_error *error)
{
	struct change *changes;
	char *copy;
	int r;

	if (!text || !*text)
		return 0;
	copy = strdup(text);
	/* As many as there can be: a name, "=", a value, a comma. */
	changes = calloc(strlen(text) / 2 + 1, sizeof(*changes));
	if (copy && changes) {
		r = parse(options, policy, bus, copy, changes, error);
		if (r > 0)
			r = apply(options, policy, changes, r, error);
	} else {
		r = sbus_error_set(error, -ENOMEM, "out of memory");
	}
	free(changes);
	free(copy);
	return r;
}

int options_get(const struct options *options, const char *policy, const char *name,
		uint32_t *value, struct sbus_error *error)
{
	const struct option *option = find(options, name);
	char *values;

	if (!option)
		return unknown(options, policy, name, error);
	values = values_map(options);
	if (values == MAP_FAILED)
		return sbus_error_set(error, -errno, "the options of policy \"%s\" cannot be read: %s",
				      policy, strerrordesc_np(errno));
	*value = __atomic_load_n((uint32_t *)(values + option->offset), __ATOMIC_RELAXED);
	munmap(values, options->size);
	return 0;
}

int options_text(const struct options *options, const char *policy, char **text,
		 struct sbus_error *error)
{
	FILE *to;
	size_t len;
	int r = 0;

	*text = NULL;
	to = open_memstream(text, &len);
	if (!to)
		return sbus_error_set(error, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < options->nr && !r; i++) {
		const char *name = options->at[i].name;
		uint32_t value;

		r = options_get(options, policy, name, &value, error);
		if (!r)
			fprintf(to, "%s%s=%u", i ? "," : "", name, value);
	}
	if (fclose(to) && !r)
		r = sbus_error_set(error, -ENOMEM, "out of memory");
	if (r)
		free(*text);
	return r;
}
