// SPDX-License-Identifier: MIT
/* Messages as they travel: JSON text, or raw bytes. */
#include "body.h"
#include "convert.h"
#include "fork.h"

#include <stdlib.h>
#include <symphony/bus.h>

/* A buffer that grew beyond this is given back after use. */
#define BUFFER_KEEP (256 << 10)

/*
 * yyjson writes into one block of memory, which it gets here: the buffer's own,
 * grown as needed. The text is then in the buffer without a copy.
 */
static void *buffer_realloc(void *ctx, void *old, size_t old_size, size_t size)
{
	struct buffer *buffer = ctx;
	char *data;

	if (size > buffer->room) {
		data = realloc(buffer->data, size);
		if (!data)
			return NULL;
		buffer->data = data;
		buffer->room = size;
	}
	return buffer->data;
}

static void *buffer_malloc(void *ctx, size_t size)
{
	return buffer_realloc(ctx, NULL, 0, size);
}

static void buffer_keep(void *ctx, void *data)
{
}

static int encode_json(struct body *body, PyObject *message,
		       struct buffer *buffer)
{
	const yyjson_alc alc = {
		.malloc = buffer_malloc,
		.realloc = buffer_realloc,
		.free = buffer_keep,
		.ctx = buffer,
	};
	struct convert c;
	yyjson_val *root, *method;

	root = convert_from_py(&c, message);
	if (!root)
		return -1;
	body->content = SBUS_JSON;
	method = yyjson_obj_get(root, "method");
	body->method = sbus_method_id_n(yyjson_get_str(method), yyjson_get_len(method));
	if (buffer->room > BUFFER_KEEP)
		buffer_free(buffer);
	body->data = yyjson_val_write_opts(root, YYJSON_WRITE_NOFLAG, &alc,
					   &body->len, NULL);
	convert_drop(&c);
	if (!body->data) {
		PyErr_NoMemory();
		return -1;
	}
	return 0;
}

int body_encode(struct body *body, PyObject *message, struct buffer *buffer)
{
	body->view.obj = NULL;
	if (!PyObject_CheckBuffer(message))
		return encode_json(body, message, buffer);
	if (PyObject_GetBuffer(message, &body->view, PyBUF_SIMPLE) < 0)
		return -1;
	body->data = body->view.buf;
	body->len = body->view.len;
	body->content = SBUS_RAW;
	body->method = 0;
	return 0;
}

void body_drop(struct body *body)
{
	if (body->view.obj)
		PyBuffer_Release(&body->view);
}

/* --- raw bytes that stay in the pool -------------------------------------- */

struct view {
	PyObject_HEAD
	struct sbus_message *message;
	unsigned int forks;	/* fork_count when it was made: a child has no pool */
};

static int view_get(PyObject *self, Py_buffer *buffer, int flags)
{
	struct view *view = (struct view *)self;
	const void *data;
	size_t len;

	if (fork_since(view->forks)) {
		PyErr_SetString(PyExc_BufferError,
				"this was received before a fork and is in the memory of the parent process: copy it there");
		buffer->obj = NULL;
		return -1;
	}
	data = sbus_message_body(view->message, &len);
	return PyBuffer_FillInfo(buffer, self, (void *)data, len, 1, flags);
}

static void view_dealloc(PyObject *self)
{
	struct view *view = (struct view *)self;
	PyTypeObject *type = Py_TYPE(self);

	if (!fork_since(view->forks))
		sbus_message_unref(view->message);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyType_Slot view_slots[] = {
	{ Py_tp_doc, (void *)PyDoc_STR("A body that was received: what a memoryview of it is of.") },
	{ Py_tp_dealloc, view_dealloc },
	{ Py_bf_getbuffer, view_get },
	{ }
};

PyType_Spec view_spec = {
	.name = "symphony_ipc._symphony.View",
	.basicsize = sizeof(struct view),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION |
		 Py_TPFLAGS_IMMUTABLETYPE,
	.slots = view_slots,
};

static PyObject *view_of(struct state *st, struct sbus_message *message)
{
	PyObject *view = st->view_type->tp_alloc(st->view_type, 0), *memory;

	if (!view)
		return NULL;
	((struct view *)view)->message = sbus_message_ref(message);
	((struct view *)view)->forks = fork_count;
	memory = PyMemoryView_FromObject(view);
	Py_DECREF(view);
	return memory;
}

PyObject *body_parse(struct state *st, const void *data, size_t len)
{
	yyjson_read_err err;
	yyjson_doc *doc;
	PyObject *object;

	doc = yyjson_read_opts((char *)data, len, YYJSON_READ_BIGNUM_AS_RAW,
			       NULL, &err);
	if (!doc) {
		if (err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
			return PyErr_NoMemory();
		return PyErr_Format(PyExc_ValueError,
				    "not JSON: %s at byte %zu", err.msg,
				    err.pos);
	}
	object = convert_to_py(st, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return object;
}

PyObject *body_decode(struct state *st, struct sbus_message *message)
{
	size_t len;
	const void *data = sbus_message_body(message, &len);

	if (sbus_message_content(message) == SBUS_JSON)
		return body_parse(st, data, len);
	return len < BODY_VIEW ? PyBytes_FromStringAndSize(data, len) :
				 view_of(st, message);
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
	buffer->room = 0;
}
