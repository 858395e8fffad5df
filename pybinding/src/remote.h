/* SPDX-License-Identifier: MIT */
/* Calls to extensions in other processes, through the endpoint. */
#ifndef SYMPHONY_PY_REMOTE_H
#define SYMPHONY_PY_REMOTE_H

#include "bus.h"

PyObject *remote_send(struct bus *bus, const struct bus_request *request);

/* Waits for the answer without the GIL. */
PyObject *remote_call(struct bus *bus, const struct bus_request *request);

#endif
