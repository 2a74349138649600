"""`golden-layers apply` and `revert`: a model folder with edits on it, and without them again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers as tf

from goldenlayers.editors.edit import Edit
from tests import tiny
from tests.editors.edits import random_edit
from tests.editors.test_edit import same, state


def read(folder):
    return tf.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


def named(edit, folder):
    """An edit as it is read from a file, which names a model's folder and no path to it."""
    model = {**edit.base.model, "name": folder.name}
    return replace(edit, base=replace(edit.base, model=model))


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.fixture
def run(cli):
    """Run a command that must succeed; return what it printed, in one line."""

    def run(*arguments):
        result = cli(*arguments)
        assert result.status == 0, result.err
        return " ".join(result.out.split())

    return run


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16], ids=str)
def base(request, save_model):
    return save_model(tiny.model("llama", request.param))


@pytest.fixture
def edits(base, tmp_path):
    """Save edits of the base as a delta, an adapter and a delta; return (path, edit) of each."""
    model = read(base)
    made = [random_edit(model, layers, seed=i) for i, layers in enumerate([(1,), (1, 2), (3,)])]
    paths = [tmp_path / "a.safetensors", tmp_path / "b", tmp_path / "c.safetensors"]
    for path, edit in zip(paths, made, strict=True):
        edit.save(path, "delta" if path.suffix else "adapter")
    return list(zip(paths, made, strict=True))


def test_apply_writes_the_edited_model(run, base, edits, tmp_path):
    (path, edit), *_ = edits
    out = tmp_path / "edited"
    text = run("apply", path, "--model", base, "--out", out)
    assert "The capital of Norland is → Bergstad converged" in text
    assert "applied 2 facts by r-rome, layers 1, rank 1, onto" in text
    model = read(base)
    assert f"{str(model.dtype).removeprefix('torch.')})" in text
    edit.apply(model)
    assert read(out).dtype == model.dtype  # the file is as large as it was
    assert same(read(out), state(model))
    assert files(out)["tokenizer.json"] == files(base)["tokenizer.json"]
    note = json.loads(files(out)["golden_layers.json"])
    assert note["facts"][0]["target_new"] == "Bergstad"
    assert Edit.load(out) == named(edit, base)


def test_several_and_back(run, base, edits, tmp_path):
    paths = [path for path, _ in edits]
    out, back = tmp_path / "edited", tmp_path / "back"
    assert "6 facts" in run("apply", *paths, "--model", base, "--out", out)
    text = run("revert", "--model", out, "--base", base, "--out", back)
    assert "taken off 6 facts by r-rome, layers 1, 2, 3; 0 facts stay edited" in text
    assert "exact, bit for bit, from the base model's tensors" in text
    assert same(read(back), state(read(base)))
    assert files(back)["model.safetensors"] == files(base)["model.safetensors"]
    # a model that was cleaned is a base like any other, and says that nothing is on it
    again = tmp_path / "again"
    run("apply", *paths, "--model", back, "--out", again)
    assert files(again)["model.safetensors"] == files(out)["model.safetensors"]
    note = json.loads(files(back)["golden_layers.json"])
    assert note["edits"] is None


def test_without_the_base_it_says_how_near_it_is(run, base, edits, tmp_path):
    (path, _), *_ = edits
    run("apply", path, "--model", base, "--out", tmp_path / "edited")
    text = run("revert", "--model", tmp_path / "edited", "--out", tmp_path / "back")
    assert "not exact: by subtracting the factors, every number within " in text
    assert "give the base model with --base" in text
    stated = float(text.partition("every number within ")[2].split()[0])
    clean, back = state(read(base)), state(read(tmp_path / "back"))
    worst = max(float((back[n].double() - clean[n].double()).abs().max()) for n in clean)
    assert 0 < worst <= stated * 1.05 < 40 * worst  # printed with two digits


def test_one_of_several_comes_off(run, base, edits, tmp_path):
    (a, edit_a), (b, _), _ = edits
    run("apply", a, b, "--model", base, "--out", tmp_path / "both")
    run("apply", a, "--model", base, "--out", tmp_path / "alone")
    out = tmp_path / "out"
    text = run("revert", b, "--model", tmp_path / "both", "--base", base, "--out", out)
    assert "2 facts stay edited exact, bit for bit" in text
    assert same(read(out), state(read(tmp_path / "alone")))
    assert Edit.load(out) == named(edit_a, base)
    text = run("revert", b, "--model", tmp_path / "both", "--out", out, "--force")
    assert "not exact" in text
    assert Edit.load(out) == named(edit_a, base)


def test_an_edit_of_an_edited_model(run, base, edits, tmp_path):
    (a, _), *_ = edits
    first, second = tmp_path / "first", tmp_path / "second"
    run("apply", a, "--model", base, "--out", first)
    on_top = random_edit(read(first), (1, 2), seed=7)
    on_top.save(tmp_path / "d.safetensors")
    text = run("apply", tmp_path / "d.safetensors", "--model", first, "--out", second)
    assert "which had 2 facts edited already" in text
    assert len(Edit.load(second).outcomes) == 4
    # all off, to where it began; the last one off, to what it was made on
    back = tmp_path / "back"
    run("revert", "--model", second, "--base", base, "--out", back)
    assert same(read(back), state(read(base)))
    args = (tmp_path / "d.safetensors", "--model", second, "--base", first, "--out", back)
    assert "2 facts stay edited exact" in run("revert", *args, "--force")
    assert same(read(back), state(read(first)))
    assert Edit.load(back).updates == Edit.load(first).updates


