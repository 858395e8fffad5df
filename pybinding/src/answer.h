/* SPDX-License-Identifier: MIT */
/* What came of a call, kept until it can be made a Python object. */
#ifndef SYMPHONY_PY_ANSWER_H
#define SYMPHONY_PY_ANSWER_H

#include "state.h"
#include <symphony/bus.h>

struct answer {
	yyjson_mut_doc *doc;		/* NULL: null */
	struct sbus_error error;
};

/* Copies what a sink was given, which does not stay. Needs no GIL. */
void answer_copy(struct answer *answer, yyjson_mut_val *result,
		 const struct sbus_error *error);

/* The answer as an object, or NULL and the exception; empties it. */
PyObject *answer_take(struct state *st, struct answer *answer);

void answer_drop(struct answer *answer);

#endif
