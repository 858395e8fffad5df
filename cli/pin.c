// SPDX-License-Identifier: MIT
/*
 * Pins: names under which policies outlive the command that attached them.
 *
 *	/sys/fs/bpf/symphony/BUS/SERVICE		what routes
 *	/sys/fs/bpf/symphony/BUS/SERVICE@shadow		its shadow
 *	/sys/fs/bpf/symphony/BUS/SERVICE@admit		what says who may call
 *	/sys/fs/bpf/symphony/BUS/@route			and so on, of all of the bus
 *
 * A "." of a name is a "+" there, as BPF file systems have none. In a network
 * namespace that is not process 1's, the bus is BUS@NUMBER, with that of the
 * namespace: there can be a bus of the same name in each.
 */
#include "pin.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "snapshot.h"

static void append_name(FILE *to, const char *name)
{
	for (; *name; name++)
		fputc(*name == '.' ? '+' : *name, to);
}

char *pin_path(const char *bus, const char *service, uint32_t hook)
{
	struct stat own, first;
	char *path = NULL;
	size_t len;
	FILE *to = open_memstream(&path, &len);

	if (!to)
		return NULL;
	fputs(PINS "/", to);
	append_name(to, bus);
	if (!stat("/proc/self/ns/net", &own) && !stat("/proc/1/ns/net", &first) &&
	    own.st_ino != first.st_ino)
		fprintf(to, "@%lu", (unsigned long)own.st_ino);
	fputc('/', to);
	append_name(to, service ? service : "");
	if (!service || hook != SBUS_HOOK_ROUTE)
		fprintf(to, "@%s", snapshot_hook(hook));
	if (fclose(to)) {
		free(path);
		return NULL;
	}
	return path;
}

uint32_t pin_link(const char *path)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return 0;
	if (bpf_link_get_info_by_fd(fd, &info, &size))
		info.id = 0;
	close(fd);
	return info.id;
}

/* Who can remove a pin can end a policy: the folder has to be ours alone. */
static int make_folder(const char *path)
{
	struct stat folder;

	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(path, &folder))
		return -errno;
	if (!S_ISDIR(folder.st_mode) || folder.st_uid != geteuid() || folder.st_mode & 0022)
		return -EPERM;
	return 0;
}

static int make_folders(char *path)
{
	for (char *at = path + sizeof(PINS) - 1; at; at = strchr(at + 1, '/')) {
		int r;

		*at = 0;
		r = make_folder(path);
		*at = '/';
		if (r)
			return r;
	}
	return 0;
}

/*
 * The kernel took @router, so that what is pinned there decides about nothing: it
 * was detached, or is a bus's that is gone.
 */
int pin_router(struct sbus_router *router, char **path, struct sbus_error *error)
{
	int r;

	*path = pin_path(sbus_router_bus(router), sbus_router_service(router),
			 sbus_router_hook(router));
	if (!*path)
		return sbus_error_set(error, -ENOMEM, "out of memory");
	r = make_folders(*path);
	if (r)
		return sbus_error_set(error, r, "the policy was not attached, as it cannot be pinned at \"%s\": %s", *path,
				      r == -EPERM ? "a folder there is another user's, or others can write to it: remove it" :
				      "is there a BPF file system (mount -t bpf bpf /sys/fs/bpf)?");
	unlink(*path);
	return sbus_router_pin(router, *path, error);
}

void pin_remove(const char *path)
{
	char *folder = strdup(path);

	unlink(path);
	for (int i = 0; i < 2 && folder; i++) {
		*strrchr(folder, '/') = 0;
		if (rmdir(folder))
			break;
	}
	free(folder);
}

static int each_of(const char *bus, int (*fn)(const char *path, void *userdata), void *userdata)
{
	DIR *folder = opendir(bus);
	struct dirent *entry;
	int r = 0;

	while (!r && folder && (entry = readdir(folder))) {
		char *path = NULL;

		if (*entry->d_name != '.' && asprintf(&path, "%s/%s", bus, entry->d_name) >= 0)
			r = fn(path, userdata);
		free(path);
	}
	if (folder)
		closedir(folder);
	return r;
}

int pin_each(int (*fn)(const char *path, void *userdata), void *userdata)
{
	DIR *folder = opendir(PINS);
	struct dirent *entry;
	int r = 0;

	while (!r && folder && (entry = readdir(folder))) {
		char *path = NULL;

		if (*entry->d_name != '.' && asprintf(&path, PINS "/%s", entry->d_name) >= 0)
			r = each_of(path, fn, userdata);
		free(path);
	}
	if (folder)
		closedir(folder);
	return r;
}
