// SPDX-License-Identifier: MIT
/*
 * A router: the link that attaches a policy.
 *
 * Whatever else is known of it is asked of the kernel, as another process that has
 * it open can have replaced or detached the policy.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "attached.h"
#include "log.h"
#include "policy.h"

struct sbus_router {
	int link;
	enum sbus_hook hook;
	char bus[64];
	char service[64];
	pthread_mutex_t lock;
	/* lock */
	struct attached attached;
	char *pin;			/* where, if it is known */
};

static struct sbus_router *router_new(int link)
{
	struct sbus_router *router = calloc(1, sizeof(*router));

	if (!router)
		return NULL;
	router->link = link;
	router->attached.options.values = router->attached.options.allow = -1;
	pthread_mutex_init(&router->lock, NULL);
	return router;
}

SBUS_API struct sbus_router *sbus_router_free(struct sbus_router *router)
{
	if (!router)
		return NULL;
	attached_deinit(&router->attached);
	pthread_mutex_destroy(&router->lock);
	close(router->link);
	free(router->pin);
	free(router);
	return NULL;
}

/* Of @link, which it takes, also on failure. */
static int router_of(struct sbus_router **ret, int link, struct sbus_error *error)
{
	struct sbus_router *router = router_new(link);
	int r;

	if (!router) {
		close(link);
		return sbus_error_set(error, -ENOMEM, "out of memory");
	}
	r = attached_refresh(&router->attached, link, error);
	if (r) {
		sbus_router_free(router);
		return r;
	}
	router->hook = router->attached.hook;
	strcpy(router->bus, router->attached.bus);
	strcpy(router->service, router->attached.service);
	*ret = router;
	return 0;
}

static void lock(struct sbus_router *router)
{
	pthread_mutex_lock(&router->lock);
}

static int unlock(struct sbus_router *router, int r)
{
	pthread_mutex_unlock(&router->lock);
	return r;
}

/* --- attaching ------------------------------------------------------------ */

static int attach_failed(const char *policy, const char *bus, const char *service, int r,
			 struct sbus_error *error)
{
	char to[2 * SBUS_NAME_MAX + 64];

	if (service)
		snprintf(to, sizeof(to), "service \"%s\" on bus \"%s\"", service, bus);
	else
		snprintf(to, sizeof(to), "bus \"%s\"", bus);
	switch (-r) {
	case ENOENT:
		return sbus_error_set(error, r, "policy \"%s\" was not attached: there is no %s in this network namespace: a bus is there while somebody is on it, a service once it was claimed",
				      policy, to);
	case EEXIST:
		return sbus_error_set(error, r, "policy \"%s\" was not attached: %s has one already: replace or detach that",
				      policy, to);
	case EPERM:
		return sbus_error_set(error, r, "policy \"%s\" was not attached: %s is another user's: do it as its creator, or with CAP_SYS_ADMIN over its network namespace",
				      policy, to);
	case EINVAL:
		return sbus_error_set(error, r, "policy \"%s\" was not attached to %s: a name is not [a-z][a-z0-9_.-]*, or the policy has no program or unknown flags",
				      policy, to);
	default:
		return sbus_error_set(error, r, "policy \"%s\" was not attached to %s: %s", policy,
				      to, strerrordesc_np(-r));
	}
}

/* The file of a new link, or -errno. */
static int link_new(const struct policy *policy)
{
	struct bpf_link *link;
	struct log log;
	int fd = -1;

	log_begin(&log);
	link = bpf_map__attach_struct_ops(policy->ops);
	if (link)
		fd = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3);
	fd = fd < 0 ? -errno : fd;
	bpf_link__destroy(link);
	log_end();
	return fd;
}

static int attach(struct sbus_router **router, const char *bus, const char *service,
		  const char *name, const char *options, bool shadow, struct sbus_error *error)
{
	char own[SBUS_NAME_MAX + 1];
	struct policy policy;
	int r;

	if (!bus)
		bus = sbus_bus_name(NULL, own);
	r = policy_load(&policy, bus, service, name, options, shadow, error);
	if (r)
		return r;
	r = link_new(&policy);
	policy_deinit(&policy);
	return r < 0 ? attach_failed(name, bus, service, r, error) : router_of(router, r, error);
}

SBUS_API int sbus_router_attach(struct sbus_router **router, const char *bus,
				const char *service, const char *policy, const char *options,
				struct sbus_error *error)
{
	return attach(router, bus, service, policy, options, false, error);
}

SBUS_API int sbus_router_shadow(struct sbus_router **router, const char *bus,
				const char *service, const char *policy, const char *options,
				struct sbus_error *error)
{
	return attach(router, bus, service, policy, options, true, error);
}

SBUS_API int sbus_router_open_link(struct sbus_router **router, uint32_t id,
				   struct sbus_error *error)
{
	int link = bpf_link_get_fd_by_id(id);

	if (link == -EPERM)
		return sbus_error_set(error, link, "the router of BPF link %u was not opened: that needs CAP_SYS_ADMIN: do it as root",
				      id);
	if (link < 0)
		return sbus_error_set(error, link, "the router of BPF link %u was not opened: %s",
				      id, link == -ENOENT ? "there is none any more" :
							    strerrordesc_np(-link));
	return router_of(router, link, error);
}

SBUS_API int sbus_router_open(struct sbus_router **router, const char *path,
			      struct sbus_error *error)
{
	int link = bpf_obj_get(path), r;

