"""A comparison on disk."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from goldenlayers.report.comparison_plot import plot_comparison
from goldenlayers.results import put_together, require_own, strict, write_json
from goldenlayers.study.comparison import (
    CSV_NAME,
    EDITS_NAME,
    FACTS_NAME,
    FORMAT,
    JSON_NAME,
    PICTURE_NAME,
    Comparison,
)
from goldenlayers.sweep.outcome import SCORES, LayerOutcome

# of each edit, beside its scores
TOLD = ("fact", "layer", "status", "nll_before", "nll_after", "steps", "update_norm", "seconds")


def save(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the files; see `Comparison.save`."""
    require_own(folder / JSON_NAME, FORMAT)
    with put_together(folder) as stage:
        write_json(stage / JSON_NAME, comparison.to_dict())
        with (stage / CSV_NAME).open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(["layer", *comparison.test])
            for j, layer in enumerate(comparison.layers):
                out.writerow([layer, *(_cell(values[j]) for values in comparison.test.values())])
        with (stage / FACTS_NAME).open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(["fact", *comparison.layers])
            for name, row in zip(comparison.test_facts, comparison.each, strict=True):
                out.writerow([name, *(f"{value:.6g}" for value in row)])
        write_edits(comparison.edits, stage / EDITS_NAME)
        plot_comparison(comparison, stage / PICTURE_NAME)
    names = (JSON_NAME, CSV_NAME, FACTS_NAME, EDITS_NAME, PICTURE_NAME)
    return [folder / name for name in names]


def write_edits(edits: Sequence[LayerOutcome], path: Path) -> None:
    """Write a row per edit: what became of it, and every score that the fact has."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow([*TOLD, *SCORES])
        for edit in edits:
            scores = [edit.scores.get(name) for name in SCORES]
            out.writerow(strict([*(getattr(edit, name) for name in TOLD), *scores]))


def _cell(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def read_edits(path: Path) -> list[LayerOutcome]:
    """Read what `write_edits` wrote.

    Raises:
        OSError, ValueError, KeyError, TypeError: If it is missing or damaged.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return [
            LayerOutcome(
                fact=row["fact"],
                layer=int(row["layer"]),
                status=row["status"],
                reason="",
                nll_before=float(row["nll_before"] or "nan"),
                nll_after=float(row["nll_after"] or "nan"),
                rewritten=float(row["rewrite"] or 0.0) == 1.0,
                steps=int(row["steps"]),
                update_norm=float(row["update_norm"] or "nan"),
                scores={name: float(row[name]) if row[name] else None for name in SCORES},
                seconds=float(row["seconds"]),
                computed="",
            )
            for row in csv.DictReader(file)
        ]
