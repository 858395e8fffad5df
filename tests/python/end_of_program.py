# SPDX-License-Identifier: MIT
"""Programs that end in every way, in every state of a bus: see test_end.py.

Each is a child that is forked before it uses the bus, and ends as a program of its own
does: it comes to the end of this file. To start an interpreter for each would take most
of the time. What holds the bus is a global, or, in every second one, a cycle. Arguments: a
plugin, WAY/STATE... Prints one line for each: way, state, status, what it wrote.
"""

import asyncio
import atexit
import gc
import os
import signal
import sys
import tempfile
import threading
import time

import symphony_ipc

PLUGIN, CELLS = sys.argv[1], [cell.split("/") for cell in sys.argv[2:]]


class App:
    """What holds the bus, and all that was made with it."""


def states(app, state):
    bus = app.bus = symphony_ipc.IPCBus(pit=state == "pit", plugins=[PLUGIN] * (state == "pit"))
    bus.initialize()
    if state == "thread":
        app.thread = threading.Thread(
            target=lambda: bus.call("held", {"method": "hold"}), daemon=True)
        app.thread.start()
        time.sleep(0.1)
    elif state == "view":
        app.view = bus.call("held", b"x", reply_max=30000)
        assert isinstance(app.view, memoryview)
    elif state == "serving":
        app.ext = symphony_ipc.Extension(f"served-{os.getpid()}")
        app.ext.message(lambda message: app.bus and message)
        app.thread = threading.Thread(target=app.ext.run, daemon=True)
        app.thread.start()
        time.sleep(0.1)
    elif state == "router":
        app.router = bus.route("held", "round_robin")


async def use(app, state):
    """Leaves the loop with what the state says."""
    if state == "pending":
        app.calls = [app.bus.send_message("held", {"method": "hold"}) for _ in range(20)]
        app.task = asyncio.ensure_future(asyncio.wait(app.calls))
    elif state == "pit":
        app.calls = [app.bus.send_message("pit_echo", {"method": "never"}) for _ in range(20)]
        app.calls[0].add_done_callback(lambda call: app)
    elif state == "served":
        app.ext = symphony_ipc.Extension(f"served-{os.getpid()}")

        @app.ext.method
        async def wait():
            try:
                await app.ext.bus["held"].hold()
            finally:
                app.ended = app.ext.bus

        app.task = asyncio.create_task(app.ext.serve())
        await asyncio.sleep(0)
        app.calls = [app.bus[app.ext.id].wait() for _ in range(3)]
        while len(app.ext._server.tasks()) < 3:
            await asyncio.sleep(0.01)
    else:
        assert await app.bus["held"].say(text="a") == "a"


def last_words(app):
    try:
        assert app.bus.call("held", {"method": "say", "params": {"text": "z"}}) == "z"
    except symphony_ipc.Closed:
        pass
    print("last words", file=sys.stderr, flush=True)


class Dying:
    """Uses the bus when it ends itself, by which time that may be half gone."""

    def __init__(self, app):
        self.app = app

    def __del__(self):
        self.app.bus.close()
        raise RuntimeError("in __del__")


def end(app, way, state):
    """Ends the program, or lets it come to its end."""

    async def leave():
        await use(app, state)
        sys.exit(3)

    if way == "exit-in-run":
        asyncio.run(leave(), debug=False)
    loop = app.loop = asyncio.new_event_loop()
    if way == "exit-in-loop":
        loop.run_until_complete(leave())
    loop.run_until_complete(use(app, state))
    if way == "raise":
        raise KeyError("not caught")
    if way == "exit":
        sys.exit(3)
    if way == "_exit":
        os._exit(4)
    if way == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    if way == "interrupted":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    if way == "atexit":
        atexit.register(last_words, app)
    if way == "del":
        app.dying = Dying(app)
    if way == "collected":
        app.loop.close()
        app.__dict__.clear()
        gc.collect()


def fork_one(way, state):
    """In the parent: the line. In the child: None."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 2)
            return None
        status = os.waitpid(child, 0)[1]
        said.seek(0)
        return f"{way} {state} {os.waitstatus_to_exitcode(status)} {said.read()!r}"


def main():
    """Which one this process is, (number, way, state), or None: the parent."""
    for number, (way, state) in enumerate(CELLS):
        line = fork_one(way, state)
        if line is None:
            return number, way, state
        print(line, flush=True)
    return None


if mine := main():
    number, way, state = mine
    signal.alarm(60)
    app = App()
    states(app, state)
    if number % 2:
        app.me = app
        # Only the cycle has it, and the call of end().
        keep, app = app, None
        end(keep, way, state)
        del keep
    else:
        bus = app.bus
        end(app, way, state)
