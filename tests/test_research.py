"""The study of choosers: what it collects, and how it judges."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import goldenlayers as gl
from tests import tiny
from tests.scripts import tool


@pytest.fixture(scope="module")
def tools():
    return {"collect": tool("research/collect.py"), "judge": tool("research/judge.py"),
            "verdict": tool("research/verdict.py")}  # fmt: skip


def made_up(n=40, layers=6, seed=0):
    """A cell in which layer 2 is best by a tenth, and facts differ."""
    rng = np.random.default_rng(seed)
    truth = 0.5 + 0.02 * rng.standard_normal((n, layers))
    truth[:, 2] += 0.1
    truth[:, 4] -= 0.2
    nothing = np.full((n, layers), np.nan)
    return {
        "facts": np.array([f"f{i}" for i in range(n)]),
        "layers": np.arange(10, 10 + layers),
        "truth_rewrite": truth,
        **{f"truth_{m}": nothing for m in ("rephrase", "locality", "portability")},
        "lga_score": rng.standard_normal((n, layers)),
        "hint": truth + 0.001 * rng.standard_normal((n, layers)),
    }


def always(layer):
    return lambda seen: np.arange(seen["hint"].shape[1]) == layer


def test_excess_is_what_a_choice_loses_against_brute_force(tools):
    choosers = {
        "lga": always(0),
        "truth": lambda seen: seen["hint"].mean(0),
        "best": always(2),
        "worst": always(4),
    }
    found = tools["judge"].judge(made_up(), choosers, 20, 50, 50, "mean", 0)
    assert found["best"].mean == 0.0
    assert found["truth"].mean == 0.0
    assert found["worst"].mean == pytest.approx(0.3, abs=0.02)
    assert found["worst"].low < 0.3 < found["worst"].high < 0.33
    assert found["lga"].mean == pytest.approx(0.1, abs=0.02)
    mean, low, high = found["worst"].than["lga"]
    assert low < mean < high
    assert mean == pytest.approx(0.2, abs=0.02)
    assert found["lga"].than["lga"] == (0.0, 0.0, 0.0)
    assert found["worst"].layers == {14: 1.0}
    # a layer at random: the mean of one a fifth worse, four a tenth worse, and the best
    assert found["random"].mean == pytest.approx((0.3 + 4 * 0.1) / 6, abs=0.01)
    assert found["worst"].than["random"][0] == pytest.approx(0.3 - 0.7 / 6, abs=0.02)


def test_the_floor_is_not_negative_where_brute_force_errs(tools):
    """Cross-fitted: layers that are all alike give a floor of zero, not below and not above."""
    cell = made_up(n=60)
    cell["truth_rewrite"] = np.random.default_rng(3).standard_normal((60, 6))
    found = tools["judge"].judge(cell, {"lga": always(0)}, 30, 400, 2, "mean", 0)
    assert abs(found["lga"].floor) < 0.05
    biased = float(np.sqrt(2 * np.log(6)) / np.sqrt(30) / 1.5)  # of an argmax judged on itself
    assert abs(found["lga"].regret) < biased
    assert found["lga"].regret == pytest.approx(found["lga"].floor + found["lga"].mean)
    cell["truth_rewrite"][:, 2] += 1.0
    found = tools["judge"].judge(cell, {"lga": always(0)}, 30, 50, 2, "mean", 0)
    assert found["lga"].floor == 0.0
    assert found["lga"].regret == pytest.approx(1.0, abs=0.4)


def test_choosers_see_the_proxy_facts_alone_and_never_the_truth(tools):
    seen_by = []

    def spy(seen):
        seen_by.append((set(seen), len(seen["hint"])))
        return np.zeros(6)

    tools["judge"].judge(made_up(), {"lga": spy}, 15, 3, 1, "mean", 0)
    assert all(names == {"lga_score", "hint"} for names, _ in seen_by)
    assert [n for _, n in seen_by[:3]] == [15] * 3


def test_a_fact_is_never_on_both_sides(tools):
    """Each fact's hint is the same as its truth, so that what was chosen on can be told."""
    cell = made_up(n=12)
    truth = tools["judge"].LayerScores(
        tuple(cell["facts"]), tuple(cell["layers"]), {"rewrite": cell["truth_rewrite"]}
    )
    rng = np.random.default_rng(1)
    taken = []
    judged = []

    class Spy(type(truth)):
        def by_layer(self, objective, weights=None):
            judged.append(np.asarray(weights))
            return np.zeros(6)

    spied = Spy(truth.facts, truth.layers, truth.values)

    def chooser(seen):
        taken.append(len(seen["hint"]))
        return np.zeros(6)

    counts = np.bincount(rng.integers(12, size=12), minlength=12)
    tools["judge"]._draws(cell, spied, {"lga": chooser}, counts, 5, 20, "mean", rng)
    # of each draw: all that are left, the proxy facts, and the halves of those left
    for test, proxy, one, other in zip(*(judged[i::4] for i in range(4)), strict=True):
        assert not (test * proxy).any()
        np.testing.assert_array_equal(test + proxy, counts)
        np.testing.assert_array_equal(one + other, test)
        assert not (one * other).any()
    assert taken == [int(p.sum()) for p in judged[1::4]]


