# SPDX-License-Identifier: MIT
"""What the tests share: a bus of their own, and extensions in processes of their own."""

import asyncio
import itertools
import os
import pathlib
import subprocess
import sys
import time

import pytest

import symphony_ipc

HERE = pathlib.Path(__file__).parent
PLUGIN = pathlib.Path(symphony_ipc.__file__).parents[2] / "tests/python/echo.so"
HAVE_DEVICE = os.path.exists("/dev/symphony")

_numbers = itertools.count()


def pytest_configure(config):
    config.addinivalue_line("markers", "device: needs /dev/symphony")


def pytest_collection_modifyitems(items):
    if HAVE_DEVICE:
        return
    for item in items:
        if item.get_closest_marker("device"):
            item.add_marker(pytest.mark.skip(reason="no /dev/symphony"))


def awaited(call):
    """The answer, of an event loop of its own."""

    async def main():
        return await call

    return asyncio.run(main())


def new_bus_name():
    return f"test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def bus_name(monkeypatch):
    name = new_bus_name()
    monkeypatch.setenv("SYMPHONY_BUS", name)
    return name


@pytest.fixture
def pit(bus_name):
    """A bus with the Pit and the member pit_echo."""
    with symphony_ipc.IPCBus(plugins=[str(PLUGIN)]) as bus:
        yield bus


class Processes:
    """Extensions from tests/python/extensions, each in its process."""

    def __init__(self):
        self.running = []

    def start(self, name, *args, ready=None, bus=None, **options):
        """Starts one and waits until the id `ready` is served."""
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", str(HERE / "extensions" / name), *args], **options)
        self.running.append(process)
        if ready:
            self.wait_for(ready, bus)
        return process

    def wait_for(self, extension_id, bus):
        """Until it is served; the process that was started last has to live."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return bus.call(extension_id, {"method": "describe"}, timeout=30)
            except symphony_ipc.NoReplica:
                assert self.running[-1].poll() is None, "the extension ended"
                assert time.monotonic() < deadline, "the extension does not come up"
                time.sleep(0.05)

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def processes():
    running = Processes()
    yield running
    running.stop()


@pytest.fixture
def bus(bus_name):
    """A bus without a Pit, for calls through the device."""
    with symphony_ipc.IPCBus(pit=False) as bus:
        yield bus


def serve_for_module(name):
    """A fixture: a bus on which tests/python/extensions/`name`.py is served.

    To start a process takes seconds where a guest is emulated, so tests that
    do it no harm share one.
    """

    @pytest.fixture(scope="module")
    def fixture():
        running = Processes()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SYMPHONY_BUS", new_bus_name())
            with symphony_ipc.IPCBus(pit=False) as bus:
                running.start(name + ".py", ready=name, bus=bus)
                yield bus
        running.stop()

    return fixture
