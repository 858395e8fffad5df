# SPDX-License-Identifier: MIT
"""docs/netlink/symphony.yaml says what <linux/symphony_netlink.h> says.

The file is in the kernel's format for generic netlink, of which this reads what the
file uses: the numbers are the places in the lists, from 1 on.
"""

import pathlib
import re

TOP = pathlib.Path(__file__).parents[2]
SPEC = (TOP / "docs/netlink/symphony.yaml").read_text()
HEADER = (TOP / "kmod/include/uapi/linux/symphony_netlink.h").read_text()
CODE = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)


def section(name):
    return re.search(rf"^{name}:\n(.*?)(?=^\S|\Z)", SPEC, re.S | re.M).group(1)


def enum_of_the_header(name):
    """The names of an enum with their numbers, without what ends it."""
    body = re.search(rf"enum {name} {{(.*?)}};", CODE, re.S).group(1)
    numbers, number = {}, -1
    for entry, value in re.findall(r"(\w+)(?: = ([^,\n]+))?", body):
        if entry.startswith("__"):
            break
        number = int(value) if value else number + 1
        numbers[entry] = number
    return numbers


def documented(name):
    """What the comment of an enum says of each entry."""
    comment = re.search(rf"/\*\*\n \* enum {name} - (.*?)\*/", HEADER, re.S).group(1)
    found = re.findall(r"^ \* @(\w+): (.*?)(?=^ \* @|^ \*\n|^ \Z)", comment, re.S | re.M)
    return {entry: re.sub(r"\n \*\s*", " ", text).strip() for entry, text in found}


def names_of_the_spec(text, indent, prefix):
    names = re.findall(rf"^ {{{indent}}}name: (\S+)$", text, re.M)
    return [prefix + name.upper().replace("-", "_") for name in names]


def test_the_family():
    name, version = re.findall(r"#define SYMPHONY_FAMILY_\w+\s+(\S+)", CODE)
    assert (name, version) == ('"symphony"', "1")
    assert re.search(r"^name: symphony$", SPEC, re.M)
    assert re.search(r"^protocol: genetlink$", SPEC, re.M)
    group = re.search(r'#define SYMPHONY_MCGRP_EVENTS\s+"(\w+)"', CODE).group(1)
    assert names_of_the_spec(section("mcast-groups"), 6, "") == [group.upper()]


def test_the_attributes():
    names = names_of_the_spec(section("attribute-sets"), 8, "SYMPHONY_A_")
    assert dict(zip(names, range(1, 100))) == enum_of_the_header("symphony_attr")
    types = re.findall(r"^ {8}type: (\w+)$", section("attribute-sets"), re.M)
    kinds = {name: text.split(":")[0] for name, text in documented("symphony_attr").items()}
    assert dict(zip(names, types)) == kinds


def test_the_commands():
    names = names_of_the_spec(section("operations"), 6, "SYMPHONY_CMD_")
    assert dict(zip(names, range(1, 100))) == enum_of_the_header("symphony_cmd")
    assert set(documented("symphony_cmd")) == set(names)


def test_what_the_dumps_tell():
    for name, text in documented("symphony_cmd").items():
        if not name.endswith("_GET"):
            continue
        command = name.removeprefix("SYMPHONY_CMD_").lower().replace("_", "-")
        entry = re.search(rf"name: {command}\n(.*?)(?=^ {{4}}-|^\S)", SPEC, re.S | re.M)
        reply = re.findall(r"^ +- (\S+)$", entry.group(1).split("reply:")[1], re.M)
        listed = re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", text.split(": ", 1)[1])
        assert sorted(reply) == sorted(n.lower().replace("_", "-") for n in listed)


def test_the_hooks():
    names = names_of_the_spec(section("definitions"), 8, "SYMPHONY_HOOK_")
    assert dict(zip(names, range(100))) == enum_of_the_header("symphony_hook")
