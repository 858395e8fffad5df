// SPDX-License-Identifier: MIT
/* A connection: open, map, count references, close. */
#include "bus.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "async.h"
#include "engine.h"
#include "error.h"
#include "message.h"
#include "receive.h"
#include "service.h"
#include "watch.h"

#define DEVICE "/dev/symphony"
/* A file costs more than a pool; but an answer of this size may find no room in most. */
#define SEALED_ANSWER (256U << 10)
#define QUEUE_DEFAULT 65536

static int query(int fd, struct symphony_query *query)
{
	*query = (struct symphony_query){ .size = sizeof(*query) };
	return ioctl(fd, SYMPHONY_IOC_QUERY, query) ? -errno : 0;
}

static int query_checked(int fd, const char *device, struct symphony_query *info,
			 struct sbus_error *error)
{
	int r = query(fd, info);

	if (r == -ENOTTY)
		return sbus_error_set(error, -EPROTONOSUPPORT, "%s is not the device of the symphony module",
				      device);
	if (r)
		return sbus_error_set(error, r, "%s does not say what it is: %s", device,
				      error_text(r));
	if (info->abi_version != SYMPHONY_ABI_VERSION)
		return sbus_error_set(error, -EPROTONOSUPPORT, "the symphony module speaks version %u of its interface, this library version %u: install the two that belong together",
				      info->abi_version, SYMPHONY_ABI_VERSION);
	return 0;
}

static void bus_free(struct sbus *bus)
{
	message_spares_free(bus);
	async_spares_free(bus);
	service_free_all(bus);
	watch_deinit(bus);
	idmap_deinit(&bus->by_handle);
	idmap_deinit(&bus->entered);
	if (bus->receiver)
		receiver_deinit(bus->receiver);
	free(bus->receiver);
	engine_free(bus->engine);
	if (bus->pool)
		munmap((void *)bus->pool, bus->pool_size);
	if (bus->fd >= 0)
		close(bus->fd);
	sem_destroy(&bus->wake);
	pthread_mutex_destroy(&bus->lock);
	free(bus->device);
	free(bus);
}

static struct sbus *bus_new(const char *name, const char *device, uint32_t queue_max)
{
	struct sbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	if (fork_mark(&bus->mark)) {
		free(bus);
		return NULL;
	}
	bus->fd = -1;
	bus->pid = getpid();
	bus->refs = 1;
	bus->queue_max = queue_max;
	bus->retry_at = UINT64_MAX;
	bus->first_deadline = UINT64_MAX;
	strcpy(bus->name, name);
	pthread_mutex_init(&bus->lock, NULL);
	sem_init(&bus->wake, 0, 0);
	list_init(&bus->calls);
	list_init(&bus->blocked);
	list_init(&bus->over);
	list_init(&bus->answers);
	list_init(&bus->receivers);
	bus->device = strdup(device);
	bus->receiver = calloc(1, sizeof(*bus->receiver));
	bus->engine = engine_new();
	if (!bus->device || !bus->receiver || !bus->engine) {
		bus_free(bus);
		return NULL;
	}
	receiver_init(bus->receiver, bus, RECEIVE_BATCH);
	return bus;
}

