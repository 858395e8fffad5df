# SPDX-License-Identifier: MIT
# libsymphony.so: the library, and the Pit's extensions.

LIBBUS_SRCS := $(wildcard libbus/*.c) $(wildcard pit/*.c)
LIBBUS_OBJS := $(LIBBUS_SRCS:%.c=$(O)/obj/%.o)
LIBBUS_SONAME := libsymphony.so.0
LIBBUS_HEADERS := $(wildcard libbus/include/symphony/*.h)
LIBBUS_MAN := sbus_control.3 sbus_monitor.3
# Each function's name leads to the page that it is on.
LIBBUS_MAN_LINKS := $(shell sed -n 's/^\t\(sbus_\(control\|list\|monitor\)_.*\);$$/\1.3/p' libbus/libsymphony.map)

USER_TARGETS += $(O)/libsymphony.so $(O)/$(LIBBUS_SONAME)
INSTALL_TARGETS += install-libbus

$(O)/obj/libbus/%.o: libbus/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(O)/obj/pit/%.o: pit/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(addprefix $(O)/obj/libbus/,control.o info.o monitor.o netlink.o): \
	override CFLAGS += $(LIBNL_CFLAGS)

$(O)/$(LIBBUS_SONAME): $(LIBBUS_OBJS) libbus/libsymphony.map
	$(CC) $(CFLAGS) -shared -Wl,-soname,$(LIBBUS_SONAME) -Wl,-z,defs -Wl,-z,now \
		-Wl,--version-script=libbus/libsymphony.map -o $@ $(LIBBUS_OBJS) \
		$(LDFLAGS) -lyyjson -luring -lnl-genl-3 -lnl-3

$(O)/libsymphony.so: $(O)/$(LIBBUS_SONAME)
	ln -sf $(LIBBUS_SONAME) $@

# The folders are those of the time of installing.
.PHONY: install-libbus uninstall-libbus
install-libbus: $(O)/$(LIBBUS_SONAME)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/symphony
	install -m 755 $(O)/$(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/
	ln -sf $(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
		libbus/symphony.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/symphony.pc
	install -m 644 $(LIBBUS_HEADERS) $(DESTDIR)$(INCLUDEDIR)/symphony/
	install -Dm644 -t $(DESTDIR)$(MANDIR)/man3 $(LIBBUS_MAN:%=docs/man/%)
	for page in $(LIBBUS_MAN_LINKS); do case $$page in \
		sbus_monitor*) ln -sf sbus_monitor.3 $(DESTDIR)$(MANDIR)/man3/$$page;; \
		*) ln -sf sbus_control.3 $(DESTDIR)$(MANDIR)/man3/$$page;; esac; done

uninstall-libbus:
	rm -f $(DESTDIR)$(LIBDIR)/$(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony.so
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/symphony.pc
	rm -rf $(DESTDIR)$(INCLUDEDIR)/symphony
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man3/,$(LIBBUS_MAN) $(LIBBUS_MAN_LINKS))
