# SPDX-License-Identifier: MIT
# The Python package: symphony_ipc, with its extension module, in $(O)/python.

PYBINDING_PACKAGE := $(O)/python/symphony_ipc
PYBINDING_OBJS := $(patsubst pybinding/src/%.c,$(O)/obj/pybinding/%.o,$(wildcard pybinding/src/*.c))
PYBINDING_PY := $(addprefix $(PYBINDING_PACKAGE)/,$(notdir $(wildcard pybinding/symphony_ipc/*.py \
	pybinding/symphony_ipc/*.pyi pybinding/symphony_ipc/py.typed)))
PYBINDING_SO := $(PYBINDING_PACKAGE)/_symphony.so
# A second one, so that only who routes needs libbpf.
PYBINDING_ROUTER_SO := $(PYBINDING_PACKAGE)/_router.so
# Functions of a Python type have arguments that not every one needs, and the
# tables they stand in end with an empty row.
PYBINDING_CFLAGS = $(shell $(PKG_CONFIG) --cflags python3) -Wno-unused-parameter \
	-Wno-missing-field-initializers -Wno-cast-function-type

USER_TARGETS += $(PYBINDING_SO) $(PYBINDING_ROUTER_SO) $(PYBINDING_PY)
INSTALL_TARGETS += install-python

$(O)/obj/pybinding/%.o: pybinding/src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PYBINDING_CFLAGS) -c -o $@ $<

$(PYBINDING_ROUTER_SO): pybinding/router/router.c $(O)/libsymphony-bpf.so
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PYBINDING_CFLAGS) -MF $(O)/obj/pybinding/router.d -shared $(LDFLAGS) \
		-o $@ $< -L$(O) -lsymphony-bpf -lsymphony

$(PYBINDING_SO): $(PYBINDING_OBJS) $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) -shared $(LDFLAGS) -o $@ $(PYBINDING_OBJS) -L$(O) -lsymphony -lyyjson

$(PYBINDING_PY): $(PYBINDING_PACKAGE)/%: pybinding/symphony_ipc/%
	@mkdir -p $(@D)
	cp $< $@

# Debian's default scheme puts "local" after the prefix by itself.
define PYTHON_DIR_SCRIPT
import sysconfig
prefix, scheme = "$(PREFIX)", sysconfig.get_default_scheme()
if scheme == "posix_local" and not prefix.endswith("/local"):
    scheme = "deb_system"
elif scheme == "posix_local":
    prefix = prefix.removesuffix("/local")
print(sysconfig.get_path("platlib", scheme, {"base": prefix, "platbase": prefix}))
endef
export PYTHON_DIR_SCRIPT

.PHONY: install-python uninstall-python
install-python: $(PYBINDING_SO) $(PYBINDING_ROUTER_SO) $(PYBINDING_PY)
	dir=$(DESTDIR)$$($(PYTHON) -c "$$PYTHON_DIR_SCRIPT")/symphony_ipc && \
	install -d "$$dir" && install -m 644 $(PYBINDING_PY) $(PYBINDING_SO) \
		$(PYBINDING_ROUTER_SO) "$$dir"

uninstall-python:
	rm -rf $(DESTDIR)$$($(PYTHON) -c "$$PYTHON_DIR_SCRIPT")/symphony_ipc
