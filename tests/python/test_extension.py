# SPDX-License-Identifier: MIT
"""Extensions in Python: what they answer, and how they end."""

import asyncio
import math
import signal
import typing

import pytest

import symphony_ipc
from conftest import serve_for_module
from symphony_ipc import errors

shared_plain = serve_for_module("plain")
shared_mixed = serve_for_module("mixed")


def test_the_schema_comes_from_the_signature():
    ext = symphony_ipc.Extension("x", version="3", summary="s")

    @ext.method
    def one(a: int, b: str = "x", *, c: list[float] | None = None,
            d: typing.Literal["p", "q"] = "p", **rest) -> dict[str, int]:
        """First line.

        Second.
        """

    @ext.method(name="other")
    async def two(x):
        pass

    about = ext.describe()
    assert (about["id"], about["version"], about["messages"]) == ("x", "3", False)
    first, second, describe = about["methods"]
    assert describe["name"] == "describe"
    assert first == {
        "name": "one",
        "summary": "First line.",
        "params": {
            "type": "object",
            "properties": {
                "a": {"type": "integer"},
                "b": {"type": "string", "default": "x"},
                "c": {"anyOf": [{"type": "array", "items": {"type": "number"}},
                                {"type": "null"}], "default": None},
                "d": {"enum": ["p", "q"], "default": "p"},
            },
            "required": ["a"],
        },
        "result": {"type": "object", "additionalProperties": {"type": "integer"}},
    }
    assert second == {
        "name": "other",
        "params": {"type": "object", "properties": {"x": {}}, "required": ["x"],
                   "additionalProperties": False},
    }


def test_a_schema_holds_what_a_message_can():
    ext = symphony_ipc.Extension("x")

    @ext.method
    def one(a=math.inf, b=math.nan, c="\ud800", d: typing.Literal[b"p"] = b"p", e=10 ** 5000,
            f=2.5, g: typing.Literal["p", None] = None):
        pass

    about = ext.describe()["methods"][0]
    assert about["params"]["properties"] == {
        "a": {}, "b": {}, "c": {}, "d": {}, "e": {}, "f": {"default": 2.5},
        "g": {"enum": ["p", None], "default": None}}


def test_a_grant_in_the_environment_is_a_descriptor(monkeypatch):
    monkeypatch.setenv("SYMPHONY_GRANT", "x")
    with pytest.raises(ValueError, match="SYMPHONY_GRANT is 'x': expected a descriptor"):
        symphony_ipc.Extension("x").run()


def test_a_name_is_declared_once():
    ext = symphony_ipc.Extension("x")
    ext.method(lambda: 1, name="a")
    with pytest.raises(ValueError):
        ext.method(lambda: 2, name="a")
    with pytest.raises(ValueError):
        ext.method(lambda: 3, name="describe")
    ext.message(print)
    with pytest.raises(ValueError):
        ext.message(print)


def test_no_request_is_served_here():
    assert symphony_ipc.current_request() is None


@pytest.mark.device
class TestServing:
    @pytest.fixture(params=["plain", "mixed"])
    def ext(self, request, processes, bus):
        self.process = processes.start(request.param + ".py", ready=request.param, bus=bus)
        return request.param

    @pytest.fixture
    def plain(self, processes, bus):
        return processes.start("plain.py", ready="plain", bus=bus)

    def refused(self, bus, extension_id, message):
        with pytest.raises(symphony_ipc.ExtensionError) as caught:
            bus.call(extension_id, message)
        return caught.value

    def test_describe(self, shared_plain):
        bus = shared_plain
        about = bus.call("plain", {"method": "describe"})
        assert (about["id"], about["version"], about["summary"]) == \
            ("plain", "1.2", "for tests")
        say = about["methods"][0]
        assert say["summary"] == "Repeats a text."
        assert say["params"]["required"] == ["text"]

    def test_messages_that_name_no_method(self, shared_plain):
        bus = shared_plain
        for message in [None, 1, [], {}, {"method": 1}, {"method": "unknown"}, b"raw"]:
            assert bus.call("plain", message) == message

    @pytest.mark.parametrize("ext", ["plain", "mixed"])
    def test_wrong_params(self, ext, request):
        bus = request.getfixturevalue("shared_" + ext)
        for params in [{}, {"text": "a", "other": 1}, [1], 5]:
            error = self.refused(bus, ext, {"method": "say", "params": params})
            assert error.code == errors.INVALID_PARAMS

    def test_what_is_not_a_message_of_it(self, shared_mixed):
        bus = shared_mixed
        assert self.refused(bus, "mixed", {"method": "x"}).code == errors.METHOD_NOT_FOUND
        assert self.refused(bus, "mixed", [1]).code == errors.INVALID_REQUEST
        assert self.refused(bus, "mixed", b"raw").code == errors.INVALID_REQUEST

    def test_exceptions_are_error_replies(self, shared_plain):
        bus = shared_plain
        def fail(kind):
            return self.refused(bus, "plain", {"method": "fail", "params": {"kind": kind}})

        own = fail("own")
        assert (own.code, str(own), own.data) == (418, "no more coffee", {"cups": 0})
        assert fail("os").code == 2
        inside = fail("type")
        assert (inside.code, inside.data) == (errors.INTERNAL, {"type": "TypeError"})
        assert "not object" in str(fail("no such kind"))
        assert bus.call("plain", 1) == 1

    def test_async_exceptions_are_error_replies(self, shared_mixed):
        bus = shared_mixed
        error = self.refused(bus, "mixed", {"method": "fail"})
        assert (error.code, str(error)) == (5, "later failure")

    def test_async_handlers_run_together(self, shared_mixed):
        bus = shared_mixed
        async def main():
            return await asyncio.gather(*[bus["mixed"].together(count=20) for _ in range(20)])

        assert asyncio.run(main()) == [20] * 20

    def test_plain_handlers_beside_async_ones(self, shared_mixed):
        bus = shared_mixed
        assert bus.call("mixed", {"method": "say_now", "params": {"text": "x"}}) == "x"

    def test_async_handlers_know_who_asks(self, shared_mixed):
        bus = shared_mixed
        assert bus.call("mixed", {"method": "who"}) == bus.endpoint

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signals_end_it_cleanly(self, ext, bus, number):
        self.process.send_signal(number)
        assert self.process.wait(60) == 0
        with pytest.raises(symphony_ipc.NoReplica):
            bus.call(ext, {})

    def test_stop_ends_it_cleanly(self, plain, bus):
        assert bus.call("plain", {"method": "stop"}) == "stopping"
        assert plain.wait(60) == 0

    def test_two_replicas_share(self, plain, processes, bus):
        processes.start("plain.py")
        deadline = 300
        pids = set()
        while len(pids) < 2 and deadline:
            deadline -= 1

            async def main():
                calls = [bus["plain"].who() for _ in range(8)]
                return await asyncio.gather(*calls)

            pids |= {who["mine"] for who in asyncio.run(main())}
        assert len(pids) == 2
