"""Damaged folders of models: transformers' errors come out as ours, whatever they were."""

from __future__ import annotations

import huggingface_hub.constants
import pytest
import torch

from goldenlayers.models.load import load_empty, load_model, load_tokenizer
from tests import tiny
from tests.safety.attack import attack, report
from tests.safety.gguf import write_gguf
from tests.safety.watch import command_line

PARTS = {
    "config.json": (load_empty, 40),
    "tokenizer.json": (load_tokenizer, 40),
    "tokenizer_config.json": (load_tokenizer, 40),
    "model-00001-of-00003.safetensors": (load_model, 40),
    "model.safetensors.index.json": (load_model, 40),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "model"
    # small shards, so that there is an index
    tiny.model("llama", torch.float32).save_pretrained(folder, max_shard_size="120KB")
    tiny.tokenizer("llama").save_pretrained(folder)
    assert (folder / "model.safetensors.index.json").is_file()
    return folder


@pytest.mark.parametrize("name", PARTS)
def test_a_damaged_model_is_refused_in_words(name, folder, capsys):
    load, count = PARTS[name]
    load(str(folder))
    refused = attack(
        folder, lambda: load(str(folder)), f"model {name}", count, lambda path: path.name == name
    )
    report(capsys, f"model, {name}", count, refused)


@pytest.mark.parametrize("load", [load_empty, load_tokenizer, load_model])
def test_a_damaged_gguf_file_is_refused_in_words(load, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    path = write_gguf(folder / "tiny.gguf")
    load(str(path))
    what = f"GGUF, {load.__name__}"
    report(capsys, what, 40, attack(folder, lambda: load(str(path)), what, 40))


def test_nobody_sees_a_traceback(folder, capsys):
    turn = 0

    def read():
        nonlocal turn
        turn += 1
        if turn % 2:
            return command_line("inspect", folder)
        return command_line("facts", "bundled", "--model", folder, "--json")

    assert read().status == read().status == 0
    small = lambda path: path.suffix == ".json"  # noqa: E731
    report(capsys, "inspect and facts", 20, attack(folder, read, "model cli", 20, small))
