"""A comparison on disk."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from goldenlayers.report.comparison_plot import plot_comparison
from goldenlayers.results import put_together, require_own, write_json
from goldenlayers.study.comparison import (
    CSV_NAME,
    FACTS_NAME,
    FORMAT,
    JSON_NAME,
    PICTURE_NAME,
    Comparison,
)


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
        plot_comparison(comparison, stage / PICTURE_NAME)
    return [folder / name for name in (JSON_NAME, CSV_NAME, FACTS_NAME, PICTURE_NAME)]


def _cell(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""