def test_the_candidates_on_scores_that_are_known(tools):
    choosers = tools["judge"]
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [900.0, 2.0, 3.0, 4.0]])
    seen = {"lga_score": scores, "lga_cosine": scores / 1000, "lga_new_norm": np.ones((3, 4))}
    products = ("rank", "median", "cosine")
    at = {name: int(np.nanargmax(choosers.CANDIDATES[name](seen))) for name in products}
    assert at["median"] == 3
    assert at["rank"] == 3
    assert at["cosine"] == 0
    assert np.nanargmax(choosers.BASELINES["lga"](seen)) == 3  # the fences throw layer 0 out
    assert np.isnan(choosers.BASELINES["lga"](seen)[0])
    assert np.nanargmax(choosers.BASELINES["middle"](seen)) == 2
    seen["lga_new_norm"] = np.array([[1.0, 1.0, 1.0, 0.0]] * 3)  # the last layer is not reached
    assert np.isnan(choosers.CANDIDATES["median"](seen)[3])


def test_a_cell_is_collected_and_goes_on(tools, tmp_path, monkeypatch):
    folder = tmp_path / "worlds" / "llama-1"
    tiny.model("llama").float().save_pretrained(folder)
    tiny.tokenizer("llama").save_pretrained(folder)
    records = [
        {**f.to_record(), "rephrase_prompts": [f"They say that {f.prompt}"]} for f in tiny.FACTS[:4]
    ]
    (folder / "facts.jsonl").write_text("\n".join(map(json.dumps, records)))
    cell = tools["collect"].Cell("c", "development", "llama-1", "world", None, "r-rome", 4)
    run = [cell, tmp_path, tmp_path / "worlds", tmp_path / "out", tmp_path / "kept"]
    tools["collect"].collect(*run)
    # staged makes its edits anew, for their time; all others are there
    monkeypatch.setattr(tools["collect"], "staged_arrays", lambda *_: {})
    monkeypatch.setattr(
        "goldenlayers.sweep.engine.Sweep.run", lambda *_, **__: pytest.fail("all is there")
    )
    tools["collect"].collect(*run[:-1], tmp_path / "again")
    with np.load(tmp_path / "again" / "c.npz") as arrays:
        again = arrays["truth_rewrite"]
    with np.load(tmp_path / "kept" / "c.npz", allow_pickle=False) as arrays:
        seen = {name: arrays[name] for name in arrays.files}
    np.testing.assert_array_equal(seen["truth_rewrite"], again)
    assert len(seen["facts"]) == 4
    assert list(seen["layers"]) == [0, 1, 2, 3]
    assert seen["staged_seconds"] > 0
    assert 0 < seen["staged_sweep_seconds"] < seen["sweep_seconds"]
    assert seen["staged_layer"] in seen["layers"]
    for name in ("truth_rewrite", "truth_rephrase", "need", "transfer_rephrase", "lga_score"):
        assert seen[name].shape == (4, 4)
        assert np.isfinite(seen[name][:, :-1]).all(), name
    assert np.isnan(seen["truth_portability"]).all()
    # in the order of the facts
    ranking = gl.find(tiny.model("llama").float(), tiny.tokenizer("llama"), tiny.FACTS[:4])
    rows = [list(seen["facts"]).index(a.id) for a in ranking.answers]
    np.testing.assert_allclose(seen["lga_score"][rows], ranking.fact_scores["score"], rtol=1e-3)


def test_the_verdict_is_what_the_rule_says(tools):
    rule = {"chooser": "best", "mean_at_most": 0.01, "upper_at_most": 0.03, "time_at_most": 0.1}
    choosers = {"lga": always(0), "best": always(2), "worst": always(4)}
    found = {c: tools["judge"].judge(made_up(seed=n), choosers, 20, 20, 20, "mean", 0)
             for n, c in enumerate("ab")}  # fmt: skip
    quick = {"a": 0.08, "b": 0.09}
    lines = tools["verdict"].verdict(found, quick, rule)
    assert lines[-2:] == ["better than LGA: confirmed", "the goal: met"]
    assert sum(line.startswith("met: ") for line in lines) == 4
    assert any(line.startswith("a: within") for line in lines)
    lines = tools["verdict"].verdict(found, {"a": 0.08, "b": 0.2}, rule)
    assert lines[-2:] == ["better than LGA: confirmed", "the goal: not met"]
    (missed,) = [line for line in lines if line.startswith("NOT MET")]
    assert "time 14.0%" in missed
    lines = tools["verdict"].verdict(found, quick, rule | {"chooser": "worst"})
    assert sum(line.startswith("NOT MET") for line in lines) == 3
    assert any(line.startswith("a: beyond") for line in lines)
    assert lines[-2:] == ["better than LGA: not confirmed", "the goal: not met"]
    (against,) = [line for line in lines if "less LGA's" in line]
    assert "less LGA's +20." in against or "less LGA's +19." in against


