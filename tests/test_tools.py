"""The tools that make the documents' tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from goldenlayers.editors.base import base_of
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.update import Update
from goldenlayers.models.identity import identify
from tests import tiny
from tests.scripts import tool

SHARED = Path(__file__).parents[2] / "shared" / "data"


def test_the_table_of_the_editors(tmp_path):
    run = tool("editors/run.py")

    def write(name, data):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(data))

    methods = [
        {"method": "lga", "choices": [{"layer": 4}]},
        {"method": "cma", "choices": []},  # it could not choose
        {"method": "middle", "choices": [{"layer": 15}]},
    ]
    test = {"score": [0.5] * 3, "standard_error": [0.05] * 3}
    compared = {"methods": methods, "golden": 9, "layers": [4, 9, 15], "test": test}
    write("memit/comparison.json", compared)
    one = {"rewrite": 0.45, "rephrase": 0.45, "locality": 0.45, "portability": "", "layer": 0}
    edits = [
        one | {"layer": n, "status": status} | ({} if low else dict.fromkeys(run.SINGLE[:3], 0.55))
        for n in (4, 9, 15)
        for status, low in (("converged", True), ("converged", False), ("not converged", True),
                            ("converged", False))
    ]  # fmt: skip
    with (tmp_path / "memit/edits.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, edits[0].keys())
        writer.writeheader()
        writer.writerows(edits)
    told = {"fluency": {"after": 6.1, "standard_error": 0.25}}
    layers = [{"layer": n, "scores": {"scores": told}} for n in (4, 15)]  # of one it is not known
    write("memit-scores/layers.json", {"layers": layers})
    told = "3/4 | 50.0 ± 2.9 | 50.0 ± 2.9 | 50.0 ± 2.9 | – | 50.0 ± 5.0 |"
    (tmp_path / "memit/facts.csv").write_text("fact,4,9,15\n")
    run.keep(tmp_path, tmp_path / "kept")
    assert (tmp_path / "kept/memit-facts.csv").read_text() == "fact,4,9,15\n"
    assert json.loads((tmp_path / "kept/layer-choice.json").read_text()) == run.rows(tmp_path)
    # an editor that was run elsewhere stays, in its place
    others = [{"editor": "emmet", "method": "lga"}, {"editor": "rome", "method": "lga"}]
    (tmp_path / "kept/layer-choice.json").write_text(json.dumps(others))
    kept = [row["editor"] for row in run.keep(tmp_path, tmp_path / "kept")]
    assert kept == ["rome", "memit", "memit", "memit", "emmet"]
    assert run.table(run.rows(tmp_path))[2:] == [
        f"| memit | LGA | 0 to 4 | {told} 6.10 ± 0.25 |",
        f"| memit | middle | 11 to 15 | {told} 6.10 ± 0.25 |",
        f"| memit | best of all | 5 to 9 | {told} – |",
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published files are not here")
def test_a_thousand_facts_of_half_a():
    facts = tool("data_sets/thousand.py").chosen(SHARED)
    assert [f.split for f in facts] == ["test"] * 1000 + ["proxy"] * 78
    assert len({f.id for f in facts}) == len(facts)
    from goldenlayers.facts.subsets import half_of

    assert {half_of(f) for f in facts} == {"a"}


def test_the_table_of_a_thousand_facts_of_whole_runs_and_of_parts(tmp_path):
    thousand = tool("data_sets/thousand.py")

    def milestone(edits, **other):
        scores = dict.fromkeys(thousand.SCORES, 0.9) | {"fluency": 6.1, "perplexity": 1234.5}
        errors = dict.fromkeys(thousand.SCORES, 0.01)
        return {
            "edits": edits, "scores": scores | other, "standard_errors": errors,
            "weight_growth": 1.25, "largest_update": 0.1, "converged": 88, "seconds": 300.0,
        }  # fmt: skip

    (tmp_path / "memit").mkdir()
    whole = {"layers": [6, 7, 8], "milestones": [milestone(n) for n in (0, 100, 400)]}
    (tmp_path / "memit/sequence.json").write_text(json.dumps({"sequences": [whole]}))
    part = tmp_path / "alphaedit-values/unfinished/alphaedit"
    part.mkdir(parents=True)
    update = Update(2, "model.layers.2.mlp.down_proj", False, torch.ones(32, 1), torch.ones(48, 1))
    base = tiny.model("llama")
    Edit("alphaedit", (update,), (), {}, base_of(base, [update.name], identify(base)), {}).save(
        part / "edits-0500.safetensors"
    )
    # the model is broken
    milestones = [milestone(n, perplexity=None) for n in (0, 500)]
    state = {"edit": "edits-0500.safetensors", "milestones": milestones}
    (part / "state.json").write_text(json.dumps(state))
    found = [s for n in thousand.RUNS if (s := thousand.sequence_of(n, tmp_path)) is not None]
    thousand.write_csv(found, tmp_path / "kept.csv")
    told = "90.0 ± 1.0 | " * 3 + "6.10"
    assert thousand.table(tmp_path / "kept.csv")[2:] == [
        f"| memit, layers 6 to 8 | 100 | 88 | {told} | 1,234.5 | 1.25 | 3.0 |",
        f"| alphaedit with memit's values, layer 2 | 500 | 88 | {told} | not finite | 1.25 | 0.6 |",
    ]
    thousand.plot_sequences(found, tmp_path / "picture.png")
    # the table is all that a later run needs of them
    thousand.write_csv(thousand.kept(tmp_path / "kept.csv").values(), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "kept.csv").read_text()
