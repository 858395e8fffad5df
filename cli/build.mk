# SPDX-License-Identifier: MIT
# symphony: the command-line tool, with its man page and completion.

CLI_OBJS := $(patsubst cli/%.c,$(O)/obj/cli/%.o,$(filter-out %.bpf.c,$(wildcard cli/*.c)))
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions

USER_TARGETS += $(O)/symphony
INSTALL_TARGETS += install-cli

$(O)/obj/cli/%.o: cli/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(O)/obj/cli/main.o $(O)/obj/cli/doctor.o: kmod/main.c
$(O)/obj/cli/main.o $(O)/obj/cli/doctor.o: override CFLAGS += -DCLI_VERSION='"$(VERSION)"'

# Programs on tracepoints, built as those of bpf/ are.
$(O)/obj/bpf/calls.bpf.o: cli/calls_bpf.h
$(O)/obj/cli/calls.o: $(O)/bpf/calls.skel.h
$(O)/obj/cli/calls.o: override CFLAGS += -isystem $(O)/bpf
.SECONDARY: $(O)/obj/bpf/calls.bpf.o

$(O)/symphony: $(CLI_OBJS) $(O)/libsymphony.so $(O)/libsymphony-bpf.so
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(O) -lsymphony-bpf -lsymphony -lbpf -lyyjson

.PHONY: install-cli uninstall-cli
install-cli: $(O)/symphony
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(O)/symphony
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man1 docs/man/symphony.1
	install -D -m 644 cli/completion.bash $(DESTDIR)$(COMPLETIONDIR)/symphony

uninstall-cli:
	rm -f $(DESTDIR)$(PREFIX)/bin/symphony $(DESTDIR)$(MANDIR)/man1/symphony.1
	rm -f $(DESTDIR)$(COMPLETIONDIR)/symphony
