# SPDX-License-Identifier: MIT
"""Programs end with their own exit status, whatever their bus is doing: ways to end, states."""

import os
import pathlib
import subprocess
import sys

import pytest

import symphony_ipc
from conftest import PLUGIN, serve_for_module

pytestmark = pytest.mark.device
held = serve_for_module("held")

HERE = pathlib.Path(__file__).parent
STATUS = {"end": 0, "raise": 1, "exit": 3, "exit-in-run": 3, "exit-in-loop": 3, "_exit": 4,
          "terminated": -15, "interrupted": -2, "atexit": 0, "del": 0, "collected": 0}
STATES = ["idle", "thread", "pending", "served", "serving", "view", "pit"]
if os.geteuid() == 0:
    STATES.append("router")
# These in all states; in these states, all ways.
WIDE = "end", "raise", "collected"
DEEP = "pending", "served"
CELLS = [(way, state) for way in STATUS for state in STATES if way in WIDE or state in DEEP]
# What an interpreter says that came to grief, or a finalizer of ours. Loops that are left
# open end with complaints of their own.
BAD = ("Fatal Python error", "Sanitizer", "Segmentation", "symphony_ipc._symphony")


@pytest.fixture(scope="module")
def ends(held):
    """{(way, state): (status, what it wrote)}, of all."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning",
         str(HERE / "end_of_program.py"), str(PLUGIN), *[f"{way}/{state}" for way, state in CELLS]],
        stdout=subprocess.PIPE, text=True, timeout=600)
    assert done.returncode == 0
    found = {}
    for line in done.stdout.splitlines():
        way, state, status, said = line.split(" ", 3)
        found[way, state] = int(status), eval(said)
    return found


@pytest.mark.parametrize("way,state", CELLS)
def test_the_status_is_the_programs_own(ends, way, state):
    status, said = ends[way, state]
    assert status == STATUS[way], said
    assert not any(bad in said for bad in BAD), said
    assert ("KeyError: 'not caught'" in said) == (way == "raise"), said
    assert ("last words" in said) == (way == "atexit"), said


SUBINTERPRETER = """
import _interpreters, symphony_ipc
script = '''
import asyncio, symphony_ipc
class App: pass
app = App()
app.me = app
bus = app.bus = symphony_ipc.IPCBus(plugins=[{plugin!r}])
loop = asyncio.new_event_loop()
async def main():
    app.call = bus.send_message("pit_echo", {{"method": "never"}})
    app.held = bus["held"].hold()
    assert await bus["held"].say(text="a") == "a"
loop.run_until_complete(main())
'''
for last in "", "del app, bus", "bus.close()":
    interpreter = _interpreters.create("isolated")
    failure = _interpreters.run_string(interpreter, script + last)
    assert failure is None, failure
    _interpreters.destroy(interpreter)
"""


def test_a_subinterpreter_is_destroyed(held):
    script = SUBINTERPRETER.format(plugin=str(PLUGIN))
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "ignore", "-c", script],
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert not any(bad in done.stderr for bad in BAD), done.stderr


# --- objects that are not made as they should be


ARGUMENTS = [(), (None,), ("id",), ("id", {}), (1, 2, 3)]


@pytest.mark.parametrize("base", [symphony_ipc._symphony.Bus, symphony_ipc.IPCBus])
def test_a_subclass_that_does_not_call_init_fails_politely(base):
    class Half(base):
        def __init__(self):
            pass

    for name in dir(Half):
        for arguments in ARGUMENTS:
            half = Half()
            try:
                value = getattr(half, name)
                if callable(value) and name not in ("__init__", "__class__"):
                    value = value(*arguments)
                if hasattr(value, "send") and name.startswith("__a"):
                    value.send(None)
            except (Exception, StopIteration):
                pass
    for method in {"initialize", "serve_pit", "__enter__"} & set(dir(Half)):
        with pytest.raises(RuntimeError, match="super"):
            getattr(Half(), method)()
    for method in ("send_message", "call"):
        with pytest.raises(RuntimeError, match="super"):
            getattr(Half(), method)("id", 1)
    half = Half()
    half.close()
    assert half.closed and half.name is None and half.pit == ()


@pytest.mark.parametrize("name", ["Call", "Request", "Work"])
def test_what_is_not_for_programs_to_make(name):
    cls = getattr(symphony_ipc._symphony, name)
    with pytest.raises(TypeError, match="cannot create"):
        cls()
    with pytest.raises(TypeError):
        cls.__new__(cls)
    with pytest.raises(TypeError):
        type("Sub", (cls,), {})


@pytest.mark.parametrize("value", [-1, 1 << 32, 1 << 40, 1 << 64, 1 << 80, "1", 1.5])
@pytest.mark.parametrize("name", ["pool_size", "threads", "mode"])
def test_numbers_of_a_bus(name, value):
    with pytest.raises((ValueError, TypeError), match=f"{name} is an int"):
        symphony_ipc.IPCBus(**{name: value})


@pytest.mark.parametrize("value", [-1, 1 << 64, 1 << 80, "1", 1.5])
def test_numbers_of_a_call(held, value):
    for name in ("key", "reply_max"):
        with pytest.raises((ValueError, TypeError), match=f"{name} is an int"):
            held.call("held", {"method": "state"}, **{name: value})
        with pytest.raises((ValueError, TypeError), match=f"{name} is an int"):
            held.send_message("held", {"method": "state"}, **{name: value})


@pytest.mark.parametrize("value", [-1, 1 << 32, "1"])
@pytest.mark.parametrize("name", ["pool_size", "grant"])
def test_numbers_of_an_extension(bus_name, name, value):
    with pytest.raises((ValueError, TypeError), match=f"{name} is an? "):
        symphony_ipc.Extension("worker", **{name: value}).run()
