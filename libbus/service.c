// SPDX-License-Identifier: MIT
/* Extensions by id: resolving, claiming. */
#include "service.h"

#include <stdlib.h>
#include <unistd.h>

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

/* RESOLVE or CLAIM, with what else is in @arg. */
static int ask(struct sbus *bus, unsigned long operation, const char *id,
	       struct symphony_service *arg, struct service **service)
{
	int r;

	r = bus_state(bus);
	if (r)
		return r;
	arg->size = sizeof(*arg);
	arg->name = (uintptr_t)id;
	arg->name_len = strlen(id);
	r = bus_ioctl(bus, operation, arg);
	if (r)
		return r;
	bus_lock(bus);
	r = add_locked(bus, id, arg->handle, service);
	bus_unlock(bus);
	return r;
}

int service_resolve(struct sbus *bus, const char *id, struct service **service,
		    struct sbus_error *error)
{
	struct symphony_service arg = { 0 };
	int r = sbus_check_name(id, error);

	if (r)
		return r;
	r = ask(bus, SYMPHONY_IOC_RESOLVE, id, &arg, service);
	return r ? error_call(error, bus, id, 0, r, 0) : 0;
}

SBUS_API int sbus_resolve(struct sbus *bus, const char *extension, uint64_t *handle,
			  struct sbus_error *error)
{
	struct service *service;
	int r = service_resolve(bus, extension, &service, error);

