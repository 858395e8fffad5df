# SPDX-License-Identifier: MIT
# The storm, and the test of its checker.

TEST_PROGS += $(O)/tests/storm-check

$(O)/obj/tests/storm/%.o: tests/storm/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-sign-compare -isystem $(KSELFTEST_INC) -c -o $@ $<

$(O)/tests/storm-check: $(patsubst %,$(O)/obj/tests/storm/%.o,falsified check log)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^
