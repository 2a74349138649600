"""What the subcommands that edit share: settings, facts, the layer, the covariance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from goldenlayers.cli import console
from goldenlayers.errors import SettingsError

if TYPE_CHECKING:
    from goldenlayers.covariance.covariances import Covariances
    from goldenlayers.editors.protocol import Editor
    from goldenlayers.editors.templates import Templates
    from goldenlayers.facts.fact_set import FactSet
    from goldenlayers.locators.ranking import LayerRanking
    from goldenlayers.models.load import LoadedModel
    from goldenlayers.progress import Progress


# options that say how an edit is made, each by the name of the editor's setting
EDITOR = (
    "lr", "steps", "weight_decay", "clamp", "kl_factor", "value_from", "ridge",
    "occurrence", "stop_loss", "converged_below", "settings",
)  # fmt: skip


def editor_settings(ctx: typer.Context) -> dict[str, Any]:
    """Return the editor's settings that were given, by options of their own or with --set.

    Raises:
        SettingsError: If a --set has another form, or names a setting that was given already.
    """
    found = {name: ctx.params[name] for name in given(ctx, EDITOR) if name != "settings"}
    for text in ctx.params.get("settings") or []:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name.isidentifier():
            raise SettingsError(f"--set {text!r}: expected NAME=VALUE, such as lam=15000")
        if name in found:
            raise SettingsError(f"--set {text!r}: {name} is given twice")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value.strip()
    return found


def covariance_for(ctx: typer.Context, editors: Iterable[str]) -> str:
    """Return what --covariance says; where it says nothing, what the editors need."""
    from goldenlayers.editors.run import EDITORS

    text: str = ctx.params["covariance"]
    if given(ctx, ["covariance"]):
        return text
    needed = any(getattr(EDITORS.get(name), "needs_covariance", False) for name in editors)
    return "model" if needed else text


def given(ctx: typer.Context, names: Iterable[str]) -> list[str]:
    """Return which of some options the user gave."""
    return [
        name
        for name in names
        if (found := ctx.get_parameter_source(name)) is not None and found.name == "COMMANDLINE"
    ]


def check(
    editors: Sequence[str],
    settings: Mapping[str, Any],
    templates: str,
    covariance: str,
    seed: int,
) -> list[Editor]:
    """Refuse wrong settings before anything is loaded; return the editors."""
    from goldenlayers.covariance.texts import check_text
    from goldenlayers.editors.run import make_editor
    from goldenlayers.editors.templates import KINDS

    made = [make_editor(name, **settings) for name in editors]
    if templates not in KINDS:
        raise SettingsError(f"--templates {templates!r}: expected one of {', '.join(KINDS)}")
    if seed < 0:
        raise SettingsError(f"--seed {seed}: expected 0 or more")
    check_text(covariance)
    return made


def to_edit(facts: FactSet, split: str, limit: int | None) -> FactSet:
    """Return the facts to edit or to score; auto is the test facts where any are marked."""
    from goldenlayers.cli.choosing import used_split
    from goldenlayers.locators.find import choose_facts

    split = used_split(split)
    if split == "auto":
        split = "test" if any(f.split == "test" for f in facts) else "all"
    return choose_facts(facts, split, limit)


def templates_for(
    loaded: LoadedModel, facts: FactSet, editor: Editor, kind: str, seed: int
) -> Templates:
    """Let the model write its templates, and refuse facts that cannot be edited with them."""
    from goldenlayers.editors.run import require_editable
    from goldenlayers.editors.templates import make_templates

    with console.working("the model writes templates"):
        made = make_templates(loaded.model, loaded.tokenizer, kind, seed=seed)
        require_editable(loaded.model, loaded.tokenizer, facts, editor, made)
    return made


def find_layer(
    loaded: LoadedModel, facts: FactSet, site: str | None, seed: int, progress: Progress
) -> LayerRanking:
    """Run LGA on the proxy facts of `facts`, or on the bundled ones where none are marked; tell it.

    Seconds, where real edits would take minutes before the edit that was asked for.
    """
    from goldenlayers.facts import bundled_facts
    from goldenlayers.locators.find import find

    ranking = find(
        loaded.model,
        loaded.tokenizer,
        facts if any(f.split == "proxy" for f in facts) else bundled_facts(),
        "lga",
        site=site,
        split="proxy",
        seed=seed,
        identity=loaded.identity,
        progress=progress,
    )
    console.say(f"golden layer {ranking.golden} by LGA on {len(ranking.answers)} facts")
    console.say(ranking.notes[-1])  # how far such choices were from the best
    return ranking


def key_moments(
    text: str,
    loaded: LoadedModel,
    layers: Sequence[int],
    site: str | None,
    seed: int,
    progress: Progress,
) -> Covariances | None:
    """Return the covariance that --covariance asks for, from disk where it was made before."""
    if text == "none":
        return None
    from goldenlayers.covariance.compute import key_covariance

    return key_covariance(
        loaded.model,
        loaded.tokenizer,
        list(layers),
        site=site,
        text=text,
        seed=seed,
        say=console.say,
        progress=progress,
    )
