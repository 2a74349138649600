"""`EditSequence`: what became of many edits, and of the model, along the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goldenlayers.editors.edit import Edit, Outcome
from goldenlayers.metrics.evaluation import Evaluation
from goldenlayers.results import strict
from goldenlayers.sweep.attempt import outcome_records

MEANS = ("rewrite", "rephrase", "locality", "portability", "mean")


@dataclass(frozen=True, slots=True)
class Milestone:
    """The model after so many edits.

    Attributes:
        edits: Number of edits in it.
        scores: Means over the facts edited so far: rewrite, rephrase, locality, portability, mean;
            fluency over the texts of some facts, the same at every milestone; perplexity on a text
            that is always the same.
        weight_growth: |W edited| / |W base| (Frobenius) over the sites that are edited.
        largest_update: Norm of the largest single update so far, a batch's or a fact's, over
            |W base|.
        converged: How many of the edits took when they were made.
        standard_errors: Of the scores, over facts; None with fewer than two.
        seconds: Time that the edits took so far, without the scoring.
        evaluation: Scores by fact and every raw output.
    """

    edits: int
    scores: Mapping[str, float | None]
    weight_growth: float
    largest_update: float
    converged: int
    standard_errors: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    evaluation: Evaluation | None = field(default=None, compare=False, repr=False)

    @property
    def seconds_per_fact(self) -> float | None:
        """Seconds per edit so far; None where there is none."""
        return self.seconds / self.edits if self.edits else None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for strict JSON, without the evaluation."""
        return {
            "edits": self.edits,
            "scores": dict(self.scores),
            "standard_errors": dict(self.standard_errors),
            "weight_growth": self.weight_growth,
            "largest_update": self.largest_update,
            "converged": self.converged,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class EditSequence:
    """A sequence of edits by one editor.

    Attributes:
        editor: Name of the editor.
        layers: The layers edited: one, or a window.
        milestones: From 0 edits (the base model) to all.
        outcomes: What became of each fact when it was edited.
        settings: Every setting that had a say.
        model: Identity of the model.
        versions: Package versions.
        edit: All edits as one; None if nothing was changed.
    """

    editor: str
    layers: tuple[int, ...]
    milestones: tuple[Milestone, ...]
    outcomes: tuple[Outcome, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    edit: Edit | None = field(default=None, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The layers in words: "layer 4", "layers 4 to 8"."""
        return layers_in_words(self.layers)

    @property
    def folder(self) -> str:
        """Name of the folder that the raw outputs and the edit are written into."""
        ends = dict.fromkeys((self.layers[0], self.layers[-1]))
        return f"{self.editor}-layer-{'-'.join(f'{n:03d}' for n in ends)}"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for strict JSON; what is not finite is null."""
        found: dict[str, Any] = strict(
            {
                "editor": self.editor,
                "layers": list(self.layers),
                "milestones": [m.to_dict() for m in self.milestones],
                "outcomes": outcome_records(self.outcomes),
                "settings": dict(self.settings),
                "model": dict(self.model),
                "versions": dict(self.versions),
            }
        )
        return found


def layers_in_words(layers: Sequence[int]) -> str:
    """Return "layer 4", or "layers 4 to 8" of neighbours, or "layers 4, 9"."""
    if len(layers) == 1:
        return f"layer {layers[0]}"
    if list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"layers {layers[0]} to {layers[-1]}"
    return f"layers {', '.join(map(str, layers))}"
