// SPDX-License-Identifier: MIT
/* What can be an id, or the name of a bus: the only place that knows. */
#include <errno.h>
#include <string.h>

#include "bus.h"
#include "error.h"

bool bus_name_valid(const char *name)
{
	size_t len;

	if (*name < 'a' || *name > 'z')
		return false;
	len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-");
	return len <= SBUS_NAME_MAX && !name[len];
}

SBUS_API int sbus_check_name(const char *name, struct sbus_error *error)
{
	if (name && bus_name_valid(name))
		return 0;
	return sbus_error_set(error, -EINVAL, "\"%s\" cannot be an id or the name of a bus: give a letter a-z, then at most %d of a-z 0-9 _ . -",
			      name ? name : "", SBUS_NAME_MAX - 1);
}
