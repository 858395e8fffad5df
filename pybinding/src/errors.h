/* SPDX-License-Identifier: MIT */
/* libsymphony's errors as exceptions. */
#ifndef SYMPHONY_PY_ERRORS_H
#define SYMPHONY_PY_ERRORS_H

#include "state.h"
#include <symphony/bus.h>

/* Raises what @error tells. Returns NULL, so that a function can end with it. */
PyObject *errors_raise(struct state *st, const struct sbus_error *error);

/* Raises errno @r (negative) for @extension (or NULL) with a text of our own. */
PyObject *errors_raise_text(struct state *st, int r, const char *extension,
			    const char *text);

#endif
