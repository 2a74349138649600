"""Files from others are data: damaged or hostile ones are refused in words, at once.

Each kind of file that golden-layers reads is mutated from a seed. Reading one either works or ends
in one of our named errors: no other exception, no hang, nothing written outside its own folder.
"""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import goldenlayers as gl
from goldenlayers.facts.read import read_facts
from goldenlayers.report.evaluation_table import evaluation_table
from goldenlayers.report.figures import wins
from goldenlayers.report.figures.document import read_document
from goldenlayers.report.table import ranking_table
from goldenlayers.study import judge, transfer
from goldenlayers.study import unfinished as module
from goldenlayers.study.run.folder import INDEX
from goldenlayers.study.run.read import read_study
from goldenlayers.study.sequence import edit_sequence
from goldenlayers.study.unfinished import Unfinished
from goldenlayers.sweep.outcome import LayerOutcome
from goldenlayers.sweep.store import Store
from tests import tiny
from tests.safety.attack import attack, report
from tests.study.run import studies
from tests.study.run.conftest import made  # noqa: F401

EACH = 160  # mutations of a kind


def _edit():
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    return gl.edit(model, tokenizer, tiny.FACTS[:2], layer=1, steps=3), model, tokenizer


def delta(folder):
    edit, *_ = _edit()
    edit.save(folder / "edit.safetensors")
    return lambda: gl.Edit.load(folder / "edit.safetensors")


def adapter(folder):
    edit, *_ = _edit()
    edit.save(folder / "adapter", format="adapter")
    return lambda: gl.Edit.load(folder / "adapter")


def ranking(folder):
    _, model, tokenizer = _edit()
    gl.find(model, tokenizer, tiny.FACTS, method="lga").save(folder)

    def read():
        again = gl.LayerRanking.load(folder)
        ranking_table(again)
        return again.order

    return read


def evaluation(folder):
    edit, model, tokenizer = _edit()
    found = gl.evaluate(model, tokenizer, tiny.FACTS[:2], edit=edit, fluency=False)
    found.save(folder)
    return lambda: evaluation_table(gl.Evaluation.load(folder))


def own_facts(folder):
    path = studies.facts_file(folder / "facts.jsonl")
    return lambda: read_facts(path)


def csv_facts(folder):
    lines = ["id,subject,prompt,target_new,target_old,split"]
    lines += [
        f'{f.id},"{f.subject}","{f.prompt}",{f.target_new},{f.target_old},' for f in tiny.FACTS
    ]
    (folder / "facts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lambda: read_facts(folder / "facts.csv", skip_bad=True)


def store(folder):
    path = folder / "sweep.sqlite"
    identity = {"model": "m", "facts": {"count": 1}, "settings": {"lr": 0.5}}
    with Store(path, identity) as first:
        first.add(
            LayerOutcome("f", n, "converged", "well", 3.0, 0.1, True, 5, 1.0, {"rewrite": 1.0}, 0.1,
                         "growing batch") for n in range(20)
        )  # fmt: skip

    def read():
        with Store(path, identity, resume=True) as again:
            return len(again.outcomes)

    return read


def settings(folder):
    path = folder / "study.yaml"
    path.write_text(
        "models: [{model: a, default_layer: 3}]\ndata: [{facts: b, half: a, split: 0.5}]\n"
        "editors: [{editor: memit, settings: {window: 3}}]\nproxy: [2, 4]\ntiming: false\n"
        "sensitivity: {fence: [1, 2], templates: [bare]}\nlocators: [lga, cma]\n"
    )
    return lambda: read_study(path)


def unfinished(folder):
    _, model, tokenizer = _edit()
    edit_sequence(
        model,
        tokenizer,
        tiny.FACTS[:2],
        layer=1,
        every=1,
        unfinished=folder,
        fluency=False,
        steps=2,
    )
    state = (folder / "state.json").read_text()
    key = json.loads(state)["identity"]

    def read():
        real, module.key_hash = module.key_hash, lambda identity: key
        try:
            return Unfinished(folder, {}, resume=True)
        finally:
            module.key_hash = real

    return read


KINDS = {
    "delta": delta, "adapter": adapter, "ranking": ranking, "evaluation": evaluation,
    "own facts": own_facts, "csv facts": csv_facts, "store": store, "settings": settings,
    "unfinished": unfinished,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_in_words(kind, tmp_path, capsys):
    folder = tmp_path / "sound"
    folder.mkdir()
    read = KINDS[kind](folder)
    read()  # the sound one is read
    refused = attack(folder, read, f"{kind} 1", EACH)
    report(capsys, kind, EACH, refused)
    assert refused > EACH // 10


def test_a_damaged_study_is_refused_in_words(made, tmp_path, capsys, monkeypatch):  # noqa: F811
    # how often the figures draw is ours to say, no file's; with fewer draws more files can be read
    monkeypatch.setattr(wins, "DRAWS", 5)
    monkeypatch.setattr(judge, "SPLITS", 5)
    monkeypatch.setattr(judge, "SUBSETS", 5)
    folder = tmp_path / "study"
    shutil.copytree(made[0], folder, ignore=shutil.ignore_patterns("sweeps", "*.png"))

    def read():
        return read_document(folder)

    read()
    assert (folder / INDEX).is_file()
    report(capsys, "study", EACH // 3, attack(folder, read, "study 1", EACH // 3))


def test_a_damaged_comparison_is_refused_in_words(made, tmp_path, capsys):  # noqa: F811
    (one, two) = sorted((made[0] / "comparisons" / "llama").glob("*/r-rome/proxy-0004"))
    folder = tmp_path / "pair"
    shutil.copytree(one, folder / "one")
    shutil.copytree(two, folder / "two")

    def read():
        return transfer.transfer({"one": folder / "one", "two": folder / "two"})

    read()
    report(capsys, "comparison", EACH, attack(folder, read, "pair 1", EACH))
