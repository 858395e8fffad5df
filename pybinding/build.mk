# SPDX-License-Identifier: MIT
# The Python package: symphony_ipc, with its extension module, in $(O)/python.

PYBINDING_PACKAGE := $(O)/python/symphony_ipc
PYBINDING_OBJS := $(patsubst pybinding/src/%.c,$(O)/obj/pybinding/%.o,$(wildcard pybinding/src/*.c))
PYBINDING_PY := $(addprefix $(PYBINDING_PACKAGE)/,$(notdir $(wildcard pybinding/symphony_ipc/*.py \
	pybinding/symphony_ipc/*.pyi pybinding/symphony_ipc/py.typed)))
PYBINDING_SO := $(PYBINDING_PACKAGE)/_symphony.so
# Functions of a Python type have arguments that not every one needs, and the
# tables they stand in end with an empty row.
PYBINDING_CFLAGS = $(shell $(PKG_CONFIG) --cflags python3) -Wno-unused-parameter \
	-Wno-missing-field-initializers -Wno-cast-function-type

USER_TARGETS += $(PYBINDING_SO) $(PYBINDING_PY)
INSTALL_TARGETS += install-python

$(O)/obj/pybinding/%.o: pybinding/src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PYBINDING_CFLAGS) -c -o $@ $<

$(PYBINDING_SO): $(PYBINDING_OBJS) $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) -shared $(LDFLAGS) -o $@ $(PYBINDING_OBJS) -L$(O) -lsymphony -lyyjson

$(PYBINDING_PY): $(PYBINDING_PACKAGE)/%: pybinding/symphony_ipc/%
	@mkdir -p $(@D)
	cp $< $@

PYTHON_DIR = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("platlib", vars={"base": "$(PREFIX)", "platbase": "$(PREFIX)"}))')

.PHONY: install-python
install-python: $(PYBINDING_SO) $(PYBINDING_PY)
	install -d $(DESTDIR)$(PYTHON_DIR)/symphony_ipc
	install -m 644 $(PYBINDING_PY) $(PYBINDING_SO) $(DESTDIR)$(PYTHON_DIR)/symphony_ipc
