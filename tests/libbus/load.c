// SPDX-License-Identifier: MIT
/* Members from shared objects. */
#include <libgen.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"

static const char *beside(const char *name)
{
	static char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 64);

	path[len] = 0;
	strcpy(strrchr(path, '/'), "/../");
	return strcat(path, name);
}

TEST(extension_in_a_shared_object_becomes_a_member)
{
	struct outcome outcome = OUTCOME_INIT;
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_pit *pit;

	ASSERT_EQ(0, sbus_pit_new(&pit));
	ASSERT_EQ(0, sbus_pit_load(pit, beside("libbus-plugin.so"), NULL, &error))
		TH_LOG("%s", error.message);
	ASSERT_EQ(0, sbus_pit_start(pit, NULL, &error));
	EXPECT_EQ(0, pit_call(sbus_pit_lookup(pit, "plugin"), "[1]", 0, &outcome, NULL));
	EXPECT_STREQ("[1]", outcome.text);
	sbus_pit_unref(pit);
}

TEST(file_that_is_no_extension_is_refused)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus_pit *pit;

	ASSERT_EQ(0, sbus_pit_new(&pit));
	EXPECT_EQ(-ELIBACC, sbus_pit_load(pit, "/nonexistent.so", NULL, &error));
	EXPECT_NE(NULL, strstr(error.message, "/nonexistent.so"));
	EXPECT_EQ(-ELIBBAD, sbus_pit_load(pit, "libm.so.6", NULL, &error));
	EXPECT_NE(NULL, strstr(error.message, "symphony_extension"));
	sbus_error_clear(&error);
	sbus_pit_unref(pit);
}

TEST_HARNESS_MAIN
