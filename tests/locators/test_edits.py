"""Brute force and verified: what they say of the edits that the engine makes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from goldenlayers.editors.rome import RROME
from goldenlayers.errors import LocatorError, ResultError, SettingsError
from goldenlayers.locators.find import find
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.registry import make_locator
from goldenlayers.sweep import engine
from goldenlayers.sweep.objective import LayerScores
from tests import tiny
from tests.sweep.test_engine import FACTS, VALUE
from tests.sweep.test_windows import random_covariance

MANY = [dataclasses.replace(f, id=f"{f.id}.{i}") for i in range(4) for f in FACTS]
SETTINGS = {"editor_settings": VALUE}


def run(method="brute-force", facts=FACTS, **options):
    model = tiny.model("llama", torch.float64)
    return find(model, tiny.tokenizer("llama"), facts, method, **SETTINGS | options)


def test_every_objective_is_what_the_single_scores_say():
    truth = run()
    names = ("rewrite", "rephrase", "locality", "portability")
    values = {n: truth.fact_scores[n] for n in names}
    scores = LayerScores(tuple(f.id for f in FACTS), (0, 1, 2, 3), values)
    for objective in (*names, "mean", "harmonic"):
        ranking = run(objective=objective)
        by_layer = scores.by_layer(objective)
        assert [s.score for s in ranking.layers] == pytest.approx(by_layer)
        assert ranking.golden == int(np.argmax(by_layer >= by_layer.max() - 1e-9))
        assert ranking.details["members"] == list(scores.members(objective))
        errors = scores.standard_errors(objective)
        assert [s.more["standard_error"] for s in ranking.layers] == pytest.approx(errors)


def test_the_plain_loop_and_the_growing_batch_give_the_same_ranking():
    fast, slow = run(), run(plain=True)
    assert fast.order == slow.order
    for name, values in fast.fact_scores.items():
        assert values == pytest.approx(slow.fact_scores[name], nan_ok=True), name
    assert fast.details["computed"] == {"growing batch": 12}
    assert slow.details["computed"] == {"plain loop": 12}
    assert any("12 of 12 edits: plain loop." in note for note in slow.notes)


def test_ties_are_named_and_the_ceiling_is_that_of_each_facts_own_layer():
    ranking = run(objective="rewrite")  # nothing takes in six steps: all layers score 0
    assert ranking.details["ties"] == [0, 1, 2, 3]
    assert ranking.golden == 0
    assert any("Layers 0, 1, 2, 3 tie exactly" in note for note in ranking.notes)
    ranking = run()
    each = ranking.fact_scores["objective"]
    own = ranking.details["sample_wise"]
    assert list(own["layers"].values()) == [int(np.argmax(row >= row.max() - 1e-9)) for row in each]
    assert own["ceiling"] == pytest.approx(each.max(1).mean())  # all facts have the same scores
    assert own["golden"] == pytest.approx(max(s.score for s in ranking.layers))


def test_an_editor_of_its_own_kind_is_swept_plainly_and_that_is_said():
    @dataclasses.dataclass(frozen=True)
    class Other:
        inner: RROME
        name = "other"

        def edit(self, request):
            return self.inner.edit(request)

    ranking = run(editor=Other(RROME(**VALUE)), editor_settings={})
    assert ranking.details["computed"] == {
        "plain loop: Other cannot train many layers side by side": 12
    }
    assert [s.score for s in ranking.layers] == pytest.approx([s.score for s in run().layers])


def test_a_ranking_survives_the_disk(tmp_path):
    for method in ("brute-force", "verified", "staged"):
        ranking = run(method, MANY)
        ranking.save(tmp_path / method)
        again = LayerRanking.load(tmp_path / method)
        assert again.layers == ranking.layers
        assert again.details == ranking.details
        assert again.shares == ranking.shares
        for name, values in ranking.fact_scores.items():
            assert np.array_equal(again.fact_scores[name], values, equal_nan=True)


@pytest.fixture
def counted(monkeypatch):
    """Count the edits that the engine makes; `stop_after` ends it with Ctrl-C."""
    made = []
    run_engine = engine.Sweep.run
    control = type("Control", (), {"made": made, "stop_after": None})()

    def wrapped(self, facts, layers=None, **options):
        if control.stop_after is not None and len(made) >= control.stop_after:
            raise KeyboardInterrupt
        found = run_engine(self, facts, layers, **options)
        made.extend(found)
        return found

    monkeypatch.setattr(engine.Sweep, "run", wrapped)
    return control


def test_a_stopped_sweep_ranks_what_is_done_and_goes_on(tmp_path, counted):
    store = tmp_path / "sweep.sqlite"
    told = []
    counted.stop_after = 12
    part = run(facts=MANY, store=store, batch_tokens=100, say=told.append)
    done = len(counted.made)
    assert 12 <= done < 48
    assert part.details["stopped"]
    assert len(part.answers) == done // 4
    assert any(f"stopped after {done} of 48 edits, kept in {store}: --resume" in t for t in told)
    with pytest.raises(ResultError, match="--resume goes on"):
        run(facts=MANY, store=store)
    counted.stop_after = None
    whole = run(facts=MANY, store=store, resume=True)
    assert len(counted.made) == 48  # none was made twice
    assert not whole.details["stopped"]
    fresh = run(facts=MANY)
    assert [s.score for s in whole.layers] == pytest.approx([s.score for s in fresh.layers])
    assert whole.order == fresh.order


def test_ctrl_c_before_the_first_fact_ends_it(counted):
    counted.stop_after = 0
    with pytest.raises(KeyboardInterrupt):
        run()


@pytest.mark.parametrize(
    ("change", "what"),
    [({"facts": MANY[:5]}, "facts"), ({"seed": 3, "templates": "bare"}, "settings"),
     ({"editor_settings": VALUE | {"lr": 0.2}}, "settings")],
)  # fmt: skip
def test_another_sweep_is_refused(tmp_path, change, what):
    store = tmp_path / "sweep.sqlite"
    run(store=store)
    with pytest.raises(ResultError, match=f"holds a sweep of another kind: its {what}"):
        run(store=store, resume=True, **change)


def test_verified_races_the_best_by_lga_and_names_the_others(counted):
    ranking = run("verified", MANY, race=3)
    lga = find(tiny.model("llama", torch.float64), tiny.tokenizer("llama"), MANY, "lga")
    raced = [s.layer for s in ranking.layers if s.rank is not None]
    assert raced == sorted(lga.order[:3])
    assert ranking.details["lga_order"] == lga.order
    assert ranking.details["uncovered"] == [n for n in range(4) if n not in raced]
    assert any("not covered: layers" in note for note in ranking.notes)
    assert ranking.details["edits"] == len(counted.made)
    assert ranking.details["full_sweep"] == 48
    assert ranking.details["edits"] < 48
    truth = run(facts=MANY)
    by_id = {a.id: i for i, a in enumerate(truth.answers)}
    rows = [by_id[a.id] for a in ranking.answers]
    ours = ranking.fact_scores["objective"]
    there = np.isfinite(ours)
    assert ours[there] == pytest.approx(truth.fact_scores["objective"][rows][there])
    assert sum(there.sum(0)) == ranking.details["edits"]


def test_race_all_covers_every_layer_and_finds_the_truth():
    ranking = run("verified", MANY, race=0)
    assert sorted(ranking.order) == [0, 1, 2, 3]
    assert ranking.details["uncovered"] == []
    assert ranking.golden == run(facts=MANY).golden
    assert ranking.details["separated"]
    assert ranking.details["regret_bound"] == 0.0


def test_where_the_editor_takes_a_window_a_layer_is_its_last(monkeypatch):
    asked = random_covariance(monkeypatch)
    memit = {"editor": "memit", "covariance": "model"}
    settings = {"editor_settings": VALUE | {"window": 3, "lam": 0.1}}
    told = []
    whole = run(**memit, **settings, say=told.append)
    plain = run(**memit, **settings, plain=True)
    assert whole.details["computed"] == {"growing batch": 12}
    assert [s.score for s in whole.layers] == pytest.approx([s.score for s in plain.layers])
    assert "memit edits 3 layers together: a layer stands for those that end there" in told
    assert whole.legend.endswith("; a layer stands for the 3 that end there")
    assert whole.details["editor_window"] == 3
    some = run(**memit, **settings, layers="2,3")
    assert asked[-1] == [0, 1, 2, 3]  # what the windows reach down to
    assert [s.score for s in some.layers] == pytest.approx([s.score for s in whole.layers][2:])
    verified = run("verified", MANY, race=0, **memit, **settings)
    assert verified.golden == run(facts=MANY, **memit, **settings).golden
    assert verified.details["editor_window"] == 3
    assert verified.legend.endswith("; a layer stands for the 3 that end there")
    single = run()
    assert single.details["editor_window"] == 1
    assert "stands for" not in single.legend


def test_a_window_is_refused_where_a_norm_stands_behind_the_mlp(monkeypatch, tmp_path):
    asked = random_covariance(monkeypatch)
    model = tiny.model("gemma3_text", torch.float64)
    store = tmp_path / "sweep.sqlite"
    with pytest.raises(SettingsError, match="give window=1"):
        find(model, tiny.tokenizer("gemma3_text"), FACTS, "brute-force", editor="memit",
             covariance="model", store=store)  # fmt: skip
    assert not asked
    assert not store.exists()


@pytest.mark.parametrize("method", ["verified", "staged"])
def test_the_methods_of_few_edits_go_on_with_their_store(method, tmp_path, counted):
    store = tmp_path / "sweep.sqlite"
    first = run(method, MANY, store=store)
    made = len(counted.made)
    again = run(method, MANY, store=store, resume=True)
    assert len(counted.made) == made
    assert again.layers == first.layers


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"objective": "best"}, "objective 'best' is unknown"),
     ({"templates": "long"}, "templates 'long' is unknown"),
     ({"covariance": "/no/such"}, "covariance '/no/such': no such file"),
     ({"editor": "mend"}, "editor 'mend' is unknown"),
     ({"editor_settings": {"lr": -1.0}}, "lr -1"),
     ({"batch_tokens": 0}, "batch_tokens 0"),
     ({"race": 1}, "race 1: expected 2 or more layers, or all"),
     ({"confidence": 1.0}, "confidence 1.0: expected a number in")],
)  # fmt: skip
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        make_locator("verified", **settings)


def test_an_objective_without_probes_is_refused():
    bare = [dataclasses.replace(f, portability={}) for f in FACTS]
    with pytest.raises(LocatorError, match="none of the 3 facts has a probe for portability"):
        run(facts=bare, objective="portability")
