// SPDX-License-Identifier: MIT
/* BPF programs on the tracepoints of calls, loaded. */
#include "calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>

#include "calls.skel.h"
#include "cli.h"

/* What libbpf complained of last. */
static char said[512];

static int listen(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN)
		vsnprintf(said, sizeof(said), format, args);
	return 0;
}

/* Bodies are not seen, but who calls whom and when: that is for who may see all of the kernel. */
static int check(struct sbus_error *error)
{
	if (access("/sys/module/symphony", F_OK))
		return sbus_error_set(error, -ENODEV, "the symphony module is not loaded: modprobe symphony");
	if (!cli_capable(CAP_BPF) || !cli_capable(CAP_PERFMON) || !cli_capable(CAP_SYS_ADMIN))
		return sbus_error_set(error, -EPERM, "calls are seen through the kernel's tracepoints, which takes CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN, whoever owns the bus: do it as root");
	if (access("/sys/kernel/btf/symphony", F_OK))
		return sbus_error_set(error, -ENOTSUP, "kernel or module were built without BTF: \"symphony doctor\" says what to do");
	if (access("/sys/kernel/tracing/events/symphony", F_OK) &&
	    access("/sys/kernel/debug/tracing/events/symphony", F_OK))
		return sbus_error_set(error, -ENOTSUP, "the tracepoints of the module are not there: mount -t tracefs tracefs /sys/kernel/tracing; if it is, the module is older than this program");
	return 0;
}

_Static_assert(CALLS_NAME > SBUS_NAME_MAX, "CALLS_NAME");

static int failed(int r, struct sbus_error *error)
{
	said[strcspn(said, "\n")] = 0;
	return sbus_error_set(error, r, "the programs that see calls were not loaded: %s; %s",
			      strerrordesc_np(-r), *said ? said : "libbpf says nothing");
}

/* The last stage first, so that of a call that is seen to be made all is seen. */
static int attach(struct calls *calls)
{
	const struct {
		struct bpf_program *program;
		struct bpf_link **link;
	} stages[] = {
		{ calls->progs.on_done, &calls->links.on_done },
		{ calls->progs.on_received, &calls->links.on_received },
		{ calls->progs.on_queued, &calls->links.on_queued },
		{ calls->progs.on_made, &calls->links.on_made },
	};

	for (size_t i = 0; i < NR(stages); i++) {
		*stages[i].link = bpf_program__attach(stages[i].program);
		if (!*stages[i].link)
			return -errno;
	}
	return 0;
}

int calls_open(struct calls **ret, const char *bus, const char *service, bool events,
	       struct sbus_error *error)
{
	struct calls *calls;
	int r = check(error);

	if (r)
		return r;
	r = sbus_check_name(bus, error);
	if (!r && service)
		r = sbus_check_name(service, error);
	if (r)
		return r;
	libbpf_set_print(listen);
	calls = calls__open();
	if (!calls)
		return failed(-errno, error);
	strcpy((char *)calls->rodata->want_bus.text, bus);
	strcpy((char *)calls->rodata->want_service.text, service ? service : "");
	calls->rodata->want_times = !events;
	calls->rodata->want_events = events;
	r = calls__load(calls);
	r = r ? r : attach(calls);
	if (r) {
		calls__destroy(calls);
		return failed(r, error);
	}
	*ret = calls;
	return 0;
}

void calls_close(struct calls *calls)
{
	calls__destroy(calls);
}

int calls_times_map(const struct calls *calls)
{
	return bpf_map__fd(calls->maps.times);
}

int calls_outcomes_map(const struct calls *calls)
{
	return bpf_map__fd(calls->maps.outcomes);
}

int calls_events_map(const struct calls *calls)
{
	return bpf_map__fd(calls->maps.events);
}

uint64_t calls_lost(const struct calls *calls)
{
	return __atomic_load_n(&calls->bss->lost, __ATOMIC_RELAXED);
}
