"""The header of a GGUF file, walked through before anything else reads it.

The reader of the package gguf believes the counts that a file states: an array of 2^40 numbers in
a file of a kilobyte keeps it busy for ever. Here each part must lie within the file, and there must
be as many blocks as it says, of which transformers needs a second each.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path

from goldenlayers.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes by type
UINT32, STRING, ARRAY = 4, 8, 9
MOST_DIMENSIONS = 4
LONGEST_NAME = 1 << 16  # the format's own bound of a key
BLOCKS = b".block_count"
BLOCK = re.compile(rb"blk\.(\d{1,6})\.")
DEPTH = 2  # arrays in arrays; no known file has them


def require_header(name: str, path: Path) -> None:
    """Refuse a file whose header says more than the file holds.

    Args:
        name: What the user calls it.
        path: The file.

    Raises:
        ModelError: If it is no GGUF file, or a count or length in it cannot be true.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        if magic != MAGIC:
            raise ModelError(
                f"{name}: not a GGUF file; it begins with {magic!r}, expected {MAGIC!r}"
            )
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _Header(data).walk()
            except (_DamageError, struct.error) as error:
                raise ModelError(
                    f"{name}: the GGUF file is damaged or cut off: {error}; fetch it again"
                ) from None


class _DamageError(Exception):
    """What cannot be true."""


class _Header:
    def __init__(self, data: mmap.mmap):
        self._data = data
        self._at = len(MAGIC)
        self._order = "<"
        self._stated: int | None = None  # blocks that the fields tell of
        self._blocks: set[int] = set()  # blocks that have tensors

    def walk(self) -> None:
        (version,) = self._take("I", 4)
        if version & 0xFFFF == 0:  # written by a machine of the other byte order
            self._order = ">"
            self._at -= 4
            (version,) = self._take("I", 4)
        if version not in VERSIONS:
            raise _DamageError(f"it is of version {version}; expected 2 or 3")
        tensors, fields = self._take("QQ", 16)
        # none of them is shorter than its two lengths
        self._within(tensors * 16, f"{tensors} tensors")
        self._within(fields * 12, f"{fields} fields")
        for _ in range(fields):
            key = self._string(LONGEST_NAME)
            (kind,) = self._take("I", 4)
            if key.endswith(BLOCKS) and kind == UINT32:
                (self._stated,) = self._take("I", 4)
            else:
                self._value(kind, 0)
        for _ in range(tensors):
            self._tensor()
        if self._stated is None:
            raise _DamageError("no field says how many blocks the model has")
        if len(self._blocks) < self._stated:
            raise _DamageError(f"it tells of {self._stated} blocks and holds {len(self._blocks)}")

    def _tensor(self) -> None:
        block = BLOCK.match(self._string(LONGEST_NAME))
        if block:
            self._blocks.add(int(block[1]))
        (dimensions,) = self._take("I", 4)
        if dimensions > MOST_DIMENSIONS:
            raise _DamageError(
                f"a tensor of {dimensions} dimensions; expected {MOST_DIMENSIONS} at most"
            )
        self._skip(8 * dimensions + 4)
        (offset,) = self._take("Q", 8)
        if offset > len(self._data):
            raise _DamageError(f"a tensor that begins at byte {offset} of {len(self._data)}")

    def _value(self, kind: int, depth: int) -> None:
        if kind in SCALARS:
            self._skip(SCALARS[kind])
        elif kind == STRING:
            self._string(len(self._data))
        elif kind == ARRAY and depth < DEPTH:
            inner, count = self._take("IQ", 12)
            if inner in SCALARS:
                self._skip(count * SCALARS[inner])
                return
            self._within(8 * count, f"an array of {count}")
            for _ in range(count):
                self._value(inner, depth + 1)
        else:
            raise _DamageError(f"a value of kind {kind}; expected one of 0 to 12")

    def _string(self, most: int) -> bytes:
        """Pass over a text; return its beginning."""
        (length,) = self._take("Q", 8)
        if length > most:
            raise _DamageError(f"a text of {length} bytes")
        self._skip(length)
        start = self._at - length
        return self._data[start : start + min(length, LONGEST_NAME)]

    def _take(self, form: str, size: int) -> tuple[int, ...]:
        found = struct.unpack_from(self._order + form, self._data, self._at)
        self._at += size
        return found

    def _skip(self, size: int) -> None:
        self._within(size, f"{size} bytes")
        self._at += size

    def _within(self, size: int, what: str) -> None:
        if size > len(self._data) - self._at:
            raise _DamageError(f"{what} at byte {self._at} of {len(self._data)}")
