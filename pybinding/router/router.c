// SPDX-License-Identifier: MIT
/*
 * The module symphony_ipc._router: libsymphony-bpf's routers. A module of its own,
 * imported by the first bus.route(), as it needs libbpf.
 */
#include <Python.h>
#include <symphony/router.h>

struct state {
	PyObject *make_error;		/* errors.from_errno() */
};

struct router {
	PyObject_HEAD
	struct sbus_router *router;
};

static struct PyModuleDef router_module;

/* Raises what @error tells, and empties it. Returns NULL. */
static PyObject *raise_error(PyObject *self, struct sbus_error *error)
{
	PyObject *module = PyType_GetModuleByDef(Py_TYPE(self), &router_module);
	struct state *st = module ? PyModule_GetState(module) : NULL;
	PyObject *raised = NULL;

	if (st && error->error == -ENOMEM)
		PyErr_NoMemory();
	else if (st)
		raised = PyObject_CallFunction(st->make_error, "issKLOKI", -error->error,
					       sbus_error_message(error), "", 0ULL, 0LL,
					       Py_None, 0ULL, 0U);
	if (raised)
		PyErr_SetRaisedException(raised);
	sbus_error_clear(error);
	return NULL;
}

static PyObject *result(PyObject *self, int r, struct sbus_error *error)
{
	return r ? raise_error(self, error) : Py_NewRef(Py_None);
}

/* It is there as long as @self: only router_new() makes one. */
static struct sbus_router *router_of(PyObject *self)
{
	return ((struct router *)self)->router;
}

static PyObject *router_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "bus", "service", "policy", "options", "path", NULL };
	const char *bus = NULL, *service = NULL, *policy = NULL, *options = NULL, *path = NULL;
	struct sbus_error error = SBUS_ERROR_INIT;
	struct router *self;
	int r;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zzzz$z:Router", names, &bus, &service,
					 &policy, &options, &path))
		return NULL;
	if (!policy == !path) {
		PyErr_SetString(PyExc_TypeError, "Router: either a policy or a path");
		return NULL;
	}
	self = (struct router *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	if (path)
		r = sbus_router_open(&self->router, path, &error);
	else
		r = sbus_router_attach(&self->router, bus, service, policy, options, &error);
	Py_END_ALLOW_THREADS
	if (!r)
		return (PyObject *)self;
	raise_error((PyObject *)self, &error);
	Py_DECREF(self);
	return NULL;
}

static PyObject *router_replace(PyObject *self, PyObject *args)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_router *router = router_of(self);
	const char *policy, *options;
	int r;

	if (!PyArg_ParseTuple(args, "sz:replace", &policy, &options))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = sbus_router_replace(router, policy, options, &error);
	Py_END_ALLOW_THREADS
	return result(self, r, &error);
}

static PyObject *router_set(PyObject *self, PyObject *args)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_router *router = router_of(self);
	const char *options;
	int r;

	if (!PyArg_ParseTuple(args, "s:set", &options))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = sbus_router_set(router, options, &error);
	Py_END_ALLOW_THREADS
	return result(self, r, &error);
}

static PyObject *router_get(PyObject *self, PyObject *args)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_router *router = router_of(self);
	const char *option;
	uint32_t value;
	int r;

	if (!PyArg_ParseTuple(args, "s:get", &option))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = sbus_router_get(router, option, &value, &error);
	Py_END_ALLOW_THREADS
	return r ? raise_error(self, &error) : PyLong_FromUnsignedLong(value);
}

static PyObject *router_pin(PyObject *self, PyObject *args)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_router *router = router_of(self);
	PyObject *path;
	int r;

	if (!PyArg_ParseTuple(args, "O&:pin", PyUnicode_FSConverter, &path))
		return NULL;
	r = sbus_router_pin(router, PyBytes_AS_STRING(path), &error);
	Py_DECREF(path);
	return result(self, r, &error);
}

