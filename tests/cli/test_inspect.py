"""`golden-layers inspect`: the blocks of a model and the edit site of each."""

from __future__ import annotations

import json
import shutil

import pytest


def test_table(cli, llama):
    result = cli("inspect", llama)
    assert result.status == 0
    lines = [line.rstrip() for line in result.out.splitlines()]
    assert lines[0] == "LlamaForCausalLM, 4 layers, blocks model.layers.{}"
    assert lines[1].split() == [
        "layer",
        "edit",
        "site",
        "class",
        "d_in",
        "d_out",
        "stored",
        "dtype",
    ]
    for i, line in enumerate(lines[2:6]):
        site = [str(i), f"model.layers.{i}.mlp.down_proj", "Linear", "48", "32"]
        assert line.split() == [*site, "d_out", "x", "d_in", "float32"]
    assert lines[6] == "other weights of the MLP (--scope mlp): mlp.gate_proj, mlp.up_proj"
    assert lines[7] == f"next   golden-layers find --model {llama}"
    assert result.err.strip() == ""


def test_conv1d_is_pointed_out(cli, gpt2):
    result = cli("inspect", gpt2)
    assert result.status == 0
    rows = [" ".join(line.split()) for line in result.out.splitlines()]
    assert "1 transformer.h.1.mlp.c_proj Conv1D 128 32 d_in x d_out float32" in rows
    assert "Conv1D keeps the transpose of what a Linear keeps" in result.out
    assert "other weights of the MLP (--scope mlp): mlp.c_fc\n" in result.out


def test_json(cli, llama):
    result = cli("inspect", llama, "--json")
    assert result.status == 0
    found = json.loads(result.out)
    assert found["architecture"] == "LlamaForCausalLM"
    assert found["sites"] == [
        {
            "layer": i,
            "block": f"model.layers.{i}",
            "name": f"model.layers.{i}.mlp.down_proj",
            "kind": "Linear",
            "d_in": 48,
            "d_out": 32,
            "transposed": False,
            "dtype": "float32",
            "mlp": [f"model.layers.{i}.mlp.{n}_proj" for n in ("gate", "up", "down")],
        }
        for i in range(4)
    ]


def test_no_weights_are_read(cli, llama, tmp_path):
    folder = tmp_path / "without weights"
    shutil.copytree(llama, folder)
    (folder / "model.safetensors").unlink()
    result = cli("inspect", folder)
    assert result.status == 0
    assert "model.layers.3.mlp.down_proj" in result.out
    assert f"next   golden-layers find --model '{folder}'" in result.out  # can be pasted


def test_site_of_the_user(cli, llama):
    result = cli("inspect", llama, "--site", "model.layers.{}.self_attn.k_proj", "--json")
    sites = json.loads(result.out)["sites"]
    assert [(s["layer"], s["d_in"], s["d_out"]) for s in sites] == [(i, 32, 16) for i in range(4)]


def test_site_that_names_nothing_lists_what_could_be_named(cli, llama):
    # the message sends the user to inspect for the names, so inspect must give them
    result = cli("inspect", llama, "--site", "model.layers.{}.ffn")
    assert result.status == 2
    last = result.err.strip().splitlines()[-1]
    assert last.startswith(
        "error: site 'model.layers.{}.ffn': no module of LlamaForCausalLM has such a name"
    )
    assert "model.layers.{}.mlp.down_proj" in result.err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_such_model(cli, tmp_path, options):
    message = cli("inspect", tmp_path / "none", *options).message
    expected = "no such folder; expected a model folder or a .gguf file"
    assert message == f"{tmp_path / 'none'}: {expected}"


def test_help(cli):
    result = cli("inspect", "--help")
    assert result.status == 0
    assert [o for o in ("--site", "--trust-remote-code", "--json") if o not in result.out] == []
