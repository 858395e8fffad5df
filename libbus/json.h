/* SPDX-License-Identifier: MIT */
/* Values to text. */
#ifndef LIBBUS_JSON_H
#define LIBBUS_JSON_H

#include <stdarg.h>
#include <symphony/bus.h>

/*
 * Each makes a text that the caller frees, and is 0 or -errno: -EILSEQ for a
 * value that is no JSON (a string that is not UTF-8, NaN), -ENOMEM.
 */
int json_val(const yyjson_val *value, char **text, size_t *len);
int json_mut(const yyjson_mut_val *value, char **text, size_t *len);
/* {"method": @method, "params": @params}; @params can be NULL. */
int json_method(const char *method, const yyjson_mut_val *params, char **text, size_t *len);
/* {"code": @code, "message": @message, "data": @data}; @data can be NULL. */
int json_error(int64_t code, const char *message, const yyjson_mut_val *data, char **text,
	       size_t *len);

#endif /* LIBBUS_JSON_H */
