# SPDX-License-Identifier: MIT
"""In a child that is forked all is inert, and what it does there does not concern the parent."""

import asyncio
import copy
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest

import fork_target
import symphony_ipc
from conftest import PLUGIN, serve_for_module

pytestmark = [
    pytest.mark.device,
    # Threads are what some of these are about.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
held = serve_for_module("held")

SAY = {"method": "say", "params": {"text": "a"}}


def in_child(function, *arguments):
    """Runs it in a child, and fails as it fails there."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            signal.alarm(60)
            function(*arguments)
            status = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[:60000])
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader) as file:
        said = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said


class Parent:
    """A bus in every state, and a loop that watches it."""

    def __init__(self, name):
        self.bus = symphony_ipc.IPCBus(name, plugins=[str(PLUGIN)])
        self.loop = asyncio.new_event_loop()
        self.ext = symphony_ipc.Extension("parents", bus=name)

        @self.ext.method
        async def say(text):
            return text

        self.loop.run_until_complete(self.begin())

    async def begin(self):
        self.task = asyncio.create_task(self.ext.serve())
        await asyncio.sleep(0)
        self.bus.initialize()
        self.pending = [self.bus["held"].hold(seconds=4), self.bus["pit_echo"].never()]
        self.done = self.bus["held"].say(text="done")
        self.view = await self.bus.send_message("held", b"x", reply_max=30000)
        assert await self.done == "done"
        assert await self.bus["parents"].say(text="a") == "a"

    async def goes_on(self):
        """The loop wakes for the bus, for the extension, and for other threads."""
        async with asyncio.timeout(60):
            assert await self.bus["held"].say(text="b") == "b"
            assert await self.bus["parents"].say(text="c") == "c"
            assert await asyncio.to_thread(self.bus.call, "held", SAY) == "a"

    async def end(self):
        async with asyncio.timeout(60):
            assert await self.pending[0] == "held"
            self.ext.stop()
            await self.task
        self.bus.close()
        with pytest.raises(symphony_ipc.Closed):
            await self.pending[1]
        assert bytes(self.view[:2]) == b"xx"


@pytest.fixture
def parent(held):
    parent = Parent(held.name)
    yield parent
    parent.loop.run_until_complete(parent.end())
    parent.loop.close()


# --- what a child does


def nothing(parent):
    pass


def closes(parent):
    parent.bus.close()
    parent.bus.close()


def drops(parent):
    parent.__dict__.clear()
    gc.collect()


def uses(parent):
    bus, ext = parent.bus, parent.ext
    assert bus.closed
    for use in (lambda: bus.call("held", SAY), lambda: bus.send_message("held", SAY),
                lambda: bus.call("pit_echo", 1), lambda: bus.send_message("pit_echo", 1),
                bus.initialize, bus.serve_pit, bus.limits, lambda: bus.grant("x"),
                ext.drain, ext.resume, ext._server.fileno, ext._server.unclaim,
                ext._server.serve, lambda: ext._server.process(parent.loop, []),
                lambda: parent.pending[0].add_done_callback(print),
                parent.pending[1].get_loop):
        with pytest.raises(symphony_ipc.NotPermitted, match="fork"):
            use()
    ext.stop()
    assert repr(bus) and bus.name and bus.pit and bus.endpoint and not bus.serving
    assert parent.done.result() == "done" and not parent.pending[0].done()
    with pytest.raises(BufferError, match="fork"):
        memoryview(parent.view.obj)
    for _ in range(2):
        for callback in (bus._on_readable, bus._on_timer, bus._on_late, bus._on_turn,
                         bus._on_processed):
            assert callback() is None


def cancels(parent):
    assert all(call.cancel() for call in parent.pending)
    assert all(call.cancelled() for call in parent.pending)


def awaits(parent):
    async def main():
        for call in parent.pending:
            with pytest.raises(symphony_ipc.NotPermitted, match="fork"):
                await call

    asyncio.run(main())


def opens_its_own(parent):
    with symphony_ipc.IPCBus(parent.bus.name, pit=False) as bus:
        assert bus.call("held", SAY) == "a"

        async def main():
            async with asyncio.timeout(50):
                return await bus["held"].say(text="b")

        assert asyncio.run(main(), debug=False) == "b"


def opens_its_own_after_closing(parent):
    parent.bus.close()
    parent.ext._server.close()
    opens_its_own(parent)


def uses_the_inherited_loop(parent):
    """Which asyncio does not promise; the bus is not what is in the way."""
    asyncio._set_running_loop(None)
    parent.bus.close()
    with symphony_ipc.IPCBus(parent.bus.name, pit=False) as bus:
        async def main():
            async with asyncio.timeout(50):
                return await bus["held"].say(text="b")

        if not parent.loop.is_running():
            assert parent.loop.run_until_complete(main()) == "b"


def serves_the_same(parent):
    ext = parent.ext
    # The parent serves its own meanwhile, but waits for the child.
    ext.id = "childs"

    async def main():
        assert not ext.bus.closed
        task = asyncio.create_task(ext.serve())
        await asyncio.sleep(0)
        with symphony_ipc.IPCBus(parent.bus.name, pit=False) as bus:
            for _ in range(4):
                assert await bus["childs"].say(text="d") == "d"
        ext.stop()
        await task

    asyncio.run(main(), debug=False)


def forks_again(parent):
    with symphony_ipc.IPCBus(parent.bus.name, pit=False) as bus:
        assert bus.call("held", SAY) == "a"

        def grandchild():
            for inherited in (bus, parent.bus):
                with pytest.raises(symphony_ipc.NotPermitted, match="fork"):
                    inherited.call("held", SAY)
            opens_its_own(parent)

        in_child(grandchild)
        assert bus.call("held", SAY) == "a"


CHILDREN = [nothing, closes, drops, uses, cancels, awaits, opens_its_own,
            opens_its_own_after_closing, uses_the_inherited_loop, serves_the_same, forks_again]


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_of_every_kind_of_parent(parent, child):
    # One whose loop does not run,
    in_child(child, parent)
    parent.loop.run_until_complete(parent.goes_on())

    # one whose loop does,
    async def forks():
        in_child(child, parent)
        await parent.goes_on()

    parent.loop.run_until_complete(forks())

    # and one with threads that are in calls, to others and to the Pit.
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(parent.bus.call(
        "held", {"method": "hold", "params": {"seconds": 1}})))]
    never = threading.Thread(target=lambda: pytest.raises(
        symphony_ipc.Timeout, parent.bus.call, "pit_echo", {"method": "never"}, timeout=1))
    for thread in [*threads, never]:
        thread.start()
    time.sleep(0.1)
    in_child(child, parent)
    for thread in [*threads, never]:
        thread.join(60)
    assert answers == ["held"]
    parent.loop.run_until_complete(parent.goes_on())


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(parent, method):
    context = multiprocessing.get_context(method)
    given = (parent.bus,) if method == "fork" else ()
    process = context.Process(target=fork_target.use_own_bus, args=(parent.bus.name, *given))

    async def forks():
        process.start()
        while process.is_alive():
            await asyncio.sleep(0.05)
        await parent.goes_on()

    parent.loop.run_until_complete(forks())
    assert process.exitcode == 7


def test_a_bus_is_not_pickled(parent):
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        for inert in (parent.bus, parent.pending[0], parent.ext._server):
            with pytest.raises(TypeError):
                way(inert)


def test_subprocess(parent):
    def before_exec():
        closes(parent)
        drops(parent)

    async def forks():
        done = await asyncio.create_subprocess_exec("true", preexec_fn=before_exec)
        assert await done.wait() == 0
        assert subprocess.run(["true"], preexec_fn=before_exec).returncode == 0
        assert subprocess.run(["true"]).returncode == 0
        await parent.goes_on()

    parent.loop.run_until_complete(forks())


# --- children that end as programs do

PROGRAM = """
import asyncio, gc, os, signal, sys, symphony_ipc

def forks(ext, how):
    child = os.fork()
    if not child:
        signal.alarm(40)
        if how == "terminated":
            signal.pause()
        if how == "exit":
            sys.exit(3)
        if how == "raises":
            raise KeyError
        os._exit(3)
    if how == "terminated":
        os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

ext = symphony_ipc.Extension(sys.argv[1])
if sys.argv[1] == "plain-forks":
    ext.method(lambda how: forks(ext, how), name="forks")
else:
    @ext.method
    async def fork_later(how):
        await asyncio.sleep(0)
        return forks(ext, how)
    ext.method(fork_later, name="forks")
ext.run()
"""


@pytest.mark.parametrize("kind", ["plain-forks", "async-forks"])
def test_a_handler_forks(held, kind):
    """In a thread that serves, and in a task: the extension serves on."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, kind], stderr=subprocess.DEVNULL,
                               env=os.environ | {"SYMPHONY_BUS": held.name})
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                held.call(kind, {"method": "describe"}, timeout=30)
                break
            except symphony_ipc.NoReplica:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        for how, status in (("_exit", 3), ("terminated", -signal.SIGTERM)):
            assert held.call(kind, {"method": "forks", "params": {"how": how}},
                             timeout=50) == status
        assert held.call(kind, {"method": "describe"}, timeout=30)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
