# SPDX-License-Identifier: MIT
"""Python objects to JSON values and back: through the Pit, and as text."""

import collections
import enum
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import serve_for_module

shared_plain = serve_for_module("plain")

text = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.one_of(
    st.integers(),
    st.integers(-(2**64) - 2, -(2**63) + 2),
    st.integers(2**63 - 2, 2**64 + 2),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, text),
    lambda children: st.one_of(st.lists(children), st.dictionaries(text, children)),
    max_leaves=30,
)
relaxed = settings(deadline=None, max_examples=60,
                   suppress_health_check=[HealthCheck.function_scoped_fixture,
                                          HealthCheck.too_slow])


def same(a, b):
    """Equal, and of the same types: 1, 1.0 and True are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


@relaxed
@given(values)
def test_every_value_comes_back_from_the_pit(pit, value):
    wrapped = {"value": value}
    assert same(pit.call("pit_echo", wrapped), wrapped)


@pytest.mark.parametrize("value", [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**63) - 1,
    10**300, 0.0, -0.0, 1e308, 5e-324, "", "\0", "\U0001f3bb", [], {}, [[]], [{}],
    {"": ""}, {"a\0b": 1}, ["x" * 100000], list(range(5000)),
])
def test_edges_come_back_from_the_pit(pit, value):
    wrapped = [value]
    assert same(pit.call("pit_echo", wrapped), wrapped)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan], {"a": math.inf}])
def test_numbers_that_json_has_not_are_refused(pit, value):
    with pytest.raises(ValueError, match="NaN or infinity"):
        pit.call("pit_echo", value)


@pytest.mark.parametrize("value", ["\ud800", ["a\udfffb"], {"\udc00": 1}])
def test_lone_surrogates_are_refused(pit, value):
    with pytest.raises(UnicodeEncodeError):
        pit.call("pit_echo", value)


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, [object()], {"a": print}])
def test_other_objects_are_refused(pit, value):
    with pytest.raises(TypeError, match="a message is made of"):
        pit.call("pit_echo", value)


@pytest.mark.parametrize("key", [1, None, True, ("a",), b"a"])
def test_keys_are_strings(pit, key):
    with pytest.raises(TypeError, match="keys are strings"):
        pit.call("pit_echo", {key: 1})


def test_bytes_do_not_go_to_the_pit(pit):
    with pytest.raises(TypeError, match="not bytes"):
        pit.call("pit_echo", b"raw")


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_512_levels_are_taken(pit):
    value = nested(512)
    assert pit.call("pit_echo", value) == value


def test_513_levels_are_refused(pit):
    with pytest.raises(ValueError, match="nested deeper than 512"):
        pit.call("pit_echo", nested(513))


def test_what_contains_itself_is_refused(pit):
    twice = []
    twice += [twice, twice]
    with pytest.raises(ValueError, match="contains itself"):
        pit.call("pit_echo", twice)


def test_subclasses_go_as_what_they_are(pit):
    class Colour(enum.IntEnum):
        RED = 3

    class Name(str):
        pass

    pair = collections.namedtuple("pair", "a b")(1, (2,))
    value = collections.OrderedDict(a=Colour.RED, b=Name("n"), c=pair)
    answer = pit.call("pit_echo", value)
    assert same(answer, {"a": 3, "b": "n", "c": [1, [2]]})


def test_duplicated_keys_cannot_be_made(pit):
    class Key(str):
        __hash__ = object.__hash__
        __eq__ = object.__eq__

    answer = pit.call("pit_echo", {Key("a"): 1, Key("a"): 2})
    assert answer == {"a": 2}


@pytest.mark.device
class TestThroughTheDevice:
    @pytest.fixture
    def echo(self, shared_plain):
        return lambda value: shared_plain.call("plain", value, reply_max=1 << 16)

    @settings(relaxed, max_examples=30)
    @given(values)
    def test_every_value_comes_back(self, echo, value):
        wrapped = {"value": value}
        assert same(echo(wrapped), wrapped)

    @pytest.mark.parametrize("value", [
        None, "", 2**70, -(2**70), -0.0, 1e308, "\u2028", "\U0001f3bb", {"method": 3}])
    def test_edges_come_back(self, echo, value):
        assert same(echo(value), value)

    @pytest.mark.parametrize("value", [b"", b"\0\xff" * 1000, bytearray(b"ab"), memoryview(b"ab")])
    def test_bytes_travel_as_they_are(self, echo, value):
        answer = echo(value)
        assert type(answer) is bytes and answer == value

    def test_the_text_is_json(self, echo):
        value = {"a": [1, 2.5, "é\n", None]}
        assert json.loads(json.dumps(echo(value))) == value
