# SPDX-License-Identifier: MIT
"""What cannot have an effect is an error: nothing is cut, rounded or left out in silence."""

import json
import logging
import pathlib

import pytest

import symphony_ipc
from symphony_ipc import Extension, ExtensionError, IPCBus, errors

from conftest import PLUGIN

NUL = "pool_manager\0x"


# --- names -------------------------------------------------------------------

@pytest.mark.parametrize("name", [NUL, "A", "", "a b", "1a", "a" * 64, "é", "\udc80"])
def test_a_name_that_nothing_can_have(bus_name, name):
    for make in [lambda: Extension(name), lambda: Extension("a", bus=name), lambda: IPCBus(name),
                 lambda: IPCBus(reserve=["a", name])]:
        with pytest.raises(ValueError):
            make()


@pytest.mark.parametrize("name", [None, 5, b"a"])
def test_a_name_is_a_str(name):
    for make in [lambda: Extension(name), lambda: IPCBus(reserve=[name])]:
        with pytest.raises(TypeError, match="is a str"):
            make()


def test_the_text_says_what_and_why():
    with pytest.raises(ValueError, match='an extension id: "A" cannot be an id .* a letter a-z'):
        Extension("A")
    with pytest.raises(ValueError, match=r"an extension id has no NUL character, .*x\\x00y"):
        Extension("x\0y")


def test_a_nul_does_not_cut_the_id_that_is_called(pit):
    for call in [pit.call, pit.send_message]:
        with pytest.raises(ValueError, match="NUL"):
            call(NUL, {"method": "pools"})
    with pytest.raises(ValueError, match="NUL"):
        pit.grant("a\0b")
    with pytest.raises(ValueError, match="NUL"):
        IPCBus(device="/dev/null\0x")


def test_a_nul_does_not_cut_a_method(pit):
    with pytest.raises(ExtensionError, match="NUL"):
        pit.call("pool_manager", {"method": "pools\0x"})
    with pytest.raises(ExtensionError, match="a name of 6 bytes"):
        pit.call("pool_manager", {"method": "pools", "params": {"pool\0x": 1}})


# --- lists -------------------------------------------------------------------

@pytest.mark.parametrize("value", ["store", b"store"])
def test_a_text_is_no_list(value):
    with pytest.raises(TypeError, match="reserve is a list of ids"):
        IPCBus(reserve=value)
    with pytest.raises(TypeError, match="plugins is a list of paths"):
        IPCBus(plugins=value)


def test_plugins_can_be_paths(bus_name):
    with IPCBus(plugins={pathlib.Path(PLUGIN)}) as bus:
        assert "pit_echo" in bus.pit
    with pytest.raises(ValueError, match="null"):
        IPCBus(plugins=["a\0b"])


# --- configuration -----------------------------------------------------------

def test_configuration_comes_to_its_member(bus_name):
    with IPCBus(config={"pool_manager": {"capacity": 7}, "dag_tracker": None}) as bus:
        assert bus.call("pool_manager", {"method": "stat"})["capacity"] == 7


@pytest.mark.parametrize("config, said", [
    ({"pool_mangaer": {}}, "pool_mangaer.*the members are pool_manager, dag_tracker|"
                           "pool_mangaer.*the members are dag_tracker, pool_manager"),
    ({NUL: {}}, "no member of the Pit"),
    ({"pool_manager": {"capacityy": 7}}, "no option 'capacityy'; the options are: capacity"),
    ({"pool_manager": [7]}, "expected an object"),
    ({"dag_tracker": {"a": 1}}, "no option 'a'; the options are: none"),
])
def test_configuration_that_is_nobodys(bus_name, config, said):
    with pytest.raises(symphony_ipc.BusError, match=said):
        IPCBus(config=config).initialize()


def test_configuration_needs_a_pit():
    with pytest.raises(TypeError, match="not list"):
        IPCBus(config=[])
    for options in [{"config": {}}, {"plugins": [str(PLUGIN)]}]:
        with pytest.raises(ValueError, match="pit=False"):
            IPCBus(pit=False, **options)


# --- a call ------------------------------------------------------------------

@pytest.mark.parametrize("timeout", [-1, -0.5, float("-inf"), float("nan")])
def test_a_timeout_is_not_negative(pit, timeout):
    for call in [pit.call, pit.send_message]:
        with pytest.raises(ValueError, match="timeout"):
            call("pool_manager", {"method": "pools"}, timeout=timeout)


def test_no_argument_is_given_twice(pit):
    with pytest.raises(TypeError, match="message is given twice"):
        pit.call("pool_manager", {"method": "pools"}, message=1)
    with pytest.raises(TypeError, match="extension_id is given twice"):
        pit.call("pool_manager", {"method": "pools"}, extension_id="a")


