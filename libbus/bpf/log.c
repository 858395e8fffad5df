// SPDX-License-Identifier: MIT
/* What libbpf says while it works for us: kept for the error, not printed. */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#define TAIL 700

/* libbpf's print function is the whole process's: others' words go where they went. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(libbpf_print_fn_t) others;
static _Thread_local struct log *mine;

/* Of what does not fit the end is kept. */
static void append(struct log *log, const char *text, size_t len)
{
	const size_t room = sizeof(log->text) - 1;

	if (len > room) {
		text += len - room;
		len = room;
	}
	if (log->len + len > room) {
		size_t drop = log->len + len - room;

		memmove(log->text, log->text + drop, log->len - drop);
		log->len -= drop;
	}
	memcpy(log->text + log->len, text, len);
	log->len += len;
	log->text[log->len] = 0;
}

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
	libbpf_print_fn_t other = others;
	char *text;
	int len;

	if (!mine)
		return other ? other(level, format, args) : 0;
	if (level == LIBBPF_DEBUG)
		return 0;
	len = vasprintf(&text, format, args);
	if (len < 0)
		return 0;
	append(mine, text, len);
	free(text);
	return 0;
}

void log_begin(struct log *log)
{
	log->len = 0;
	log->text[0] = 0;
	pthread_mutex_lock(&lock);
	mine = log;
	others = libbpf_set_print(print);
}

void log_end(void)
{
	libbpf_set_print(others);
	mine = NULL;
	pthread_mutex_unlock(&lock);
}

const char *log_tail(struct log *log)
{
	char *tail = log->text, *line;

	while (log->len && log->text[log->len - 1] == '\n')
		log->text[--log->len] = 0;
	if (!log->len)
		return NULL;
	if (log->len > TAIL) {
		tail += log->len - TAIL;
		line = strchr(tail, '\n');
		tail = line ? line + 1 : tail;
	}
	for (line = tail; (line = strchr(line, '\n'));)
		*line = ';';
	return tail;
}
