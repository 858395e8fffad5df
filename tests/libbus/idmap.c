// SPDX-License-Identifier: MIT
/* The map from ids to pointers, against an array that is searched. */
#include <stdlib.h>

#include "../../libbus/idmap.h"
#include "kselftest_harness.h"

TEST(random_operations_agree_with_a_plain_array)
{
	uint64_t ids[512] = { 0 };
	char values[512];
	struct idmap map = { 0 };

	srand(1);
	for (int i = 0; i < 200000; i++) {
		int at = rand() % 512;
		uint64_t id = at * 0x100000001ULL + 1;

		switch (rand() % 3) {
		case 0:
			ASSERT_EQ(0, idmap_set(&map, id, &values[at]));
			ids[at] = id;
			break;
		case 1:
			ASSERT_EQ(ids[at] ? (void *)&values[at] : NULL, idmap_remove(&map, id));
			ids[at] = 0;
			break;
		default:
			ASSERT_EQ(ids[at] ? (void *)&values[at] : NULL, idmap_get(&map, id));
		}
	}
	for (int at = 0; at < 512; at++)
		ASSERT_EQ(ids[at] ? (void *)&values[at] : NULL,
			  idmap_get(&map, at * 0x100000001ULL + 1));
	idmap_deinit(&map);
}

TEST_HARNESS_MAIN
