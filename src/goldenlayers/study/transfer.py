"""Does a layer that was chosen on one data set hold on another?

Each method's choice on the proxy facts of one data set is judged on the test facts of every other,
by the edits that a comparison made of them. What is compared is always two layers on the same test
facts: the one chosen elsewhere, and the one that the method chose on this data set's own proxy.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goldenlayers.errors import ResultError, SettingsError
from goldenlayers.locators.fences import Floats
from goldenlayers.results import (
    DAMAGE,
    put_together,
    read_json,
    require_own,
    shown,
    strict,
    write_json,
)
from goldenlayers.study import comparison

FORMAT, FORMAT_VERSION = "golden-layers transfer", 1
JSON_NAME, CSV_NAME = "transfer.json", "transfer.csv"
# Methods that see no facts: they choose the same layer everywhere.
BLIND = ("middle", "random", "fixed")


@dataclass(frozen=True)
class Judged:
    """A comparison of one data set, as far as it is needed.

    Attributes:
        name: Of the data set.
        layers: Numbers of the layers that were edited, L.
        scores: (L,) objective on the test facts.
        each: (N, L) what each test fact contributes to it; None if it was not kept.
        chosen: By method, the layer of each draw; only methods that chose on every draw.
        golden: Best layer on the test facts.
        objective: What makes a layer good, in words.
        facts: How many test facts.
        model: Identity of the model.
    """

    name: str
    layers: tuple[int, ...]
    scores: Floats
    each: Floats | None
    chosen: Mapping[str, tuple[int, ...]]
    golden: int
    objective: str
    facts: int
    model: Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A layer chosen on one data set, judged on another.

    Attributes:
        chosen_on: Name of the first.
        judged_on: Name of the second.
        layers: The layer of each draw.
        score: Objective on the second's test facts, mean over draws; None where a layer was not
            edited there.
        difference: The same less the score of the method's own choice there; 0 on the diagonal.
        standard_error: Of the difference, over test facts; None where it is not known.
    """

    chosen_on: str
    judged_on: str
    layers: tuple[int, ...]
    score: float | None
    difference: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Transfer:
    """Choices of several data sets, each judged on all.

    Attributes:
        data_sets: By name: "golden", "objective", "test_facts", "best" (score of the golden layer).
        methods: By name of the method, one cell for each pair, row by row.
        model: What the model is called.
    """

    data_sets: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, tuple[Cell, ...]]
    model: str

    def mean_difference(self, method: str) -> float | None:
        """Return the mean over all pairs of two data sets of the difference; None without any."""
        apart = [
            c.difference
            for c in self.methods[method]
            if c.chosen_on != c.judged_on and c.difference is not None
        ]
        return float(np.mean(apart)) if apart else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        data: dict[str, Any] = strict(
            {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        )
        return data

    def save(self, folder: str | Path) -> list[Path]:
        """Write transfer.json and transfer.csv, both or none; return their paths.

        Raises:
            ResultError: If the folder cannot be written, or holds something else of that name.
        """
        folder = Path(folder)
        require_own(folder / JSON_NAME, FORMAT)
        with put_together(folder) as stage:
            write_json(stage / JSON_NAME, self.to_dict())
            with (stage / CSV_NAME).open("w", encoding="utf-8", newline="") as file:
                out = csv.writer(file)
                out.writerow(["method", *Cell.__dataclass_fields__])
                for method, cells in self.methods.items():
                    for cell in cells:
                        values = asdict(cell) | {"layers": " ".join(map(str, cell.layers))}
                        out.writerow([method, *values.values()])
        return [folder / JSON_NAME, folder / CSV_NAME]


def transfer(folders: Mapping[str, str | Path]) -> Transfer:
    """Judge the choices of each comparison on the test facts of all.

    Args:
        folders: By name of the data set, the folder that `golden-layers compare` wrote.

    Raises:
        SettingsError: If there are fewer than two, or they are of different models.
        ResultError: If one cannot be read, or no method chose in all.
    """
    if len(folders) < 2:
        raise SettingsError(f"{len(folders)} comparisons; expected two or more, one per data set")
    read = [load(name, Path(folder)) for name, folder in folders.items()]
    models = {json.dumps([j.model.get(k) for k in ("title", "files")]) for j in read}
    if len(models) > 1:
        raise SettingsError(
            "the comparisons are of different models: "
            + ", ".join(f"{j.name}: {j.model.get('title')}" for j in read)
        )
    shared = [m for m in read[0].chosen if all(m in j.chosen for j in read)]
    if not shared:
        raise ResultError(
            "no method chose in all of the comparisons; run compare with the same --methods"
        )
    return Transfer(
        data_sets={
            j.name: {
                "golden": j.golden,
                "best": float(j.scores.max()),
                "objective": j.objective,
                "test_facts": j.facts,
            }
            for j in read
        },
        methods={m: tuple(_cell(m, one, other) for one in read for other in read) for m in shared},
        model=str(read[0].model.get("title", "")),
    )


def _cell(method: str, one: Judged, other: Judged) -> Cell:
    layers = one.chosen[method]
    here, own = _weights(layers, other), _weights(other.chosen[method], other)
    score = difference = error = None
    if here is not None and own is not None:
        score = float(other.scores @ here)
        difference = float(other.scores @ (here - own))
        if other.each is not None and len(other.each) > 1:
            apart = other.each @ (here - own)  # (N,)
            error = float(apart.std(ddof=1)) / math.sqrt(len(apart))
    return Cell(one.name, other.name, layers, score, difference, error)


def _weights(layers: Sequence[int], judged: Judged) -> Floats | None:
    """Return the share of the draws that chose each layer, (L,); None if one was not edited."""
    if any(n not in judged.layers for n in layers):
        return None
    counts = np.array([layers.count(n) for n in judged.layers], dtype=float)
    return np.asarray(counts / counts.sum())


def load(name: str, folder: Path) -> Judged:
    """Read a comparison.

    Raises:
        ResultError: If it is missing, damaged or something else.
    """
    path = folder / comparison.JSON_NAME if folder.is_dir() else folder
    data = read_json(path, "expected a folder of golden-layers compare")
    try:
        if data["format"] != comparison.FORMAT:
            raise ValueError(f"its format is {data['format']!r}")
        if data["format_version"] != comparison.FORMAT_VERSION:
            raise ValueError(f"its format version is {data['format_version']!r}")
        layers = tuple(int(n) for n in data["layers"])
        scores = np.array(data["test"]["score"], dtype=float)
        if scores.shape != (len(layers),) or not np.isfinite(scores).all():
            raise ValueError("it does not have one score for each layer")
        chosen = {
            str(m["method"]): tuple(int(c["layer"]) for c in m["choices"])
            for m in data["methods"]
            if not str(m["method"]).startswith(BLIND) and m["choices"] and not m["failed"]
        }
        n = len(data["test_facts"])
        golden, objective, model = int(data["golden"]), str(data["made_of"]), dict(data["model"])
    except DAMAGE as error:
        raise ResultError(
            f"{path}: no comparison as golden-layers writes it: {shown(error)}"
        ) from None
    each = _each(path.parent / comparison.FACTS_NAME, n, len(layers))
    return Judged(name, layers, scores, each, chosen, golden, objective, n, model)


def _each(path: Path, n: int, n_layers: int) -> Floats | None:
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        each = np.array([[float(v) for v in row[1:]] for row in rows])
    except (OSError, ValueError, csv.Error) as error:
        raise ResultError(f"{path}: cannot be read: {shown(error)}") from None
    if each.shape != (n, n_layers) or not np.isfinite(each).all():
        raise ResultError(
            f"{path}: {each.shape} numbers; expected {n} test facts at {n_layers} layers"
        )
    return each
