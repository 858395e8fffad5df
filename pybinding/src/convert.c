// SPDX-License-Identifier: MIT
/* Python objects to JSON values and back, without text in between. */
#include "convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int put(struct convert *c, PyObject *object, int depth);

static int grow(struct convert *c)
{
	size_t room = c->room * 2;
	yyjson_val *vals;

	if (c->vals == c->fixed) {
		vals = malloc(room * sizeof(*vals));
		if (vals)
			memcpy(vals, c->fixed, c->len * sizeof(*vals));
	} else {
		vals = realloc(c->vals, room * sizeof(*vals));
	}
	if (!vals) {
		PyErr_NoMemory();
		return -1;
	}
	c->vals = vals;
	c->room = room;
	return 0;
}

/* Index of a new value: pointers do not survive the next one. */
static inline Py_ssize_t add(struct convert *c, uint64_t tag)
{
	if (c->len == c->room && grow(c) < 0)
		return -1;
	c->vals[c->len].tag = tag;
	return c->len++;
}

static inline int put_text(struct convert *c, uint64_t type, const char *text,
			   Py_ssize_t len)
{
	Py_ssize_t at = add(c, ((uint64_t)len << YYJSON_TAG_BIT) | type);

	if (at < 0)
		return -1;
	c->vals[at].uni.str = text;
	return 0;
}

static inline int put_str(struct convert *c, PyObject *str)
{
	const char *text;
	Py_ssize_t len;

	if (PyUnicode_IS_COMPACT_ASCII(str)) {
		text = PyUnicode_DATA(str);
		len = PyUnicode_GET_LENGTH(str);
	} else {
		text = PyUnicode_AsUTF8AndSize(str, &len);
		if (!text)
			return -1;
	}
	return put_text(c, YYJSON_TYPE_STR, text, len);
}

/* An integer of more than 64 bits travels as its digits. */
static int put_big(struct convert *c, PyObject *number)
{
	PyObject *digits;
	const char *text;
	Py_ssize_t len;
	int r;

	if (!c->owned) {
		c->owned = PyList_New(0);
		if (!c->owned)
			return -1;
	}
	digits = PyLong_Type.tp_repr(number);
	if (!digits)
		return -1;
	r = PyList_Append(c->owned, digits);
	text = PyUnicode_AsUTF8AndSize(digits, &len);
	Py_DECREF(digits);
	return r < 0 ? -1 : put_text(c, YYJSON_TYPE_RAW, text, len);
}

static int put_int(struct convert *c, PyObject *number)
{
	long long value;
	int overflow = 0;
	uint64_t bits;
	Py_ssize_t at;

	if (PyUnstable_Long_IsCompact((PyLongObject *)number))
		value = PyUnstable_Long_CompactValue((PyLongObject *)number);
	else
		value = PyLong_AsLongLongAndOverflow(number, &overflow);
	bits = value;
	if (overflow < 0)
		return put_big(c, number);
	if (overflow > 0) {
		bits = PyLong_AsUnsignedLongLong(number);
		if (bits == (uint64_t)-1 && PyErr_Occurred()) {
			PyErr_Clear();
			return put_big(c, number);
		}
	}
	at = add(c, YYJSON_TYPE_NUM | (!overflow && value < 0 ?
				       YYJSON_SUBTYPE_SINT :
				       YYJSON_SUBTYPE_UINT));
	if (at < 0)
		return -1;
	c->vals[at].uni.u64 = bits;
	return 0;
}

static int put_float(struct convert *c, double value)
{
	Py_ssize_t at;

	if (!isfinite(value)) {
		PyErr_SetString(PyExc_ValueError,
				"a message cannot hold NaN or infinity: JSON has no such number");
		return -1;
	}
	at = add(c, YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL);
	if (at < 0)
		return -1;
	c->vals[at].uni.f64 = value;
	return 0;
}

static int too_deep(void)
{
	PyErr_Format(PyExc_ValueError,
		     "a message cannot be nested deeper than %d levels (or it contains itself)",
		     CONVERT_DEPTH_MAX);
	return -1;
}

static inline Py_ssize_t open_container(struct convert *c, uint64_t type,
					Py_ssize_t len)
{
	return add(c, ((uint64_t)len << YYJSON_TAG_BIT) | type);
}

static inline void close_container(struct convert *c, Py_ssize_t at)
{
	c->vals[at].uni.ofs = (c->len - at) * sizeof(*c->vals);
}

