"""A study: what is done, what is kept, what is done again."""

from __future__ import annotations

import json

import pytest
import torch

from goldenlayers.errors import FactError, ResultError, SettingsError
from goldenlayers.locators.find import find
from goldenlayers.models.content import content_hash
from goldenlayers.study.compare import compare
from goldenlayers.study.comparison import JSON_NAME
from goldenlayers.study.run import run as module
from goldenlayers.study.run.folder import INDEX, PIECE, RunFolder, folder_name
from goldenlayers.study.run.pieces import COMPARE, EDITS, RANK, TIME, TRACE
from goldenlayers.study.run.settings import DataSpec
from goldenlayers.study.run.stored import load_study
from tests import tiny
from tests.study.run import studies
from tests.sweep.test_engine import VALUE


def index_of(folder):
    return json.loads((folder / INDEX).read_text(encoding="utf-8"))


def counted(monkeypatch):
    """Count the pieces that are worked on from now on."""
    done = []
    for kind, work in module.WORK.items():

        def watched(at, piece, work=work):
            work(at, piece)
            done.append(piece.place.as_posix())

        monkeypatch.setitem(module.WORK, kind, watched)
    return done


def test_every_combination_is_there(made):
    folder, _study, _ = made
    pieces = index_of(folder)["pieces"]
    per_model = {COMPARE: 2 * 2 + 2, RANK: 2 * 4, TRACE: 2, EDITS: 2, TIME: 1}
    for kind, count in per_model.items():
        assert sum(p["kind"] == kind for p in pieces) == 2 * count, kind
    for piece in pieces:
        assert (folder / piece["place"] / PIECE).is_file()
        assert piece["seconds"] > 0
    assert index_of(folder)["models"].keys() == {"llama", "little gpt2"}
    assert index_of(folder)["data"]["one"]["splits"] == {"proxy": 9, "test": 6}


def test_a_comparison_is_what_compare_gives(made):
    folder, study, _ = made
    (cell,) = [c for c in load_study(folder).comparisons
               if (c.model, c.data, c.variant) == ("llama", "one", "proxy-0004")]  # fmt: skip
    from goldenlayers.facts import read_facts

    model = tiny.model("llama", torch.float32)
    alone = compare(
        model, tiny.tokenizer("llama"), read_facts(study.data[0].facts),
        ("lga", "cma", "brute-force", "middle", "random", "fixed:1"), proxy=4, repeats=2,
        traced="own", editor_settings=VALUE,
    )  # fmt: skip
    told = json.loads(json.dumps(alone.to_dict()))
    assert cell.told["draws"] == told["draws"]
    assert cell.told["golden"] == told["golden"]
    for mine, theirs in zip(cell.told["methods"], told["methods"], strict=True):
        assert mine["method"] == theirs["method"]
        assert [c["layer"] for c in mine["choices"]] == [c["layer"] for c in theirs["choices"]]
    # blocks of another size add up in another order
    assert cell.scores.by_layer("mean") == pytest.approx(alone.test["score"], abs=1e-6)


def test_a_ranking_is_what_find_gives_on_the_proxy_facts(made):
    folder, study, _ = made
    stored = load_study(folder).rankings["little gpt2", "two", "mlp", "model"]
    from goldenlayers.facts import read_facts

    model = tiny.model("gpt2", torch.float32)
    alone = find(model, tiny.tokenizer("gpt2"), read_facts(study.data[1].facts), "lga", scope="mlp",
                 old_answer="model", split="proxy")  # fmt: skip
    assert stored.golden == alone.golden
    assert stored.fact_scores["score"] == pytest.approx(alone.fact_scores["score"], rel=1e-5)


def test_once_more_there_is_nothing_to_do(made, monkeypatch):
    folder, study, _ = made
    done = counted(monkeypatch)
    before = index_of(folder)
    plans = []
    studies.run(folder, study, show=lambda model, plan: plans.append(plan))
    assert not done
    assert all(p.done for plan in plans for p in plan)
    assert index_of(folder) == before


def test_other_settings_do_what_these_lack_and_take_the_edits_that_are_there(tmp_path, monkeypatch):
    small = {"models": ["llama"], "sensitivity": False, "timing": False, "stories": 0,
             "side_effects": 0, "heat_map": False}  # fmt: skip
    study = studies.settings(tmp_path, **small)
    out = studies.run(tmp_path / "run", study)
    done = counted(monkeypatch)
    edits = []
    from goldenlayers.sweep.engine import Sweep

    run = Sweep.run
    monkeypatch.setattr(
        Sweep,
        "run",
        lambda self, facts, *a, **k: edits.append(len(facts)) or run(self, facts, *a, **k),
    )
    studies.run(out, studies.settings(tmp_path, **small, proxy=[2, 3, 4]))
    assert sorted(done) == [f"{COMPARE}/llama/{d}/r-rome/proxy-0003" for d in ("one", "two")]
    assert not edits  # the draws of three are among those of four
    done.clear()
    studies.run(out, studies.settings(tmp_path, **small, objective="rewrite"))
    assert len(done) == 4
    assert not edits
    assert len(index_of(out)["pieces"]) == 4 + 2  # and the rankings


