// SPDX-License-Identifier: MIT
/* sim: see sim.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define MAX_ENDPOINTS 64
#define BORN 1000000000ULL	/* the clock at the start, not 0 */

struct sbus_completion {
	struct sim_call *call;
	void *userdata;
	int reason;		/* why the answer is no longer wanted */
};

struct sbus_timer {
	struct sim *sim;
	struct sbus_timer *next;
	void (*fn)(void *self, void *arg);
	void *arg;
	uint64_t when;
	uint64_t order;		/* of being set: among equals, the first runs first */
};

struct sbus_member {
	struct sim *sim;
};

struct sim {
	const struct symphony_extension *extension;
	struct sbus_member member;
	void *self;
	struct sim_call *calls;
	struct sbus_timer *timers;
	bool watched[MAX_ENDPOINTS];
	bool dead[MAX_ENDPOINTS];
	uint64_t outcomes;
	uint64_t timer_sets;
};

static uint64_t now = BORN;
static unsigned long fail_in;
static bool fail_all, has_failed;

#define BUG_ON(cond) do {						\
	if (cond) {							\
		fprintf(stderr, "sim: %s:%d: %s\n", __func__, __LINE__, #cond);	\
		abort();						\
	}								\
} while (0)

/* --- allocations ------------------------------------------------------------ */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
char *__real_strdup(const char *s);

void sim_fail_alloc(unsigned long n, bool all)
{
	fail_in = n;
	fail_all = all;
	has_failed = false;
}

bool sim_alloc_failed(void)
{
	return has_failed;
}

static bool fails(void)
{
	if (!fail_in || --fail_in)
		return false;
	fail_in = fail_all;
	has_failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

/* --- what an extension may call ---------------------------------------------- */

uint64_t sbus_now(void)
{
	return now;
}

int sbus_error_set(struct sbus_error *error, int err, const char *format, ...)
{
	(void)format;
	if (error)
		error->error = err;
	return err;
}

yyjson_mut_doc *sbus_result(struct sbus_invocation *inv)
{
	struct sim_call *call = inv->host;

	if (!call->building)
		call->building = yyjson_mut_doc_new(NULL);
	return call->building;
}

static void outcome(struct sim_call *call, int64_t code, const char *message,
		    yyjson_mut_doc *doc)
{
	BUG_ON(call->done);
	call->done = true;
	call->failed = message;
	call->code = code;
	call->message = message ? __real_strdup(message) : NULL;
	if (doc && yyjson_mut_doc_get_root(doc)) {
		/* The writer refuses what is not JSON, such as half a character. */
		char *text = yyjson_mut_write(doc, 0, NULL);

		BUG_ON(!text);
		call->result = yyjson_read(text, strlen(text), 0);
		BUG_ON(!call->result);
		free(text);
	}
	yyjson_mut_doc_free(doc);
	call->order = ++call->sim->outcomes;
}

static int fail(struct sim_call *call, int64_t code, yyjson_mut_doc *data,
		const char *format, va_list ap)
{
	char message[8192];
	int n = vsnprintf(message, sizeof(message), format, ap);

	BUG_ON(n < 0 || (size_t)n >= sizeof(message));
	outcome(call, code, message, data);
	return -EREMOTEIO;
}

int sbus_fail(struct sbus_invocation *inv, int64_t code, const char *format, ...)
{
	va_list ap;
	int ret;

	va_start(ap, format);
	ret = fail(inv->host, code, NULL, format, ap);
	va_end(ap);
	return ret;
}

int sbus_fail_data(struct sbus_invocation *inv, int64_t code,
		   yyjson_mut_doc *data, const char *format, ...)
{
	va_list ap;
	int ret;

	va_start(ap, format);
	ret = fail(inv->host, code, data, format, ap);
	va_end(ap);
	return ret;
}

struct sbus_completion *sbus_defer(struct sbus_invocation *inv, void *userdata)
{
	struct sim_call *call = inv->host;

	BUG_ON(call->owed || call->done);
	call->owed = calloc(1, sizeof(*call->owed));
	if (!call->owed)
		return NULL;
	call->owed->call = call;
	call->owed->userdata = userdata;
	return call->owed;
}

void *sbus_completion_data(const struct sbus_completion *completion)
{
	return completion->userdata;
}

/* The completion is over; the call when its outcome is still open, or NULL. */
static struct sim_call *settle(struct sbus_completion *completion, int *ret)
{
	struct sim_call *call = completion->call;

	BUG_ON(call->owed != completion);
	call->owed = NULL;
	*ret = completion->reason;
	free(completion);
	return *ret ? NULL : call;
}

int sbus_complete(struct sbus_completion *completion, yyjson_mut_doc *doc)
{
	int ret;
	struct sim_call *call = settle(completion, &ret);

	if (call)
		outcome(call, 0, NULL, doc);
	else
		yyjson_mut_doc_free(doc);
	return ret;
}

int sbus_complete_error(struct sbus_completion *completion, int64_t code,
			yyjson_mut_doc *data, const char *format, ...)
{
	int ret;
	struct sim_call *call = settle(completion, &ret);
	va_list ap;

	if (!call) {
		yyjson_mut_doc_free(data);
		return ret;
	}
	va_start(ap, format);
	fail(call, code, data, format, ap);
	va_end(ap);
	return 0;
}

static int param(struct sbus_invocation *inv, const char *name,
		 unsigned int flags, yyjson_val **val)
{
	*val = yyjson_obj_get(inv->params, name);
	if (yyjson_is_null(*val))
		*val = NULL;
	if (*val || (flags & SBUS_OPTIONAL))
		return 0;
	return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
			 "%s: parameter '%s' is missing", inv->method, name);
}

