"""`StoredStudy`: everything that a study found, read from its folder. No model is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from goldenlayers.errors import ResultError
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.metrics.scores import MEAN_OF
from goldenlayers.results import DAMAGE, damaged, read_json
from goldenlayers.study import comparison
from goldenlayers.study.comparison_files import read_edits
from goldenlayers.study.judge import Judge
from goldenlayers.study.run import edited, timed
from goldenlayers.study.run.folder import FORMAT, FORMAT_VERSION, INDEX
from goldenlayers.study.run.pieces import COMPARE, EDITS, RANK, TIME, TRACE
from goldenlayers.sweep.objective import LayerScores


@dataclass(frozen=True)
class Chosen:
    """What a way to choose chose.

    Attributes:
        method: Its name.
        weights: (L,) share of the draws that chose each layer; of "random", its distribution.
        layers: The layer of each draw.
        told: Per draw, what the comparison tells of it.
    """

    method: str
    weights: Floats
    layers: tuple[int, ...]
    told: tuple[Mapping[str, Any], ...]

    def mean(self, name: str) -> float | None:
        """Return the mean of a number over the draws that have it."""
        values = [float(v) for t in self.told if (v := t.get(name)) is not None]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True)
class Compared:
    """A comparison: one model, data set, editor and size of the proxy.

    Attributes:
        model: What figures call the model.
        data: The data set.
        editor: The editor.
        variant: What tells it from others of these.
        proxy: Facts in a draw.
        seconds: What the piece took.
        told: The comparison, as it was written.
        scores: Of each test fact at each layer.
        edit_seconds: What the edits of the test facts took.
    """

    model: str
    data: str
    editor: str
    variant: str
    proxy: int
    seconds: float
    told: Mapping[str, Any]
    scores: LayerScores
    edit_seconds: float
    _judges: dict[str, Judge] = field(default_factory=dict, repr=False, compare=False)

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the layers."""
        return self.scores.layers

    @property
    def objective(self) -> str:
        """What makes a layer good."""
        return str(self.told["objective"])

    def judge_of(self, score: str) -> Judge:
        """Return what judges choices by a score."""
        if score not in self._judges:
            seed = int(self.told["settings"]["seed"])
            self._judges[score] = Judge(self.scores, score, seed)
        return self._judges[score]

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that the facts have, and their mean where there are several."""
        there = self.scores.members("mean")
        return (*there, "mean") if len(there) > 1 else there

    @cached_property
    def chosen(self) -> dict[str, Chosen]:
        """By name, the ways to choose that chose a layer."""
        found = {}
        for method in self.told["methods"]:
            choices = method["choices"]
            if not choices:
                continue
            layers = tuple(int(c["layer"]) for c in choices)
            weights = np.array([layers.count(n) for n in self.layers], dtype=float)
            if method["method"] == "random":
                weights = np.ones(len(self.layers))
            found[str(method["method"])] = Chosen(
                str(method["method"]), weights / weights.sum(), layers, tuple(choices)
            )
        return found

    def at(self, weights: Floats, score: str) -> tuple[float, float | None]:
        """Return a score at chosen layers, and its standard error over test facts."""
        each = self.scores.contributions(score) @ weights  # (N,)
        error = float(each.std(ddof=1)) / len(each) ** 0.5 if len(each) > 1 else None
        return float(each.mean()), error

    def own_best(self, score: str) -> tuple[float, float | None]:
        """Return the same with each test fact edited at its own best layer."""
        each = self.scores.of_each_fact(score)  # (N, L)
        scored = np.isfinite(each).any(axis=1)  # a fact may have no probe for the score
        best = np.nanmax(each[scored], axis=1)
        error = float(best.std(ddof=1)) / len(best) ** 0.5 if len(best) > 1 else None
        return float(best.mean()), error


@dataclass(frozen=True)
class StoredStudy:
    """A study.

    Attributes:
        path: Its folder.
        index: What `study.json` says.
        comparisons: All of them.
        rankings: By model, data set, scope and source of the old answer.
        traces: By model and data set, causal tracing with a heat map.
        edits: By model, data set and editor, texts and side effects.
        times: By model, what was timed.
    """

    path: Path
    index: Mapping[str, Any]
    comparisons: tuple[Compared, ...] = ()
    rankings: Mapping[tuple[str, str, str, str], LayerRanking] = field(default_factory=dict)
    traces: Mapping[tuple[str, str], LayerRanking] = field(default_factory=dict)
    edits: Mapping[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)
    times: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """What figures call the models."""
        return tuple(self.index["models"])

    @property
    def data(self) -> tuple[str, ...]:
        """What figures call the data sets."""
        return tuple(self.index["data"])

    @property
    def editors(self) -> tuple[str, ...]:
        """What figures call the editors."""
        return tuple(dict.fromkeys(c.editor for c in self.comparisons))

    @property
    def settings(self) -> Mapping[str, Any]:
        """The study's settings."""
        found: Mapping[str, Any] = self.index["settings"]
        return found

    @property
    def seconds(self) -> float:
        """What all the pieces took."""
        return sum(float(p["seconds"]) for p in self.index["pieces"])

    def main(self, model: str, editor: str) -> list[Compared]:
        """Return a comparison per data set: that on the largest draws."""
        found: dict[str, Compared] = {}
        for one in self.of(model, editor):
            if one.data not in found or one.proxy > found[one.data].proxy:
                found[one.data] = one
        return [found[name] for name in self.data if name in found]

    def of(self, model: str, editor: str) -> Iterator[Compared]:
        """Yield the comparisons by draws of a model and an editor, of all data sets and sizes."""
        for one in self.comparisons:
            if (one.model, one.editor) == (model, editor) and one.variant.startswith("proxy"):
                yield one


