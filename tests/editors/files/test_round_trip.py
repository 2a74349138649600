"""Each format: what is written reads back bit for bit, whole or not at all."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers as tf
from safetensors import safe_open
from transformers.quantizers.quantizer_gguf import GgufHfQuantizer
from transformers.utils.quantization_config import GgufConfig

from goldenlayers.editors.edit import Edit
from goldenlayers.editors.files import model as model_files
from goldenlayers.editors.files.load import edits_on
from goldenlayers.errors import EditError, ResultError, SettingsError
from tests import tiny
from tests.editors.edits import random_edit
from tests.editors.test_edit import same, state


@pytest.fixture
def model():
    return tiny.model("llama", torch.float32)


@pytest.fixture
def edit(model):
    return random_edit(model, (0, 2), rank={0: 1, 2: 3})


def write(edit, path, format, model, **options):
    if format == "delta":
        path = path.with_suffix(".safetensors")
    given = {"model": model} if format == "model" else {}
    return path, edit.save(path, format, **given, **options)


@pytest.mark.parametrize("format", ["delta", "adapter", "model"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_multimodal"])
def test_round_trip(tmp_path, name, dtype, format):
    model = tiny.model(name, torch.bfloat16)
    before = state(model)
    edit = random_edit(model, (0, 2), rank={0: 1, 2: 3}, dtype=dtype)
    path, written = write(edit, tmp_path / "new" / "edit", format, model)
    assert all(p.is_file() for p in written)
    on_disk = [Path(root) / f for root, _, names in os.walk(tmp_path) for f in names]
    assert sorted(written) == sorted(on_disk)  # nothing is left lying about
    back = Edit.load(path)
    assert back == edit
    assert back.outcomes[0].converged
    assert same(model, before)
    again, _ = write(back, tmp_path / "again", format, model)
    assert Edit.load(str(again)) == edit
    if format != "delta":
        assert Edit.load(path / "golden_layers.json") == edit


def test_a_delta_is_one_file_that_says_what_it_is(edit, tmp_path):
    [path] = edit.save(tmp_path / "e.safetensors")
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["golden_layers"])
        assert set(file.keys()) == {
            f"model.layers.{n}.mlp.down_proj.{side}" for n in (0, 2) for side in ("left", "right")
        }
    assert (record["format"], record["format_version"]) == ("golden-layers edit", 1)
    assert record["outcomes"][0]["fact"] == edit.outcomes[0].fact.to_record()
    assert record["settings"] == edit.settings
    assert record["base"]["model"]["architecture"] == "LlamaForCausalLM"
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    edit.save(path)  # a file is replaced in one step


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("name", ["gpt2", "llama_tied", "opt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_folder_is_the_edited_model(tmp_path, name, dtype):
    model, tokenizer = tiny.model(name, dtype), tiny.tokenizer(name)
    config = model.config.to_dict()
    edit = random_edit(model, (1, 3))
    written = edit.save(tmp_path / "m", "model", model=model, tokenizer=tokenizer)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in written}
    assert model.config.to_dict() == config
    read = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype="auto")
    with edit.applied(model):
        assert same(read, state(model))
    reverted = Edit.load(tmp_path / "m").revert(read, model)
    assert reverted.exact
    assert same(read, state(model))


def test_a_model_read_from_a_gguf_can_be_saved_and_keeps_its_marks(edit, model, tmp_path):
    marks = GgufConfig("x.gguf", dequantize=True)
    model.hf_quantizer = GgufHfQuantizer(marks)
    model.is_quantized = True
    model.config.quantization_config = marks
    with pytest.raises(ValueError, match="not serializable"):
        model.save_pretrained(tmp_path / "plain")
    edit.save(tmp_path / "m", "model", model=model)
    assert model.config.quantization_config is marks
    assert model.hf_quantizer.quantization_config is marks
    assert model.is_quantized
    read = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert not hasattr(read.config, "quantization_config")
    assert Edit.load(tmp_path / "m").revert(read, model).exact
    assert same(read, state(model))
    # an unmarked model gets no marks from being saved
    plain = tiny.model("llama", torch.float32)
    keys = set(vars(plain))
    edit.save(tmp_path / "n", "model", model=plain)
    assert set(vars(plain)) == keys


@pytest.mark.parametrize("format", ["adapter", "model"])
def test_a_folder_that_is_taken(edit, model, tmp_path, format):
    target = tmp_path / "taken"
    target.mkdir()
    target, _ = write(edit, target, format, model)  # an empty one will do
    files = {p.name: p.read_bytes() for p in target.iterdir() if p.is_file()}
    with pytest.raises(ResultError, match=r"holds an edit already; .*--force"):
        write(edit, target, format, model)
    other = random_edit(model, (1,), seed=5)
    write(other, target, format, model, overwrite=True)
    assert Edit.load(target) == other
    assert {p.name: p.read_bytes() for p in target.iterdir() if p.is_file()} != files
    private = tmp_path / "private"
    private.mkdir()
    (private / "thesis.txt").write_text("x")
    for options in ({}, {"overwrite": True}):  # never a folder that we did not write
        with pytest.raises(ResultError, match="golden-layers did not write it"):
            write(edit, private, format, model, **options)
    assert (private / "thesis.txt").read_text() == "x"
    with pytest.raises(ResultError, match="a file; expected a new folder"):
        write(edit, private / "thesis.txt", format, model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["private", "taken"]


def test_a_link_to_a_folder_stays_one(edit, model, tmp_path):
    edit.save(tmp_path / "real", "adapter")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    other = random_edit(model, (1,), seed=5)
    other.save(tmp_path / "link", "adapter", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert Edit.load(tmp_path / "real") == other


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_nothing_or_the_old_folder(edit, model, tmp_path, monkeypatch, error):
    target = tmp_path / "m"
    edit.save(target, "model", model=model)
    before = state(model)

    def fail(*args):
        raise error

    monkeypatch.setattr(model_files, "write_delta", fail)
    expected = ResultError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        edit.save(target, "model", model=model, overwrite=True)
    with pytest.raises(expected):
        edit.save(tmp_path / "new", "model", model=model)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert Edit.load(target) == edit
    assert same(model, before)


def test_a_place_that_cannot_be_written(edit, model, tmp_path, read_only):
    read_only(tmp_path)
    for format in ("delta", "adapter", "model"):
        with pytest.raises(ResultError, match="cannot be written"):
            write(edit, tmp_path / "e", format, model)


def test_a_place_below_a_file(edit, model, tmp_path):
    (tmp_path / "file").write_text("x")
    for format in ("delta", "adapter", "model"):
        with pytest.raises(ResultError, match="cannot be written"):
            write(edit, tmp_path / "file" / "e", format, model)


def test_what_cannot_be_saved(edit, model, tmp_path):
    def refuse(changed, message, *args, kind=EditError, **options):
        with pytest.raises(kind, match=message):
            changed.save(tmp_path / "x.safetensors", *args, **options)
        assert not list(tmp_path.iterdir())

    broken = replace(edit.updates[0], left=edit.updates[0].left * math.nan)
    refuse(replace(edit, updates=(broken,)), "not finite")
    refuse(replace(edit, base=replace(edit.base, weights={})), "does not say which weight")
    refuse(replace(edit, settings={"model": model}), "LlamaForCausalLM .*which JSON cannot")
    subject = replace(edit.outcomes[0].fact, subject="nobody")
    no_fact = replace(edit.outcomes[0], fact=subject)
    refuse(replace(edit, outcomes=(no_fact,)), "'nobody' is not in the prompt")
    refuse(edit, "format 'gguf' is unknown", "gguf", kind=SettingsError)
    refuse(edit, "needs the model", "model")
    refuse(edit, "not with a delta", earlier=edit, kind=SettingsError)
    refuse(replace(edit, updates=()), "an adapter without weights", "adapter")
    other = tiny.model("llama_tied", torch.float32)
    refuse(edit, "not the base of the edit", "model", model=other)
    with pytest.raises(SettingsError, match=r"such as edit.pt.safetensors"):
        edit.save(tmp_path / "edit.pt")
    with pytest.raises(ResultError, match="a folder; a delta is one file"):
        edit.save(tmp_path)


def test_an_edit_without_updates_or_with_losses_that_are_not_finite(edit, tmp_path):
    outcome = replace(edit.outcomes[0], nll_before=math.inf, details={"gap": (-math.inf, 1)})
    odd = replace(edit, updates=(), outcomes=(outcome,), base=replace(edit.base, weights={}))
    odd.save(tmp_path / "e.safetensors")
    back = Edit.load(tmp_path / "e.safetensors")
    assert back.updates == ()
    assert back.outcomes[0].nll_before == math.inf
    assert back.outcomes[0].details == {"gap": ["-inf", 1]}


def test_edits_on_a_folder_add_up(model, tmp_path):
    a = random_edit(model, (1,), seed=1)
    a.save(tmp_path / "a", "model", model=model)
    with_a = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    b = random_edit(with_a, (1, 2), seed=2)
    earlier = edits_on(tmp_path / "a")
    b.save(tmp_path / "b", "model", model=with_a, earlier=earlier)
    total = Edit.load(tmp_path / "b")
    assert total == Edit.compose([a, b])
    with_b = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "b")
    assert total.revert(with_b, model).exact
    assert same(with_b, state(model))
    model.save_pretrained(tmp_path / "plain")
    assert edits_on(tmp_path / "plain") is None
    assert edits_on(tmp_path / "nowhere") is None


def test_factors_of_any_size_survive_the_adapter(model, edit, tmp_path):
    update = edit.updates[1]
    left = update.left * torch.tensor([1e-38, 1e30, 0.0])  # subnormal, huge, nothing at all
    right = update.right * torch.tensor([1.0, 1e-30, 1.0])
    odd = replace(edit, updates=(replace(update, left=left, right=right),))
    odd = replace(
        odd, base=replace(edit.base, weights={update.name: edit.base.weights[update.name]})
    )
    odd.save(tmp_path / "a", "adapter")
    assert Edit.load(tmp_path / "a").updates == odd.updates