static int wrong(struct sbus_invocation *inv, const char *name)
{
	return sbus_fail(inv, SBUS_CODE_INVALID_PARAMS,
			 "%s: parameter '%s' is wrong", inv->method, name);
}

int sbus_param_val(struct sbus_invocation *inv, const char *name,
		   yyjson_type type, unsigned int flags, yyjson_val **value)
{
	yyjson_val *val;
	int ret = param(inv, name, flags, &val);

	if (ret || !val)
		return ret;
	if (type && yyjson_get_type(val) != type)
		return wrong(inv, name);
	*value = val;
	return 0;
}

int sbus_param_str(struct sbus_invocation *inv, const char *name,
		   unsigned int flags, const char **value)
{
	yyjson_val *val;
	int ret = param(inv, name, flags, &val);

	if (ret || !val)
		return ret;
	if (!yyjson_is_str(val) ||
	    strlen(yyjson_get_str(val)) != yyjson_get_len(val))
		return wrong(inv, name);
	*value = yyjson_get_str(val);
	return 0;
}

int sbus_param_u64(struct sbus_invocation *inv, const char *name,
		   unsigned int flags, uint64_t min, uint64_t max,
		   uint64_t *value)
{
	yyjson_val *val;
	int ret = param(inv, name, flags, &val);

	if (ret || !val)
		return ret;
	if (!yyjson_is_uint(val) || yyjson_get_uint(val) < min ||
	    yyjson_get_uint(val) > max)
		return wrong(inv, name);
	*value = yyjson_get_uint(val);
	return 0;
}

int sbus_param_bool(struct sbus_invocation *inv, const char *name,
		    unsigned int flags, bool *value)
{
	yyjson_val *val;
	int ret = param(inv, name, flags, &val);

	if (ret || !val)
		return ret;
	if (!yyjson_is_bool(val))
		return wrong(inv, name);
	*value = yyjson_get_bool(val);
	return 0;
}

int sbus_timer_new(struct sbus_member *member, void (*fn)(void *self, void *arg),
		   void *arg, struct sbus_timer **timer)
{
	struct sbus_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->sim = member->sim;
	t->fn = fn;
	t->arg = arg;
	t->next = t->sim->timers;
	t->sim->timers = t;
	*timer = t;
	return 0;
}

