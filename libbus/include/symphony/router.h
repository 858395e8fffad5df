/* SPDX-License-Identifier: MIT */
/*
 * libsymphony-bpf: programs that decide about calls, attached to a bus.
 *
 * A router stands for one BPF program of a bus or of one service of it, which
 * chooses the replica of each call, or says who may call whom: a policy that comes
 * with the library (sbus_router_policies()) or one of your own, as an object file.
 *
 *	struct sbus_router *router;
 *
 *	r = sbus_router_attach(&router, NULL, "worker", "canary", "percent=5", &error);
 *	r = sbus_router_set(router, "percent=50", &error);
 *	sbus_router_free(router);
 *
 * The conventions are those of <symphony/bus.h>. This is a library of its own
 * (-lsymphony-bpf), so that only who routes needs libbpf. Its functions need
 * CAP_SYS_ADMIN, or root; attaching also the uid of the bus's creator, unless it is
 * with CAP_SYS_ADMIN over the bus's network namespace.
 */
#ifndef SYMPHONY_ROUTER_H
#define SYMPHONY_ROUTER_H

#include <symphony/bus.h>
#include <symphony/control.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sbus_router;

/**
 * sbus_router_policies() - what comes with the library
 *
 * Return: names, ended by NULL.
 */
SBUS_API const char *const *sbus_router_policies(void);

/**
 * sbus_router_attach() - let a policy decide about the calls of a service
 * @router: (out) what was attached; for sbus_router_free()
 * @bus: name of the bus; NULL: as sbus_bus_name(NULL)
 * @service: an id that is or was claimed on it; NULL: all of the bus that have no
 *	policy of their own (an acl: all)
 * @policy: one of sbus_router_policies(); or, with a "/" or a "." in it, the path of
 *	an object file with a struct symphony_route_ops or symphony_admit_ops in
 *	".struct_ops.link"
 * @options: "NAME=NUMBER,...": the policy's own (SBUS_OPTION() of
 *	<symphony/policy.h>); NULL: as they are by default. "allow=UID:CALLER:SERVICE",
 *	repeated, lists a pair in an acl: CALLER is the id that the sender serves, or
 *	empty for none, and "deny=..." takes it off the list
 * @error: filled on failure; its message ends with what libbpf and the kernel's
 *	verifier said last
 *
 * It decides from the next call on, until sbus_router_detach(), until @router is
 * freed or its process ends; see sbus_router_pin() for longer.
 *
 * Errors: ENODEV (the module is not loaded), ENOTSUP (the kernel or the module was
 * built without BTF; the program needs a newer module), EPERM (capabilities, or a
 * bus of another user), ENOENT (no such bus, service, policy or file), EEXIST (it
 * has a policy: sbus_router_open() and replace that), EINVAL (a name, an option,
 * or not an object file with such a program), EACCES and others of the kernel's
 * verifier, ENOMEM.
 */
SBUS_API int sbus_router_attach(struct sbus_router **router, const char *bus,
				const char *service, const char *policy, const char *options,
				struct sbus_error *error);

/**
 * sbus_router_shadow() - let a policy see the calls of a service, without any effect
 * @router: (out) as for sbus_router_attach()
 * @bus: likewise
 * @service: likewise
 * @policy: likewise, of those that choose replicas
 * @options: likewise
 * @error: likewise
 *
 * It is asked and told as if it decided; the kernel compares its choices with those
 * of what does, and counts. There can be one beside a router.
 *
 * Errors: those of sbus_router_attach(); EEXIST (it has a shadow).
 */
SBUS_API int sbus_router_shadow(struct sbus_router **router, const char *bus,
				const char *service, const char *policy, const char *options,
				struct sbus_error *error);

/**
 * sbus_router_open() - the router that was pinned
 * @router: (out) for sbus_router_free()
 * @path: given to sbus_router_pin(), by whichever process
 * @error: filled on failure
 *
 * Errors: ENOENT, EINVAL (something else is pinned there), EPERM, ENOLINK (it was
 * detached), ENOMEM.
 */
SBUS_API int sbus_router_open(struct sbus_router **router, const char *path,
			      struct sbus_error *error);

/**
 * sbus_router_open_link() - the router whose BPF link has an id
 * @router: (out) for sbus_router_free()
 * @id: as sbus_list_programs() tells it
 * @error: filled on failure
 *
 * Errors: ENOENT (it is gone), EINVAL (the link is of something else), EPERM, ENOLINK
 * (it was detached), ENOMEM.
 */
