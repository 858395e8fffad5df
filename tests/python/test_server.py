# SPDX-License-Identifier: MIT
"""An extension in this process: what its handlers do to it, and wrong uses of it."""

import asyncio
import contextlib
import threading

import pytest

import symphony_ipc
from symphony_ipc import _symphony

pytestmark = pytest.mark.device


class Served:
    """A Server whose serve() runs in a thread, and what that raised."""

    def __init__(self, server):
        self.server, self.raised = server, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            self.server.serve()
        except BaseException as error:
            self.raised = error

    def end(self):
        self.server.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def serve(bus):
    """serve(methods, on_message=..., on_failure=...): a replica of "worker"."""
    running = []

    def start(methods=(), on_message=None, on_failure=lambda error: True):
        running.append(Served(_symphony.Server("worker", dict(methods), on_message, on_failure)))
        return running[-1]

    yield start
    for served in running:
        served.end()


def call(bus, message):
    return bus.call("worker", message, timeout=60)


def refused(bus, message):
    with pytest.raises(symphony_ipc.ExtensionError) as caught:
        call(bus, message)
    return caught.value.code


def test_messages_that_no_handler_takes(serve, bus):
    def plain(a, b=0):
        return [a, b]

    serve({"plain": plain})
    codes = {refused(bus, message) for message in (
        [1], {"a": 1}, {"method": 3}, b"bytes")}
    codes.add(refused(bus, {"method": "absent"}))
    params = {refused(bus, {"method": "plain", "params": params}) for params in (
        [1], "a", {}, {"a": 1, "c": 2}, {"1": 1})}
    assert len(codes) == 2 and len(params) == 1 and not codes & params
    assert call(bus, {"method": "plain", "params": {"a": 1}}) == [1, 0]


def test_bytes_are_answered_with_bytes(serve, bus):
    serve(on_message=lambda message: message)
    assert call(bus, b"\0\1") == b"\0\1"
    assert call(bus, [1, "a"]) == [1, "a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_handler_can_end_it(serve, bus, error):
    def end():
        raise error

    served = serve({"end": end})
    refused(bus, {"method": "end"})
    served.thread.join(60)
    assert isinstance(served.raised, error)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_who_is_told_of_failures_can_fail(serve, bus):
    def on_failure(error):
        raise ArithmeticError

    serve({"fail": lambda: 1 / 0, "odd": object}, on_failure=on_failure)
    refused(bus, {"method": "fail"})
    refused(bus, {"method": "odd"})


def test_an_exception_whose_text_cannot_be_had(serve, bus):
    class Odd(Exception):
        def __str__(self):
            raise ArithmeticError

    def fail():
        raise Odd

    serve({"fail": fail})
    with pytest.raises(symphony_ipc.ExtensionError, match="Odd"):
        call(bus, {"method": "fail"})


def test_a_handler_knows_its_request(serve, bus):
    def one():
        request = symphony_ipc.current_request()
        assert "worker" in repr(request)
        return request.deadline

    serve({"one": one})
    assert call(bus, {"method": "one"}) is not None


def test_wrong_uses(serve, bus):
    served = serve({"ping": lambda: None})
    while True:
        with contextlib.suppress(symphony_ipc.NoReplica):
            call(bus, {"method": "ping"})
            break
    for wrong in (served.server.serve, lambda: served.server.process(None, []), served.server.close):
        with pytest.raises(RuntimeError, match="serves already"):
            wrong()
    served.end()
    server = served.server
    assert server.endpoint and server.name
    with pytest.raises(TypeError):
        server.serve(1, 2, 3)
    with pytest.raises(TypeError):
        server.serve("SIGTERM")
    with pytest.raises(OSError):
        server.serve(9)
    server.close()
    assert (server.endpoint, server.name) == (None, None)
    for wrong in (server.serve, server.unclaim, lambda: server.drain(False), lambda: server.process(None, []),
                  server.fileno):
        with pytest.raises(symphony_ipc.Closed):
            wrong()
    server.close()


def test_options_are_checked(bus_name):
    with pytest.raises(TypeError):
        symphony_ipc.IPCBus(3)
    bus = symphony_ipc.IPCBus(pit=False)
    assert bus.endpoint is None
    bus.initialize()
    with pytest.raises(RuntimeError, match="made once"):
        bus.__init__()
    for wrong in ({"timeout": "x"}, {"absent": 1}):
        with pytest.raises((TypeError, ValueError)):
            bus.call("worker", 1, **wrong)
    with pytest.raises(symphony_ipc.UnknownExtension):
        bus.call(message=1, extension_id="worker")
    bus.close()
