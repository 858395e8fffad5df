# SPDX-License-Identifier: MIT
# What the Python tests load into their Pit.

USER_TARGETS += $(O)/tests/python/echo.so

$(O)/tests/python/echo.so: tests/python/echo.c $(O)/libsymphony.so
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DSYMPHONY_PLUGIN -shared $(LDFLAGS) -o $@ $< -L$(O) -lsymphony -lyyjson
