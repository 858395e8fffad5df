// SPDX-License-Identifier: MIT
/* symphony doctor: what there is to find fault with on this machine, and what to do about it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/symphony.h>

#include "cli.h"

#define DEVICE "/dev/symphony"

enum verdict {
	FINE,
	NOTE,		/* something that not everybody needs is not there */
	BROKEN,		/* calls do not work */
};

static const char *const verdicts[] = { [FINE] = "ok", [NOTE] = "note", [BROKEN] = "broken" };

struct report {
	bool json;
	yyjson_mut_doc *doc;
	yyjson_mut_val *checks;
	unsigned int nr[BROKEN + 1];
};

/* @todo is NULL where nothing is to be done. */
static void tell(struct report *report, enum verdict verdict, const char *check,
		 const char *todo, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void tell(struct report *report, enum verdict verdict, const char *check,
		 const char *todo, const char *format, ...)
{
	yyjson_mut_val *object;
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		return;
	report->nr[verdict]++;
	if (report->json) {
		object = yyjson_mut_arr_add_obj(report->doc, report->checks);
		yyjson_mut_obj_add_str(report->doc, object, "check", check);
		yyjson_mut_obj_add_str(report->doc, object, "verdict", verdicts[verdict]);
		yyjson_mut_obj_add_strcpy(report->doc, object, "text", text);
		if (todo)
			yyjson_mut_obj_add_strcpy(report->doc, object, "todo", todo);
	} else {
		printf("%-8s%-10s %s\n", verdicts[verdict], check, text);
		if (todo)
			printf("%19s-> %s\n", "", todo);
	}
	free(text);
}

/* The first line of a small file; false when there is none. */
static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool read = file && fgets(line, size, file);

	if (file)
		fclose(file);
	if (read)
		line[strcspn(line, "\n")] = 0;
	return read;
}

static bool read_number(const char *path, long *number)
{
	char line[64];

	if (!read_line(path, line, sizeof(line)))
		return false;
	*number = strtol(line, NULL, 10);
	return true;
}

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

/* --- the module ----------------------------------------------------------- */

static void check_kernel(struct report *report)
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	if (major < 6 || (major == 6 && minor < 12))
		tell(report, BROKEN, "kernel", "boot Linux 6.12 or newer", "Linux %s is too old for the module",
		     name.release);
	else
		tell(report, FINE, "kernel", NULL, "Linux %s", name.release);
}

/* Where "make install" and dkms put it. */
static bool is_installed(void)
{
	static const char *const places[] = { "updates/kmod", "updates", "updates/dkms", "extra" };
	static const char *const ends[] = { "", ".xz", ".zst", ".gz" };
	struct utsname name;
	char path[512];

	uname(&name);
	for (size_t i = 0; i < NR(places); i++) {
		for (size_t j = 0; j < NR(ends); j++) {
			snprintf(path, sizeof(path), "/lib/modules/%s/%s/symphony.ko%s",
				 name.release, places[i], ends[j]);
			if (is_there(path))
				return true;
		}
	}
	return false;
}

static bool check_module(struct report *report)
{
	char version[64] = "";

	if (!is_there("/sys/module/symphony")) {
		if (is_installed())
			tell(report, BROKEN, "module", "modprobe symphony (as root); with Secure Boot it has to be signed",
			     "the module symphony is installed, but not loaded");
		else
			tell(report, BROKEN, "module", "in its sources: make && make install && modprobe symphony (as root)",
			     "the module symphony is not installed for this kernel");
		return false;
	}
	read_line("/sys/module/symphony/version", version, sizeof(version));
	if (strcmp(version, CLI_VERSION))
		tell(report, NOTE, "module", "install module and command of one version, and load it: rmmod symphony && modprobe symphony",
		     "loaded is version %s, but this is %s", *version ? version : "?", CLI_VERSION);
	else
		tell(report, FINE, "module", NULL, "loaded, version %s", version);
	return true;
}

static void check_device(struct report *report, bool module)
{
	struct stat stat;
	int fd;

	if (lstat(DEVICE, &stat)) {
		tell(report, BROKEN, "device", module ?
		     "in a container: pass the device in (--device " DEVICE "); else see that udev or devtmpfs runs" :
		     "load the module", "there is no " DEVICE);
		return;
	}
	if (!S_ISCHR(stat.st_mode)) {
		tell(report, BROKEN, "device", "remove it, and load the module again",
		     DEVICE " is not a device");
		return;
	}
	fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		tell(report, BROKEN, "device", errno == EACCES ? "chmod 0666 " DEVICE ", as 60-symphony.rules does: buses carry the permissions" :
		     errno == EPERM ? "allow the device in the cgroup of the container" :
		     "unload the module that it was of, and load symphony",
		     DEVICE " (mode %04o) cannot be opened: %s", stat.st_mode & 07777,
		     strerrordesc_np(errno));
		return;
	}
	close(fd);
	if ((stat.st_mode & 0666) != 0666)
		tell(report, NOTE, "device", "chmod 0666 " DEVICE ", as 60-symphony.rules does: buses carry the permissions",
		     DEVICE " has mode %04o: not everybody can use it", stat.st_mode & 07777);
	else
		tell(report, FINE, "device", NULL, DEVICE " has mode %04o, and opens",
		     stat.st_mode & 07777);
}