int sbus_timer_set(struct sbus_timer *timer, uint64_t when)
{
	if (when && fails())
		return -EAGAIN;
	timer->when = when;
	timer->order = ++timer->sim->timer_sets;
	return 0;
}

void sbus_timer_free(struct sbus_timer *timer)
{
	struct sbus_timer **p;

	if (!timer)
		return;
	for (p = &timer->sim->timers; *p != timer; p = &(*p)->next)
		BUG_ON(!*p);
	*p = timer->next;
	free(timer);
}

int sbus_member_watch(struct sbus_member *member, uint64_t endpoint)
{
	BUG_ON(endpoint >= MAX_ENDPOINTS);
	if (member->sim->dead[endpoint])
		return -ESRCH;
	if (fails())
		return -ENOBUFS;
	member->sim->watched[endpoint] = true;
	return 0;
}

void sbus_member_unwatch(struct sbus_member *member, uint64_t endpoint)
{
	BUG_ON(endpoint >= MAX_ENDPOINTS);
	member->sim->watched[endpoint] = false;
}

/* --- the host ----------------------------------------------------------------- */

extern const struct symphony_extension *const __start_symphony_extensions[];
extern const struct symphony_extension *const __stop_symphony_extensions[];

const struct symphony_extension *sim_extension(const char *id)
{
	const struct symphony_extension *const *e;

	for (e = __start_symphony_extensions; e < __stop_symphony_extensions; e++)
		if (!strcmp((*e)->name, id))
			return *e;
	BUG_ON("no such extension");
	return NULL;
}

struct sim *sim_new(const char *id, const char *config)
{
	struct sim *sim = __real_calloc(1, sizeof(*sim));
	yyjson_doc *doc = config ? yyjson_read(config, strlen(config), 0) : NULL;
	int ret;

	BUG_ON(config && !doc);
	sim->extension = sim_extension(id);
	sim->member.sim = sim;
	ret = sim->extension->init(&sim->member, yyjson_doc_get_root(doc),
				   &sim->self, NULL);
	yyjson_doc_free(doc);
	if (ret) {
		free(sim);
		return NULL;
	}
	return sim;
}

static void call_free(struct sim_call *call)
{
	BUG_ON(call->owed || call->building || !call->done);
	yyjson_doc_free(call->result);
	free(call->message);
	free(call);
}

void sim_free(struct sim *sim)
{
	struct sim_call *call, *next;

	sim_fail_alloc(0, false);
	for (call = sim->calls; call; call = call->next) {
		if (!call->done)
			sim_cancel(call);
		else if (call->owed)
			sim->extension->cancelled(sim->self, call->owed,
						  call->owed->reason);
	}
	sim->extension->fini(sim->self);
	BUG_ON(sim->timers);
	for (int i = 0; i < MAX_ENDPOINTS; i++)
		BUG_ON(sim->watched[i]);
	for (call = sim->calls; call; call = next) {
		next = call->next;
		call_free(call);
	}
	free(sim);
}

struct sim_call *sim_call_val(struct sim *sim, uint64_t sender,
			      const char *method, yyjson_val *params)
{
	const struct symphony_method *m = sim->extension->methods;
	struct sim_call *call = __real_calloc(1, sizeof(*call));
	struct sbus_invocation inv = {
		.params = params,
		.method = method,
		.sender = sender,
		.member = &sim->member,
		.host = call,
	};
	int ret;

	call->sim = sim;
	call->sender = sender;
	call->next = sim->calls;
	sim->calls = call;
	while (m->name && strcmp(m->name, method))
		m++;
	BUG_ON(!m->name);
	ret = m->fn(sim->self, &inv);
	/* A second outcome, or none, of these three is the extension's fault. */
	if (ret == SBUS_PENDING) {
		yyjson_mut_doc_free(call->building);
	} else if (ret == -EREMOTEIO) {
		BUG_ON(!call->done || call->owed);
		yyjson_mut_doc_free(call->building);
	} else if (ret < 0) {
		BUG_ON(call->owed);
		outcome(call, -ret, strerror(-ret), NULL);
		yyjson_mut_doc_free(call->building);
	} else {
		BUG_ON(ret || call->owed);
		outcome(call, 0, NULL, call->building);
	}
	call->building = NULL;
	return call;
}

