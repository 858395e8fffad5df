/* SPDX-License-Identifier: MIT */
/* io_uring forbidden, as by the seccomp filters that containers have by default. */
#ifndef SYMPHONY_TESTS_WITHOUT_RINGS_H
#define SYMPHONY_TESTS_WITHOUT_RINGS_H

#include <stdbool.h>

/* From now on, for this thread and whatever it starts: EPERM. 0 or -errno. */
int rings_forbid(void);
/* Is each of its system calls refused with EPERM? */
bool rings_are_forbidden(void);

#endif