def load_study(path: str | Path) -> StoredStudy:
    """Read a study's folder.

    Raises:
        ResultError: If it holds no study, or a part of it is missing or damaged.
    """
    path = Path(path)
    index = _read_json(path / INDEX)
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ResultError(f"{path}: holds no study; expected a folder of golden-layers study")
    if index.get("format_version") != FORMAT_VERSION:
        raise ResultError(
            f"{path}: format version {index.get('format_version')!r}; this golden-layers reads "
            f"{FORMAT_VERSION}"
        )
    try:
        return _read(path, index)
    except (OSError, *DAMAGE) as error:
        raise damaged(path, error) from error


def _read(path: Path, index: Mapping[str, Any]) -> StoredStudy:
    comparisons = []
    rankings, traces, edits, times = {}, {}, {}, {}
    root = path.resolve()
    for piece in index["pieces"]:
        place = (path / str(piece["place"])).resolve()
        if root not in place.parents:
            raise ValueError(f"{piece['place']!r} is outside the folder")
        model, data, editor = str(piece["model"]), str(piece["data"]), str(piece["editor"])
        kind = piece["kind"]
        if kind == COMPARE:
            comparisons.append(_compared(place, piece))
        elif kind == RANK:
            ranking = LayerRanking.load(place)
            told = ranking.settings
            rankings[model, data, str(told["scope"]), str(told["old_answer"])] = ranking
        elif kind == TRACE:
            traces[model, data] = LayerRanking.load(place)
        elif kind == EDITS:
            edits[model, data, editor] = _read_json(place / edited.NAME)
        elif kind == TIME:
            times[model] = _read_json(place / timed.NAME)
    return StoredStudy(path, index, tuple(comparisons), rankings, traces, edits, times)


def _compared(place: Path, piece: Mapping[str, Any]) -> Compared:
    told = _read_json(place / comparison.JSON_NAME)
    if told["format_version"] != comparison.FORMAT_VERSION:
        raise ValueError(f"{place}: a comparison of format version {told['format_version']!r}")
    made = read_edits(place / comparison.EDITS_NAME)
    layers = [int(n) for n in told["layers"]]
    facts: Sequence[str] = [str(f) for f in told["test_facts"]]
    outcomes = {(e.fact, e.layer): e for e in made}
    scores = LayerScores.of(outcomes, facts, layers)
    assert set(scores.values) == set(MEAN_OF)
    return Compared(
        model=str(piece["model"]),
        data=str(piece["data"]),
        editor=str(piece["editor"]),
        variant=str(piece["variant"]),
        proxy=int(told["settings"]["proxy"]),
        seconds=float(piece["seconds"]),
        told=told,
        scores=scores,
        edit_seconds=sum(e.seconds for e in made),
    )


def _read_json(path: Path) -> Any:
    return read_json(path, "expected what golden-layers study wrote")
