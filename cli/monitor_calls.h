/* SPDX-License-Identifier: MIT */
/* symphony monitor --calls: the calls of a bus, as they happen. */
#ifndef CLI_MONITOR_CALLS_H
#define CLI_MONITOR_CALLS_H

#include "cli.h"

/* Of @service or all (NULL), @left lines at most, @until as sbus_now() or 0. */
int monitor_calls(const struct cli *cli, const char *service, uint64_t left, uint64_t until);
/* The time of day, before a line. */
void monitor_print_time(void);

#endif
