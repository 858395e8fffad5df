# SPDX-License-Identifier: MIT
# kselftest programs that test libsymphony.

LIBBUS_TEST_NAMES := $(filter-out common server plugin probe %.bpf,$(basename $(notdir $(wildcard tests/libbus/*.c))))
LIBBUS_TEST_PROGS := $(addprefix $(O)/tests/libbus-,$(LIBBUS_TEST_NAMES))
TEST_PROGS += $(LIBBUS_TEST_PROGS)

# -isystem and no sign-compare: the harness's macros compare as they please.
$(O)/obj/tests/libbus/%.o: tests/libbus/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-sign-compare -isystem /usr/local/include/kselftest \
		-c -o $@ $<

$(LIBBUS_TEST_PROGS): $(O)/tests/libbus-%: $(O)/obj/tests/libbus/%.o \
		$(O)/obj/tests/libbus/common.o $(O)/obj/tests/libbus/server.o \
		$(O)/obj/tests/device/device.o $(O)/obj/libbus/idmap.o $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter-out %.bpf.o,$(filter %.o,$^)) -L$(O) $(LIBBUS_TEST_LIBS) \
		-lsymphony -lyyjson -Wl,-rpath,'$$ORIGIN/..'

# What the tests load and run.
$(LIBBUS_TEST_PROGS): | $(O)/libbus-plugin.so $(O)/libbus-probe

$(O)/libbus-plugin.so: tests/libbus/plugin.c $(O)/libsymphony.so
	$(CC) $(CFLAGS) -DSYMPHONY_PLUGIN -shared -o $@ $< $(LDFLAGS) -L$(O) -lsymphony -lyyjson

$(O)/libbus-probe: $(O)/obj/tests/libbus/probe.o $(O)/obj/tests/libbus/common.o $(O)/libsymphony.so
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(O) -lsymphony -lyyjson -Wl,-rpath,'$$ORIGIN'

# What fails on purpose, and sees what is left.
$(O)/tests/libbus-faults: $(addprefix $(O)/obj/tests/device/,claim.o files.o)

# What forbids io_uring.
$(O)/tests/libbus-engine: $(O)/obj/tests/without/rings.o

# What needs the second library too.
$(O)/tests/libbus-router: $(O)/libsymphony-bpf.so \
		$(addprefix $(O)/obj/bpf/,gate.bpf.o refused.bpf.o spill.bpf.o tomorrow.bpf.o)
$(O)/tests/libbus-router: LIBBUS_TEST_LIBS := -lsymphony-bpf