struct sim_call *sim_call(struct sim *sim, uint64_t sender, const char *method,
			  const char *format, ...)
{
	struct sim_call *call;
	char text[4096];
	yyjson_doc *doc;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	BUG_ON(n < 0 || (size_t)n >= sizeof(text));
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	doc = yyjson_read(text, n, 0);
	BUG_ON(!doc);
	call = sim_call_val(sim, sender, method, yyjson_doc_get_root(doc));
	/* Poisoned by the sanitizer: what the extension kept of it shows. */
	yyjson_doc_free(doc);
	return call;
}

void sim_advance(struct sim *sim, uint64_t ms)
{
	uint64_t until = now + ms * 1000000;

	for (;;) {
		struct sbus_timer *t, *first = NULL;

		for (t = sim->timers; t; t = t->next)
			if (t->when && t->when <= until &&
			    (!first || t->when < first->when ||
			     (t->when == first->when && t->order < first->order)))
				first = t;
		if (!first)
			break;
		if (first->when > now)
			now = first->when;
		first->when = 0;
		first->fn(sim->self, first->arg);
	}
	now = until;
}

void sim_abandon(struct sim_call *call)
{
	BUG_ON(call->done || !call->owed);
	call->owed->reason = -ECANCELED;
	outcome(call, ECANCELED, "cancelled", NULL);
}

static void drop(struct sim_call *call, int reason)
{
	struct sbus_completion *owed = call->owed;

	owed->reason = reason;
	outcome(call, -reason, strerror(-reason), NULL);
	call->sim->extension->cancelled(call->sim->self, owed, reason);
	/* This extension completes at once what is not wanted. */
	BUG_ON(call->owed);
}

void sim_cancel(struct sim_call *call)
{
	BUG_ON(call->done || !call->owed);
	drop(call, -ECANCELED);
}

void sim_die(struct sim *sim, uint64_t endpoint)
{
	struct sim_call *call;

	sim->dead[endpoint] = true;
	/* All of them at once: an answer to one of the others comes too late. */
	for (call = sim->calls; call; call = call->next)
		if (call->sender == endpoint && call->owed && !call->done) {
			call->owed->reason = -ECONNRESET;
			outcome(call, ECONNRESET, "died", NULL);
		}
	if (sim->watched[endpoint]) {
		sim->watched[endpoint] = false;
		sim->extension->gone(sim->self, endpoint);
	}
	for (call = sim->calls; call; call = call->next)
		if (call->sender == endpoint && call->owed)
			sim->extension->cancelled(sim->self, call->owed,
						  -ECONNRESET);
}

bool sim_watches(const struct sim *sim, uint64_t endpoint)
{
	return sim->watched[endpoint];
}

static yyjson_val *part(const struct sim_call *call, const char *pointer)
{
	yyjson_val *val = yyjson_doc_ptr_get(call->result, pointer);

	if (!val)
		fprintf(stderr, "sim: no %s in the outcome: %s\n", pointer,
			call->message ? call->message : "a result");
	BUG_ON(!val);
	return val;
}

uint64_t sim_uint(const struct sim_call *call, const char *pointer)
{
	yyjson_val *val = part(call, pointer);

	BUG_ON(!yyjson_is_uint(val));
	return yyjson_get_uint(val);
}

bool sim_bool(const struct sim_call *call, const char *pointer)
{
	yyjson_val *val = part(call, pointer);

	BUG_ON(!yyjson_is_bool(val));
	return yyjson_get_bool(val);
}

const char *sim_str(const struct sim_call *call, const char *pointer)
{
	yyjson_val *val = part(call, pointer);

	BUG_ON(!yyjson_is_str(val));
	return yyjson_get_str(val);
}

size_t sim_size(const struct sim_call *call, const char *pointer)
{
	yyjson_val *val = part(call, pointer);

	return yyjson_get_len(val);
}
