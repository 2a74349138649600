"""JSON that somebody else may have written: strictly decoded, each field of its declared type."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")
SHOWN = 60  # characters of a value that a message repeats
_hints: dict[type, dict[str, Any]] = {}
MOST = 1 << 53  # integers beyond it are no counts, and floats do not hold them


def decoded(text: str | bytes) -> Any:
    """Decode JSON as the standard has it; Python lets more pass.

    Raises:
        ValueError: If it is no JSON, holds NaN or infinity by name, or a name twice in an object,
            of which another reader may take the other value.
        RecursionError: If it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def built(kind: type[T], data: Any) -> T:
    """Build a dataclass from a decoded object.

    Lists become tuples where the field is one, objects become dataclasses where it is one. A
    number with a point is taken for a float only; an integer is taken for both.

    Raises:
        ValueError: If a field has another type than the class says, naming it.
        TypeError: If a field is missing or there is no such field.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"found {short(data)} where a {kind.__name__} was expected")
    hints = _hints.get(kind)
    if hints is None:
        hints = _hints[kind] = typing.get_type_hints(kind)
    given = {}
    for name, value in data.items():
        given[str(name)] = of_type(value, hints[name], str(name)) if name in hints else value
    return kind(**given)


def of_type(value: Any, hint: Any, name: str) -> Any:
    """Return a value if it is of a type: None, bool, int, float, str, tuple, mapping or dataclass.

    Raises:
        ValueError: If it is not.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _of_one(value, inner, name)
    if origin is tuple and isinstance(value, list | tuple):
        if inner[-1:] == (Ellipsis,):
            return tuple(of_type(item, inner[0], name) for item in value)
        if len(value) == len(inner):
            return tuple(of_type(v, h, name) for v, h in zip(value, inner, strict=True))
    elif origin is not None and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {str(k): of_type(v, inner[1], f"{name}.{k}") for k, v in value.items()}
    elif isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return built(hint, value)
    elif _plain(value, hint):
        return value
    raise ValueError(
        f"{name[:SHOWN]!r} is {short(value)}; expected {getattr(hint, '__name__', hint)}"
    )


def short(value: Any) -> str:
    """Return a value for a message."""
    text = repr(value) if not isinstance(value, str) else repr(value[:SHOWN])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {short(twice)} occurs twice in an object")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _of_one(value: Any, hints: tuple[Any, ...], name: str) -> Any:
    for hint in hints:
        try:
            return of_type(value, hint, name)
        except (ValueError, TypeError):
            continue
    names = " or ".join(str(getattr(h, "__name__", h)) for h in hints)
    raise ValueError(f"{name[:SHOWN]!r} is {short(value)}; expected {names}")


def _plain(value: Any, hint: Any) -> bool:
    if hint is float:
        return isinstance(value, float) or (_whole(value) and abs(value) <= MOST)
    if hint is int:
        return _whole(value) and abs(value) <= MOST
    if hint in (None, type(None)):
        return value is None
    return isinstance(hint, type) and isinstance(value, hint)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
