# SPDX-License-Identifier: MIT
"""The command-line tool, run; and what the tests of tests/python share."""

import fcntl
import importlib.util
import json
import os
import pathlib
import pty
import struct
import subprocess
import termios

import pytest

_path = pathlib.Path(__file__).parents[1] / "python/conftest.py"
_spec = importlib.util.spec_from_file_location("symphony_python_conftest", _path)
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)

pytest_configure = shared.pytest_configure
pytest_collection_modifyitems = shared.pytest_collection_modifyitems
bus_name, bus, processes = shared.bus_name, shared.bus, shared.processes

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


class Cli:
    """Runs symphony(1)."""

    def __call__(self, *args, status=0, user=(), **options):
        done = subprocess.run([*user, "symphony", *args], capture_output=True, text=True,
                              timeout=100, **options)
        assert done.returncode == status, (args, done)
        assert (status == 0) or done.stderr or "doctor" in args
        return done

    def json(self, *args, **options):
        return json.loads(self("--json", *args, **options).stdout)

    def start(self, *args, **options):
        return subprocess.Popen(["symphony", *args], stdout=subprocess.PIPE, text=True, **options)

    def on_terminal(self, columns, *args, rows=24, status=0):
        """What it prints on a terminal so wide."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen(["symphony", *args], stdin=theirs, stdout=theirs,
                                   env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        text = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:
                break
            if not read:
                break
            text += read
        os.close(ours)
        assert process.wait(100) == status
        return text.decode().replace("\r\n", "\n")


@pytest.fixture(scope="session")
def cli():
    return Cli()


@pytest.fixture(scope="module")
def served():
    """A bus with two replicas of "worker" and one of an id that is as long as can be."""
    running = shared.Processes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMPHONY_BUS", shared.new_bus_name())
        with shared.symphony_ipc.IPCBus(pit=False) as bus:
            bus.long = "long." + "x" * 58
            running.start("replica.py", "plain", bus.long, "1", ready=bus.long, bus=bus)
            for version in "12":
                running.start("replica.py", "plain", "worker", version, ready="worker", bus=bus)
                while bus.call("worker", {"method": "work"}, timeout=30)["version"] != version:
                    pass
            yield bus
    running.stop()
