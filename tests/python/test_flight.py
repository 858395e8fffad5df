# SPDX-License-Identifier: MIT
"""Thousands of calls from one event loop, and an extension that answers them there."""

import asyncio
import contextvars
import gc
import os
import sys
import threading
import time

import pytest

import symphony_ipc
from conftest import awaited, serve_for_module
from miniloop import MiniLoop
from symphony_ipc import _symphony

pytestmark = pytest.mark.device
flight = serve_for_module("flight")


def echo(number):
    return {"method": "echo", "params": {"n": number}}


def nap(seconds):
    return {"method": "nap", "params": {"seconds": seconds}}


def run(main):
    # asyncio's debug mode looks at every source file for every callback.
    return asyncio.run(main, debug=False)


def threads():
    return len(os.listdir("/proc/self/task"))


def charged(bus):
    """The calls that the user is charged for: each endpoint counts them in lots of 32."""
    return bus.limits()["user_calls"]["used"]


def settled(bus):
    """No call is left, but for a lot of each of the user's endpoints, of which there are
    up to five."""
    return charged(bus) <= 5 * 32


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


# --- calling


def test_ten_thousand_are_in_flight_without_a_thread(flight):
    async def main():
        before = threads()
        calls = [flight.send_message("flight", echo(i)) for i in range(10000)]
        assert not any(call.done() for call in calls)
        assert threads() == before
        return await asyncio.gather(*calls)

    assert run(main()) == [{"n": i} for i in range(10000)]
    assert settled(flight)


