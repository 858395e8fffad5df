# SPDX-License-Identifier: MIT
"""Calls to extensions in other processes, from a loop and without one."""

import asyncio
import errno
import os
import pickle
import signal
import threading
import time

import pytest

import symphony_ipc
from conftest import awaited, serve_for_module

pytestmark = pytest.mark.device
shared_plain = serve_for_module("plain")
shared_mixed = serve_for_module("mixed")


def say(text, **more):
    return {"method": "say", "params": {"text": text, **more}}


def nap(seconds):
    return {"method": "nap", "params": {"seconds": seconds}}


@pytest.fixture
def plain(processes, bus):
    return processes.start("plain.py", ready="plain", bus=bus)


def test_blocking(shared_plain):
    bus = shared_plain
    assert bus.call("plain", say("a", times=3)) == "aaa"


def test_awaited(shared_plain):
    bus = shared_plain
    async def main():
        assert await bus.send_message("plain", say("a")) == "a"
        assert await bus["plain"].say(text="b", times=2) == "bb"
        return [await bus.send_message("plain", i) for i in range(20)]

    assert asyncio.run(main()) == list(range(20))


def test_sent_before_there_is_a_loop(shared_plain):
    bus = shared_plain
    for i in range(3):
        assert awaited(bus.send_message("plain", i)) == i


def test_a_thousand_are_in_flight(shared_plain):
    bus = shared_plain

    async def main():
        calls = [bus.send_message("plain", {"n": i}) for i in range(1000)]
        return await asyncio.gather(*calls)

    # asyncio's debug mode looks at every source file for every callback.
    assert asyncio.run(main(), debug=False) == [{"n": i} for i in range(1000)]


def test_a_thousand_tasks_are_in_flight(shared_plain):
    bus = shared_plain

    async def one(i):
        return await bus["plain"].say(text=str(i))

    async def main():
        return await asyncio.gather(*[one(i) for i in range(1000)])

    assert asyncio.run(main(), debug=False) == [str(i) for i in range(1000)]


def test_large_answers(shared_plain):
    bus = shared_plain
    text = "x" * 200_000
    assert bus.call("plain", say(text), reply_max=300_000) == text
    assert awaited(bus.send_message("plain", say(text), reply_max=300_000)) == text


def test_messages_larger_than_a_pool(shared_plain):
    bus = shared_plain
    text = "x" * (1 << 22)
    assert bus.call("plain", say(text)) == text
    assert awaited(bus.send_message("plain", say(text))) == text


def test_the_pit_serves_other_processes_while_python_waits(shared_mixed):
    with symphony_ipc.IPCBus(shared_mixed.name) as conductor:
        conductor.serve_pit()
        assert conductor.serving
        message = {"extension_id": "pool_manager", "message": {"method": "describe"}}
        answer = conductor.call("mixed", {"method": "ask", "params": message})
        assert answer["id"] == "pool_manager"


def test_the_caller_is_the_kernels_word(shared_plain):
    bus = shared_plain
    who = bus.call("plain", {"method": "who"}, key=77, timeout=60)
    assert who["pid"] == os.getpid()
    assert who["uid"] == os.getuid()
    assert who["sender"] == bus.endpoint
    assert who["extension_id"] == "plain"
    assert who["key"] == 77
    assert 0 < who["deadline"] - time.monotonic() < 60


# --- failures


def test_an_id_nobody_ever_served(bus):
    with pytest.raises(symphony_ipc.UnknownExtension) as caught:
        bus.call("nobody", {})
    assert caught.value.extension_id == "nobody"
    with pytest.raises(symphony_ipc.UnknownExtension):
        awaited(bus.send_message("nobody", {}))


def test_no_replica_any_more(plain, bus):
    plain.kill()
    plain.wait()
    with pytest.raises(symphony_ipc.NoReplica):
        bus.call("plain", {})


def test_death_is_an_outcome(plain, bus):
    with pytest.raises(symphony_ipc.Dead) as caught:
        bus.call("plain", {"method": "die"})
    assert caught.value.extension_id == "plain"
    assert caught.value.call_id


def test_death_is_an_outcome_of_each_of_a_hundred(plain, bus):
    async def main():
        first = asyncio.ensure_future(bus.send_message("plain", nap(30)))
        await asyncio.sleep(0.1)
        calls = [first] + [bus.send_message("plain", i) for i in range(99)]
        gathered = asyncio.gather(*calls, return_exceptions=True)
        # They are made by the end of this turn.
        await asyncio.sleep(0)
        plain.kill()
        return await gathered

    outcomes = asyncio.run(main(), debug=False)
    assert [type(outcome) for outcome in outcomes] == [symphony_ipc.Dead] * 100


def test_a_call_that_nobody_received_says_so(shared_plain):
    with pytest.raises(symphony_ipc.UnknownExtension) as caught:
        shared_plain.call("nobody", {})
    assert caught.value.retry_safe
    late = symphony_ipc.errors.from_errno(errno.ETIME, "", "x", 1, 0, None, 0, 0, True)
    assert isinstance(late, symphony_ipc.Timeout) and late.retry_safe
    gone = symphony_ipc.errors.from_errno(errno.ECONNABORTED, "", "x", 1, 0, None, 0, 0, True)
    assert isinstance(gone, symphony_ipc.Dead) and gone.retry_safe
    assert pickle.loads(pickle.dumps(gone)).retry_safe


def test_timeouts(shared_plain):
    bus = shared_plain
    with pytest.raises(symphony_ipc.Timeout) as caught:
        bus.call("plain", nap(1), timeout=0.1)
    assert isinstance(caught.value, TimeoutError)
    assert not caught.value.retry_safe and "may still do the work" in str(caught.value)
    with pytest.raises(symphony_ipc.Timeout):
        awaited(bus.send_message("plain", nap(1), timeout=0.1))


def test_cancelling_the_task_cancels_the_call(shared_plain):
    bus = shared_plain
    async def main():
        task = asyncio.ensure_future(bus.send_message("plain", nap(1)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await bus.send_message("plain", nap(1))
        # What comes of them later disturbs nobody.
        return await bus.send_message("plain", say("after"))

    assert asyncio.run(main()) == "after"


def test_control_c_ends_a_blocking_call(plain, bus):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bus.call("plain", nap(20))
    assert time.monotonic() - started < 15


def test_other_threads_run_during_a_blocking_call(shared_plain):
    bus = shared_plain
    turns = []
    thread = threading.Thread(target=lambda: turns.append(bus.call("plain", say("x"))))
    timer = threading.Timer(0.1, thread.start)
    timer.start()
    bus.call("plain", nap(0.5))
    timer.join()
    thread.join(30)
    assert turns == ["x"]


def test_closing_fails_what_is_outstanding(plain, bus):
    async def main():
        calls = [asyncio.ensure_future(bus.send_message("plain", nap(1))) for _ in range(3)]
        await asyncio.sleep(0.05)
        bus.close()
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert [type(outcome) for outcome in outcomes] == [symphony_ipc.Closed] * 3


@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_cannot_use_the_bus(shared_plain):
    bus = shared_plain
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            bus.call("plain", {})
        except symphony_ipc.NotPermitted:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert bus.call("plain", 1) == 1
