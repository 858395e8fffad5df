/* SPDX-License-Identifier: MIT */
/* Calls to members of the Pit: Python objects to parsed values, and a function call. */
#ifndef SYMPHONY_PY_PIT_H
#define SYMPHONY_PY_PIT_H

#include "bus.h"

/* A call that has its outcome already if the member answered at once. */
PyObject *pit_send(struct bus *bus, struct sbus_member *member,
		   const struct bus_request *request);

/* Waits for the answer without the GIL. */
PyObject *pit_call(struct bus *bus, struct sbus_member *member,
		   const struct bus_request *request);

void pit_cancel(struct call *call, struct sbus_pending *pending);

#endif
