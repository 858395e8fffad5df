# SPDX-License-Identifier: MIT
# The Pit's extensions. libsymphony is linked from the same objects (see
# libbus/build.mk); here each becomes a shared object of its own as well, for
# hosts that load another version of one than the library has.

pit_members := pool_manager dag_tracker
pit_plugins := $(pit_members:%=$(O)/pit/%.so)
USER_TARGETS += $(pit_plugins)

pit_common := $(addprefix $(O)/obj/pit/,holder.o map.o params.o)
pit_pool_manager := $(patsubst pit/%.c,$(O)/obj/pit/%.o,\
	$(filter-out pit/pool_manager.c,$(wildcard pit/pool*.c)))
pit_dag_tracker := $(patsubst pit/%.c,$(O)/obj/pit/%.o,\
	$(filter-out pit/dag_tracker.c,$(wildcard pit/dag*.c)))

# Only the file with the descriptor knows how it is linked.
$(O)/obj/pit-plugin/%.o: pit/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DSYMPHONY_PLUGIN -c -o $@ $<

$(O)/pit/pool_manager.so: $(pit_pool_manager)
$(O)/pit/dag_tracker.so: $(pit_dag_tracker)
$(pit_plugins): $(O)/pit/%.so: $(O)/obj/pit-plugin/%.o $(pit_common) $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -shared -Wl,-z,defs -Wl,-z,now -o $@ $(filter %.o,$^) \
		$(LDFLAGS) -L$(O) -lsymphony -lyyjson

.SECONDARY: $(pit_members:%=$(O)/obj/pit-plugin/%.o)
