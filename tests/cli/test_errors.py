"""Bad input: status 2, one message that helps, no traceback, nothing written."""

from __future__ import annotations

import json
import shutil

import pytest
import transformers as tf
from safetensors.torch import load_file, save_file

from goldenlayers import __version__
from tests import tiny

GOOD = tiny.FACTS[0].to_record()
INCOMPLETE = (
    "[the folder is not a complete causal language model with safetensors weights and a tokenizer]"
)


@pytest.fixture
def refuse(cli, llama, facts_file, tmp_path):
    """Run `find`, which must refuse; return its message."""

    def refuse(*options, **what):
        inputs = {"model": llama, "facts": facts_file, "out": tmp_path / "out"} | what
        given = [x for name, value in inputs.items() for x in (f"--{name}", value)]
        message = cli("find", *given, *options).message
        assert not (tmp_path / "out").exists()
        return message

    return refuse


BY_LGA = ("--method", "lga")
SETTINGS = {
    (
        "--method",
        "magic",
    ): "method 'magic' is unknown; expected one of auto, lga, robust-lga, verified, "
    "staged, brute-force, cma, attribution-patching, gradient-norm, predicted, middle, random, "
    "fixed:N",
    ("--scope", "all"): "scope 'all' is unknown; expected one of site, mlp",
    ("--old-answer", "x"): "old_answer 'x' is unknown; expected one of record, model",
    ("--split", "train"): "split 'train' is unknown; expected proxy, test, all or auto",
    ("--dtype", "int8"): "dtype 'int8' is unknown; expected one of auto, float32, bfloat16, "
    "float16, float64",
    ("--fence", "abc"): "--fence 'abc': expected a number of 0 or more, or none",
    ("--fence", "-1"): "fence -1.0: expected a number of 0 or more, or none",
    ("--fence", "nan"): "fence nan: expected a number of 0 or more, or none",
    (*BY_LGA, "--confidence", "2"): "confidence 2.0: expected a number in (0, 1]",
    (*BY_LGA, "--confidence", "0"): "confidence 0.0: expected a number in (0, 1]",
    (*BY_LGA, "--confidence", "nan"): "confidence nan: expected a number in (0, 1]",
    ("--batch-tokens", "0"): "batch_tokens 0: expected 1 or more",
    ("--limit", "0"): "limit 0: expected 1 or more",
    ("--layers", "99"): "layers '99': layer 99 does not exist; the model has layers 0 to 3",
    ("--layers", "x"): "layers 'x': 'x' is not a layer or a range; expected 5-20, 3,5,8 or 0-9,15",
    ("--layers", "5-2"): "layers '5-2': '5-2' is not a layer or a range; expected 5-20, 3,5,8 or "
    "0-9,15",
    ("--site", "down_proj"): "site 'down_proj': expected one '{}' for the layer, as in "
    "model.layers.{}.mlp.down_proj",
    ("--site", "model.layers.{}"): "site 'model.layers.0' is a LlamaDecoderLayer; expected a "
    "linear map (torch.nn.Linear or transformers' Conv1D)",
}


@pytest.mark.parametrize("options", SETTINGS)
def test_settings(refuse, options):
    assert refuse(*options) == SETTINGS[options]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--quartiles", "cubic"], ["quartiles 'cubic' is unknown; expected one of linear, hazen"]),
        (["--device", "nope"], ["device 'nope' cannot be used: "]),
        (["--device", "meta"], ["device 'meta'"]),  # knows shapes, computes nothing
        (["--device", "cuda:99"], ["device 'cuda:99' cannot be used: "]),
        (["--seed", "-1"], ["seed -1", "0 or more"]),
        (["--layers", "9" * 5000], ["is not a layer or a range"]),
        (["--site", "model.{}.mlp.down_proj"], ["no module of LlamaForCausalLM has such a name"]),
        (["--site", "layers.{}.up_proj"], ["ends alike is 'model.layers.0.mlp.up_proj'"]),
        (["--split", "test"], ["none of the 7 facts is in split 'test'", "--split all"]),
    ],
)
def test_settings_with_longer_messages(refuse, options, parts):
    message = refuse(*options)
    assert [p for p in parts if p not in message] == []


