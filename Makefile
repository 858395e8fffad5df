# SPDX-License-Identifier: MIT
#
# One makefile without recursion. A component brings a fragment, <folder>/build.mk,
# which sees the variables below and appends to these lists:
#
#   USER_TARGETS     files that "make user" builds, all under $(O)
#   TEST_PROGS       kselftest programs under $(O)/tests/, which the suite runs
#   INSTALL_TARGETS  phony targets named install-<what>, run by "make install", each
#                    with its uninstall-<what>; they honour $(DESTDIR), $(PREFIX),
#                    $(LIBDIR), $(INCLUDEDIR) and $(MANDIR)
#
# Outputs: $(O)/libsymphony.so, $(O)/symphony, $(O)/python/symphony_ipc/,
# $(O)/tests/, $(O)/bench/, $(O)/examples/, objects under $(O)/obj/. Nothing is
# built beside its source, except the module of a native build (kmod/symphony.ko).
#
# What a guest runs is built inside the guest's image: O=build/guest, or
# O=build/guest-san with SAN=1 (AddressSanitizer, UBSan), or O=build/guest-cov with
# COV=1 (gcov).

O ?= build/native
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
KDIR ?= /lib/modules/$(shell uname -r)/build
krelease = $(shell cat $(KDIR)/include/config/kernel.release)
KERNEL ?= 6.12
# The project's, as the module says it.
VERSION := $(shell sed -n 's/^MODULE_VERSION("\(.*\)");/\1/p' kmod/main.c)

CC ?= cc
CLANG ?= clang
BPFTOOL ?= bpftool
PYTHON ?= python3
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
LIBNL_CFLAGS := $(shell $(PKG_CONFIG) --cflags libnl-genl-3.0 2>/dev/null)
override CFLAGS += -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -fvisibility=hidden -fPIC -pthread
override CFLAGS += -Ikmod/include/uapi -Ilibbus/include -MMD -MP
override LDFLAGS += -pthread
ifeq ($(SAN),1)
override CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
override LDFLAGS += -fsanitize=address,undefined
endif
ifeq ($(COV),1)
override LDFLAGS += --coverage
# As optimized code, lines run that did not, and the other way around.
$(O)/obj/libbus/% $(O)/obj/pit/% $(O)/obj/pit-plugin/% $(O)/obj/pybinding/%: \
	override CFLAGS += --coverage -fprofile-update=atomic -O0
# Only what exits writes its counters.
$(O)/obj/tests/libbus/% $(O)/obj/tests/pit/%: override CFLAGS += -D_exit=exit
endif

USER_TARGETS :=
TEST_PROGS :=
INSTALL_TARGETS :=

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all module user install uninstall clean help check
.PHONY: guest guest-module guest-check vm image debug-kernel test model kcsan mutants demo bench-insn coverage

all: module			## build the module and what "make install" installs

include $(wildcard libbus/build.mk pit/build.mk bpf/build.mk libbus/bpf/build.mk cli/build.mk pybinding/build.mk docs/examples/build.mk \
	tests/build.mk tests/*/build.mk tests/fuzz/*/build.mk)
-include $(shell [ -d $(O)/obj ] && find $(O)/obj $(O)/tests -name '*.d' 2>/dev/null)

all: $(USER_TARGETS)
user: $(USER_TARGETS) $(TEST_PROGS)	## build the library, tools, Python package and tests
	@mkdir -p $(O)
	@printf '%s\n' $(TEST_PROGS) >$(O)/tests.list

# --- the module --------------------------------------------------------------

module:				## build kmod/symphony.ko for the kernel in KDIR
	+kmod/build $(KDIR)

# For guests: a copy of the sources for each kernel, as the output of an external
# module stands beside its source.
guest: user guest-module
guest-module:
	+tests/vm/module $(O) $(KDIR)

guest-check:
	@tests/check $(KDIR)

# --- installing --------------------------------------------------------------

install: $(INSTALL_TARGETS)	## install what "make" built (PREFIX=/usr/local, DESTDIR=)
	env -u MAKEFLAGS $(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) \
		CONFIG_MODULE_SIG_ALL= modules_install
	$(if $(DESTDIR),,depmod -a $(krelease))
	install -Dm644 kmod/60-symphony.rules $(DESTDIR)/usr/lib/udev/rules.d/60-symphony.rules
	install -Dm644 -t $(DESTDIR)$(INCLUDEDIR)/linux kmod/include/uapi/linux/symphony.h \
		kmod/include/uapi/linux/symphony_bpf.h kmod/include/uapi/linux/symphony_netlink.h
	$(if $(DESTDIR),,-ldconfig)

uninstall: $(patsubst install%,uninstall%,$(INSTALL_TARGETS))	## remove what "make install" put there
	rm -f $(DESTDIR)/lib/modules/$(krelease)/updates/kmod/symphony.ko*
	$(if $(DESTDIR),,depmod -a $(krelease))
	rm -f $(DESTDIR)/usr/lib/udev/rules.d/60-symphony.rules
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/linux/,symphony.h symphony_bpf.h symphony_netlink.h)
	$(if $(DESTDIR),,-ldconfig)

clean:				## remove all that was built, but not the image and the debug kernel
	rm -rf build
	find kmod Module.symvers modules.order .module-common.o .*.cmd \( -name '*.o' -o -name '*.ko' \
		-o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' -o -name 'modules.order' \
		-o -name Module.symvers -o -name '*.gcno' \) -delete 2>/dev/null || :

# --- the guest ---------------------------------------------------------------

export KERNEL CPUS MEM ICOUNT TIMEOUT SAN BUILD MODULE APPEND

vm:				## a shell in a guest, or CMD='...', beside WORKERS=3 replicas of "worker": KERNEL=6.12|7.3|debug|kcsan|gcov CPUS= MEM= ICOUNT=1 TIMEOUT= SAN=1
	@tests/vm/run $(if $(CMD),"$$CMD")
vm: override export CMD := $(value CMD)
vm: export WORKERS ?= 3

image:				## make the image that guests run from
	@tests/vm/image

debug-kernel:			## build the kernel with KASAN, lockdep and friends
	@tests/vm/debug-kernel

test:				## everything, on all kernels: the last line counts passed and failed
	@tests/run

model:				## check the models of a call with spin, and that they can fail
	@tests/vm/chroot env MOST=$(MOST) tests/model/run

kcsan:				## the tests with threads, on a kernel that looks for data races
	@tests/kcsan

coverage:			## which lines the tests run, of the module, the library, the Pit and the package
	@tests/coverage/run

mutants:			## put deliberate bugs into the module: each is caught (NAMES=)
	@tests/mutate $(NAMES)

check:				## checkpatch --strict, sparse and W=1 over kmod
	@tests/vm/build guest-check

help:				## this list
	@sed -n 's/^\([a-z-]*\):.*##[[:space:]]*/  \1\t/p' $(filter %Makefile %.mk,$(MAKEFILE_LIST)) | expand -t 18
