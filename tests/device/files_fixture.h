/* SPDX-License-Identifier: MIT */
/* What a test of files begins with, behind kselftest_harness.h. */
#ifndef SYMPHONY_TESTS_FILES_FIXTURE_H
#define SYMPHONY_TESTS_FILES_FIXTURE_H

#include "files.h"

#define MAX	SYMPHONY_FDS_MAX

FIXTURE(fds)
{
	struct files f;
};

FIXTURE_SETUP(fds)
{
	ASSERT_EQ(0, files_begin(&self->f));
}

FIXTURE_TEARDOWN(fds)
{
	EXPECT_TRUE(files_end(&self->f));
}

#endif
