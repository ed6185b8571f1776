"""A JSON schema as a regular expression, for a stated part of what schemas can say.

Known are `type` (string, integer, number, boolean, null, array, object), `enum`, `const`, `anyOf`;
of strings `minLength`, `maxLength` and `pattern`; of arrays `items` with `minItems` and `maxItems`;
of objects `properties`, `required` and `additionalProperties: false`. An object has its properties
in the order of the schema and no others; what is not in `required` may be missing. All else is
refused, so that nothing is silently left out. Texts are spaced as `json.dumps` does. Not here: the
regular expression's automaton (`patterns.py`). Chapter 15 teaches this.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from llmcourse.errors import UserError, nearest

_ALWAYS = {"title", "description", "$schema", "default", "examples"}
"""Words that say nothing about what is valid."""
_WORDS: dict[str, set[str]] = {
    "string": {"minLength", "maxLength", "pattern"},
    "integer": set(),
    "number": set(),
    "boolean": set(),
    "null": set(),
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
}
_CHARACTER = r'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])'.replace(r"\x00-\x1f", "\x00-\x1f")
_INTEGER = r"-?(?:0|[1-9][0-9]*)"
_NUMBER = _INTEGER + r"(?:\.[0-9]+)?(?:[eE][+\-]?[0-9]{1,2})?"


def to_pattern(schema: Mapping[str, Any]) -> str:
    """Regular expression of JSON texts that are valid by the schema.

    Raises:
        UserError: a schema that says what is not known here.
    """
    return _value(schema, "schema")


def _value(schema: Any, at: str) -> str:
    if not isinstance(schema, Mapping):
        raise UserError(f"{at} must be an object such as {{'type': 'string'}}, not {schema!r}")
    if "const" in schema:
        return _literals([schema["const"]], schema, "const", at)
    if "enum" in schema:
        return _literals(schema["enum"], schema, "enum", at)
    if "anyOf" in schema:
        _refuse_others(schema, {"anyOf"}, at)
        options = [_value(one, f"{at}.anyOf[{n}]") for n, one in enumerate(schema["anyOf"])]
        return _one_of(options, at)
    kind = schema.get("type")
    if isinstance(kind, list):
        return _one_of([_value({**schema, "type": one}, at) for one in kind], at)
    if kind not in _WORDS:
        names = ", ".join(_WORDS)
        raise UserError(f"{at} has the type {kind!r}; known are {names}, enum, const and anyOf")
    _refuse_others(schema, {"type", *_WORDS[kind]}, at)
    match kind:
        case "string":
            return _string(schema, at)
        case "array":
            return _array(schema, at)
        case "object":
            return _object(schema, at)
    simple = {"integer": _INTEGER, "number": _NUMBER, "boolean": "(?:true|false)", "null": "null"}
    return simple[kind]


def _refuse_others(schema: Mapping[str, Any], known: set[str], at: str) -> None:
    for word in schema:
        if word not in known | _ALWAYS:
            raise UserError(f"{at} says {word!r}, which is not known here{nearest(word, known)}")


def _literals(values: Any, schema: Mapping[str, Any], word: str, at: str) -> str:
    _refuse_others(schema, {word, "type"}, at)
    return _one_of([quote(json.dumps(value, ensure_ascii=False)) for value in values], at)


def _one_of(options: list[str], at: str) -> str:
    if not options:
        raise UserError(f"{at} leaves nothing to choose from")
    return f"(?:{'|'.join(options)})"


def _string(schema: Mapping[str, Any], at: str) -> str:
    if "pattern" in schema:
        if "minLength" in schema or "maxLength" in schema:
            raise UserError(f"{at} has a pattern and a length: give one of them")
        pattern = schema["pattern"]
        # JSON Schema searches within the text; only a pattern for all of it can be written by.
        if not (pattern.startswith("^") and pattern.endswith("$")):
            raise UserError(f"{at}.pattern must say what the whole text is: begin with ^, end in $")
        if re.search(r'["\\]|\[\^|\.', pattern):
            raise UserError(f'{at}.pattern must do without ", \\, [^ and . here')
        return f'"(?:{pattern[1:-1]})"'
    return f'"{_CHARACTER}{_times(schema, "minLength", "maxLength", at)}"'


def _times(schema: Mapping[str, Any], low: str, high: str, at: str, less: int = 0) -> str:
    """A quantifier from two bounds of the schema, each made smaller by `less`."""
    least, most = schema.get(low, 0), schema.get(high)
    if not (isinstance(least, int) and least >= 0 and (most is None or most >= least)):
        raise UserError(f"{at} has {low}={least} and {high}={most}: 0 <= {low} <= {high} is needed")
    return f"{{{max(least - less, 0)},{'' if most is None else most - less}}}"


def _array(schema: Mapping[str, Any], at: str) -> str:
    if "items" not in schema:
        raise UserError(f"{at} has no items: say what the array holds")
    item = _value(schema["items"], f"{at}.items")
    if schema.get("maxItems") == 0:
        return r"\[\]"
    further = _times(schema, "minItems", "maxItems", at, less=1)
    some = rf"{item}(?:, {item}){further}"
    return rf"\[{some}\]" if schema.get("minItems", 0) else rf"\[(?:{some})?\]"


def _object(schema: Mapping[str, Any], at: str) -> str:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if schema.get("additionalProperties", False) is not False:
        raise UserError(f"{at}.additionalProperties must be false: no others are ever written")
    for name in required:
        if name not in properties:
            raise UserError(f"{at} requires {name!r}, which is not among its properties")
    first, further = "", ""  # what is left to say before and behind a first property
    for name, inner in reversed(properties.items()):
        pair = f"{quote(json.dumps(name, ensure_ascii=False))}: {_value(inner, f'{at}.{name}')}"
        if name in required:
            first, further = pair + further, f", {pair}{further}"
        else:
            alone = f"(?:{pair}{further}|{first})" if first else f"(?:{pair}{further})?"
            first, further = alone, f"(?:, {pair})?{further}"
    return rf"\{{{first}\}}"


def quote(text: str) -> str:
    """A regular expression that matches a text as it stands."""
    return "".join(f"\\{sign}" if sign in r"\.[](){}*+?|^$" else sign for sign in text)