def test_any_loop_with_readers_will_do(flight):
    loop = MiniLoop()

    async def main():
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*[flight.send_message("flight", echo(i))
                                             for i in range(1000)])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await flight.send_message("flight", nap(30))
        task = asyncio.ensure_future(flight.send_message("flight", nap(30)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return answers

    assert loop.run_until_complete(main()) == [{"n": i} for i in range(1000)]
    assert list(loop.readers) and len(loop.readers) == 1
    assert not loop.told
    loop.close()


def test_many_outcomes_are_fetched_at_a_time(flight):
    loop = MiniLoop()

    async def main():
        calls = [flight.send_message("flight", echo(i)) for i in range(500)]
        calls[0].add_done_callback(lambda call: None)
        # All are there by now: nothing was fetched meanwhile.
        time.sleep(2)
        before = loop.readable
        await asyncio.gather(*calls)
        return loop.readable - before

    # Not all found room: those that waited here were sent after the first ones came.
    assert loop.run_until_complete(main()) < 100
    loop.close()


def test_what_is_sent_in_one_turn_goes_out_with_it(flight):
    async def main():
        at_once = [flight.send_message("flight", nap(0.5)) for _ in range(100)]
        # Before another kind of call, and before the connection closes, too.
        assert flight.call("flight", {"method": "state"})["working"] == 100
        assert await asyncio.gather(*at_once) == [0.5] * 100
        # One of them cannot be made, and the others are.
        mixed = [flight.send_message("flight", echo(n), reply_max=1 << 30 if n == 50 else 0)
                 for n in range(100)]
        outcomes = await asyncio.gather(*mixed, return_exceptions=True)
        assert isinstance(outcomes.pop(50), symphony_ipc.BusError)
        assert outcomes == [{"n": n} for n in range(100) if n != 50]

    run(main())


def test_a_loop_that_ends_holds_nothing_back(flight):
    loop = asyncio.new_event_loop()

    async def leave():
        calls.extend(flight.send_message("flight", echo(n)) for n in range(30))
        asyncio.get_running_loop().stop()

    calls = []
    loop.create_task(leave())
    loop.run_forever()
    loop.close()

    async def main():
        async with asyncio.timeout(30):
            return await flight.send_message("flight", echo(30))

    assert run(main()) == {"n": 30}


def test_loops_of_two_threads_do_not_wait_for_each_other(flight):
    done = threading.Event()

    def other():
        async def main():
            async with asyncio.timeout(30):
                assert await flight.send_message("flight", echo(1)) == {"n": 1}
            done.set()

        asyncio.run(main(), debug=False)

    async def main():
        calls = [flight.send_message("flight", echo(n)) for n in range(30)]
        thread = threading.Thread(target=other)
        thread.start()
        # This turn does not end before the other loop had its answer.
        assert done.wait(30)
        assert await asyncio.gather(*calls) == [{"n": n} for n in range(30)]
        thread.join()

    run(main())


def test_what_is_given_up_in_the_same_turn_is_not_made(flight):
    async def main():
        calls = [flight.send_message("flight", nap(0.2)) for _ in range(100)]
        for call in calls[20:]:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert outcomes[:20] == [0.2] * 20
        assert {type(outcome) for outcome in outcomes[20:]} == {asyncio.CancelledError}
        assert flight.call("flight", {"method": "state"})["working"] == 0

    run(main())


def test_what_is_given_up_ends_in_the_kernel_too(flight):
    async def main():
        calls = charged(flight)
        before = flight.call("flight", {"method": "state"})["cancelled"]
        tasks = [asyncio.ensure_future(flight.send_message("flight", nap(60))) for _ in range(100)]
        async with asyncio.timeout(30):
            while flight.call("flight", {"method": "state"})["working"] < 100:
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        await until(lambda: flight.call("flight", {"method": "state"})
                    == {"working": 0, "cancelled": before + 100})
        # Their outcomes were fetched, and went to nobody.
        await until(lambda: charged(flight) <= calls + 64)

    run(main())


def test_nothing_is_left_of_what_was_given_up(flight):
    async def main():
        async def batch():
            tasks = [asyncio.ensure_future(flight.send_message("flight", nap(60)))
                     for _ in range(20)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await flight.send_message("flight", nap(60))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: settled(flight))
            gc.collect()

        for _ in range(5):
            await batch()
        before = sys.getallocatedblocks()
        for _ in range(5):
            await batch()
        return sys.getallocatedblocks() - before

    assert run(main()) < 60


def test_an_outcome_has_its_waiters_context(flight):
    variable = contextvars.ContextVar("variable")

    async def one(number):
        variable.set(number)
        await flight.send_message("flight", echo(number))
        return variable.get() == number and asyncio.current_task().get_name() == str(number)

    async def main():
        tasks = [asyncio.create_task(one(i), name=str(i)) for i in range(100)]
        return await asyncio.gather(*tasks)

    assert all(run(main()))


class TestFull:
    """Where there is no room a call waits for its turn."""

    @pytest.fixture
    def narrow(self, flight):
        with symphony_ipc.IPCBus(flight.name, pit=False, pool_size=1 << 16) as bus:
            yield bus

    def test_own_pool(self, narrow):
        async def main():
            return await asyncio.gather(*[narrow.send_message("flight", echo(i), reply_max=8192)
                                          for i in range(500)])

        assert run(main()) == [{"n": i} for i in range(500)]

    def test_the_servers(self, flight):
        text = "x" * 20000

        async def main():
            return await asyncio.gather(*[flight.send_message("flight", [i, text])
                                          for i in range(300)], return_exceptions=True)

        assert {type(answer) for answer in run(main())} <= {list, symphony_ipc.TooLarge}

    def test_it_waits_no_longer_than_its_timeout(self, narrow):
        async def main():
            filling = [narrow.send_message("flight", nap(2), reply_max=8192) for _ in range(20)]
            begun = time.monotonic()
            with pytest.raises(symphony_ipc.Timeout):
                await narrow.send_message("flight", echo(1), reply_max=8192, timeout=0.3)
            assert time.monotonic() - begun < 1.9
            await asyncio.gather(*filling)
            return await narrow.send_message("flight", echo(2), timeout=30)

        assert run(main()) == {"n": 2}

    def test_the_loop_goes_on_and_does_not_spin(self, narrow):
        loop = MiniLoop()

        async def main():
            calls = [narrow.send_message("flight", nap(2), reply_max=8192) for _ in range(20)]
            calls[0].add_done_callback(lambda call: None)
            await asyncio.sleep(0.2)
            turns, begun = loop.turns, time.monotonic()
            await asyncio.sleep(1)
            assert time.monotonic() - begun < 1.7
            # Every 10 ms it is looked whether there is room.
            assert loop.turns - turns < 250
            for call in calls:
                call.close()
            await until(lambda: settled(narrow))

        loop.run_until_complete(main())
        loop.close()

    def test_one_that_waits_can_be_given_up(self, narrow):
        async def main():
            filling = [narrow.send_message("flight", nap(0.5), reply_max=8192) for _ in range(20)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await narrow.send_message("flight", echo(1), reply_max=8192)
            await asyncio.gather(*filling)

        run(main())


# --- bodies


class TestBodies:
    SIZE = 200_000

    def test_a_large_answer_is_a_view(self, flight):
        answer = flight.call("flight", b"a" * self.SIZE, reply_max=self.SIZE)
        assert isinstance(answer, memoryview) and answer.readonly
        assert answer == b"a" * self.SIZE
        answer.release()
        answer = awaited(flight.send_message("flight", b"b" * self.SIZE, reply_max=self.SIZE))
        assert isinstance(answer, memoryview) and answer[1:3] == b"bb"
        assert flight.call("flight", b"c" * 100) == b"c" * 100

    def test_its_room_is_there_again_when_it_is_released(self, flight):
        with symphony_ipc.IPCBus(flight.name, pit=False, pool_size=1 << 20) as bus:
            def ask():
                return bus.call("flight", b"x" * self.SIZE)

            for _ in range(20):
                with ask() as answer:
                    assert len(answer) == self.SIZE
            held = [ask()]
            # Those for which the pool has no room come in files.
            held += [ask() for _ in range(10)]
            assert {len(answer) for answer in held} == {self.SIZE}
            part = held[0][:10]
            held.clear()
            assert part == b"x" * 10
            del part
            assert ask() == b"x" * self.SIZE

    def test_it_outlives_the_bus(self, flight):
        with symphony_ipc.IPCBus(flight.name, pit=False) as bus:
            answer = bus.call("flight", b"x" * self.SIZE, reply_max=self.SIZE)
        del bus
        assert answer == b"x" * self.SIZE

    def test_nothing_is_left_of_it(self, flight):
        def ask():
            return len(flight.call("flight", b"x" * self.SIZE, reply_max=self.SIZE))

        for _ in range(50):
            ask()
        before = sys.getallocatedblocks()
        for _ in range(50):
            ask()
        assert sys.getallocatedblocks() - before < 20


# --- serving


@pytest.fixture
def server(bus):
    """make(methods): a server in this process, with its failures."""
    made = []

    def make(**methods):
        failures = []
        server = _symphony.Server("worker", methods, None, lambda error: failures.append(error) or True)
        made.append(server)
        return server, failures

    yield make
    for server in made:
        server.close()


async def process(server, ended=None):
    return server.process(asyncio.get_running_loop(), [] if ended is None else ended)


def ask(bus, **params):
    return bus.send_message("worker", {"method": "work", "params": params}, timeout=60)


def test_many_requests_are_taken_and_answered_at_a_time(bus, server):
    async def work(n):
        return n

    worker, failures = server(work=work)

    async def main():
        calls = [ask(bus, n=i) for i in range(50)]
        await asyncio.sleep(0)
        taken = await process(worker)
        # None of them had to wait, so no task is left.
        assert worker.tasks() == []
        assert await asyncio.gather(*calls) == list(range(50))
        return taken

    assert run(main()) == 50
    assert not failures


def test_a_handler_that_waits_has_a_task_and_a_context(bus, server):
    variable = contextvars.ContextVar("variable", default=None)
    seen = []

    async def work(n):
        async with asyncio.timeout(60):
            seen.append((variable.get(), asyncio.current_task() in asyncio.all_tasks()))
            variable.set(n)
            await asyncio.sleep(0)
            assert variable.get() == n
            return symphony_ipc.current_request().sender

    worker, failures = server(work=work)

    async def main():
        calls = [ask(bus, n=i) for i in range(20)]
        await asyncio.sleep(0)
        assert await process(worker) == 20
        tasks = worker.tasks()
        assert len(tasks) == 20 and "work" in repr(tasks[0]) and tasks[0].get_stack()
        answers = await asyncio.gather(*calls)
        assert worker.tasks() == [] and all(task.done() for task in tasks)
        assert variable.get() is None and symphony_ipc.current_request() is None
        return answers

    assert run(main()) == [bus.endpoint] * 20
    assert seen == [(None, True)] * 20 and not failures


def test_failures_of_async_handlers(bus, server):
    async def work(kind):
        if kind == "later":
            await asyncio.sleep(0)
        if kind == "cancelled":
            raise asyncio.CancelledError
        if kind == "bad":
            return object()
        raise symphony_ipc.ExtensionError(kind, 5, [1])

    worker, failures = server(work=work)

    async def main():
        calls = [ask(bus, kind=kind) for kind in ("now", "later", "cancelled", "bad")]
        calls.append(ask(bus, absent=1))
        await process(worker)
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = run(main())
    assert [answer.code for answer in answers] == [5, 5, -32603, -32603, -32602]
    assert answers[1].data == [1]
    # Nobody cancelled that one: it is a failure, too.
    assert [type(failure) for failure in failures].count(asyncio.CancelledError) == 1
    assert len(failures) == 4


def test_a_handler_that_ends_the_program(bus, server):
    async def work():
        raise SystemExit(3)

    worker, _ = server(work=work)

    async def main():
        ask(bus)
        with pytest.raises(SystemExit):
            await process(worker)

    run(main())


def test_tasks_come_from_the_loops_factory(bus, server):
    made = []

    async def work(n):
        return n

    def factory(loop, coro, **options):
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    worker, _ = server(work=work)

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        call = ask(bus, n=4)
        await process(worker)
        assert isinstance(made[-1], _symphony.Work) and len(worker.tasks()) == 1
        return await call

    assert run(main()) == 4


def test_work_is_a_coroutine(bus, server):
    async def work(n):
        await asyncio.sleep(0 if n < 2 else 60)
        return n

    worker, failures = server(work=work)

    async def main():
        calls = [ask(bus, n=i) for i in range(4)]
        await process(worker)
        works = [task.get_coro() for task in worker.tasks()]
        assert works[3].__qualname__.endswith("work") and not works[3].cr_running
        works[3].close()
        worker.tasks()[2].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for again in (lambda: works[3].send(None), lambda: next(works[0])):
            with pytest.raises(RuntimeError, match="answered before"):
                again()
        assert worker.tasks() == []
        return answers

    answers = run(main())
    assert answers[:2] == [0, 1]
    assert [type(answer) for answer in answers[2:]] == [symphony_ipc.ExtensionError] * 2
