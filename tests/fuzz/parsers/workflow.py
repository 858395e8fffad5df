# SPDX-License-Identifier: MIT
"""
workflow.py [--seconds N] [--runs N] [--seed N] [--found FOLDER] [FILE]: workflow files and schemas
against hypothesis. Any text is a workflow, or a WorkflowError that says where; whatever
a handler's signature, its description is JSON. FILE is replayed.
"""

import argparse
import contextlib
import copy
import dataclasses
import enum
import io
import json
import math
import os
import pathlib
import sys
import tempfile
import time
import traceback
import typing
import warnings

import hypothesis
from hypothesis import strategies as st

from symphony_ipc import conductor, extension, schema, workflow

TOP = pathlib.Path(__file__).resolve().parents[3]
EXAMPLE = json.loads((TOP / "docs/examples/index.json").read_text())
# With every member that a node can have, so that each is a place to change.
EXAMPLE["nodes"]["index"] |= {"after": ["split", "merge"], "pool": "workers", "units": 1,
                              "timeout": 2.5}
FOLDER = pathlib.Path(tempfile.mkdtemp())

# --- workflow files

WORDS = sorted({*"$i $shards ${merges} $$ $here $no count.0 tokenize split a item".split(),
                "about", "vars", "extensions", "pools", "nodes", "attempts", "backoff_ms", "kill",
                "check", "argv", "replicas", "each", "extension", "method", "params", "after",
                "pool", "units", "timeout", "$result", "share", "node", "workers", "merge"})
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(max_size=6))
NUMBERS = st.one_of(
    st.integers(-3, 5), st.sampled_from([2 ** 31, 2 ** 63, 2 ** 64, 10 ** 30, -1, 0]),
    st.floats(), st.booleans(), st.none())
VALUES = st.recursive(
    st.one_of(NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4),
                            st.dictionaries(TEXTS, inner, max_size=4),
                            st.builds(lambda node, item: {"$result": node, **item}, TEXTS,
                                      st.dictionaries(st.sampled_from(["item", "share"]), inner,
                                                      max_size=2))),
    max_leaves=8)


def places(tree, path=()):
    """The path of everything in the tree."""
    yield path
    members = tree.items() if isinstance(tree, dict) else \
        enumerate(tree) if isinstance(tree, list) else ()
    for key, member in members:
        yield from places(member, (*path, key))


PLACES = [path for path in places(EXAMPLE) if path]


def put(tree, path, value, how):
    for key in path[:-1]:
        if not isinstance(tree, (dict, list)):
            return
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return
    key = path[-1]
    if isinstance(tree, dict) and how == "add":
        tree[value if isinstance(value, str) else "x"] = value
    elif isinstance(tree, dict) and how == "remove":
        tree.pop(key, None)
    elif isinstance(tree, dict) or isinstance(tree, list) and isinstance(key, int) \
            and key < len(tree):
        tree[key] = value


@st.composite
def changed(draw):
    """The example with some places changed."""
    tree = copy.deepcopy(EXAMPLE)
    for _ in range(draw(st.integers(0, 4))):
        put(tree, draw(st.sampled_from(PLACES)), draw(VALUES),
            draw(st.sampled_from(["set", "set", "add", "remove"])))
    return tree


def dump(tree):
    return json.dumps(tree).encode()


FILES = st.one_of(
    changed().map(dump), changed().map(dump), VALUES.map(dump), st.binary(max_size=64),
    st.builds(lambda tree, at, text: dump(tree)[:at] + text, changed(), st.integers(0, 1500),
              st.binary(max_size=8)),
    st.sampled_from([b"[" * 100000, b'{"nodes":' * 5000, b"[" + b"9" * 5000 + b"]", b"\xff",
                     b'{"extensions":{},"nodes":{}}', b"\xef\xbb\xbf{}"]))
