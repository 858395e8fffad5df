/* SPDX-License-Identifier: MIT */
/* Ending a blocking call from another thread. */
#ifndef LIBBUS_CANCEL_H
#define LIBBUS_CANCEL_H

#include "bus.h"

/* The call is about to be made: 0, or -ECANCELED. */
int cancel_enter(struct sbus_cancel *cancel, struct sbus *bus, struct symphony_call *call);
/* The call is over, and @call about to go. */
void cancel_leave(struct sbus_cancel *cancel);
bool cancel_triggered(struct sbus_cancel *cancel);

#endif /* LIBBUS_CANCEL_H */
