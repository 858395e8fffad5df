// SPDX-License-Identifier: MIT
/* params: unknown members, and the length of names. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "params.h"

static int list_known(struct sbus_invocation *inv, const char *const *known,
		      const char *what)
{
	char list[512] = "";
	size_t used = 0;

	for (; *known; known++) {
		int n = snprintf(list + used, sizeof(list) - used, "%s%s",
				 used ? ", " : "", *known);

		if (n < 0 || used + n >= sizeof(list))
			break;
		used += n;
	}
	return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
			 "%s: %s; the parameters are: %s", inv->method, what,
			 used ? list : "none");
}

int pit_params_known(struct sbus_invocation *inv, const char *const *known)
{
	char what[PIT_NAME_MAX];
	yyjson_obj_iter iter;
	yyjson_val *key;

	if (!inv->params || yyjson_is_null(inv->params))
		return 0;
	if (!yyjson_is_obj(inv->params)) {
		snprintf(what, sizeof(what),
			 "params: expected an object, got %s",
			 yyjson_get_type_desc(inv->params));
		return list_known(inv, known, what);
	}
	yyjson_obj_iter_init(inv->params, &iter);
	while ((key = yyjson_obj_iter_next(&iter))) {
		const char *const *k = known;

		while (*k && !yyjson_equals_str(key, *k))
			k++;
		if (*k)
			continue;
		/* Cut in the middle of a character it would not be JSON. */
		if (yyjson_get_len(key) > 100)
			snprintf(what, sizeof(what),
				 "there is no parameter with a name of %zu bytes",
				 yyjson_get_len(key));
		else
			snprintf(what, sizeof(what),
				 "there is no parameter '%s'",
				 yyjson_get_str(key));
		return list_known(inv, known, what);
	}
	return 0;
}

int pit_param_name(struct sbus_invocation *inv, const char *name,
		   unsigned int flags, const char **value)
{
	const char *str = NULL;
	size_t len;
	int ret;

	ret = sbus_param_str(inv, name, flags, &str);
	if (ret || !str)
		return ret;
	len = strlen(str);
	if (!len || len > PIT_NAME_MAX)
		return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
				 "%s: parameter '%s': expected 1 to %d bytes, got %zu",
				 inv->method, name, PIT_NAME_MAX, len);
	*value = str;
	return 0;
}

int pit_unwatched(struct sbus_invocation *inv, int error)
{
	if (error == -ENOMEM)
		return error;
	return sbus_fail(inv, -error,
			 "%s: endpoint %llu cannot be watched, so what it held could be lost with it: %s",
			 inv->method, (unsigned long long)inv->sender,
			 strerror(-error));
}
