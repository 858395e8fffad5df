// SPDX-License-Identifier: MIT
/* What came of a call, kept until it can be made a Python object. */
#include "answer.h"
#include "convert.h"
#include "errors.h"

#include <errno.h>

void answer_copy(struct answer *answer, yyjson_mut_val *result,
		 const struct sbus_error *error)
{
	if (error) {
		sbus_error_copy(&answer->error, error);
		return;
	}
	if (!result)
		return;
	answer->doc = yyjson_mut_doc_new(NULL);
	if (answer->doc)
		yyjson_mut_doc_set_root(answer->doc,
					yyjson_mut_val_mut_copy(answer->doc, result));
	if (!answer->doc || !yyjson_mut_doc_get_root(answer->doc))
		sbus_error_set(&answer->error, -ENOMEM, "no memory for the answer");
}

PyObject *answer_take(struct state *st, struct answer *answer)
{
	PyObject *value;

	if (answer->error.error)
		value = errors_raise(st, &answer->error);
	else if (answer->doc)
		value = convert_mut_to_py(st, yyjson_mut_doc_get_root(answer->doc));
	else
		value = Py_NewRef(Py_None);
	answer_drop(answer);
	return value;
}

void answer_drop(struct answer *answer)
{
	sbus_error_clear(&answer->error);
	yyjson_mut_doc_free(answer->doc);
	answer->doc = NULL;
}
