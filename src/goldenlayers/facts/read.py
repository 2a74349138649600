"""Reading facts: a file or a data set of the hub, record by record."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from goldenlayers.errors import FactError
from goldenlayers.facts import csv_format, hub, json_format
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.fact_set import BadRecord, FactSet, Note
from goldenlayers.facts.formats import FORMATS, OWN, Format, find_format, recognise
from goldenlayers.facts.formats.recognise import LOOKED_AT
from goldenlayers.facts.validate import (
    CutLineError,
    DamagedFileError,
    RecordError,
    kind_of,
    printable,
    short,
)
from goldenlayers.progress import Progress, silent

# One entry per kind of file: suffix -> reader. A reader yields (line, record), where record is a
# decoded object or the RecordError that stopped its decoding.
READERS: dict[str, Callable[[Path, json_format.Bytes], Iterator[tuple[int, object]]]] = {
    ".jsonl": json_format.records,
    ".ndjson": json_format.records,
    ".json": json_format.records,
    ".csv": csv_format.records,
}
MB = 1_000_000
SHOWN = 20  # fields of a record that a message names


@dataclass(frozen=True, slots=True)
class Item:
    """What became of one record.

    Attributes:
        fact: The fact; None if the record was set aside.
        bad: Why it was; None if it was not.
        notes: What was left out of it.
        damaged: Whether others may be lost with it.
        line: As in `BadRecord`.
        record: As in `BadRecord`.
    """

    fact: Fact | None = None
    bad: BadRecord | None = None
    notes: tuple[Note, ...] = ()
    damaged: bool = False
    line: int = 0
    record: int | None = None


class Scan(Iterable[Item]):
    """The records of a source, read one at a time in the memory of one (and of all identifiers).

    Args:
        source: A file, or "hub:owner/name[/config][@commit][:split]".
        format: Name of the format; None to recognise it from the first records.
        progress: Called with "reading", the megabytes read and their total.

    Attributes:
        source: As text.
        format: The format.
        progress: As given.
        unused: After the scan: fields that the format does not read, with the number of records.

    Raises:
        SettingsError: If the format is unknown, or a hub name is none.
        FactError: If the source cannot be read, or the format cannot be recognised.
    """

    def __init__(
        self, source: str | Path, format: str | None = None, progress: Progress = silent
    ) -> None:
        self.source = str(source)
        self.unused: Counter[str] = Counter()
        self.progress = progress
        wanted = None if format is None else find_format(format)
        if self.source.startswith(hub.PREFIX):
            self._records: Callable[[], Iterator[tuple[int, object]]] = hub.HubFacts.of(
                self.source
            ).records
            self.path: Path | None = None
            fallback = None
        else:
            self.path = path = _file(Path(source))
            reader = READERS[path.suffix.lower()]
            size = path.stat().st_size
            self._records = lambda: reader(
                path, lambda done: self.progress("reading, MB", done // MB, max(1, size // MB))
            )
            # a slip in a user's own file: its reader says best what is wrong
            fallback = OWN if path.suffix.lower() != ".json" else None
        self.format = wanted or self._recognised(fallback)

    def __iter__(self) -> Iterator[Item]:
        self.unused.clear()
        seen: dict[str, int] = {}
        try:
            for number, (line, record) in enumerate(self._records()):
                yield self._item(number, line, record, seen)
        except OSError as error:
            raise FactError(f"{self.source}: cannot be read: {error.strerror or error}") from error

    def sha256(self) -> str | None:
        """Return the digest of the file's bytes; None for a data set of the hub."""
        if self.path is None:
            return None
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise FactError(f"{self.source}: cannot be read: {error.strerror}") from error

    def _item(self, number: int, line: int, record: object, seen: dict[str, int]) -> Item:
        try:
            if isinstance(record, RecordError):
                raise record
            if not isinstance(record, dict):
                raise RecordError(
                    f"found {kind_of(record)} where a record was expected; "
                    'a record is a JSON object like {"id": ..., "subject": ..., "prompt": ...}'
                )
            read = self.format.read
            self.unused.update(printable(short(name)) for name in record if name not in read)
            built = self.format.build(record, number)
            fact = built.fact
            if fact.id in seen:
                raise RecordError(
                    f"field 'id': {short(fact.id)!r} was used before, in line {seen[fact.id]}"
                )
        except RecordError as error:
            damaged = isinstance(error, DamagedFileError)
            no_record = damaged and not isinstance(error, CutLineError)
            bad = BadRecord(line, printable(str(error)), None if no_record else number)
            return Item(bad=bad, damaged=damaged)
        if self.format.own_ids:  # numbers are unique anyway, and a large file has many
            seen[fact.id] = line
        notes = tuple(Note(fact.id, printable(text)) for text in built.notes)
        return Item(fact=fact, notes=notes, line=line, record=number)

    def _recognised(self, fallback: Format | None) -> Format:
        try:
            records = self._records()
            first = [record for _, record in islice(records, LOOKED_AT)]
        except OSError as error:
            raise FactError(f"{self.source}: cannot be read: {error.strerror or error}") from error
        found = recognise(first)
        if found is not None:
            return found
        if fallback is not None:
            return fallback
        objects = [r for r in first if isinstance(r, dict)]
        if not objects:
            # nothing to recognise: the own format's reader says what each record is instead
            return OWN
        names = [printable(short(name)) for name in islice(objects[0], SHOWN)]
        raise FactError(
            f"{self.source}: its format is not known. Its first record has the fields "
            f"{', '.join(names) or 'none'}; expected those of one of "
            + "; ".join(f"{f.name} ({', '.join(f.required)})" for f in FORMATS)
            + ". --format NAME reads it as one of these and says what is amiss"
        )


