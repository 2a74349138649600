"""A study's file of settings: YAML, each field checked where it stands."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from goldenlayers.errors import GoldenLayersError, SettingsError
from goldenlayers.study.run.settings import (
    DataSpec,
    EditorSpec,
    ModelSpec,
    Sensitivity,
    StudySettings,
    Timing,
)

# what a bare name in a list stands for: the field that it fills
SHORT = {ModelSpec: "model", DataSpec: "facts", EditorSpec: "editor"}
LARGEST = 1_000_000  # bytes of a file of settings
DEEPEST = 20  # lists and mappings in one another; settings are four deep
IN_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class _Plain(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """YAML without aliases and of a bounded depth: a few lines of either make work for ever."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one value."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.YAMLError(f"an alias, *{str(event.anchor)[:40]}; write the value out")
        if self._depth > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def read_study(path: str | Path) -> StudySettings:
    """Read a study's settings.

    Files that it names are looked for beside it, and then where the command runs.

    Raises:
        SettingsError: If the file cannot be read, or says something that is not understood; the
            message names the field.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise SettingsError(f"{path}: over {LARGEST} bytes; expected a short file of settings")
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, _Plain)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"{path}: {reason}; expected a file of settings, see golden-layers study --help"
        ) from None
    return settings_of(data, str(path), path.parent)


def settings_of(data: Any, where: str, folder: Path | None = None) -> StudySettings:
    """Return the settings that decoded YAML or JSON holds.

    Args:
        data: What was decoded.
        where: What to call it in messages.
        folder: Where files that it names are looked for first; None for nowhere.

    Raises:
        SettingsError: If it says something that is not understood.
    """
    found: StudySettings = _build(StudySettings, data, where)
    if folder is None:
        return found
    with_paths = {
        "models": tuple(_with(m, model=_found(m.model, folder)) for m in found.models),
        "data": tuple(_with(d, facts=_found(d.facts, folder), name=d.title) for d in found.data),
    }
    return typing.cast(StudySettings, _with(found, **with_paths))


def _with(spec: Any, **changed: Any) -> Any:
    return type(spec)(**{f.name: getattr(spec, f.name) for f in fields(spec)} | changed)


def _found(name: str, folder: Path) -> str:
    """Return the path of a file or folder beside the settings, the name if there is none."""
    beside = folder / name
    try:
        return str(beside) if not Path(name).is_absolute() and beside.exists() else name
    except OSError:
        return name


def _build(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        short = SHORT.get(cls)
        if short is None or not isinstance(data, str):
            raise SettingsError(f"{where}: {_told(data)}; expected {_kind(cls)}")
        data = {short: data}
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    for name in data:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            guess = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(
                f"{where}: {name!r} is unknown{guess} expected of {', '.join(known)}"
            )
    for f in fields(cls):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in data:
            raise SettingsError(f"{where}: {f.name} is missing")
    values = {name: _value(hints[name], value, f"{where}: {name}") for name, value in data.items()}
    try:
        return cls(**values)
    except GoldenLayersError as error:
        raise SettingsError(f"{where}: {error}") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (hint,) = [one for one in inner if one is not type(None)]
        if value is False and hint in (Sensitivity, Timing):
            return None
        return _value(hint, value, where)
    if origin is tuple:
        listed = value if isinstance(value, list | tuple) else [value]  # one alone needs no list
        return tuple(_value(inner[0], v, f"{where}[{i}]") for i, v in enumerate(listed))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            raise SettingsError(f"{where}: {_told(value)}; expected names with values")
        return dict(value)
    if hint in IN_WORDS:
        number = hint is float and isinstance(value, int) and not isinstance(value, bool)
        if number or (type(value) is hint):
            return hint(value)
        if hint is str and isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # layers: 5
        raise SettingsError(f"{where}: {_told(value)}; expected {IN_WORDS[hint]}")
    return _build(hint, value, where)


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _kind(cls: Any) -> str:
    names = ", ".join(f.name for f in fields(cls))
    return f"a mapping with fields among {names}"
