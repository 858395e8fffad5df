# SPDX-License-Identifier: MIT
"""What runs out of memory says so, and works afterwards: each allocation that Python
makes for it fails, the first, then the second, until none is left to fail."""

import asyncio

import pytest

import symphony_ipc
from conftest import PLUGIN
from test_pit import later

_testcapi = pytest.importorskip("_testcapi")

MESSAGE = {"a": [1, -2, 2.5, 2**70, "é", None, True, (1,)], "b": {"c": "d" * 3000}}
NUMBERS = [-2**63, 2**64 - 1, 1e300, -1e-300]


def walk(function, enough=20):
    """How many allocations there are in a function, of which each failed once."""
    function()
    number = quiet = 0
    # Some fail and are made up for.
    while quiet < enough:
        number += 1
        _testcapi.set_nomemory(number, number + 1)
        try:
            function()
            quiet += 1
        except (MemoryError, symphony_ipc.BusError):
            quiet = 0
        finally:
            _testcapi.remove_mem_hooks()
        assert number < 5000
    return number - enough


def calling(bus, extension_id, message):
    def run():
        try:
            bus.call(extension_id, message)
        except symphony_ipc.ExtensionError as error:
            assert error.code

    return run


@pytest.mark.parametrize("message", [MESSAGE, NUMBERS, {"method": "fail"}])
def test_a_call(pit, message):
    assert walk(calling(pit, "pit_echo", message)) > 0


def test_sending(pit):
    def run():
        call = pit.send_message("pit_echo", later(60000, MESSAGE))
        call.cancel("no")
        repr(call)

    assert walk(run) > 0


def test_waiting(pit):
    async def main():
        def run():
            call = pit.send_message("pit_echo", later(60000))
            try:
                for _ in range(3):
                    call.add_done_callback(print)
                call.remove_done_callback(print)
            finally:
                call.close()

        return walk(run)

    assert asyncio.run(main(), debug=False) > 0


def test_opening_a_bus(bus_name):
    def run():
        bus = symphony_ipc.IPCBus(plugins=[str(PLUGIN)], config={"pit_echo": MESSAGE}, reserve=["a", "b"])
        bus.initialize()
        bus.close()

    assert walk(run) > 0


@pytest.mark.device
def test_a_call_to_another_process(processes, bus):
    processes.start("plain.py", ready="plain", bus=bus)
    for message in {"method": "who"}, {"method": "absent", "params": MESSAGE}:
        assert walk(calling(bus, "plain", message)) > 0
    bus.call("plain", {"method": "who"})


@pytest.mark.device
def test_a_replica(bus):
    def run():
        ext = symphony_ipc._symphony.Server("replica", {"describe": print}, None, print)
        ext.fileno()
        ext.drain(False)
        ext.unclaim()
        ext.close()

    assert walk(run) > 0
