// SPDX-License-Identifier: MIT
/* count: how often each word is in a list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <symphony/extension.h>

static int by_text(const void *a, const void *b)
{
	yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
	size_t m = yyjson_get_len(x), n = yyjson_get_len(y);
	int r = memcmp(yyjson_get_str(x), yyjson_get_str(y), m < n ? m : n);

	return r ? r : (m > n) - (m < n);
}

/* Equal words stand side by side once they are sorted. */
static bool add_counts(yyjson_val **words, size_t n, yyjson_mut_doc *doc, yyjson_mut_val *counts)
{
	for (size_t at = 0, end; at < n; at = end) {
		yyjson_mut_val *word;

		for (end = at + 1; end < n && !by_text(&words[at], &words[end]);)
			end++;
		/* Copied, as the request is gone before the answer is. */
		word = yyjson_mut_strncpy(doc, yyjson_get_str(words[at]), yyjson_get_len(words[at]));
		if (!yyjson_mut_obj_add(counts, word, yyjson_mut_uint(doc, end - at)))
			return false;
	}
	return true;
}

static int words(void *self, struct sbus_invocation *inv)
{
	yyjson_mut_doc *doc = sbus_result(inv);
	yyjson_mut_val *counts = yyjson_mut_obj(doc);
	yyjson_val *list, *word, **sorted;
	size_t i, max;
	int r;

	(void)self;
	yyjson_mut_doc_set_root(doc, counts);
	r = sbus_param_val(inv, "words", YYJSON_TYPE_ARR, 0, &list);
	if (r)
		return r;
	sorted = malloc((yyjson_arr_size(list) + 1) * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	yyjson_arr_foreach(list, i, max, word) {
		if (!yyjson_is_str(word)) {
			free(sorted);
			return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
					 "words: words[%zu]: expected a string", i);
		}
		sorted[i] = word;
	}
	qsort(sorted, yyjson_arr_size(list), sizeof(*sorted), by_text);
	r = add_counts(sorted, yyjson_arr_size(list), doc, counts) ? 0 : -ENOMEM;
	free(sorted);
	return r;
}

static const struct symphony_method methods[] = {
	{
		.name = "words",
		.summary = "how often each word is in a list",
		.params = "{\"type\":\"object\",\"required\":[\"words\"],\"properties\":"
			  "{\"words\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}",
		.result = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
		.fn = words,
	},
	{ }
};

static const struct symphony_extension count = {
	SYMPHONY_EXTENSION_INIT,
	.name = "count",
	.version = "1",
	.summary = "how often each word is in a list",
	.methods = methods,
};

int main(int argc, char **argv)
{
	return sbus_extension_main(&count, argc, argv);
}
