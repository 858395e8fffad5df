# SPDX-License-Identifier: MIT
"""docs/security.md knows the module's parameters and cites files that are there."""

import pathlib
import re

TOP = pathlib.Path(__file__).parents[2]
DOC = (TOP / "docs/security.md").read_text()
MAIN = (TOP / "kmod/main.c").read_text()


def value(text):
    number, _, unit = text.partition(" ")
    return int(number) << {"": 0, "MiB": 20}[unit]


def test_the_parameters():
    defaults = {name: eval(text.replace("U", ""))
                for name, text in re.findall(r"^uint symp_(\w+) = ([\dU< ]+);", MAIN, re.M)}
    defaults["user_pool_max"] <<= 20
    modes = dict(re.findall(r"module_param_named\((\w+), \w+, uint, (\d+)\)", MAIN))
    listed = re.findall(r"^\| `(\w+)`( \*rw\*)? \| ([\w ]+?) \|", DOC, re.M)
    assert {name: value(text) for name, _, text in listed} == defaults
    assert {name for name, writable, _ in listed if writable} == \
        {name for name, mode in modes.items() if mode == "0644"}


def test_the_limits():
    header = (TOP / "kmod/include/uapi/linux/symphony.h").read_text()
    named = set(re.findall(r"\bLIMIT_\w+", DOC))
    known = set(re.findall(r"SYMPHONY_(LIMIT_\w+)\s*=", header))
    assert named == known - {"LIMIT_NONE"}


def test_the_files():
    rows = re.findall(r"^\|[^|]*\|[^|]*\| (`[^|]*) \| (`[^|]*) \|$", DOC, re.M)
    assert len(rows) > 20
    for code, tests in rows:
        cited = [f"kmod/{name}" for name in re.findall(r"`(\w+\.c)`", code)]
        cited += [f"tests/device/{name}" for name in re.findall(r"`(\w+\.c)`", tests)]
        for path in cited:
            assert (TOP / path).exists(), path
