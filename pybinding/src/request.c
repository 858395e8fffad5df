// SPDX-License-Identifier: MIT
/* A request being served, with the kernel's word on who made it. */
#include "request.h"
#include "convert.h"
#include "errors.h"
#include "fork.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

struct request {
	PyObject_HEAD
	struct state *st;
	unsigned int forks;		/* fork_count when it was made */
	struct sbus_message *message;	/* NULL: answered */
	bool entered;			/* by request_enter(): only current until then */
	PyObject *extension_id;
	unsigned long long id;
	unsigned long long sender;
	unsigned long long key;
	unsigned int pid;
	unsigned int uid;
	unsigned int gid;
	double deadline;
};

PyObject *request_new(struct state *st, struct sbus_message *message,
		      PyObject *id)
{
	PyTypeObject *type = st->request_type;
	struct request *request = (struct request *)type->tp_alloc(type, 0);

	if (!request)
		return NULL;
	request->st = state_hold(st);
	request->forks = fork_count;
	request->message = sbus_message_ref(message);
	request->extension_id = Py_NewRef(id);
	request->id = sbus_message_id(message);
	request->sender = sbus_message_sender(message);
	request->key = sbus_message_key(message);
	request->pid = sbus_message_pid(message);
	request->uid = sbus_message_uid(message);
	request->gid = sbus_message_gid(message);
	request->deadline = sbus_message_deadline(message) * 1e-9;
	return (PyObject *)request;
}

/* --- the current one ---------------------------------------------------- */

PyObject *request_enter(struct state *st, struct sbus_message *message,
			PyObject *id)
{
	PyObject *request = request_new(st, message, id);
	PyObject *token;

	if (!request)
		return NULL;
	((struct request *)request)->entered = true;
	token = PyContextVar_Set(st->current, request);
	if (!token)
		Py_CLEAR(request);
	Py_XDECREF(token);
	return request;
}

/* The variable keeps it until the next one: to say "none" each time costs more. */
void request_leave(PyObject *self)
{
	request_over(self);
	Py_DECREF(self);
}

void request_over(PyObject *self)
{
	struct request *request = (struct request *)self;
	struct sbus_message *message = request->message;

	request->message = NULL;
	if (!fork_since(request->forks))
		sbus_message_unref(message);
}

struct sbus_message *request_message(PyObject *self)
{
	struct request *request = (struct request *)self;

	return fork_since(request->forks) ? NULL : request->message;
}

PyObject *request_id(PyObject *self)
{
	return PyLong_FromUnsignedLongLong(((struct request *)self)->id);
}

/* A new reference, or NULL. */
static struct request *current(struct state *st)
{
	struct request *request;
	PyObject *value;

	if (PyContextVar_Get(st->current, NULL, &value) < 0) {
		PyErr_WriteUnraisable(st->current);
		return NULL;
	}
	request = (struct request *)value;
	if (Py_IS_TYPE(value, st->request_type) &&
	    (request->message || !request->entered))
		return request;
	Py_DECREF(value);
	return NULL;
}

struct sbus_message *request_parent(struct state *st, const struct sbus *bus)
{
	struct request *request = current(st);
	struct sbus_message *parent = NULL;

	if (!request)
		return NULL;
	if (request_message((PyObject *)request) && sbus_message_bus(request->message) == bus)
		parent = sbus_message_ref(request->message);
	Py_DECREF(request);
	return parent;
}

void request_ended(PyObject *ended, uint64_t id)
{
	PyObject *number = PyLong_FromUnsignedLongLong(id);

	if (!number || PyList_Append(ended, number) < 0)
		PyErr_WriteUnraisable(ended);
	Py_XDECREF(number);
}

PyObject *request_current(PyObject *module, PyObject *none)
{
	struct request *request = current(PyModule_GetState(module));

	return request ? (PyObject *)request : Py_NewRef(Py_None);
}

static PyObject *request_cancelled(PyObject *self, PyObject *none)
{
	const struct sbus_message *message = request_message(self);

	return PyBool_FromLong(message && sbus_message_cancelled(message));
}

PyObject *request_is_cancelled(PyObject *module, PyObject *none)
{
	struct request *request = current(PyModule_GetState(module));
	PyObject *r;

	if (!request)
		Py_RETURN_FALSE;
	r = request_cancelled((PyObject *)request, NULL);
	Py_DECREF(request);
	return r;
}

