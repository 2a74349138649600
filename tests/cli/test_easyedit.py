"""`golden-layers easyedit`: from a ranking's folder to a file that EasyEdit reads."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers as tf
import yaml

from tests import tiny


@pytest.fixture
def ranking(cli, llama, facts_file, tmp_path):
    """The folder that `find` writes for the tiny LLaMA."""
    folder = tmp_path / "result"
    options = ("--facts", facts_file, "--method", "lga", "--out", folder)
    assert cli("find", "--model", llama, *options).status == 0
    return folder


@pytest.fixture
def write(cli, ranking, tmp_path):
    """Run the command on the ranking; return what it said and what it wrote."""

    def write(*options):
        out = tmp_path / "out.yaml"
        result = cli("easyedit", "--ranking", ranking, "--out", out, *options)
        assert result.status == 0, result.err
        assert result.err.strip() == ""
        return result.out, yaml.safe_load(out.read_text(encoding="ascii"))

    return write


@pytest.fixture
def refuse(cli, ranking, tmp_path):
    """Run the command, which must refuse and write nothing; return its message."""

    def refuse(*options, **what):
        inputs = {"ranking": ranking, "out": tmp_path / "out.yaml"} | what
        given = [x for name, value in inputs.items() for x in (f"--{name}", value)]
        before = sorted(tmp_path.rglob("*"))
        message = cli("easyedit", *given, *options).message
        assert sorted(tmp_path.rglob("*")) == before
        return message

    return refuse


def change(ranking, **values):
    """Change a ranking.json by hand."""
    file = ranking / "ranking.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**data, **values}), encoding="utf-8")


def test_the_golden_layer(write, ranking, llama, tmp_path):
    said, config = write()
    golden = json.loads((ranking / "ranking.json").read_text(encoding="utf-8"))["golden"]
    assert config["layers"] == [golden]
    assert (config["alg_name"], config["device"], config["v_loss_layer"]) == ("R-ROME", 0, 3)
    assert config["model_name"] == str(llama)
    assert config["rewrite_module_tmp"] == "model.layers.{}.mlp.down_proj"
    assert f"Layer {golden} is the golden one of the 4 layers scored" in said
    lines = said.splitlines()
    assert lines[-3:] == [
        f"file   {tmp_path / 'out.yaml'}",
        "use    from easyeditor import BaseEditor, R_ROMEHyperParams",
        "       editor = BaseEditor.from_hparams(R_ROMEHyperParams.from_hparams("
        f"'{tmp_path / 'out.yaml'}'))",
    ]
    # what is said is in the file too
    text = (tmp_path / "out.yaml").read_text(encoding="ascii")
    comments = " ".join(x.removeprefix("# ") for x in text.splitlines() if x.startswith("#"))
    assert [line for line in lines[:4] if line not in comments] == []


def test_every_option(write):
    said, config = write(
        *("--editor", "rome", "--layer", "0", "--device", "3", "--model-name", "/data/Llama [x]")
    )
    assert (config["alg_name"], config["layers"], config["device"]) == ("ROME", [0], 3)
    assert config["model_name"] == "/data/Llama [x]"
    assert "Layer 0 was asked for by hand" in said
    assert "ROMEHyperParams.from_hparams(" in said
    assert "caution" not in said


def test_cautions_are_shown(write):
    said, _ = write("--model-name", "owner/Smol [b]x[/b]", "--layer", "3")
    cautions = [line for line in said.splitlines() if line.startswith("caution ")]
    assert len(cautions) == 2
    assert "NotImplementedError" in cautions[0]
    assert "last layer" in cautions[1]


def test_the_file_ranking_json_will_do(cli, ranking, tmp_path):
    out = tmp_path / "new" / "folder" / "out.yaml"
    result = cli("easyedit", "--ranking", ranking / "ranking.json", "--out", out)
    assert result.status == 0
    assert out.is_file()


def test_no_weights_are_read(write, ranking, llama, tmp_path):
    folder = tmp_path / "llama without weights"
    shutil.copytree(llama, folder)
    (folder / "model.safetensors").unlink()
    _, config = write("--model", folder)
    assert config["model_name"] == str(folder)


def test_a_model_in_this_folder_gets_its_full_path(write, llama, tmp_path, monkeypatch):
    shutil.copytree(llama, tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    _, config = write("--model", "./here")
    assert config["model_name"] == str(tmp_path / "here")


def test_conv1d_and_a_tied_head(cli, gpt2, facts_file, tmp_path):
    cli("find", "--model", gpt2, "--facts", facts_file, "--out", tmp_path / "r", "--layers", "0-2")
    result = cli("easyedit", "--ranking", tmp_path / "r", "--out", tmp_path / "gpt2.yaml")
    assert result.status == 0, result.err
    config = yaml.safe_load((tmp_path / "gpt2.yaml").read_text(encoding="ascii"))
    assert config["rewrite_module_tmp"] == "transformer.h.{}.mlp.c_proj"
    assert (config["lm_head_module"], config["v_loss_layer"]) == ("transformer.wte", 3)
    assert (config["v_num_grad_steps"], config["v_weight_decay"]) == (20, 0.5)


def test_a_file_that_is_there(refuse, cli, ranking, tmp_path):
    out = tmp_path / "out.yaml"
    out.write_text("kept", encoding="utf-8")
    assert refuse() == f"{out}: there is such a file; --force replaces it"
    assert out.read_text(encoding="utf-8") == "kept"
    assert cli("easyedit", "--ranking", ranking, "--out", out, "--force").status == 0
    assert yaml.safe_load(out.read_text(encoding="ascii"))["alg_name"] == "R-ROME"


def test_places_that_cannot_be_written(refuse, tmp_path):
    assert "expected a name that ends in .yaml" in refuse(out=tmp_path / "out.yml")
    file = tmp_path / "taken"
    file.touch()
    message = refuse(out=file / "out.yaml")
    assert message == f"--out {file}: {file} is a file; expected a folder"
    long = tmp_path / ("x" * 5000 + ".yaml")
    assert str(long) in refuse(out=long)


def test_a_folder_that_is_read_only(refuse, tmp_path, monkeypatch):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    # the tests may run as root, who may write anywhere
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != str(folder))
    message = refuse(out=folder / "out.yaml")
    assert message == f"--out {folder}: {folder} cannot be written; choose another folder"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--editor", "memit"), "editor 'memit' is unknown; expected one of r-rome, rome"),
        (("--layer", "4"), "layers [4]: layer 4 does not exist; the model has layers 0 to 3"),
        (("--layer", "-1"), "layers [-1]: layer -1 does not exist; the model has layers 0 to 3"),
        (("--device", "-1"), "device -1: expected the number of a GPU, 0 or more"),
        (("--model-name", ""), "model_name is empty; expected a folder or a hub name"),
    ],
)
def test_settings(refuse, options, message):
    assert refuse(*options) == message


@pytest.mark.parametrize("options", [["--layer", "x"], ["--nope"], ["--device", "cuda"]])
def test_options_that_cannot_be_parsed(cli, ranking, tmp_path, options):
    result = cli("easyedit", "--ranking", ranking, "--out", tmp_path / "out.yaml", *options)
    assert (result.status, result.out) == (2, "")
    assert not (tmp_path / "out.yaml").exists()


@pytest.mark.parametrize("missing", ["ranking", "out"])
def test_what_is_required(cli, ranking, tmp_path, missing):
    given = {"ranking": ranking, "out": tmp_path / "out.yaml"}
    del given[missing]
    result = cli("easyedit", *(x for name, value in given.items() for x in (f"--{name}", value)))
    assert result.status == 2
    assert f"--{missing}" in result.err


def test_rankings_that_are_none(refuse, ranking, tmp_path, facts_file):
    assert "no such file; expected the folder" in refuse(ranking=tmp_path / "none")
    assert "not readable as JSON" in refuse(ranking=facts_file)
    change(ranking, format="another")
    assert "not a ranking" in refuse()


@pytest.mark.parametrize(
    "damage", [{"golden": 17}, {"golden": "1"}, {"settings": {}}, {"model": {}}, {"model": None}]
)
def test_a_ranking_that_is_damaged(refuse, ranking, damage):
    change(ranking, **damage)
    assert "damaged: " in refuse()


def test_another_model(refuse, gpt2, save_model):
    expected = "Expected a LlamaForCausalLM, found a GPT2LMHeadModel"
    assert refuse("--model", gpt2).endswith(expected)
    deeper = {**tiny.LLAMA_LIKE, "num_hidden_layers": 5}
    folder = save_model(tf.LlamaForCausalLM(tf.LlamaConfig(**deeper)).to(torch.float32))
    assert " weights, found " in refuse("--model", folder)


def test_a_model_that_is_no_longer_there(refuse, ranking, tmp_path):
    data = json.loads((ranking / "ranking.json").read_text(encoding="utf-8"))
    change(ranking, model=data["model"] | {"name": str(tmp_path / "gone")})
    message = refuse()
    assert message.startswith(f"{tmp_path / 'gone'}: no such folder")
    assert message.endswith("the ranking names it so: give it with --model")
    assert "give it with" not in refuse("--model", tmp_path / "gone")
    change(ranking, model=data["model"] | {"name": "in memory"})
    assert refuse().endswith("the ranking names it so: give it with --model")


def test_help(cli):
    result = cli("easyedit", "--help")
    assert result.status == 0
    names = ("--ranking", "--editor", "--layer", "--model-name", "--device", "--out", "--force")
    assert [name for name in names if name not in result.out] == []
