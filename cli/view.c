// SPDX-License-Identifier: MIT
/* How what there is looks: objects of JSON, and rows of tables. */
#include "view.h"

#include <inttypes.h>
#include <pwd.h>
#include <string.h>

/* --- words ---------------------------------------------------------------- */

const char *view_user(uid_t uid)
{
	static char text[32];
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(text, sizeof(text), "%s", user->pw_name);
	else
		snprintf(text, sizeof(text), "%u", uid);
	return text;
}

const char *view_command(pid_t pid)
{
	static char text[32];
	char path[48];
	FILE *file;

	strcpy(text, "-");
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = pid ? fopen(path, "re") : NULL;
	if (!file)
		return text;
	if (!fgets(text, sizeof(text), file))
		strcpy(text, "-");
	fclose(file);
	text[strcspn(text, "\n")] = 0;
	return text;
}

const char *view_bytes(uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	static char text[32];
	double size = bytes;
	int unit = 0;

	for (; size >= 1024 && units[unit + 1]; unit++)
		size /= 1024;
	snprintf(text, sizeof(text), unit ? "%.1f%c" : "%.0f%c", size, units[unit]);
	return text;
}

const char *view_programs(const struct snapshot *snapshot, uint64_t bus, const char *service)
{
	static char text[32];

	*text = 0;
	for (uint32_t hook = 0; hook <= SBUS_HOOK_SHADOW; hook++) {
		if (!snapshot_program(snapshot, bus, service, hook))
			continue;
		strcat(text, *text ? "," : "");
		strcat(text, snapshot_hook(hook));
	}
	return *text ? text : "-";
}

uint64_t view_failed(const struct sbus_service_info *service)
{
	return service->timeouts + service->cancels + service->resets + service->others +
	       service->refusals;
}

uint64_t view_ended(const struct sbus_service_info *service)
{
	return service->replies + view_failed(service);
}

const char *view_percentile(char text[32], const uint64_t times[SBUS_TIME_BUCKETS],
			    unsigned int percent)
{
	uint64_t sum = 0, count = 0;

	for (int i = 0; i < SBUS_TIME_BUCKETS; i++)
		sum += times[i];
	for (int i = 0; sum && i < SBUS_TIME_BUCKETS; i++) {
		count += times[i];
		if (count * 100 >= sum * percent)
			return cli_duration(text, 2048ULL << i);
	}
	return strcpy(text, "-");
}

struct view_sum view_sum(const struct snapshot *snapshot, const struct sbus_service_info *service)
{
	struct view_sum sum = { .load = service->parked };

	for (size_t i = 0; i < snapshot->nr_replicas; i++) {
		const struct sbus_replica_info *replica = &snapshot->replicas[i];
		const struct sbus_endpoint_info *endpoint;

		if (replica->bus_id != service->bus_id || replica->handle != service->handle)
			continue;
		sum.load += replica->load;
		sum.draining += replica->draining;
		endpoint = snapshot_endpoint(snapshot, replica->bus_id, replica->endpoint);
		if (!endpoint)
			continue;
		sum.queued += endpoint->queued;
		sum.calls += endpoint->calls;
		sum.pool_size += endpoint->pool_size;
		sum.pool_used += endpoint->pool_used;
	}
	return sum;
}

/* --- objects -------------------------------------------------------------- */

yyjson_mut_val *view_bus(yyjson_mut_doc *doc, const struct sbus_bus_info *bus)
{
	yyjson_mut_val *object = yyjson_mut_obj(doc);

	yyjson_mut_obj_add_strcpy(doc, object, "bus", bus->name);
	yyjson_mut_obj_add_uint(doc, object, "bus_id", bus->id);
	yyjson_mut_obj_add_uint(doc, object, "uid", bus->uid);
	yyjson_mut_obj_add_uint(doc, object, "gid", bus->gid);
	yyjson_mut_obj_add_uint(doc, object, "mode", bus->mode);
	yyjson_mut_obj_add_uint(doc, object, "endpoints", bus->nr_endpoints);
	yyjson_mut_obj_add_uint(doc, object, "services", bus->nr_services);
	return object;
}

