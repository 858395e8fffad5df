# SPDX-License-Identifier: MIT
# The benchmarks, in $(O)/bench/, and the gauge that CI reads.

bench-progs := batch calibrate futex pipe seqpacket symphony
bench-lib-progs := large libsymphony pit
bench-plugins := member.so

USER_TARGETS += $(addprefix $(O)/bench/,$(bench-progs) $(bench-lib-progs) $(bench-plugins))

$(O)/obj/tests/bench/%.o: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(addprefix $(O)/bench/,$(bench-progs)): $(O)/bench/%: $(O)/obj/tests/bench/%.o $(O)/obj/tests/bench/bench.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/obj/tests/bench/symphony.o: $(addprefix $(O)/bpf/,gate.skel.h round_robin.skel.h)
$(O)/obj/tests/bench/symphony.o: override CFLAGS += -I$(O)/bpf
$(O)/bench/symphony: LDLIBS := -lbpf
$(O)/bench/batch: LDLIBS := -luring

$(addprefix $(O)/bench/,$(bench-lib-progs)): $(O)/bench/%: $(O)/obj/tests/bench/%.o $(O)/obj/tests/bench/bench.o $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(O) -lsymphony -lyyjson

# Loaded by roundtrip.py.
$(O)/obj/tests/bench/member.o: override CFLAGS += -DSYMPHONY_PLUGIN
$(O)/bench/member.so: $(O)/obj/tests/bench/member.o $(O)/obj/tests/bench/bench.o $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -o $@ $(filter %.o,$^) -L$(O) -lsymphony -lyyjson

# Loaded into QEMU by tests/bench/profile.
$(O)/bench/profile.so: $(O)/obj/tests/bench/profile.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -o $@ $^

bench-insn:			## instructions per round trip, checked against the baseline; UPDATE=1 makes a new one
	@ICOUNT=1 UPDATE="$(UPDATE)" COMMIT="$$(git describe --always --dirty --exclude='*')" \
		VM_ENV="UPDATE COMMIT" tests/vm/run 'tests/bench/check; bad=$$?; \
			tests/suite $$O/tests/device-flood && exit $$bad'
