"""A sweep from beginning to end: what is computed, said and refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from goldenlayers.errors import FactError
from goldenlayers.models.sites import find_sites
from goldenlayers.sweep import run as run_module
from goldenlayers.sweep.pieces import pieces_of
from goldenlayers.sweep.run import duration, fill, prepared, store_for
from tests import tiny
from tests.sweep.test_engine import FACTS, VALUE

MANY = [dataclasses.replace(f, id=f"{f.id}.{i}") for i in range(4) for f in FACTS]
LAYERS = [0, 1, 2, 3]


def make(editor="r-rome", **options):
    model = tiny.model("llama", torch.float64)
    return prepared(
        model, tiny.tokenizer("llama"), find_sites(model), editor,
        **{"settings": VALUE, "batch_tokens": 100} | options,
    )  # fmt: skip


def test_how_long_it_takes_is_said_once_after_the_first_fact(monkeypatch):
    clock = [0.0]

    def ticking():
        clock[0] += 10.0  # each look at the clock is ten seconds later
        return clock[0]

    sweep, identity = make()
    monkeypatch.setattr(run_module.time, "perf_counter", ticking)
    told, moves = [], []
    with store_for(None, identity, MANY, False) as store:
        made = fill(sweep, MANY, LAYERS, store, say=told.append,
                    progress=lambda *move: moves.append(move))  # fmt: skip
    assert made == 48
    (line,) = told
    share = sweep.blocks(MANY, 4)[0].share
    # the engine looks at the clock too
    took = float(line.rpartition("(")[2].removesuffix(" s)"))
    assert line.startswith("48 edits (12 facts, 4 layers): about ")
    assert f"about {duration(took / share - took)} more" in line
    assert {stage for stage, _, _ in moves} == {"edits, 12 facts × 4 layers"}
    assert [done for _, done, _ in moves] == sorted(done for _, done, _ in moves)
    assert moves[-1][1:] == (48, 48)


def test_only_what_is_missing_is_computed():
    sweep, identity = make()
    with store_for(None, identity, MANY, False) as store:
        assert fill(sweep, MANY[:3], [1, 2], store) == 6
        assert fill(sweep, MANY[:3], LAYERS, store) == 6
        assert fill(sweep, MANY, LAYERS, store) == 36
        assert fill(sweep, MANY, LAYERS, store) == 0
        assert len(store.outcomes) == 48


@pytest.mark.parametrize("done", [1, 2, 3])
def test_what_is_left_is_parted_as_it_would_have_been_anyway(done):
    sweep, identity = make()
    with store_for(None, identity, MANY, False) as whole:
        pieces = pieces_of(sweep, MANY, LAYERS, whole.outcomes)
        assert sum(p.share for p in pieces) == pytest.approx(1)
        assert sum(p.edits for p in pieces) == 48
        fill(sweep, MANY, LAYERS, whole)
    with store_for(None, identity, MANY, False) as stopped:
        for piece in pieces[:done]:
            stopped.add(sweep.run(piece.facts, piece.layers))
        assert pieces_of(sweep, MANY, LAYERS, stopped.outcomes) == pieces[done:]
        assert fill(sweep, MANY, LAYERS, stopped) == sum(p.edits for p in pieces[done:])
    numbers = [
        {at: dataclasses.replace(o, seconds=0.0) for at, o in s.outcomes.items()}
        for s in (whole, stopped)
    ]
    assert numbers[0] == numbers[1]  # to the last bit


def test_a_fact_that_cannot_be_edited_ends_it_before_anything_is():
    sweep, identity = make()
    bad = dataclasses.replace(FACTS[0], id="bad", subject="Nowhere")
    with store_for(None, identity, MANY, False) as store:
        with pytest.raises(FactError, match="Nowhere"):
            fill(sweep, [*MANY, bad], LAYERS, store)
        assert not store.outcomes


def test_what_changes_an_outcome_is_in_its_identity():
    _, plain = make()
    for options in ({"editor": "rome"}, {"settings": VALUE | {"lr": 0.1}}, {"templates": "bare"}):
        assert make(**options)[1] != plain
    # how it is computed does not
    assert make(batch_tokens=999)[1] == plain
    assert make(plain=True)[1] == plain
    # nor which layers are wanted now: the same sweep can be taken further
    model = tiny.model("llama")
    sites = find_sites(model)
    how = {"settings": VALUE, "batch_tokens": 100}
    few = prepared(model, tiny.tokenizer("llama"), sites[:2], "r-rome", all_sites=sites, **how)
    assert few[1] == plain
    # but another kind of site
    others = find_sites(model, "model.layers.{}.self_attn.o_proj")
    assert prepared(model, tiny.tokenizer("llama"), others, "r-rome", **how)[1] != plain


def test_a_sweep_with_a_covariance_is_taken_further_too(tmp_path, monkeypatch):
    monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "text.txt"
    text.write_text("The town stands by the sea, and the sea is cold. " * 40)
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    sites = find_sites(model)
    found = [
        prepared(
            model, tokenizer, some, "r-rome", all_sites=sites, settings=VALUE, batch_tokens=100,
            covariance=of,
        )[1]
        for some, of in ((sites[:1], str(text)), (sites[1:3], str(text)), (sites[:1], "none"))
    ]  # fmt: skip
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_durations_are_said_as_people_do():
    assert duration(42.4) == "42 s"
    assert duration(600) == "10 min"
    assert duration(5 * 3600) == "5.0 h"
