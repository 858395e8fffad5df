/* SPDX-License-Identifier: MIT */
/* Pins: names under which policies outlive the command that attached them. */
#ifndef CLI_PIN_H
#define CLI_PIN_H

#include <symphony/router.h>

#define PINS "/sys/fs/bpf/symphony"

/* Where the policy of @service, or of all of the bus (NULL), is pinned; to be freed. */
char *pin_path(const char *bus, const char *service, uint32_t hook);
/* The id of the BPF link that is pinned at @path; 0: none. */
uint32_t pin_link(const char *path);
/* Pins @router at its path, in place of what an earlier bus of the name left there. */
int pin_router(struct sbus_router *router, char **path, struct sbus_error *error);
/* Removes the name, and folders that are empty then. */
void pin_remove(const char *path);
/* All there are, of whatever network namespace; ends with what @fn returns if not 0. */
int pin_each(int (*fn)(const char *path, void *userdata), void *userdata);

#endif
