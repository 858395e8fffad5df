# SPDX-License-Identifier: MIT
"""Nothing is left behind: blocks of memory, references, descriptors."""

import asyncio
import contextlib
import gc
import logging
import os
import subprocess
import sys
import threading
import weakref

import pytest

import symphony_ipc
from conftest import PLUGIN

ROUNDS = 200


def growth(function, rounds=ROUNDS):
    """Blocks that `rounds` calls leave, after as many to warm up."""
    for _ in range(rounds):
        function()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(rounds):
        function()
    gc.collect()
    return sys.getallocatedblocks() - before


def later(ms=0):
    return {"method": "later", "params": {"ms": ms, "value": {"a": [1, 2.5, "é", 2**70]}}}


def failing(bus, message, error):
    def run():
        with pytest.raises(error):
            bus.call("pit_echo", message)

    return run


def test_answers_at_once(pit):
    message = {"a": [1, 2.5, "é", 2**70, None, True], "b": {"c": "d"}}
    assert growth(lambda: pit.call("pit_echo", message)) < ROUNDS / 4
    assert growth(lambda: pit.send_message("pit_echo", message)) < ROUNDS / 4


def test_answers_later(pit):
    assert growth(lambda: pit.call("pit_echo", later()), 50) < 12


@pytest.mark.parametrize("message,error", [
    ({"method": "fail"}, symphony_ipc.ExtensionError),
    ([float("nan")], ValueError),
    ({"a": {1: 1}}, TypeError),
    ({"a": [2**70, object()]}, TypeError),
    ("\ud800", UnicodeEncodeError),
])
def test_failures(pit, message, error):
    assert growth(failing(pit, message, error)) < ROUNDS / 4


def test_awaited(pit):
    async def main():
        async def batch():
            await asyncio.gather(*[pit.send_message("pit_echo", later()) for _ in range(10)])
            await pit.send_message("pit_echo", later())
            cancelled = asyncio.ensure_future(pit.send_message("pit_echo", {"method": "never"}))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled

        async def many():
            for _ in range(20):
                await batch()
            gc.collect()
            return sys.getallocatedblocks()

        await many()
        before = await many()
        return await many() - before

    assert asyncio.run(main(), debug=False) < 60


@pytest.mark.device
def test_through_the_device(processes, bus):
    processes.start("plain.py", ready="plain", bus=bus)
    assert growth(lambda: bus.call("plain", later()), 50) < 12

    async def main():
        async def many():
            for _ in range(10):
                await asyncio.gather(*[bus.send_message("plain", later()) for _ in range(20)])
            gc.collect()
            return sys.getallocatedblocks()

        await many()
        before = await many()
        return await many() - before

    assert asyncio.run(main(), debug=False) < 60


def blocks_of_rounds(batch, rounds=20):
    """For an event loop: blocks that so many batches leave, after as many to warm up."""

    async def main():
        async def many():
            tasks = len(asyncio.all_tasks())
            for _ in range(rounds):
                await batch()
            # What was given up may be on its way out still.
            while len(asyncio.all_tasks()) > tasks:
                await asyncio.sleep(0.01)
            # So may the outcomes that nobody waits for.
            await asyncio.sleep(0.1)
            gc.collect()
            return sys.getallocatedblocks()

        await many()
        before = await many()
        return await many() - before

    return main()


@pytest.mark.device
def test_chains_that_are_answered_given_up_and_fail(bus):
    inner, outer = symphony_ipc.Extension("inner"), symphony_ipc.Extension("outer")

    @inner.method
    async def work(seconds, fail=False):
        await asyncio.sleep(seconds)
        if fail:
            raise symphony_ipc.ExtensionError("no")
        return symphony_ipc.current_request().deadline

    @outer.method(name="work")
    async def outer_work(**params):
        await outer.bus["inner"](idempotent=True).work(**params)
        return await asyncio.ensure_future(outer.bus["inner"](detached=True).work(seconds=0))

    async def batch():
        call, late = bus["outer"], bus["outer"](timeout=0.02)
        given_up = asyncio.ensure_future(call.work(seconds=30))
        outcomes = await asyncio.gather(
            *[call.work(seconds=0) for _ in range(5)], *[late.work(seconds=30) for _ in range(5)],
            *[call.work(seconds=0, fail=True) for _ in range(5)], return_exceptions=True)
        given_up.cancel()
        assert outcomes[0] is None
        assert {type(error) for error in outcomes[5:10]} == {symphony_ipc.Timeout}
        assert {type(error) for error in outcomes[10:]} == {symphony_ipc.ExtensionError}

    async def main():
        serving = [asyncio.create_task(ext.serve()) for ext in (inner, outer)]
        await asyncio.sleep(0)
        # Who comes together varies, and with it how much is kept for the next ones.
        await blocks_of_rounds(batch, 20)
        grown = await blocks_of_rounds(batch, 20)
        for ext in (inner, outer):
            ext.stop()
        await asyncio.gather(*serving)
        return grown

    assert asyncio.run(main(), debug=False) < 60