static int put_dict(struct convert *c, PyObject *dict, int depth)
{
	PyObject *key, *value;
	Py_ssize_t pos = 0, at;

	if (depth >= CONVERT_DEPTH_MAX)
		return too_deep();
	at = open_container(c, YYJSON_TYPE_OBJ, PyDict_GET_SIZE(dict));
	if (at < 0)
		return -1;
	while (PyDict_Next(dict, &pos, &key, &value)) {
		if (!PyUnicode_Check(key)) {
			PyErr_Format(PyExc_TypeError,
				     "a message's keys are strings, not %T", key);
			return -1;
		}
		if (put_str(c, key) < 0 || put(c, value, depth + 1) < 0)
			return -1;
	}
	close_container(c, at);
	return 0;
}

static int put_sequence(struct convert *c, PyObject *sequence, int depth)
{
	Py_ssize_t len = PySequence_Fast_GET_SIZE(sequence);
	Py_ssize_t at;

	if (depth >= CONVERT_DEPTH_MAX)
		return too_deep();
	at = open_container(c, YYJSON_TYPE_ARR, len);
	if (at < 0)
		return -1;
	for (Py_ssize_t i = 0; i < len; i++)
		if (put(c, PySequence_Fast_GET_ITEM(sequence, i), depth + 1) < 0)
			return -1;
	close_container(c, at);
	return 0;
}

/*
 * Nothing here runs Python code, so neither containers nor strings can change
 * before the tree is used.
 */
static int put(struct convert *c, PyObject *object, int depth)
{
	if (PyUnicode_Check(object))
		return put_str(c, object);
	/* Not a bool, which comes less often. */
	if (PyLong_CheckExact(object))
		return put_int(c, object);
	if (object == Py_None)
		return add(c, YYJSON_TYPE_NULL) < 0 ? -1 : 0;
	if (PyBool_Check(object))
		return add(c, YYJSON_TYPE_BOOL | (object == Py_True ?
						  YYJSON_SUBTYPE_TRUE :
						  YYJSON_SUBTYPE_FALSE)) < 0 ? -1 : 0;
	if (PyLong_Check(object))
		return put_int(c, object);
	if (PyDict_Check(object))
		return put_dict(c, object, depth);
	if (PyList_Check(object) || PyTuple_Check(object))
		return put_sequence(c, object, depth);
	if (PyFloat_Check(object))
		return put_float(c, PyFloat_AS_DOUBLE(object));
	PyErr_Format(PyExc_TypeError,
		     "a message is made of dict, list, str, int, float, bool and None, not %T",
		     object);
	return -1;
}

yyjson_val *convert_from_py(struct convert *c, PyObject *object)
{
	c->vals = c->fixed;
	c->len = 0;
	c->room = CONVERT_INLINE;
	c->owned = NULL;
	if (put(c, object, 0) < 0) {
		convert_drop(c);
		return NULL;
	}
	return c->vals;
}

void convert_drop(struct convert *c)
{
	if (c->vals != c->fixed)
		free(c->vals);
	Py_CLEAR(c->owned);
}

PyObject *convert_check(PyObject *module, PyObject *value)
{
	struct convert c;

	if (!convert_from_py(&c, value))
		return NULL;
	convert_drop(&c);
	Py_RETURN_NONE;
}

static PyObject *number_from_digits(const char *digits, size_t len)
{
	PyObject *number;
	char *text;

	text = strndup(digits, len);
	if (!text)
		return PyErr_NoMemory();
	if (strpbrk(text, ".eE")) {
		double value = PyOS_string_to_double(text, NULL,
						     PyExc_ValueError);

		number = value == -1.0 && PyErr_Occurred() ?
			NULL : PyFloat_FromDouble(value);
	} else {
		number = PyLong_FromString(text, NULL, 10);
	}
	free(text);
	return number;
}

/* What immutable and mutable values have in common: all but containers. */
static PyObject *scalar_to_py(yyjson_val *val)
{
	switch (unsafe_yyjson_get_type(val)) {
	case YYJSON_TYPE_STR:
		return PyUnicode_DecodeUTF8(unsafe_yyjson_get_str(val),
					    unsafe_yyjson_get_len(val), NULL);
	case YYJSON_TYPE_NUM:
		switch (unsafe_yyjson_get_subtype(val)) {
		case YYJSON_SUBTYPE_UINT:
			return PyLong_FromUnsignedLongLong(val->uni.u64);
		case YYJSON_SUBTYPE_SINT:
			return PyLong_FromLongLong(val->uni.i64);
		default:
			return PyFloat_FromDouble(val->uni.f64);
		}
	case YYJSON_TYPE_BOOL:
		return PyBool_FromLong(unsafe_yyjson_get_bool(val));
	case YYJSON_TYPE_RAW:
		return number_from_digits(unsafe_yyjson_get_raw(val),
					  unsafe_yyjson_get_len(val));
	default:
		Py_RETURN_NONE;
	}
}

