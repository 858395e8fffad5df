/* SPDX-License-Identifier: MIT */
/* Watching endpoints: any number of watches here are one in the kernel. */
#ifndef LIBBUS_WATCH_H
#define LIBBUS_WATCH_H

#include "bus.h"

/* The kernel says that @endpoint is dead: runs the callbacks. */
void watch_gone(struct sbus *bus, uint64_t endpoint);
/* No callback runs any more. */
void watch_forget_all(struct sbus *bus);
void watch_deinit(struct sbus *bus);

#endif /* LIBBUS_WATCH_H */
