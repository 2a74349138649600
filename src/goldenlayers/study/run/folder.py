"""The folder of a study: one place per piece of work, whole or not there.

A piece's folder holds its results and, written last, `piece.json` with the key of everything that
had a say. The same settings find the piece again; others do it anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from goldenlayers.disk import not_written
from goldenlayers.errors import ResultError
from goldenlayers.files import write_whole
from goldenlayers.results import DAMAGE, require_own, strict, write_json

FORMAT, FORMAT_VERSION = "golden-layers study", 1
PIECE_FORMAT = "golden-layers piece of a study"
INDEX, PIECE, LOCK = "study.json", "piece.json", ".lock"
LONGEST = 48  # characters of a name's readable part


class RunFolder:
    """Where a study keeps what it finds.

    Args:
        path: The folder; made when something is written.
    """

    def __init__(self, path: Path):
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[RunFolder]:
        """Keep other processes out while a study runs.

        Raises:
            ResultError: If another study runs in this folder, it holds something else, or it cannot
                be written.
        """
        require_own(self.path / INDEX, FORMAT)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / LOCK, timeout=0):
                yield self
        except Timeout:
            raise ResultError(
                f"{self.path}: another process runs a study in it; wait for it, or choose another "
                "folder"
            ) from None
        except OSError as error:
            raise not_written(self.path, error) from error

    def done(self, place: Path, key: str) -> float | None:
        """Return the seconds that a piece took; None if it is not there, or of other settings."""
        try:
            found = json.loads((self.path / place / PIECE).read_text(encoding="utf-8"))
            if found["format"] == PIECE_FORMAT and found["key"] == key:
                return float(found["seconds"])
        except (OSError, *DAMAGE):
            pass  # not there, or cut short: it is done anew
        return None

    def finish(self, place: Path, key: str, seconds: float, what: Mapping[str, Any]) -> None:
        """Say that a piece is whole.

        Raises:
            ResultError: If it cannot be written.
        """
        data = {"format": PIECE_FORMAT, "key": key, "seconds": seconds, "what": dict(what)}
        self.write(place / PIECE, data)

    def unfinish(self, place: Path) -> None:
        """Forget that a piece is whole, before its results are replaced."""
        (self.path / place / PIECE).unlink(missing_ok=True)

    def write(self, place: Path, data: Mapping[str, Any]) -> None:
        """Write a JSON file, whole or not at all.

        Raises:
            ResultError: If it cannot be written.
        """
        target = self.path / place
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, lambda path: write_json(path, strict(data)))
        except OSError as error:
            raise not_written(target, error) from error


def folder_name(name: str) -> str:
    """Return a name as every file system takes it; different names stay different."""
    kept = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:LONGEST]
    if kept and kept == name:
        return kept
    told = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{kept}-{told}" if kept else told
