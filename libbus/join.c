// SPDX-License-Identifier: MIT
/* From the device to an endpoint on a bus that was there, or was created. */
#include <fcntl.h>
#include <stdio.h>
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

/* Names the owner of the bus in an error text. */
static const char *owner_text(const struct symphony_join *join, char text[32])
{
	if (join->bus_uid == UINT32_MAX)
		return "a user who has no uid here";
	snprintf(text, 32, "uid %u", join->bus_uid);
	return text;
}

static int join_failed(const struct bus_meant *meant, const struct symphony_join *join, int r,
		       struct sbus_error *error)
{
	const char *name = meant->name;
	char owner[32];

	if (error_limit(error, r, join->limit, "no connection to bus", name))
		return r;
	switch (-r) {
	case ENOENT:
		if (!meant->any && !meant->own)
			return sbus_error_set(error, r, "there is no bus \"%s\", which should be that of uid %u: start the program that creates it",
					      name, meant->uid);
		return sbus_error_set(error, r, "there is no bus \"%s\": start the program that creates it, or create it",
				      name);
	case EEXIST:
		return sbus_error_set(error, r, "there is a bus \"%s\" already, of %s", name,
				      owner_text(join, owner));
	case EACCES:
		return sbus_error_set(error, r, "bus \"%s\" may not be joined: it belongs to %s, and its mode does not let you in; choose another name, or ask its owner",
				      name, owner_text(join, owner));
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
	join->bus_uid = UINT32_MAX;
	return ioctl(fd, SYMPHONY_IOC_JOIN, join) ? -errno : 0;
}

/*
 * Is the bus that was joined the one that is meant, with the protections that were
 * asked for? What JOIN said holds as long as the connection; nothing was sent yet.
 */
static int check_bus(const struct bus_meant *meant, const struct sbus_params *params,
		     const struct symphony_join *join, struct sbus_error *error)
{
	static const char todo[] = "end the programs that are on it, or use another name";
	const char *name = meant->name;
	char owner[32];

	if (!meant->any && !(meant->own ? join->bus_flags & SYMPHONY_BUS_MINE :
					  join->bus_uid == meant->uid))
		return sbus_error_set(error, -EPERM, "bus \"%s\" belongs to %s, not to uid %u, and was left: if that one is meant, give its owner (owner= in Python, --owner of a command, SYMPHONY_BUS_OWNER with SYMPHONY_BUS); otherwise use another name",
				      name, owner_text(join, owner), meant->uid);
	if (params->mode && join->bus_mode & ~params->mode)
		return sbus_error_set(error, -EEXIST, "there is a bus \"%s\" of %s already, and its mode 0%o lets in more than 0%o: %s",
				      name, owner_text(join, owner), join->bus_mode,
				      params->mode, todo);
	if (params->flags & SBUS_OPEN_GRANTS && !(join->bus_flags & SYMPHONY_BUS_GRANTS))
		return sbus_error_set(error, -EEXIST, "there is a bus \"%s\" of %s already, where claiming an id needs no grant: %s",
				      name, owner_text(join, owner), todo);
	if (params->reserve && *params->reserve && !(join->bus_flags & SYMPHONY_BUS_RESERVED))
		return sbus_error_set(error, -EEXIST, "there is a bus \"%s\" of %s already, where not all of the ids to reserve are: %s",
				      name, owner_text(join, owner), todo);
	return 0;
}

/* Ids as JOIN wants them, each with a NUL behind it. */
struct names {
	char text[RESERVE_MAX];
	uint32_t len;
};

static bool is_among(const char *id, const char *const *ids)
{
	while (ids && *ids)
		if (!strcmp(id, *ids++))
			return true;
	return false;
}

/* Those of @ids that are not @but: 0 or -EINVAL. */
static int add_names(struct names *names, const char *const *ids, const char *const *but)
{
	for (; ids && *ids; ids++) {
		size_t len = strlen(*ids) + 1;

		if (is_among(*ids, but))
			continue;
		if (!bus_name_valid(*ids) || names->len + len > sizeof(names->text))
			return -EINVAL;
		memcpy(names->text + names->len, *ids, len);
		names->len += len;
	}
	return 0;
}

/*
 * Join the bus that is there, and ask of the first @asked bytes of the names whether
 * they are reserved. A caller that would reserve names, or want grants, if it created
 * the bus becomes its creator if the former one is dead.
 */
static int join_existing(int fd, const struct bus_meant *meant, const struct sbus_params *params,
			 const struct names *names, uint32_t asked, struct symphony_join *arg)
{
	int r = -EBUSY;

	if (asked) {
		arg->reserve = (uintptr_t)names->text;
		arg->reserve_len = asked;
		arg->flags = SYMPHONY_JOIN_RESERVED;
	}
	if (names->len || params->flags & SBUS_OPEN_GRANTS) {
		arg->flags |= SYMPHONY_JOIN_INHERIT;
		r = join(fd, meant->name, arg);
		if (r)
			arg->flags &= ~SYMPHONY_JOIN_INHERIT;
	}
	if (r == -EBUSY || r == -EPERM)
		r = join(fd, meant->name, arg);
	return r;
}

/*
 * What a bus is created with cannot be asked of one that is there. So it is joined
 * if it is, and otherwise created, which another process can do first. Another
 * user's cannot be created.
 */
static int join_or_create(int fd, const struct bus_meant *meant, const struct sbus_params *params,
			  struct symphony_join *arg)
{
	const struct symphony_join how = *arg;
	struct names names = { .len = 0 };
	uint32_t asked;
	int r;

	r = add_names(&names, params->reserve, NULL);
	asked = names.len;
	if (!r)
		r = add_names(&names, params->reserve_new, params->reserve);
	if (r)
		return r;
	do {
		if (!(params->flags & SBUS_OPEN_EXCL)) {
			*arg = how;
			r = join_existing(fd, meant, params, &names, asked, arg);
			if (r != -ENOENT || !(params->flags & SBUS_OPEN_CREATE) ||
			    !(meant->any || meant->own))
				return r;
		}
		*arg = how;
		arg->flags = SYMPHONY_JOIN_CREATE | SYMPHONY_JOIN_EXCL |
			     (params->flags & SBUS_OPEN_GRANTS ? SYMPHONY_JOIN_GRANTS : 0);
		arg->mode = params->mode;
		arg->reserve = names.len ? (uintptr_t)names.text : 0;
		arg->reserve_len = names.len;
		r = join(fd, meant->name, arg);
	} while (r == -EEXIST && !(params->flags & SBUS_OPEN_EXCL));
	return r;
}

int bus_join(const char *device, const struct bus_meant *meant, const struct sbus_params *params,
	     struct symphony_join *arg, struct sbus_error *error)
{
	int fd, r;

	if (params->flags & SBUS_OPEN_EXCL && !meant->any && !meant->own)
		return sbus_error_set(error, -EINVAL, "bus \"%s\" cannot be created for uid %u by uid %u",
				      meant->name, meant->uid, geteuid());
	fd = bus_open_device(device, error);
	if (fd < 0)
		return fd;
	r = join_or_create(fd, meant, params, arg);
	if (r)
		join_failed(meant, arg, r, error);
	else
		r = check_bus(meant, params, arg, error);
	if (!r)
		return fd;
	close(fd);
	return r;
}