OVERRIDES = st.dictionaries(st.sampled_from(["shards", "merges", "bin", "no", "root"]), VALUES,
                            max_size=2)


def check_plan(plan):
    for node in plan.nodes.values():
        assert node.extension in plan.extensions and isinstance(node.method, str)
        assert all(first in plan.nodes for first in node.before), node
        assert isinstance(node.units, int) and not isinstance(node.units, bool) and node.units > 0
        assert node.pool is None or node.units <= plan.pools[node.pool]
        # What asyncio and the library can wait for.
        assert math.isfinite(node.timeout) and 0 < node.timeout <= 1e8, node
        json.dumps(workflow.resolve(node.params, Results()), allow_nan=False).encode()
    assert len(set(map(tuple, plan.edges))) == len(plan.edges)
    for one in plan.extensions.values():
        assert one.replicas > 0 and one.argv and all(isinstance(word, str) for word in one.argv)
    assert plan.attempts > 0
    assert isinstance(plan.backoff_ms, int) and plan.backoff_ms >= 0


class Results(dict):
    """Whatever node it is, its result is something that has every member."""

    def __missing__(self, name):
        return Anything()


class Anything(dict):
    def __missing__(self, name):
        return 0


def try_file(text, overrides):
    path = FOLDER / "flow.json"
    path.write_bytes(text)
    try:
        plan = workflow.load(path, overrides)
    except workflow.WorkflowError as error:
        where, _, what = str(error).partition(": ")
        assert where == str(path) and what, str(error)
        return
    check_plan(plan)


def try_options(words):
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            options = conductor.parse([str(FOLDER / "example.json"), *words])
    except SystemExit as error:
        assert error.code in (0, 2)
        return
    try:
        check_plan(conductor.read_plan(options))
    except workflow.WorkflowError as error:
        assert str(error)


OPTIONS = st.lists(st.one_of(
    st.builds(lambda name, value: f"--set={name}={value}", st.sampled_from(["shards", "merges", "x", ""]),
              st.one_of(VALUES.map(json.dumps), st.text(max_size=5),
                        st.sampled_from(["[" * 100000, "9" * 5000, "NaN"]))),
    st.builds(lambda text: f"--kill={text}", st.one_of(
        st.text(max_size=5), st.sampled_from(["tokenize:1", "count:99999", "tokenize:²", "a:", ":",
                                              "tokenize:" + "9" * 5000]))),
    st.sampled_from(["--no-kill", "--set", "--progress=plain", "--progress=x", "--kill"])),
    max_size=3)

# --- schemas


class Colour(enum.Enum):
    RED = object()


@dataclasses.dataclass
class Thing:
    size: int


HINTS = st.recursive(
    st.sampled_from([int, str, float, bool, dict, list, tuple, None, object, Thing, Colour, bytes,
                     typing.Any, "int", "no such", typing.Literal["a", 1], typing.Literal[b"a"],
                     typing.Literal[Colour.RED], typing.Annotated[int, "m"], typing.TypeVar("T"),
                     typing.Callable[[int], str], ...]),
    lambda inner: st.one_of(
        st.builds(lambda hint: list[hint], inner), st.builds(lambda hint: dict[str, hint], inner),
        st.builds(lambda hint: tuple[hint, ...], inner),
        st.builds(lambda hint: typing.Optional[hint] if callable(hint) else hint, inner)),
    max_leaves=4)
NAMES = st.sampled_from(["a", "b", "c"])
DEFAULTS = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.just(Colour.RED),
                     st.sampled_from([10 ** 5000, "\ud800", b"x", (), enum.IntEnum("E", "A").A]))