/*
 * Names of members come again and again, so the str of a short one is kept, until
 * another one wants its place.
 */
#define KEY_MAX 32

static PyObject *key_to_py(struct state *st, yyjson_val *key)
{
	size_t len = unsafe_yyjson_get_len(key);
	const char *text = unsafe_yyjson_get_str(key);
	PyObject **place, *str;

	if (!len || len > KEY_MAX)
		return scalar_to_py(key);
	place = &st->keys[((unsigned char)text[0] + 5 * (unsigned char)text[len / 2] +
			   17 * (unsigned char)text[len - 1] + 67 * len) % STATE_KEYS];
	str = *place;
	if (str && (size_t)PyUnicode_GET_LENGTH(str) == len &&
	    memcmp(PyUnicode_DATA(str), text, len) == 0)
		return Py_NewRef(str);
	str = scalar_to_py(key);
	if (str && PyUnicode_IS_COMPACT_ASCII(str))
		Py_XSETREF(*place, Py_NewRef(str));
	return str;
}

/* Consumes @key and @value; either may be NULL with an exception set. */
static int set_item(PyObject *dict, PyObject *key, PyObject *value)
{
	int r = -1;

	if (key && value)
		r = PyDict_SetItem(dict, key, value);
	Py_XDECREF(key);
	Py_XDECREF(value);
	return r;
}

static PyObject *val_to_py(struct state *st, yyjson_val *val, int depth)
{
	PyObject *object;
	size_t i, max;
	yyjson_val *key, *item;

	if (!unsafe_yyjson_is_ctn(val))
		return scalar_to_py(val);
	if (depth >= CONVERT_DEPTH_MAX) {
		too_deep();
		return NULL;
	}
	if (unsafe_yyjson_get_type(val) == YYJSON_TYPE_OBJ) {
		object = PyDict_New();
		if (!object)
			return NULL;
		yyjson_obj_foreach(val, i, max, key, item) {
			if (set_item(object, key_to_py(st, key),
				     val_to_py(st, item, depth + 1)) < 0) {
				Py_DECREF(object);
				return NULL;
			}
		}
		return object;
	}
	object = PyList_New(yyjson_arr_size(val));
	if (!object)
		return NULL;
	yyjson_arr_foreach(val, i, max, item) {
		PyObject *member = val_to_py(st, item, depth + 1);

		if (!member) {
			Py_DECREF(object);
			return NULL;
		}
		PyList_SET_ITEM(object, i, member);
	}
	return object;
}

PyObject *convert_to_py(struct state *st, yyjson_val *val)
{
	return val_to_py(st, val, 0);
}

static PyObject *mut_to_py(struct state *st, yyjson_mut_val *val, int depth)
{
	PyObject *object;
	size_t i, max;
	yyjson_mut_val *key, *item;

	if (!unsafe_yyjson_is_ctn(val))
		return scalar_to_py((yyjson_val *)val);
	if (depth >= CONVERT_DEPTH_MAX) {
		too_deep();
		return NULL;
	}
	if (unsafe_yyjson_get_type(val) == YYJSON_TYPE_OBJ) {
		object = PyDict_New();
		if (!object)
			return NULL;
		yyjson_mut_obj_foreach(val, i, max, key, item) {
			if (set_item(object, key_to_py(st, (yyjson_val *)key),
				     mut_to_py(st, item, depth + 1)) < 0) {
				Py_DECREF(object);
				return NULL;
			}
		}
		return object;
	}
	object = PyList_New(yyjson_mut_arr_size(val));
	if (!object)
		return NULL;
	yyjson_mut_arr_foreach(val, i, max, item) {
		PyObject *member = mut_to_py(st, item, depth + 1);

		if (!member) {
			Py_DECREF(object);
			return NULL;
		}
		PyList_SET_ITEM(object, i, member);
	}
	return object;
}

PyObject *convert_mut_to_py(struct state *st, yyjson_mut_val *val)
{
	return mut_to_py(st, val, 0);
}

int convert_number(PyObject *value, const char *name, uint64_t max, uint64_t *number)
{
	PyObject *index;

	if (!PyIndex_Check(value)) {
		PyErr_Format(PyExc_TypeError, "%s is an int, not %T", name, value);
		return -1;
	}
	index = PyNumber_Index(value);
	if (!index)
		return -1;
	*number = PyLong_AsUnsignedLongLong(index);
	Py_DECREF(index);
	if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
		return -1;
	if (!PyErr_Occurred() && *number <= max)
		return 0;
	PyErr_Clear();
	PyErr_Format(PyExc_ValueError, "%s is an int from 0 to %llu, not %R", name,
		     (unsigned long long)max, value);
	return -1;
}
