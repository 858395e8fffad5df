// SPDX-License-Identifier: MIT
/* Extensions by id: resolving, claiming. */
#include "service.h"

#include <stdlib.h>

#include "error.h"

static struct service **bucket(struct sbus *bus, const char *id)
{
	return &bus->by_name[sbus_method_id(id) % SERVICE_BUCKETS];
}

struct service *service_find_locked(struct sbus *bus, const char *id)
{
	struct service *service = bus->recent;

	if (likely(service && !strcmp(service->id, id)))
		return service;
	for (service = *bucket(bus, id); service; service = service->next)
		if (!strcmp(service->id, id))
			return bus->recent = service;
	return NULL;
}

static int add_locked(struct sbus *bus, const char *id, uint64_t handle, struct service **ret)
{
	struct service *service = service_find_locked(bus, id);
	struct service **first = bucket(bus, id);

	if (!service) {
		service = calloc(1, sizeof(*service));
		if (!service || idmap_set(&bus->by_handle, handle, service)) {
			free(service);
			return -ENOMEM;
		}
		strcpy(service->id, id);
		service->handle = handle;
		list_init(&service->waiting);
		list_init(&service->blocked);
		service->next = *first;
		*first = service;
	}
	*ret = service;
	return 0;
}

static int ask(struct sbus *bus, unsigned long operation, const char *id, struct service **service)
{
	struct symphony_service arg = {
		.size = sizeof(arg),
		.name = (uintptr_t)id,
		.name_len = strlen(id),
	};
	int r;

	if (atomic_load_explicit(&bus->closed, memory_order_relaxed))
		return -ESHUTDOWN;
	r = bus_ioctl(bus, operation, &arg);
	if (r)
		return r;
	bus_lock(bus);
	r = add_locked(bus, id, arg.handle, service);
	bus_unlock(bus);
	return r;
}

static int invalid(const char *id, struct sbus_error *error)
{
	return sbus_error_set(error, -EINVAL, "\"%s\" cannot be the id of an extension: a letter a-z, then at most %d of a-z 0-9 _ . -",
			      id ? id : "", SBUS_NAME_MAX - 1);
}

int service_resolve(struct sbus *bus, const char *id, struct service **service,
		    struct sbus_error *error)
{
	int r;

	if (!id || !bus_name_valid(id))
		return invalid(id, error);
	r = ask(bus, SYMPHONY_IOC_RESOLVE, id, service);
	return r ? error_call(error, bus, id, 0, r, 0) : 0;
}

struct service *service_by_handle(struct sbus *bus, uint64_t handle)
{
	struct service *service;

	bus_lock(bus);
	service = idmap_get(&bus->by_handle, handle);
	bus_unlock(bus);
	return service;
}

void service_free_all(struct sbus *bus)
{
	idmap_for_each(slot, &bus->by_handle)
		free(slot->value);
}

SBUS_API int sbus_claim(struct sbus *bus, const char *extension, struct sbus_error *error)
{
	struct service *service;
	int r;

	if (!extension || !bus_name_valid(extension))
		return invalid(extension, error);
	/* Counted first: from the claim on, room must not lie idle (release.h). */
	atomic_fetch_add(&bus->claims, 1);
	r = ask(bus, SYMPHONY_IOC_CLAIM, extension, &service);
	if (!r)
		return 0;
	atomic_fetch_sub(&bus->claims, 1);
	switch (-r) {
	case EACCES:
		sbus_error_set(error, r, "\"%s\" was not claimed: the mode of bus \"%s\" lets you call, not claim",
			       extension, bus->name);
		break;
	case EPERM:
		sbus_error_set(error, r, "\"%s\" was not claimed: on bus \"%s\" it belongs to another user",
			       extension, bus->name);
		break;
	case EALREADY:
		sbus_error_set(error, r, "\"%s\" is claimed by this connection already", extension);
		break;
	default:
		sbus_error_set(error, r, "\"%s\" was not claimed: %s", extension,
			       error_text(r));
	}
	error_extension(error, extension);
	return r;
}

SBUS_API int sbus_unclaim(struct sbus *bus, const char *extension)
{
	struct symphony_service arg = { .size = sizeof(arg) };
	struct service *service;
	int r;

	bus_lock(bus);
	service = service_find_locked(bus, extension);
	bus_unlock(bus);
	if (!service)
		return -ENOENT;
	arg.handle = service->handle;
	r = bus_ioctl(bus, SYMPHONY_IOC_UNCLAIM, &arg);
	if (!r)
		atomic_fetch_sub(&bus->claims, 1);
	return r;
}
