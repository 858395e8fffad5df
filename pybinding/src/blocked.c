// SPDX-License-Identifier: MIT
/* Calls that threads wait in, so that close() can end them. */
#include "blocked.h"

static void put(struct blocked *blocked)
{
	if (--blocked->refs)
		return;
	sbus_cancel_unref(blocked->cancel);
	PyMem_Free(blocked);
}

struct blocked *blocked_enter(struct blocked_list *list)
{
	struct blocked *blocked = list->spare;

	list->spare = NULL;
	if (!blocked) {
		blocked = PyMem_Calloc(1, sizeof(*blocked));
		if (!blocked || sbus_cancel_new(&blocked->cancel) < 0) {
			PyMem_Free(blocked);
			PyErr_NoMemory();
			return NULL;
		}
		blocked->refs = 1;
	}
	blocked->next = list->first;
	blocked->link = &list->first;
	if (blocked->next)
		blocked->next->link = &blocked->next;
	list->first = blocked;
	return blocked;
}

bool blocked_leave(struct blocked_list *list, struct blocked *blocked)
{
	bool closed = blocked->closed;

	*blocked->link = blocked->next;
	if (blocked->next)
		blocked->next->link = blocked->link;
	if (closed || list->spare)
		put(blocked);
	else
		list->spare = blocked;
	return closed;
}

void blocked_end_all(struct blocked_list *list)
{
	struct blocked *blocked = list->first;

	while (blocked) {
		if (blocked->closed) {
			blocked = blocked->next;
			continue;
		}
		blocked->closed = true;
		blocked->refs++;
		/* The thread may need the GIL before the call can be ended. */
		Py_BEGIN_ALLOW_THREADS
		sbus_cancel_trigger(blocked->cancel);
		Py_END_ALLOW_THREADS
		put(blocked);
		/* Others may have left meanwhile. */
		blocked = list->first;
	}
}

void blocked_forget(struct blocked_list *list)
{
	if (list->spare)
		put(list->spare);
	list->spare = NULL;
}
