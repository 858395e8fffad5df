# SPDX-License-Identifier: MIT
# The example extensions in C, and the demo that runs them with those in Python.

example-progs := $(if $(wildcard libbus/build.mk),tokenize count)

USER_TARGETS += $(addprefix $(O)/examples/,$(example-progs))

$(O)/obj/docs/examples/%.o: docs/examples/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(addprefix $(O)/examples/,$(example-progs)): $(O)/examples/%: $(O)/obj/docs/examples/%.o $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(O) -lsymphony -lyyjson

demo:				## run docs/examples/index.json in a guest: index this checkout
	@TIMEOUT=300 tests/vm/run 'python3 -m symphony_ipc.conductor docs/examples/index.json \
		--set bin=$$O/examples --progress '$$([ -t 1 ] && echo line || echo plain)
