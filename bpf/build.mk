# SPDX-License-Identifier: MIT
# BPF programs: x.bpf.c becomes $(O)/bpf/x.skel.h, a skeleton for libbpf.

BPF_POLICIES := $(basename $(basename $(notdir $(wildcard bpf/*.bpf.c))))
BPF_SKELS := $(BPF_POLICIES:%=$(O)/bpf/%.skel.h)
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter \
	-Ikmod/include/uapi -Ilibbus/include -I/usr/include/$(shell $(CC) -print-multiarch)

# Programs of tests stand beside those, of an example and of the command-line tool.
vpath %.bpf.c bpf cli tests/device tests/libbus docs/examples/policy

$(O)/obj/bpf/%.bpf.o: %.bpf.c kmod/include/uapi/linux/symphony_bpf.h libbus/include/symphony/policy.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
	llvm-strip -g $@

$(O)/bpf/%.skel.h: $(O)/obj/bpf/%.bpf.o
	@mkdir -p $(@D)
	$(BPFTOOL) gen skeleton $< name $* >$@

.SECONDARY: $(BPF_POLICIES:%=$(O)/obj/bpf/%.bpf.o)
