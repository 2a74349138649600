"""What `golden-layers evaluate` does, by what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goldenlayers.cli import console, editing

if TYPE_CHECKING:
    from goldenlayers.editors.edit import Edit
    from goldenlayers.facts.fact_set import FactSet
    from goldenlayers.metrics.evaluation import Evaluation
    from goldenlayers.models.load import LoadedModel
    from goldenlayers.study.sequence import EditSequence


def evaluated(
    loaded: LoadedModel,
    facts: FactSet,
    edit: Edit | None,
    generate: bool,
    fluency: bool,
    seed: int,
    progress: Any,
) -> Evaluation:
    """Score the model as it is, or with an edit that exists."""
    from goldenlayers.metrics.evaluate import evaluate
    from goldenlayers.sweep.attempt import Unchecked

    if edit is not None:
        with edit.applied(loaded.model):
            pass  # another base is refused now, not after the unedited model was asked everything
    return evaluate(
        loaded.model,
        loaded.tokenizer,
        facts,
        edit=None if edit is None else Unchecked(edit.updates),
        generate=generate,
        fluency=fluency,
        seed=seed,
        progress=progress,
    )


def edited(layers: str | None, edit: Edit | None) -> str | Sequence[int] | None:
    """Return the layers that will be edited, before the model is there."""
    if layers is None:
        return None if edit is None else edit.layers
    return "all" if "auto" in layers else layers


def layers(
    text: str, loaded: LoadedModel, facts: FactSet, site: str | None, seed: int, progress: Any
) -> list[int]:
    """Return the layers that --layers names; LGA finds "auto"."""
    from goldenlayers.models.sites import choose_layers, find_sites

    sites = find_sites(loaded.model, site)
    numbers: list[int] = []
    for part in text.split(","):
        if part.strip() == "auto":
            ranking = editing.find_layer(loaded, facts, site, seed, progress)
            console.say(f"golden layer {ranking.golden} by LGA on {len(ranking.answers)} facts")
            numbers.append(ranking.golden)
        else:
            numbers += [s.layer for s in choose_layers(sites, part)]
    return list(dict.fromkeys(numbers))


def sequences(
    loaded: LoadedModel,
    facts: FactSet,
    layers: list[int],
    editors: list[str],
    every: int,
    shared: dict[str, Any],
) -> list[EditSequence]:
    """Edit one fact after another, by each editor."""
    from goldenlayers.editors.templates import make_templates
    from goldenlayers.study.sequence import edit_sequence

    pair = loaded.model, loaded.tokenizer
    shared["templates"] = make_templates(*pair, shared["templates"], seed=shared["seed"])
    return [edit_sequence(*pair, facts, layers[0], name, every=every, **shared) for name in editors]
