"""`Comparison`: ways to choose a layer, each judged by the same edits of the same test facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from goldenlayers.study.judge import Regret
from goldenlayers.sweep.outcome import LayerOutcome

FORMAT = "golden-layers comparison"
FORMAT_VERSION = 1
JSON_NAME, CSV_NAME, PICTURE_NAME = "comparison.json", "layers.csv", "comparison.png"
FACTS_NAME, EDITS_NAME = "facts.csv", "edits.csv"


@dataclass(frozen=True)
class Choice:
    """What a method chose on one draw of proxy facts.

    Attributes:
        draw: Number of the draw, from 0.
        layer: The layer chosen, of a window the last; of "random", the one drawn.
        test_score: Objective on the test facts; of "random", expected over its distribution.
        regret: Cross-fitted, see `goldenlayers.study.judge`.
        rank_correlation: Spearman's, of the method's scores with the test scores, by layer; None
            where the method does not rank, or ranks single layers and windows are edited.
        hit: Whether it is the golden layer of the test facts; of "random", the probability.
        near: Whether its test score is within a point of the best; of "random", the probability.
        seconds: What the choice took.
        relative: The same over what brute force takes on the same proxy facts.
        told: What else the method has to say, ready for JSON.
    """

    draw: int
    layer: int
    test_score: float
    regret: float
    rank_correlation: float | None
    hit: float
    near: float
    seconds: float
    relative: float | None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodResult:
    """One method over all draws.

    Attributes:
        method: Its name.
        settings: Its settings.
        choices: One per draw.
        regret: Mean over the draws, with the interval over the test facts.
        failed: Draws on which it could not choose, with the reason.
    """

    method: str
    settings: Mapping[str, Any]
    choices: tuple[Choice, ...]
    regret: Regret | None
    failed: tuple[str, ...] = ()

    def mean(self, name: str) -> float | None:
        """Return the mean of a field over the draws that have it."""
        values = [v for c in self.choices if (v := getattr(c, name)) is not None]
        return float(np.mean(values)) if values else None

    def layers(self) -> dict[int, int]:
        """Return how often each layer was chosen, shallow first."""
        chosen = [c.layer for c in self.choices]
        return {layer: chosen.count(layer) for layer in sorted(set(chosen))}


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        objective: What makes a layer good.
        made_of: The same in words.
        layers: Numbers of the layers; where windows are edited, of the last of each.
        test: By layer, what brute force found on the test facts: "score", "standard_error", and the
            single scores.
        golden: The best layer on the test facts.
        ties: All layers with that score.
        ceiling: Test score if each test fact were edited at its own best layer.
        floor: Regret of brute force itself on proxy sets of the same size; None if unknown.
        floor_from: "proxy" or "test", the facts that the floor was taken from.
        methods: The methods.
        draws: The identifiers of each draw's proxy facts.
        test_facts: Identifiers of the test facts.
        each: By test fact and layer, what the fact contributes to the score, whose mean it is.
        edits: Every edit of a test fact, fact by fact, shallow layers first.
        settings: Every setting that had a say.
        model: Identity of the model.
        versions: Package versions.
        seconds: Wall time by stage; "test_edits" is what the edits of the test facts took when they
            were made.
    """

    objective: str
    made_of: str
    layers: tuple[int, ...]
    test: Mapping[str, tuple[float, ...]]
    golden: int
    ties: tuple[int, ...]
    ceiling: float
    floor: Regret | None
    floor_from: str
    methods: tuple[MethodResult, ...]
    draws: tuple[tuple[str, ...], ...]
    test_facts: tuple[str, ...]
    each: tuple[tuple[float, ...], ...] = ()
    edits: tuple[LayerOutcome, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but `each` and `edits`, ready for JSON."""
        from goldenlayers.results import strict

        fields = asdict(replace(self, each=(), edits=()))
        del fields["each"], fields["edits"]  # large tables, in files of their own
        data: dict[str, Any] = strict(
            {"format": FORMAT, "format_version": FORMAT_VERSION, **fields}
        )
        return data

    def save(self, folder: str | Path) -> list[Path]:
        """Write comparison.json, layers.csv, facts.csv, edits.csv, comparison.png; all or none.

        Raises:
            ResultError: If the folder cannot be written, or holds something else of that name.
        """
        from goldenlayers.study.comparison_files import save

        return save(self, Path(folder))