	if (link == -EPERM || link == -EACCES)
		return sbus_error_set(error, link, "the router at \"%s\" was not opened: it is another user's, or that needs CAP_BPF: do it as root",
				      path);
	if (link < 0)
		return sbus_error_set(error, link, "the router at \"%s\" was not opened: %s", path,
				      link == -ENOENT ? "nothing is pinned there" :
							strerrordesc_np(-link));
	r = router_of(router, link, error);
	if (!r)
		(*router)->pin = strdup(path);
	return r;
}

/*
 * libbpf fills a map only on the way to a link of its own. This router's is in the
 * way of that, so that EEXIST is the expected end; if that was detached a moment ago,
 * the new one goes again.
 */
static int link_update(const struct sbus_router *router, const struct policy *policy)
{
	int r = link_new(policy);

	if (r >= 0) {
		close(r);
		return -ENOLINK;
	}
	return r == -EEXIST ? bpf_link_update(router->link, bpf_map__fd(policy->ops), NULL) : r;
}

static void replace_failed(struct sbus_router *router, const struct policy *policy,
			   const char *name, int r, struct sbus_error *error)
{
	if (policy->hook != router->hook)
		sbus_error_set(error, r, "policy \"%s\" cannot take the place of \"%s\": one says who may call, the other chooses replicas",
			       name, router->attached.policy);
	else if (r == -ENOLINK)
		sbus_error_set(error, r, "policy \"%s\" has nothing to replace: the router was detached: attach it",
			       name);
	else
		attach_failed(name, router->bus, sbus_router_service(router), r, error);
}

SBUS_API int sbus_router_replace(struct sbus_router *router, const char *name,
				 const char *options, struct sbus_error *error)
{
	struct policy policy;
	int r;

	lock(router);
	r = attached_refresh(&router->attached, router->link, error);
	r = r ? r : policy_load(&policy, router->bus, sbus_router_service(router), name, options,
				router->hook == SBUS_HOOK_SHADOW, error);
	if (r)
		return unlock(router, r);
	if (policy.hook == router->hook)
		r = link_update(router, &policy);
	else
		r = -EINVAL;
	if (r)
		replace_failed(router, &policy, name, r, error);
	policy_deinit(&policy);
	return unlock(router, r);
}

/* --- afterwards ----------------------------------------------------------- */

SBUS_API int sbus_router_set(struct sbus_router *router, const char *options,
			     struct sbus_error *error)
{
	struct attached *attached = &router->attached;
	int r;

	lock(router);
	r = attached_refresh(attached, router->link, error);
	if (!r)
		r = options_set(&attached->options, attached->policy, router->bus, options, error);
	return unlock(router, r);
}

SBUS_API int sbus_router_get(struct sbus_router *router, const char *option, uint32_t *value,
			     struct sbus_error *error)
{
	struct attached *attached = &router->attached;
	int r;

	lock(router);
	r = attached_refresh(attached, router->link, error);
	if (!r)
		r = options_get(&attached->options, attached->policy, option, value, error);
	return unlock(router, r);
}

SBUS_API int sbus_router_options(struct sbus_router *router, char **options,
				 struct sbus_error *error)
{
	struct attached *attached = &router->attached;
	int r;

	lock(router);
	r = attached_refresh(attached, router->link, error);
	if (!r)
		r = options_text(&attached->options, attached->policy, options, error);
	return unlock(router, r);
}

SBUS_API int sbus_router_policy(struct sbus_router *router, char name[16],
				struct sbus_error *error)
{
	int r;

	lock(router);
	r = attached_refresh(&router->attached, router->link, error);
	if (!r)
		strcpy(name, router->attached.policy);
	return unlock(router, r);
}

SBUS_API int sbus_router_pin(struct sbus_router *router, const char *path,
			     struct sbus_error *error)
{
	char *copy = strdup(path);
	int r;

	if (!copy)
		return sbus_error_set(error, -ENOMEM, "out of memory");
	r = bpf_obj_pin(router->link, path);
	if (!r) {
		lock(router);
		free(router->pin);
		router->pin = copy;
		return unlock(router, 0);
	}
	free(copy);
	switch (-r) {
	case EEXIST:
		return sbus_error_set(error, r, "the router was not pinned: \"%s\" is there already: open that one, or remove it",
				      path);
	case ENOENT:
		return sbus_error_set(error, r, "the router was not pinned: the folder of \"%s\" is not there: make it",
				      path);
	case EPERM:
		return sbus_error_set(error, r, "the router was not pinned: \"%s\" is not in a BPF file system (mount -t bpf bpf /sys/fs/bpf), or has a \".\" in its name",
				      path);
	default:
		return sbus_error_set(error, r, "the router was not pinned at \"%s\": %s", path,
				      strerrordesc_np(-r));
	}
}

SBUS_API int sbus_router_detach(struct sbus_router *router, struct sbus_error *error)
{
	int r = bpf_link_detach(router->link);

	if (r)
		return sbus_error_set(error, r, "the router was not detached: %s",
				      strerrordesc_np(-r));
	lock(router);
	if (router->pin)
		unlink(router->pin);
	return unlock(router, 0);
}

SBUS_API const char *sbus_router_bus(const struct sbus_router *router)
{
	return router->bus;
}

SBUS_API const char *sbus_router_service(const struct sbus_router *router)
{
	return *router->service ? router->service : NULL;
}

SBUS_API enum sbus_hook sbus_router_hook(const struct sbus_router *router)
{
	return router->hook;
}
