# SPDX-License-Identifier: MIT
# Fuzzers of what parses bytes from outside: one libFuzzer program for each part
# (clang; built in the guest's image), and hypothesis for what is Python. See run.

.PHONY: fuzz-parsers fuzz-parsers-build fuzz-parsers-python
fuzz-parsers:			## fuzz the parsers: TARGET= SECONDS=10 a target, or RUNS= and SEED=, INPUT=file to replay
	@tests/fuzz/parsers/run

# What else is set on the command line is in the environment.
fuzz-parsers: export SECONDS_EACH := $(SECONDS)

fuzz_targets := message json pit options convert
fuzz_progs := $(fuzz_targets:%=$(O)/parsers/%)
fuzz_link := -fsanitize=fuzzer -Wl,--wrap=ioctl,--wrap=sbus_now

$(O)/obj/fuzz/%.o: tests/fuzz/parsers/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(fuzz_cflags) -c -o $@ $<

$(O)/obj/fuzz/convert.o: fuzz_cflags = $(PYBINDING_CFLAGS)

# The library itself, but for the thread that waits for timers.
fuzz_common := $(O)/obj/fuzz/kernel.o $(O)/obj/fuzz/clock.o \
	$(filter-out $(O)/obj/libbus/clock.o,$(LIBBUS_OBJS))

$(fuzz_progs): $(O)/parsers/%: $(O)/obj/fuzz/%.o $(fuzz_common)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(CFLAGS) $(fuzz_link) -o $@ $(filter %.o,$^) -lyyjson -luring -lnl-genl-3 \
		-lnl-3 -lm $(fuzz_libs)

$(O)/parsers/convert: $(PYBINDING_OBJS)
$(O)/parsers/convert: fuzz_libs = $(shell python3-config --ldflags --embed)

fuzz-parsers-build: $(fuzz_progs) $(PYBINDING_PY)
fuzz-parsers-python: $(PYBINDING_SO) $(PYBINDING_PY)
