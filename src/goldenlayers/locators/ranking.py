"""`LayerRanking`: what every way of choosing a layer returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldenlayers.locators.fences import Floats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class LayerScore:
    """One layer of a ranking.

    Attributes:
        layer: Index of the layer, from 0.
        score: What the layers are ranked by, the greater the better; for LGA the sum over facts of
            <g_old, g_new>. None where there is none, as at a layer that no gradient reached.
        rank: 1 for the golden layer; None for layers that cannot be chosen.
        inside_fences: Whether the score lies inside the fences; True where there are none.
        side: "above" or "below" the fences, else None.
        reached: Whether the method could look at the layer; for LGA, whether a gradient came
            through.
        mean_cosine: Mean over facts of cos(g_old, g_new).
        old_norm: Mean over facts of |g_old| (Frobenius).
        new_norm: Mean over facts of |g_new|.
        stability: Share of resamples of the facts that the layer wins; None with one fact, and for
            a method that takes no facts.
        more: What else the method has to say of the layer, by name of the column; None where there
            is nothing.
    """

    layer: int
    score: float | None
    rank: int | None
    inside_fences: bool = True
    side: str | None = None
    reached: bool = True
    mean_cosine: float | None = None
    old_norm: float | None = None
    new_norm: float | None = None
    stability: float | None = None
    more: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FactAnswer:
    """A fact that was used, with the answers that it was scored with.

    Attributes:
        id: The fact's identifier.
        new_answer: Text of the new answer.
        old_answer: Text of the old answer; None for a method that takes none.
        old_source: "record" or "model".
        old_ids: Its token ids as the model gave them; None where it came from the record.
        old_loss: Mean negative log-likelihood of the old answer, nats per token.
        new_loss: The same of the new answer.
    """

    id: str
    new_answer: str
    old_answer: str | None = None
    old_source: str | None = None
    old_ids: tuple[int, ...] | None = None
    old_loss: float | None = None
    new_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A fact that was not used.

    Attributes:
        id: The fact's identifier.
        reason: One sentence.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class LayerRanking:
    """Layers of a model, ranked by a locator.

    Attributes:
        method: Name of the locator.
        golden: The layer chosen.
        layers: One `LayerScore` per layer scored, shallow first.
        answers: The facts used, with the answers they were scored with.
        fact_scores: Per-fact arrays, each (facts, layers) float64 in the order of `answers` and
            `layers`; for LGA: "score", "cosine", "old_norm", "new_norm". NaN where there is none.
        skipped: Facts that were not used, with the reason.
        fences: Lower and upper fence; None where nothing is excluded.
        legend: What the numbers mean, one line.
        axis: What the score is, for the axis of a picture.
        shares: Names of the numbers that are shares of one and are shown in percent: "score",
            and those of `LayerScore.more`.
        notes: What the method has to tell about its choice, a line each.
        details: The same for machines, ready for JSON.
        settings: Every setting that had a say.
        model: Identity of the model.
        facts: Identity of the facts: source, sha256, split, counts.
        versions: Package versions.
        seconds: Wall time by stage.
    """

    method: str
    golden: int
    layers: tuple[LayerScore, ...]
    answers: tuple[FactAnswer, ...]
    fact_scores: Mapping[str, Floats]
    skipped: tuple[Skipped, ...] = ()
    fences: tuple[float, float] | None = None
    legend: str = ""
    axis: str = "score"
    shares: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"LayerRanking(method={self.method!r}, golden={self.golden}, "
            f"order={self.order[:5]}..., {len(self.layers)} layers, {len(self.answers)} facts)"
        )

    @property
    def order(self) -> list[int]:
        """Layers that can be chosen, best first."""
        ranked = [s for s in self.layers if s.rank is not None]
        return [s.layer for s in sorted(ranked, key=lambda s: s.rank or 0)]

    def __getitem__(self, layer: int) -> LayerScore:
        """Return the score of a layer by its number."""
        for score in self.layers:
            if score.layer == layer:
                return score
        raise KeyError(f"layer {layer} was not scored")

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per layer (needs the extra `pandas`)."""
        import pandas as pd

        return pd.DataFrame([_as_dict(s) for s in self.layers])

    def facts_to_pandas(self) -> pd.DataFrame:
        """Return one row per fact and layer (needs the extra `pandas`)."""
        import pandas as pd

        n, n_layers = len(self.answers), len(self.layers)
        columns: dict[str, Any] = {
            "fact": np.repeat([a.id for a in self.answers], n_layers),
            "layer": np.tile([s.layer for s in self.layers], n),
        }
        columns |= {name: values.ravel() for name, values in self.fact_scores.items()}
        return pd.DataFrame(columns)

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the scores by layer.

        Args:
            path: Where to write the picture too (.png, .svg or .pdf).
        """
        from goldenlayers.report.plot import plot_ranking

        return plot_ranking(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the per-fact arrays, ready for JSON."""
        from goldenlayers.locators.ranking_files import to_dict

        return to_dict(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write ranking.json, fact_scores.csv and scores.png into a folder; return their paths.

        A trace with a heat map has heat_map.png beside them.

        Each file is put in place whole; nothing is left half-written.
        """
        from goldenlayers.locators.ranking_files import save

        return save(self, folder)

    @classmethod
    def load(cls, path: str | Path) -> LayerRanking:
        """Read a ranking that `save` wrote.

        Args:
            path: The folder, or the ranking.json in it.

        Raises:
            ResultError: If the files are missing, damaged or of another format.
        """
        from goldenlayers.locators.ranking_files import load

        return load(path)


def _as_dict(score: LayerScore) -> dict[str, Any]:
    own = {name: getattr(score, name) for name in LayerScore.__slots__ if name != "more"}
    return own | dict(score.more)
