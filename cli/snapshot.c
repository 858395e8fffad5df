// SPDX-License-Identifier: MIT
/* What there is on the buses, all of it at hand: lists of the kernel's, copied and sorted. */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/*
 * One more at the end of an array. What the library knows of it can be more than
 * this program does, or less: then the rest is 0.
 */
static void *append(void *array, size_t *nr, size_t size, const void *info)
{
	size_t known = *(const size_t *)info;
	void **items = array;
	char *grown;

	grown = reallocarray(*items, *nr + 1, size);
	if (!grown)
		return NULL;
	*items = grown;
	grown += *nr * size;
	memset(grown, 0, size);
	memcpy(grown, info, known < size ? known : size);
	++*nr;
	return grown;
}

static bool own(const char **text)
{
	if (*text)
		*text = strdup(*text);
	return *text;
}

static int add_bus(const struct sbus_bus_info *info, void *userdata)
{
	struct snapshot *snapshot = userdata;
	struct sbus_bus_info *bus;

	bus = append(&snapshot->buses, &snapshot->nr_buses, sizeof(*bus), info);
	return bus && own(&bus->name) ? 0 : -ENOMEM;
}

static int add_endpoint(const struct sbus_endpoint_info *info, void *userdata)
{
	struct snapshot *snapshot = userdata;
	struct sbus_endpoint_info *endpoint;

	endpoint = append(&snapshot->endpoints, &snapshot->nr_endpoints, sizeof(*endpoint), info);
	return endpoint && own(&endpoint->bus) ? 0 : -ENOMEM;
}

static int add_service(const struct sbus_service_info *info, void *userdata)
{
	struct snapshot *snapshot = userdata;
	struct sbus_service_info *service;
	bool owned;

	service = append(&snapshot->services, &snapshot->nr_services, sizeof(*service), info);
	if (!service)
		return -ENOMEM;
	owned = own(&service->bus);
	return own(&service->name) && owned ? 0 : -ENOMEM;
}

static int add_replica(const struct sbus_replica_info *info, void *userdata)
{
	struct snapshot *snapshot = userdata;
	struct sbus_replica_info *replica;
	bool owned;

	replica = append(&snapshot->replicas, &snapshot->nr_replicas, sizeof(*replica), info);
	if (!replica)
		return -ENOMEM;
	owned = own(&replica->bus);
	return own(&replica->service) && owned ? 0 : -ENOMEM;
}

static int add_program(const struct sbus_program_info *info, void *userdata)
{
	struct snapshot *snapshot = userdata;
	struct sbus_program_info *program;
	bool owned;

	program = append(&snapshot->programs, &snapshot->nr_programs, sizeof(*program), info);
	if (!program)
		return -ENOMEM;
	owned = own(&program->bus);
	owned = (own(&program->service) || !info->service) && owned;
	return (own(&program->disabled) || !info->disabled) && owned ? 0 : -ENOMEM;
}

/* --- the order ------------------------------------------------------------ */

static int compare(const char *bus, uint64_t id, const char *service, const char *other_bus,
		   uint64_t other_id, const char *other_service)
{
	int r = strcmp(bus, other_bus);

	r = r ? r : (id > other_id) - (id < other_id);
	return r ? r : strcmp(service ? service : "", other_service ? other_service : "");
}

static int compare_buses(const void *one, const void *two)
{
	const struct sbus_bus_info *a = one, *b = two;

	return compare(a->name, a->id, NULL, b->name, b->id, NULL);
}

static int compare_endpoints(const void *one, const void *two)
{
	const struct sbus_endpoint_info *a = one, *b = two;
	int r = compare(a->bus, a->bus_id, NULL, b->bus, b->bus_id, NULL);

	return r ? r : (a->id > b->id) - (a->id < b->id);
}

static int compare_services(const void *one, const void *two)
{
	const struct sbus_service_info *a = one, *b = two;

	return compare(a->bus, a->bus_id, a->name, b->bus, b->bus_id, b->name);
}

static int compare_replicas(const void *one, const void *two)
{
	const struct sbus_replica_info *a = one, *b = two;
	int r = compare(a->bus, a->bus_id, a->service, b->bus, b->bus_id, b->service);

	return r ? r : (a->endpoint > b->endpoint) - (a->endpoint < b->endpoint);
}

static int compare_programs(const void *one, const void *two)
{
	const struct sbus_program_info *a = one, *b = two;
	int r = compare(a->bus, a->bus_id, a->service, b->bus, b->bus_id, b->service);

	return r ? r : (a->hook > b->hook) - (a->hook < b->hook);
}

static void sort(void *items, size_t nr, size_t size, int (*compared)(const void *, const void *))
{
	if (nr)
		qsort(items, nr, size, compared);
}

/* --- taking it ------------------------------------------------------------ */

