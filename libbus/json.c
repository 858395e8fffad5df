// SPDX-License-Identifier: MIT
/* Values to text. */
#include "json.h"

#include <errno.h>
#include <stdlib.h>

static int written(char *text, const yyjson_write_err *problem, char **ret)
{
	if (!text)
		return problem->code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION ? -ENOMEM : -EILSEQ;
	*ret = text;
	return 0;
}

int json_val(const yyjson_val *value, char **text, size_t *len)
{
	yyjson_write_err problem;

	return written(yyjson_val_write_opts(value, 0, NULL, len, &problem), &problem, text);
}

int json_mut(const yyjson_mut_val *value, char **text, size_t *len)
{
	yyjson_write_err problem;

	return written(yyjson_mut_val_write_opts(value, 0, NULL, len, &problem), &problem, text);
}

static int write_doc(yyjson_mut_doc *doc, bool complete, char **text, size_t *len)
{
	int r = complete ? json_mut(yyjson_mut_doc_get_root(doc), text, len) : -ENOMEM;

	yyjson_mut_doc_free(doc);
	return r;
}

/* A copy, as a value can be a member of one object only. */
static bool add(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key,
		const yyjson_mut_val *value)
{
	yyjson_mut_val *copy = yyjson_mut_val_mut_copy(doc, (yyjson_mut_val *)value);

	return yyjson_mut_obj_add_val(doc, root, key, copy);
}

int json_method(const char *method, const yyjson_mut_val *params, char **text, size_t *len)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	bool complete;

	yyjson_mut_doc_set_root(doc, root);
	complete = yyjson_mut_obj_add_str(doc, root, "method", method) &&
		   (!params || add(doc, root, "params", params));
	return write_doc(doc, complete, text, len);
}

int json_error(int64_t code, const char *message, const yyjson_mut_val *data, char **text,
	       size_t *len)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	bool complete;

	yyjson_mut_doc_set_root(doc, root);
	complete = yyjson_mut_obj_add_sint(doc, root, "code", code) &&
		   yyjson_mut_obj_add_str(doc, root, "message", message) &&
		   (!data || add(doc, root, "data", data));
	return write_doc(doc, complete, text, len);
}
