"""What `golden-layers evaluate` does, by what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldenlayers.cli import console, editing

if TYPE_CHECKING:
    from goldenlayers.editors.edit import Edit
    from goldenlayers.editors.protocol import Editor
    from goldenlayers.facts.fact_set import FactSet
    from goldenlayers.metrics.evaluation import Evaluation
    from goldenlayers.models.load import LoadedModel
    from goldenlayers.study.each import EditedLayers
    from goldenlayers.study.milestone import EditSequence


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
    text: str,
    loaded: LoadedModel,
    facts: FactSet,
    editor: Editor,
    site: str | None,
    seed: int,
    progress: Any,
) -> list[int]:
    """Return the layers that --layers names; LGA finds "auto", of a window the last."""
    from goldenlayers.editors.which_layer import resolve_layers
    from goldenlayers.models.sites import choose_layers, find_sites
    from goldenlayers.sweep.windows import width_of

    sites = find_sites(loaded.model, site)
    numbers: list[int] = []
    for part in text.split(","):
        if part.strip() == "auto":
            ranking = editing.find_layer(loaded, facts, site, seed, progress)
            pair, width = (loaded.model, loaded.tokenizer), width_of(editor)
            found, _ = resolve_layers(*pair, ranking, site, seed, progress, width)
            numbers.append(found[-1].layer)
        else:
            numbers += [s.layer for s in choose_layers(sites, part)]
    return list(dict.fromkeys(numbers))


def each(
    loaded: LoadedModel,
    facts: FactSet,
    chosen: FactSet,
    layers_text: str,
    editor: Editor,
    covariance: str,
    shared: dict[str, Any],
) -> EditedLayers:
    """Edit each of the chosen facts alone at each layer."""
    from goldenlayers.models.sites import choose_layers, find_sites
    from goldenlayers.study.each import edit_each
    from goldenlayers.sweep.windows import width_of, windows_of

    site, seed, progress = (shared[n] for n in ("site", "seed", "progress"))
    numbers = layers(layers_text, loaded, facts, editor, site, seed, progress)
    all_sites = find_sites(loaded.model, site)
    used = windows_of(choose_layers(all_sites, numbers), all_sites, width_of(editor))
    moments = editing.key_moments(covariance, loaded, [s.layer for s in used], site, seed, progress)
    pair = loaded.model, loaded.tokenizer
    return edit_each(*pair, chosen, numbers, editor.name, covariance=moments, **shared)


def sequences(
    loaded: LoadedModel,
    facts: FactSet,
    chosen: FactSet,
    layers_text: str,
    editors: Sequence[Editor],
    covariance: Mapping[str, str],
    out: Path,
    shared: dict[str, Any],
) -> list[EditSequence]:
    """Edit the chosen facts one after another or in batches, by each editor."""
    from goldenlayers.editors.templates import make_templates
    from goldenlayers.editors.which_layer import resolve_layers
    from goldenlayers.models.sites import choose_layers, find_sites
    from goldenlayers.study.sequence import edit_sequence
    from goldenlayers.study.unfinished import UNFINISHED

    site, seed, progress = (shared[n] for n in ("site", "seed", "progress"))
    pair = loaded.model, loaded.tokenizer
    where: Any = layers_text
    if layers_text.strip() == "auto":
        where = editing.find_layer(loaded, facts, site, seed, progress)
    else:
        where = [s.layer for s in choose_layers(find_sites(loaded.model, site), layers_text)]
    moments = {}
    for editor in editors:
        width = getattr(editor, "window", 1)
        sites, _ = resolve_layers(*pair, where, site, seed, progress, width)
        numbers = [s.layer for s in sites]
        text = covariance[editor.name]
        moments[editor.name] = editing.key_moments(text, loaded, numbers, site, seed, progress)
    shared["templates"] = make_templates(*pair, shared["templates"], seed=seed)
    keep = out / UNFINISHED
    try:
        return [
            edit_sequence(
                *pair, chosen, where, name, covariance=found, unfinished=keep / name, **shared
            )
            for name, found in moments.items()
        ]
    except KeyboardInterrupt:
        console.say(f"what was scored is kept in {keep}; the same command with --resume goes on")
        raise
