"""Damaged edits, rankings, settings and caches, given to the command line as a user would."""

from __future__ import annotations

import json

import huggingface_hub.constants
import pytest
import torch

import goldenlayers as gl
from goldenlayers.covariance.compute import key_covariance
from goldenlayers.covariance.store import load_moment
from goldenlayers.locators import old_answers
from tests import tiny
from tests.safety.attack import attack, report
from tests.safety.watch import command_line

EACH = 25


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny.model("llama", torch.float32).save_pretrained(folder)
    tiny.tokenizer("llama").save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sound"
    folder.mkdir()
    return folder


def loaded(base):
    found = gl.load_model(str(base))
    return found.model, found.tokenizer, found.identity


@pytest.mark.parametrize("kind", ["delta", "adapter"])
def test_apply(kind, base, folder, capsys):
    model, tokenizer, identity = loaded(base)
    place = folder / ("edit.safetensors" if kind == "delta" else "adapter")
    edit = gl.edit(model, tokenizer, tiny.FACTS[:2], layer=1, steps=3, identity=identity)
    edit.save(place, format=kind)

    def read():
        return command_line("apply", place, "--model", base, "--out", folder / "out", "--force")

    assert read().status == 0
    mine = lambda path: "out" not in path.parts  # noqa: E731
    report(capsys, f"apply {kind}", EACH, attack(folder, read, f"apply {kind}", EACH, mine))


def test_easyedit(base, folder, capsys):
    model, tokenizer, identity = loaded(base)
    gl.find(model, tokenizer, tiny.FACTS, method="lga", identity=identity).save(folder)

    def read():
        out = folder / "hparams.yaml"
        return command_line(
            "easyedit", "--ranking", folder, "--model", base, "--out", out, "--force"
        )

    assert read().status == 0
    report(capsys, "easyedit", EACH, attack(folder, read, "easyedit", EACH))


def test_a_plan_of_a_study(base, folder, capsys, monkeypatch):
    # a fact that lost its old answer is answered by the model, and that is kept
    monkeypatch.setattr(old_answers, "cache_dir", lambda: folder / "cache")
    (folder / "facts.jsonl").write_text(
        "".join(f"{json.dumps(fact.to_record())}\n" for fact in tiny.FACTS), encoding="utf-8"
    )
    (folder / "study.yaml").write_text(
        f"models: [{{model: {base}, default_layer: 1}}]\ndata: [{{facts: facts.jsonl, split: 3}}]\n"
        "editors: [r-rome]\nproxy: [2]\nlocators: [lga, middle]\n"
    )

    def read():
        return command_line("study", folder / "study.yaml", "--plan", "--out", folder / "out")

    assert read().status == 0
    report(capsys, "study --plan", 10, attack(folder, read, "plan", 10))  # it measures its pace


def test_kept_second_moments(base, folder, capsys):
    model, tokenizer, _ = loaded(base)
    text = folder / "text.txt"
    text.write_text("The capital of Norland is Bergstad. " * 60)
    found = key_covariance(
        model, tokenizer, layers="1", text=str(text), tokens=256, cache=folder / "kept"
    )

    def read():
        return load_moment(folder / "kept", found.keys_by_layer[1])

    read()
    mine = lambda path: path.suffix == ".safetensors"  # noqa: E731
    report(capsys, "second moments", 100, attack(folder, read, "moments", 100, mine))
