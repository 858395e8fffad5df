/* SPDX-License-Identifier: MIT */
/* Messages as they travel: JSON text, or raw bytes. */
#ifndef SYMPHONY_PY_BODY_H
#define SYMPHONY_PY_BODY_H

#include "state.h"
#include <stdint.h>
#include <symphony/bus.h>

/* Room for text that is used again for the next message. */
struct buffer {
	char *data;
	size_t room;
};

/* A message ready to be sent; the text stands in a struct buffer. */
struct body {
	const void *data;
	size_t len;
	uint32_t content;	/* enum sbus_content */
	uint64_t method;	/* sbus_method_id() of its "method", or 0 */
	Py_buffer view;		/* the object behind raw bytes */
};

/* bytes-like objects are sent as they are, everything else as JSON. */
int body_encode(struct body *body, PyObject *message, struct buffer *buffer);
void body_drop(struct body *body);

/*
 * What a message says. Raw bytes from BODY_VIEW on are not copied: a memoryview holds
 * the message instead, and with it its room in the pool.
 */
#define BODY_VIEW (16 << 10)
PyObject *body_decode(struct state *st, struct sbus_message *message);
/* The same of JSON, wherever it stands. */
PyObject *body_parse(struct state *st, const void *data, size_t len);

extern PyType_Spec view_spec;

void buffer_free(struct buffer *buffer);

#endif
