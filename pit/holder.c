// SPDX-License-Identifier: MIT
/* holder: a list of held things per endpoint, watched while it is not empty. */
#include <errno.h>

#include "cleanup.h"
#include "holder.h"

int pit_holders_init(struct pit_holders *holders, struct sbus_member *member)
{
	holders->member = member;
	return pit_map_init(&holders->map, 0);
}

void pit_holders_deinit(struct pit_holders *holders)
{
	pit_map_deinit(&holders->map);
}

static struct pit_holder *find(struct pit_holders *holders, uint64_t endpoint)
{
	struct pit_map_entry *e;

	e = pit_map_find(&holders->map, &endpoint, sizeof(endpoint));
	return e ? pit_container_of(e, struct pit_holder, entry) : NULL;
}

int pit_hold(struct pit_holders *holders, uint64_t endpoint,
	     struct pit_held *held)
{
	struct pit_holder *holder = find(holders, endpoint);
	int ret;

	if (!holder) {
		holder = malloc(sizeof(*holder));
		if (!holder)
			return -ENOMEM;
		if (endpoint) {
			ret = sbus_member_watch(holders->member, endpoint);
			if (ret) {
				free(holder);
				return ret;
			}
		}
		holder->endpoint = endpoint;
		pit_list_init(&holder->things);
		pit_map_link(&holders->map, &holder->entry, &holder->endpoint,
			     sizeof(holder->endpoint));
	}
	held->holder = holder;
	pit_list_link_tail(&held->link, &holder->things);
	return 0;
}

void pit_let_go(struct pit_holders *holders, struct pit_held *held)
{
	struct pit_holder *holder = held->holder;

	pit_list_unlink(&held->link);
	held->holder = NULL;
	if (!pit_list_empty(&holder->things))
		return;
	if (holder->endpoint)
		sbus_member_unwatch(holders->member, holder->endpoint);
	pit_map_unlink(&holders->map, &holder->entry);
	free(holder);
}

struct pit_held *pit_holder_first(struct pit_holders *holders,
				  uint64_t endpoint)
{
	struct pit_holder *holder = find(holders, endpoint);

	if (!holder)
		return NULL;
	return pit_container_of(holder->things.next, struct pit_held, link);
}
