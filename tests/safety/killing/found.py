"""What lies in a folder after a command was killed or has ended: sound, whole, and the same."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import goldenlayers as gl
from goldenlayers.covariance.store import read_tensors, tensor_hash
from goldenlayers.study.comparison import EDITS_NAME
from goldenlayers.study.comparison import JSON_NAME as COMPARISON
from goldenlayers.study.comparison_files import read_edits
from goldenlayers.sweep.rows import COLUMNS
from goldenlayers.sweep.store import NAME

RANKING = "ranking.json"
LAYERS = 4  # of the tiny model
# how long things took is another each time; nothing else is
TIMES = {"seconds", "edit_seconds", "lga_seconds", "relative"}


def rows_of(store: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the rows of a sweep's store, which SQLite holds for sound; none if it is not there.

    A copy is read: what a killed process left to be undone stays for the command that goes on.
    """
    if not store.exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for part in store.parent.glob(f"{store.name}*"):
            shutil.copy(part, folder)
        with closing(sqlite3.connect(Path(folder) / store.name)) as database:
            ((sound,),) = database.execute("PRAGMA integrity_check").fetchall()
            assert sound == "ok"
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if "outcomes" not in tables:  # killed before it was made
                return {}
            rows = database.execute("SELECT * FROM outcomes").fetchall()
    made = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return {(row["fact"], row["layer"]): row for row in made}


def require_sound(folder: Path, told: Mapping[str, list[Any]]) -> None:
    """Look at everything that a killed command left.

    Args:
        folder: Its folder.
        told: What it and its forerunners held for finished.
    """
    out, cache = folder / "out", folder / "cache" / "covariance"
    rows = rows_of(out / NAME)
    for fact, layer, nll, norm, seconds in told.get("outcome", ()):
        row = rows[fact, layer]
        assert [row["nll_after"], row["update_norm"], row["seconds"]] == [nll, norm, seconds]
    for path, digest in told.get("moment", ()):
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
    # what has a result's name is a whole result
    if (out / RANKING).exists():
        gl.LayerRanking.load(out)
    if (out / COMPARISON).exists():
        json.loads((out / COMPARISON).read_text(encoding="utf-8"))
        read_edits(out / EDITS_NAME)
    for path in cache.glob("layer-*"):
        tensors, record = read_tensors(path)
        assert tensor_hash(tensors["sum"]) == record["sha256"]
    if "partial" in told and len(told.get("moment", ())) < LAYERS:
        states = [json.loads(p.read_text()) for p in cache.glob("partial-*/state.json")]
        assert max(state["tokens"] for state in states) >= max(told["partial"])


def final(folder: Path) -> dict[str, Any]:
    """Return every number of a command that has ended, but how long it took."""
    out, cache = folder / "out", folder / "cache" / "covariance"
    rows = rows_of(out / NAME)
    found: dict[str, Any] = {
        "rows": {key: {**row, "seconds": 0} for key, row in sorted(rows.items())}
    }
    for name in (RANKING, COMPARISON):
        if (out / name).exists():
            found[name] = _timeless(json.loads((out / name).read_text(encoding="utf-8")))
    for path in out.glob("[!.]*.csv"):  # what a killed process left half-written has a dot
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        found[path.name] = [{k: v for k, v in r.items() if k not in TIMES} for r in lines]
    for path in cache.glob("layer-*"):
        tensors, record = read_tensors(path)
        found[path.name] = (tensor_hash(tensors["sum"]), record["tokens"])
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return [_timeless(v) for v in value] if isinstance(value, list) else value