# --- an extension ------------------------------------------------------------

def test_options_of_an_extension():
    for options in [{"recovery": "no"}, {"grant": -2}, {"grant": "3"}]:
        with pytest.raises(ValueError, match=next(iter(options))):
            Extension("a", **options)
        with pytest.raises(ValueError, match=next(iter(options))):
            Extension("a").run(**options)
    for options in [{"version": 1}, {"summary": 1}]:
        with pytest.raises(TypeError, match=next(iter(options))):
            Extension("a", **options)


def test_a_method_is_a_function():
    extension = Extension("a")
    with pytest.raises(TypeError, match="name=") :
        @extension.method("add")
        def add():
            pass
    with pytest.raises(TypeError, match="the name of a method"):
        extension.method(name=5)


@pytest.mark.parametrize("argv, status", [
    (["--buss", "a"], 2), (["extra"], 2), (["--bus", "A"], 2), (["--owner", "me"], 2),
    (["--id", ""], 2), (["--grant", "x"], 2),
    (["--recovery", "no"], 2), (["--take"], 2), (["--help"], 0)])
def test_a_command_line_that_is_wrong(capsys, argv, status):
    with pytest.raises(SystemExit) as ended:
        Extension("a").main(argv)
    assert ended.value.code == status
    assert "--takeover" in capsys.readouterr().out if argv == ["--help"] else True


def test_a_command_line_that_asks(capsys):
    extension = Extension("a", summary="all of it")
    extension.main(["--describe", "--id", "b"])
    about = json.loads(capsys.readouterr().out)
    assert (about["id"], about["summary"]) == ("b", "all of it")


@pytest.mark.device
def test_a_command_line_that_serves(bus, processes):
    processes.start("odd.py", "--id", "even", "--recovery", "requeue", ready="even", bus=bus)
    processes.start("odd.py", "--id", "even", "--recovery", "fail").wait(60)
    assert processes.running.pop().returncode == 1


# --- errors of handlers ------------------------------------------------------

class Untold(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class UntoldError(ExtensionError):
    def __str__(self):
        raise RuntimeError("no text")


DEEP = []
for _ in range(1000):
    DEEP = [DEEP]


@pytest.mark.parametrize("error, told, problem", [
    (ExtensionError("t", 5, {"a": 1}), (5, "t", {"a": 1}), None),
    (ExtensionError("t", 5, {"a": {1}}), (5, "t", None), "data"),
    (ExtensionError("t", 5, b"x"), (5, "t", None), "data"),
    (ExtensionError("t", 5, float("nan")), (5, "t", None), "data"),
    (ExtensionError("t", 5, "\udc80"), (5, "t", None), "data"),
    (ExtensionError("t", 5, DEEP), (5, "t", None), "data"),
    (ExtensionError("t", 1 << 63, 1), (errors.INTERNAL, "t", 1), "code"),
    (ExtensionError("t", "5", 1), (errors.INTERNAL, "t", 1), "code"),
    (ExtensionError("t", None, 1), (errors.INTERNAL, "t", 1), "code"),
    (ExtensionError("a\0b\udc80", 5), (5, "a\\x00b\\udc80", None), None),
    (ExtensionError(17, 5), (5, "17", None), None),
    (UntoldError("t", 5, 1), (5, "UntoldError", 1), "text"),
    (Untold(), (errors.INTERNAL, "Untold", {"type": "Untold"}), "text"),
    (OSError("a", "b"), (errors.INTERNAL, "OSError: [Errno a] b", {"type": "OSError"}), "code"),
])
def test_what_an_error_says_is_not_lost(caplog, error, told, problem):
    with caplog.at_level(logging.ERROR, "symphony_ipc"):
        assert errors.describe_failure(error) == told
    assert len(caplog.records) == (problem is not None)
    if problem:
        assert f"its {problem}" in caplog.text and caplog.records[0].exc_info[1] is error


@pytest.mark.device
def test_an_error_with_unusable_data_arrives(bus, processes):
    processes.start("odd.py", ready="odd", bus=bus)
    for method in ["odd", "odd_later"]:
        with pytest.raises(ExtensionError) as caught:
            bus.call("odd", {"method": method})
        assert (caught.value.code, str(caught.value), caught.value.data) == (5, "a\\x00b", None)
    with pytest.raises(ExtensionError, match=r"has no method 'odd\\x00x'"):
        bus.call("odd", {"method": "odd\0x"})
    with pytest.raises(ExtensionError, match=r"unexpected keyword argument 'a\\x00b'"):
        bus.call("odd", {"method": "odd", "params": {"a\0b": 1}})
