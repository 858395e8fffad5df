/* SPDX-License-Identifier: MIT */
/* Waiting: for a file, for a time, for the user to end it. */
#ifndef CLI_LOOP_H
#define CLI_LOOP_H

#include <stdint.h>

enum loop_event {
	LOOP_ENDED = -1,	/* SIGINT or SIGTERM */
	LOOP_TIME = 0,
	LOOP_READABLE = 1,
	LOOP_RESIZED = 2,	/* SIGWINCH */
};

/* From here on these signals are only seen by loop_wait(). */
void loop_begin(void);
/* @fd can be -1; @until as sbus_now(), 0 for ever. */
enum loop_event loop_wait(int fd, uint64_t until);

#endif
