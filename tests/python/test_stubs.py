# SPDX-License-Identifier: MIT
"""The type stubs and the C module have the same names and parameters."""

import ast
import inspect
import pathlib

import pytest

import symphony_ipc
from symphony_ipc import _symphony

STUB = ast.parse(pathlib.Path(symphony_ipc.__file__).with_name("_symphony.pyi").read_text())
VARIABLES = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)}
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
# A dictionary's type is for type checkers alone.
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)
           and not any(isinstance(base, ast.Name) and base.id == "TypedDict" for base in node.bases)}


def members(cls):
    return {node.name: node for node in cls.body if isinstance(node, ast.FunctionDef)}


def public(names):
    return {name for name in names if not name.startswith("_")}


def parameters(function):
    """In a stub, without self or cls: names, of those by keyword only with: is it required?"""
    args = function.args
    named = [None] * len(args.posonlyargs)
    named += [arg.arg for arg in args.args + [args.vararg] if arg]
    return named[1:], {arg.arg: default is None
                       for arg, default in zip(args.kwonlyargs, args.kw_defaults)}


def actual(function, bound):
    """The same, of a signature in a docstring."""
    found = inspect.signature(function).parameters.values()
    named = [None if p.kind == p.POSITIONAL_ONLY else p.name
             for p in found if p.kind != p.KEYWORD_ONLY]
    return named[not bound:], {p.name: p.default is p.empty
                               for p in found if p.kind == p.KEYWORD_ONLY}


def test_the_names_of_the_module():
    assert public(vars(_symphony)) == public(VARIABLES | set(FUNCTIONS) | set(CLASSES))


@pytest.mark.parametrize("name", CLASSES)
def test_the_members_of_a_class(name):
    assert public(vars(getattr(_symphony, name))) == public(members(CLASSES[name]))


@pytest.mark.parametrize("name", CLASSES)
def test_the_parameters(name):
    cls = getattr(_symphony, name)
    for member, node in members(CLASSES[name]).items():
        made = member in ("__init__", "__new__")
        function = cls if made else getattr(cls, member)
        # Not all that asyncio's protocol asks for has one.
        if getattr(function, "__text_signature__", None) and (made or public([member])):
            assert parameters(node) == actual(function, made), member
