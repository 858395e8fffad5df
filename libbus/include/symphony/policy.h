/* SPDX-License-Identifier: MIT */
/*
 * For BPF programs that decide about calls: options that sbus_router_attach() and
 * sbus_router_set() know by name. What the options are is read from the object
 * file's BTF, so that any program can have some.
 *
 * An ACL is a hash map of the name "allow": struct sbus_acl_key, and one byte.
 */
#ifndef SYMPHONY_POLICY_H
#define SYMPHONY_POLICY_H

/**
 * SBUS_OPTION() - a variable of the program that is an option
 * @name: its name; a __u32, which the program reads for each call
 * @value: what it is until it is set
 * @min: it cannot be set to less
 * @max: it cannot be set to more
 */
#define SBUS_OPTION(name, value, min, max)					\
	__u32 name SEC(".data.options")						\
		__attribute__((btf_decl_tag("range:" #min ":" #max))) = (value)

/**
 * struct sbus_acl_key - who may call whom
 * @uid: of the sender, as in struct symphony_admit
 * @sender_service: handle of the service that the sender serves, 0 for none
 * @service: handle of the service that is called
 */
struct sbus_acl_key {
	__u32 uid;
	__u32 sender_service;
	__u32 service;
};

#endif
