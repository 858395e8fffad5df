// SPDX-License-Identifier: MIT
/* Parcels: see parcel.h. */
#include "parcel.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "error.h"
#include "message.h"
#include "pieces.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* After these nothing of it changes, not even that. */
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static int write_all(int fd, const char *body, size_t len)
{
	ssize_t n;

	for (; len; body += n, len -= n) {
		n = write(fd, body, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -errno;
	}
	return 0;
}

/* A file with what the pieces have, which nobody can change: it, or -errno. */
static int seal(const struct iovec *iov, unsigned int nr)
{
	int fd = memfd_create("symphony-body", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	int r = 0;

	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; i < nr && !r; i++)
		r = write_all(fd, iov[i].iov_base, iov[i].iov_len);
	if (!r && fcntl(fd, F_ADD_SEALS, SEALS))
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

int parcel_pack(struct parcel *parcel, const int *fds, size_t nr)
{
	if (nr > SYMPHONY_FDS_MAX)
		return -E2BIG;
	parcel->nr = parcel->foreign = nr;
	parcel->is_sealed = false;
	if (nr)
		memcpy(parcel->fds, fds, nr * sizeof(*fds));
	return 0;
}

bool parcel_seal(struct parcel *parcel, const struct iovec *iov, unsigned int nr)
{
	int saved = errno, fd;

	if (parcel->is_sealed || parcel->nr == SYMPHONY_FDS_MAX)
		return false;
	fd = seal(iov, nr);
	errno = saved;
	if (fd < 0)
		return false;
	parcel->is_sealed = true;
	parcel->sealed = (struct symphony_sealed){ .len = pieces_len(iov, nr) };
	parcel->fds[parcel->nr++] = fd;
	return true;
}

int parcel_new(struct parcel **ret, const int *fds, size_t nr)
{
	struct parcel *parcel = malloc(sizeof(*parcel));
	int saved = errno, r;

	if (!parcel)
		return -ENOMEM;
	r = parcel_pack(parcel, NULL, 0);
	for (size_t i = 0; i < nr && !r; i++) {
		int fd = i < SYMPHONY_FDS_MAX ? fcntl(fds[i], F_DUPFD_CLOEXEC, 0) : -1;

		if (fd >= 0)
			parcel->fds[parcel->nr++] = fd;
		else
			r = i < SYMPHONY_FDS_MAX ? -errno : -E2BIG;
	}
	errno = saved;
	if (r)
		parcel_free(parcel);
	else
		*ret = parcel;
	return r;
}

void parcel_name(struct parcel *parcel, struct symphony_call *call)
{
	call->fds = (uintptr_t)parcel->fds;
	call->nr_fds = parcel->nr;
	if (!parcel->is_sealed)
		return;
	call->body = (uintptr_t)&parcel->sealed;
	call->body_len = sizeof(parcel->sealed);
	call->flags &= ~SYMPHONY_CALL_VECTOR;
	call->content_type |= SYMPHONY_CONTENT_SEALED;
}

static void close_all(const int *fds, uint32_t nr)
{
	int saved = errno;

	for (uint32_t i = 0; i < nr; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	errno = saved;
}

void parcel_empty(struct parcel *parcel)
{
	close_all(parcel->fds + parcel->foreign, parcel->nr - parcel->foreign);
	parcel->nr = parcel->foreign;
	parcel->is_sealed = false;
}

void parcel_free(struct parcel *parcel)
{
	if (!parcel)
		return;
	parcel_empty(parcel);
	free(parcel);
}

void attached_sent(struct attached *attached)
{
	close_all(attached->pushed, attached->nr_pushed);
	attached->nr_pushed = 0;
}

void attached_free(struct attached *attached)
{
	if (attached->map)
		munmap(attached->map, attached->map_len);
	close_all(attached->fds, attached->nr);
	close_all(attached->pushed, attached->nr_pushed);
	free(attached);
}

static struct attached *attached_get(struct sbus_message *message)
{
	if (!message->attached)
		message->attached = calloc(1, sizeof(*message->attached));
	return message->attached;
}

/* Once for a message: its files are the process's then, and close with it. */
static int claim(struct sbus_message *message)
{
	struct attached *attached = attached_get(message);
	struct symphony_fds arg = {
		.size = sizeof(arg),
		.id = message->id,
		.offset = message->offset,
		.nr = SYMPHONY_FDS_MAX,
	};
	int r;

	if (!attached)
		return -ENOMEM;
	if (attached->claimed || !message->msg->nr_fds)
		return 0;
	arg.fds = (uintptr_t)attached->fds;
	r = bus_ioctl(message->bus, SYMPHONY_IOC_FDS, &arg);
	if (r)
		return r;
	attached->claimed = true;
	attached->nr = message->msg->nr_fds;
	return 0;
}

/*
 * Maps a file of somebody who may want this process to read what changes, or what is
 * not there. A file without these seals is of no kind that they are for; then it is
 * in memory, and what it says of itself stays. Where it has holes, reading would make
 * pages on this process's account.
 */
static const char *map_sealed(struct attached *attached, int fd, uint64_t len, int *r)
{
	struct statfs fs;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	void *map;

	*r = -EBADMSG;
	if (seals < 0 || (seals & SEALS) != SEALS)
		return "the file that should be its body can be changed";
	if (fstatfs(fd, &fs) || fs.f_type != TMPFS_MAGIC || fstat(fd, &st))
		return "the file that should be its body is not in memory";
	if (!len || len > UINT32_MAX || (uint64_t)st.st_size != len)
		return "the file that should be its body is of another length";
	if ((uint64_t)st.st_blocks * 512 < len)
		return "the file that should be its body has holes";
	map = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED) {
		*r = -errno;
		return error_text(*r);
	}
	attached->map = map;
	attached->map_len = len;
	*r = 0;
	return NULL;
}

int parcel_open(struct sbus_message *message, struct sbus_error *error)
{
	const struct symphony_msg *msg = message->msg;
	const struct symphony_sealed *sealed = (const void *)((const char *)msg + msg->header_len);
	struct attached *attached;
	const char *why;
	int saved = errno, fd, r;

	if (msg->body_len != sizeof(*sealed) || !msg->nr_fds)
		return sbus_error_set(error, -EBADMSG, "message %llu says that its body is in a file, and has none",
				      (unsigned long long)message->id);
	r = claim(message);
	if (r)
		return sbus_error_set(error, r, "the files of message %llu cannot be had: %s",
				      (unsigned long long)message->id, error_text(r));
	attached = message->attached;
	fd = attached->fds[--attached->nr];
	why = map_sealed(attached, fd, sealed->len, &r);
	close(fd);
	errno = saved;
	if (why)
		sbus_error_set(error, r, "message %llu: %s", (unsigned long long)message->id, why);
	return r;
}

SBUS_API unsigned int sbus_message_nr_fds(const struct sbus_message *message)
{
	uint32_t nr;

	if (message_is_foreign(message))
		return 0;
	nr = message->msg->nr_fds;
	return message->msg->content_type & SYMPHONY_CONTENT_SEALED && nr ? nr - 1 : nr;
}

SBUS_API int sbus_message_fd(struct sbus_message *message, unsigned int index)
{
	int r;

	if (message_is_foreign(message))
		return -EPERM;
	if (index >= sbus_message_nr_fds(message))
		return -ENXIO;
	r = claim(message);
	if (r)
		return r;
	if (index >= message->attached->nr || message->attached->fds[index] < 0)
		return -ENXIO;
	return message->attached->fds[index];
}

SBUS_API int sbus_message_take_fd(struct sbus_message *message, unsigned int index)
{
	int fd = sbus_message_fd(message, index);

	if (fd >= 0)
		message->attached->fds[index] = -1;
	return fd;
}

SBUS_API int sbus_reply_push_fd(struct sbus_message *request, int fd)
{
	struct attached *attached;

	if (message_is_foreign(request))
		return -EPERM;
	if (fd < 0)
		return -EBADF;
	if (atomic_load(&request->answered))
		return -EALREADY;
	attached = attached_get(request);
	if (!attached)
		return -ENOMEM;
	if (attached->nr_pushed == SYMPHONY_FDS_MAX)
		return -E2BIG;
	attached->pushed[attached->nr_pushed++] = fd;
	return 0;
}
