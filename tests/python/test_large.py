# SPDX-License-Identifier: MIT
"""A GiB in bodies of a MiB, from Python to Python: copied once, by the kernel alone."""

import json
import resource
import subprocess

import pytest

from address import mapping_of

MIB = 1 << 20

pytestmark = pytest.mark.device


def copied(bus_name):
    """The bytes that the kernel copied for the service, to it and from it."""
    done = subprocess.run(["symphony", "--json", "--bus", bus_name, "stat", "large"],
                          capture_output=True, text=True, check=True, timeout=100)
    stat = json.loads(done.stdout)
    return stat["request_bytes"], stat["answer_bytes"]


def most_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_gib_of_requests(processes, bus, bus_name):
    processes.start("large.py", ready="large", bus=bus)
    body = bytearray(MIB)
    body[::4096] = bytes(range(256))
    for number in range(10):
        bus.call("large", body)
    before, theirs = copied(bus_name), bus.call("large", "memory")
    for number in range(1024):
        body[1] = number & 255
        said = bus.call("large", body)
        assert (said["sum"], said["len"]) == (sum(range(256)), MIB)
        # It does not look there each time.
        assert said["where"] is None or "/dev/symphony" in said["where"]
    requests = copied(bus_name)[0] - before[0]
    assert requests == 1024 * MIB + len('"memory"')
    assert bus.call("large", "memory") - theirs < 2048


def test_answers(processes, bus, bus_name):
    processes.start("large.py", ready="large", bus=bus)
    body = bytearray(MIB)
    body[0] = 1
    for number in range(74):
        if number == 10:
            before, ours = copied(bus_name), most_memory()
        body[-1] = number
        with bus.call("large", body) as answer:
            assert answer[-1] == number and len(answer) == MIB
            # An answer of this size does not go through the pool.
            assert "symphony-body" in mapping_of(answer)
    requests, answers = (now - then for now, then in zip(copied(bus_name), before))
    assert requests == 64 * MIB
    assert answers == 64 * 8
    assert most_memory() - ours < 2048
