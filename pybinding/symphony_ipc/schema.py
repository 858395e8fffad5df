# SPDX-License-Identifier: MIT
"""JSON Schema of a method, from its signature."""

import inspect
import json
import types
import typing

_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    tuple: "array",
    type(None): "null",
}


def schema_of(annotation):
    """JSON Schema of one annotation; {} for what has none."""
    if annotation is None:
        annotation = type(None)
    if annotation in _TYPES:
        return {"type": _TYPES[annotation]}
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return schema_of(args[0])
    if origin is typing.Literal:
        return {"enum": list(args)} if all(map(_is_json, args)) else {}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(arg) for arg in args]}
    if origin is list and args:
        return {"type": "array", "items": schema_of(args[0])}
    if origin is dict and len(args) == 2:
        return {"type": "object", "additionalProperties": schema_of(args[1])}
    if origin in _TYPES:
        return {"type": _TYPES[origin]}
    return {}


def _is_json(value):
    """Can a message hold this scalar?"""
    if value is not None and not isinstance(value, (str, int, float)):
        return False
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def describe_method(name, function):
    """{"name", "summary", "params", "result"} of a handler, as far as it tells."""
    signature = inspect.signature(function)
    try:
        hints = typing.get_type_hints(function)
    except Exception:
        hints = {}
    properties, required, closed = {}, [], True
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            closed = False
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            continue
        schema = schema_of(hints.get(parameter.name, object))
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif _is_json(parameter.default):
            schema = {**schema, "default": parameter.default}
        properties[parameter.name] = schema
    params = {"type": "object", "properties": properties}
    if required:
        params["required"] = required
    if closed:
        params["additionalProperties"] = False
    doc = inspect.getdoc(function)
    about = {"name": name}
    if doc:
        about["summary"] = doc.splitlines()[0]
    about["params"] = params
    if "return" in hints:
        about["result"] = schema_of(hints["return"])
    return about