yyjson_mut_val *view_endpoint(yyjson_mut_doc *doc, const struct sbus_endpoint_info *endpoint)
{
	yyjson_mut_val *object = yyjson_mut_obj(doc);

	yyjson_mut_obj_add_strcpy(doc, object, "bus", endpoint->bus);
	yyjson_mut_obj_add_uint(doc, object, "endpoint", endpoint->id);
	yyjson_mut_obj_add_uint(doc, object, "pid", endpoint->pid);
	yyjson_mut_obj_add_strcpy(doc, object, "command", view_command(endpoint->pid));
	yyjson_mut_obj_add_uint(doc, object, "uid", endpoint->uid);
	yyjson_mut_obj_add_uint(doc, object, "load", endpoint->load);
	yyjson_mut_obj_add_uint(doc, object, "queued", endpoint->queued);
	yyjson_mut_obj_add_uint(doc, object, "calls", endpoint->calls);
	yyjson_mut_obj_add_uint(doc, object, "pool_size", endpoint->pool_size);
	yyjson_mut_obj_add_uint(doc, object, "pool_used", endpoint->pool_used);
	return object;
}

yyjson_mut_val *view_replica(yyjson_mut_doc *doc, const struct snapshot *snapshot,
			     const struct sbus_replica_info *replica)
{
	const struct sbus_endpoint_info *endpoint =
		snapshot_endpoint(snapshot, replica->bus_id, replica->endpoint);
	yyjson_mut_val *object;

	if (endpoint) {
		object = view_endpoint(doc, endpoint);
	} else {
		object = yyjson_mut_obj(doc);
		yyjson_mut_obj_add_strcpy(doc, object, "bus", replica->bus);
		yyjson_mut_obj_add_uint(doc, object, "endpoint", replica->endpoint);
		yyjson_mut_obj_add_uint(doc, object, "load", replica->load);
	}
	yyjson_mut_obj_add_strcpy(doc, object, "service", replica->service);
	yyjson_mut_obj_add_bool(doc, object, "draining", replica->draining);
	return object;
}

static void add_times(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key,
		      const uint64_t times[SBUS_TIME_BUCKETS])
{
	yyjson_mut_val *array = yyjson_mut_obj_add_arr(doc, object, key);

	for (int i = 0; i < SBUS_TIME_BUCKETS; i++)
		yyjson_mut_arr_add_uint(doc, array, times[i]);
}

static void add_counters(yyjson_mut_doc *doc, yyjson_mut_val *object,
			 const struct sbus_service_info *service)
{
	yyjson_mut_obj_add_uint(doc, object, "replies", service->replies);
	yyjson_mut_obj_add_uint(doc, object, "error_replies", service->error_replies);
	yyjson_mut_obj_add_uint(doc, object, "timeouts", service->timeouts);
	yyjson_mut_obj_add_uint(doc, object, "cancels", service->cancels);
	yyjson_mut_obj_add_uint(doc, object, "resets", service->resets);
	yyjson_mut_obj_add_uint(doc, object, "others", service->others);
	yyjson_mut_obj_add_uint(doc, object, "refusals", service->refusals);
	yyjson_mut_obj_add_uint(doc, object, "request_bytes", service->request_bytes);
	yyjson_mut_obj_add_uint(doc, object, "answer_bytes", service->answer_bytes);
	add_times(doc, object, "queue_times", service->queue_times);
	add_times(doc, object, "service_times", service->service_times);
}

