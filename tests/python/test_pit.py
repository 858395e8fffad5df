# SPDX-License-Identifier: MIT
"""Calls to members of the Pit: at once, later, never; from a loop and without one."""

import asyncio
import contextvars
import os
import signal
import threading
import time

import pytest

import symphony_ipc
from conftest import awaited


def never():
    return {"method": "never"}


def later(ms, value=None):
    return {"method": "later", "params": {"ms": ms, "value": value}}


def test_an_answer_at_once_needs_no_loop(pit):
    call = pit.send_message("pit_echo", {"a": 1})
    assert call.done()
    with pytest.raises(StopIteration) as stop:
        next(call)
    assert stop.value.value == {"a": 1}


def test_a_tuple_is_no_exception_argument(pit):
    async def main():
        return await pit.send_message("pit_echo", (1, 2))

    assert asyncio.run(main()) == [1, 2]


def test_members_are_listed(pit):
    assert pit.pit[-1] == "pit_echo"
    assert "pool_manager" in pit.pit


def test_a_later_answer_is_awaited(pit):
    async def main():
        return await pit.send_message("pit_echo", later(10, {"x": [1]}))

    assert asyncio.run(main()) == {"x": [1]}


def test_a_later_answer_is_waited_for_without_a_loop(pit):
    assert pit.call("pit_echo", later(10, "v")) == "v"


def test_methods_are_attributes(pit):
    async def main():
        assert await pit["pit_echo"].ping() is None
        assert await pit["pit_echo"](timeout=30).later(ms=1, value=3) == 3
        with pytest.raises(TypeError):
            pit["pit_echo"].later(1)

    asyncio.run(main())


def test_a_thousand_are_in_flight(pit):
    async def main():
        calls = [pit.send_message("pit_echo", later(1 + i % 7, i)) for i in range(1000)]
        return await asyncio.gather(*calls)

    assert asyncio.run(main(), debug=False) == list(range(1000))


def test_it_works_wherever_asyncio_takes_an_awaitable(pit):
    async def main():
        message = later(1, "v")
        assert await asyncio.ensure_future(pit.send_message("pit_echo", message)) == "v"
        assert await asyncio.wait_for(pit.send_message("pit_echo", message), 30) == "v"
        assert await asyncio.shield(pit.send_message("pit_echo", message)) == "v"
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.wait_for(pit.send_message("pit_echo", message), None))
        assert task.result() == "v"
        calls = {asyncio.ensure_future(pit.send_message("pit_echo", message)) for _ in range(3)}
        done, pending = await asyncio.wait(calls)
        assert done == calls and not pending
        for next_one in asyncio.as_completed([pit.send_message("pit_echo", message)]):
            assert await next_one == "v"

    asyncio.run(main())


def test_one_call_can_have_many_waiters(pit):
    async def main():
        call = pit.send_message("pit_echo", later(5, "v"))

        async def wait():
            return await asyncio.ensure_future(call)

        return await asyncio.gather(wait(), wait(), wait(), call)

    assert asyncio.run(main()) == ["v"] * 4


def test_a_second_loop_can_follow_a_first(pit):
    for i in range(3):
        assert awaited(pit.send_message("pit_echo", later(1, i))) == i


def test_two_loops_in_two_threads(pit):
    answers = {}

    def run(i):
        async def main():
            return [await pit.send_message("pit_echo", later(1, [i, k])) for k in range(20)]

        answers[i] = asyncio.run(main())

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {i: [[i, k] for k in range(20)] for i in range(2)}


def test_the_task_keeps_its_context(pit):
    variable = contextvars.ContextVar("variable")

    async def one(i):
        variable.set(i)
        await pit.send_message("pit_echo", later(2))
        return variable.get()

    async def main():
        return await asyncio.gather(*[one(i) for i in range(10)])

    assert asyncio.run(main()) == list(range(10))


# --- errors


def test_an_error_reply_is_an_exception(pit):
    message = {"method": "fail", "params": {"code": 42, "why": ["x"]}}
    with pytest.raises(symphony_ipc.ExtensionError, match="failed as asked") as caught:
        pit.call("pit_echo", message)
    assert caught.value.code == 42
    assert caught.value.data == message["params"]
    assert caught.value.extension_id == "pit_echo"
    with pytest.raises(symphony_ipc.ExtensionError):
        awaited(pit.send_message("pit_echo", message))


def test_an_error_with_data_too_deep_is_told_without_them(pit):
    for levels, told in [(511, True), (512, False), (2000, False)]:
        with pytest.raises(symphony_ipc.ExtensionError, match="failed as asked") as caught:
            pit.call("pit_echo", {"method": "fail", "params": {"levels": levels}})
        assert (caught.value.data is not None) == told


def test_a_failure_nobody_looks_at_is_told(pit):
    with pytest.warns(RuntimeWarning, match="never retrieved"):
        pit.send_message("pit_echo", {"method": "fail"})


def test_arguments_are_checked(pit):
    for arguments in [(), ("pit_echo",), (1, {}), ("pit_echo", {}, {})]:
        with pytest.raises(TypeError):
            pit.send_message(*arguments)
    with pytest.raises(TypeError, match="colour"):
        pit.send_message("pit_echo", {}, colour="red")
    with pytest.raises(ValueError):
        pit.call("pit_echo", {}, timeout=float("nan"))


