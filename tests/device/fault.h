/* SPDX-License-Identifier: MIT */
/*
 * Make the next thing fail, or the one after it: an allocation, a copy from or to
 * user memory. Two ways, of which a kernel has none, one or both:
 *
 * FAULT_KERNEL is the kernel's own fault injection, in this thread: everything
 * that is allocated, deep inside the kernel too, and _copy_*_user().
 * FAULT_POINTS is the module built with tests/faultpoints: every call of the
 * module to what can fail, put_user() and the like too, in any thread.
 */
#ifndef SYMPHONY_TESTS_FAULT_H
#define SYMPHONY_TESTS_FAULT_H

#include <stdbool.h>

#define FAULT_LIST	"/sys/kernel/debug/symphony_faults"

enum fault_way { FAULT_KERNEL, FAULT_POINTS, FAULT_WAYS };

/* Whether there is such a way here; then it is made ready. */
bool fault_begin(enum fault_way way);
/* The @nth thing fails, in this thread or, by FAULT_POINTS, in kernel threads. */
int fault_arm(enum fault_way way, int nth, bool workers);
/* Nothing fails any more; whether something did. */
bool fault_disarm(enum fault_way way);
/* By FAULT_POINTS: what it was that failed last, as file:line function. */
const char *fault_where(void);
/* Was that a copy, for which the error is EFAULT? */
bool fault_was_copy(void);

#endif
