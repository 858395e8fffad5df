# SPDX-License-Identifier: MIT
"""A workflow file, read and checked before anything is started. docs/workflow.md tells its form."""

import dataclasses
import json
import math
import pathlib
import re

from . import _symphony

NODES_MAX = 1_000_000               # dag_tracker's
TIMEOUT_MAX = 366 * 24 * 3600       # seconds

_VARIABLE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")


class WorkflowError(Exception):
    """The file is not a workflow: where, and what is expected there."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """The result of a node, or of each of a family, where a parameter stands."""

    nodes: tuple
    many: bool
    item: int | str | None = None

    def get(self, results):
        value = [results[node] for node in self.nodes] if self.many else results[self.nodes[0]]
        return value if self.item is None else value[self.item]


@dataclasses.dataclass
class Extension:
    id: str
    argv: list
    replicas: int = 1


@dataclasses.dataclass
class Node:
    id: str
    extension: str
    method: str
    params: dict
    pool: str | None
    units: int
    timeout: float
    before: list    # the nodes that come first


@dataclasses.dataclass
class Kill:
    """One replica of the extension dies, with a call on it, after so many calls."""

    extension: str
    after: int = 0


@dataclasses.dataclass
class Check:
    """What the program prints, as JSON, has to be the node's result."""

    node: str
    argv: list


@dataclasses.dataclass
class Workflow:
    name: str
    extensions: dict
    pools: dict
    nodes: dict
    attempts: int
    backoff_ms: int
    kill: Kill | None
    check: Check | None

    @property
    def edges(self):
        return [[first, node.id] for node in self.nodes.values() for first in node.before]


def resolve(value, results):
    """The value, with the results that it refers to."""
    if isinstance(value, Reference):
        return value.get(results)
    if isinstance(value, dict):
        return {key: resolve(member, results) for key, member in value.items()}
    if isinstance(value, list):
        return [resolve(member, results) for member in value]
    return value