def test_stopped_anywhere_it_ends_as_if_it_had_not_been(made, tmp_path, monkeypatch):
    study = studies.settings(tmp_path, models=["llama"], timing=False)
    out = tmp_path / "run"
    work = dict(module.WORK)
    stops = 0
    for stop_at in range(1, 40):
        count = 0

        def stopped(at, piece, real, stop_at=stop_at):
            nonlocal count
            count += 1
            if count == 2 and stop_at % 2:
                raise KeyboardInterrupt
            real(at, piece)
            if count == 2:  # the results are there, but not the word that they are whole
                raise KeyboardInterrupt

        for kind, real in work.items():
            monkeypatch.setitem(
                module.WORK, kind, lambda at, piece, real=real: stopped(at, piece, real)
            )
        try:
            studies.run(out, study)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 5
    whole, mine = load_study(made[0]), load_study(out)
    for cell in mine.comparisons:
        same = (cell.model, cell.data, cell.variant)
        (other,) = [c for c in whole.comparisons if (c.model, c.data, c.variant) == same]
        assert cell.scores.by_layer("mean") == pytest.approx(
            other.scores.by_layer("mean"), abs=1e-6
        )
    assert {k: r.golden for k, r in mine.rankings.items()} == {
        k: r.golden for k, r in whole.rankings.items() if k[0] == "llama"
    }


def test_only_the_plan(tmp_path):
    study = studies.settings(tmp_path, models=["llama"])
    plans = []
    out = studies.run(tmp_path / "run", study, plan_only=True,
                      show=lambda model, plan: plans.append(plan))  # fmt: skip
    (plan,) = plans
    assert not any(p.done for p in plan)
    assert all(p.seconds > 0 for p in plan if p.piece.variant != "proxy-0002")
    assert index_of(out)["pieces"] == []
    assert list(out.rglob("*.sqlite"))  # the edits of the first facts are kept
    assert not list(out.rglob(JSON_NAME))


def test_the_model_is_as_it_was(made, tmp_path, monkeypatch):
    model = tiny.model("llama", torch.float32).train()
    before = content_hash(model)

    def load(name, **options):
        loaded = studies.load(name)
        return type(loaded)(model, loaded.tokenizer, loaded.identity)

    module.run_study(studies.settings(tmp_path, models=["llama"]), tmp_path / "run", load=load)
    assert content_hash(model) == before
    assert model.training


def test_a_set_that_may_be_missing_is_left_out_with_a_word(tmp_path):
    study = studies.settings(tmp_path, models=["llama"], sensitivity=False, timing=False)
    gone = DataSpec(str(tmp_path / "gone.jsonl"), optional=True)
    said = []
    with_gone = type(study)(**{**vars(study), "data": (*study.data, gone)})
    out = studies.run(tmp_path / "run", with_gone, say=said.append, plan_only=True)
    assert any("gone" in line and "left out" in line for line in said)
    assert index_of(out)["left_out"] == ["gone"]
    with pytest.raises(FactError, match="none of the study's data sets"):
        studies.run(tmp_path / "none", type(study)(**{**vars(study), "data": (gone,)}))


def test_a_layer_that_is_judged_but_not_edited_is_refused_before_any_work(tmp_path):
    study = studies.settings(tmp_path, models=[{"model": "llama", "default_layer": 1}])
    one, *others = study.data
    narrow = type(one)(**{**vars(one), "layers": "0,2"})
    wrong = type(study)(**{**vars(study), "data": (narrow, *others)})
    with pytest.raises(SettingsError, match=r"one: layer 1 is judged .* layers 0, 2 are edited"):
        studies.run(tmp_path / "run", wrong)
    assert not list((tmp_path / "run").rglob("*.sqlite"))


def test_a_folder_of_something_else_is_refused(tmp_path):
    study = studies.settings(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / INDEX).write_text("{}")
    with pytest.raises(ResultError, match="golden-layers did not write it"):
        studies.run(tmp_path / "run", study)


def test_two_at_once_are_kept_apart(tmp_path):
    run = RunFolder(tmp_path / "run")
    with (
        run.opened(),
        pytest.raises(ResultError, match="another process"),
        RunFolder(tmp_path / "run").opened(),
    ):
        pass


@pytest.mark.parametrize("damage", ["{", "{}", "[]", '{"format": "golden-layers study"}'])
def test_a_damaged_study_is_refused(tmp_path, damage):
    (tmp_path / INDEX).write_text(damage)
    with pytest.raises(ResultError, match=r"not readable as JSON|holds no study|format version"):
        load_study(tmp_path)


def test_a_piece_that_is_cut_short_is_named(made, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    (edits,) = (folder / COMPARE / "llama" / "one" / "r-rome" / "proxy-0002").glob("edits.csv")
    edits.write_text(edits.read_text()[:200])
    with pytest.raises(ResultError, match="damaged"):
        load_study(folder)
    index = index_of(folder)
    index["pieces"] = [{**index["pieces"][0], "place": "../elsewhere"}]
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(ResultError, match="outside the folder"):
        load_study(folder)


def test_names_become_folders():
    assert folder_name("r-rome") == "r-rome"
    names = ["A/B", "a-b", "A B", "../..", "", "Ä" * 300, "con", "x" * 300, "x" * 301, ".", "a\0b"]
    made = [folder_name(n) for n in names]
    assert len(set(made)) == len(names)
    assert all(m and "/" not in m and not m.startswith(".") and len(m) < 60 for m in made)
