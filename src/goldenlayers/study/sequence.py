"""Many facts edited one after another into one model, scored along the way.

What R-ROME (arXiv 2403.07175) is for: with ROME, single edits can break the model, and later edits
break it further; the scores of all facts so far, and the fluency of the model's text, show it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.factors import side_by_side
from goldenlayers.editors.run import TEMPLATES, checked, make_editor, require_editable
from goldenlayers.editors.templates import Templates, make_templates
from goldenlayers.editors.weights import updates_applied, weight_of
from goldenlayers.editors.which_layer import resolve_layer
from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.files import write_whole
from goldenlayers.metrics.baseline import baseline as ask_unedited
from goldenlayers.metrics.evaluate import evaluate
from goldenlayers.metrics.evaluation import Evaluation
from goldenlayers.models.causal import require_causal
from goldenlayers.models.guard import untouched
from goldenlayers.models.load import ModelIdentity, identify
from goldenlayers.progress import Progress, silent
from goldenlayers.results import put_together, strict, write_json
from goldenlayers.sweep.attempt import Attempts, outcome_records
from goldenlayers.versions import versions

FORMAT = "golden-layers sequence of edits"
FORMAT_VERSION = 1
FLUENCY_FACTS = 20
INDEX = "sequence.json"
MEANS = ("rewrite", "rephrase", "locality", "portability", "mean")


@dataclass(frozen=True, slots=True)
class Milestone:
    """The model after so many edits.

    Attributes:
        edits: Number of edits in it.
        scores: Means over the facts edited so far: rewrite, rephrase, locality, portability, mean;
            fluency over the texts of `FLUENCY_FACTS` facts, the same at every milestone.
        weight_growth: |W edited| / |W base| at the site (Frobenius).
        largest_update: Norm of the largest single update so far, over |W base|.
        converged: How many of the edits took when they were made.
        standard_errors: Of the scores, over facts; None with fewer than two.
        evaluation: Scores by fact and every raw output.
    """

    edits: int
    scores: Mapping[str, float | None]
    weight_growth: float
    largest_update: float
    converged: int
    standard_errors: Mapping[str, float | None] = field(default_factory=dict)
    evaluation: Evaluation | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class EditSequence:
    """A sequence of edits by one editor.

    Attributes:
        editor: Name of the editor.
        layer: The layer edited.
        milestones: From 0 edits (the base model) to all.
        outcomes: What became of each fact when it was edited.
        settings: Every setting that had a say.
        model: Identity of the model.
        versions: Package versions.
    """

    editor: str
    layer: int
    milestones: tuple[Milestone, ...]
    outcomes: tuple[Outcome, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for strict JSON; what is not finite is null."""
        found: dict[str, Any] = strict(
            {
                "editor": self.editor,
                "layer": self.layer,
                "milestones": [
                    {
                        "edits": m.edits,
                        "scores": dict(m.scores),
                        "standard_errors": dict(m.standard_errors),
                        "weight_growth": m.weight_growth,
                        "largest_update": m.largest_update,
                        "converged": m.converged,
                    }
                    for m in self.milestones
                ],
                "outcomes": outcome_records(self.outcomes),
                "settings": dict(self.settings),
                "model": dict(self.model),
                "versions": dict(self.versions),
            }
        )
        return found


