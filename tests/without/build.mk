# SPDX-License-Identifier: MIT
# without_io_uring: runs what is to work where io_uring is forbidden; and its test.

TEST_PROGS += $(O)/tests/without-forbidden
user: $(O)/tests/without_io_uring

$(O)/obj/tests/without/%.o: tests/without/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-sign-compare -isystem $(KSELFTEST_INC) -c -o $@ $<

$(O)/tests/without_io_uring: $(patsubst %,$(O)/obj/tests/without/%.o,without_io_uring rings)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^

$(O)/tests/without-forbidden: $(patsubst %,$(O)/obj/tests/without/%.o,forbidden rings) \
		| $(O)/tests/without_io_uring
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^)
