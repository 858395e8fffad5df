# SPDX-License-Identifier: MIT
# libsymphony.so: the library, and the Pit's extensions.

LIBBUS_SRCS := $(wildcard libbus/*.c) $(wildcard pit/*.c)
LIBBUS_OBJS := $(LIBBUS_SRCS:%.c=$(O)/obj/%.o)
LIBBUS_SONAME := libsymphony.so.0
LIBBUS_HEADERS := $(wildcard libbus/include/symphony/*.h)
LIBBUS_VERSION := 0.1

USER_TARGETS += $(O)/libsymphony.so $(O)/$(LIBBUS_SONAME) $(O)/symphony.pc
INSTALL_TARGETS += install-libbus

$(O)/obj/libbus/%.o: libbus/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(O)/obj/pit/%.o: pit/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(O)/$(LIBBUS_SONAME): $(LIBBUS_OBJS) libbus/libsymphony.map
	$(CC) $(CFLAGS) -shared -Wl,-soname,$(LIBBUS_SONAME) -Wl,-z,defs -Wl,-z,now \
		-Wl,--version-script=libbus/libsymphony.map -o $@ $(LIBBUS_OBJS) \
		$(LDFLAGS) -lyyjson

$(O)/libsymphony.so: $(O)/$(LIBBUS_SONAME)
	ln -sf $(LIBBUS_SONAME) $@

$(O)/symphony.pc: libbus/symphony.pc.in
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(LIBBUS_VERSION)|' $< >$@

.PHONY: install-libbus uninstall-libbus
install-libbus: $(O)/$(LIBBUS_SONAME) $(O)/symphony.pc
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/symphony \
		$(DESTDIR)$(INCLUDEDIR)/linux
	install -m 755 $(O)/$(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/
	ln -sf $(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony.so
	install -m 644 $(O)/symphony.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	install -m 644 $(LIBBUS_HEADERS) $(DESTDIR)$(INCLUDEDIR)/symphony/
	install -m 644 kmod/include/uapi/linux/symphony.h $(DESTDIR)$(INCLUDEDIR)/linux/
	[ -n "$(DESTDIR)" ] || ldconfig

uninstall-libbus:
	rm -f $(DESTDIR)$(LIBDIR)/$(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony.so
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/symphony.pc
	rm -rf $(DESTDIR)$(INCLUDEDIR)/symphony
	[ -n "$(DESTDIR)" ] || ldconfig
