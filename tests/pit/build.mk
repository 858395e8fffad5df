# SPDX-License-Identifier: MIT
# kselftest programs that test the Pit's extensions, without the device: most of
# them in a simulated host (sim.h), pit-host in the real one.

KSELFTEST_INC ?= /usr/local/include/kselftest

pit_sim_tests := $(filter-out sim host cost,$(basename $(notdir $(wildcard tests/pit/*.c))))
pit_sim_progs := $(pit_sim_tests:%=$(O)/tests/pit-%)
TEST_PROGS += $(pit_sim_progs) $(O)/tests/pit-cost $(O)/tests/pit-host

pit_wrap := -Wl,--wrap=malloc,--wrap=calloc,--wrap=strdup

# -isystem and no sign-compare: the harness's macros compare as they please.
$(O)/obj/tests/pit/%.o: tests/pit/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-sign-compare -isystem $(KSELFTEST_INC) -c -o $@ $<

$(pit_sim_progs): $(O)/tests/pit-%: $(O)/obj/tests/pit/%.o $(O)/obj/tests/pit/sim.o \
		$(patsubst pit/%.c,$(O)/obj/pit/%.o,$(wildcard pit/*.c))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(pit_wrap) -o $@ $^ -lyyjson

# pit-cost counts the blocks that the extensions execute.
$(O)/obj/pit-counted/%.o: pit/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fsanitize-coverage=trace-pc -c -o $@ $<

$(O)/tests/pit-cost: $(O)/obj/tests/pit/cost.o $(O)/obj/tests/pit/sim.o \
		$(patsubst pit/%.c,$(O)/obj/pit-counted/%.o,$(wildcard pit/*.c))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(pit_wrap) -o $@ $^ -lyyjson

$(O)/tests/pit-host: $(O)/obj/tests/pit/host.o $(O)/libsymphony.so $(pit_plugins)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< -L$(O) -lsymphony -lyyjson

.SECONDARY: $(patsubst %,$(O)/obj/tests/pit/%.o,$(pit_sim_tests) sim host cost) \
	$(patsubst pit/%.c,$(O)/obj/pit-counted/%.o,$(wildcard pit/*.c))
$(O)/obj/tests/pit/docs.o: docs/pool_manager.md docs/dag_tracker.md
