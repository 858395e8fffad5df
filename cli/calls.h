/* SPDX-License-Identifier: MIT */
/* BPF programs on the tracepoints of calls, loaded. */
#ifndef CLI_CALLS_H
#define CLI_CALLS_H

#include <symphony/bus.h>

#include "calls_bpf.h"

struct calls;

/*
 * Of the bus, and of one service of it or all (NULL); @events: tell them, else take
 * times. Fails with -EPERM for who may not see calls.
 */
int calls_open(struct calls **calls, const char *bus, const char *service, bool events,
	       struct sbus_error *error);
void calls_close(struct calls *calls);

/* Files of the maps that calls_bpf.h describes. */
int calls_times_map(const struct calls *calls);
int calls_outcomes_map(const struct calls *calls);
int calls_events_map(const struct calls *calls);
uint64_t calls_lost(const struct calls *calls);

#endif