	if (!r)
		*handle = service->handle;
	return r;
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

static int claim_failed(struct sbus *bus, const char *extension,
			const struct symphony_service *arg, int r, struct sbus_error *error)
{
	if (error_limit(error, r, arg->limit, "no claim of", extension)) {
		error_extension(error, extension);
		return r;
	}
	switch (-r) {
	case EACCES:
		sbus_error_set(error, r, "\"%s\" was not claimed: the mode of bus \"%s\" lets you call, not claim",
			       extension, bus->name);
		break;
	case EPERM:
		if (bus->pid != getpid()) {
			error_foreign(error, bus->name);
			break;
		}
		sbus_error_set(error, r, "\"%s\" was not claimed: on bus \"%s\" it belongs to another user, or needs a grant from who created the bus",
			       extension, bus->name);
		break;
	case EALREADY:
		sbus_error_set(error, r, "\"%s\" is claimed by this connection already", extension);
		break;
	case EBUSY:
		sbus_error_set(error, r, "\"%s\" has an activator already", extension);
		break;
	case ESRCH:
		sbus_error_set(error, r, "\"%s\" was not taken over: endpoint %llu is no replica of it",
			       extension, (unsigned long long)arg->endpoint);
		break;
	case EINVAL:
		sbus_error_set(error, r, "\"%s\" was not claimed: its replicas claimed it with another recovery, or the parameters are not possible",
			       extension);
		break;
	case EBADF:
		sbus_error_set(error, r, "\"%s\" was not claimed: descriptor %d is no grant",
			       extension, arg->grant);
		break;
	default:
		sbus_error_set(error, r, "\"%s\" was not claimed: %s", extension,
			       error_text(r));
	}
	error_extension(error, extension);
	return r;
}

/* Cancelled calls are always told: see notice.c. An activator has none to answer. */
static int claim_flags(const struct sbus_claim_params *params, uint32_t *flags)
{
	static const uint32_t recovery[] = {
		[SBUS_RECOVERY_FAIL] = 0,
		[SBUS_RECOVERY_REQUEUE] = SYMPHONY_CLAIM_REQUEUE,
		[SBUS_RECOVERY_REISSUE] = SYMPHONY_CLAIM_REQUEUE | SYMPHONY_CLAIM_REISSUE,
	};

	if (params->size < sizeof(*params) || params->recovery > SBUS_RECOVERY_REISSUE ||
	    (params->flags & ~(SBUS_CLAIM_TAKEOVER | SBUS_CLAIM_ACTIVATOR | SBUS_CLAIM_GRANT)))
		return -EINVAL;
	*flags = recovery[params->recovery];
	if (params->flags & SBUS_CLAIM_TAKEOVER)
		*flags |= SYMPHONY_CLAIM_TAKEOVER;
	if (params->flags & SBUS_CLAIM_GRANT)
		*flags |= SYMPHONY_CLAIM_GRANT;
	*flags |= params->flags & SBUS_CLAIM_ACTIVATOR ? SYMPHONY_CLAIM_ACTIVATOR :
							 SYMPHONY_CLAIM_NOTIFY;
	return 0;
}

SBUS_API int sbus_claim_with(struct sbus *bus, const char *extension,
			     const struct sbus_claim_params *params, struct sbus_error *error)
{
	static const struct sbus_claim_params defaults = { .size = sizeof(defaults) };
	struct symphony_service arg = { 0 };
	struct service *service;
	int r = sbus_check_name(extension, error);

	if (r)
		return r;
	if (!params)
		params = &defaults;
	if (claim_flags(params, &arg.flags))
		return sbus_error_set(error, -EINVAL, "sbus_claim_with: size, flags or recovery of the parameters are not possible");
	arg.endpoint = params->endpoint;
	arg.grant = params->flags & SBUS_CLAIM_GRANT ? params->grant : 0;
	/* Counted first: from the claim on, room must not lie idle (release.h). */
	atomic_fetch_add(&bus->claims, 1);
	r = ask(bus, SYMPHONY_IOC_CLAIM, extension, &arg, &service);
	if (!r)
		return 0;
	atomic_fetch_sub(&bus->claims, 1);
	return claim_failed(bus, extension, &arg, r, error);
}

SBUS_API int sbus_claim(struct sbus *bus, const char *extension, struct sbus_error *error)
{
	return sbus_claim_with(bus, extension, NULL, error);
}

static int act(struct sbus *bus, unsigned long operation, const char *extension, uint32_t flags)
{
	struct symphony_service arg = { .size = sizeof(arg), .flags = flags };
	struct service *service;

	if (bus_is_foreign(bus))
		return -EPERM;
	bus_lock(bus);
	service = service_find_locked(bus, extension);
	bus_unlock(bus);
	if (!service)
		return -ENOENT;
	arg.handle = service->handle;
	return bus_ioctl(bus, operation, &arg);
}

SBUS_API int sbus_unclaim(struct sbus *bus, const char *extension)
{
	int r = act(bus, SYMPHONY_IOC_UNCLAIM, extension, 0);

	if (!r)
		atomic_fetch_sub(&bus->claims, 1);
	return r;
}

SBUS_API int sbus_drain(struct sbus *bus, const char *extension, bool resume)
{
	return act(bus, SYMPHONY_IOC_DRAIN, extension, resume ? SYMPHONY_DRAIN_RESUME : 0);
}

SBUS_API int sbus_grant(struct sbus *bus, const char *extension, struct sbus_error *error)
{
	struct symphony_service arg = { .size = sizeof(arg) };
	int r = sbus_check_name(extension, error);

	if (bus_is_foreign(bus))
		return error_foreign(error, bus->name);
	if (r)
		return r;
	arg.name = (uintptr_t)extension;
	arg.name_len = strlen(extension);
	r = bus_ioctl(bus, SYMPHONY_IOC_GRANT, &arg);
	if (!r)
		return arg.grant;
	if (r == -EPERM && bus->pid != getpid())
		error_foreign(error, bus->name);
	else if (r == -EPERM)
		sbus_error_set(error, r, "\"%s\" was not granted: the connection that created bus \"%s\" does that, and this is another one",
			       extension, bus->name);
	else
		sbus_error_set(error, r, "\"%s\" was not granted: %s", extension, error_text(r));
	error_extension(error, extension);
	return r;
}
