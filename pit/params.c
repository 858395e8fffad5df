// SPDX-License-Identifier: MIT
/* params: unknown members, and the length of names. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "params.h"

/* What @object has that is not in @known, in @what; false when it has nothing such. */
static bool find_unknown(yyjson_val *object, const char *const *known, char what[PIT_NAME_MAX])
{
	yyjson_obj_iter iter;
	yyjson_val *key;

	yyjson_obj_iter_init(object, &iter);
	while ((key = yyjson_obj_iter_next(&iter))) {
		const char *const *k = known;

		while (*k && !yyjson_equals_str(key, *k))
			k++;
		if (*k)
			continue;
		/* Cut, by a NUL or in the middle of a character, it would be another name. */
		if (yyjson_get_len(key) > 100 ||
		    strlen(yyjson_get_str(key)) != yyjson_get_len(key))
			snprintf(what, PIT_NAME_MAX, "with a name of %zu bytes",
				 yyjson_get_len(key));
		else
			snprintf(what, PIT_NAME_MAX, "'%s'", yyjson_get_str(key));
		return true;
	}
	return false;
}

static const char *list_known(const char *const *known, char list[512])
{
	size_t used = 0;

	strcpy(list, "none");
	for (; *known; known++) {
		int n = snprintf(list + used, 512 - used, "%s%s",
				 used ? ", " : "", *known);

		if (n < 0 || used + n >= 512)
			break;
		used += n;
	}
	return list;
}

int pit_params_known(struct sbus_invocation *inv, const char *const *known)
{
	char what[PIT_NAME_MAX], list[512];

	if (!inv->params || yyjson_is_null(inv->params))
		return 0;
	if (!yyjson_is_obj(inv->params))
		return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
				 "%s: params: expected an object, got %s; the parameters are: %s",
				 inv->method, yyjson_get_type_desc(inv->params),
				 list_known(known, list));
	if (!find_unknown(inv->params, known, what))
		return 0;
	return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
			 "%s: there is no parameter %s; the parameters are: %s",
			 inv->method, what, list_known(known, list));
}

int pit_config_known(const char *id, yyjson_val *config, struct sbus_error *error,
		     const char *const *known)
{
	char what[PIT_NAME_MAX], list[512];

	if (!config || yyjson_is_null(config))
		return 0;
	if (!yyjson_is_obj(config))
		return sbus_error_set(error, -EINVAL,
				      "%s: config: expected an object, got %s",
				      id, yyjson_get_type_desc(config));
	if (!find_unknown(config, known, what))
		return 0;
	return sbus_error_set(error, -EINVAL,
			      "%s: config: there is no option %s; the options are: %s",
			      id, what, list_known(known, list));
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
