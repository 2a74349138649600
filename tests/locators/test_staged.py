"""Staged: its edits are brute force's, its curve is that of `close_in`, LGA stands beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from goldenlayers.errors import SettingsError
from goldenlayers.locators.close_in import close_in
from goldenlayers.locators.find import find
from goldenlayers.locators.registry import make_locator
from tests import tiny
from tests.locators.test_edits import MANY, counted, run

__all__ = ["counted"]  # a fixture


def test_its_scores_are_the_curve_through_edits_that_brute_force_makes_too(counted):
    ranking = run("staged", MANY, share=0.4)
    made = len(counted.made)
    truth = run(facts=MANY)
    places = {a.id: i for i, a in enumerate(truth.answers)}
    ours = ranking.fact_scores["objective"]  # (facts that were edited, 4)
    there = np.isfinite(ours)
    rows = [places[a.id] for a in ranking.answers]
    assert ours[there] == pytest.approx(truth.fact_scores["objective"][rows][there])
    assert there.sum() == made == ranking.details["edits"]
    assert made < ranking.details["full_sweep"] == 48
    assert [s.more["edits"] for s in ranking.layers] == there.sum(0).tolist()

    order = np.random.default_rng(0).permutation(len(MANY))
    whole = {n: x[order] for n, x in truth.fact_scores.items() if n != "objective"}

    def look(facts, layers):
        return {name: x[np.ix_(facts, layers)] for name, x in whole.items()}

    found = close_in(12, 4, 20, look)
    assert [s.score for s in ranking.layers] == pytest.approx(found.mean)
    assert ranking.golden == found.best
    assert [s.more["likely"] for s in ranking.layers] == pytest.approx(found.likely)
    lost = found.lost(found.best)
    assert ranking.details["expected_loss"] == pytest.approx(lost.mean())
    assert ranking.details["loss_at_most"] == pytest.approx(np.quantile(lost, 0.95))
    assert any(f"{100 * lost.mean():.1f} points better" in note for note in ranking.notes)


def test_with_all_the_edits_the_best_layer_is_brute_forces():
    ranking = run("staged", MANY, share=1.0)
    truth = run(facts=MANY)
    best = {s.layer for s in truth.layers if s.score > truth[truth.golden].score - 1e-9}
    assert ranking.golden in best


def test_layers_that_tie_end_in_one_choice_that_the_notes_tell_of():
    ranking = run("staged", MANY, objective="rewrite")  # nothing takes: all layers score 0
    assert ranking.golden == 0
    assert ranking.details["members"] == ["rewrite"]
    assert any("layer 0 is the best one" in note for note in ranking.notes)


def test_lga_on_the_same_facts_is_judged_beside_it():
    ranking = run("staged", MANY)
    used = {a.id for a in ranking.answers}
    order = np.random.default_rng(0).permutation(len(MANY))
    same = [MANY[i] for i in order if MANY[i].id in used]
    lga = find(tiny.model("llama", torch.float64), tiny.tokenizer("llama"), same, "lga")
    assert ranking.details["lga_order"] == lga.order
    (note,) = [n for n in ranking.notes if n.startswith("LGA")]
    same_layer = lga.golden == ranking.golden
    assert note.startswith(
        "LGA chooses the same" if same_layer else f"LGA chooses layer {lga.golden}"
    )
    alone = run("staged", MANY, lga=None)
    assert alone.golden == ranking.golden
    assert not any(n.startswith("LGA") for n in alone.notes)


def test_edits_are_bounded_by_their_share_and_their_number():
    staged = make_locator("staged")
    assert staged.edits(137, 30) == 150
    assert staged.edits(40, 30) == 90
    assert staged.edits(10, 30) == 45  # so many of each layer at least
    assert staged.edits(1, 30) == 30
    assert make_locator("staged", most_edits=None).edits(137, 30) == 309


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"share": 0.0}, "share 0.0: expected a number above 0, at most 1"),
     ({"share": 1.5}, "share 1.5"),
     ({"most_edits": 0}, "most_edits 0: expected 1 edit or more"),
     ({"objective": "best"}, "objective 'best' is unknown")],
)  # fmt: skip
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        make_locator("staged", **settings)
