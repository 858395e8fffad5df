/* SPDX-License-Identifier: MIT */
/* What libbpf says while it works for us: kept for the error, not printed. */
#ifndef LIBBUS_BPF_LOG_H
#define LIBBUS_BPF_LOG_H

#include <stddef.h>

struct log {
	size_t len;
	char text[4096];
};

/* This thread's, from begin to end; one thread at a time has one. */
void log_begin(struct log *log);
void log_end(void);
/* The last lines, in one; NULL when nothing was said. */
const char *log_tail(struct log *log);

#endif
