"""Pieces that compare ways to choose, and that rank the layers."""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.errors import LocatorError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.find import find
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.metrics.known import known_facts
from goldenlayers.study.compare import compare, own_settings
from goldenlayers.study.draws import draw, parts
from goldenlayers.study.run.at_work import AtWork
from goldenlayers.study.run.pieces import Piece


def compared(at: AtWork, piece: Piece) -> None:
    """Compare the ways to choose on draws of one size; the edits are shared by all sizes."""
    assert piece.data is not None
    assert piece.editor is not None
    what = piece.what
    known = {name for method in what["locators"] for name in own_settings(method)}
    found = compare(
        at.loaded.model,
        at.loaded.tokenizer,
        at.facts_of(piece),
        what["locators"],
        proxy=what["proxy"],
        repeats=what["repeats"],
        test=what["test"],
        layers=what["layers"],
        seed=what["seed"],
        store=at.sweep(piece.data, piece.editor),
        resume=True,
        identity=at.loaded.identity,
        cluster=at.engine,
        say=at.say,
        progress=at.progress,
        **at.edit_settings(piece.editor),
        **({"traced": what["traced"]} if "traced" in known else {}),
    )
    found.save(at.place(piece))


def ranked(at: AtWork, piece: Piece) -> None:
    """Score the layers by LGA on all proxy facts, fact by fact."""
    what = piece.what
    find(
        at.loaded.model, at.loaded.tokenizer, at.facts_of(piece), "lga", split="proxy",
        layers=what["layers"], seed=what["seed"], scope=what["scope"],
        old_answer=what["old_answer"], identity=at.loaded.identity,
        cluster=at.engine, say=at.say, progress=at.progress,
    ).save(at.place(piece))  # fmt: skip


def traced(at: AtWork, piece: Piece) -> None:
    """Trace the facts of the first draw, one of them at every token."""
    facts = at.facts_of(piece)
    pool, _ = parts(facts, None)
    chosen = draw(pool, piece.what["proxy"], 1, piece.what["seed"])[0]
    try:
        found = _traced(at, chosen, _shown(at, chosen), "known")
    except LocatorError as error:
        at.say(f"{piece.title}: {error}; traced by the model's own answers instead")
        found = _traced(at, chosen, chosen[0].id, "own")
    found.save(at.place(piece))


def _traced(at: AtWork, facts: Sequence[Fact], shown: str, how: str) -> LayerRanking:
    return find(
        at.loaded.model, at.loaded.tokenizer, facts, "cma", traced=how, heat_map=shown,
        seed=at.study.seed, identity=at.loaded.identity, cluster=at.engine, say=at.say,
        progress=at.progress,
    )  # fmt: skip


def _shown(at: AtWork, facts: Sequence[Fact]) -> str:
    """Return the first fact that the model knows; the first of all if there is none."""
    asked = known_facts(at.loaded.model, at.loaded.tokenizer, facts, progress=at.progress)
    return next((k.id for k in asked if k.known), facts[0].id)