@pytest.mark.device
def test_chains_of_plain_functions(processes, bus, monkeypatch):
    processes.start("plain.py", ready="plain", bus=bus)
    ext = symphony_ipc.Extension("outer")

    @ext.method
    def work(fail):
        request = symphony_ipc.current_request()
        assert not request.cancelled()
        if fail:
            ext.bus.call("nobody", 1)
        return ext.bus.call("plain", {"method": "who"}, detached=bool(fail))

    def call(fail):
        return bus.call("outer", {"method": "work", "params": {"fail": fail}})

    def both():
        assert call(False)["extension_id"] == "plain"
        with pytest.raises(symphony_ipc.ExtensionError):
            call(True)

    monkeypatch.setattr(logging.getLogger("symphony_ipc"), "disabled", True)
    serving = threading.Thread(target=ext.run)
    serving.start()
    while True:
        with contextlib.suppress(symphony_ipc.NoReplica):
            call(False)
            break
    try:
        assert growth(both, 50) < 12
    finally:
        ext.stop()
        serving.join()


@pytest.mark.device
def test_takeovers_drains_and_grants(bus_name):
    async def one_after_the_other(bus):
        first = symphony_ipc.Extension("worker")
        second = symphony_ipc.Extension("worker", takeover=True)
        grant = bus.grant("worker")
        serving = asyncio.create_task(first.serve(grant=grant))
        await asyncio.sleep(0)
        first.drain()
        first.resume()
        last = asyncio.create_task(second.serve(grant=grant))
        await serving
        second.stop()
        await last
        os.close(grant)

    with symphony_ipc.IPCBus(pit=False, grants=True, reserve=["other"]) as bus:
        def run():
            bus.limits()
            asyncio.run(one_after_the_other(bus), debug=False)

        assert growth(run, 5) < 30
        descriptors = len(os.listdir("/proc/self/fd"))
        run()
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_opening_and_closing(bus_name):
    def run():
        with symphony_ipc.IPCBus(plugins=[str(PLUGIN)]) as bus:
            bus.call("pit_echo", later())

    assert growth(run, 10) < 20
    descriptors = len(os.listdir("/proc/self/fd"))
    run()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_bus_that_is_dropped_is_closed(bus_name):
    bus = symphony_ipc.IPCBus(plugins=[str(PLUGIN)])
    bus.initialize()
    descriptors = len(os.listdir("/proc/self/fd"))
    gone = weakref.ref(bus)
    del bus
    gc.collect()
    assert gone() is None
    assert len(os.listdir("/proc/self/fd")) < descriptors


def run_script(script):
    return subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", script],
                          capture_output=True, text=True, timeout=120)


def test_a_bus_that_is_open_at_exit_is_quiet(bus_name):
    done = run_script(f"""
import asyncio, symphony_ipc
bus = symphony_ipc.IPCBus(plugins=[{str(PLUGIN)!r}])
async def main():
    # How long a step took on this machine is nothing to be quiet about.
    asyncio.get_running_loop().slow_callback_duration = 60
    await bus.start()
    await bus.send_message("pit_echo", {later(1)!r})
    asyncio.ensure_future(bus.send_message("pit_echo", {{"method": "never"}}))
    await asyncio.sleep(0)
asyncio.run(main())
""")
    assert (done.returncode, done.stderr) == (0, "")


def test_subinterpreters_each_have_their_own(bus_name):
    done = run_script(f"""
import _interpreters, symphony_ipc
script = '''
import symphony_ipc
with symphony_ipc.IPCBus(plugins=[{str(PLUGIN)!r}]) as bus:
    assert bus.call("pit_echo", {later(1)!r})["a"][3] == 2**70
    try:
        bus.call("pit_echo", {{"method": "fail"}})
    except symphony_ipc.ExtensionError as error:
        assert error.code == 7
    else:
        raise AssertionError
'''
for _ in range(3):
    interpreter = _interpreters.create("isolated")
    failure = _interpreters.run_string(interpreter, script)
    assert failure is None, failure
    _interpreters.destroy(interpreter)
exec(script)
""")
    assert (done.returncode, done.stderr) == (0, "")