/* --- limits --------------------------------------------------------------- */

static void check_use(struct report *report, const char *what, const char *parameter,
		      const struct sbus_use *use)
{
	char todo[128];

	snprintf(todo, sizeof(todo), "/sys/module/symphony/parameters/%s is for root to raise",
		 parameter);
	if (use->used * 10 >= use->max * 9)
		tell(report, NOTE, "limits", todo, "this user has %" PRIu64 " of %" PRIu64 " %s",
		     use->used, use->max, what);
	else
		tell(report, FINE, "limits", NULL, "this user has %" PRIu64 " of %" PRIu64 " %s",
		     use->used, use->max, what);
}

static void check_limits(struct report *report)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_info info = { .size = sizeof(info) };
	int r = sbus_query(NULL, &info, &error);

	if (r) {
		tell(report, BROKEN, "abi", "install library and module of one version",
		     "the module cannot be asked: %s", sbus_error_message(&error));
		return;
	}
	tell(report, FINE, "abi", NULL, "the module has ABI %u, this program ABI %u",
	     info.abi_version, SYMPHONY_ABI_VERSION);
	check_use(report, "buses", "user_buses_max", &info.user_buses);
	check_use(report, "connections", "user_endpoints_max", &info.user_endpoints);
	check_use(report, "bytes of pools", "user_pool_max", &info.user_pool);
	check_use(report, "calls", "user_calls_max", &info.user_calls);
	check_use(report, "ids", "user_services_max", &info.user_services);
	check_use(report, "files on the way", "user_files_max", &info.user_files);
	check_use(report, "claims", "user_claims_max", &info.user_claims);
	check_use(report, "records of called and watched connections", "user_records_max",
		  &info.user_records);
}

static void check_bus(struct report *report, const struct cli *cli)
{
	sbus_cleanup_error struct sbus_error error = SBUS_ERROR_INIT;
	sbus_cleanup_bus struct sbus *bus = NULL;
	const char *name = cli_bus_name(cli);
	int r = cli_open(cli, &bus, &error);

	if (!r)
		tell(report, FINE, "bus", NULL, "bus \"%s\" is there, and can be joined", name);
	else if (r == -ENOENT)
		tell(report, NOTE, "bus", "start the application; or name another one with --bus",
		     "there is no bus \"%s\" in this network namespace", name);
	else
		tell(report, NOTE, "bus", "what it is for others is its creator's to say, with its mode",
		     "%s", sbus_error_message(&error));
}

/* --- BPF ------------------------------------------------------------------ */

static void check_btf(struct report *report, bool module)
{
	if (!is_there("/sys/kernel/btf/vmlinux"))
		tell(report, NOTE, "btf", "boot a kernel with CONFIG_DEBUG_INFO_BTF", "this kernel has no BTF: no policies, no trace");
	else if (module && !is_there("/sys/kernel/btf/symphony"))
		tell(report, NOTE, "btf", "build the module here, with pahole (dwarves) installed", "the module has no BTF: no policies, no trace");
	else if (module)
		tell(report, FINE, "btf", NULL, "kernel and module have BTF");
	else
		tell(report, FINE, "btf", NULL, "the kernel has BTF");
}

static void check_capabilities(struct report *report)
{
	static const struct {
		unsigned int number;
		const char *name;
	} needed[] = {
		{ CAP_BPF, "CAP_BPF" },
		{ CAP_PERFMON, "CAP_PERFMON" },
		{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
	};
	char missing[128] = "";
	long disabled;

	for (size_t i = 0; i < NR(needed); i++) {
		if (cli_capable(needed[i].number))
			continue;
		strcat(missing, *missing ? ", " : "");
		strcat(missing, needed[i].name);
	}
	if (*missing)
		tell(report, NOTE, "bpf", "run these as root", "no %s here: no policies, no trace", missing);
	else
		tell(report, FINE, "bpf", NULL, "the capabilities for policies and trace are there");
	if (!read_number("/proc/sys/kernel/unprivileged_bpf_disabled", &disabled))
		tell(report, NOTE, "bpf", "boot a kernel with CONFIG_BPF_SYSCALL", "this kernel has no BPF: no policies, no trace");
	else if (!disabled)
		tell(report, NOTE, "bpf", "sysctl kernel.unprivileged_bpf_disabled=2: Symphony needs it for nobody", "every user can load BPF programs");
	else
		tell(report, FINE, "bpf", NULL, "only who has CAP_BPF can load BPF programs (unprivileged_bpf_disabled=%ld)", disabled);
}

static void check_file_systems(struct report *report)
{
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) || fs.f_type != BPF_FS_MAGIC)
		tell(report, NOTE, "bpffs", "mount -t bpf bpf /sys/fs/bpf", "no BPF file system at /sys/fs/bpf: \"symphony route attach\" cannot pin");
	else
		tell(report, FINE, "bpffs", NULL, "/sys/fs/bpf is there for policies to be pinned in");
	if (statfs("/sys/kernel/tracing", &fs) || fs.f_type != TRACEFS_MAGIC)
		tell(report, NOTE, "tracefs", "mount -t tracefs tracefs /sys/kernel/tracing", "no tracefs that this user sees at /sys/kernel/tracing: \"symphony trace\" does not work");
	else
		tell(report, FINE, "tracefs", NULL, "/sys/kernel/tracing is there");
}

