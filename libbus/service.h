/* SPDX-License-Identifier: MIT */
/* Extensions by id: handles, resolved once and good as long as the bus. */
#ifndef LIBBUS_SERVICE_H
#define LIBBUS_SERVICE_H

#include "bus.h"

/* @waiting and @blocked are guarded by the connection's lock; the rest stays. */
struct service {
	struct service *next;
	uint64_t handle;
	struct list waiting;	/* calls that wait for room, FIFO */
	struct list blocked;	/* on the connection's list while some do */
	char id[SBUS_NAME_MAX + 1];
};

/* The one known by that id, or NULL. */
struct service *service_find_locked(struct sbus *bus, const char *id);
/* The same, asking the kernel if need be: 0 or -errno with @error filled. */
int service_resolve(struct sbus *bus, const char *id, struct service **service,
		    struct sbus_error *error);
/* The one with that handle, or NULL. */
struct service *service_by_handle(struct sbus *bus, uint64_t handle);
void service_free_all(struct sbus *bus);

#endif /* LIBBUS_SERVICE_H */
