"""A sweep from beginning to end: what is missing is computed, kept, and told about."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from goldenlayers.cluster.engine import Engine, Here
from goldenlayers.covariance.compute import key_covariance
from goldenlayers.covariance.key import key_hash, model_key
from goldenlayers.editors.given_covariance import moments_of, solvers_of
from goldenlayers.editors.protocol import Editor
from goldenlayers.editors.run import make_editor
from goldenlayers.editors.templates import make_templates
from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.questions import OWN_TOKENS
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import EditSite
from goldenlayers.progress import Progress, Say, quiet, silent
from goldenlayers.sweep.engine import Sweep
from goldenlayers.sweep.pieces import EditPiece, pieces_of
from goldenlayers.sweep.store import Store
from goldenlayers.sweep.windows import require_window, width_of, windows_of

WORTH_TELLING = 5.0  # seconds that are left


def prepared(
    model: Any,
    tokenizer: Any,
    sites: Sequence[EditSite],
    editor: str | Editor,
    *,
    all_sites: Sequence[EditSite] | None = None,
    templates: str = "short",
    covariance: str = "none",
    settings: Mapping[str, Any] | None = None,
    batch_tokens: int | None = None,
    plain: bool = False,
    seed: int = 0,
    say: Say = quiet,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> tuple[Sweep, dict[str, Any]]:
    """Return a sweep and what identifies its outcomes beside the facts, ready for JSON.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        sites: The edit sites of all layers that may be wanted, shallow first.
        editor: Name of the editor, or an editor.
        all_sites: The edit sites of every layer, for windows that reach down to other layers than
            those of `sites`; None if they are among `sites`.
        templates: Kind of the context templates.
        covariance: "none", or the text that the keys' covariance is taken over.
        settings: Settings of the editor.
        batch_tokens: Bound on the tokens of one run; None to choose.
        plain: Whether the plain loop is wanted.
        seed: Seed of templates and covariance.
        say: Called with a line when something is worth knowing.
        progress: Called with stage, items done and their total.
        engine: Who adds up a covariance; None for this process.

    Raises:
        SettingsError: If the editor's window cannot be edited in this model, or a setting is wrong.
    """
    chosen = make_editor(editor, **dict(settings or {})) if isinstance(editor, str) else editor
    width = width_of(chosen)
    edited = windows_of(sites, all_sites or sites, width)
    if width > 1:
        with untouched(model):  # a look before the covariance, which may take long
            require_window(model, chosen, sites[0])
        say(f"{chosen.name} edits {width} layers together: a layer stands for those that end there")
    found = None
    if covariance != "none":
        found = key_covariance(
            model, tokenizer, [s.layer for s in edited], text=covariance, seed=seed, say=say,
            progress=progress, cluster=engine,
        )  # fmt: skip
    moments = moments_of(found, edited, model, tokenizer, chosen)
    with untouched(model):
        made = make_templates(model, tokenizer, templates, seed=seed)
    sweep = Sweep(
        model, tokenizer, sites, chosen, made, solvers_of(moments, chosen), batch_tokens, plain,
        edited, say,
    )  # fmt: skip
    identity = {
        "model": model_key(model, tokenizer) | {"dtype": str(model.dtype).removeprefix("torch.")},
        "settings": {
            "editor": chosen.name,
            **asdict(chosen),
            "templates": list(made.prefixes),
            # of the model, not of the layers that are wanted now: a sweep can be taken further
            "covariance": sorted({key_hash(_of_all_layers(m.key)) for m in moments.values()})
            or None,
            "own_tokens": OWN_TOKENS,
            "sites": key_hash([s.name for s in all_sites or sites]),
            **chat_setting(tokenizer),
            # before there were windows, such editors were swept at single layers
            **({} if width == 1 else {"layer": "the last of a window"}),
        },
    }
    return sweep, identity


def _of_all_layers(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the covariances of one text share, of the key of one of them."""
    return {name: x for name, x in key.items() if name not in ("layer", "site", "width")}


def store_for(
    path: str | Path | None, identity: Mapping[str, Any], facts: Sequence[Fact], resume: bool
) -> Store:
    """Open the store of a sweep over some facts.

    Raises:
        ResultError: If it cannot be used, or belongs to another sweep.
    """
    told = {"count": len(facts), "sha256": key_hash([f.to_record() for f in facts])}
    return Store(None if path is None else Path(path), {**identity, "facts": told}, resume=resume)


def fill(
    sweep: Sweep,
    facts: Iterable[Fact],
    layers: Sequence[int],
    store: Store,
    *,
    say: Say = quiet,
    progress: Progress = silent,
    stage: str | None = None,
    engine: Engine | None = None,
    first_alone: bool = True,
) -> int:
    """Compute the outcomes that a store lacks; each is kept as soon as its batch is done.

    How long it will take is said as soon as the first batch has shown it.

    Args:
        sweep: How facts are edited.
        facts: The facts that are wanted.
        layers: The layers that are wanted of each.
        store: Where the outcomes are kept.
        say: Called with a line when something is worth knowing.
        progress: Called with stage, edits done and their total.
        stage: What the stage is called.
        engine: Who edits; None for this process. The store is written here, whoever it is.
        first_alone: Whether one fact is edited first, to measure what it takes; it costs a run.

    Returns:
        How many were computed.

    Raises:
        FactError: If a fact cannot be edited; before anything is.
        ResultError: If the store cannot be written.
    """
    wanted = list(facts)
    sweep.check(wanted)
    pieces = pieces_of(sweep, wanted, layers, store.outcomes, first_alone=first_alone)
    total = len(wanted) * len(layers)
    stage = stage or f"edits, {len(wanted)} facts × {len(layers)} layers"
    left = sum(piece.edits for piece in pieces)
    computed = 0
    start = time.perf_counter()
    progress(stage, total - left, total)
    engine = engine or Here(sweep.model, sweep.tokenizer)
    for i, outcomes in engine.run(EditPiece(sweep), pieces):
        piece = pieces[i]
        store.add(outcomes)
        if not computed:
            took = time.perf_counter() - start
            rest = took / piece.share * sum(p.share for p in pieces) / engine.width - took
            if rest > WORTH_TELLING:
                say(
                    f"{left} edits ({len(wanted)} facts, {len(layers)} layers): about "
                    f"{duration(rest)} more, by the first fact ({took:.1f} s)"
                )
        computed += piece.edits
        progress(stage, total - left + computed, total)
    return computed


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
