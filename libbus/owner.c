// SPDX-License-Identifier: MIT
/*
 * Which bus is meant, and whose: one rule for the library, Python and the command.
 *
 * A name belongs to whoever takes it first. So a bus has to be the caller's own, or
 * that of the uid it was told, and the default name has the uid in it, so that the
 * buses of two users do not meet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus.h"
#include "error.h"

SBUS_API int sbus_owner_parse(const char *text, struct sbus_params *params)
{
	unsigned long long uid;
	char *end;

	if (!strcmp(text, "any")) {
		params->flags = (params->flags & ~SBUS_OPEN_OWNER) | SBUS_OPEN_ANY_OWNER;
		return 0;
	}
	errno = 0;
	uid = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || uid >= UINT32_MAX || errno)
		return -EINVAL;
	params->flags = (params->flags & ~SBUS_OPEN_ANY_OWNER) | SBUS_OPEN_OWNER;
	params->owner = uid;
	return 0;
}

/*
 * Fills in what @params do not say. $SYMPHONY_BUS_OWNER is about the bus that is not
 * named by the program: a program that names one says itself whose it is.
 */
int bus_meant(const struct sbus_params *params, struct bus_meant *meant, struct sbus_error *error)
{
	struct sbus_params whose = { .flags = params->flags, .owner = params->owner };
	const char *name = params->bus, *owner = NULL;
	int r = 0;

	if (!name && !(whose.flags & (SBUS_OPEN_OWNER | SBUS_OPEN_ANY_OWNER)))
		owner = secure_getenv("SYMPHONY_BUS_OWNER");
	if (owner && *owner && sbus_owner_parse(owner, &whose))
		r = sbus_error_set(error, -EINVAL, "SYMPHONY_BUS_OWNER is \"%s\": give the uid of the bus's owner, or \"any\"",
				   owner);
	meant->any = whose.flags & SBUS_OPEN_ANY_OWNER;
	meant->uid = whose.flags & SBUS_OPEN_OWNER ? whose.owner : geteuid();
	meant->own = !meant->any && meant->uid == geteuid();
	if (!name) {
		name = secure_getenv("SYMPHONY_BUS");
		name = name && *name ? name : NULL;
	}
	memset(meant->name, 0, sizeof(meant->name));
	if (name)
		/* Cut, but still too long: the later check refuses it. */
		memcpy(meant->name, name, strnlen(name, SBUS_NAME_MAX + 1));
	else
		snprintf(meant->name, sizeof(meant->name), "symphony-%u", meant->uid);
	return r;
}

SBUS_API const char *sbus_bus_name(const struct sbus_params *params, char name[SBUS_NAME_MAX + 1])
{
	static const struct sbus_params none = { .size = sizeof(none) };
	struct bus_meant meant;

	bus_meant(params ? params : &none, &meant, NULL);
	meant.name[SBUS_NAME_MAX] = 0;
	return strcpy(name, meant.name);
}
