// SPDX-License-Identifier: MIT
/* Answers that wait for each other: see held.h. */
#include "held.h"

#include <stdlib.h>

#include "engine.h"
#include "reply.h"

bool held_add(struct receiver *receiver, const struct symphony_reply *reply,
	      void (*destroy)(void *data), void *data)
{
	struct held_answers *held = receiver->held;
	struct held *answer;

	if (unlikely(!held)) {
		held = receiver->held = malloc(sizeof(*held));
		if (!held)
			return false;
		held->nr = held->copied = 0;
	}
	if (held->nr == RECEIVE_BATCH ||
	    (!destroy && reply->body_len > sizeof(held->copies) - held->copied))
		held_send(receiver);
	if (!held->nr)
		held->since = sbus_now();
	answer = &held->held[held->nr++];
	answer->request = receiver->current;
	answer->reply = *reply;
	answer->destroy = destroy;
	answer->data = data;
	if (!destroy && reply->body_len) {
		memcpy(held->copies + held->copied, data, reply->body_len);
		answer->reply.body = (uintptr_t)(held->copies + held->copied);
		held->copied += reply->body_len;
	}
	return true;
}

void held_send(struct receiver *receiver)
{
	struct operation operations[RECEIVE_BATCH];
	struct held_answers *held = receiver->held;
	struct symphony_reply *first = &held->held[0].reply;

	for (unsigned int i = 0; i < held->nr; i++) {
		struct held *answer = &held->held[i];

		/* Still being handled: the handler's reference is not ours to use. */
		if (answer->request == receiver->current)
			sbus_message_ref(answer->request);
		answer->sole = receiver_let_go(receiver, answer->request);
		if (answer->sole)
			answer->reply.flags |= SYMPHONY_REPLY_RELEASE;
		operations[i] = (struct operation){
			.code = SYMPHONY_IOC_REPLY,
			.arg = &answer->reply,
		};
	}
	first->release = (uintptr_t)receiver->release.offsets;
	first->nr_release = receiver->release.nr;
	engine_run(receiver->bus, operations, held->nr);
	receiver_released(receiver, first->nr_release);
	for (unsigned int i = 0; i < held->nr; i++) {
		struct held *answer = &held->held[i];

		if (unlikely(operations[i].result == -EMSGSIZE))
			operations[i].result = reply_in_file(receiver->bus, &answer->reply);
		/* Nobody waited for it, or it was too large: its room did not go back. */
		if (unlikely(operations[i].result && answer->sole))
			receiver_release(receiver, answer->reply.slot);
		if (answer->destroy)
			answer->destroy(answer->data);
	}
	held->nr = held->copied = 0;
}
