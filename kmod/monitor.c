// SPDX-License-Identifier: GPL-2.0-only
/*
 * Monitor: listeners are told what happens.
 *
 * Telling never sleeps and never fails what is told of, so that it can be done
 * with any lock held: an event goes out inside the step that it is about, and
 * those about one thing come in their order. What cannot be told for want of
 * memory is counted by the listener's socket, as is what finds that full.
 */
#include <linux/cred.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "bus.h"
#include "endpoint.h"
#include "monitor.h"
#include "netlink.h"
#include "program.h"
#include "service.h"

/* Two names, the longest reason why a program was disabled, and numbers. */
#define EVENT_SIZE	512

/* A message about something on @bus, begun; NULL: nobody is to be told. */
static struct sk_buff *event_begin(enum symphony_cmd what,
				   const struct symp_bus *bus, void **entry)
{
	struct sk_buff *skb = NULL;

	if (!genl_has_listeners(&symp_netlink_family, bus->net, SYMP_EVENTS))
		return NULL;
	skb = genlmsg_new(EVENT_SIZE, GFP_NOWAIT);
	if (!skb) {
		genl_set_err(&symp_netlink_family, bus->net, 0, SYMP_EVENTS,
			     -ENOBUFS);
		return NULL;
	}
	*entry = genlmsg_put(skb, 0, 0, &symp_netlink_family, 0, what);
	WARN_ON_ONCE(!*entry || !symp_netlink_put_bus(skb, bus));
	return skb;
}

static void event_end(const struct symp_bus *bus, struct sk_buff *skb,
		      void *entry, bool complete)
{
	WARN_ON_ONCE(!complete);
	genlmsg_end(skb, entry);
	genlmsg_multicast_netns(&symp_netlink_family, bus->net, skb, 0,
				SYMP_EVENTS, GFP_NOWAIT);
}

static bool put_uid(struct sk_buff *skb, const struct symp_bus *bus, kuid_t uid)
{
	return !nla_put_u32(skb, SYMPHONY_A_UID,
			    from_kuid_munged(bus->net->user_ns, uid));
}

void symp_monitor_bus(enum symphony_cmd what, const struct symp_bus *bus)
{
	void *entry;
	struct sk_buff *skb = event_begin(what, bus, &entry);

	if (skb)
		event_end(bus, skb, entry, put_uid(skb, bus, bus->uid) &&
			  !nla_put_u32(skb, SYMPHONY_A_MODE, bus->mode));
}

void symp_monitor_endpoint(enum symphony_cmd what,
			   const struct symp_endpoint *ep)
{
	void *entry;
	struct sk_buff *skb = event_begin(what, ep->bus, &entry);

	if (skb)
		event_end(ep->bus, skb, entry,
			  !nla_put_uint(skb, SYMPHONY_A_ENDPOINT, ep->id) &&
			  put_uid(skb, ep->bus, ep->cred->euid));
}

void symp_monitor_claim(enum symphony_cmd what, const struct symp_endpoint *ep,
			const struct symp_service *service, bool activates)
{
	void *entry;
	struct sk_buff *skb = event_begin(what, ep->bus, &entry);

	if (skb)
		event_end(ep->bus, skb, entry,
			  symp_netlink_put_service(skb, service) &&
			  !nla_put_uint(skb, SYMPHONY_A_ENDPOINT, ep->id) &&
			  (!activates ||
			   !nla_put_uint(skb, SYMPHONY_A_ACTIVATOR, ep->id)));
}

/* Within an RCU read section in which @program was found, or with its lock. */
void symp_monitor_program(enum symphony_cmd what,
			  const struct symp_program *program)
{
	void *entry;
	struct sk_buff *skb = event_begin(what, program->bus, &entry);

	if (skb)
		event_end(program->bus, skb, entry,
			  symp_netlink_put_program(skb, program));
}
