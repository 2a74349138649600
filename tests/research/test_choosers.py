"""The study of choosers: what it collects, and how layers are chosen from that."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import goldenlayers as gl
from tests import tiny
from tests.research.made_up import made_up
from tests.scripts import tool

DOCS = Path(__file__).parents[2] / "docs" / "research"


def test_choosers_see_the_proxy_facts_alone_and_never_the_truth(tools):
    seen_by = []

    def spy(seen):
        seen_by.append((set(seen), len(seen["hint"])))
        return np.zeros(6)

    tools["judge"].judge(made_up(), {"lga": spy}, 15, 3, 1, "mean", 0)
    assert all(names == {"lga_score", "hint", "layers"} for names, _ in seen_by)
    assert [n for _, n in seen_by[:3]] == [15] * 3


def test_the_candidates_on_scores_that_are_known(tools):
    choosers = tools["judge"]
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [900.0, 2.0, 3.0, 4.0]])
    seen = {"lga_score": scores, "lga_cosine": scores / 1000, "lga_new_norm": np.ones((3, 4)),
            "layers": np.array([2, 4, 6, 17])}  # fmt: skip
    products = ("rank", "median", "cosine")
    at = {name: int(np.nanargmax(choosers.CANDIDATES[name](seen))) for name in products}
    assert at["median"] == 3
    assert at["rank"] == 3
    assert at["cosine"] == 0
    assert np.nanargmax(choosers.BASELINES["lga"](seen)) == 3  # the fences throw layer 0 out
    assert np.isnan(choosers.BASELINES["lga"](seen)[0])
    assert np.nanargmax(choosers.BASELINES["middle"](seen)) == 2
    assert np.nanargmax(choosers.BASELINES["layer 5"](seen)) == 1  # 4, the shallower of two
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
    ranking = gl.find(
        tiny.model("llama").float(), tiny.tokenizer("llama"), tiny.FACTS[:4], method="lga"
    )
    rows = [list(seen["facts"]).index(a.id) for a in ranking.answers]
    np.testing.assert_allclose(seen["lga_score"][rows], ranking.fact_scores["score"], rtol=1e-3)


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