def test_confirmation_cells_stay_closed(tools, monkeypatch, capsys):
    cells = tools["collect"].CELLS
    cell = tools["collect"].Cell("x", "confirmation", "bundled", "zsre", "b", "r-rome", 4)
    monkeypatch.setitem(cells, "x", cell)
    monkeypatch.setattr(sys, "argv", ["collect.py", "x"])
    with pytest.raises(SystemExit):
        tools["collect"].main()
    assert "opened once" in capsys.readouterr().err


def test_the_effects_choose_what_they_say(tools):
    rng = np.random.default_rng(0)
    seen = {"lga_score": np.ones((5, 4)), "lga_cosine": np.ones((5, 4)),
            "lga_new_norm": np.array([[1.0, 1.0, 1.1, 90.0]] * 5), "need": np.full((5, 4), 2.0),
            "transfer_rephrase": rng.random((5, 4)), "transfer_locality": np.ones((5, 4)),
            "transfer_portability": np.full((5, 4), np.nan)}  # fmt: skip
    seen["lga_score"][:, 3] = 9.0
    seen["need"][:, 0] = 0.5
    seen["transfer_rephrase"][:, 1] = 3.0
    seen["transfer_locality"][:, 2] = 0.1
    candidates = tools["judge"].CANDIDATES
    names = ("predicted, need", "predicted, rephrase", "predicted, harmless", "sum, no fences",
             "sum, fenced by norms")  # fmt: skip
    at = {name: int(np.nanargmax(candidates[name](seen))) for name in names}
    assert np.isfinite(candidates["predicted, together"](seen)).all()
    assert at["predicted, need"] == 0
    assert at["predicted, rephrase"] == 1
    assert at["predicted, harmless"] == 2
    assert at["sum, no fences"] == 3
    assert at["sum, fenced by norms"] != 3


def test_staged_sees_the_truth_and_loses_less_the_more_it_edits(tools):
    choosers = {n: c for n, c in tools["judge"].EDITING.items() if n.startswith("staged")}
    rng = np.random.default_rng(1)
    curve = -np.abs(np.arange(20) - 7) / 40
    n, nothing = 80, np.full((80, 20), np.nan)
    cell = {
        "facts": np.array([f"f{i}" for i in range(n)]),
        "layers": np.arange(20),
        "truth_rewrite": curve + rng.normal(scale=0.1, size=(n, 20)) + rng.normal(size=(n, 1)),
        **{f"truth_{m}": nothing for m in ("rephrase", "locality", "portability")},
        "lga_score": np.tile(np.arange(20.0), (n, 1)),
    }
    blind = {"lga": lambda seen: seen["lga_score"].mean(0)}
    found = tools["judge"].judge(cell, blind | choosers, 40, 30, 5, "mean", 0)
    few, more = (found[f"staged, {x} of the edits"] for x in ("5%", "20%"))
    assert more.mean <= few.mean + 0.005
    assert more.mean < 0.02 < 0.1 < found["lga"].mean
    assert more.than["lga"][2] < 0


def test_verified_races_the_best_by_lga_with_the_edits_of_the_truth(tools):
    rng = np.random.default_rng(2)
    n, depth = 32, 12
    truth = rng.normal(scale=0.02, size=(n, depth))
    truth[:, 5] += 0.5  # the best, but not among those that LGA proposes
    truth[:, 9] += 0.3
    nothing = np.full((n, depth), np.nan)
    seen = {
        "truth_rewrite": truth,
        **{f"truth_{m}": nothing for m in ("rephrase", "locality", "portability")},
        "lga_score": np.tile(np.arange(depth) + 100.0, (n, 1)),
        "lga_new_norm": np.ones((n, depth)),
    }
    over = tools["judge"].EDITING["verified"](seen)
    assert int(np.argmax(over)) == 9
    raced = tool("research/choosers.py").raced(seen)
    assert sorted(raced.order) == [6, 7, 8, 9, 10, 11]
    assert raced.separated
    assert sum(e.facts for e in raced.entrants.values()) == 6 * 8  # at the first look
    seen["lga_score"][:, 5] = 112.0  # now it is
    assert int(np.argmax(tools["judge"].EDITING["verified"](seen))) == 5


def test_fewer_edits_lose_more():
    sparse = tool("research/sparse.py")
    rng = np.random.default_rng(1)
    curve = -np.abs(np.arange(20) - 7) / 40
    each = curve + rng.normal(scale=0.3, size=(60, 1)) + rng.normal(scale=0.1, size=(60, 20))
    lost = [sparse.excess(each, share, sparse.staged, 20, 60, 5, 0)[0] for share in (0.05, 1)]
    assert lost[0] > lost[1]
    assert abs(lost[1]) < 0.01  # all edits: brute force, smoothed
    assert sparse.excess(each, 1, sparse.fewer, 20, 20, 5, 0)[0] == 0
