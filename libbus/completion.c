// SPDX-License-Identifier: MIT
/* Answers that are owed: see completion.h. */
#include "completion.h"

#include <stdlib.h>

#include "error.h"
#include "reply.h"

int sink_deliver(const struct sink *sink, yyjson_mut_val *result, const struct sbus_error *error)
{
	int r;

	if (likely(!sink->request)) {
		sink->fn(error ? NULL : result, error, sink->userdata);
		return 0;
	}
	if (error)
		return sbus_reply_errorv(sink->request, error);
	r = sbus_reply_mut(sink->request, result);
	if (r == -EILSEQ)
		return sbus_reply_error(sink->request, SBUS_CODE_INTERNAL, NULL,
					"the result is no JSON: a string that is not UTF-8, or a number that is not finite");
	return r;
}

int completion_new(struct sbus_member *member, const struct sbus_invocation *inv,
		   const struct sink *sink, void *userdata, struct sbus_completion **ret)
{
	struct sbus_pending *pending = calloc(1, sizeof(*pending));
	struct sbus_completion *completion = &pending->completion;
	int r;

	if (!pending)
		return -ENOMEM;
	completion->refs = 3;
	completion->member = member;
	completion->userdata = userdata;
	completion->sink = *sink;
	completion->sender = inv->sender;
	completion->id = inv->id;
	list_init(&completion->ready);
	list_init(&completion->deadline.node);
	completion->deadline.member = member;
	completion->deadline.completion = completion;
	sbus_message_ref(sink->request);
	pit_get(member->pit);
	atomic_fetch_add(&member->nr_completions, 1);
	pthread_mutex_lock(&member->owed_lock);
	list_add_tail(&completion->owed, &member->owed);
	pthread_mutex_unlock(&member->owed_lock);
	/* Of a caller in another process the kernel tells. */
	if (inv->deadline && !sink->request) {
		r = clock_set(&member->pit->clock, &completion->deadline, inv->deadline);
		if (r) {
			completion_withdraw(completion);
			completion_put(completion);
			return r;
		}
	}
	*ret = completion;
	return 0;
}

void completion_put(struct sbus_completion *completion)
{
	struct sbus_member *member = completion->member;
	struct sbus_pit *pit = member->pit;

	if (atomic_fetch_sub_explicit(&completion->refs, 1, memory_order_acq_rel) != 1)
		return;
	sbus_message_unref(completion->sink.request);
	yyjson_mut_doc_free(completion->doc);
	sbus_error_clear(&completion->error);
	free(container_of(completion, struct sbus_pending, completion));
	if (atomic_fetch_sub(&member->nr_completions, 1) == 1)
		member_leave_if_over(member);
	pit_put(pit);
}

/* OWED to @state, by one only; then it is on no list of the host any more. */
static bool settle(struct sbus_completion *completion, int state)
{
	struct sbus_member *member = completion->member;
	int owed = COMPLETION_OWED;

	if (!atomic_compare_exchange_strong(&completion->state, &owed, state))
		return false;
	clock_clear(&member->pit->clock, &completion->deadline);
	pthread_mutex_lock(&member->owed_lock);
	list_del(&completion->owed);
	pthread_mutex_unlock(&member->owed_lock);
	return true;
}

bool completion_withdraw(struct sbus_completion *completion)
{
	bool mine = settle(completion, COMPLETION_ANSWERED);

	if (mine)
		completion_put(completion);
	else
		completion->completed = true;
	completion_put(completion);
	return mine;
}

/* The host's outcome for the caller. */
static void tell_caller(struct sbus_completion *completion, int reason)
{
	struct sbus_member *member = completion->member;
	struct sbus_error error = SBUS_ERROR_INIT;

	/* A caller in another process was told by the kernel, of all but this. */
	if (completion->sink.request && reason != -ESHUTDOWN) {
		reply_needless(completion->sink.request);
		return;
	}
	sbus_error_set(&error, reason, reason == -ESHUTDOWN ? "\"%s\" stopped before it answered" :
		       reason == -ETIMEDOUT ? "\"%s\" did not answer by the deadline" :
		       "the call of \"%s\" was cancelled", member->id);
	error_extension(&error, member->id);
	error.call = completion->id;
	sink_deliver(&completion->sink, NULL, &error);
	sbus_error_clear(&error);
}

int completion_cancel(struct sbus_completion *completion, int reason)
{
	struct sbus_member *member = completion->member;

	if (!settle(completion, reason))
		return -EALREADY;
	tell_caller(completion, reason);
	member_enter(member);
	if (!completion->completed && member->extension.cancelled)
		member->extension.cancelled(member->self, completion, reason);
	member_leave(member);
	completion_put(completion);
	return 0;
}