def loads(text):
    """What a JSON text says, if a message can say it; otherwise ValueError."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_number,
                           object_pairs_hook=_unique)
        # Python takes halves of characters.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text has half of a character") from None
    except RecursionError:
        raise ValueError("it nests too deep") from None
    return value


def load(path, variables=None):
    """The workflow in a file; variables override those that it declares."""
    path = pathlib.Path(path)
    try:
        json.dumps(variables, allow_nan=False, ensure_ascii=False).encode()
    except (RecursionError, TypeError, ValueError) as error:
        raise WorkflowError(f"{path}: a message cannot say a variable: {error}") from None
    try:
        tree = loads(path.read_text())
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise WorkflowError(f"{path}: not JSON: {error}") from None
    try:
        return _Reader(tree, {"here": str(path.parent)}, variables or {}).workflow(path.stem)
    except WorkflowError as error:
        raise WorkflowError(f"{path}: {error}") from None
    except RecursionError:
        raise WorkflowError(f"{path}: it nests too deep") from None


class _Reader:
    def __init__(self, tree, variables, overrides):
        self.tree = _members(tree, "the workflow", {
            "about": str, "vars": dict, "extensions": dict, "pools": dict, "nodes": dict,
            "attempts": int, "backoff_ms": int, "kill": dict, "check": dict,
        }, required=["extensions", "nodes"])
        self.variables = variables
        declared = self.tree.get("vars", {})
        unknown = overrides.keys() - declared.keys()
        if unknown:
            raise WorkflowError(f"there is no variable '{min(unknown)}'; "
                                f"it has {', '.join(declared) or 'none'}")
        for name, value in declared.items():
            variables[name] = overrides[name] if name in overrides \
                else self.fill(value, f"vars.{name}")

    def workflow(self, name):
        self.extensions = {key: self.extension(key, value)
                           for key, value in self.tree["extensions"].items()}
        self.pools = {key: _positive(self.fill(value, f"pools.{key}"), f"pools.{key}")
                      for key, value in self.tree.get("pools", {}).items()}
        self.families = {}
        nodes = [member for key, value in self.tree["nodes"].items()
                 for member in self.family(key, value)]
        self.nodes = {node.id: node for node, _ in nodes}
        if len(nodes) > NODES_MAX:
            raise WorkflowError(f"nodes: a workflow has at most {NODES_MAX}, not {len(nodes)}")
        if len(self.nodes) != len(nodes):
            raise WorkflowError("nodes: two nodes have the same id")
        for node, after in nodes:
            self.connect(node, after)
        return Workflow(name, self.extensions, self.pools, self.nodes,
                        _positive(self.tree.get("attempts", 1), "attempts"),
                        _positive(self.tree.get("backoff_ms", 0), "backoff_ms", least=0),
                        self.kill(), self.check())

    # --- the parts

    def extension(self, name, tree):
        where = f"extensions.{name}"
        try:
            _symphony.check_name(name, "extensions")
        except ValueError as error:
            raise WorkflowError(error) from None
        tree = _members(self.fill(tree, where), where, {"argv": list, "replicas": int},
                        required=["argv"])
        argv = self.argv(tree["argv"], where)
        return Extension(name, argv, _positive(tree.get("replicas", 1), f"{where}.replicas"))

    def family(self, name, tree):
        """The node, or with "each" one for every number below it; with what comes first."""
        where = f"nodes.{name}"
        tree = _members(tree, where, {
            "each": (int, str), "extension": str, "method": str, "params": dict,
            "after": list, "pool": str, "units": int, "timeout": (int, float),
        }, required=["extension", "method"])
        if "each" not in tree:
            self.families[name] = [name]
            return [self.node(name, tree, self.variables)]
        count = _positive(self.fill(tree["each"], f"{where}.each"), f"{where}.each")
        if count > NODES_MAX:
            raise WorkflowError(f"{where}.each: a workflow has at most {NODES_MAX} nodes")
        self.families[name] = [f"{name}.{i}" for i in range(count)]
        return [self.node(f"{name}.{i}", tree, {**self.variables, "i": i})
                for i in range(count)]

    def node(self, name, tree, variables):
        where = f"nodes.{name}"
        if tree["extension"] not in self.extensions:
            raise WorkflowError(f"{where}: there is no extension '{tree['extension']}'; "
                                f"it has {', '.join(self.extensions)}")
        pool = tree.get("pool", next(iter(self.pools)) if len(self.pools) == 1 else None)
        units = _positive(tree.get("units", 1), f"{where}.units")
        timeout = tree.get("timeout", 60)
        if not 0 < timeout <= TIMEOUT_MAX:
            raise WorkflowError(f"{where}.timeout: expected seconds, at most {TIMEOUT_MAX}, "
                                f"got {timeout!r}")
        if pool is not None and pool not in self.pools:
            raise WorkflowError(f"{where}: there is no pool '{pool}'")
        if pool is not None and units > self.pools[pool]:
            raise WorkflowError(f"{where}.units: pool '{pool}' has {self.pools[pool]}")
        params = self.fill(tree.get("params", {}), f"{where}.params", variables)
        after = self.fill(tree.get("after", []), f"{where}.after", variables)
        return Node(name, tree["extension"], tree["method"], params, pool, units,
                    timeout, []), after

    def connect(self, node, after):
        where = f"nodes.{node.id}"
        before = [first for name in after for first in self.named(name, f"{where}.after")[0]]
        node.params = self.refer(node.params, f"{where}.params", before)
        node.before = list(dict.fromkeys(before))

    def kill(self):
        if "kill" not in self.tree:
            return None
        tree = _members(self.fill(self.tree["kill"], "kill"), "kill",
                        {"extension": str, "after": int}, required=["extension"])
        after = _positive(tree.get("after", 0), "kill.after", least=0)
        return self.check_kill(Kill(tree["extension"], after))

    def check_kill(self, kill):
        return check_kill(kill, self.extensions, self.pools, self.nodes)

    def check(self):
        if "check" not in self.tree:
            return None
        tree = _members(self.fill(self.tree["check"], "check"), "check",
                        {"node": str, "argv": list}, required=["node", "argv"])
        if tree["node"] not in self.nodes:
            raise WorkflowError(f"check: there is no node '{tree['node']}'")
        return Check(tree["node"], self.argv(tree["argv"], "check"))

    # --- values

    def argv(self, words, where):
        if not words:
            raise WorkflowError(f"{where}.argv: expected a program and its arguments")
        words = [str(word) for word in words]
        if any("\0" in word for word in words):
            raise WorkflowError(f"{where}.argv: no argument of a program can have a NUL")
        return words

    def fill(self, value, where, variables=None):
        """The value with $name and ${name} replaced; a text that is only $name by its value."""
        variables = self.variables if variables is None else variables

        def lookup(match):
            name = match[2] or match[3]
            if match[1]:
                return "$"
            if name not in variables:
                raise WorkflowError(f"{where}: there is no variable '${name}'")
            return variables[name]

        if isinstance(value, str):
            match = _VARIABLE.fullmatch(value)
            return lookup(match) if match else \
                _VARIABLE.sub(lambda match: str(lookup(match)), value)
        if isinstance(value, dict):
            return {key: self.fill(member, f"{where}.{key}", variables)
                    for key, member in value.items()}
        if isinstance(value, list):
            return [self.fill(member, f"{where}[{i}]", variables)
                    for i, member in enumerate(value)]
        return value

    def named(self, name, where):
        """The nodes of that name, and whether it is a family's."""
        if not isinstance(name, str):
            raise WorkflowError(f"{where}: expected the id of a node, got {name!r}")
        if name in self.nodes:
            return [name], False
        if name in self.families:
            return self.families[name], True
        raise WorkflowError(f"{where}: there is no node '{name}'")

    def refer(self, value, where, before):
        """The value with {"$result": ...} made References; notes whose."""
        if isinstance(value, list):
            return [self.refer(member, f"{where}[{i}]", before)
                    for i, member in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if "$result" not in value:
            return {key: self.refer(member, f"{where}.{key}", before)
                    for key, member in value.items()}
        tree = _members(value, where, {"$result": str, "item": (int, str), "share": list})
        nodes, many = self.named(tree["$result"], where)
        if "share" in tree:
            match tree["share"]:
                case [int(part), int(parts)] if many and 0 <= part < parts:
                    nodes = nodes[part::parts]
                case _:
                    raise WorkflowError(f"{where}.share: expected [part, parts] of a family")
        before += nodes
        return Reference(tuple(nodes), many, tree.get("item"))


def check_kill(kill, extensions, pools, nodes):
    """Whether a replica surely has a call when it is to die; see conductor.Death."""
    if kill.extension not in extensions:
        raise WorkflowError(f"kill: there is no extension '{kill.extension}'")
    replicas = extensions[kill.extension].replicas
    callers = [node for node in nodes.values() if node.extension == kill.extension]
    room = min((pools[node.pool] // node.units for node in callers if node.pool),
               default=replicas)
    if len(callers) < kill.after + replicas or room < replicas:
        raise WorkflowError(f"kill: '{kill.extension}' has {replicas} replicas, so after "
                            f"{kill.after} calls it needs {replicas} more nodes at a time; "
                            f"it has {len(callers)} in all, {room} at a time")
    return kill


def _members(tree, where, types, required=()):
    if not isinstance(tree, dict):
        raise WorkflowError(f"{where}: expected an object")
    for name, value in tree.items():
        if name not in types:
            raise WorkflowError(f"{where}: unknown member '{name}'; "
                                f"it can have {', '.join(types)}")
        if not isinstance(value, types[name]) or isinstance(value, bool):
            kinds = types[name] if isinstance(types[name], tuple) else (types[name],)
            raise WorkflowError(f"{where}.{name}: expected "
                                f"{' or '.join(kind.__name__ for kind in kinds)}, got {value!r}")
    for name in required:
        if name not in tree:
            raise WorkflowError(f"{where}: '{name}' is missing")
    return tree


def _positive(value, where, least=1):
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        kind = "a positive integer" if least else "an integer, not negative"
        raise WorkflowError(f"{where}: expected {kind}, got {value!r}")
    return value


def _unique(pairs):
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the member {twice!r} twice")
    return members


def _no_number(text):
    raise ValueError(f"{text} is no number")


def _number(text):
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)
