"""Which facts a command works on: read, halved, asked of a model, drawn, parted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from goldenlayers.cli import console, loading
from goldenlayers.errors import SettingsError

if TYPE_CHECKING:
    from goldenlayers.facts.fact_set import FactSet
    from goldenlayers.models.load import LoadedModel

PROXY = "proxy="


def read(ctx: typer.Context) -> FactSet:
    """Read the facts that a command's options name, and choose of them what needs no model.

    With --known-by the draw waits for the model: call `known` when it is loaded.

    Raises:
        SettingsError: If an option is out of range.
        FactError: If the facts cannot be read, or there are too few.
    """
    from goldenlayers.facts import bundled_facts, read_facts, subsets

    given = ctx.params
    half, sample = given.get("half"), given.get("sample")
    if half is not None:
        subsets.check_half(half)
    if sample is not None:
        subsets.check_sample(sample, given["seed"])
    proxy = share(given.get("split"))
    if proxy is not None:
        subsets.check_proxy(proxy, given["seed"])
    if given["facts"] == "bundled":
        if given.get("format") is not None:
            raise SettingsError("--format is for facts files; the bundled facts have their own")
        found = bundled_facts()
    else:
        with console.StageProgress() as progress:
            found = read_facts(
                given["facts"],
                skip_bad=given.get("skip_bad"),
                format=given.get("format"),
                progress=progress,
            )
    if half is not None:
        found = found.half(half)
    return found if given.get("known_by") else _drawn(ctx, found)


def known(ctx: typer.Context, facts: FactSet, loaded: LoadedModel | None) -> FactSet:
    """Keep the facts that the model of --known-by knows, drawn and parted; all without it.

    Args:
        ctx: The command's context.
        facts: What `read` returned.
        loaded: The model of --model, taken if --known-by names the same; None if there is none.
    """
    name = ctx.params.get("known_by")
    if not name:
        return facts
    from goldenlayers.metrics.known import only_known

    if loaded is None or name != ctx.params.get("model"):
        loaded = load(name, bool(ctx.params.get("chat")))
    with console.StageProgress() as progress:
        found = only_known(
            loaded.model,
            loaded.tokenizer,
            facts,
            name,
            sample=ctx.params.get("sample"),
            seed=ctx.params["seed"],
            progress=progress,
        )
    return _parted(ctx, found)


def load(name: str, chat: bool) -> LoadedModel:
    """Load a model to ask, as it comes; with its chat template if wanted."""
    return loading.load(name, chat=chat)


def share(split: str | None) -> float | None:
    """Return the number of --split proxy=NUMBER; None if it is not of that form.

    Raises:
        SettingsError: If the number is none.
    """
    if split is None or not split.startswith(PROXY):
        return None
    try:
        return float(split.removeprefix(PROXY))
    except ValueError:
        raise SettingsError(
            f"--split {split!r}: expected proxy=0.1 for a tenth of the facts, proxy=20 for twenty"
        ) from None


def used_split(split: str) -> str:
    """Return which split a command works on; "auto" where --split parts the facts."""
    return "auto" if share(split) is not None else split


def _drawn(ctx: typer.Context, facts: FactSet) -> FactSet:
    sample = ctx.params.get("sample")
    if sample is not None:
        facts = facts.sample(sample, ctx.params["seed"])
    return _parted(ctx, facts)


def _parted(ctx: typer.Context, facts: FactSet) -> FactSet:
    proxy = share(ctx.params.get("split"))
    return facts if proxy is None else facts.marked(proxy, ctx.params["seed"])
