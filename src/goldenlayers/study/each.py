"""Every fact edited alone at each of some layers, scored, and undone."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.edit import Outcome
from goldenlayers.editors.given_covariance import moments_of
from goldenlayers.editors.run import TEMPLATES, checked, make_editor, require_editable
from goldenlayers.editors.templates import Templates, make_templates
from goldenlayers.editors.which_layer import resolve_layer
from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.files import write_whole
from goldenlayers.metrics.baseline import Baseline
from goldenlayers.metrics.baseline import baseline as ask_unedited
from goldenlayers.metrics.evaluate import evaluate
from goldenlayers.metrics.evaluation import Evaluation
from goldenlayers.metrics.scores import NAMES
from goldenlayers.models.causal import require_causal
from goldenlayers.models.guard import untouched
from goldenlayers.models.identity import ModelIdentity, identify
from goldenlayers.models.sites import find_sites
from goldenlayers.progress import Progress, silent
from goldenlayers.results import put_together, strict, write_json
from goldenlayers.sweep.attempt import Attempts, Unchecked, outcome_records
from goldenlayers.sweep.windows import require_window, width_of, windows_of
from goldenlayers.versions import versions

FORMAT = "golden-layers edits by layer"
FORMAT_VERSION = 1
INDEX = "layers.json"


@dataclass(frozen=True)
class EditedLayer:
    """What editing at one layer gives.

    Attributes:
        layer: Index of the layer, from 0; of a window, the last.
        evaluation: Scores over the facts, each edited alone.
        outcomes: What became of each fact.
        seconds: Wall time of the edits, and of the scoring.
    """

    layer: int
    evaluation: Evaluation
    outcomes: tuple[Outcome, ...]
    seconds: Mapping[str, float]

    @property
    def converged(self) -> int:
        """How many facts took."""
        return sum(o.converged for o in self.outcomes)

    @property
    def folder(self) -> str:
        """Name of the folder that its evaluation is written into."""
        return f"layer-{self.layer:03d}"


@dataclass(frozen=True)
class EditedLayers:
    """What editing at several layers gives.

    Attributes:
        layers: One per layer, in the order asked for.
        settings: Every setting that had a say.
        model: Identity of the model.
        versions: Package versions.
    """

    layers: tuple[EditedLayer, ...]
    settings: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return means, standard errors and outcomes by layer, ready for strict JSON."""
        found: dict[str, Any] = strict(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "layers": [
                    {
                        "layer": one.layer,
                        "facts": len(one.outcomes),
                        "converged": one.converged,
                        "seconds": dict(one.seconds),
                        "scores": one.evaluation.summary(),
                        "outcomes": outcome_records(one.outcomes),
                        "folder": one.folder,
                    }
                    for one in self.layers
                ],
                "settings": dict(self.settings),
                "model": dict(self.model),
                "versions": dict(self.versions),
            }
        )
        return found

    def save(self, folder: Path) -> list[Path]:
        """Write layers.json, layers.csv and each layer's evaluation into a folder, all or nothing.

        Raises:
            ResultError: If the folder cannot be written.
        """
        with put_together(folder) as stage:
            written: list[Path] = []
            for one in self.layers:
                written += one.evaluation.save(stage / one.folder)
            written.append(write_whole(stage / "layers.csv", self._csv))
            data = self.to_dict()
            written.append(write_whole(stage / INDEX, lambda path: write_json(path, data)))
        return [folder / path.relative_to(stage) for path in written]

    def _csv(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            columns = [c for name in NAMES for c in (name, f"{name}_standard_error")]
            out.writerow(["layer", "facts", "converged", *columns])
            for one in self.layers:
                row: list[object] = [one.layer, len(one.outcomes), one.converged]
                for name in NAMES:
                    row += [one.evaluation.mean(name), one.evaluation.standard_error(name)]
                out.writerow(row)


def edit_each(
    model: Any,
    tokenizer: Any,
    facts: Iterable[Fact],
    layers: Sequence[int],
    editor: str = "r-rome",
    *,
    templates: str | Sequence[str] | Templates = TEMPLATES,
    covariance: Mapping[int, KeyMoment] | None = None,
    site: str | None = None,
    baseline: Baseline | None = None,
    generate: bool = True,
    fluency: bool = True,
    fluency_facts: int | None = None,
    seed: int = 0,
    identity: ModelIdentity | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> EditedLayers:
    """Edit each fact alone at each layer, score it, and undo it.

    The unedited model is asked once per fact, whatever the number of layers. A fact for which no
    update can be made counts as not converged, and is scored as the unedited model has it.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts.
        layers: The layers; of an editor that takes a window, the last of each window
            (`goldenlayers.sweep.windows`).
        editor: Name of the editor.
        templates: As for `goldenlayers.edit`; written once for all facts.
        covariance: As for `goldenlayers.edit`.
        site: As for `goldenlayers.edit`.
        baseline: What the unedited model says, if it was asked before.
        generate: Compute the generated scores.
        fluency: Compute the fluency; the slowest score.
        fluency_facts: Compute it for the first so many facts only.
        seed: Seed of all sampling.
        identity: Which model this is.
        progress: Called with stage, facts or edits done, and their total.
        **settings: Settings of the editor.

    Raises:
        SettingsError: If no layer is named, one twice, or one that does not exist.
        FactError: If a fact cannot be edited; before anything is.
        GoldenLayersError: As `goldenlayers.edit` and `goldenlayers.evaluate`.
    """
    if fluency_facts is not None and fluency_facts < 1:
        raise SettingsError(f"fluency_facts {fluency_facts}: expected 1 or more")
    chosen_editor = make_editor(editor, **settings)
    wanted = checked(facts, seed)
    sites = [resolve_layer(model, tokenizer, layer, site)[0] for layer in layers]
    numbers = [s.layer for s in sites]
    if not numbers or len(set(numbers)) < len(numbers):
        raise SettingsError(f"layers {numbers}: expected one or more, none twice")
    # what is missing must not be found after hours at other layers
    edited = windows_of(sites, find_sites(model, site), width_of(chosen_editor))
    moments_of(covariance, edited, model, tokenizer, chosen_editor)
    with untouched(model):
        require_causal(model)
        require_window(model, chosen_editor, sites[0])
    made = make_templates(model, tokenizer, templates, seed=seed)
    require_editable(model, tokenizer, wanted, chosen_editor, made)
    if baseline is None:
        baseline = ask_unedited(
            model, tokenizer, wanted, generate=generate, fluency=fluency, seed=seed,
            progress=progress,
        )  # fmt: skip
    done, total = 0, len(wanted) * len(numbers)
    results: list[EditedLayer] = []
    shared: dict[str, Any] = {}
    covered: dict[str, Any] = {}
    for layer in numbers:
        attempts = Attempts.at(model, tokenizer, layer, chosen_editor, made, covariance, site, seed)
        shared = dict(attempts.settings)
        covered |= shared["covariance"] or {}
        evaluations, outcomes = [], []
        seconds = {"edit": 0.0, "score": 0.0}
        for i, fact in enumerate(wanted):
            texts = fluency and (fluency_facts is None or i < fluency_facts)
            start = time.perf_counter()
            updates, outcome = attempts.edit(fact)
            seconds["edit"] += time.perf_counter() - start
            start = time.perf_counter()
            scored = evaluate(
                model, tokenizer, [fact], baseline=baseline, edit=Unchecked(updates),
                generate=generate, fluency=texts, seed=seed,
            )  # fmt: skip
            # one setting for all of them; `fluency_facts` says the rest
            settings_of_all = {**scored.settings, "fluency": fluency}
            evaluations.append(replace(scored, settings=settings_of_all))
            seconds["score"] += time.perf_counter() - start
            outcomes.append(outcome)
            done += 1
            progress("edits", done, total)
        results.append(EditedLayer(layer, Evaluation.join(evaluations), tuple(outcomes), seconds))
    return EditedLayers(
        tuple(results),
        shared
        | {
            "editor": editor,
            "layers": numbers,
            "edited_together": width_of(chosen_editor),
            "fluency_facts": fluency_facts,
            "covariance": covered or None,
            "facts": [f.id for f in wanted],
        },
        (identity or identify(model)).to_dict(),
        versions(),
    )
