# SPDX-License-Identifier: MIT
# The storm, and the test of its checker.

storm_objs := $(patsubst %,$(O)/obj/tests/storm/%.o,storm peer requests parcel rings serve change fool log check)
TEST_PROGS += $(O)/tests/storm-check
.PHONY: storm

$(O)/obj/tests/storm/%.o: tests/storm/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-sign-compare -isystem $(KSELFTEST_INC) -c -o $@ $<

$(O)/tests/storm: $(storm_objs) $(patsubst %,$(O)/obj/tests/device/%.o,$(device_shared) ring) \
		$(O)/obj/tests/without/rings.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -luring

$(O)/tests/storm-check: $(patsubst %,$(O)/obj/tests/storm/%.o,falsified check log)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^

# Not in TEST_PROGS: the suite does not run it, as it unloads the module.
user: $(O)/tests/storm

storm:				## a race storm in a guest: SECONDS= CALLS= SEED= PEERS= KERNEL= NOISE=1 RINGS=0
	@tests/storm/start

export SECONDS CALLS SEED PEERS NOISE RINGS