/* --- io_uring ------------------------------------------------------------- */

/* The kernel checks the permission before the number of entries, of which 0 is none. */
static void check_uring(struct report *report)
{
	static const char without[] = "calls need no io_uring: all operations are ioctls too";
	char params[256] = { 0 };
	long disabled = 0, group = -1;
	int err = syscall(SYS_io_uring_setup, 0, params) < 0 ? errno : 0;

	read_number("/proc/sys/kernel/io_uring_disabled", &disabled);
	read_number("/proc/sys/kernel/io_uring_group", &group);
	if (err == EINVAL)
		tell(report, FINE, "io_uring", NULL, "allowed (io_uring_disabled=%ld)", disabled);
	else if (err == ENOSYS)
		tell(report, NOTE, "io_uring", without, "not in this kernel, or seccomp says so");
	else if (disabled == 2)
		tell(report, NOTE, "io_uring", "nothing, or sysctl kernel.io_uring_disabled=0: calls need none", "nobody may use it (io_uring_disabled=2)");
	else if (disabled == 1)
		tell(report, NOTE, "io_uring", "nothing, or join that group: calls need none", "only group %ld and CAP_SYS_ADMIN may use it (io_uring_disabled=1)", group);
	else
		tell(report, NOTE, "io_uring", without, "refused (%s), as seccomp filters of containers do", strerrordesc_np(err));
}

static void check_seccomp(struct report *report)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	int mode = 0;

	while (status && fgets(line, sizeof(line), status))
		sscanf(line, "Seccomp: %d", &mode);
	if (status)
		fclose(status);
	if (mode)
		tell(report, NOTE, "seccomp", "let it pass ioctl, mmap and poll; for policies also bpf", "a seccomp filter is in force");
	else
		tell(report, FINE, "seccomp", NULL, "no filter");
}

/* --- all of it ------------------------------------------------------------ */

static void check(struct report *report, const struct cli *cli)
{
	bool module;

	check_kernel(report);
	module = check_module(report);
	check_device(report, module);
	if (module) {
		check_limits(report);
		check_bus(report, cli);
	}
	check_btf(report, module);
	check_capabilities(report);
	check_file_systems(report);
	check_uring(report);
	check_seccomp(report);
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct report report = { .json = false };
	yyjson_mut_val *root = NULL;
	int r = CLI_OK;

	if (cli_getopt(cli, &doctor_command, argc, argv, CLI_NO_OPTIONS) != -1)
		return CLI_USAGE;
	if (optind < argc)
		return cli_usage(cli, &doctor_command, "\"%s\" is too much", argv[optind]);
	if (cli->json) {
		report.json = true;
		report.doc = yyjson_mut_doc_new(NULL);
		root = yyjson_mut_obj(report.doc);
		yyjson_mut_doc_set_root(report.doc, root);
		report.checks = yyjson_mut_obj_add_arr(report.doc, root, "checks");
	}
	check(&report, cli);
	if (cli->json) {
		yyjson_mut_obj_add_bool(report.doc, root, "works", !report.nr[BROKEN]);
		r = cli_print_doc(cli, report.doc);
	} else {
		printf("\n%u ok, %u to note, %u broken%s\n", report.nr[FINE], report.nr[NOTE],
		       report.nr[BROKEN], report.nr[BROKEN] ? "" : ": calls can be made");
	}
	return report.nr[BROKEN] ? CLI_FAILED : r;
}

const struct command doctor_command = {
	.name = "doctor",
	.arguments = "",
	.summary = "check what Symphony needs on this machine",
	.help = ", and say what\n"
		"to do about what is missing. \"broken\": no call can be made (status 1). \"note\":\n"
		"something that not everybody needs is missing.\n",
	.run = run,
};
