// SPDX-License-Identifier: GPL-2.0-only
/* Trace: the tracepoints themselves. */
#include <linux/symphony.h>

#define CREATE_TRACE_POINTS
#include "trace.h"
