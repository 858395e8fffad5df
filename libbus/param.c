// SPDX-License-Identifier: MIT
/* Parameters of a method, checked, with errors that name them. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <symphony/extension.h>

static const char *type_name(yyjson_type type)
{
	switch (type) {
	case YYJSON_TYPE_NULL:
		return "null";
	case YYJSON_TYPE_BOOL:
		return "true or false";
	case YYJSON_TYPE_NUM:
		return "a number";
	case YYJSON_TYPE_STR:
		return "a string";
	case YYJSON_TYPE_ARR:
		return "an array";
	case YYJSON_TYPE_OBJ:
		return "an object";
	case YYJSON_TYPE_RAW:
		return "a number beyond what 64 bits or a double can hold";
	default:
		return "a value";
	}
}

static int wrong(struct sbus_invocation *inv, const char *name, const char *wanted, yyjson_val *got)
{
	const char *method = inv->method ? inv->method : "the message";

	if (!got)
		return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS, "%s: \"%s\" is missing: give %s",
				 method, name, wanted);
	return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS, "%s: \"%s\" is %s: give %s", method, name,
			 type_name(yyjson_get_type(got)), wanted);
}

/* The parameter: NULL with *r = 0 when it is optional and not there. */
static yyjson_val *find(struct sbus_invocation *inv, const char *name, unsigned int flags,
			const char *wanted, int *r)
{
	yyjson_val *value = NULL;

	*r = 0;
	if (inv->params && !yyjson_is_obj(inv->params)) {
		*r = sbus_fail(inv, SBUS_CODE_INVALID_PARAMS, "%s: \"params\" is %s: give an object",
			       inv->method ? inv->method : "the message",
			       type_name(yyjson_get_type(inv->params)));
		return NULL;
	}
	value = yyjson_obj_get(inv->params, name);
	if ((flags & SBUS_OPTIONAL) && (!value || yyjson_is_null(value)))
		return NULL;
	if (!value)
		*r = wrong(inv, name, wanted, NULL);
	return value;
}

SBUS_API int sbus_param_val(struct sbus_invocation *inv, const char *name, yyjson_type type,
			    unsigned int flags, yyjson_val **value)
{
	yyjson_val *found;
	int r;

	found = find(inv, name, flags, type_name(type), &r);
	if (!found)
		return r;
	if (type != YYJSON_TYPE_NONE && yyjson_get_type(found) != type)
		return wrong(inv, name, type_name(type), found);
	*value = found;
	return 0;
}

SBUS_API int sbus_param_str(struct sbus_invocation *inv, const char *name, unsigned int flags,
			    const char **value)
{
	yyjson_val *found;
	int r;

	found = find(inv, name, flags, "a string", &r);
	if (!found)
		return r;
	if (!yyjson_is_str(found))
		return wrong(inv, name, "a string", found);
	if (strlen(yyjson_get_str(found)) != yyjson_get_len(found))
		return wrong(inv, name, "one without NUL characters", found);
	*value = yyjson_get_str(found);
	return 0;
}

SBUS_API int sbus_param_u64(struct sbus_invocation *inv, const char *name, unsigned int flags,
			    uint64_t min, uint64_t max, uint64_t *value)
{
	yyjson_val *found;
	int r;

	found = find(inv, name, flags, "an integer", &r);
	if (!found)
		return r;
	if (!yyjson_is_num(found))
		return wrong(inv, name, "an integer", found);
	if (!yyjson_is_uint(found) || yyjson_get_uint(found) < min || yyjson_get_uint(found) > max)
		return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
				 "%s: \"%s\" has to be an integer from %" PRIu64 " to %" PRIu64,
				 inv->method ? inv->method : "the message", name, min, max);
	*value = yyjson_get_uint(found);
	return 0;
}

SBUS_API int sbus_param_bool(struct sbus_invocation *inv, const char *name, unsigned int flags,
			     bool *value)
{
	yyjson_val *found;
	int r;

	found = find(inv, name, flags, "true or false", &r);
	if (!found)
		return r;
	if (!yyjson_is_bool(found))
		return wrong(inv, name, "true or false", found);
	*value = yyjson_get_bool(found);
	return 0;
}
