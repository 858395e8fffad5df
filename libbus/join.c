// SPDX-License-Identifier: MIT
/* From the device to an endpoint on a bus that was there, or was created. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus.h"
#include "error.h"

#define RESERVE_MAX 4096		/* JOIN's */

int bus_open_device(const char *device, struct sbus_error *error)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return sbus_error_set(error, -ENODEV, "%s is not there: modprobe symphony", device);
	case EACCES:
	case EPERM:
		return sbus_error_set(error, -EACCES, "%s may not be opened: check its permissions (0666 is meant)",
				      device);
	default:
		return sbus_error_set(error, -errno, "%s: %s", device, error_text(-errno));
	}
}

static int join_failed(const char *name, const struct symphony_join *join, int r,
		       struct sbus_error *error)
{
	if (error_limit(error, r, join->limit, "no connection to bus", name))
		return r;
	switch (-r) {
	case ENOENT:
		return sbus_error_set(error, r, "there is no bus \"%s\": start the program that creates it, or check the name",
				      name);
	case EEXIST:
		return sbus_error_set(error, r, "there is a bus \"%s\" already", name);
	case EACCES:
		return sbus_error_set(error, r, "bus \"%s\" may not be joined: it belongs to another user, and its mode does not let you in",
				      name);
	case EINVAL:
		return sbus_error_set(error, r, "bus \"%s\" was not joined: a pool of %u bytes, mode 0%o, the flags or what is reserved are not possible",
				      name, join->pool_size, join->mode);
	default:
		return sbus_error_set(error, r, "bus \"%s\" was not joined: %s", name,
				      error_text(r));
	}
}

static int join(int fd, const char *name, struct symphony_join *join)
{
	join->size = sizeof(*join);
	join->name = (uintptr_t)name;
	join->name_len = strlen(name);
	return ioctl(fd, SYMPHONY_IOC_JOIN, join) ? -errno : 0;
}

int bus_join(const char *device, const char *name, struct symphony_join *arg,
	     struct sbus_error *error)
{
	int fd, r;

	fd = bus_open_device(device, error);
	if (fd < 0)
		return fd;
	r = join(fd, name, arg);
	if (!r)
		return fd;
	join_failed(name, arg, r, error);
	close(fd);
	return r;
}

/* The ids as JOIN wants them, each with a NUL behind it: @text is freed by the caller. */
static int reserve(const char *const *ids, struct symphony_join *arg, char **text)
{
	size_t len = 0, at = 0;

	for (int i = 0; ids[i]; i++) {
		if (!bus_name_valid(ids[i]))
			return -EINVAL;
		len += strlen(ids[i]) + 1;
	}
	if (!len)
		return 0;
	if (len > RESERVE_MAX)
		return -EINVAL;
	*text = malloc(len);
	if (!*text)
		return -ENOMEM;
	for (int i = 0; ids[i]; i++)
		at = stpcpy(*text + at, ids[i]) + 1 - *text;
	arg->reserve = (uintptr_t)*text;
	arg->reserve_len = len;
	return 0;
}

/*
 * Join the bus that is there. Who would reserve names or want grants if it were not
 * is its creator if the former one is dead.
 */
static int join_existing(int fd, const char *name, const struct sbus_params *params,
			 struct symphony_join *arg)
{
	int r = -EBUSY;

	if (params->reserve || params->flags & SBUS_OPEN_GRANTS) {
		arg->flags = SYMPHONY_JOIN_INHERIT;
		r = join(fd, name, arg);
	}
	if (r == -EBUSY || r == -EPERM) {
		arg->flags = 0;
		r = join(fd, name, arg);
	}
	return r;
}

/*
 * What a bus is created with cannot be asked of one that is there. So it is joined
 * if it is, and otherwise created, which another process can do first.
 */
static int join_or_create(int fd, const char *name, const struct sbus_params *params,
			  struct symphony_join *arg)
{
	struct symphony_join existing = { .pool_size = arg->pool_size };
	int r;

	do {
		if (!(params->flags & SBUS_OPEN_EXCL)) {
			r = join_existing(fd, name, params, &existing);
			if (r != -ENOENT) {
				*arg = existing;
				return r;
			}
		}
		r = join(fd, name, arg);
	} while (r == -EEXIST && !(params->flags & SBUS_OPEN_EXCL));
	return r;
}

int bus_create(const char *device, const char *name, const struct sbus_params *params,
	       struct symphony_join *arg, struct sbus_error *error)
{
	char *text = NULL;
	int fd, r;

	fd = bus_open_device(device, error);
	if (fd < 0)
		return fd;
	arg->flags = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL |
		     (params->flags & SBUS_OPEN_GRANTS ? SYMPHONY_JOIN_GRANTS : 0);
	arg->mode = params->mode;
	r = params->reserve ? reserve(params->reserve, arg, &text) : 0;
	if (!r)
		r = join_or_create(fd, name, params, arg);
	if (r) {
		join_failed(name, arg, r, error);
		close(fd);
	}
	free(text);
	return r ? r : fd;
}
