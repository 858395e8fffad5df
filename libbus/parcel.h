/* SPDX-License-Identifier: MIT */
/*
 * Parcel: what goes with a message beside the bytes in the pool.
 *
 * Files, which the user gives; and a large body, which is written to a memory file
 * that nobody can change any more, and is mapped by who receives it: then the body
 * in the pool is a struct symphony_sealed, and the last of the files is that one.
 */
#ifndef LIBBUS_PARCEL_H
#define LIBBUS_PARCEL_H

#include <sys/uio.h>

#include "bus.h"

/* What is to be sent. */
struct parcel {
	uint32_t nr;
	uint32_t foreign;	/* of these, the first are not ours to close */
	bool is_sealed;
	struct symphony_sealed sealed;
	int fds[SYMPHONY_FDS_MAX];
};

/* Packs files: 0 or -errno, with nothing to undo. */
int parcel_pack(struct parcel *parcel, const int *fds, size_t nr);
/* Packs duplicates of the files, in memory of its own: @parcel stays NULL on error. */
int parcel_new(struct parcel **parcel, const int *fds, size_t nr);
/* Adds the body, in a file: false when there is no room or no file for it. */
bool parcel_seal(struct parcel *parcel, const struct iovec *iov, unsigned int nr);
/* The call takes it along; @parcel stays until it is made. */
void parcel_name(struct parcel *parcel, struct symphony_call *call);
/* Closes what is its own. */
void parcel_empty(struct parcel *parcel);
void parcel_free(struct parcel *parcel);

/* What came with a message, and goes with its answer. */
struct attached {
	void *map;		/* the body, or NULL */
	size_t map_len;
	uint32_t nr;		/* without the body's */
	bool claimed;
	int fds[SYMPHONY_FDS_MAX];
	uint32_t nr_pushed;
	int pushed[SYMPHONY_FDS_MAX];
};

struct sbus_message;

/* Maps the body of a message with SYMPHONY_CONTENT_SEALED: 0 or -errno. */
int parcel_open(struct sbus_message *message, struct sbus_error *error);
/* What was pushed went with the answer. */
void attached_sent(struct attached *attached);
/* The message ends. */
void attached_free(struct attached *attached);

#endif /* LIBBUS_PARCEL_H */
