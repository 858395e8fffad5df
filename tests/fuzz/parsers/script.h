/* SPDX-License-Identifier: MIT */
/* A fuzzer's input, taken from the front; what is not there any more is 0. */
#ifndef TESTS_FUZZ_SCRIPT_H
#define TESTS_FUZZ_SCRIPT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct script {
	const uint8_t *at, *end;
};

static inline uint64_t script_number(struct script *script, size_t bytes)
{
	uint64_t number = 0;

	for (; bytes && script->at < script->end; bytes--)
		number = number << 8 | *script->at++;
	return number;
}

static inline uint8_t script_byte(struct script *script)
{
	return script_number(script, 1);
}

#define EXPAND_MAX (96U << 10)
#define INPUT_MAX (64U << 10)

/*
 * The text, in memory of its very length so that the sanitizer sees its end. Two
 * bytes that are never part of JSON stand for many, as a fuzzer's inputs are short
 * and depth is not: \001 N for N * 64 times '[', \002 N for ']', and \003 N for
 * '{"":', \004 N for '}'. With the small stack that run gives, that is deep enough.
 */
static inline char *expand(const uint8_t *text, size_t len, size_t *ret)
{
	static const struct { const char *text; size_t len; } units[] = {
		{ }, { "[", 1 }, { "]", 1 }, { "{\"\":", 4 }, { "}", 1 },
	};
	static char out[EXPAND_MAX + INPUT_MAX];
	size_t used = 0, grown = 0;
	char *exact;

	if (len > INPUT_MAX)
		len = INPUT_MAX;
	for (size_t i = 0; i < len; i++) {
		size_t times;

		if (!text[i] || text[i] > 4 || i + 1 == len) {
			out[used++] = text[i];
			continue;
		}
		times = text[i + 1] * 64 + 1;
		for (; times && grown + units[text[i]].len <= EXPAND_MAX; times--) {
			memcpy(out + used, units[text[i]].text, units[text[i]].len);
			used += units[text[i]].len;
			grown += units[text[i]].len;
		}
		i++;
	}
	exact = malloc(used);
	if (used)
		memcpy(exact, out, used);
	*ret = used;
	return exact;
}

/* A length and so many bytes, expanded: the caller frees them. */
static inline char *script_body(struct script *script, size_t *len)
{
	size_t nr = script_number(script, 2);
	const uint8_t *text = script->at;

	if (nr > (size_t)(script->end - script->at))
		nr = script->end - script->at;
	script->at += nr;
	return expand(text, nr, len);
}

#endif
