# SPDX-License-Identifier: MIT
"""A call as asyncio and others take it: a future, and what a coroutine can be told."""

import asyncio
import contextvars

import pytest

import symphony_ipc
from test_pit import later, never


def failing(pit):
    return pit.send_message("pit_echo", {"method": "fail"})


def test_what_it_says_of_itself(pit):
    calls = [pit.send_message("pit_echo", message) for message in (1, never(), {"method": "fail"}, never())]
    calls[3].cancel()
    assert [repr(call).split()[1] for call in calls] == ["returned", "pending", "raised", "cancelled"]
    assert [(call.pid, call.replica) for call in calls] == [(None, None)] * 4
    assert isinstance(calls[2].exception(), symphony_ipc.ExtensionError)
    calls[1].close()


def test_the_outcome_is_looked_at(pit):
    returned, raised, pending, given_up = (
        pit.send_message("pit_echo", 1), failing(pit), pit.send_message("pit_echo", never()),
        pit.send_message("pit_echo", never()))
    assert (returned.result(), returned.exception()) == (1, None)
    with pytest.raises(symphony_ipc.ExtensionError):
        raised.result()
    assert raised.exception().code == 7
    for look in (pending.result, pending.exception):
        with pytest.raises(asyncio.InvalidStateError):
            look()
    given_up.cancel(msg="enough")
    for look in (given_up.result, given_up.exception):
        with pytest.raises(asyncio.CancelledError, match="enough"):
            look()
    assert given_up._cancel_message == "enough" and pending._cancel_message is None
    pending.close()
    assert pending.cancelled()


def test_callbacks_come_once_and_can_be_taken_back(pit):
    async def main():
        called = []

        def one(call):
            called.append("one")

        def two(call):
            called.append("two")

        call = pit.send_message("pit_echo", later(1))
        assert call.remove_done_callback(one) == 0
        for callback in (one, two, one, two, one):
            call.add_done_callback(callback)
        assert call.remove_done_callback(one) == 3
        assert call.remove_done_callback(one) == 0
        await call
        await asyncio.sleep(0)
        assert called == ["two", "two"]
        call.add_done_callback(one)
        assert called == ["two", "two"]
        await asyncio.sleep(0)
        assert called == ["two", "two", "one"]

    asyncio.run(main())


def test_a_callback_has_its_context(pit):
    variable = contextvars.ContextVar("variable", default="none")
    found = []

    def callback(call):
        found.append(variable.get())

    async def main():
        context = contextvars.copy_context()
        context.run(variable.set, "other")
        calls = [pit.send_message("pit_echo", later(1)) for _ in range(2)]
        calls[0].add_done_callback(callback, context=context)
        # Whose context this is is awake when the second is told.
        calls[1].add_done_callback(callback, context=contextvars.copy_context())
        await asyncio.gather(*calls)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert found == ["other", "none"]


def test_a_callback_that_raises_is_the_loops_to_tell(pit):
    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        call = pit.send_message("pit_echo", later(1, "v"))
        call.add_done_callback(lambda call: 1 / 0)
        assert await call == "v"
        await asyncio.sleep(0)
        assert isinstance(told[0]["exception"], ZeroDivisionError)
        assert told[0]["future"] is call

    asyncio.run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_callback_can_end_the_loop(pit, error):
    async def main():
        def end(call):
            raise error

        calls = [pit.send_message("pit_echo", later(1)) for _ in range(2)]
        calls[0].add_done_callback(end)
        calls[0].add_done_callback(lambda call: None)
        calls[1].add_done_callback(lambda call: None)
        await asyncio.sleep(30)

    with pytest.raises(error):
        asyncio.run(main())


def test_a_loop_that_was_closed_waits_no_more(pit):
    call = pit.send_message("pit_echo", never())

    async def main():
        call.add_done_callback(lambda call: None)

    asyncio.run(main())
    assert call.cancel()


def test_a_callback_that_cannot_be_compared(pit):
    class Odd:
        def __call__(self, call):
            pass

        def __eq__(self, other):
            raise ArithmeticError

    async def main():
        call = pit.send_message("pit_echo", never())
        call.add_done_callback(Odd())
        with pytest.raises(ArithmeticError):
            call.remove_done_callback(print)
        call.add_done_callback(Odd())
        call.cancel()
        other = pit.send_message("pit_echo", never())
        other.add_done_callback(print)
        other.add_done_callback(Odd())
        with pytest.raises(ArithmeticError):
            other.remove_done_callback(len)
        other.close()

    asyncio.run(main())


def test_what_is_thrown_into_it_gives_it_up(pit):
    for args, error in [((ZeroDivisionError("x"),), ZeroDivisionError), ((KeyError,), KeyError),
                        ((KeyError, "k"), KeyError), ((KeyError, None, None), KeyError),
                        ((3,), TypeError), ((), TypeError), ((1, 2, 3, 4), TypeError)]:
        call = pit.send_message("pit_echo", never())
        with pytest.raises(error):
            call.throw(*args)
        assert call.cancelled() == (len(args) in (1, 2, 3))
        call.close()


def test_wrong_arguments(pit):
    async def main():
        call = pit.send_message("pit_echo", never())
        for wrong in (lambda: call.add_done_callback(), lambda: call.add_done_callback(print, print),
                      lambda: call.add_done_callback(print, loop=None), lambda: call.cancel(1, 2),
                      lambda: call.cancel(message=1)):
            with pytest.raises(TypeError):
                wrong()
        with pytest.raises(AttributeError):
            del call._asyncio_future_blocking
        call.close()

    asyncio.run(main())


def test_who_awaits_it_has_to_wait_for_futures(pit):
    async def main():
        call = pit.send_message("pit_echo", never())
        waiter = call.__await__()
        assert next(waiter) is call
        with pytest.raises(RuntimeError, match="does not wait for futures"):
            next(waiter)
        call.close()

    asyncio.run(main())


def test_gather_tells_that_one_was_cancelled(pit):
    async def main():
        call = pit.send_message("pit_echo", never())
        both = asyncio.gather(call, pit.send_message("pit_echo", later(1)))
        asyncio.get_running_loop().call_soon(call.cancel, "no more")
        with pytest.raises(asyncio.CancelledError):
            await both

    asyncio.run(main())
