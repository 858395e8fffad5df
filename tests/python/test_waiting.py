# SPDX-License-Identifier: MIT
"""Many calls with a timeout to an extension that is stopped: each has one outcome."""

import asyncio
import collections
import os
import signal

import pytest

import symphony_ipc

pytestmark = pytest.mark.device

CALLS = int(os.environ.get("SYMPHONY_WAITING", 2000))


def test_every_call_to_a_stopped_extension_has_one_outcome(processes, bus):
    plain = processes.start("plain.py", ready="plain", bus=bus)

    async def main():
        # Slots that are used again.
        await asyncio.gather(*[bus.send_message("plain", {}) for _ in range(200)],
                             return_exceptions=True)
        plain.send_signal(signal.SIGSTOP)
        calls = [bus.send_message("plain", {}, timeout=5) for _ in range(CALLS)]
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(main(), debug=False)
    plain.send_signal(signal.SIGCONT)
    kinds = collections.Counter(type(outcome) for outcome in outcomes)
    assert sum(kinds.values()) == CALLS
    assert set(kinds) <= {symphony_ipc.Timeout, symphony_ipc.Busy}
    assert kinds[symphony_ipc.Timeout]
    for outcome in outcomes:
        assert outcome.retry_safe or not isinstance(outcome, symphony_ipc.Busy)
