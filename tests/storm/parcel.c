// SPDX-License-Identifier: MIT
/*
 * Files that go with messages. Each says which message it belongs to: a memfd by its
 * first word; one that is sealed, as those in which libsymphony sends large bodies, by
 * all of it. One is an end of the storm's pipe, which ends when nobody has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer.h"

#define SEALS	(F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

enum kind { PIPE, SEALED, KINDS = 8 };	/* others: just a memfd */

static enum kind kind_of(__u64 key)
{
	return key % KINDS;
}

static size_t size_of(__u64 key)
{
	return kind_of(key) == SEALED ? 8 + (key >> 32) % 20000 : 8;
}

static int file_of(__u64 key)
{
	static __thread unsigned char body[20016];
	size_t size = size_of(key);
	int fd;

	if (kind_of(key) == PIPE)
		return storm->pipe;
	fd = memfd_create("storm-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	memcpy(body, &key, 8);
	body_fill(body + 8, size - 8, key);
	if (fd < 0 || write(fd, body, size) != size ||
	    (kind_of(key) == SEALED && fcntl(fd, F_ADD_SEALS, SEALS)))
		FAULT("a file", -errno, size);
	return fd;
}

void parcel_pack(struct parcel *parcel, __u64 tag, __u64 maker, struct dice *dice)
{
	int nr = 0;

	switch (roll(dice, 64)) {
	case 0: nr = 1 + roll(dice, SYMPHONY_FDS_MAX); break;
	case 1 ... 6: nr = 1 + roll(dice, 3); break;
	}
	for (parcel->nr = 0; parcel->nr < nr; parcel->nr++)
		parcel->fds[parcel->nr] = file_of(file_key(tag, maker, parcel->nr));
}

void parcel_drop(struct parcel *parcel)
{
	while (parcel->nr > 0)
		if (parcel->fds[--parcel->nr] != storm->pipe)
			close(parcel->fds[parcel->nr]);
}

static bool is_the_pipe(int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstat(storm->pipe, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static bool is_sealed_right(int fd, __u64 key)
{
	size_t size = size_of(key);
	unsigned char *at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	static __thread unsigned char right[20016];
	bool is;

	if (at == MAP_FAILED)
		return false;
	body_fill(right, size - 8, key);
	is = fcntl(fd, F_GET_SEALS) == SEALS && !memcmp(at + 8, right, size - 8);
	munmap(at, size);
	return is;
}

/* What @fd says: @key, if it is the one that says that. */
static __u64 word_of(int fd, __u64 key)
{
	struct stat stat;
	__u64 word = 0;

	if (kind_of(key) == PIPE)
		return is_the_pipe(fd) ? key : 0;
	if (fstat(fd, &stat) || stat.st_size != size_of(key) || pread(fd, &word, 8, 0) != 8)
		return word;
	if (kind_of(key) == SEALED && !is_sealed_right(fd, key))
		return ~key;
	return word;
}

void parcel_claim(struct peer *peer, const struct symphony_msg *msg, __u64 tag, __u8 flags,
		  struct dice *dice)
{
	int fds[SYMPHONY_FDS_MAX], nr = msg->nr_fds;
	struct symphony_fds arg = {
		.size = sizeof(arg), .id = msg->id, .offset = ep_offset(&peer->ep, msg),
		.nr = SYMPHONY_FDS_MAX, .fds = (uintptr_t)fds,
	};
	struct record record = { .type = R_CLAIMED, .flags = flags, .tag = tag, .id = msg->id,
				 .ep = msg->sender, .own = peer->ep.id, .files = nr };
	bool again = once(dice, 4);

	if (once(dice, 3) || peer->ended || (!nr && !once(dice, 16)))
		return;
	record.err = dev_ioctl(peer->ep.fd, SYMPHONY_IOC_FDS, &arg);
	if (!record.err)
		for (int i = 0; i < nr; i++) {
			record.hash = files_hash(record.hash,
						 word_of(fds[i], file_key(tag, msg->sender, i)));
			close(fds[i]);
		}
	if (peer->ended)
		return;
	log_write(record);
	if (again) {
		record.err = dev_ioctl(peer->ep.fd, SYMPHONY_IOC_FDS, &arg);
		if (record.err != -ENOENT && !peer->ended)
			FAULT("files were claimed twice", record.err, tag);
	}
}
