"""Which file of a model's folder is cut short or missing: a copy or a download that broke off."""

from __future__ import annotations

import json
import struct
from pathlib import Path

INDEX = "model.safetensors.index.json"
LONGEST_HEADER = 100_000_000  # bytes; safetensors takes no longer one


def what_is_cut_short(folder: Path) -> str | None:
    """Return a sentence on the first file that is not whole; None if all that can be told are.

    Only lengths and JSON are looked at, so that it takes no longer for a large model.
    """
    try:
        for path in sorted(folder.glob("*.json")):
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError):
                size = path.stat().st_size
                return f"{path.name} is cut short or damaged: {size:,} bytes that are no JSON"
            if path.name == INDEX and isinstance(found, dict):
                shards = found.get("weight_map")
                for name in sorted(set(map(str, shards.values()))) if shards else ():
                    if not (folder / name).is_file():
                        return f"{name} is missing, though {INDEX} names it"
        for path in sorted(folder.glob("*.safetensors")):
            size, whole = path.stat().st_size, _length(path)
            if whole != size:
                expected = "no header" if whole is None else f"{whole:,} by its header"
                return f"{path.name} is cut short or damaged: {size:,} bytes, {expected}"
    except (OSError, AttributeError):
        pass  # what cannot be read is told by who wanted to
    return None


def _length(path: Path) -> int | None:
    """Return how long a safetensors file should be; None if it has no header."""
    with path.open("rb") as file:
        first = file.read(8)
        if len(first) < 8:
            return None
        (length,) = struct.unpack("<Q", first)
        if length > LONGEST_HEADER:
            return None
        try:
            header = json.loads(file.read(length))
            ends = [part["data_offsets"][1] for n, part in header.items() if n != "__metadata__"]
            return int(8 + length + max(ends, default=0))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return None
