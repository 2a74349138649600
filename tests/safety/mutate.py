"""Files that somebody damaged, or made on purpose: mutations of sound ones, from a seed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOSTILE = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, -0.0, 1e308, float("nan"), float("inf"), "", " ",
    "../../escaped", "/tmp/escaped", "C:\\escaped", "\x00", "\ud800", "<script>alert(1)</script>",
    "[bold]x[/]", "{0.__class__}", "%s%n", "a" * 100_000, [], [[]], {}, [None] * 1000,
    {"format": "golden-layers edit"}, "nan", "-inf", "1e999", "\x1b[2J\x1b]0;x\x07", "\x9b31m",
    "\u202etxt.exe", "x\nerror: y",
)  # fmt: skip


def bytes_of(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, double, insert or swap bytes."""
    kind = rng.randrange(7)
    if kind == 0:
        return data[: rng.randrange(len(data) + 1)]
    if kind == 1:
        return data + rng.randbytes(rng.randrange(1, 64))
    out = bytearray(data)
    at = rng.randrange(len(out))
    if kind == 2:
        for _ in range(rng.choice((1, 1, 4, 32))):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif kind == 3:
        out[at:at] = rng.randbytes(rng.choice((1, 8, 200)))
    elif kind == 4:
        del out[at : at + rng.choice((1, 8, 200))]
    elif kind == 5:
        end = at + rng.choice((1, 8, 200))
        out[at:end] = bytes(len(out[at:end]))
    else:
        part = out[at : at + rng.choice((4, 50, 400))]
        out[at:at] = part * rng.choice((1, 3))
    return bytes(out)


def json_of(data: bytes, rng: random.Random) -> bytes:
    """Change values of JSON: other kinds, huge ones, missing ones, hostile texts, depth."""
    try:
        value = json.loads(data)
    except ValueError:  # a mutation of lines: each is JSON
        lines = data.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        lines[at] = json_of(lines[at], rng).rstrip(b"\n") + b"\n"
        return b"".join(lines)
    for _ in range(rng.choice((1, 1, 1, 3))):
        value = _changed(value, rng)
    if rng.random() < 0.03:
        return b"[" * 200_000
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _changed(value: Any, rng: random.Random) -> Any:
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        inner = part.items() if isinstance(part, dict) else enumerate(part)
        for key, item in inner:
            places.append((part, key))
            if isinstance(item, dict | list):
                walk(item)

    if not isinstance(value, dict | list) or not value:
        return rng.choice(HOSTILE)
    walk(value)
    part, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind == 0 or (kind == 1 and isinstance(part, list)):
        del part[key]
    elif kind == 1:
        part[str(rng.choice(HOSTILE))[:1000]] = part.pop(key)
    elif kind == 2 and isinstance(part[key], str):
        part[key] = part[key] + rng.choice(("\x00", "../", "\ud800", "<b>", " " * 50_000))
    elif kind == 3 and isinstance(part[key], int | float) and not isinstance(part[key], bool):
        part[key] = rng.choice((-part[key], part[key] + 1, part[key] * 10**9, str(part[key])))
    else:
        part[key] = rng.choice(HOSTILE)
    return value


def safetensors_of(data: bytes, rng: random.Random) -> bytes:
    """Change the header: shapes, dtypes, offsets, the record in the metadata, its own length."""
    (length,) = struct.unpack("<Q", data[:8])
    if rng.random() < 0.1:
        return struct.pack("<Q", rng.choice((0, 1, 2**20, 2**40, 2**63))) + data[8:]
    header = json.loads(data[8 : 8 + length])
    record = (header.get("__metadata__") or {}).get("golden_layers")
    if record is not None and rng.random() < 0.7:
        changed = json_of(record.encode(), rng)
        header["__metadata__"]["golden_layers"] = changed.decode("utf-8", "replace")
    else:
        header = (
            json.loads(json_of(json.dumps(header).encode(), rng).decode("utf-8", "replace"))
            if rng.random() < 0.9
            else {}
        )
    text = json.dumps(header).encode("utf-8", "replace")
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def gguf_of(data: bytes, rng: random.Random) -> bytes:
    """Change the beginning of a GGUF file, where its counts and lengths are."""
    head, rest = data[:1500], data[1500:]
    if rng.random() < 0.5:
        return bytes_of(head, rng) + rest
    out = bytearray(head)
    at = rng.randrange(len(out) - 8)
    out[at : at + 8] = struct.pack("<Q", rng.choice((0, 1, 9, 2**16, 2**31, 2**40, 2**63)))
    return bytes(out) + rest


def mutated(path: Path, rng: random.Random) -> bytes:
    """Return a file's bytes, damaged in a way that fits its kind."""
    data = path.read_bytes()
    ways: list[Callable[[bytes, random.Random], bytes]] = [bytes_of]
    if path.suffix in (".json", ".jsonl"):
        ways += [json_of] * 4
    if path.suffix == ".safetensors":
        ways += [safetensors_of] * 4
    if path.suffix == ".gguf":
        ways += [gguf_of] * 4
    try:
        return rng.choice(ways)(data, rng) if data else rng.randbytes(20)
    except (RecursionError, ValueError):
        return bytes_of(data, rng)
