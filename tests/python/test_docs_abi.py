# SPDX-License-Identifier: MIT
"""docs/abi.md names what <linux/symphony.h> has, all of it and nothing else."""

import pathlib
import re

TOP = pathlib.Path(__file__).parents[2]
DOC = (TOP / "docs/abi.md").read_text()
HEADER = (TOP / "kmod/include/uapi/linux/symphony.h").read_text()
CODE = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)


def structures_of_the_header():
    structures = {}
    for name, body in re.findall(r"struct (symphony_\w+) \{(.*?)\n\};", CODE, re.S):
        members = re.findall(r"((?:__|struct )\w+) (\w+)((?:\[\d+\])?);", body)
        structures[name] = [(member, kind + array) for kind, member, array in members]
    return structures


def structures_of_the_page():
    structures = {}
    for name, body in re.findall(r"^### struct (symphony_\w+)\n(.*?)(?=\n#|\Z)", DOC, re.S | re.M):
        table = body.strip().split("\n\n")[0]
        structures[name] = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", table, re.M)
    return structures


def constants(text):
    names = set(re.findall(r"\bSYMPHONY_[A-Z0-9_]+\b", text))
    return names - {"SYMPHONY_H"}


def test_the_structures():
    assert structures_of_the_page() == structures_of_the_header()
    assert len(structures_of_the_page()) == 16


def test_the_operations():
    defined = dict(re.findall(r"#define (SYMPHONY_IOC_\w+)\s+_IO\(SYMPHONY_IOC_MAGIC, (0x\w+)\)", CODE))
    listed = re.findall(r"^\| `(SYMPHONY_IOC_\w+)` \| (0x\w+) \| `struct (\w+)` \|", DOC, re.M)
    assert {name: number for name, number, _ in listed} == defined
    # What stands in messages, in QUERY's, and in a ring's entry.
    parts = {"symphony_msg", "symphony_sealed", "symphony_use", "symphony_uring",
             "symphony_piece"}
    assert {structure for _, _, structure in listed} | parts == set(structures_of_the_header())


def test_the_constants():
    assert constants(DOC) - {"SYMPHONY_IOC_X"} == constants(CODE)


def test_the_limits():
    defined = dict(re.findall(r"(SYMPHONY_LIMIT_\w+)\s*= (\d+)", CODE))
    assert dict(re.findall(r"^\| `(SYMPHONY_LIMIT_\w+)` \| (\d+) \|", DOC, re.M)) == defined
