// SPDX-License-Identifier: MIT
/* Members from shared objects. */
#include <dlfcn.h>

#include "error.h"
#include "pit.h"

/* Only of a descriptor of this version it is known where its name is. */
static const yyjson_val *config_of(const struct symphony_extension *extension,
				   const yyjson_val *config)
{
	if (!extension || extension->abi_version != SYMPHONY_EXTENSION_ABI)
		return NULL;
	return yyjson_obj_get((yyjson_val *)config, extension->name);
}

SBUS_API int sbus_pit_load(struct sbus_pit *pit, const char *path, const yyjson_val *config,
			   struct sbus_error *error)
{
	const struct symphony_extension *const *descriptor;
	struct sbus_member *member;
	void *library;
	int r;

	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return sbus_error_set(error, -ELIBACC, "the extension was not loaded: %s", dlerror());
	descriptor = dlsym(library, "symphony_extension");
	if (!descriptor) {
		r = sbus_error_set(error, -ELIBBAD, "%s is no extension: it has no symbol symphony_extension (compile it with -DSYMPHONY_PLUGIN)",
				   path);
		goto err_close;
	}
	r = sbus_pit_add(pit, *descriptor, config_of(*descriptor, config), error);
	if (r)
		goto err_close;
	for (member = pit->first; member->next; member = member->next)
		;
	member->library = library;
	return 0;

err_close:
	dlclose(library);
	return r;
}