yyjson_mut_val *view_service(yyjson_mut_doc *doc, const struct snapshot *snapshot,
			     const struct sbus_service_info *service)
{
	const struct view_sum sum = view_sum(snapshot, service);
	yyjson_mut_val *object = yyjson_mut_obj(doc), *replicas, *programs;

	yyjson_mut_obj_add_strcpy(doc, object, "bus", service->bus);
	yyjson_mut_obj_add_strcpy(doc, object, "service", service->name);
	yyjson_mut_obj_add_uint(doc, object, "handle", service->handle);
	yyjson_mut_obj_add_uint(doc, object, "uid", service->uid);
	yyjson_mut_obj_add_str(doc, object, "recovery", snapshot_recovery(service));
	yyjson_mut_obj_add_bool(doc, object, "reserved", service->reserved);
	if (service->activator)
		yyjson_mut_obj_add_uint(doc, object, "activator", service->activator);
	else
		yyjson_mut_obj_add_null(doc, object, "activator");
	yyjson_mut_obj_add_uint(doc, object, "parked", service->parked);
	yyjson_mut_obj_add_uint(doc, object, "load", sum.load);
	yyjson_mut_obj_add_uint(doc, object, "queued", sum.queued);
	yyjson_mut_obj_add_uint(doc, object, "calls", sum.calls);
	add_counters(doc, object, service);
	programs = yyjson_mut_obj_add_arr(doc, object, "hooks");
	for (uint32_t hook = 0; hook <= SBUS_HOOK_SHADOW; hook++)
		if (snapshot_program(snapshot, service->bus_id, service->name, hook))
			yyjson_mut_arr_add_str(doc, programs, snapshot_hook(hook));
	replicas = yyjson_mut_obj_add_arr(doc, object, "replicas");
	for (size_t i = 0; i < snapshot->nr_replicas; i++) {
		const struct sbus_replica_info *replica = &snapshot->replicas[i];

		if (replica->bus_id == service->bus_id && replica->handle == service->handle)
			yyjson_mut_arr_add_val(replicas, view_replica(doc, snapshot, replica));
	}
	return object;
}

/* --- tables --------------------------------------------------------------- */

static void finish(struct table *table)
{
	table_print(table, stdout, cli_width());
	table_free(table);
}

void view_buses(const struct snapshot *snapshot)
{
	static const struct column columns[] = {
		{ "BUS", COLUMN_SHRINKS, 0 },
		{ "USER", 0, 0 },
		{ "MODE", COLUMN_RIGHT, 0 },
		{ "ENDPOINTS", COLUMN_RIGHT, 0 },
		{ "SERVICES", COLUMN_RIGHT, 0 },
		{ "POLICIES", 0, 1 },
		{ "ID", COLUMN_RIGHT, 2 },
	};
	struct table *table = table_new(columns, NR(columns));

	for (size_t i = 0; i < snapshot->nr_buses; i++) {
		const struct sbus_bus_info *bus = &snapshot->buses[i];

		table_cell(table, "%s", bus->name);
		table_cell(table, "%s", view_user(bus->uid));
		table_cell(table, "%04o", bus->mode);
		table_cell(table, "%u", bus->nr_endpoints);
		table_cell(table, "%u", bus->nr_services);
		table_cell(table, "%s", view_programs(snapshot, bus->id, NULL));
		table_cell(table, "%" PRIu64, bus->id);
	}
	finish(table);
}

void view_services(const struct snapshot *snapshot)
{
	static const struct column columns[] = {
		{ "BUS", COLUMN_SHRINKS, 0 },
		{ "SERVICE", COLUMN_SHRINKS, 0 },
		{ "REPLICAS", COLUMN_RIGHT, 0 },
		{ "LOAD", COLUMN_RIGHT, 0 },
		{ "ANSWERED", COLUMN_RIGHT, 1 },
		{ "FAILED", COLUMN_RIGHT, 1 },
		{ "USER", 0, 2 },
		{ "RECOVERY", 0, 3 },
		{ "POLICIES", 0, 2 },
		{ "CLAIM", 0, 4 },
		{ "ACTIVATOR", COLUMN_RIGHT, 4 },
		{ "HANDLE", COLUMN_RIGHT, 4 },
	};
	struct table *table = table_new(columns, NR(columns));

	for (size_t i = 0; i < snapshot->nr_services; i++) {
		const struct sbus_service_info *service = &snapshot->services[i];

		table_cell(table, "%s", service->bus);
		table_cell(table, "%s", service->name);
		table_cell(table, "%u", service->nr_replicas);
		table_cell(table, "%" PRIu64, view_sum(snapshot, service).load);
		table_cell(table, "%" PRIu64, service->replies);
		table_cell(table, "%" PRIu64, view_failed(service));
		table_cell(table, "%s", view_user(service->uid));
		table_cell(table, "%s", snapshot_recovery(service));
		table_cell(table, "%s", view_programs(snapshot, service->bus_id, service->name));
		table_cell(table, "%s", service->reserved ? "by grant" : "by user");
		table_cell(table, service->activator ? "%" PRIu64 : "-", service->activator);
		table_cell(table, "%u", service->handle);
	}
	finish(table);
}

