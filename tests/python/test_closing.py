# SPDX-License-Identifier: MIT
"""close() and stop(): what ends with them, in which thread, and what does not."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import symphony_ipc
from conftest import PLUGIN, awaited, serve_for_module
from symphony_ipc import _symphony

pytestmark = pytest.mark.device
held = serve_for_module("held")

HOLD = {"method": "hold"}
NEVER = {"method": "never"}


@pytest.fixture
def mine(held):
    """A bus to be closed."""
    with symphony_ipc.IPCBus(held.name, pit=False) as bus:
        yield bus


def run(main):
    return asyncio.run(main, debug=False)


def state(bus):
    return bus.call("held", {"method": "state"}, timeout=60)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- calls


async def in_this_loop(bus):
    bus.close()


async def in_a_thread(bus):
    await asyncio.to_thread(bus.close)


async def in_a_callback(bus):
    called = asyncio.Event()
    call = bus["held"].say(text="a")
    call.add_done_callback(lambda call: (bus.close(), called.set()))
    await called.wait()
    assert await call == "a"


async def at_the_end_of_a_block(bus):
    async with bus:
        pass


async def twice_at_once(bus):
    await asyncio.gather(*[asyncio.to_thread(bus.close) for _ in range(4)])


CLOSERS = [in_this_loop, in_a_thread, in_a_callback, at_the_end_of_a_block, twice_at_once]


@pytest.mark.parametrize("close", CLOSERS)
@pytest.mark.parametrize("waiter", ["future", "thread"])
@pytest.mark.parametrize("where", ["held", "pit_echo"])
def test_every_call_ends(held, where, waiter, close):
    async def main():
        bus = symphony_ipc.IPCBus(held.name, plugins=[str(PLUGIN)])
        bus.initialize()
        before = state(held)["held"]
        message = HOLD if where == "held" else NEVER
        if waiter == "future":
            calls = [bus.send_message(where, message) for _ in range(20)]
        else:
            calls = [asyncio.to_thread(bus.call, where, message) for _ in range(3)]
        waiting = asyncio.gather(*calls, return_exceptions=True)
        if where == "held":
            while state(held)["held"] < before + len(calls):
                await asyncio.sleep(0.02)
        else:
            await asyncio.sleep(0.1)
        await close(bus)
        async with asyncio.timeout(60):
            outcomes = await waiting
        assert [type(outcome) for outcome in outcomes] == [symphony_ipc.Closed] * len(calls)
        bus.close()
        for again in (bus.call, bus.send_message):
            with pytest.raises(symphony_ipc.Closed):
                await again("held", HOLD)

    run(main())
    until(lambda: state(held)["held"] == 0)


def test_handlers_are_cancelled_although_a_view_is_kept(held, mine):
    async def main():
        view = await mine.send_message("held", b"x", reply_max=30000)
        assert isinstance(view, memoryview)
        before = state(held)
        calls = [mine.send_message("held", HOLD) for _ in range(5)]
        while state(held)["held"] < 5:
            await asyncio.sleep(0.02)
        mine.close()
        await asyncio.gather(*calls, return_exceptions=True)
        while state(held)["held"]:
            await asyncio.sleep(0.02)
        assert state(held)["cancelled"] == before["cancelled"] + 5
        return view

    view = run(main())
    # The memory is there until the view goes, and then the descriptor too.
    gc.collect()
    part = view[10:20]
    view.release()
    assert bytes(part) == b"x" * 10
    descriptors = len(os.listdir("/proc/self/fd"))
    part.release()
    assert len(os.listdir("/proc/self/fd")) == descriptors - 1


def test_a_bus_that_is_closed_while_it_sends_tells_nobody_wrong(held):
    """Threads that call, whatever moment they are at, get an answer or Closed."""
    for _ in range(5):
        bus, outcomes = symphony_ipc.IPCBus(held.name, pit=False), []

        def calls():
            with contextlib.suppress(symphony_ipc.Closed):
                while True:
                    outcomes.append(bus.call("held", {"method": "say", "params": {"text": "a"}}))

        threads = [threading.Thread(target=calls) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: outcomes)
        bus.close()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert set(outcomes) == {"a"}


# --- the descriptor


def descriptor_of(bus):
    bus.initialize()
    before = {int(name) for name in os.listdir("/proc/self/fd")}
    with symphony_ipc.IPCBus(bus.name, pit=False) as other:
        assert other
    link = "/proc/self/fd/{}".format
    found = [number for number in before
             if os.path.exists(link(number)) and "symphony" in os.readlink(link(number))]
    return max(found)


class Loop:
    """One that has watched the bus, and may be running in a thread of its own."""

    def __init__(self, bus):
        self.loop = asyncio.new_event_loop()
        self.thread = None
        self.loop.run_until_complete(self.use(bus))

    async def use(self, bus):
        assert await bus["held"].say(text="a") == "a"

    def start(self):
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        until(self.loop.is_running)

    def stop(self):
        if self.thread:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
        self.loop.close()


@pytest.mark.parametrize("kinds", [["stopped"], ["running"], ["closed"], ["busy"],
                                   ["stopped", "closed", "running"]])
def test_no_loop_watches_the_number_any_more(mine, kinds):
    number = descriptor_of(mine)
    loops, go_on = [], threading.Event()
    for kind in kinds:
        loops.append(Loop(mine))
        assert number in loops[-1].loop._selector.get_map()
        if kind in ("running", "busy"):
            loops[-1].start()
        if kind == "busy":
            loops[-1].loop.call_soon_threadsafe(go_on.wait)
        if kind == "closed":
            loops[-1].loop.close()
    file = os.fstat(number)
    mine.close()
    if "busy" in kinds:
        # It may be looked at still: so the number is not free.
        assert os.path.samestat(os.fstat(number), file)
        go_on.set()

    def free():
        try:
            return not os.path.samestat(os.fstat(number), file)
        except OSError:
            return True

    until(free)
    ours, theirs = socket.socketpair()
    if ours.fileno() != number:
        os.dup2(ours.fileno(), number)
        ours.close()
    else:
        ours.detach()
    for loop in loops:
        if loop.loop.is_closed():
            continue
        assert number not in loop.loop._selector.get_map()
        got = threading.Event()
        if loop.thread:
            loop.loop.call_soon_threadsafe(loop.loop.add_reader, number, got.set)
        else:
            loop.loop.add_reader(number, got.set)
            loop.start()
        theirs.send(b"x")
        assert got.wait(60)
        loop.loop.call_soon_threadsafe(loop.loop.remove_reader, number)
        loop.stop()
    os.close(number)
    theirs.close()


# --- extensions


class Served:
    """An extension whose async handler takes as long as `go_on` is not set."""

    def __init__(self, bus):
        self.ext = symphony_ipc.Extension("stuck", bus=bus.name)
        self.bus = bus
        self.ended = []

        @self.ext.method
        async def stuck():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                self.ended.append(error)
                raise

        @self.ext.method
        async def close_own():
            own = self.ext.bus
            answer = await own["held"].say(text="a")
            waiting = own["held"].hold()
            own.close()
            try:
                await waiting
            except symphony_ipc.Closed:
                return answer, await self.ext.bus["held"].say(text="b")

    def call(self):
        while True:
            try:
                return self.bus.call("stuck", {"method": "stuck"})
            except symphony_ipc.NoReplica:
                time.sleep(0.02)
            except symphony_ipc.BusError as error:
                return error


def test_a_second_stop_ends_handlers_that_run(held):
    served = Served(held)
    running = threading.Thread(target=served.ext.run)
    running.start()
    answers = []
    caller = threading.Thread(target=lambda: answers.append(served.call()))
    caller.start()
    until(lambda: served.ext._server and served.ext._server.tasks())
    served.ext.stop()
    time.sleep(0.3)
    assert running.is_alive() and not served.ended
    served.ext.stop()
    running.join(60)
    caller.join(60)
    assert not running.is_alive() and len(served.ended) == 1
    assert isinstance(answers[0], symphony_ipc.ExtensionError)
    served.ext.stop()


def test_a_serve_that_is_cancelled_twice_leaves_nothing(held):
    async def main():
        served = Served(held)
        loop = asyncio.get_running_loop()
        ignoring = asyncio.Event()

        @served.ext.method
        async def stubborn():
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await ignoring.wait()
                    return 1

        task = asyncio.create_task(served.ext.serve())
        await asyncio.sleep(0)
        number = served.ext._server.fileno()
        call = held.send_message("stuck", {"method": "stubborn"})
        while not served.ext._server.tasks():
            await asyncio.sleep(0.02)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.05)
        assert task.done() and number not in loop._selector.get_map()
        # It ends after its server did, and can answer still.
        ignoring.set()
        await asyncio.gather(call, return_exceptions=True)

    run(main())


def test_a_handler_closes_the_extensions_own_bus(held):
    async def main():
        served = Served(held)
        task = asyncio.create_task(served.ext.serve())
        await asyncio.sleep(0)
        answer = await held["stuck"].close_own()
        served.ext.stop()
        await task
        return answer

    assert run(main()) == ["a", "b"]


def test_a_server_is_not_closed_by_a_handler_that_it_is_about_to_run(held):
    async def close():
        server.close()

    server = _symphony.Server("closer", {"close": close}, None, lambda error: True, bus=held.name)

    async def main():
        call = held["closer"].close()
        while not server.process(asyncio.get_running_loop(), []):
            await asyncio.sleep(0.02)
        with pytest.raises(symphony_ipc.ExtensionError, match="process"):
            await call
        server.close()
        server.close()

    run(main())


def test_the_second_signal_has_its_default_effect(held):
    script = """
import asyncio, symphony_ipc
ext = symphony_ipc.Extension("twice")
@ext.method
async def stuck(): await asyncio.Event().wait()
ext.run()
"""
    process = subprocess.Popen([sys.executable, "-c", script],
                               env=os.environ | {"SYMPHONY_BUS": held.name})
    call = {"method": "describe"}
    while True:
        with contextlib.suppress(symphony_ipc.NoReplica):
            held.call("twice", call)
            break
        time.sleep(0.05)

    async def main():
        stuck = held["twice"].stuck()
        await asyncio.sleep(0)
        assert await held["twice"].describe()
        process.send_signal(signal.SIGTERM)
        # It serves the id no more, and waits for the handler.
        while True:
            try:
                await held["twice"].describe()
            except symphony_ipc.NoReplica:
                break
            await asyncio.sleep(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        with pytest.raises(symphony_ipc.Dead):
            await stuck

    run(main())
    assert process.wait(60) == -signal.SIGTERM
