# SPDX-License-Identifier: MIT
"""Replicas that die, are replaced or pause, under load, and what callers see of it."""

import asyncio
import collections
import contextlib
import time

import pytest

import symphony_ipc

pytestmark = pytest.mark.device

KINDS = ["plain", "async"]
LONG = 60


def work(seconds=0):
    return {"method": "work", "params": {"seconds": seconds}}


@pytest.fixture
def replicas(processes, bus):
    def start(kind, version=1, **options):
        return processes.start("replica.py", kind, "worker", str(version),
                               *[f"{name}={value}" for name, value in options.items()])

    start.wait = lambda: processes.wait_for("worker", bus)
    return start


class Load:
    """Clients that call all the time; every outcome is kept."""

    def __init__(self, bus, clients=4, **options):
        self.bus = bus
        self.clients = clients
        self.options = options
        self.answers = []
        self.failures = []

    async def client(self):
        while not self.over:
            try:
                answer = await self.bus.send_message("worker", work(0.001), timeout=LONG,
                                                     **self.options)
                self.answers.append(answer)
            except symphony_ipc.BusError as error:
                self.failures.append(error)

    async def until(self, condition):
        end = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < end
            await asyncio.sleep(0.02)

    async def until_answered_by(self, version):
        await self.until(lambda: self.answers and self.answers[-1]["version"] == version)

    @contextlib.asynccontextmanager
    async def running(self):
        self.over = False
        async with asyncio.TaskGroup() as group:
            for _ in range(self.clients):
                group.create_task(self.client())
            try:
                yield self
            finally:
                self.over = True


@pytest.mark.parametrize("old,new", [("plain", "async"), ("async", "plain")])
def test_a_new_version_takes_over_under_load_and_no_call_fails(bus, replicas, old, new):
    first = replicas(old, 1)
    replicas.wait()

    async def main():
        async with Load(bus).running() as load:
            await load.until_answered_by("1")
            second = replicas(new, 2, takeover="true")
            await load.until_answered_by("2")
            await load.until(lambda: first.poll() is not None)
            third = replicas(new, 3, takeover="true")
            await load.until_answered_by("3")
            await load.until(lambda: second.poll() is not None)
        assert (first.returncode, second.returncode, third.poll()) == (0, 0, None)
        return load

    load = asyncio.run(main(), debug=False)
    assert load.failures == []
    versions = [answer["version"] for answer in load.answers]
    assert set(versions) == {"1", "2", "3"}
    assert bus.call("worker", work())["version"] == "3"


@pytest.mark.parametrize("kind", KINDS)
def test_killed_replicas_lose_no_idempotent_call(bus, replicas, kind):
    running = collections.deque(replicas(kind, recovery='"reissue"') for _ in range(3))
    replicas.wait()

    async def main():
        async with Load(bus, 8, idempotent=True).running() as load:
            killed = set()
            for _ in range(3):
                # One of them may have answered a call the moment before it was killed.
                await load.until(
                    lambda: len({a["pid"] for a in load.answers[-20:]} - killed) >= 2)
                killed.add(running[0].pid)
                running.popleft().kill()
                running.append(replicas(kind, recovery='"reissue"'))
                count = len(load.answers)
                await load.until(lambda: len(load.answers) > count + 20)
        return load

    load = asyncio.run(main(), debug=False)
    assert load.failures == []
    assert len(load.answers) > 60


def test_a_call_that_may_not_be_done_twice_dies_with_its_replica(bus, replicas):
    replica = replicas("async", recovery='"reissue"')
    replicas.wait()

    async def main():
        call = asyncio.ensure_future(bus.send_message("worker", work(LONG)))
        again = asyncio.ensure_future(bus.send_message("worker", work(0), idempotent=True))
        assert (await again)["pid"] == replica.pid
        replica.kill()
        await call

    with pytest.raises(symphony_ipc.Dead):
        asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_replica_that_ends_answers_what_is_queued(bus, replicas, kind):
    replica = replicas(kind)
    replicas.wait()

    async def main():
        calls = [asyncio.ensure_future(bus.send_message("worker", work(0.2)))
                 for _ in range(10)]
        await calls[0]
        replica.terminate()
        return await asyncio.gather(*calls)

    assert [answer["pid"] for answer in asyncio.run(main())] == [replica.pid] * 10
    assert replica.wait(LONG) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_drained_replica_gets_no_requests_until_it_resumes(bus, replicas, kind):
    replicas(kind)
    replicas.wait()
    bus.call("worker", {"method": "resume_soon", "params": {"seconds": 2}})
    with pytest.raises(symphony_ipc.NoReplica):
        bus.call("worker", work())
    replicas.wait()
    bus.call("worker", {"method": "drain"})
    with pytest.raises(symphony_ipc.NoReplica):
        bus.call("worker", work())
    other = replicas(kind)
    replicas.wait()
    assert {bus.call("worker", work())["pid"] for _ in range(10)} == {other.pid}


def test_options_that_are_none():
    with pytest.raises(ValueError, match="recovery"):
        symphony_ipc.Extension("worker", recovery="never").run()
    with pytest.raises(TypeError, match="replicas"):
        symphony_ipc.Extension("worker").run(replicas=2)