@pytest.mark.parametrize("options", [["--limit", "x"], ["--nope"], ["--seed", "0.5"]])
def test_options_that_cannot_be_parsed(cli, tmp_path, options):
    result = cli("find", "--out", tmp_path / "out", *options)
    assert (result.status, result.out) == (2, "")
    assert options[0] in result.err
    assert not (tmp_path / "out").exists()


FACTS = {
    "not in prompt": ({**GOOD, "subject": "norland"}, "it differs in upper and lower case"),
    "empty answer": ({**GOOD, "target_new": " "}, "field 'target_new' is empty; expected text"),
    "field": ({**GOOD, "old": "x"}, "field 'old' is unknown; "),
    "duplicate": (GOOD, "field 'id': '1' was used before, in line 1"),
    "no object": ([GOOD], "found a list where a record was expected"),
}


@pytest.mark.parametrize("name", FACTS)
def test_bad_record(refuse, write_facts, name):
    record, reason = FACTS[name]
    path = write_facts([GOOD, json.dumps(record)])
    message = refuse(facts=path)
    assert message.startswith(f"{path}:2: ")
    assert reason in message


def test_facts_file_that_is_not_what_it_says(refuse, tmp_path, facts_file):
    no_file = "no such file; expected a facts file (.json, .jsonl or .csv)"
    assert refuse(facts=tmp_path / "none.jsonl") == f"{tmp_path / 'none.jsonl'}: {no_file}"
    table = tmp_path / "facts.csv"
    table.write_bytes(facts_file.read_bytes())
    assert refuse(facts=table).startswith(f"{table}:1: ")
    other = facts_file.rename(tmp_path / "facts.txt")
    assert refuse(facts=other).startswith(f"{other}: the name ends in '.txt'; expected one of ")
    (tmp_path / "facts.json").write_text('[{"question": "?", "answer": "!"}]')
    message = refuse(facts=tmp_path / "facts.json")
    assert "its format is not known. Its first record has the fields question, answer" in message


def test_no_fact_that_can_be_scored(refuse, write_facts):
    path = write_facts([GOOD | {"target_old": GOOD["target_new"]}])
    assert "the new answer of each is its old one" in refuse(facts=path)
    assert refuse("--method", "lga", facts=path) == (
        "none of the 1 facts could be scored; the first: 1: the old answer is the new answer, "
        "'Bergstad'"
    )


def test_names_that_the_file_system_does_not_take(refuse, tmp_path):
    long = tmp_path / ("x" * 5000)
    assert str(long) in refuse(facts=f"{long}.jsonl")
    assert str(long) in refuse(model=long)
    assert str(long) in refuse(out=long)


@pytest.mark.parametrize("below", ["", "sub/folder"])
def test_out_that_is_a_file(refuse, tmp_path, below):
    file = tmp_path / "taken"
    file.write_text("kept", encoding="utf-8")
    out = file / below
    assert refuse(out=out) == f"--out {out}: {file} is a file; expected a folder"
    assert file.read_text(encoding="utf-8") == "kept"


def test_model_that_is_not_there(refuse, tmp_path, monkeypatch):
    folder = "no such folder; expected a model folder or a .gguf file"
    assert refuse(model=tmp_path / "none") == f"{tmp_path / 'none'}: {folder}"
    assert "~nobody-of-this-name/model" in refuse(model="~nobody-of-this-name/model")
    on_hub = refuse(model="nobody/none")
    assert on_hub.startswith("model 'nobody/none' cannot be loaded: ")
    assert "it is no local folder, and the hub has no such model or cannot be reached" in on_hub
    monkeypatch.chdir(tmp_path)  # a .gguf file is never the name of a model on the hub
    for gguf in ("none.gguf", tmp_path / "none.gguf"):
        assert refuse(model=gguf) == f"{gguf}: no such file; expected a GGUF file"


