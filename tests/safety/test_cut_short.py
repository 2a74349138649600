"""A model whose files were cut short: the file is named, and what to do."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from goldenlayers.errors import ModelError
from goldenlayers.models import bundled
from goldenlayers.models.cut_short import what_is_cut_short
from goldenlayers.models.load import load_empty, load_model, load_tokenizer
from tests import tiny

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A model in five files of weights and an index."""
    folder = tmp_path_factory.mktemp("sound")
    tiny.model("llama", torch.float32).save_pretrained(folder, max_shard_size="50KB")
    tiny.tokenizer("llama").save_pretrained(folder)
    assert len(list(folder.glob("model-*"))) == 5
    assert what_is_cut_short(folder) is None
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "model")
    return tmp_path / "model"


def cut(path, keep):
    """Keep so many bytes, a share of them, or all but so many."""
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])


SHARD = "model-00002-of-00005.safetensors"


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, -1])
def test_weights_that_are_cut_short(folder, keep):
    size = (folder / SHARD).stat().st_size
    cut(folder / SHARD, keep)
    with pytest.raises(ModelError) as told:
        load_model(str(folder))
    left = (folder / SHARD).stat().st_size
    assert f"{SHARD} is cut short or damaged: {left:,} bytes, " in str(told.value)
    assert (f"{size:,} by its header" in str(told.value)) == (keep in (0.5, -1))
    assert "copy or download it again" in str(told.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", INDEX])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_settings_that_are_cut_short(folder, name, keep):
    cut(folder / name, keep)
    with pytest.raises(ModelError, match=f"{name} is cut short or damaged: .* that are no JSON"):
        load_model(str(folder))
    if name == "config.json":
        with pytest.raises(ModelError, match=r"config\.json is cut short"):
            load_empty(str(folder))
    if name == "tokenizer.json":
        with pytest.raises(ModelError, match=r"tokenizer\.json is cut short"):
            load_tokenizer(str(folder))


def test_a_shard_that_is_missing(folder):
    (folder / SHARD).unlink()
    with pytest.raises(ModelError, match=f"{SHARD} is missing, though {INDEX} names it"):
        load_model(str(folder))


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', '{"weight_map": 3}'])
def test_an_index_of_another_kind_is_an_error_of_ours_all_the_same(folder, index):
    (folder / INDEX).write_text(index)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(folder))


def test_the_bundled_model_s_folder_says_how_to_get_it_again(folder, monkeypatch):
    monkeypatch.setattr(bundled, "ensure_bundled", lambda say: folder)
    cut(folder / SHARD, 0.5)
    with pytest.raises(ModelError, match=f"delete {folder}, and the next call makes it anew"):
        load_model("bundled")


def test_headers_that_are_lies_are_only_told(folder):
    path = folder / SHARD
    data = path.read_bytes()
    for header in (b"[]", b'{"a": 1}', b'{"a": {"data_offsets": [0, "x"]}}', b"[" * 10_000):
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        assert "no header" in what_is_cut_short(folder)
    path.write_bytes((1 << 62).to_bytes(8, "little") + data[8:])
    assert "no header" in what_is_cut_short(folder)
    path.write_bytes(data)
    assert json.loads((folder / INDEX).read_text())
    assert what_is_cut_short(folder) is None
