# SPDX-License-Identifier: MIT
"""What children of multiprocessing run: importable, as spawn and forkserver need it."""

import asyncio
import sys

import symphony_ipc


def use_own_bus(name, inherited=None):
    """Ends with 7 when all is well."""
    if inherited is not None:
        try:
            inherited.call("held", 1)
        except symphony_ipc.NotPermitted as error:
            assert "fork" in str(error)
        inherited.close()
    with symphony_ipc.IPCBus(name, pit=False) as bus:
        assert bus.call("held", {"method": "say", "params": {"text": "a"}}) == "a"

        async def main():
            return await bus["held"].say(text="b")

        assert asyncio.run(main()) == "b"
    sys.exit(7)
