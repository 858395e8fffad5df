/* SPDX-License-Identifier: MIT */
/* A table that fits the terminal. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdio.h>

enum column_flags {
	COLUMN_RIGHT = 1,	/* numbers */
	COLUMN_SHRINKS = 2,	/* text can be cut where there is no room */
};

/* Columns of the greatest rank go first when there is no room; those of rank 0 stay. */
struct column {
	const char *title;
	unsigned int flags;
	unsigned int rank;
};

struct table;

/* @columns stay the caller's. Without memory, rows are missing. */
struct table *table_new(const struct column *columns, size_t nr);
/* The next cell, from left to right. */
void table_cell(struct table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* At most @width wide; 0: as it needs. Returns how many lines. */
unsigned int table_print(const struct table *table, FILE *to, unsigned int width);
void table_free(struct table *table);

#endif
