"""The simple columns of golden-layers' own format as CSV, with a header row, UTF-8.

Columns: id, subject, prompt, target_new, and if wanted target_old and split. Lists and probes do
not fit a cell; facts that have them are written as JSON Lines.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from goldenlayers.facts.validate import RecordError

COLUMNS = ("id", "subject", "prompt", "target_new", "target_old", "split")
OPTIONAL = ("target_old", "split")


def records(path: Path) -> Iterator[tuple[int, object]]:
    """Yield (line, decoded record or `RecordError`); an empty optional cell is None."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        header: list[str] | None = None
        start = 1
        try:
            for row in rows:
                line, start = start, rows.line_num + 1  # a quoted cell may span lines
                if header is None:
                    header = _header(row)
                elif any(cell.strip() for cell in row):
                    yield line, _record(header, row)
        except RecordError as error:
            yield start - 1, error
        except UnicodeDecodeError:
            yield start, RecordError("not UTF-8 text; save the file as UTF-8")
        except csv.Error as error:
            yield start, RecordError(f"not CSV ({error})")


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
