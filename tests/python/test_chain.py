# SPDX-License-Identifier: MIT
"""Calls made for calls: they end together, and whoever works on them is told."""

import asyncio
import contextlib
import subprocess
import sys
import time

import pytest

import symphony_ipc
from conftest import Processes, new_bus_name

pytestmark = pytest.mark.device

LINKS = ("outer", "middle", "inner")
LONG = 60


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A bus with outer, which calls middle, which calls inner; steps calls inner."""
    running = Processes()
    noise = tmp_path_factory.mktemp("chain") / "stderr"
    with pytest.MonkeyPatch.context() as patch, open(noise, "w") as stderr:
        patch.setenv("SYMPHONY_BUS", new_bus_name())
        with symphony_ipc.IPCBus(pit=False) as bus:
            for own, *following in [("inner",), ("middle", "inner"), ("outer", "middle")]:
                running.start("link.py", own, *following, stderr=stderr)
            running.start("steps.py", "steps", "inner", stderr=stderr)
            for own in (*LINKS, "steps"):
                running.wait_for(own, bus)
            yield bus
    running.stop()
    # In its debug mode asyncio tells of whatever took its time.
    assert [line for line in noise.read_text().splitlines()
            if not line.startswith("Executing ")] == []


def until(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def tally(bus, link):
    return bus.call(link, {"method": "tally"})


class Tally:
    """What was counted since it was made."""

    def __init__(self, bus):
        self.bus = bus
        self.before = [tally(bus, link) for link in LINKS]

    def of(self, what):
        return [tally(self.bus, link)[what] - before[what]
                for link, before in zip(LINKS, self.before)]


def work(seconds=LONG, **options):
    return {"method": "work", "params": {"seconds": seconds, **options}}


def all_begun(bus, count, since):
    """For awaiting: until each of the links has begun so much work."""

    async def wait():
        while since.of("begun") != [count] * 3:
            await asyncio.sleep(0.02)

    return wait()


class TestEnding:
    def test_a_timeout_cancels_the_handlers_of_all_links(self, chain):
        since = Tally(chain)

        async def main():
            calls = [chain.send_message("outer", work(), timeout=3) for _ in range(5)]
            return await asyncio.gather(*calls, return_exceptions=True)

        outcomes = asyncio.run(main())
        assert [type(outcome) for outcome in outcomes] == [symphony_ipc.Timeout] * 5
        until(lambda: since.of("cancelled") == since.of("begun"))
        assert since.of("begun")[0] == 5
        assert since.of("done") == [0, 0, 0]

    def test_a_call_that_is_given_up_does_too(self, chain):
        since = Tally(chain)

        async def main():
            call = asyncio.ensure_future(chain.send_message("outer", work()))
            await all_begun(chain, 1, since)
            call.cancel()

        asyncio.run(main())
        until(lambda: since.of("cancelled") == [1, 1, 1])
        assert since.of("done") == [0, 0, 0]

    def test_so_does_the_death_of_the_caller(self, chain):
        since = Tally(chain)
        caller = subprocess.Popen(
            [sys.executable, "-c", "import symphony_ipc\n"
             f"symphony_ipc.IPCBus(pit=False).call('outer', {work()!r})"])
        try:
            until(lambda: since.of("begun") == [1, 1, 1])
        finally:
            caller.kill()
            caller.wait()
        until(lambda: since.of("cancelled") == [1, 1, 1])
        assert since.of("done") == [0, 0, 0]

    def test_tasks_of_a_handler_belong_to_it(self, chain):
        since = Tally(chain)
        with pytest.raises(symphony_ipc.Timeout):
            chain.call("outer", {"method": "in_tasks", "params": {"seconds": LONG}}, timeout=3)
        until(lambda: since.of("cancelled") == since.of("begun"))
        assert since.of("begun")[0] == 3

    def test_an_extension_can_call_itself(self, chain):
        assert chain.call("middle", {"method": "again", "params": {"times": 10}}) == 10

    def test_work_that_is_wanted_is_done(self, chain):
        since = Tally(chain)
        assert chain.call("outer", work(0), timeout=LONG)
        assert since.of("done") == [1, 1, 1]
        assert since.of("cancelled") == [0, 0, 0]

    def test_a_detached_call_outlives_what_it_was_made_in(self, chain):
        since = Tally(chain)
        with pytest.raises(symphony_ipc.Timeout):
            chain.call("middle", {"method": "clean_up"}, timeout=2)
        until(lambda: since.of("done")[2] == 1)
        assert tally(chain, "middle")["failed"] == "Timeout"
        assert since.of("begun")[2] == 1

    def test_what_a_handler_raises_then_interests_nobody(self, chain):
        since = Tally(chain)
        with pytest.raises(symphony_ipc.Timeout):
            chain.call("inner", {"method": "stubborn", "params": {"seconds": LONG}}, timeout=1)
        until(lambda: since.of("cancelled")[2] == 1)

    def test_a_plain_function_can_ask(self, chain):
        before = tally(chain, "steps")["given_up"]
        # It may answer before the kernel looks at the clock.
        with contextlib.suppress(symphony_ipc.Timeout):
            chain.call("steps", {"method": "until_given_up"}, timeout=1)

        async def main():
            call = asyncio.ensure_future(
                chain.send_message("steps", {"method": "until_given_up"}))
            await asyncio.sleep(0.5)
            call.cancel()

        asyncio.run(main())
        assert tally(chain, "steps")["given_up"] == before + 2

    def test_a_plain_functions_call_ends_too(self, chain):
        since = Tally(chain)
        with pytest.raises(symphony_ipc.Timeout):
            chain.call("steps", work(), timeout=3)
        assert tally(chain, "steps")["failed"][-1] == "Timeout"
        until(lambda: since.of("cancelled")[2] == 1)


class TestDeadline:
    def of(self, bus, link, method="deadline", ours=LONG, **params):
        """The last link's deadline, and ours, both by the same clock."""
        end = time.monotonic() + ours
        return bus.call(link, {"method": method, "params": params}, timeout=ours), end

    @pytest.mark.parametrize("link", ["outer", "steps"])
    def test_the_clients_counts_when_it_is_earlier(self, chain, link):
        theirs, ours = self.of(chain, link, ours=LONG / 2, timeout=LONG)
        assert abs(theirs - ours) < 2

    @pytest.mark.parametrize("link", ["middle", "steps"])
    def test_the_links_counts_when_it_is_earlier(self, chain, link):
        theirs, ours = self.of(chain, link, timeout=LONG / 2)
        assert LONG / 4 < ours - theirs

    @pytest.mark.parametrize("link", ["middle", "steps"])
    def test_a_detached_call_has_none(self, chain, link):
        assert self.of(chain, link, detached=True)[0] is None

    def test_a_call_through_another_connection_has_none(self, chain):
        assert self.of(chain, "middle", "deadline_elsewhere")[0] is None

    def test_a_call_outside_of_the_handlers_has_none(self, chain):
        assert self.of(chain, "middle", "deadline_afterwards")[0] is None

    def test_a_thread_has_one_if_it_runs_in_the_context(self, chain):
        (inside, outside), ours = self.of(chain, "steps", "deadline_in_thread")
        assert abs(inside - ours) < 2
        assert outside is None

    def test_what_a_plain_function_awaits_is_detached(self, chain):
        assert self.of(chain, "steps", "deadline_awaited")[0] is None


def test_no_request_is_cancelled_here():
    assert symphony_ipc.cancelled() is False
