# SPDX-License-Identifier: MIT
# libsymphony-bpf.so: attaching policies, with those of bpf/ in it. A library of its
# own, as it needs libbpf and has programs in it whose licence is the GPL.

LIBBUS_BPF_OBJS := $(patsubst %.c,$(O)/obj/%.o,$(wildcard libbus/bpf/*.c))
LIBBUS_BPF_SONAME := libsymphony-bpf.so.0

USER_TARGETS += $(O)/libsymphony-bpf.so $(O)/$(LIBBUS_BPF_SONAME)
INSTALL_TARGETS += install-libbus-bpf

$(LIBBUS_BPF_OBJS): override CFLAGS += -isystem $(O)/bpf
$(O)/obj/libbus/bpf/policy.o: $(BPF_SKELS)

$(O)/$(LIBBUS_BPF_SONAME): $(LIBBUS_BPF_OBJS) libbus/bpf/libsymphony-bpf.map $(O)/libsymphony.so
	$(CC) $(CFLAGS) -shared -Wl,-soname,$(LIBBUS_BPF_SONAME) -Wl,-z,defs -Wl,-z,now \
		-Wl,--version-script=libbus/bpf/libsymphony-bpf.map -o $@ $(LIBBUS_BPF_OBJS) \
		$(LDFLAGS) -L$(O) -lsymphony -lbpf

$(O)/libsymphony-bpf.so: $(O)/$(LIBBUS_BPF_SONAME)
	ln -sf $(LIBBUS_BPF_SONAME) $@

# One page for all of them.
LIBBUS_BPF_MAN := $(shell sed -n 's/^\t\(sbus_router_.*\);$$/\1.3/p' libbus/bpf/libsymphony-bpf.map)

.PHONY: install-libbus-bpf uninstall-libbus-bpf
install-libbus-bpf: $(O)/$(LIBBUS_BPF_SONAME)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 755 $(O)/$(LIBBUS_BPF_SONAME) $(DESTDIR)$(LIBDIR)/
	ln -sf $(LIBBUS_BPF_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony-bpf.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
		libbus/bpf/symphony-bpf.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/symphony-bpf.pc
	install -Dm644 -t $(DESTDIR)$(MANDIR)/man3 docs/man/sbus_router.3
	for page in $(LIBBUS_BPF_MAN); do ln -sf sbus_router.3 $(DESTDIR)$(MANDIR)/man3/$$page; done

uninstall-libbus-bpf:
	rm -f $(DESTDIR)$(LIBDIR)/$(LIBBUS_BPF_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony-bpf.so
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/symphony-bpf.pc
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man3/,sbus_router.3 $(LIBBUS_BPF_MAN))
