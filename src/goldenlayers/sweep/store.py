"""The store of a sweep: each outcome is on disk as soon as it is made, and stays there.

An SQLite file. What is in it belongs to one model, one list of facts and one way of editing: it is
opened with what identifies them, and refused if that differs. One process at a time may have it
open. A transaction is either there or not, whenever the process or the machine stops.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from goldenlayers.disk import reason
from goldenlayers.errors import ResultError
from goldenlayers.sweep.outcome import LayerOutcome
from goldenlayers.sweep.rows import outcome_of, row_of

NAME = "sweep.sqlite"
FORMAT_VERSION = 2  # 2: locality is the mean of its kinds
# "GLsw": told apart from other SQLite files without reading a table
APPLICATION_ID = 0x474C7377
CREATE = """
CREATE TABLE outcomes (
    fact TEXT, layer INTEGER, status TEXT, reason TEXT, nll_before REAL, nll_after REAL,
    rewritten INTEGER, steps INTEGER, update_norm REAL, scores TEXT, seconds REAL, computed TEXT,
    PRIMARY KEY (fact, layer)
)"""
INSERT = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT = "SELECT * FROM outcomes"


class Store:
    """Outcomes by fact and layer, in memory and on disk.

    Args:
        path: The file; None keeps nothing on disk.
        identity: What the outcomes belong to, ready for JSON: model, facts, settings.
        resume: Go on with a file that is there; without, one that holds outcomes is refused.

    Attributes:
        path: As given.
        outcomes: What is known, by identifier of the fact and layer.

    Raises:
        ResultError: If the file cannot be used, or belongs to something else.
    """

    def __init__(
        self, path: Path | None = None, identity: Mapping[str, Any] | None = None,
        *, resume: bool = False,
    ):  # fmt: skip
        self.path = path
        self.outcomes: dict[tuple[str, int], LayerOutcome] = {}
        self._connection: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            self._open(path, dict(identity or {}), resume)
        except (sqlite3.Error, OSError) as error:
            self.close()
            if "locked" in str(error):
                raise ResultError(
                    f"{path}: another process is writing into it; wait for it, or choose another "
                    "folder"
                ) from None
            # SQLite calls damage by one class, and what the system refuses by another below it
            damaged = not isinstance(error, sqlite3.OperationalError | OSError)
            raise ResultError(
                f"{path}: cannot be used as the store of a sweep: {reason(error)}"
                + ("; move it away to start anew" if damaged else "; nothing is lost")
            ) from error
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, identity: dict[str, Any], resume: bool) -> None:
        database = self._connection
        assert database is not None
        # the lock is kept until the file is closed, so that two processes never mix their work
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN EXCLUSIVE")
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (mark,) = database.execute("PRAGMA application_id").fetchone()
        if not tables:
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            database.execute("CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            database.execute(CREATE)
            database.executemany(
                "INSERT INTO identity VALUES (?, ?)",
                [(name, _text(value)) for name, value in identity.items()],
            )
            database.execute("COMMIT")
            return
        if mark != APPLICATION_ID:
            raise ResultError(f"{path}: is not the store of a sweep; choose another folder")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != FORMAT_VERSION:
            raise ResultError(
                f"{path}: format version {version}; this golden-layers reads {FORMAT_VERSION}; "
                "choose another folder, or go on with the version that began it"
            )
        (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise ResultError(f"{path}: damaged: {sound}; move it away to start anew")
        there = dict(database.execute("SELECT name, value FROM identity").fetchall())
        database.execute("COMMIT")
        rows = database.execute(SELECT).fetchall()
        if rows and not resume:
            raise ResultError(
                f"{path}: {len(rows)} outcomes of a sweep are there; --resume goes on with them, "
                "or choose another folder"
            )
        for name in {**there, **identity}:
            mine = _text(identity[name]) if name in identity else None
            if there.get(name) != mine:
                how = _differ(there.get(name), mine)
                raise ResultError(
                    f"{path}: holds a sweep of another kind: its {name} {how}; give the same "
                    "model, facts and settings, or another folder"
                )
        for row in rows:
            try:
                outcome = outcome_of(row)
            except ValueError as error:
                raise ResultError(
                    f"{path}: damaged: {error}; move it away to start anew"
                ) from error
            self.outcomes[outcome.fact, outcome.layer] = outcome

    @property
    def kept(self) -> str:
        """Where the outcomes are after a stop and how to go on with them, for the end of a line."""
        return f", kept in {self.path}: --resume goes on" if self.path else ""

    def add(self, outcomes: Iterable[LayerOutcome]) -> None:
        """Keep outcomes; when this returns they are on disk, all of them.

        Raises:
            ResultError: If they cannot be written, as on a full disk; none of them is kept then.
        """
        made = list(outcomes)
        if self._connection is not None:
            rows = [row_of(outcome) for outcome in made]
            try:
                self._connection.execute("BEGIN")
                self._connection.executemany(INSERT, rows)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise ResultError(
                    f"{self.path}: cannot be written: {reason(error)}; what was kept before is "
                    "safe, and --resume goes on from there"
                ) from error
        for outcome in made:
            self.outcomes[outcome.fact, outcome.layer] = outcome

    def close(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _differ(there: str | None, mine: str | None) -> str:
    if there is None or mine is None:
        return "is not known to both"
    if len(there) + len(mine) < 160:
        return f"is {there}, expected {mine}"
    old, new = json.loads(there), json.loads(mine)
    if isinstance(old, dict) and isinstance(new, dict):
        names = [n for n in {**old, **new} if old.get(n) != new.get(n)]
        shown = [(n, _text(old.get(n)), _text(new.get(n))) for n in names]
        told = [f"{n} {a}, expected {b}" if len(a) + len(b) < 160 else n for n, a, b in shown]
        return f"differ in {'; '.join(told)}"
    return "differ"
