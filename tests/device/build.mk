# SPDX-License-Identifier: MIT
# kselftest programs that test the device from user space, over raw ioctls.

KSELFTEST_INC ?= /usr/local/include/kselftest

device_shared := device claim files
device_faults := fault trial operations_life operations_call operations_ring
device_tests := $(filter-out $(device_shared) $(device_faults) ring told %.bpf,$(basename $(notdir $(wildcard tests/device/*.c))))
device_progs := $(addprefix $(O)/tests/device-,$(device_tests))
# A stage of its own: it takes longer than the suite gives a program.
TEST_PROGS += $(filter-out $(O)/tests/device-faults,$(device_progs))
user: $(O)/tests/device-faults

# -isystem and no sign-compare: the harness's macros compare as they please.
$(O)/obj/tests/device/%.o: tests/device/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-sign-compare -isystem $(KSELFTEST_INC) -c -o $@ $<

$(device_progs): $(O)/tests/device-%: $(O)/obj/tests/device/%.o \
		$(device_shared:%=$(O)/obj/tests/device/%.o)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/tests/device-edges $(O)/tests/device-faults: $(device_faults:%=$(O)/obj/tests/device/%.o)

# Those with a ring, and which can tell that there is none to be had.
$(addprefix $(O)/tests/device-,edges faults multishot send_batch uring uring_fds vector): \
		$(addprefix $(O)/obj/tests/,device/ring.o without/rings.o)
$(addprefix $(O)/tests/device-,multishot send_batch uring uring_fds vector): LDLIBS := -luring

# Those that ask over netlink.
$(addprefix $(O)/tests/device-,edges faults netlink): $(O)/obj/tests/device/told.o
$(addprefix $(O)/tests/device-,edges faults): LDLIBS := -lbpf -luring -lnl-genl-3 -lnl-3
$(addprefix $(O)/obj/tests/device/,netlink.o operations_life.o told.o trial.o): CPPFLAGS += $(LIBNL_CFLAGS)

# Those that load BPF programs, and which.
$(O)/obj/tests/device/admit.o: $(addprefix $(O)/bpf/,gate.skel.h round_robin.skel.h)
$(addprefix $(O)/obj/tests/device/,operations_life.o stall_admit.o trial.o): $(O)/bpf/gate.skel.h
$(O)/obj/tests/device/misuse.o: $(O)/bpf/misuse.skel.h
$(O)/obj/tests/device/netlink.o: $(addprefix $(O)/bpf/,gate.skel.h puppet.skel.h)
$(addprefix $(O)/obj/tests/device/,policy.o policy_time.o): $(BPF_SKELS)
$(O)/obj/tests/device/router.o: $(addprefix $(O)/bpf/,puppet.skel.h round_robin.skel.h)
$(addprefix $(O)/obj/tests/device/,admit.o misuse.o netlink.o operations_life.o policy.o policy_time.o \
		router.o stall_admit.o trial.o): CPPFLAGS += -I$(O)/bpf
$(addprefix $(O)/tests/device-,admit misuse policy policy_time router stall_admit): LDLIBS := -lbpf
$(O)/tests/device-netlink: LDLIBS := -lbpf -lnl-genl-3 -lnl-3

.SECONDARY: $(addprefix $(O)/obj/tests/device/,$(addsuffix .o,$(device_tests) $(device_shared) $(device_faults) ring told))