def test_waiting_needs_a_loop(pit):
    call = pit.send_message("pit_echo", never())
    with pytest.raises(RuntimeError, match="running event loop"):
        next(call)
    assert call.cancel()


# --- timeouts and cancellation


def state(pit):
    return pit.call("pit_echo", {"method": "state"})


def wait_for_cancelled(pit, count):
    deadline = time.monotonic() + 30
    while state(pit) != {"owed": 0, "cancelled": count}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_timeout_of_a_blocking_call(pit):
    with pytest.raises(symphony_ipc.Timeout) as caught:
        pit.call("pit_echo", never(), timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    wait_for_cancelled(pit, 1)


def test_timeout_of_an_awaited_call(pit):
    with pytest.raises(TimeoutError):
        awaited(pit.send_message("pit_echo", never(), timeout=0.05))
    wait_for_cancelled(pit, 1)


def test_asyncio_timeout_cancels_the_call(pit):
    async def main():
        async with asyncio.timeout(0.05):
            await pit.send_message("pit_echo", never())

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    wait_for_cancelled(pit, 1)


def test_cancelling_the_task_cancels_the_call(pit):
    async def main():
        outcomes = []

        async def one():
            try:
                outcomes.append(await pit.send_message("pit_echo", never()))
            except asyncio.CancelledError as error:
                outcomes.append(error)
                raise

        task = asyncio.create_task(one())
        await asyncio.sleep(0.01)
        assert task.cancel("reason")
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert len(outcomes) == 1

    asyncio.run(main())
    wait_for_cancelled(pit, 1)


def test_cancelling_a_task_before_it_began_cancels_the_call(pit):
    async def main():
        task = asyncio.ensure_future(pit.send_message("pit_echo", never()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    wait_for_cancelled(pit, 1)


def test_a_coroutine_that_is_closed_cancels_the_call(pit):
    async def one():
        await pit.send_message("pit_echo", never())

    async def main():
        coroutine = one()
        coroutine.send(None)
        coroutine.close()

    asyncio.run(main())
    wait_for_cancelled(pit, 1)


def test_cancelling_what_is_done_is_refused(pit):
    call = pit.send_message("pit_echo", {})
    assert not call.cancel()
    assert call.result() == {}


def test_an_answer_that_races_with_cancel_is_one_outcome(pit):
    async def main():
        calls = [pit.send_message("pit_echo", later(1 + i % 3, i)) for i in range(200)]
        await asyncio.sleep(0.002)
        for call in calls[::2]:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for i, outcome in enumerate(outcomes):
            assert outcome == i or isinstance(outcome, asyncio.CancelledError)
        assert all(outcomes[i] == i for i in range(1, 200, 2))

    asyncio.run(main(), debug=False)


def test_control_c_ends_a_blocking_call(pit):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        pit.call("pit_echo", never())
    wait_for_cancelled(pit, 1)


def test_another_signal_does_not(pit):
    seen = []
    old = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert pit.call("pit_echo", later(300, "v")) == "v"
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert seen == [1]


def test_other_threads_run_during_a_blocking_call(pit):
    turns = 0
    done = threading.Event()

    def count():
        nonlocal turns
        while not done.is_set():
            turns += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    pit.call("pit_echo", later(100))
    done.set()
    thread.join()
    assert turns > 3


# --- opening and closing


def test_closing_fails_what_is_outstanding(pit):
    async def main():
        calls = [asyncio.ensure_future(pit.send_message("pit_echo", never())) for _ in range(3)]
        await asyncio.sleep(0)
        pit.close()
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert [type(outcome) for outcome in outcomes] == [symphony_ipc.Closed] * 3


def test_a_closed_bus_says_so(pit):
    pit.close()
    pit.close()
    assert pit.closed
    with pytest.raises(symphony_ipc.Closed):
        pit.call("pool_manager", {})


def test_initialize_is_implied(bus_name):
    bus = symphony_ipc.IPCBus()
    try:
        assert bus.call("pool_manager", {"method": "describe"})["id"] == "pool_manager"
    finally:
        bus.close()


def test_a_plugin_that_is_not_there_is_named(bus_name):
    with pytest.raises(symphony_ipc.BusError, match="/nowhere.so"):
        symphony_ipc.IPCBus(plugins=["/nowhere.so"]).initialize()


def test_without_the_device_it_says_what_to_do(bus_name):
    with symphony_ipc.IPCBus(device="/dev/symphony-is-not-here") as bus:
        assert bus.call("pool_manager", {"method": "describe"})["id"] == "pool_manager"
        with pytest.raises(symphony_ipc.NotAvailable, match="modprobe symphony") as caught:
            bus.call("elsewhere", {})
    assert caught.value.extension_id == "elsewhere"
    with pytest.raises(symphony_ipc.NotAvailable, match="modprobe symphony"):
        symphony_ipc.IPCBus(pit=False, device="/dev/symphony-is-not-here").initialize()
