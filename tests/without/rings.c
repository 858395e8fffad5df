// SPDX-License-Identifier: MIT
#include "rings.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(SYS_io_uring_enter == SYS_io_uring_setup + 1 &&
	       SYS_io_uring_register == SYS_io_uring_setup + 2, "one range in the filter");

int rings_forbid(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };

	if (!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 0;
	/* Who is not root promises to become nobody else; tests as root do that. */
	if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

static bool is_refused(long nr)
{
	return syscall(nr, -1, 0, 0, 0, 0, 0) < 0 && errno == EPERM;
}

bool rings_are_forbidden(void)
{
	return is_refused(SYS_io_uring_setup) && is_refused(SYS_io_uring_enter) &&
	       is_refused(SYS_io_uring_register);
}