@st.composite
def handlers(draw):
    names = draw(st.lists(NAMES, unique=True))
    defaults = {name: draw(DEFAULTS) for name in names if draw(st.booleans())}
    order = sorted(names, key=lambda name: name in defaults)
    parts = [f"{name}=defaults[{name!r}]" if name in defaults else name for name in order]
    parts += draw(st.sampled_from([[], ["*rest"], ["**more"], ["*rest", "**more"]]))
    scope = {"defaults": defaults}
    exec(f"def handler({', '.join(parts)}): pass", scope)  # noqa: S102
    handler = scope["handler"]
    handler.__annotations__ = {name: draw(HINTS) for name in [*order, "return"]
                               if draw(st.booleans())}
    handler.__doc__ = draw(st.one_of(st.none(), st.text(max_size=20)))
    return handler


def try_handler(handler):
    about = schema.describe_method("m", handler)
    # It is what "describe" answers, so it has to be a message.
    json.dumps(about, allow_nan=False).encode()
    assert about["name"] == "m" and about["params"]["type"] == "object"
    served = extension.Extension("fuzz")
    served.method(handler, name="m")
    text = json.dumps(served.describe(), allow_nan=False, ensure_ascii=False)
    text.encode()


# --- running


class Found(Exception):
    pass


def search(test, strategies, seconds, runs, seed):
    """Until the time is over: how many examples there were."""
    count = 0

    @hypothesis.settings(database=None, deadline=None, max_examples=runs or 200,
                         suppress_health_check=list(hypothesis.HealthCheck),
                         phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
    @hypothesis.given(**strategies)
    def step(**arguments):
        nonlocal count
        count += 1
        last.clear()
        last.update(arguments)
        test(**arguments)

    last = {}
    until = time.monotonic() + seconds
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    while True:
        try:
            hypothesis.seed(seed)(step)()
        except Exception as error:
            raise Found(test.__name__, last, error) from error
        seed += 1
        if runs or time.monotonic() > until:
            return count


ODD = [None, True, -1, 0, 10 ** 30, 2.5, "", "\0", "$no", [], [[]], [{}], {}, {"$result": "no"}]


def sweep():
    """Each place of the example once with each odd value: what random changes may miss."""
    for path in PLACES:
        for value in ODD:
            tree = copy.deepcopy(EXAMPLE)
            put(tree, path, value, "set")
            try:
                try_file(dump(tree), {})
            except Exception as error:
                raise Found("try_file", {"text": dump(tree), "overrides": {}}, error) from error
    return len(PLACES) * len(ODD)


def replay(path):
    """An input of its own: a file, or what was found, as Python wrote it."""
    text = path.read_bytes()
    try:
        overrides = json.loads(path.with_suffix(".vars").read_text())
    except OSError:
        overrides = {}
    try_file(text, overrides)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--found", type=pathlib.Path, default=FOLDER)
    parser.add_argument("file", nargs="?", type=pathlib.Path)
    options = parser.parse_args()
    if options.file:
        return replay(options.file)
    warnings.simplefilter("ignore")
    (FOLDER / "example.json").write_text(json.dumps(EXAMPLE))
    parts = [(try_file, {"text": FILES, "overrides": OVERRIDES}), (try_options, {"words": OPTIONS}),
             (try_handler, {"handler": handlers()})]
    try:
        swept = sweep()
        counts = [search(test, strategies, options.seconds / len(parts), options.runs,
                         options.seed)
                  for test, strategies in parts]
    except Found as found:
        name, arguments, error = found.args
        path = options.found / f"workflow-{name}"
        if name == "try_file":
            path.write_bytes(arguments["text"])
            path.with_suffix(".vars").write_text(json.dumps(arguments["overrides"]))
        else:
            path.write_text(repr(arguments))
        print(f"workflow: {name}: {type(error).__name__}: {error}\nTest unit written to {path}",
              file=sys.stderr)
        error.__notes__ = []
        traceback.print_exception(error, limit=-8)
        sys.exit(1)
    print(f"{swept} places, " + ", ".join(f"{test.__name__} {count}"
                                   for (test, _), count in zip(parts, counts)) + " examples")


if __name__ == "__main__":
    main()