SBUS_API int sbus_router_open_link(struct sbus_router **router, uint32_t id,
				   struct sbus_error *error);

/**
 * sbus_router_replace() - another policy in place of this one
 * @router: the router
 * @policy: as for sbus_router_attach(), and of the same kind
 * @options: likewise
 * @error: filled on failure: all is as it was
 *
 * Between two calls: each is decided by the one or the other.
 *
 * Errors: those of sbus_router_attach(), ENOLINK (it was detached).
 */
SBUS_API int sbus_router_replace(struct sbus_router *router, const char *policy,
				 const char *options, struct sbus_error *error);

/**
 * sbus_router_set() - change options of the policy that is attached
 * @router: the router
 * @options: those to change, as for sbus_router_attach()
 * @error: filled on failure; if it is about the text, nothing was changed
 *
 * Each option is changed at once, for the next call; several are changed one after
 * the other.
 *
 * Errors: EINVAL, ENOENT (an acl's id that nobody ever claimed), E2BIG (an acl's
 * list is full), ENOLINK, EPERM, ENOMEM.
 */
SBUS_API int sbus_router_set(struct sbus_router *router, const char *options,
			     struct sbus_error *error);

/**
 * sbus_router_get() - an option of the policy that is attached
 * @router: the router
 * @option: its name
 * @value: (out)
 * @error: filled on failure
 *
 * Errors: EINVAL (it has no such option), ENOLINK, EPERM, ENOMEM.
 */
SBUS_API int sbus_router_get(struct sbus_router *router, const char *option, uint32_t *value,
			     struct sbus_error *error);

/**
 * sbus_router_options() - all options of the policy that is attached
 * @router: the router
 * @options: (out) "NAME=NUMBER,...", empty without any; for free(). An acl's list is not
 *	in it
 * @error: filled on failure
 *
 * Errors: ENOLINK, EPERM, ENOMEM.
 */
SBUS_API int sbus_router_options(struct sbus_router *router, char **options,
				 struct sbus_error *error);

/**
 * sbus_router_pin() - let it outlive this process
 * @router: the router
 * @path: a name there is not yet, without a "." in its last part, in a BPF file
 *	system (/sys/fs/bpf)
 * @error: filled on failure
 *
 * The policy works until the name is removed and nobody has the router open.
 *
 * Errors: EEXIST, ENOENT (no such folder), EPERM (not in a BPF file system, or with a
 * "." in its name).
 */
SBUS_API int sbus_router_pin(struct sbus_router *router, const char *path,
			     struct sbus_error *error);

/**
 * sbus_router_detach() - end it, for all who have it open
 * @router: the router; to be freed all the same
 * @error: filled on failure
 *
 * The name by which it was opened, or pinned here, is removed. Calls then find the
 * built-in policy; after an acl they are refused, until another one is attached. To
 * detach it again does nothing.
 *
 * Errors: EPERM, ENOMEM.
 */
SBUS_API int sbus_router_detach(struct sbus_router *router, struct sbus_error *error);

/**
 * sbus_router_free() - let go of it
 * @router: the router, or NULL; no other thread may use it any more
 *
 * Where it is neither pinned nor open elsewhere, that detaches it.
 *
 * Return: NULL.
 */
SBUS_API struct sbus_router *sbus_router_free(struct sbus_router *router);

/** sbus_router_bus() - the name of the bus; valid as long as the router */
SBUS_API const char *sbus_router_bus(const struct sbus_router *router);
/** sbus_router_service() - the id of the service, or NULL; valid as long as the router */
SBUS_API const char *sbus_router_service(const struct sbus_router *router);

/** sbus_router_hook() - what it is asked */
SBUS_API enum sbus_hook sbus_router_hook(const struct sbus_router *router);

/**
 * sbus_router_policy() - the name of the policy that is attached now
 * @router: the router
 * @name: (out) of the struct in its object file; the kernel keeps 15 characters
 * @error: filled on failure
 *
 * Errors: ENOLINK, EPERM, ENOMEM.
 */
SBUS_API int sbus_router_policy(struct sbus_router *router, char name[16],
				struct sbus_error *error);

SBUS_DEFINE_CLEANUP(struct sbus_router *, sbus_cleanup_router_freep, sbus_router_free)
#define sbus_cleanup_router __attribute__((cleanup(sbus_cleanup_router_freep)))

#ifdef __cplusplus
}
#endif

#endif /* SYMPHONY_ROUTER_H */