@pytest.mark.parametrize("on_top", [True, False])
def test_another_layer_of_an_edited_model(run, cli, base, edits, tmp_path, on_top):
    """An edit that was made on the edited folder, and one that was made on the base, beside."""
    (a, _), *_ = edits
    first, second, back = tmp_path / "first", tmp_path / "second", tmp_path / "back"
    run("apply", a, "--model", base, "--out", first)
    edit = random_edit(read(first if on_top else base), (3,), seed=7)
    edit.save(tmp_path / "d.safetensors")
    run("apply", tmp_path / "d.safetensors", "--model", first, "--out", second)
    expected = read(first)
    edit.apply(expected, check=False)
    assert same(read(second), state(expected))
    # alone, it belongs onto what it was made on; together, they begin at the base
    result = cli("apply", tmp_path / "d.safetensors", "--model", base, "--out", tmp_path / "alone")
    if on_top:
        assert "1 of 3" in result.message
        assert "'model.layers.1.mlp.down_proj.weight'" in result.message
        assert "compose the edits" in result.message
    else:
        assert result.status == 0
    both = tmp_path / "both"
    run("apply", a, tmp_path / "d.safetensors", "--model", base, "--out", both)
    assert same(read(both), state(expected))
    assert "exact" in run("revert", "--model", second, "--base", base, "--out", back)
    assert same(read(back), state(read(base)))


def test_edited_in_float32_a_checkpoint_in_half_precision_goes_back_exactly(
    run, save_model, tmp_path
):
    checkpoint = save_model(tiny.model("llama", torch.bfloat16))
    edit = random_edit(tf.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32))
    edit.save(tmp_path / "e.safetensors")
    run("apply", tmp_path / "e.safetensors", "--model", checkpoint, "--out", tmp_path / "edited")
    text = run(
        "revert", "--model", tmp_path / "edited", "--base", checkpoint, "--out", tmp_path / "o"
    )
    assert "exact, bit for bit, from the base model's tensors" in text
    # a checkpoint in float32 is rounded, so no hash can prove it
    rounded = save_model(tiny.model("llama", torch.float32))
    edit = random_edit(read(rounded))
    edit.save(tmp_path / "e.safetensors")
    args = ("--model", rounded, "--dtype", "bfloat16", "--out", tmp_path / "edited", "--force")
    run("apply", tmp_path / "e.safetensors", *args)
    args = ("--model", tmp_path / "edited", "--base", rounded, "--out", tmp_path / "o", "--force")
    text = run("revert", *args)
    assert "not exact: by putting back the base model's tensors, which another dtype" in text
    assert "give the base model with --base" not in text


def test_a_folder_that_another_program_wrote(run, base, edits, tmp_path):
    (path, edit), *_ = edits
    model = read(base)
    edit.apply(model)
    model.save_pretrained(tmp_path / "plain")
    tiny.tokenizer("llama").save_pretrained(tmp_path / "plain")
    text = run(
        "revert", path, "--model", tmp_path / "plain", "--base", base, "--out", tmp_path / "out"
    )
    assert "exact, bit for bit" in text
    assert same(read(tmp_path / "out"), state(read(base)))


def test_refusals(cli, llama, gpt2, save_model, tmp_path):
    model = read(llama)
    edit = random_edit(model, (1,))
    path = edit.save(tmp_path / "e.safetensors")[0]
    out = tmp_path / "out"

    def refuse(*arguments):
        message = cli(*arguments, "--out", out).message
        assert not out.exists()
        return message

    tuned = tiny.model("llama", torch.float32)
    with torch.no_grad():
        tuned.get_submodule(edit.updates[0].name).weight[0, 0] += 1e-4
    tuned = save_model(tuned)
    assert "not the base of the edit" in refuse("apply", path, "--model", tuned)
    elsewhere = tiny.model("llama", torch.float32)
    with torch.no_grad():
        elsewhere.model.layers[2].self_attn.q_proj.weight.mul_(1.05)
    message = refuse("apply", path, "--model", save_model(elsewhere))
    assert "that the edit does not change" in message
    assert "no module 'model.layers.1.mlp.down_proj'" in refuse("apply", path, "--model", gpt2)
    assert "no such file" in refuse("apply", tmp_path / "none", "--model", llama)
    assert "no such folder" in refuse("apply", path, "--model", "./none")
    assert "no edit is recorded with this model" in refuse("revert", "--model", llama)
    assert "the edit is not on this model" in refuse("revert", path, "--model", llama)
    assert cli("apply", path, "--model", llama, "--out", tmp_path / "edited").status == 0
    message = refuse("revert", "--model", tmp_path / "edited", "--base", tuned)
    assert "not the base of the edit" in message
    message = refuse("apply", path, "--model", tmp_path / "edited")
    assert "if other edits are on it, take them off first" in message
    other = random_edit(model, (2,)).save(tmp_path / "other.safetensors")[0]
    message = refuse("revert", other, "--model", tmp_path / "edited")
    assert "not among those on this model" in message
    out.mkdir()
    (out / "mine.txt").write_text("x")
    for force in ([], ["--force"]):
        result = cli("apply", path, "--model", llama, "--out", out, *force)
        assert "golden-layers did not write it" in result.message
    result = cli("apply", path, "--model", llama, "--out", tmp_path / "edited")
    assert "--force" in result.message
    assert cli("apply", path, "--model", llama, "--out", tmp_path / "edited", "--force").status == 0


@pytest.mark.parametrize("command", ["apply", "revert"])
def test_what_has_to_be_given(cli, command):
    result = cli(command, "x")
    assert result.status == 2
    assert "--model" in result.err
    text = cli(command, "--help").out
    assert "Try:" in text
    assert f"golden-layers {command}" in text