/* --- answering ---------------------------------------------------------- */

static int reply_error(struct sbus_message *message, long long code,
		       const char *text, PyObject *data)
{
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *value = NULL;
	struct convert c;
	yyjson_val *root;
	int r;

	if (data && data != Py_None) {
		root = convert_from_py(&c, data);
		if (!root)
			return -EINVAL;
		doc = yyjson_mut_doc_new(NULL);
		if (doc)
			value = yyjson_val_mut_copy(doc, root);
		convert_drop(&c);
	}
	r = sbus_reply_error(message, code, value, "%s", text);
	yyjson_mut_doc_free(doc);
	return r;
}

void request_reply_raised(struct state *st, struct sbus_message *message)
{
	PyObject *error = PyErr_GetRaisedException();
	PyObject *triple = PyObject_CallOneArg(st->describe_failure, error);
	long long code = SBUS_CODE_INTERNAL;
	PyObject *text, *data;
	int r = -EINVAL;

	if (triple && PyArg_ParseTuple(triple, "LUO", &code, &text, &data)) {
		const char *utf8 = PyUnicode_AsUTF8(text);

		if (utf8)
			r = reply_error(message, code, utf8, data);
	}
	/* describe_failure() leaves out what cannot be sent, unless memory fails it. */
	if (PyErr_Occurred()) {
		PyErr_WriteUnraisable(st->describe_failure);
		r = sbus_reply_error(message, SBUS_CODE_INTERNAL, NULL, "%s",
				     Py_TYPE(error)->tp_name);
	}
	(void)r;	/* the caller may be gone; nobody else is concerned */
	Py_XDECREF(triple);
	Py_DECREF(error);
}

/* --- the object --------------------------------------------------------- */

static PyObject *get_deadline(PyObject *self, void *closure)
{
	double deadline = ((struct request *)self)->deadline;

	if (!deadline)
		Py_RETURN_NONE;
	return PyFloat_FromDouble(deadline);
}

static PyObject *request_repr(PyObject *self)
{
	struct request *request = (struct request *)self;

	return PyUnicode_FromFormat("<symphony_ipc.Request %llu for %U from pid %u uid %u>",
				    request->id, request->extension_id,
				    request->pid, request->uid);
}

static void request_dealloc(PyObject *self)
{
	struct request *request = (struct request *)self;
	PyTypeObject *type = Py_TYPE(self);

	request_over(self);
	Py_XDECREF(request->extension_id);
	state_drop(request->st);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyMethodDef request_methods[] = {
	{ "cancelled", request_cancelled, METH_NOARGS,
	  PyDoc_STR("Does nobody wait for the answer any more?") },
	{ }
};

#define MEMBER(name, type, doc) \
	{ #name, type, offsetof(struct request, name), Py_READONLY, doc }

static PyMemberDef request_members[] = {
	MEMBER(extension_id, Py_T_OBJECT_EX, "The id that was called."),
	MEMBER(id, Py_T_ULONGLONG, "The call's id."),
	MEMBER(sender, Py_T_ULONGLONG, "The caller's endpoint."),
	MEMBER(key, Py_T_ULONGLONG, "The caller's routing key."),
	MEMBER(pid, Py_T_UINT, "The caller's process, 0 when it has no id here."),
	MEMBER(uid, Py_T_UINT, "The caller's user."),
	MEMBER(gid, Py_T_UINT, "The caller's group."),
	{ }
};

static PyGetSetDef request_getset[] = {
	{ "deadline", get_deadline, NULL,
	  PyDoc_STR("When the caller stops waiting, by time.monotonic(); or None."),
	  NULL },
	{ }
};

static PyType_Slot request_slots[] = {
	{ Py_tp_doc, (void *)PyDoc_STR("A request being served.") },
	{ Py_tp_methods, request_methods },
	{ Py_tp_members, request_members },
	{ Py_tp_getset, request_getset },
	{ Py_tp_repr, request_repr },
	{ Py_tp_dealloc, request_dealloc },
	{ }
};

PyType_Spec request_spec = {
	.name = "symphony_ipc._symphony.Request",
	.basicsize = sizeof(struct request),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION |
		 Py_TPFLAGS_IMMUTABLETYPE,
	.slots = request_slots,
};
