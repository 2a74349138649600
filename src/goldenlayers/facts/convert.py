"""Writing facts in golden-layers' own format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from goldenlayers.disk import not_written
from goldenlayers.errors import FactError, ResultError
from goldenlayers.facts.fact import Fact
from goldenlayers.files import write_whole

SUFFIXES = (".jsonl", ".ndjson")


def check_place(out: str | Path) -> Path:
    """Return where facts are to be written, if they can be.

    Raises:
        ResultError: If the name does not end in .jsonl, there is a file already, or no folder.
    """
    path = Path(out).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise ResultError(
            f"{path}: the name ends in '{path.suffix}'; expected {' or '.join(SUFFIXES)}, for the "
            "own format is written as JSON Lines"
        )
    try:
        if path.exists():
            raise ResultError(f"{path}: there is a file already; delete it, or name another")
        if not path.parent.is_dir():
            raise ResultError(f"{path}: there is no folder {path.parent}; make it first")
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return path


def write_facts(facts: Iterable[Fact], out: str | Path) -> int:
    """Write facts as they come, one at a time; the file is there whole or not at all.

    Args:
        facts: The facts.
        out: A file that is not there yet, ending in .jsonl.

    Returns:
        How many were written.

    Raises:
        ResultError: If the file cannot be written.
        FactError: If there are no facts.
    """
    path = check_place(out)
    count = 0

    def write(part: Path) -> None:
        nonlocal count
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for fact in facts:
                file.write(json.dumps(fact.to_record(), ensure_ascii=False) + "\n")
                count += 1
        if not count:
            raise FactError(f"{path}: no facts to write")

    try:
        write_whole(path, write)
    except OSError as error:
        raise not_written(path, error) from error
    return count