static PyObject *router_detach(PyObject *self, PyObject *unused)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_router *router = router_of(self);
	int r;

	Py_BEGIN_ALLOW_THREADS
	r = sbus_router_detach(router, &error);
	Py_END_ALLOW_THREADS
	return result(self, r, &error);
}

/* Whoever is in a method holds a reference. */
static void router_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	sbus_router_free(((struct router *)self)->router);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyObject *router_bus(PyObject *self, void *unused)
{
	return PyUnicode_FromString(sbus_router_bus(router_of(self)));
}

static PyObject *router_service(PyObject *self, void *unused)
{
	const char *service = sbus_router_service(router_of(self));

	return service ? PyUnicode_FromString(service) : Py_NewRef(Py_None);
}

static PyObject *router_policy(PyObject *self, void *unused)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_router *router = router_of(self);
	char name[16];
	int r;

	Py_BEGIN_ALLOW_THREADS
	r = sbus_router_policy(router, name, &error);
	Py_END_ALLOW_THREADS
	return r ? raise_error(self, &error) : PyUnicode_FromString(name);
}

static PyMethodDef router_methods[] = {
	{ "replace", router_replace, METH_VARARGS, NULL },
	{ "set", router_set, METH_VARARGS, NULL },
	{ "get", router_get, METH_VARARGS, NULL },
	{ "pin", router_pin, METH_VARARGS, NULL },
	{ "detach", router_detach, METH_NOARGS, NULL },
	{ }
};

static PyGetSetDef router_members[] = {
	{ "bus", router_bus, NULL, PyDoc_STR("The name of the bus."), NULL },
	{ "service", router_service, NULL, PyDoc_STR("The id of the extension, or None: all."),
	  NULL },
	{ "policy", router_policy, NULL, PyDoc_STR("The name of the policy that is attached now."),
	  NULL },
	{ }
};

static PyType_Slot router_slots[] = {
	{ Py_tp_new, router_new },
	{ Py_tp_dealloc, router_dealloc },
	{ Py_tp_methods, router_methods },
	{ Py_tp_getset, router_members },
	{ }
};

static PyType_Spec router_spec = {
	.name = "symphony_ipc._router.Router",
	.basicsize = sizeof(struct router),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = router_slots,
};

static int module_exec(PyObject *module)
{
	struct state *st = PyModule_GetState(module);
	PyObject *errors = PyImport_ImportModule("symphony_ipc.errors");
	PyObject *type, *policies;
	int r;

	st->make_error = errors ? PyObject_GetAttrString(errors, "from_errno") : NULL;
	Py_XDECREF(errors);
	if (!st->make_error)
		return -1;
	type = PyType_FromModuleAndSpec(module, &router_spec, NULL);
	if (!type)
		return -1;
	r = PyModule_AddType(module, (PyTypeObject *)type);
	Py_DECREF(type);
	policies = r ? NULL : PyList_New(0);
	if (!policies)
		return -1;
	for (const char *const *name = sbus_router_policies(); *name && !r; name++) {
		PyObject *string = PyUnicode_FromString(*name);

		r = string ? PyList_Append(policies, string) : -1;
		Py_XDECREF(string);
	}
	if (!r)
		r = PyModule_AddObjectRef(module, "POLICIES", policies);
	Py_DECREF(policies);
	return r;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
	struct state *st = PyModule_GetState(module);

	Py_VISIT(st->make_error);
	return 0;
}

static int module_clear(PyObject *module)
{
	struct state *st = PyModule_GetState(module);

	Py_CLEAR(st->make_error);
	return 0;
}

static void module_free(void *module)
{
	module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
	{ Py_mod_exec, module_exec },
	{ Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED },
	{ }
};

static struct PyModuleDef router_module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "symphony_ipc._router",
	.m_doc = PyDoc_STR("Routers, as libsymphony-bpf has them."),
	.m_size = sizeof(struct state),
	.m_slots = module_slots,
	.m_traverse = module_traverse,
	.m_clear = module_clear,
	.m_free = module_free,
};

PyMODINIT_FUNC PyInit__router(void)
{
	return PyModuleDef_Init(&router_module);
}
