"""Golden-layers' own format as JSON Lines: one record a line, UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldenlayers.facts.validate import RecordError


def records(path: Path) -> Iterator[tuple[int, object]]:
    """Yield (line, decoded record or `RecordError`); blank lines are passed over."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")  # byte order mark
            if raw.strip():
                yield number, _decode(raw)


def _decode(raw: bytes) -> object:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return RecordError(f"not UTF-8 text (byte {error.start} of the line); save it as UTF-8")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecordError as error:
        return error
    except RecursionError:
        return RecordError("brackets are nested too deeply to be a record")
    except ValueError as error:
        found = text.strip()[:40]
        return RecordError(f"not JSON ({error}); found {found!r}, expected one JSON object a line")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs:
        if name in out:
            raise RecordError(f"field '{name}' occurs twice in the record")
        out[name] = value
    return out


def _no_constant(name: str) -> object:
    raise RecordError(f"{name} is not JSON")
