"""Many facts edited one after another, or batch after batch, into one model, scored along the way.

What R-ROME (arXiv 2403.07175) and AlphaEdit (arXiv 2410.02355) are for: single edits can break the
model, and later edits break it further; the scores of all facts so far, the fluency of the model's
text and its perplexity on a text that is always the same show it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldenlayers.covariance.key import key_hash, model_key
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.base import base_of
from goldenlayers.editors.batches import in_batches
from goldenlayers.editors.edit import Edit, Outcome, Update
from goldenlayers.editors.given_covariance import moments_of, solvers_of
from goldenlayers.editors.numbers import require_whole
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.run import TEMPLATES, checked, describe, make_editor, require_editable
from goldenlayers.editors.templates import Templates, make_templates
from goldenlayers.editors.weights import updates_applied, weight_of
from goldenlayers.editors.which_layer import resolve_layers
from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.metrics.baseline import Baseline
from goldenlayers.metrics.baseline import baseline as ask_unedited
from goldenlayers.metrics.evaluate import evaluate
from goldenlayers.metrics.perplexity import FIXED, perplexity, read_text
from goldenlayers.models.causal import require_causal
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.models.identity import ModelIdentity, identify
from goldenlayers.models.sites import EditSite
from goldenlayers.progress import Progress, silent
from goldenlayers.study.milestone import MEANS, EditSequence, Milestone
from goldenlayers.study.unfinished import Unfinished
from goldenlayers.versions import versions

FLUENCY_FACTS = 20


def edit_sequence(
    model: Any,
    tokenizer: Any,
    facts: Iterable[Fact],
    layer: int | str | LayerRanking | Sequence[int],
    editor: str = "r-rome",
    *,
    batch: int = 1,
    every: int = 10,
    templates: str | Sequence[str] | Templates = TEMPLATES,
    covariance: Mapping[int, KeyMoment] | None = None,
    site: str | None = None,
    fluency: bool = True,
    text: str = FIXED,
    seed: int = 0,
    identity: ModelIdentity | None = None,
    unfinished: Path | None = None,
    resume: bool = False,
    progress: Progress = silent,
    **settings: Any,
) -> EditSequence:
    """Edit facts in batches, one after another, and score all facts so far along the way.

    A batch for which no finite update exists, because the ones before have broken the model, counts
    as not converged and leaves the weights as they are.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts, in this order.
        layer: As for `goldenlayers.edit`.
        editor: Name of the editor.
        batch: Facts in a batch; 1 for one after another. ROME and R-ROME edit one after another in
            any case.
        every: Edits between two milestones: there is one after the first batch that brings so many.
        templates: As for `goldenlayers.edit`; written once, by the unedited model.
        covariance: As for `goldenlayers.edit`, of the unedited model.
        site: As for `goldenlayers.edit`.
        fluency: Compute the fluency.
        text: Of the perplexity: "fixed" for the one that comes with golden-layers, or a file.
        seed: Seed of all sampling.
        identity: Which model this is.
        unfinished: Folder that keeps each milestone until there are all; None keeps nothing.
        resume: Go on from the last milestone in that folder.
        progress: Called with stage, facts or edits done, and their total.
        **settings: Settings of the editor.

    Raises:
        SettingsError: If `batch` or `every` is not positive, or there is no such layer.
        FactError: If a fact cannot be edited; before anything is.
        ResultError: If the unfinished sequence cannot be used.
        GoldenLayersError: As `goldenlayers.edit` and `goldenlayers.evaluate`.
    """
    require_whole("batch", batch)
    require_whole("every", every)
    chosen = make_editor(editor, **settings)
    if getattr(chosen, "one_by_one", False):
        batch = 1
    wanted = checked(facts, seed)
    writing = read_text(text)
    width = getattr(chosen, "window", 1)
    sites, chosen_by = resolve_layers(model, tokenizer, layer, site, seed, progress, width)
    if len(sites) > 1 and not getattr(chosen, "takes_window", False):
        raise SettingsError(
            f"{editor} edits one layer, {len(sites)} were given; choose one layer, or an editor of "
            "several, such as memit"
        )
    moments = moments_of(covariance, sites, model, tokenizer, chosen)
    with untouched(model):
        require_causal(model)
    made = make_templates(model, tokenizer, templates, seed=seed)
    require_editable(model, tokenizer, wanted, chosen, made)
    described = {
        **describe(chosen, sites, made, moments, site, seed),
        **chat_setting(tokenizer),
        "layer_chosen_by": chosen_by,
        "batch": batch,
        "every": every,
        "fluency_facts": FLUENCY_FACTS if fluency else None,
        "perplexity_of": {
            "text": "fixed" if text == FIXED else "file",
            "sha256": key_hash(writing),
        },
        "facts": [f.id for f in wanted],
    }
    kept = Unfinished(
        unfinished,
        {
            "editor": editor,
            "settings": described,
            "facts": key_hash([f.to_record() for f in wanted]),
            "model": model_key(model, tokenizer) | {"dtype": str(model.dtype)},
        },
        resume=resume,
    )
    identity = identity or identify(model)
    base = base_of(model, [s.name for s in sites], identity)
    before = ask_unedited(
        model, tokenizer, wanted, generate=False, fluency=False, seed=seed, progress=progress
    )
    texts = ask_unedited(
        model, tokenizer, wanted[:FLUENCY_FACTS], generate=False, seed=seed, progress=progress
    ) if fluency else None  # fmt: skip
    scoring = _Scoring(model, tokenizer, wanted, before, texts, sites, writing, seed, progress)

    def so_far(updates: tuple[Update, ...], outcomes: Sequence[Outcome]) -> Edit | None:
        if not updates:
            return None
        return Edit(editor, updates, tuple(outcomes), described, base, versions())

    milestones = list(kept.milestones)
    updates = kept.edit.updates if kept.edit else ()
    outcomes = list(kept.edit.outcomes) if kept.edit else []
    if not milestones or milestones[-1].edits != len(outcomes):  # where nothing was ever changed
        milestones, updates, outcomes = [scoring.milestone((), [], 0.0, 0.0)], (), []
        kept.keep(milestones, None)
    largest, seconds, base_norm = (
        milestones[-1].largest_update,
        milestones[-1].seconds,
        scoring.norm,
    )
    request = EditRequest(
        model, tokenizer, wanted[len(outcomes) :], sites, made, solvers_of(moments, chosen)
    )
    scored = len(outcomes)
    for one in in_batches(chosen, request, batch, updates=updates, tolerant=True):
        updates = one.updates
        outcomes += one.made.outcomes
        largest = max(largest, _norm_of(one.made.updates) / base_norm)
        seconds += one.seconds
        n = len(outcomes)
        if n // every > scored // every or n == len(wanted):
            milestones.append(scoring.milestone(updates, outcomes, largest, seconds))
            kept.keep(milestones, so_far(updates, outcomes))
            scored = n
        progress(f"{editor} edits", n, len(wanted))
    return EditSequence(
        editor,
        tuple(s.layer for s in sites),
        tuple(milestones),
        tuple(outcomes),
        described,
        identity.to_dict(),
        versions(),
        so_far(updates, outcomes),
    )


@dataclass(frozen=True)
class _Scoring:
    """What the milestones of a sequence share."""

    model: Any
    tokenizer: Any
    facts: Sequence[Fact]
    before: Baseline
    before_texts: Baseline | None
    sites: Sequence[EditSite]
    text: str
    seed: int
    progress: Progress

    @property
    def norm(self) -> float:
        """Frobenius norm of the sites' weights as they stand."""
        norms = (weight_of(self.model, s.name).detach().double().norm() for s in self.sites)
        return math.hypot(*map(float, norms))

    def milestone(
        self, updates: tuple[Update, ...], outcomes: Sequence[Outcome], largest: float, took: float
    ) -> Milestone:
        """Score the model with the updates on."""
        n, base = len(outcomes), self.norm
        with updates_applied(self.model, updates):
            found = evaluate(
                self.model, self.tokenizer, self.facts[:n] or self.facts, baseline=self.before,
                generate=False, fluency=False, progress=self.progress,
            )  # fmt: skip
            means = {name: found.mean(name) for name in MEANS}
            errors = {name: found.standard_error(name) for name in MEANS}
            if self.before_texts is not None:
                texts = evaluate(
                    self.model, self.tokenizer, self.facts[:FLUENCY_FACTS], generate=False,
                    baseline=self.before_texts, seed=self.seed, progress=self.progress,
                )  # fmt: skip
                means["fluency"] = texts.mean("fluency")
                errors["fluency"] = texts.standard_error("fluency")
            means["perplexity"] = perplexity(self.model, self.tokenizer, self.text)
            growth = self.norm / base
        converged = sum(o.converged for o in outcomes)
        return Milestone(n, means, growth, largest, converged, errors, took, found)


def _norm_of(updates: Sequence[Update]) -> float:
    """Frobenius norm of what a batch adds to all weights."""
    return math.hypot(*(update.norm for update in updates))
