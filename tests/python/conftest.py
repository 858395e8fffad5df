# SPDX-License-Identifier: MIT
"""What the tests share: a bus of their own, and extensions in processes of their own."""

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


@pytest.fixture
def bus_name(monkeypatch):
    name = f"test-{os.getpid()}-{next(_numbers)}"
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

    def start(self, name, *args, ready=None, bus=None):
        """Starts one and waits until the id `ready` is served."""
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", str(HERE / "extensions" / name), *args])
        self.running.append(process)
        deadline = time.monotonic() + 60
        while ready:
            try:
                bus.call(ready, {"method": "describe"}, timeout=30)
                return process
            except symphony_ipc.NoReplica:
                assert process.poll() is None, "the extension ended"
                assert time.monotonic() < deadline, "the extension does not come up"
                time.sleep(0.05)
        return process

    def stop(self):
        for process in self.running:
            if process.poll() is None:
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
            patch.setenv("SYMPHONY_BUS", f"test-{os.getpid()}-{next(_numbers)}")
            with symphony_ipc.IPCBus(pit=False) as bus:
                running.start(name + ".py", ready=name, bus=bus)
                yield bus
        running.stop()

    return fixture