static void endpoint_cells(struct table *table, const struct sbus_endpoint_info *endpoint)
{
	char used[32];

	snprintf(used, sizeof(used), "%s", view_bytes(endpoint->pool_used));
	table_cell(table, "%d", endpoint->pid);
	table_cell(table, "%s", view_command(endpoint->pid));
	table_cell(table, "%s", view_user(endpoint->uid));
	table_cell(table, "%u", endpoint->load);
	table_cell(table, "%u", endpoint->queued);
	table_cell(table, "%u", endpoint->calls);
	table_cell(table, "%s/%s", used, view_bytes(endpoint->pool_size));
}

void view_endpoints(const struct snapshot *snapshot)
{
	static const struct column columns[] = {
		{ "BUS", COLUMN_SHRINKS, 0 },
		{ "ENDPOINT", COLUMN_RIGHT, 0 },
		{ "PID", COLUMN_RIGHT, 0 },
		{ "COMMAND", 0, 1 },
		{ "USER", 0, 2 },
		{ "LOAD", COLUMN_RIGHT, 0 },
		{ "QUEUED", COLUMN_RIGHT, 0 },
		{ "CALLS", COLUMN_RIGHT, 0 },
		{ "POOL", COLUMN_RIGHT, 1 },
	};
	struct table *table = table_new(columns, NR(columns));

	for (size_t i = 0; i < snapshot->nr_endpoints; i++) {
		table_cell(table, "%s", snapshot->endpoints[i].bus);
		table_cell(table, "%" PRIu64, snapshot->endpoints[i].id);
		endpoint_cells(table, &snapshot->endpoints[i]);
	}
	finish(table);
}

/* Those whose endpoint died between two lists are left out. */
void view_replicas(const struct snapshot *snapshot, const struct sbus_service_info *service)
{
	static const struct column columns[] = {
		{ "BUS", COLUMN_SHRINKS, 0 },
		{ "SERVICE", COLUMN_SHRINKS, 0 },
		{ "ENDPOINT", COLUMN_RIGHT, 0 },
		{ "STATE", 0, 0 },
		{ "PID", COLUMN_RIGHT, 0 },
		{ "COMMAND", 0, 1 },
		{ "USER", 0, 4 },
		{ "LOAD", COLUMN_RIGHT, 0 },
		{ "QUEUED", COLUMN_RIGHT, 0 },
		{ "CALLS", COLUMN_RIGHT, 2 },
		{ "POOL", COLUMN_RIGHT, 3 },
	};
	struct table *table = table_new(columns, NR(columns));

	for (size_t i = 0; i < snapshot->nr_replicas; i++) {
		const struct sbus_replica_info *replica = &snapshot->replicas[i];
		const struct sbus_endpoint_info *endpoint =
			snapshot_endpoint(snapshot, replica->bus_id, replica->endpoint);

		if (!endpoint || (service && (replica->bus_id != service->bus_id ||
					      replica->handle != service->handle)))
			continue;
		table_cell(table, "%s", replica->bus);
		table_cell(table, "%s", replica->service);
		table_cell(table, "%" PRIu64, replica->endpoint);
		table_cell(table, "%s", replica->draining ? "draining" : "serves");
		endpoint_cells(table, endpoint);
	}
	finish(table);
}