def read_facts(
    source: str | Path,
    *,
    skip_bad: bool | None = None,
    format: str | None = None,
    progress: Progress = silent,
) -> FactSet:
    """Read facts from a published data set as it is, or from a file in golden-layers' own format.

    Args:
        source: A file that ends in .json, .jsonl, .ndjson or .csv, or a data set of the hub as
            "hub:owner/name[/config][@commit][:split]" (needs the package `datasets`).
        skip_bad: Set bad records aside and list them; otherwise the first one is an error. None:
            set them aside in published files, which nobody can mend, but not in a file of the own
            format; a file that is cut off or damaged is an error in both.
        format: Name of the format, see `goldenlayers.facts.formats.FORMATS`; None to recognise it
            from the records.
        progress: Called with "reading", the megabytes read and their total.

    Returns:
        The facts in file order, with the file's SHA-256 and what was set aside.

    Raises:
        FactError: If the source cannot be read, is not what it says, or has a bad record; the
            message starts with `file:line`.
        SettingsError: If the format is unknown.
    """
    scan = Scan(source, format, progress)
    facts: list[Fact] = []
    bad: list[BadRecord] = []
    notes: list[Note] = []
    digest = scan.sha256()
    for item in accepted(scan, skip_bad):
        if item.bad is not None:
            bad.append(item.bad)
        elif item.fact is not None:
            facts.append(item.fact)
            notes.extend(item.notes)
    if not facts:
        why = f"; all {len(bad)} records are bad, the first: {bad[0].reason}" if bad else ""
        raise FactError(f"{scan.source}: no facts in it{why}")
    return FactSet(
        tuple(facts),
        source=scan.source,
        sha256=digest or content_sha256(facts),
        bad=tuple(bad),
        format=scan.format.name,
        notes=tuple(notes),
        unused=MappingProxyType(dict(scan.unused)),
    )


def accepted(scan: Scan, skip_bad: bool | None) -> Iterator[Item]:
    """Yield the items of a scan; the first bad one that may not be set aside is an error.

    Args:
        scan: The scan.
        skip_bad: As for `read_facts`.

    Raises:
        FactError: At a bad record.
    """
    skip = not scan.format.strict if skip_bad is None else skip_bad
    for item in scan:
        # without a word from the user, a file of which some is lost is no file
        if item.bad is not None and (not skip or (item.damaged and skip_bad is None)):
            raise FactError(
                f"{scan.source}:{item.bad.line}: {item.bad.reason} "
                "(--skip-bad goes on without such records)"
            )
        yield item


def content_sha256(facts: Iterable[Fact]) -> str:
    """Return a digest of facts by what they say, for a source without bytes of its own."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(json.dumps(fact.to_record(), sort_keys=True).encode())
    return digest.hexdigest()


def _file(path: Path) -> Path:
    expected = "expected a facts file (.json, .jsonl or .csv)"
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # a name that the file system does not take
        raise FactError(
            f"{path!s}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    if not exists:
        raise FactError(f"{path}: no such file; {expected}")
    if not path.is_file():
        raise FactError(f"{path}: not a file; {expected}")
    if path.suffix.lower() not in READERS:
        raise FactError(
            f"{path}: the name ends in '{path.suffix}'; expected one of {', '.join(READERS)} "
            "(JSON: a list of objects, or one object a line; CSV: one fact a row)"
        )
    return path
