// SPDX-License-Identifier: MIT
/*
 * JSON to Python objects and back, by the binding's own code in an interpreter of
 * this program. The first byte says which way the rest goes:
 *
 *	0	a body from a peer: what comes of it is written and read again, and
 *		is what Python's own json says it is
 *	1	a program that builds an object: it is sent and comes back, or is refused
 *	2	an error reply from a peer, as what the binding raises
 */
#include <Python.h>

#include "../../../pybinding/src/answer.h"
#include "../../../pybinding/src/body.h"
#include "../../../pybinding/src/convert.h"
#include "../../../pybinding/src/state.h"
#include "kernel.h"
#include "script.h"

PyMODINIT_FUNC PyInit__symphony(void);

static struct state *st;
static PyObject *loads, *same, *huge, *bus_error;

/* As json.loads() would with the binding's bounds; equal, and of the same types. */
static const char helpers[] =
	"import json, math\n"
	"def no(text): raise ValueError(text)\n"
	"def number(text):\n"
	"    value = float(text)\n"
	"    return value if math.isfinite(value) else no(text)\n"
	"huge = 10 ** 5000\n"
	"decoder = json.JSONDecoder(parse_constant=no, parse_float=number)\n"
	"def loads(data):\n"
	"    return decoder.decode(data.decode('utf-8'))\n"
	"def same(a, b):\n"
	"    if isinstance(a, (list, tuple)):\n"
	"        return type(b) is list and len(a) == len(b) and all(map(same, a, b))\n"
	"    if isinstance(a, dict):\n"
	"        return type(b) is dict and list(map(str, a)) == list(b) and \\\n"
	"            all(map(same, a.values(), b.values()))\n"
	"    if isinstance(a, bool) or a is None:\n"
	"        return a is b\n"
	"    if isinstance(a, float):\n"
	"        return type(b) is float and a.hex() == b.hex()\n"
	"    return type(b) in (int, str) and a == b\n";

static PyObject *helper(PyObject *globals, const char *name)
{
	PyObject *value = PyDict_GetItemString(globals, name);

	CHECK(value);
	return Py_NewRef(value);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	PyObject *globals, *module;

	(void)argc;
	(void)argv;
	setenv("PYTHONMALLOC", "malloc", 1);
	CHECK(PyImport_AppendInittab("symphony_ipc._symphony", PyInit__symphony) == 0);
	Py_InitializeEx(0);
	CHECK(PyRun_SimpleString("import sys; sys.path.insert(0, 'build/fuzz/python')\n"
				 "sys.dont_write_bytecode = True\n"
				 "sys.setrecursionlimit(4000)\n") == 0);
	module = PyImport_ImportModule("symphony_ipc._symphony");
	if (!module)
		PyErr_Print();
	CHECK(module);
	st = PyModule_GetState(module);
	module = PyImport_ImportModule("symphony_ipc");
	CHECK(module);
	bus_error = PyObject_GetAttrString(module, "BusError");
	CHECK(bus_error);
	globals = PyDict_New();
	PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins());
	CHECK(PyRun_String(helpers, Py_file_input, globals, globals));
	loads = helper(globals, "loads");
	same = helper(globals, "same");
	huge = helper(globals, "huge");
	return 0;
}

/* The exception that is set is one of those that are documented; no longer set. */
static void refused(bool type_error)
{
	CHECK(PyErr_ExceptionMatches(PyExc_ValueError) ||
	      (type_error && PyErr_ExceptionMatches(PyExc_TypeError)));
	PyErr_Clear();
}

static void check_same(PyObject *a, PyObject *b)
{
	PyObject *r = PyObject_CallFunctionObjArgs(same, a, b, NULL);

	if (!r)
		PyErr_Print();
	CHECK(r == Py_True);
	Py_DECREF(r);
}

/* @object as a body, and what that is for the other side: NULL when it is refused. */
static PyObject *sent(PyObject *object, bool type_error, struct buffer *buffer,
		      struct body *body)
{
	PyObject *copy;

	if (body_encode(body, object, buffer) < 0) {
		refused(type_error);
		return NULL;
	}
	CHECK(!PyErr_Occurred());
	copy = body->content == SBUS_JSON ? body_parse(st, body->data, body->len) :
		PyBytes_FromStringAndSize(body->data, body->len);
	if (!copy)
		PyErr_Print();
	CHECK(copy);
	return copy;
}

static void round_trip(PyObject *object, bool type_error)
{
	struct buffer first = { }, second = { };
	struct body a, b;
	PyObject *copy, *again;

	copy = sent(object, type_error, &first, &a);
	if (copy) {
		check_same(object, copy);
		again = sent(copy, false, &second, &b);
		CHECK(again && a.len == b.len && !memcmp(a.data, b.data, a.len));
		CHECK(a.method == b.method);
		Py_DECREF(again);
		body_drop(&b);
		Py_DECREF(copy);
		body_drop(&a);
	}
	buffer_free(&first);
	buffer_free(&second);
}

static void from_peer(const char *data, size_t len)
{
	PyObject *object = body_parse(st, data, len), *expected;

	if (object) {
		expected = PyObject_CallFunction(loads, "y#", data, (Py_ssize_t)len);
		if (!expected)
			PyErr_Print();
		CHECK(expected);
		check_same(expected, object);
		round_trip(object, false);
		Py_DECREF(expected);
		Py_DECREF(object);
	} else {
		refused(false);
	}
}

/* --- objects ----------------------------------------------------------------- */

static PyObject *build(struct script *script, int depth);

