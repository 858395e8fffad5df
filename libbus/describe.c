// SPDX-License-Identifier: MIT
/* The method "describe": what an extension is and what it can be asked. */
#include <stdlib.h>

#include "error.h"
#include "pit.h"

static bool add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const char *text)
{
	return !text || yyjson_mut_obj_add_str(doc, object, key, text);
}

static bool add_schema(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key,
		       const char *text)
{
	yyjson_doc *schema;
	bool added;

	if (!text)
		return true;
	schema = yyjson_read(text, strlen(text), 0);
	added = yyjson_mut_obj_add_val(doc, object, key,
				       yyjson_val_mut_copy(doc, yyjson_doc_get_root(schema)));
	yyjson_doc_free(schema);
	return added;
}

static bool add_method(yyjson_mut_doc *doc, yyjson_mut_val *methods,
		       const struct symphony_method *method)
{
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, methods);

	return object && add_text(doc, object, "name", method->name) &&
	       add_text(doc, object, "summary", method->summary) &&
	       add_schema(doc, object, "params", method->params) &&
	       add_schema(doc, object, "result", method->result);
}

static int describe(void *self, struct sbus_invocation *inv)
{
	const struct symphony_extension *extension = &inv->member->extension;
	yyjson_mut_doc *doc = sbus_result(inv);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *methods = yyjson_mut_arr(doc);
	const struct symphony_method *method;
	bool complete;

	(void)self;
	yyjson_mut_doc_set_root(doc, root);
	complete = add_text(doc, root, "id", inv->member->id) &&
		   add_text(doc, root, "version", extension->version) &&
		   add_text(doc, root, "summary", extension->summary) &&
		   yyjson_mut_obj_add_bool(doc, root, "messages", extension->call != NULL) &&
		   yyjson_mut_obj_add_val(doc, root, "methods", methods);
	for (method = extension->methods; complete && method && method->name; method++)
		complete = add_method(doc, methods, method);
	complete = complete && add_method(doc, methods, &describe_method);
	return complete ? 0 : -ENOMEM;
}

const struct symphony_method describe_method = {
	.name = "describe",
	.summary = "what this extension is, and its methods",
	.fn = describe,
};