/* One that is owed, of @sender's calls and of the call @id if these are not 0. */
static struct sbus_completion *find(struct sbus_member *member, uint64_t sender, uint64_t id)
{
	struct sbus_completion *completion, *found = NULL;
	struct list *node;

	pthread_mutex_lock(&member->owed_lock);
	for (node = member->owed.next; node != &member->owed && !found; node = node->next) {
		completion = container_of(node, struct sbus_completion, owed);
		if ((!sender || completion->sender == sender) && (!id || completion->id == id) &&
		    atomic_load(&completion->state) == COMPLETION_OWED)
			found = completion_get(completion);
	}
	pthread_mutex_unlock(&member->owed_lock);
	return found;
}

void completion_cancel_all(struct sbus_member *member, uint64_t sender, int reason)
{
	struct sbus_completion *completion;

	while ((completion = find(member, sender, 0))) {
		completion_cancel(completion, reason);
		completion_put(completion);
	}
}

void completion_cancel_call(struct sbus_member *member, uint64_t id, int reason)
{
	struct sbus_completion *completion = find(member, 0, id);

	if (!completion)
		return;
	completion_cancel(completion, reason);
	completion_put(completion);
}

void member_deliver(struct list *ready)
{
	struct list *node;

	while ((node = list_pop(ready))) {
		struct sbus_completion *completion =
			container_of(node, struct sbus_completion, ready);

		sink_deliver(&completion->sink, yyjson_mut_doc_get_root(completion->doc),
			     completion->error.error ? &completion->error : NULL);
		completion_put(completion);
	}
}

/*
 * The extension's outcome, in @completion->doc or ->error. A reply is sent here
 * even with the member's mutex held, as it calls nobody and its failure matters
 * to the extension: the caller did not get what the answer granted.
 */
static int complete(struct sbus_completion *completion)
{
	struct sbus_member *member = completion->member;
	int r = 0;

	if (member_held(member) && !completion->sink.request) {
		list_add_tail(&completion->ready, &member->ready);
	} else {
		r = sink_deliver(&completion->sink, yyjson_mut_doc_get_root(completion->doc),
				 completion->error.error ? &completion->error : NULL);
		completion_put(completion);
	}
	return r ? -ECANCELED : 0;
}

/* The caller was told something else before: the reason. */
static int too_late(struct sbus_completion *completion)
{
	struct sbus_member *member = completion->member;
	int reason = atomic_load(&completion->state);

	/* Once this returns the extension forgets it: cancelled() is over, or will not come. */
	if (member_held(member)) {
		completion->completed = true;
	} else {
		member_enter(member);
		completion->completed = true;
		member_leave(member);
	}
	completion_put(completion);
	return reason;
}

SBUS_API int sbus_complete(struct sbus_completion *completion, yyjson_mut_doc *doc)
{
	if (pit_is_foreign(completion->member->pit)) {
		yyjson_mut_doc_free(doc);
		return -EPERM;
	}
	if (!settle(completion, COMPLETION_ANSWERED)) {
		yyjson_mut_doc_free(doc);
		return too_late(completion);
	}
	completion_put(completion);
	completion->doc = doc;
	return complete(completion);
}

SBUS_API int sbus_complete_error(struct sbus_completion *completion, int64_t code,
				 yyjson_mut_doc *data, const char *format, ...)
{
	va_list args;

	if (pit_is_foreign(completion->member->pit)) {
		yyjson_mut_doc_free(data);
		return -EPERM;
	}
	if (!settle(completion, COMPLETION_ANSWERED)) {
		yyjson_mut_doc_free(data);
		return too_late(completion);
	}
	completion_put(completion);
	va_start(args, format);
	error_remote(&completion->error, completion->member->id, code, data, format, args);
	va_end(args);
	completion->error.call = completion->id;
	return complete(completion);
}

SBUS_API void *sbus_completion_data(const struct sbus_completion *completion)
{
	return completion->userdata;
}

SBUS_API int sbus_pending_cancel(struct sbus_pending *pending)
{
	if (pit_is_foreign(pending->completion.member->pit))
		return -EPERM;
	return completion_cancel(&pending->completion, -ECANCELED);
}

SBUS_API struct sbus_pending *sbus_pending_unref(struct sbus_pending *pending)
{
	if (pending && !pit_is_foreign(pending->completion.member->pit))
		completion_put(&pending->completion);
	return NULL;
}
