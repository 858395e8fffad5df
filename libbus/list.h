/* SPDX-License-Identifier: MIT */
/* A doubly linked ring through the objects themselves. */
#ifndef LIBBUS_LIST_H
#define LIBBUS_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_add_tail(struct list *node, struct list *list)
{
	node->next = list;
	node->prev = list->prev;
	list->prev->next = node;
	list->prev = node;
}

static inline void list_add(struct list *node, struct list *list)
{
	list_add_tail(node, list->next);
}

/* Leaves the node empty, so that taking it off twice does no harm. */
static inline void list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline void list_move_tail(struct list *node, struct list *list)
{
	list_del(node);
	list_add_tail(node, list);
}

/* The first node, taken off, or NULL. */
static inline struct list *list_pop(struct list *list)
{
	struct list *node = list->next;

	if (node == list)
		return NULL;
	list_del(node);
	return node;
}

#endif /* LIBBUS_LIST_H */
