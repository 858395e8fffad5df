/* SPDX-License-Identifier: MIT */
/* Python objects to JSON values and back, without text in between. */
#ifndef SYMPHONY_PY_CONVERT_H
#define SYMPHONY_PY_CONVERT_H

#include "state.h"
#include <yyjson.h>

/* Containers inside containers, on the way in and on the way out. */
#define CONVERT_DEPTH_MAX 512

/* Values that fit without the heap: a message of a few dozen members. */
#define CONVERT_INLINE 96

/*
 * An immutable yyjson tree under construction. Strings are borrowed from the
 * Python objects they came from: the tree is good for as long as those are
 * alive and the GIL is held.
 */
struct convert {
	yyjson_val *vals;
	size_t len;
	size_t room;
	PyObject *owned;	/* list of temporary str objects, or NULL */
	yyjson_val fixed[CONVERT_INLINE];
};

/* The tree's root, valid until convert_drop(); NULL with an exception set. */
yyjson_val *convert_from_py(struct convert *c, PyObject *object);
void convert_drop(struct convert *c);

/* The module's check_message(value): None, or what convert_from_py() raises. */
PyObject *convert_check(PyObject *module, PyObject *value);

/*
 * The int @value of the argument @name, which is 0 to @max: 0, or -1 and a TypeError or a
 * ValueError.
 */
int convert_number(PyObject *value, const char *name, uint64_t max, uint64_t *number);

PyObject *convert_to_py(struct state *st, yyjson_val *val);
PyObject *convert_mut_to_py(struct state *st, yyjson_mut_val *val);

#endif
