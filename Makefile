# SPDX-License-Identifier: MIT
#
# One makefile without recursion. A component brings a fragment, <folder>/build.mk,
# which sees the variables below and appends to these lists:
#
#   USER_TARGETS     files that "make user" builds, all under $(O)
#   TEST_PROGS       kselftest programs under $(O)/tests/, run by the suite
#   INSTALL_TARGETS  phony targets that "make install" runs; they honour
#                    $(DESTDIR) and $(PREFIX)
#
# Outputs: $(O)/libsymphony.so, $(O)/symphony, $(O)/python/symphony_ipc/,
# $(O)/tests/, $(O)/bench/, $(O)/examples/, objects under $(O)/obj/. Nothing is
# built beside its source, except the module of a native build (kmod/symphony.ko).
#
# What a guest runs is built inside the guest's image: O=build/guest, or
# O=build/guest-san with SAN=1 (AddressSanitizer, UBSan).

O ?= build/native
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 6.12

CC ?= cc
CLANG ?= clang
BPFTOOL ?= bpftool
PYTHON ?= python3
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -fvisibility=hidden -fPIC -pthread
override CFLAGS += -Ikmod/include/uapi -Ilibbus/include -MMD -MP
override LDFLAGS += -pthread
ifeq ($(SAN),1)
override CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
override LDFLAGS += -fsanitize=address,undefined
endif

USER_TARGETS :=
TEST_PROGS :=
INSTALL_TARGETS :=

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all module user install uninstall clean help check
.PHONY: guest guest-module vm image debug-kernel test demo bench-insn

all: module user		## build the module and everything in user space

include $(wildcard libbus/build.mk pit/build.mk bpf/build.mk pybinding/build.mk \
	tests/build.mk tests/*/build.mk)
-include $(shell [ -d $(O)/obj ] && find $(O)/obj $(O)/tests -name '*.d' 2>/dev/null)

user: $(USER_TARGETS) $(TEST_PROGS)	## build the library, tools, Python package and tests

# --- the module --------------------------------------------------------------

module:				## build kmod/symphony.ko for the kernel in KDIR
	+kmod/build $(KDIR)

# For guests: a copy of the sources for each kernel, as the output of an external
# module stands beside its source.
guest: user guest-module
guest-module:
	+tests/vm/module $(O) $(KDIR)

# --- the guest ---------------------------------------------------------------

export KERNEL CPUS MEM ICOUNT TIMEOUT SAN BUILD APPEND

vm:				## a shell in a guest, or CMD='...': KERNEL=6.12|7.3|debug CPUS= MEM= ICOUNT=1 TIMEOUT= SAN=1
	@tests/vm/run $(if $(CMD),"$$CMD")
vm: export CMD := $(value CMD)

image:				## make the image that guests run from
	@tests/vm/image

debug-kernel:			## build the kernel with KASAN, lockdep and friends
	@tests/vm/debug-kernel

help:				## this list
	@sed -n 's/^\([a-z-]*\):.*##[[:space:]]*/  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