SBUS_API int sbus_open(struct sbus **ret, const struct sbus_params *params, struct sbus_error *error)
{
	static const struct sbus_params defaults = {
		.size = sizeof(defaults),
		.flags = SBUS_OPEN_CREATE,
	};
	struct symphony_join join = { 0 };
	struct symphony_query info;
	struct bus_meant meant;
	const char *device;
	struct sbus *bus;
	void *pool;
	int r;

	if (!params)
		params = &defaults;
	if (params->size < sizeof(*params) ||
	    (params->flags & ~(SBUS_OPEN_CREATE | SBUS_OPEN_EXCL | SBUS_OPEN_GRANTS |
			       SBUS_OPEN_OWNER | SBUS_OPEN_ANY_OWNER)) ||
	    ((params->flags & SBUS_OPEN_OWNER) && (params->flags & SBUS_OPEN_ANY_OWNER)) ||
	    ((params->flags & (SBUS_OPEN_EXCL | SBUS_OPEN_GRANTS) || params->reserve ||
	      params->reserve_new) && !(params->flags & SBUS_OPEN_CREATE)))
		return sbus_error_set(error, -EINVAL, "sbus_open: size or flags of the parameters are not possible");
	r = bus_meant(params, &meant, error);
	if (!r)
		r = sbus_check_name(params->bus ? params->bus : meant.name, error);
	if (r)
		return r;
	device = params->device ? params->device : DEVICE;

	bus = bus_new(meant.name, device, params->queue_max ? params->queue_max : QUEUE_DEFAULT);
	if (!bus)
		return sbus_error_set(error, -ENOMEM, "out of memory");
	join.pool_size = params->pool_size;
	r = bus_join(device, &meant, params, &join, error);
	if (r < 0)
		goto err_free;
	bus->fd = r;
	r = query_checked(bus->fd, device, &info, error);
	if (r)
		goto err_free;
	pool = mmap(NULL, join.pool_size, PROT_READ, MAP_SHARED, bus->fd, 0);
	if (pool == MAP_FAILED) {
		r = sbus_error_set(error, -errno, "the receive pool of %u bytes was not mapped: %s",
				   join.pool_size, error_text(-errno));
		goto err_free;
	}
	bus->pool = pool;
	bus->pool_size = join.pool_size;
	bus->may_seal = params->sealed_min != UINT32_MAX;
	bus->reply_flags = bus->may_seal ? SYMPHONY_REPLY_TRY : 0;
	bus->sealed_min = params->sealed_min ? params->sealed_min : UINT32_MAX;
	bus->sealed_answer_min = params->sealed_min ? params->sealed_min : SEALED_ANSWER;
	bus->endpoint = join.endpoint;
	bus->creator = join.flags & (SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_INHERIT);
	*ret = bus;
	return 0;

err_free:
	bus_free(bus);
	return r;
}

SBUS_API struct sbus *sbus_ref(struct sbus *bus)
{
	if (bus)
		atomic_fetch_add_explicit(&bus->refs, 1, memory_order_relaxed);
	return bus;
}

/*
 * Without @cancel the endpoint is about to end, which tells the replicas. With it,
 * somebody can keep a message, which keeps the endpoint, and with it the calls.
 */
static void give_up(struct sbus *bus, bool cancel)
{
	if (atomic_exchange(&bus->closed, true))
		return;
	watch_forget_all(bus);
	async_give_up_all(bus, cancel);
}

void bus_end(struct sbus *bus)
{
	/* Callbacks of what is given up can use the connection: it lives on. */
	if (!atomic_load(&bus->closed)) {
		atomic_store(&bus->refs, 1);
		give_up(bus, false);
		bus_put(bus);
	} else {
		bus_free(bus);
	}
}

SBUS_API struct sbus *sbus_unref(struct sbus *bus)
{
	if (bus && !bus_is_foreign(bus))
		bus_put(bus);
	return NULL;
}

SBUS_API void sbus_close(struct sbus *bus)
{
	if (!bus_is_foreign(bus))
		give_up(bus, true);
}

SBUS_API uint64_t sbus_endpoint(const struct sbus *bus)
{
	return bus->endpoint;
}

SBUS_API bool sbus_is_creator(const struct sbus *bus)
{
	return bus->creator;
}

SBUS_API const char *sbus_name(const struct sbus *bus)
{
	return bus->name;
}

static struct sbus_use use(struct symphony_use use)
{
	return (struct sbus_use){ .used = use.used, .max = use.max };
}

SBUS_API int sbus_query(struct sbus *bus, struct sbus_info *info, struct sbus_error *error)
{
	struct symphony_query answer;
	int fd, r;

	if (info->size < sizeof(*info))
		return sbus_error_set(error, -EINVAL, "sbus_query: the size of the answer is not set");
	if (bus) {
		if (bus_is_foreign(bus))
			return error_foreign(error, bus->name);
		r = query_checked(bus->fd, bus->device, &answer, error);
	} else {
		fd = bus_open_device(DEVICE, error);
		if (fd < 0)
			return fd;
		r = query_checked(fd, DEVICE, &answer, error);
		close(fd);
	}
	if (r)
		return r;
	info->abi_version = answer.abi_version;
	info->pool_default = answer.pool_default;
	info->features = answer.features;
	info->pool_max = answer.pool_max;
	info->calls_max = answer.calls_max;
	info->queue_max = answer.queue_max;
	info->share_max = answer.share_max;
	info->user_buses = use(answer.user_buses);
	info->user_endpoints = use(answer.user_endpoints);
	info->user_pool = use(answer.user_pool);
	info->user_calls = use(answer.user_calls);
	info->user_services = use(answer.user_services);
	info->user_files = use(answer.user_files);
	info->user_claims = use(answer.user_claims);
	info->user_records = use(answer.user_records);
	return 0;
}

SBUS_API uint64_t sbus_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}
