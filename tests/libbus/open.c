// SPDX-License-Identifier: MIT
/* Opening a connection: names, parameters, what is said when it fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"

static int open_as(struct sbus **bus, struct sbus_params params, struct sbus_error *error)
{
	params.size = sizeof(params);
	return sbus_open(bus, &params, error);
}

TEST(missing_device_says_what_to_do)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = NULL;

	EXPECT_EQ(-ENODEV, open_as(&bus, (struct sbus_params){ .device = "/dev/nonexistent" }, &error));
	EXPECT_STREQ("/dev/nonexistent is not there: modprobe symphony", error.message);
	EXPECT_EQ(NULL, bus);
	EXPECT_EQ(-ENODEV, error.error);
	sbus_error_clear(&error);
}

TEST(other_device_is_refused)
{
	struct sbus *bus = NULL;

	EXPECT_GT(0, open_as(&bus, (struct sbus_params){ .device = "/dev/null" }, NULL));
}

TEST(bad_parameters_are_refused)
{
	struct sbus_params small = { .size = 4 };
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = NULL;

	EXPECT_EQ(-EINVAL, sbus_open(&bus, &small, &error));
	EXPECT_EQ(-EINVAL, open_as(&bus, (struct sbus_params){ .flags = 1U << 30 }, &error));
	EXPECT_EQ(-EINVAL, open_as(&bus, (struct sbus_params){ .bus = "Not A Bus" }, &error));
	EXPECT_NE(NULL, strstr(error.message, "Not A Bus"));
	EXPECT_EQ(-EINVAL, open_as(&bus, (struct sbus_params){
			.bus = test_bus(), .flags = SBUS_OPEN_CREATE, .pool_size = 12345 }, &error));
	EXPECT_NE(NULL, strstr(error.message, "12345"));
	sbus_error_clear(&error);
}

TEST(bus_that_is_not_there_is_named)
{
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = NULL;

	EXPECT_EQ(-ENOENT, open_as(&bus, (struct sbus_params){ .bus = "nowhere" }, &error));
	EXPECT_NE(NULL, strstr(error.message, "\"nowhere\""));
	sbus_error_clear(&error);
}

TEST(exclusive_creation_fails_when_the_bus_is_there)
{
	struct sbus_params params = {
		.bus = test_bus(), .flags = SBUS_OPEN_CREATE | SBUS_OPEN_EXCL,
	};
	struct sbus *bus = NULL, *other = NULL;

	ASSERT_EQ(0, open_as(&bus, params, NULL));
	EXPECT_EQ(-EEXIST, open_as(&other, params, NULL));
	sbus_unref(bus);
}

TEST(name_comes_from_the_environment)
{
	char own[SBUS_NAME_MAX + 1];
	struct sbus *bus;

	/* The user's own. */
	snprintf(own, sizeof(own), "symphony-%u", geteuid());
	setenv("SYMPHONY_BUS", "from-env", 1);
	ASSERT_EQ(0, sbus_open(&bus, NULL, NULL));
	EXPECT_STREQ("from-env", sbus_name(bus));
	sbus_unref(bus);
	unsetenv("SYMPHONY_BUS");
	ASSERT_EQ(0, sbus_open(&bus, NULL, NULL));
	EXPECT_STREQ(own, sbus_name(bus));
	sbus_unref(bus);
}

TEST(endpoints_are_never_the_same)
{
	struct sbus *a = test_open(), *b = test_open();

	EXPECT_NE(0, sbus_endpoint(a));
	EXPECT_NE(sbus_endpoint(a), sbus_endpoint(b));
	sbus_unref(a);
	sbus_unref(b);
}

TEST(query_needs_no_bus)
{
	struct sbus_info info = { .size = sizeof(info) };

	ASSERT_EQ(0, sbus_query(NULL, &info, NULL));
	EXPECT_EQ(1, info.abi_version);
	EXPECT_NE(0, info.features & 1);
	EXPECT_LT(0, info.pool_default);
	info.size = 3;
	EXPECT_EQ(-EINVAL, sbus_query(NULL, &info, NULL));
}

TEST(method_id_is_fnv_1a)
{
	EXPECT_EQ(0, sbus_method_id(NULL));
	EXPECT_EQ(0xcbf29ce484222325ULL, sbus_method_id(""));
	EXPECT_EQ(0xaf63dc4c8601ec8cULL, sbus_method_id("a"));
	EXPECT_EQ(0x85944171f73967e8ULL, sbus_method_id("foobar"));
}

TEST(names_are_made_of_few_characters)
{
	static const char *const wrong[] = { "", "A", "1", "a b", "a/b", "\303\244",
		"a123456789012345678901234567890123456789012345678901234567890123" };
	struct sbus_error error = SBUS_ERROR_INIT;
	struct sbus *bus = NULL;

	EXPECT_EQ(0, sbus_check_name("a_b.c-9", NULL));
	EXPECT_EQ(-EINVAL, sbus_check_name(NULL, NULL));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		EXPECT_EQ(-EINVAL, sbus_check_name(wrong[i], &error)) TH_LOG("%s", wrong[i]);
		EXPECT_NE(NULL, strstr(error.message, "a letter a-z"));
		EXPECT_EQ(-EINVAL, open_as(&bus, (struct sbus_params){ .bus = wrong[i] }, NULL));
	}
	sbus_error_clear(&error);
}

TEST(method_id_is_of_all_bytes)
{
	EXPECT_EQ(sbus_method_id("work"), sbus_method_id_n("work now", 4));
	EXPECT_NE(sbus_method_id("work"), sbus_method_id_n("work\0x", 6));
	EXPECT_EQ(0, sbus_method_id_n(NULL, 0));
}

TEST(errors_are_copied_whole)
{
	struct sbus_error from = SBUS_ERROR_INIT, to = SBUS_ERROR_INIT;

	EXPECT_EQ(-EIO, sbus_error_set(&from, -EIO, "%d and %s", 1, "two"));
	from.data = yyjson_read("[1]", 3, 0);
	from.code = 9;
	EXPECT_EQ(-EIO, sbus_error_copy(&to, &from));
	sbus_error_clear(&from);
	EXPECT_STREQ("1 and two", sbus_error_message(&to));
	EXPECT_EQ(1, yyjson_arr_size(yyjson_doc_get_root(to.data)));
	EXPECT_EQ(9, to.code);
	sbus_error_clear(&to);
	EXPECT_STREQ("Success", sbus_error_message(&to));
}

TEST_HARNESS_MAIN
