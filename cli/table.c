// SPDX-License-Identifier: MIT
/* A table that fits the terminal: columns go, or are cut, until it does. */
#include "table.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define COLUMNS_MAX 24
#define GAP 2
/* A column that is cut keeps so much. */
#define LEAST 12
/* Columns of such a rank are not worth that another is cut for them. */
#define SPARE 3

struct table {
	const struct column *columns;
	size_t nr_columns;
	size_t nr_cells;
	size_t room;
	char **cells;
};

struct layout {
	bool shown[COLUMNS_MAX];
	unsigned int width[COLUMNS_MAX];
};

struct table *table_new(const struct column *columns, size_t nr)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table) {
		table->columns = columns;
		table->nr_columns = nr < COLUMNS_MAX ? nr : COLUMNS_MAX;
	}
	return table;
}

void table_cell(struct table *table, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	if (!table)
		return;
	if (table->nr_cells == table->room) {
		size_t room = table->room ? 2 * table->room : 64;
		char **cells = reallocarray(table->cells, room, sizeof(*cells));

		if (!cells)
			return;
		table->cells = cells;
		table->room = room;
	}
	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len >= 0)
		table->cells[table->nr_cells++] = text;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	while (table->nr_cells)
		free(table->cells[--table->nr_cells]);
	free(table->cells);
	free(table);
}

static bool is_start(char c)
{
	return (c & 0xc0) != 0x80;
}

static unsigned int width_of(const char *text)
{
	unsigned int width = 0;

	for (; *text; text++)
		width += is_start(*text);
	return width;
}

static unsigned int total(const struct table *table, const struct layout *layout)
{
	unsigned int width = 0;

	for (size_t i = 0; i < table->nr_columns; i++)
		if (layout->shown[i])
			width += layout->width[i] + GAP;
	return width ? width - GAP : 0;
}

/* Hides the columns of the greatest rank, if that is @least or more. */
static bool hide(const struct table *table, struct layout *layout, unsigned int least)
{
	unsigned int rank = 0;

	for (size_t i = 0; i < table->nr_columns; i++)
		if (layout->shown[i] && table->columns[i].rank > rank)
			rank = table->columns[i].rank;
	if (rank < least)
		return false;
	for (size_t i = 0; i < table->nr_columns; i++)
		if (table->columns[i].rank == rank)
			layout->shown[i] = false;
	return true;
}

/* Cuts the widest column that can be by one; false when none can. */
static bool cut(const struct table *table, struct layout *layout)
{
	size_t widest = table->nr_columns;

	for (size_t i = 0; i < table->nr_columns; i++)
		if (layout->shown[i] && table->columns[i].flags & COLUMN_SHRINKS &&
		    layout->width[i] > LEAST &&
		    (widest == table->nr_columns || layout->width[i] > layout->width[widest]))
			widest = i;
	if (widest == table->nr_columns)
		return false;
	layout->width[widest]--;
	return true;
}

/* Text is cut, as long as that is enough; else a column goes, with text whole again. */
static void lay_out(const struct table *table, struct layout *layout, unsigned int width)
{
	for (size_t i = 0; i < table->nr_columns; i++) {
		layout->shown[i] = true;
		layout->width[i] = width_of(table->columns[i].title);
	}
	for (size_t i = 0; i < table->nr_cells; i++) {
		unsigned int *at = &layout->width[i % table->nr_columns];
		unsigned int len = width_of(table->cells[i]);

		*at = len > *at ? len : *at;
	}
	if (!width)
		return;
	while (total(table, layout) > width && hide(table, layout, SPARE))
		;
	do {
		struct layout attempt = *layout;

		while (total(table, &attempt) > width)
			if (!cut(table, &attempt))
				break;
		if (total(table, &attempt) <= width) {
			*layout = attempt;
			return;
		}
	} while (hide(table, layout, 1));
	while (total(table, layout) > width && cut(table, layout))
		;
}

static void print_cell(FILE *to, const char *text, unsigned int width, unsigned int flags,
		       bool last)
{
	unsigned int len = width_of(text);
	const char *mark = strcmp(nl_langinfo(CODESET), "UTF-8") ? "~" : "\u2026";
	char *shown = NULL;

	if (flags & COLUMN_RIGHT && len < width)
		fprintf(to, "%*s", (int)(width - len), "");
	if (len > width) {
		const char *end = text;

		for (unsigned int i = 0; i < width; i++)
			for (end++; !is_start(*end);)
				end++;
		/* The last one that fits makes place for the mark. */
		do
			end--;
		while (!is_start(*end));
		shown = strndup(text, end - text);
		cli_print_text(to, shown ? shown : "");
		fputs(mark, to);
		free(shown);
		len = width;
	} else {
		cli_print_text(to, text);
	}
	if (!(flags & COLUMN_RIGHT) && len < width && !last)
		fprintf(to, "%*s", (int)(width - len), "");
	if (!last)
		fprintf(to, "%*s", GAP, "");
}

static void print_row(const struct table *table, const struct layout *layout, FILE *to,
		      char *const *cells)
{
	size_t last = 0;

	for (size_t i = 0; i < table->nr_columns; i++)
		if (layout->shown[i])
			last = i;
	for (size_t i = 0; i <= last; i++)
		if (layout->shown[i])
			print_cell(to, cells ? cells[i] : table->columns[i].title,
				   layout->width[i], table->columns[i].flags, i == last);
	fputc('\n', to);
}

unsigned int table_print(const struct table *table, FILE *to, unsigned int width)
{
	struct layout layout = { 0 };
	unsigned int lines = 1;

	if (!table)
		return 0;
	lay_out(table, &layout, width);
	print_row(table, &layout, to, NULL);
	for (size_t i = 0; i + table->nr_columns <= table->nr_cells; i += table->nr_columns, lines++)
		print_row(table, &layout, to, table->cells + i);
	return lines;
}
