/* SPDX-License-Identifier: MIT */
/*
 * Pieces: a body that the user has in several. The kernel takes them as they are; what
 * is kept for later, or goes in a file, is put together.
 */
#ifndef LIBBUS_PIECES_H
#define LIBBUS_PIECES_H

#include "parcel.h"

/* The kernel's, where addresses have 64 bits. */
_Static_assert(sizeof(struct iovec) == sizeof(struct symphony_piece) &&
	       offsetof(struct iovec, iov_len) == offsetof(struct symphony_piece, len),
	       "struct iovec is not struct symphony_piece");

/* How many bytes they have together; SIZE_MAX when those cannot be counted. */
size_t pieces_len(const struct iovec *iov, unsigned int nr);
/* Puts them together at @to. */
void pieces_copy(void *to, const struct iovec *iov, unsigned int nr);
/* Are those of a request as they have to be? Their length, or -errno. */
int pieces_check(const struct sbus_request *request, size_t *len, struct sbus_error *error);
/* Puts a request's body, which need not be in pieces, in a file: as parcel_seal(). */
bool pieces_seal(const struct sbus_request *request, struct parcel *parcel);
/* The call has them for a body. */
void pieces_name(const struct sbus_request *request, struct symphony_call *call);

#endif /* LIBBUS_PIECES_H */
