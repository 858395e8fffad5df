# SPDX-License-Identifier: MIT
# libsymphony.so: the library, and the Pit's extensions.

LIBBUS_SRCS := $(wildcard libbus/*.c) $(wildcard pit/*.c)
LIBBUS_OBJS := $(LIBBUS_SRCS:%.c=$(O)/obj/%.o)
LIBBUS_SONAME := libsymphony.so.0
LIBBUS_HEADERS := $(wildcard libbus/include/symphony/*.h)
LIBBUS_VERSION := 0.1

USER_TARGETS += $(O)/libsymphony.so $(O)/$(LIBBUS_SONAME)
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

# The folders are those of the time of installing.
.PHONY: install-libbus uninstall-libbus
install-libbus: $(O)/$(LIBBUS_SONAME)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/symphony
	install -m 755 $(O)/$(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/
	ln -sf $(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(LIBBUS_VERSION)|' \
		libbus/symphony.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/symphony.pc
	install -m 644 $(LIBBUS_HEADERS) $(DESTDIR)$(INCLUDEDIR)/symphony/

uninstall-libbus:
	rm -f $(DESTDIR)$(LIBDIR)/$(LIBBUS_SONAME) $(DESTDIR)$(LIBDIR)/libsymphony.so
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/symphony.pc
	rm -rf $(DESTDIR)$(INCLUDEDIR)/symphony
