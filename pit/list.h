/* SPDX-License-Identifier: MIT */
/* list: an intrusive, circular, doubly linked list. */
#ifndef PIT_LIST_H
#define PIT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct pit_list {
	struct pit_list *prev;
	struct pit_list *next;
};

#define pit_container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

/* @next is read before the body, so the body may unlink and free @pos. */
#define pit_list_for_each_safe(pos, tmp, head)                        \
	for ((pos) = (head)->next, (tmp) = (pos)->next; (pos) != (head); \
	     (pos) = (tmp), (tmp) = (pos)->next)

#define pit_list_for_each(pos, head) \
	for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)

static inline void pit_list_init(struct pit_list *head)
{
	head->prev = head;
	head->next = head;
}

static inline bool pit_list_empty(const struct pit_list *head)
{
	return head->next == head;
}

static inline void pit_list_link_tail(struct pit_list *entry,
				      struct pit_list *head)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

/* Leaves @entry an empty list, so that unlinking twice is harmless. */
static inline void pit_list_unlink(struct pit_list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	pit_list_init(entry);
}

#endif