def edit_sequence(
    model: Any,
    tokenizer: Any,
    facts: Iterable[Fact],
    layer: int,
    editor: str = "r-rome",
    *,
    every: int = 10,
    templates: str | Sequence[str] | Templates = TEMPLATES,
    covariance: Mapping[int, KeyMoment] | None = None,
    site: str | None = None,
    fluency: bool = True,
    seed: int = 0,
    identity: ModelIdentity | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> EditSequence:
    """Edit facts one after another, and score all facts so far every so many edits.

    An edit for which no finite update exists, because the ones before have broken the model, counts
    as not converged and leaves the weights as they are.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts, in this order.
        layer: The layer.
        editor: Name of the editor.
        every: Edits between two milestones.
        templates: As for `goldenlayers.edit`; written once, by the unedited model.
        covariance: As for `goldenlayers.edit`, of the unedited model.
        site: As for `goldenlayers.edit`.
        fluency: Compute the fluency.
        seed: Seed of all sampling.
        identity: Which model this is.
        progress: Called with stage, facts or edits done, and their total.
        **settings: Settings of the editor.

    Raises:
        SettingsError: If `every` is not positive, or there is no such layer.
        FactError: If a fact cannot be edited; before anything is.
        GoldenLayersError: As `goldenlayers.edit` and `goldenlayers.evaluate`.
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise SettingsError(f"every {every!r}: expected a whole number, 1 or more")
    chosen_editor = make_editor(editor, **settings)
    wanted = checked(facts, seed)
    where, _ = resolve_layer(model, tokenizer, layer, site)
    with untouched(model):
        require_causal(model)
    made = make_templates(model, tokenizer, templates, seed=seed)
    require_editable(model, tokenizer, wanted, chosen_editor, made)
    attempts = Attempts.at(
        model, tokenizer, where.layer, chosen_editor, made, covariance, site, seed
    )
    before = ask_unedited(
        model, tokenizer, wanted, generate=False, fluency=fluency, seed=seed, progress=progress
    )

    def milestone(n: int, growth: float, largest: float, took: int) -> Milestone:
        """Score the model as it stands."""
        found = evaluate(
            model, tokenizer, wanted[:n] or wanted, baseline=before, generate=False, fluency=False,
            progress=progress,
        )  # fmt: skip
        means = {name: found.mean(name) for name in MEANS}
        errors = {name: found.standard_error(name) for name in MEANS}
        if fluency:
            texts = evaluate(
                model, tokenizer, wanted[:FLUENCY_FACTS], baseline=before, generate=False,
                seed=seed, progress=progress,
            )  # fmt: skip
            means["fluency"] = texts.mean("fluency")
            errors["fluency"] = texts.standard_error("fluency")
        return Milestone(n, means, growth, largest, took, errors, found)

    base = _norm(model, where.name)
    updates: tuple[Update, ...] = ()
    outcomes: list[Outcome] = []
    milestones = [milestone(0, 1.0, 0.0, 0)]
    largest = 0.0
    for i, fact in enumerate(wanted, start=1):
        with updates_applied(model, updates):
            new, outcome = attempts.edit(fact)
        updates = side_by_side(updates, new)
        outcomes.append(outcome)
        largest = max(largest, *(update.norm / base for update in new), 0.0)
        if i % every == 0 or i == len(wanted):
            with updates_applied(model, updates):
                growth = _norm(model, where.name) / base
                took = sum(o.converged for o in outcomes)
                milestones.append(milestone(i, growth, largest, took))
        progress(f"{editor} edits", i, len(wanted))
    return EditSequence(
        editor,
        where.layer,
        tuple(milestones),
        tuple(outcomes),
        {
            **attempts.settings,
            "every": every,
            "fluency_facts": FLUENCY_FACTS,
            "facts": [f.id for f in wanted],
        },
        (identity or identify(model)).to_dict(),
        versions(),
    )


def _norm(model: Any, name: str) -> float:
    """Return the Frobenius norm of a site's weight."""
    return float(weight_of(model, name).detach().double().norm())


def save_sequences(sequences: Sequence[EditSequence], folder: Path) -> list[Path]:
    """Write sequence.json, sequence.csv, sequence.png and the raw outputs, all or nothing.

    The raw outputs of a milestone are in a folder such as r-rome-layer-004/edits-0010.

    Raises:
        ResultError: If the folder cannot be written.
        SettingsError: If there is no sequence.
    """
    from goldenlayers.report.sequence_plot import plot_sequences

    if not sequences:
        raise SettingsError("no sequences to save; expected one or more")
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sequences": [s.to_dict() for s in sequences],
    }
    with put_together(folder) as stage:
        for sequence in sequences:
            for m in sequence.milestones:
                if m.evaluation is not None:
                    name = f"{sequence.editor}-layer-{sequence.layer:03d}"
                    m.evaluation.save(stage / name / f"edits-{m.edits:04d}")
        written = [
            write_whole(stage / "sequence.png", lambda path: plot_sequences(sequences, path)),
            write_whole(stage / "sequence.csv", lambda path: _csv(sequences, path)),
            write_whole(stage / INDEX, lambda path: write_json(path, data)),
        ]
    return [folder / path.name for path in written]


def _csv(sequences: Sequence[EditSequence], path: Path) -> None:
    names = list(dict.fromkeys(n for s in sequences for m in s.milestones for n in m.scores))
    columns = [c for name in names for c in (name, f"{name}_standard_error")]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(
            ["editor", "layer", "edits", *columns, "weight_growth", "largest_update", "converged"]
        )
        for s in sequences:
            for m in s.milestones:
                row: list[object] = [s.editor, s.layer, m.edits]
                for name in names:
                    row += [m.scores.get(name), m.standard_errors.get(name)]
                out.writerow(strict([*row, m.weight_growth, m.largest_update, m.converged]))
