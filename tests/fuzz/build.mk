# SPDX-License-Identifier: MIT
# The device's fuzzer. Without arguments it tests itself, on any kernel; "make fuzz"
# lets it loose in the debug guest.

device_fuzz_objs := $(addprefix $(O)/obj/tests/fuzz/,device.o device_text.o device_mutate.o \
	device_cover.o device_exec.o device_rings.o device_bystander.o)
user: $(O)/tests/device-fuzz

$(device_fuzz_objs): $(O)/obj/tests/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(O)/tests/device-fuzz: $(device_fuzz_objs)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -luring

.PHONY: fuzz
fuzz:				## fuzz the device: SECONDS=60 SEED= CORPUS=build/fuzz/corpus KERNEL=debug
	@KERNEL=$(if $(filter command line environment,$(origin KERNEL)),$(KERNEL),debug) \
		tests/fuzz/run $(or $(SECONDS),60) "$(SEED)" "$(CORPUS)"
