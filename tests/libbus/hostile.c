// SPDX-License-Identifier: MIT
/* Peers that do not use the library, and say what it would not. */
#include <stdlib.h>
#include <string.h>

#include "kselftest_harness.h"

#include "../device/device.h"
#include "server.h"

FIXTURE(hostile)
{
	struct ep peer;
	struct sbus *bus;
	char *text;
};

FIXTURE_SETUP(hostile)
{
	__u64 handle;

	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	ASSERT_EQ(0, ep_join_bus(&self->peer, test_bus(), 0, 0, MIB));
	ASSERT_EQ(0, ep_claim(&self->peer, "peer", &handle));
	self->text = NULL;
}

FIXTURE_TEARDOWN(hostile)
{
	free(self->text);
	ep_close(&self->peer);
	sbus_unref(self->bus);
}

/* @before, @levels arrays one in the other, @after. */
static char *nested(const char *before, int levels, const char *after)
{
	size_t len = strlen(before);
	char *text = malloc(len + 2 * levels + strlen(after) + 1);

	memcpy(text, before, len);
	memset(text + len, '[', levels);
	memset(text + len + levels, ']', levels);
	strcpy(text + len + 2 * levels, after);
	return text;
}

/* What a call of the peer that is answered with @text comes to. */
static void answered(struct sbus *bus, struct ep *peer, const char *text, __u32 flags,
		     sbus_reply_fn fn, void *userdata)
{
	struct sbus_request request = SBUS_REQUEST_INIT("peer");
	const struct symphony_msg *msg;
	struct symphony_reply reply = {
		.size = sizeof(reply), .flags = flags, .content_type = SBUS_JSON,
		.body = (uintptr_t)text, .body_len = strlen(text),
	};

	request.reply_max = 300000;
	if (sbus_call_async(bus, &request, fn, userdata, NULL, NULL))
		return;
	msg = ep_next(peer, DEV_LONG);
	if (!msg)
		return;
	reply.id = msg->id;
	reply.slot = ep_offset(peer, msg);
	dev_ioctl(peer->fd, SYMPHONY_IOC_REPLY, &reply);
	sbus_process(bus);
}

/* Its data would be copied, level by level. */
TEST_F(hostile, error_reply_of_100000_levels_is_an_error)
{
	struct outcome outcome = OUTCOME_INIT;

	self->text = nested("{\"code\":1,\"message\":\"m\",\"data\":", 100000, "}");
	answered(self->bus, &self->peer, self->text, SYMPHONY_REPLY_ERROR, outcome_reply,
		 &outcome);
	EXPECT_EQ(1, outcome.count);
	EXPECT_EQ(-EREMOTEIO, outcome.error);
	EXPECT_EQ(SBUS_CODE_INTERNAL, outcome.code);
}

struct parsed {
	int count, result;
	char text[256];
};

static void parse(struct sbus_message *reply, const struct sbus_error *error, void *userdata)
{
	struct sbus_error problem = SBUS_ERROR_INIT;
	struct parsed *parsed = userdata;
	yyjson_val *root;

	(void)error;
	parsed->count++;
	parsed->result = sbus_message_json(reply, &root, &problem);
	snprintf(parsed->text, sizeof(parsed->text), "%s",
		 parsed->result ? sbus_error_message(&problem) : "");
	sbus_error_clear(&problem);
}

TEST_F(hostile, depth_of_a_body_is_bounded)
{
	struct parsed parsed = { 0 };

	self->text = nested("", SBUS_DEPTH_MAX, "");
	answered(self->bus, &self->peer, self->text, 0, parse, &parsed);
	EXPECT_EQ(0, parsed.result);
	free(self->text);
	self->text = nested("[", SBUS_DEPTH_MAX, "]");
	answered(self->bus, &self->peer, self->text, 0, parse, &parsed);
	EXPECT_EQ(-EBADMSG, parsed.result);
	EXPECT_STREQ("the body nests deeper than 1024 levels", parsed.text);
	EXPECT_EQ(2, parsed.count);
}

/* Beside each other they are no depth. */
TEST_F(hostile, many_containers_are_not_deep)
{
	struct parsed parsed = { .result = -1 };

	self->text = malloc(150003);
	self->text[0] = '[';
	for (int i = 0; i < 50000; i++)
		memcpy(self->text + 1 + 3 * i, i % 2 ? "[]," : "{},", 3);
	strcpy(self->text + 150000, "]");
	answered(self->bus, &self->peer, self->text, 0, parse, &parsed);
	EXPECT_EQ(0, parsed.result) TH_LOG("%s", parsed.text);
}

TEST_HARNESS_MAIN
