/* SPDX-License-Identifier: MIT */
/* params: checks of parameters beyond those that <symphony/extension.h> has. */
#ifndef PIT_PARAMS_H
#define PIT_PARAMS_H

#include <symphony/extension.h>

/* Whole numbers up to here are exact in every JSON reader. */
#define PIT_UINT_MAX ((1ULL << 53) - 1)

/* Longest name of a pool, a model, a workflow or a node, in bytes. */
#define PIT_NAME_MAX 255

/* Longest wait that can be asked for: a year, in milliseconds. */
#define PIT_WAIT_MAX (366ULL * 24 * 3600 * 1000)

#define PIT_NS_PER_MS 1000000ULL

/**
 * pit_params_known() - refuse what is not an object, and members not in @known
 * @known: names, ended by NULL
 *
 * A misspelt parameter that is quietly ignored is a fault found much later.
 *
 * Return: 0, or what the method has to return.
 */
int pit_params_known(struct sbus_invocation *inv, const char *const *known);

#define PIT_PARAMS_KNOWN(inv, ...) \
	pit_params_known(inv, (const char *const[]){ __VA_ARGS__, NULL })

/**
 * pit_config_known() - refuse a configuration with members not in @known
 * @id: whose it is, for the message
 * @config: NULL or null: none
 * @error: filled on failure
 * @known: names, ended by NULL
 *
 * Errors: EINVAL, also when it is not an object.
 */
int pit_config_known(const char *id, yyjson_val *config, struct sbus_error *error,
		     const char *const *known);

#define PIT_CONFIG_KNOWN(id, config, error, ...) \
	pit_config_known(id, config, error, (const char *const[]){ __VA_ARGS__ __VA_OPT__(,) NULL })

/**
 * pit_param_name() - a string of 1 to PIT_NAME_MAX bytes
 *
 * Return: as sbus_param_str().
 */
int pit_param_name(struct sbus_invocation *inv, const char *name,
		   unsigned int flags, const char **value);

/**
 * pit_unwatched() - tell a caller why nothing is given to it
 * @error: what pit_hold() returned
 *
 * Return: what the method has to return.
 */
int pit_unwatched(struct sbus_invocation *inv, int error);

/**
 * pit_deadline() - the time @timeout_ms from now
 */
static inline uint64_t pit_deadline(uint64_t timeout_ms)
{
	return sbus_now() + timeout_ms * PIT_NS_PER_MS;
}

#endif