static int fill(struct snapshot *snapshot, struct sbus_control *control, const char *bus,
		unsigned int parts, struct sbus_error *error)
{
	int r = 0;

	/* Of a bus that is named it has to be known whether it is there. */
	if (bus || parts & SNAPSHOT_BUSES)
		r = sbus_list_buses(control, bus, add_bus, snapshot, error);
	if (!r && bus && !snapshot->nr_buses)
		return sbus_error_set(error, -ENOENT, "there is no bus \"%s\" in this network namespace that this user may join: a bus is there while somebody is on it",
				      bus);
	if (!r && parts & SNAPSHOT_ENDPOINTS)
		r = sbus_list_endpoints(control, bus, add_endpoint, snapshot, error);
	if (!r && parts & SNAPSHOT_SERVICES)
		r = sbus_list_services(control, bus, add_service, snapshot, error);
	if (!r && parts & SNAPSHOT_REPLICAS)
		r = sbus_list_replicas(control, bus, add_replica, snapshot, error);
	if (!r && parts & SNAPSHOT_PROGRAMS)
		r = sbus_list_programs(control, bus, add_program, snapshot, error);
	return r;
}

int snapshot_take(struct snapshot *snapshot, const char *bus, unsigned int parts,
		  struct sbus_error *error)
{
	struct sbus_control *control;
	int r = sbus_control_open(&control, error);

	*snapshot = (struct snapshot){ 0 };
	if (r)
		return r;
	r = fill(snapshot, control, bus, parts, error);
	sbus_control_close(control);
	if (r) {
		snapshot_free(snapshot);
		if (error && !error->error)
			sbus_error_set(error, r, "%s", strerrordesc_np(-r));
		return r;
	}
	sort(snapshot->buses, snapshot->nr_buses, sizeof(*snapshot->buses), compare_buses);
	sort(snapshot->endpoints, snapshot->nr_endpoints, sizeof(*snapshot->endpoints),
	     compare_endpoints);
	sort(snapshot->services, snapshot->nr_services, sizeof(*snapshot->services),
	     compare_services);
	sort(snapshot->replicas, snapshot->nr_replicas, sizeof(*snapshot->replicas),
	     compare_replicas);
	sort(snapshot->programs, snapshot->nr_programs, sizeof(*snapshot->programs),
	     compare_programs);
	return 0;
}

static void disown(const char *text)
{
	free((void *)text);
}

void snapshot_free(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->nr_buses; i++)
		disown(snapshot->buses[i].name);
	for (size_t i = 0; i < snapshot->nr_endpoints; i++)
		disown(snapshot->endpoints[i].bus);
	for (size_t i = 0; i < snapshot->nr_services; i++) {
		disown(snapshot->services[i].bus);
		disown(snapshot->services[i].name);
	}
	for (size_t i = 0; i < snapshot->nr_replicas; i++) {
		disown(snapshot->replicas[i].bus);
		disown(snapshot->replicas[i].service);
	}
	for (size_t i = 0; i < snapshot->nr_programs; i++) {
		disown(snapshot->programs[i].bus);
		disown(snapshot->programs[i].service);
		disown(snapshot->programs[i].disabled);
	}
	free(snapshot->buses);
	free(snapshot->endpoints);
	free(snapshot->services);
	free(snapshot->replicas);
	free(snapshot->programs);
	*snapshot = (struct snapshot){ 0 };
}

/* --- looking into it ------------------------------------------------------ */

const struct sbus_endpoint_info *snapshot_endpoint(const struct snapshot *snapshot, uint64_t bus,
						   uint64_t id)
{
	for (size_t i = 0; i < snapshot->nr_endpoints; i++)
		if (snapshot->endpoints[i].bus_id == bus && snapshot->endpoints[i].id == id)
			return &snapshot->endpoints[i];
	return NULL;
}

const struct sbus_program_info *snapshot_program(const struct snapshot *snapshot, uint64_t bus,
						 const char *service, uint32_t hook)
{
	for (size_t i = 0; i < snapshot->nr_programs; i++) {
		const struct sbus_program_info *program = &snapshot->programs[i];

		if (program->bus_id == bus && program->hook == hook &&
		    !strcmp(program->service ? program->service : "", service ? service : ""))
			return program;
	}
	return NULL;
}

const char *snapshot_recovery(const struct sbus_service_info *service)
{
	return service->reissue ? "reissue" : service->requeue ? "requeue" : "fail";
}

const char *snapshot_hook(uint32_t hook)
{
	static const char *const names[] = {
		[SBUS_HOOK_ADMIT] = "admit",
		[SBUS_HOOK_ROUTE] = "route",
		[SBUS_HOOK_SHADOW] = "shadow",
	};

	return hook < NR(names) ? names[hook] : "?";
}
