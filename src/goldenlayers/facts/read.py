"""Reading a facts file: which format, which records, which set aside and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts import csv_format, jsonl_format
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.validate import SPLITS, RecordError, fact_from_record

# One entry per file format: suffix -> reader. A reader yields (line, record), where record is a
# decoded object or the RecordError that stopped the decoding of that line.
READERS: dict[str, Callable[[Path], Iterator[tuple[int, object]]]] = {
    ".jsonl": jsonl_format.records,
    ".ndjson": jsonl_format.records,
    ".csv": csv_format.records,
}


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was set aside.

    Attributes:
        line: Line in the file, counted from 1.
        reason: One sentence that names the field.
    """

    line: int
    reason: str


@dataclass(frozen=True)
class FactSet(Sequence[Fact]):
    """Facts with their origin; behaves as a sequence of `Fact`.

    Attributes:
        facts: The facts, in the order of the file.
        source: Path or name that the facts were read from.
        sha256: Hex digest of the file's bytes, or None for facts that come from no file.
        bad: Records set aside.
    """

    facts: tuple[Fact, ...]
    source: str = "memory"
    sha256: str | None = None
    bad: tuple[BadRecord, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.facts)

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> FactSet: ...
    def __getitem__(self, index: int | slice) -> Fact | FactSet:
        if isinstance(index, slice):
            return replace(self, facts=self.facts[index])
        return self.facts[index]

    def split(self, name: str) -> FactSet:
        """Return the facts of one split.

        Args:
            name: "proxy", "test", "all", or "auto": the proxy facts where the file marks any
                (layers must be chosen without sight of the test facts), else all.

        Raises:
            SettingsError: If the name is unknown.
            FactError: If the split has no facts.
        """
        if name not in (*SPLITS, "all", "auto"):
            raise SettingsError(f"split '{name}' is unknown; expected proxy, test, all or auto")
        if name == "auto":
            name = "proxy" if any(f.split == "proxy" for f in self.facts) else "all"
        if name == "all":
            return self
        chosen = tuple(f for f in self.facts if f.split == name)
        if not chosen:
            raise FactError(
                f"{self.source}: none of the {len(self.facts)} facts is in split '{name}'; "
                "mark facts with it in the field 'split', or choose --split all"
            )
        return replace(self, facts=chosen)


def read_facts(path: str | Path, *, skip_bad: bool = False) -> FactSet:
    """Read facts from a file in golden-layers' own format, JSON Lines or CSV.

    Args:
        path: File that ends in .jsonl, .ndjson or .csv.
        skip_bad: Set bad records aside and count them; otherwise the first one is an error.

    Returns:
        The facts in file order, with the file's SHA-256 and what was set aside.

    Raises:
        FactError: If the file cannot be read, is not what it says, or has a bad record; the message
            starts with `file:line`.
    """
    path = Path(path)
    try:
        exists = path.exists()
    except OSError as error:  # a name that the file system does not take
        raise FactError(f"{path}: cannot be read: {error.strerror}") from error
    if not exists:
        raise FactError(f"{path}: no such file; expected a facts file (.jsonl or .csv)")
    if not path.is_file():
        raise FactError(f"{path}: not a file; expected a facts file (.jsonl or .csv)")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise FactError(
            f"{path}: the name ends in '{path.suffix}'; expected one of {', '.join(READERS)} "
            "(JSON Lines: one object a line; CSV: one fact a row)"
        )
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        facts, bad = _validate(path, reader(path), skip_bad=skip_bad)
    except OSError as error:
        raise FactError(f"{path}: cannot be read: {error.strerror}") from error
    if not facts:
        why = f"; all {len(bad)} records are bad, the first: {bad[0].reason}" if bad else ""
        raise FactError(f"{path}: no facts in it{why}")
    return FactSet(tuple(facts), source=str(path), sha256=digest, bad=tuple(bad))


def _validate(
    path: Path, records: Iterator[tuple[int, object]], *, skip_bad: bool
) -> tuple[list[Fact], list[BadRecord]]:
    facts: list[Fact] = []
    bad: list[BadRecord] = []
    seen: dict[str, int] = {}
    for line, record in records:
        try:
            if isinstance(record, RecordError):
                raise record
            fact = fact_from_record(record)
            if fact.id in seen:
                raise RecordError(
                    f"field 'id': {fact.id!r} was used before, in line {seen[fact.id]}"
                )
        except RecordError as error:
            if not skip_bad:
                raise FactError(
                    f"{path}:{line}: {error} (--skip-bad goes on without such records)"
                ) from None
            bad.append(BadRecord(line, str(error)))
            continue
        seen[fact.id] = line
        facts.append(fact)
    return facts, bad
