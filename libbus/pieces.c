// SPDX-License-Identifier: MIT
/* Pieces: see pieces.h. */
#include "pieces.h"

_Static_assert(SBUS_IOV_MAX == SYMPHONY_VECTORS_MAX, "SBUS_IOV_MAX");

size_t pieces_len(const struct iovec *iov, unsigned int nr)
{
	size_t len = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (__builtin_add_overflow(len, iov[i].iov_len, &len))
			return SIZE_MAX;
	return len;
}

void pieces_copy(void *to, const struct iovec *iov, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (iov[i].iov_len)
			to = mempcpy(to, iov[i].iov_base, iov[i].iov_len);
}

int pieces_check(const struct sbus_request *request, size_t *len, struct sbus_error *error)
{
	if (request->body || request->body_len)
		return sbus_error_set(error, -EINVAL, "a request has body or iov, not both");
	if (request->nr_iov > SBUS_IOV_MAX)
		return sbus_error_set(error, -EINVAL, "a body of %u pieces: put some of them together, %d can be sent",
				      request->nr_iov, SBUS_IOV_MAX);
	*len = pieces_len(request->iov, request->nr_iov);
	return 0;
}

bool pieces_seal(const struct sbus_request *request, struct parcel *parcel)
{
	const struct iovec whole = { (void *)request->body, request->body_len };

	return request->nr_iov ? parcel_seal(parcel, request->iov, request->nr_iov) :
				 parcel_seal(parcel, &whole, 1);
}

void pieces_name(const struct sbus_request *request, struct symphony_call *call)
{
	call->flags |= SYMPHONY_CALL_VECTOR;
	call->body = (uintptr_t)request->iov;
	call->body_len = request->nr_iov;
}
