// SPDX-License-Identifier: MIT
/* libsymphony's errors as exceptions. */
#include "errors.h"
#include "convert.h"

static PyObject *raise_error(struct state *st, int r, const char *text,
			     const char *extension, uint64_t call,
			     int64_t code, yyjson_doc *data, uint64_t needed,
			     uint32_t limit, bool retry_safe)
{
	PyObject *value, *error;

	value = data ? convert_to_py(st, yyjson_doc_get_root(data)) :
		       Py_NewRef(Py_None);
	/* The peer's data can nest deeper than Python's: the error is told without. */
	if (!value && PyErr_ExceptionMatches(PyExc_ValueError)) {
		PyErr_Clear();
		value = Py_NewRef(Py_None);
	}
	if (!value)
		return NULL;
	error = PyObject_CallFunction(st->make_error, "issKLNKIi", -r, text,
				      extension ? extension : "",
				      (unsigned long long)call, (long long)code,
				      value, (unsigned long long)needed, limit,
				      retry_safe);
	if (error)
		PyErr_SetRaisedException(error);
	return NULL;
}

PyObject *errors_raise(struct state *st, const struct sbus_error *error)
{
	if (error->error == -ENOMEM)
		return PyErr_NoMemory();
	return raise_error(st, error->error, sbus_error_message(error),
			   error->extension, error->call, error->code,
			   error->data, error->needed, error->limit,
			   error->retry_safe);
}

PyObject *errors_raise_text(struct state *st, int r, const char *extension,
			    const char *text)
{
	return raise_error(st, r, text, extension, 0, 0, NULL, 0, 0, false);
}