static PyObject *build_text(struct script *script)
{
	size_t len = script_byte(script) % 24;
	int kind = script_byte(script) % 4;
	Py_UCS4 text[24];

	for (size_t i = 0; i < len; i++)
		text[i] = kind == 0 ? script_byte(script) & 127 :
			  kind == 1 ? script_byte(script) :
			  kind == 2 ? script_number(script, 2) : script_number(script, 3) % 0x110000;
	return PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, text, len);
}

static PyObject *build_int(struct script *script)
{
	unsigned char digits[600];
	size_t len = script_byte(script) % 16;

	if (!len)
		len = script_number(script, 2) % sizeof(digits);
	for (size_t i = 0; i < len; i++)
		digits[i] = script_byte(script);
	/* Beyond the digits that are given: a number longer than Python writes. */
	if (len == sizeof(digits) - 1)
		return Py_NewRef(huge);
	return PyLong_FromNativeBytes(digits, len, -1);
}

static PyObject *build_list(struct script *script, int depth)
{
	size_t len = script_byte(script) % 12;
	PyObject *list = PyList_New(len);

	for (size_t i = 0; i < len; i++)
		PyList_SET_ITEM(list, i, build(script, depth + 1));
	return list;
}

static PyObject *build_tuple(struct script *script, int depth)
{
	PyObject *list = build_list(script, depth), *tuple = PyList_AsTuple(list);

	Py_DECREF(list);
	return tuple;
}

static PyObject *build_dict(struct script *script, int depth)
{
	size_t len = script_byte(script) % 12;
	PyObject *dict = PyDict_New();

	for (size_t i = 0; i < len; i++) {
		PyObject *key = script_byte(script) % 32 ? build_text(script) : build_int(script);
		PyObject *value = script_byte(script) % 16 || !depth ? build(script, depth + 1) :
								       Py_NewRef(dict);

		CHECK(key && value && !PyDict_SetItem(dict, key, value));
		Py_DECREF(key);
		Py_DECREF(value);
	}
	return dict;
}

static PyObject *build_deep(struct script *script)
{
	PyObject *value = PyList_New(0), *outer;
	size_t levels = 500 + script_byte(script) % 20;

	for (size_t i = 1; i < levels; i++) {
		outer = i & 1 ? Py_BuildValue("[N]", value) : Py_BuildValue("{s:N}", "k", value);
		value = outer;
	}
	return value;
}

static PyObject *build(struct script *script, int depth)
{
	double real;
	uint64_t bits;

	switch (script_byte(script) % (depth > 8 ? 8 : 13)) {
	case 0:
		Py_RETURN_NONE;
	case 1:
		return PyBool_FromLong(script_byte(script) & 1);
	case 2:
	case 3:
		return build_int(script);
	case 4:
		bits = script_number(script, 8);
		memcpy(&real, &bits, sizeof(real));
		return PyFloat_FromDouble(real);
	case 5:
	case 6:
		return build_text(script);
	case 7:
		bits = script_byte(script);
		return bits == 1 ? PyBytes_FromStringAndSize("\xff", 1) :
		       bits == 2 ? PySet_New(NULL) :
		       bits == 3 ? PyComplex_FromDoubles(1, 2) :
		       bits == 4 ? PyByteArray_FromStringAndSize("ab", 2) :
		       bits == 5 ? build_deep(script) : PyUnicode_FromString("method");
	case 8:
	case 9:
		return build_list(script, depth);
	case 10:
		return build_tuple(script, depth);
	default:
		return build_dict(script, depth);
	}
}

static void from_here(const uint8_t *data, size_t size)
{
	struct script script = { data, data + size };
	PyObject *object = build(&script, 0);

	CHECK(object && !PyErr_Occurred());
	if (PyObject_CheckBuffer(object)) {
		struct buffer buffer = { };
		struct body body;

		CHECK(!body_encode(&body, object, &buffer) && body.content == SBUS_RAW);
		body_drop(&body);
	} else {
		round_trip(object, true);
	}
	Py_DECREF(object);
}

/* --- answers -------------------------------------------------------------------- */

static void raised(void)
{
	CHECK(PyErr_ExceptionMatches(bus_error));
	PyErr_Clear();
}

static void answers(const char *data, size_t len)
{
	struct sbus_error error = { .error = -EREMOTEIO, .code = len, .extension = "peer" };
	struct answer answer = { };
	yyjson_doc *doc = yyjson_read(data, len, 0);
	yyjson_mut_doc *copy;
	PyObject *value, *expected;

	if (!doc)
		return;
	copy = yyjson_doc_mut_copy(doc, NULL);
	expected = convert_to_py(st, yyjson_doc_get_root(doc));
	if (!expected)
		refused(false);
	/* A result, of which the Pit may keep nothing. */
	if (expected) {
		answer_copy(&answer, yyjson_mut_doc_get_root(copy), NULL);
		value = answer_take(st, &answer);
		CHECK(value);
		check_same(expected, value);
		Py_DECREF(value);
	}
	error.data = doc;
	error.message = strdup(yyjson_get_str(yyjson_doc_get_root(doc)) ?: "text");
	if (expected)
		answer_copy(&answer, NULL, &error);
	else
		answer.error = (struct sbus_error){ .error = -EREMOTEIO, .data = yyjson_read(data, len, 0) };
	CHECK(!answer_take(st, &answer));
	raised();
	sbus_error_clear(&error);
	yyjson_mut_doc_free(copy);
	Py_XDECREF(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;
	size_t len;

	if (!size)
		return 0;
	text = expand(data + 1, size - 1, &len);
	switch (data[0] % 3) {
	case 0:
		from_peer(text, len);
		break;
	case 1:
		from_here(data + 1, size - 1);
		break;
	case 2:
		answers(text, len);
		break;
	}
	CHECK(!PyErr_Occurred());
	free(text);
	return 0;
}
