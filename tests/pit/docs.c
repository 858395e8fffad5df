// SPDX-License-Identifier: MIT
/* The method tables, their schemas, docs/ and what methods take are the same. */
#include <stdlib.h>
#include <string.h>
#include <kselftest_harness.h>

#include "sim.h"

#define TEXT(name, file)						\
	__asm__(".pushsection .rodata\n"				\
		".globl " #name "\n" #name ":\n"			\
		".incbin \"" file "\"\n.byte 0\n.popsection");		\
	extern const char name[]

TEXT(docs_pool_manager, "docs/pool_manager.md");
TEXT(docs_dag_tracker, "docs/dag_tracker.md");

FIXTURE(docs)
{
	const struct symphony_extension *extension;
};

FIXTURE_VARIANT(docs)
{
	const char *id;
	const char *text;
};

FIXTURE_VARIANT_ADD(docs, pool_manager) {
	.id = "pool_manager", .text = docs_pool_manager,
};

FIXTURE_VARIANT_ADD(docs, dag_tracker) {
	.id = "dag_tracker", .text = docs_dag_tracker,
};

FIXTURE_SETUP(docs)
{
	self->extension = sim_extension(variant->id);
}

FIXTURE_TEARDOWN(docs)
{
}

/* The part of the text that is about a method, to be freed; or NULL. */
static char *section(const char *text, const char *method)
{
	char heading[100];
	const char *start, *end;

	snprintf(heading, sizeof(heading), "\n### `%s`\n", method);
	start = strstr(text, heading);
	if (!start)
		return NULL;
	start += strlen(heading);
	end = strstr(start, "\n##");
	return end ? strndup(start, end - start) : strdup(start);
}

static bool has_row(const char *part, const char *param)
{
	char row[100];

	snprintf(row, sizeof(row), "\n| `%s` |", param);
	return strstr(part, row);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (text = strstr(text, what); text; text = strstr(text + 1, what))
		n++;
	return n;
}

TEST_F(docs, every_method_and_parameter_is_documented_and_no_other)
{
	const struct symphony_method *m;
	size_t n = 0;

	for (m = self->extension->methods; m->name; m++, n++) {
		char *part = section(variant->text, m->name);
		yyjson_doc *schema = yyjson_read(m->params, strlen(m->params), 0);
		yyjson_val *properties = yyjson_doc_ptr_get(schema, "/properties");
		yyjson_obj_iter iter;
		yyjson_val *key;

		ASSERT_NE(NULL, part) TH_LOG("%s is not documented", m->name);
		ASSERT_NE(NULL, properties) TH_LOG("%s has no schema", m->name);
		EXPECT_NE(NULL, m->summary);
		EXPECT_EQ(yyjson_obj_size(properties), count(part, "\n| `"))
			TH_LOG("%s", m->name);
		yyjson_obj_iter_init(properties, &iter);
		while ((key = yyjson_obj_iter_next(&iter)))
			EXPECT_TRUE(has_row(part, yyjson_get_str(key)))
				TH_LOG("%s: %s", m->name, yyjson_get_str(key) ?: "");
		yyjson_doc_free(schema);
		free(part);
	}
	EXPECT_EQ(n, count(variant->text, "\n### "));
}

TEST_F(docs, methods_take_the_parameters_of_their_schema)
{
	struct sim *sim = sim_new(variant->id, NULL);
	const struct symphony_method *m;

	for (m = self->extension->methods; m->name; m++) {
		struct sim_call *c = sim_call(sim, 0, m->name, "{'?':1}");
		yyjson_doc *schema = yyjson_read(m->params, strlen(m->params), 0);
		const char *list = strstr(c->message, "the parameters are: ");
		yyjson_obj_iter iter;
		yyjson_val *key;
		size_t n;

		ASSERT_NE(NULL, list) TH_LOG("%s", c->message);
		list += strlen("the parameters are: ");
		n = strcmp(list, "none") ? count(list, ", ") + 1 : 0;
		EXPECT_EQ(n, yyjson_obj_size(yyjson_doc_ptr_get(schema,
								"/properties")))
			TH_LOG("%s", m->name);
		yyjson_obj_iter_init(yyjson_doc_ptr_get(schema, "/properties"),
				     &iter);
		while ((key = yyjson_obj_iter_next(&iter)))
			EXPECT_NE(NULL, strstr(list, yyjson_get_str(key)))
				TH_LOG("%s: %s", m->name, yyjson_get_str(key) ?: "");
		yyjson_doc_free(schema);
	}
	sim_free(sim);
}

TEST_F(docs, methods_need_the_parameters_that_their_schema_requires)
{
	struct sim *sim = sim_new(variant->id, NULL);
	const struct symphony_method *m;

	for (m = self->extension->methods; m->name; m++) {
		yyjson_doc *schema = yyjson_read(m->params, strlen(m->params), 0);
		yyjson_val *required = yyjson_doc_ptr_get(schema, "/required");
		struct sim_call *c = sim_call(sim, 0, m->name, "{}");

		EXPECT_EQ(!!yyjson_arr_size(required),
			  c->failed && c->code == SBUS_CODE_INVALID_PARAMS)
			TH_LOG("%s", m->name);
		yyjson_doc_free(schema);
	}
	sim_free(sim);
}

TEST_F(docs, every_result_has_a_schema_that_is_json)
{
	const struct symphony_method *m;

	for (m = self->extension->methods; m->name; m++) {
		yyjson_doc *doc = NULL;

		ASSERT_NE(NULL, m->result);
		doc = yyjson_read(m->result, strlen(m->result), 0);
		EXPECT_NE(NULL, doc) TH_LOG("%s", m->name);
		yyjson_doc_free(doc);
	}
}

TEST_HARNESS_MAIN
