"""The simple columns of golden-layers' own format as CSV, with a header row, UTF-8.

Columns: id, subject, prompt, target_new, and if wanted target_old and split. Lists and probes do
not fit a cell; facts that have them are written as JSON Lines.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from goldenlayers.facts.json_format import NOT_UTF8, Bytes, ignore
from goldenlayers.facts.validate import RecordError

COLUMNS = ("id", "subject", "prompt", "target_new", "target_old", "split")
OPTIONAL = ("target_old", "split")


def records(path: Path, read: Bytes = ignore) -> Iterator[tuple[int, object]]:
    """Yield (line, decoded record or `RecordError`); an empty optional cell is None.

    A row that is damaged costs that row alone; a header that is wrong costs the file.

    Args:
        path: A file of UTF-8 text, with or without a byte order mark.
        read: Called with the number of bytes read so far.
    """
    # bytes that are not UTF-8 arrive as half characters, so that the row that holds them is known
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.reader(file, strict=True)
        header: list[str] | None = None
        while True:
            line = rows.line_num + 1  # a quoted cell may span lines
            record: object
            try:
                row = next(rows)
                read(raw.tell())
                if not any(cell.strip() for cell in row):
                    continue
                _check_text(row)
                if header is None:
                    header = _header(row)
                    continue
                record = _record(header, row)
            except StopIteration:
                return
            except csv.Error as error:
                record = RecordError(f"not CSV ({error})")
            except RecordError as error:
                record = error
            yield line, record
            if header is None:
                return


def _check_text(row: list[str]) -> None:
    if any(NOT_UTF8.search(cell) for cell in row):
        raise RecordError("not UTF-8 text; save the file as UTF-8")


def _header(row: list[str]) -> list[str]:
    names = [cell.strip() for cell in row]
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in names and name not in OPTIONAL]
    if unknown or missing or len(set(names)) != len(names):
        raise RecordError(
            f"the header row is {','.join(names)[:80]!r}; expected the columns "
            f"{', '.join(COLUMNS)} (the last two may be left out), each once"
        )
    return names


def _record(header: list[str], row: list[str]) -> object:
    if len(row) != len(header):
        return RecordError(f"{len(row)} cells in a row of {len(header)} columns")
    return {
        name: None if name in OPTIONAL and not cell.strip() else cell
        for name, cell in zip(header, row, strict=True)
    }
