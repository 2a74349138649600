"""A set of 64-bit numbers that takes 16 to 32 bytes each, a sixth of what Python's own takes."""

from __future__ import annotations

import hashlib
from array import array

START = 1 << 10


def text_hash(*parts: str) -> int:
    """Return a number of 64 bits that texts decide, in order and apart from each other."""
    # lengths keep ("ab", "c") and ("a", "bc") apart
    text = "".join(f"{len(p)}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[-8:], "big")


class HashSet:
    """Numbers from 0 to 2^64 - 1 by open addressing; they should be hashes already."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * START))
        self._zero = False  # 0 marks a free slot
        self._count = 0

    def __len__(self) -> int:
        return self._count + self._zero

    def __contains__(self, value: int) -> bool:
        return self._zero if value == 0 else self._slots[self._slot(value)] == value

    def add(self, value: int) -> bool:
        """Add a number; return whether it was not there."""
        if value == 0:
            new, self._zero = not self._zero, True
            return new
        at = self._slot(value)
        if self._slots[at] == value:
            return False
        self._slots[at] = value
        self._count += 1
        if 2 * self._count > len(self._slots):
            old = self._slots
            self._slots = array("Q", bytes(16 * len(old)))
            for moved in old:
                if moved:
                    self._slots[self._slot(moved)] = moved
        return True

    def _slot(self, value: int) -> int:
        """Return where a number is, or the free slot where it belongs."""
        slots, last = self._slots, len(self._slots) - 1
        at = value & last
        while slots[at] and slots[at] != value:
            at = (at + 1) & last
        return at
