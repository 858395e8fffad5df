// SPDX-License-Identifier: MIT
/* tokenize: the words of files. A word is [A-Za-z_][A-Za-z0-9_]*. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <symphony/extension.h>

static bool starts_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_word(char c)
{
	return starts_word(c) || (c >= '0' && c <= '9');
}

static bool add_words(const char *text, size_t len, yyjson_mut_doc *doc, yyjson_mut_val *list)
{
	for (size_t at = 0, end; at < len; at = end) {
		end = at + 1;
		if (!starts_word(text[at]))
			continue;
		while (end < len && in_word(text[end]))
			end++;
		if (!yyjson_mut_arr_add_strncpy(doc, list, text + at, end - at))
			return false;
	}
	return true;
}

static int read_file(const char *path, char **text, size_t *len)
{
	FILE *file = fopen(path, "r");
	struct stat st;
	int r = 0;

	if (!file || fstat(fileno(file), &st) < 0) {
		r = -errno;
	} else {
		*text = malloc(st.st_size + 1);
		*len = *text ? fread(*text, 1, st.st_size, file) : 0;
		r = !*text ? -ENOMEM : ferror(file) ? -EIO : 0;
	}
	if (file)
		fclose(file);
	return r;
}

/* Reads files, so it blocks: that is fine in a process of its own, not in the Pit. */
static int words(void *self, struct sbus_invocation *inv)
{
	yyjson_mut_doc *doc = sbus_result(inv);
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	yyjson_val *files, *file;
	size_t i, max;
	int r;

	(void)self;
	yyjson_mut_doc_set_root(doc, list);
	r = sbus_param_val(inv, "files", YYJSON_TYPE_ARR, 0, &files);
	if (r)
		return r;
	yyjson_arr_foreach(files, i, max, file) {
		const char *path = yyjson_get_str(file);
		char *text = NULL;
		size_t len = 0;

		if (!path)
			return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
					 "words: files[%zu]: expected a path", i);
		r = read_file(path, &text, &len);
		if (!r && !add_words(text, len, doc, list))
			r = -ENOMEM;
		free(text);
		if (r)
			return sbus_fail(inv, -r, "words: %s: %s", path, strerror(-r));
	}
	return 0;
}

static const struct symphony_method methods[] = {
	{
		.name = "words",
		.summary = "all words of some files, in their order",
		.params = "{\"type\":\"object\",\"required\":[\"files\"],\"properties\":"
			  "{\"files\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}",
		.result = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
		.fn = words,
	},
	{ }
};

static const struct symphony_extension tokenize = {
	SYMPHONY_EXTENSION_INIT,
	.name = "tokenize",
	.version = "1",
	.summary = "the words of files",
	.methods = methods,
};

int main(int argc, char **argv)
{
	return sbus_extension_main(&tokenize, argc, argv);
}