def test_folder_without_a_model(refuse, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    message = refuse(model=tmp_path / "empty")
    start = f"{tmp_path / 'empty'}: a folder without config.json (found notes.txt); expected "
    assert message.startswith(start)


def test_file_that_is_no_gguf(refuse, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04 and so on")
    begins = r"it begins with b'PK\x03\x04', expected b'GGUF'"
    assert refuse(model=path) == f"{path}: not a GGUF file; {begins}"
    other = tmp_path / "model.bin"
    other.write_bytes(b"GGUF")
    assert refuse(model=other).startswith(
        f"{other}: a file (.bin can run code when it is read); expected a model folder"
    )


@pytest.fixture
def damage(llama, tmp_path):
    """Return a copy of the tiny model's folder and its weights, to be damaged."""
    folder = shutil.copytree(llama, tmp_path / "damaged")
    return folder, folder / "model.safetensors"


@pytest.mark.parametrize("kept", [100_000, 4, 0])
def test_weights_cut_short(refuse, damage, kept):
    folder, weights = damage
    weights.write_bytes(weights.read_bytes()[:kept])
    message = refuse(model=folder)
    assert message.startswith(f"model '{folder}' cannot be loaded: ")
    assert f"[model.safetensors is cut short or damaged: {kept:,} bytes, " in message


def test_weights_that_are_incomplete(refuse, damage):
    # transformers would fill the gap with random numbers
    folder, weights = damage
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    message = refuse(model=folder)
    assert "model.layers.1.mlp.down_proj.weight" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_files_that_are_no_such_thing(refuse, damage, name):
    folder, _ = damage
    (folder / name).write_text("{", encoding="utf-8")
    assert refuse(model=folder).startswith(f"model '{folder}' cannot be loaded: ")


def test_tokenizer_of_another_model(refuse, save_model):
    small = tf.LlamaForCausalLM(tf.LlamaConfig(**{**tiny.LLAMA_LIKE, "vocab_size": 64}))
    message = refuse(model=save_model(small))
    assert "tokenizer" in message
    assert "64" in message


MIXTURES = {
    "MixtralForCausalLM": lambda: tf.MixtralConfig(**tiny.LLAMA_LIKE, num_local_experts=2),
    "Qwen2MoeForCausalLM": lambda: tf.Qwen2MoeConfig(
        **{k: v for k, v in tiny.LLAMA_LIKE.items() if k != "head_dim"},
        num_experts=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    ),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_of_experts(refuse, cli, save_model, name):
    folder = save_model(tf.AutoModelForCausalLM.from_config(MIXTURES[name]()))
    message = refuse(model=folder)
    assert message.startswith(f"{name} is a mixture of experts (model.layers.0.mlp.experts): ")
    assert message.endswith("Such models are not supported; choose a dense model")
    inspected = cli("inspect", folder)
    assert (inspected.status, inspected.out) == (2, "")
    assert inspected.err.strip().endswith(message)


def test_encoder_that_sees_the_answer(refuse, save_model):
    # it loads as a "causal" model with a warning, and its attention looks ahead
    config = tf.BertConfig(**tiny.OTHER, hidden_size=32, num_hidden_layers=4, num_attention_heads=4)
    folder = save_model(tf.BertForMaskedLM(config))
    assert "causal" in refuse(model=folder)


def test_version(cli):
    result = cli("--version")
    assert (result.status, result.out) == (0, f"golden-layers {__version__}\n")


def test_help_names_the_commands(cli):
    result = cli("--help")
    assert result.status == 0
    assert [c for c in ("find", "inspect", "facts", "--version") if c not in result.out] == []
