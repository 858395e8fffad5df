/* SPDX-License-Identifier: MIT */
/* Options of a program that is loaded: the variables and the list that it reads. */
#ifndef LIBBUS_BPF_OPTIONS_H
#define LIBBUS_BPF_OPTIONS_H

#include <symphony/router.h>

struct btf;

#define OPTIONS_MAX 32
/* Of the maps. */
#define OPTIONS_VALUES ".data.options"
#define OPTIONS_ALLOW "allow"

struct option {
	char name[32];
	uint32_t offset, min, max;
};

struct options {
	int values;			/* file of the map of variables, or -1 */
	int allow;			/* of an acl's list, or -1 */
	size_t size;			/* of the variables */
	unsigned int nr;
	struct option at[OPTIONS_MAX];
};

/*
 * What there is in maps, by @btf, which can be NULL without @values. Takes the two
 * files, or -1, on success.
 */
int options_init(struct options *options, const struct btf *btf, int values, int allow);
void options_deinit(struct options *options);
/* @policy and @bus are for messages, @bus also to find ids. @text can be NULL. */
int options_set(const struct options *options, const char *policy, const char *bus,
		const char *text, struct sbus_error *error);
/* All variables as options_set() takes them: to be freed. */
int options_text(const struct options *options, const char *policy, char **text,
		 struct sbus_error *error);
int options_get(const struct options *options, const char *policy, const char *name,
		uint32_t *value, struct sbus_error *error);

#endif
