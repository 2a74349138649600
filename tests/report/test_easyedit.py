"""A settings file for EasyEdit: the fields that its dataclasses have, of the types they have."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
import transformers as tf
import yaml

from goldenlayers.errors import ModelError, ResultError, SettingsError
from goldenlayers.locators.ranking import LayerRanking, LayerScore
from goldenlayers.models.identity import identify
from goldenlayers.models.sites import find_sites
from goldenlayers.report import easyedit
from goldenlayers.report.easyedit import EDITORS, easyedit_file, loadable_name
from tests import tiny

# The fields without a default of ROMEHyperParams and R_ROMEHyperParams in EasyEdit, and the two
# with one that its files set; a field more or less, and the dataclass is not made.
FIELDS = {
    "layers": list,
    "fact_token": str,
    "v_num_grad_steps": int,
    "v_lr": float,
    "v_loss_layer": int,
    "v_weight_decay": float,
    "clamp_norm_factor": float,
    "kl_factor": float,
    "mom2_adjustment": bool,
    "context_template_length_params": list,
    "rewrite_module_tmp": str,
    "layer_module_tmp": str,
    "mlp_module_tmp": str,
    "attn_module_tmp": str,
    "ln_f_module": str,
    "lm_head_module": str,
    "mom2_dataset": str,
    "mom2_n_samples": int,
    "mom2_dtype": str,
    "alg_name": str,
    "device": int,
    "model_name": str,
    "stats_dir": str,
    "model_parallel": bool,
    "fp16": bool,
}
NAME = "owner/tiny-llama"


def read(text: str) -> dict:
    """Read a file as EasyEdit does: texts that look like numbers become numbers."""
    config = yaml.safe_load(text)
    for key, value in config.items():
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                config[key] = float(value)
    return config


def rank(model, golden=1, name=NAME, stability=0.25, site=None, **model_info) -> LayerRanking:
    sites = find_sites(model, site)
    layers = tuple(
        LayerScore(
            layer=s.layer, score=1.0 - abs(s.layer - golden), rank=1 + abs(s.layer - golden),
            inside_fences=True, side=None, reached=True, mean_cosine=0.1, old_norm=1.0,
            new_norm=1.0, stability=stability,
        )
        for s in sites
    )  # fmt: skip
    return LayerRanking(
        method="lga",
        golden=golden,
        layers=layers,
        answers=(),
        fact_scores={},
        settings={"site": site, "sites": [s.name for s in sites]},
        model=identify(model, name).to_dict() | model_info,
        facts={"source": "my_facts.jsonl", "used": 7},
        versions={},
    )


def with_settings(ranking, **settings):
    return dataclasses.replace(ranking, settings={**ranking.settings, **settings})


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.parametrize("name", tiny.MODELS)
def test_fields_and_types(name, editor):
    model = tiny.model(name, torch.bfloat16)
    file = easyedit_file(rank(model), model, editor)
    config = read(file.text())
    assert config == file.settings
    assert {key: type(value) for key, value in config.items()} == FIELDS
    assert all(type(n) is int for n in config["layers"])
    assert config["context_template_length_params"] == [[5, 10], [10, 10]]
    assert config["alg_name"] == {"rome": "ROME", "r-rome": "R-ROME"}[editor]


@pytest.mark.parametrize("name", tiny.MODELS)
def test_easyedit_finds_every_module(name):
    model = tiny.model(name, torch.bfloat16)
    config = easyedit_file(rank(model), model).settings
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    for layer in (*config["layers"], config["v_loss_layer"]):
        for field in ("rewrite", "layer", "mlp", "attn"):
            assert config[f"{field}_module_tmp"].format(layer) in modules, field
        assert f"{config['rewrite_module_tmp'].format(layer)}.weight" in parameters
    assert config["ln_f_module"] in modules
    assert f"{config['lm_head_module']}.weight" in parameters


def test_the_file_of_gpt2_is_easyedits_own_but_for_the_layer():
    # hparams/R-ROME/gpt2-xl.yaml, with the depth and the layer of the tiny model
    model = tiny.model("gpt2")
    assert easyedit_file(rank(model, name="openai-community/gpt2-xl"), model).settings == {
        "alg_name": "R-ROME",
        "model_name": "openai-community/gpt2-xl",
        "stats_dir": "./data/stats",
        "device": 0,
        "layers": [1],
        "fact_token": "subject_last",
        "v_num_grad_steps": 20,
        "v_lr": 0.5,
        "v_loss_layer": 3,
        "v_weight_decay": 0.5,
        "clamp_norm_factor": 4,
        "kl_factor": 0.0625,
        "mom2_adjustment": False,
        "context_template_length_params": [[5, 10], [10, 10]],
        "rewrite_module_tmp": "transformer.h.{}.mlp.c_proj",
        "layer_module_tmp": "transformer.h.{}",
        "mlp_module_tmp": "transformer.h.{}.mlp",
        "attn_module_tmp": "transformer.h.{}.attn",
        "ln_f_module": "transformer.ln_f",
        "lm_head_module": "transformer.wte",
        "mom2_dataset": "wikipedia",
        "mom2_n_samples": 100000,
        "mom2_dtype": "float32",
        "model_parallel": False,
        "fp16": False,
    }


def test_the_file_of_qwen2_is_easyedits_own_but_for_the_layer():
    model = tiny.model("qwen2")
    config = easyedit_file(rank(model), model, layer=2, device=5, model_name="./qwen").settings
    assert (config["v_num_grad_steps"], config["v_weight_decay"]) == (25, 0.001)
    assert (config["layers"], config["device"], config["model_name"]) == ([2], 5, "./qwen")
    assert config["mlp_module_tmp"] == "model.layers.{}.mlp"
    assert config["lm_head_module"] == "lm_head"


HOSTILE = [
    '/models/it\'s "llama"',
    "/modelle/Größe/llama-日本 🦙",
    "llama\nlayers: [99]",
    "llama # no comment",
    "- llama",
    "llama: {a: b}",
    "\x00\x07\x7f\x85\u2028llama",
    "\udc80llama",
    "  llama  ",
    "yes-llama",
    "llama" + " x" * 3000,
    "%YAML 9 llama",
    "&a *b !!python/object/apply:os.system llama",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_need_quoting(name, tmp_path):
    model = tiny.model("llama")
    ranking = rank(model, name=name)
    ranking = dataclasses.replace(
        ranking, method=name, facts={"source": f"{name}\n# x\nalg_name: FT"}
    )
    file = easyedit_file(ranking, model, model_name=name)
    path = file.save(tmp_path / "x.yaml")
    assert path.read_bytes().isascii()  # EasyEdit opens it in whatever encoding the machine has
    config = read(path.read_text(encoding="ascii"))
    assert config == file.settings
    assert config["model_name"] == name
    assert easyedit_file(ranking, model).settings["model_name"] == name


@pytest.mark.parametrize("name", ["1e5", "nan", " inf ", "1_000", "٣"])
def test_names_that_easyedit_would_read_as_numbers(name):
    model = tiny.model("llama")
    with pytest.raises(SettingsError, match=r"looks like a number .* './"):
        easyedit_file(rank(model), model, model_name=name)


@pytest.mark.parametrize("name", ["", " ", "\n"])
def test_an_empty_name(name):
    model = tiny.model("llama")
    with pytest.raises(SettingsError, match="model_name is empty"):
        easyedit_file(rank(model), model, model_name=name)


def test_names_that_another_program_can_load(tmp_path, monkeypatch):
    monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path / "cache"))
    assert loadable_name("bundled").startswith(str(tmp_path / "cache" / "smollm2-135m-instruct-"))
    (tmp_path / "llama").mkdir()
    monkeypatch.chdir(tmp_path)
    assert loadable_name("./llama") == str(tmp_path / "llama")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert loadable_name("~/llama") == str(tmp_path / "llama")
    for name in ("openai-community/gpt2-xl", "~nobody-of-this-name/llama", "x" * 5000):
        assert loadable_name(name) == name
    with pytest.raises(SettingsError, match=r"does not load GGUF .* --model-name"):
        loadable_name("./model.GGUF")


def comments(file) -> str:
    lines = [line for line in file.text().splitlines() if line.startswith("#")]
    assert all(len(line) <= 100 for line in lines)
    return " ".join(line.removeprefix("# ") for line in lines)


def test_comments_say_where_the_layer_comes_from():
    model = tiny.model("llama")
    text = comments(easyedit_file(rank(model), model))
    for part in (
        "R-ROME, by golden-layers 0",
        "Layers are numbered from 0.",
        "Layer 1 is the golden one of the 4 layers scored, by the method 'lga', on 7 facts",
        "Layer 1 wins 25% of the resamples",
        "not the probability of being golden",
        "No layer wins half of them",
        f"Ranked model: '{NAME}', LlamaForCausalLM",
    ):
        assert part in text, part
    assert "Caution" not in text


def test_comments_of_a_layer_given_by_hand_and_of_one_that_is_stable():
    model = tiny.model("llama")
    text = comments(easyedit_file(rank(model, stability=0.75), model, layer=2))
    assert "Layer 2 was asked for by hand; layer 1 is the golden one" in text
    assert "Layer 2 wins 75%" in text
    assert "No layer wins half" not in text


@pytest.mark.parametrize("scored", [True, False])
def test_stability_that_nobody_measured(scored):
    model = tiny.model("llama")
    ranking = rank(model, stability=None if scored else 0.5)
    kept = ranking.layers if scored else ranking.layers[:2]
    settings = {**ranking.settings, "sites": ranking.settings["sites"][: len(kept)]}
    ranking = dataclasses.replace(ranking, layers=kept, settings=settings)
    file = easyedit_file(ranking, model, layer=None if scored else 2)
    assert "is was not measured" in comments(file)


@pytest.mark.parametrize(
    ("model_name", "caution"),
    [
        ("owner/SmolLM2", "stops with NotImplementedError"),
        ("/data/T5/llama", "takes the model for a t5"),
        ("/data/my-gpt/llama", "takes the model for a gpt"),
        ("owner/Llama-3", None),
        ("owner/Qwen2.5-7B", None),
    ],
)
def test_caution_where_easyedit_would_load_something_else(model_name, caution):
    model = tiny.model("llama")
    file = easyedit_file(rank(model), model, model_name=model_name)
    assert [caution in c for c in file.cautions] == ([True] if caution else [])
    assert ("Caution: " in comments(file)) == bool(caution)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("opt", "has no module of its own"),
        ("gemma3_multimodal", "Gemma3Config keeps in its text_config"),
        ("gpt2", None),
        ("bloom", None),
    ],
)
def test_caution_where_easyedit_stops(name, part):
    model = tiny.model(name)
    cautions = easyedit_file(rank(model), model, model_name="gpt-llama"[4 * (name != "gpt2") :])
    assert [part in c for c in cautions.cautions] == ([True] if part else [])


def test_caution_at_the_last_layer():
    model = tiny.model("llama")
    (caution,) = easyedit_file(rank(model, golden=3), model).cautions
    assert caution.startswith("This is the last layer")
    (caution,) = easyedit_file(rank(model), model, layer=3).cautions
    assert caution.startswith("This is the last layer")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"editor": "memit"}, "editor 'memit' is unknown; expected one of r-rome, rome"),
        ({"layer": 4}, "layer 4 does not exist; the model has layers 0 to 3"),
        ({"layer": -1}, "layer -1 does not exist"),
        ({"device": -1}, "device -1: expected the number of a GPU"),
    ],
)
def test_settings_that_do_not_exist(options, message):
    model = tiny.model("llama")
    with pytest.raises(SettingsError, match=message):
        easyedit_file(rank(model), model, **options)


def test_another_architecture():
    ranking = rank(tiny.model("llama"))
    with pytest.raises(ModelError, match="Expected a LlamaForCausalLM, found a MistralForC"):
        easyedit_file(ranking, tiny.model("mistral"))


def deep(layers, **other):
    config = {**tiny.LLAMA_LIKE, "num_hidden_layers": layers, **other}
    return tf.LlamaForCausalLM(tf.LlamaConfig(**config))


def test_another_number_of_layers():
    ranking = rank(deep(4))
    with pytest.raises(ModelError, match=r"2\.mlp\.down_proj' in layer 2, found no such layer"):
        easyedit_file(ranking, deep(2))
    # a deeper model has every site of the ranking; its weights tell
    with pytest.raises(ModelError, match=r"Expected [\d,]+ weights, found [\d,]+"):
        easyedit_file(ranking, deep(6))
    with pytest.raises(ModelError, match="weights"):
        easyedit_file(ranking, deep(4, intermediate_size=64))


def test_packed_weights_are_not_counted():
    model = tiny.model("llama")
    ranking = rank(model, parameters=17)
    with pytest.raises(ModelError, match="Expected 17 weights, found"):
        easyedit_file(ranking, model)
    model.config.quantization_config = {"quant_method": "gptq"}
    assert easyedit_file(ranking, model).settings["layers"] == [1]


def test_other_sites():
    model = tiny.model("llama")
    ranking = with_settings(rank(model), sites=[f"model.layers.{i}.mlp.up_proj" for i in range(4)])
    with pytest.raises(
        ModelError, match=r"up_proj' in layer 0, found 'model\.layers\.0\.mlp\.down_proj'"
    ):
        easyedit_file(ranking, model)


def test_sites_named_by_the_user():
    model = tiny.model("llama")
    ranking = rank(model, site="model.layers.{}.self_attn.o_proj")
    config = easyedit_file(ranking, model).settings
    assert config["rewrite_module_tmp"] == "model.layers.{}.self_attn.o_proj"
    assert config["mlp_module_tmp"] == "model.layers.{}.self_attn.o_proj"
    with pytest.raises(SettingsError, match=r"up_proj writes 48 features; .* stream \(32\)"):
        easyedit_file(rank(model, site="model.layers.{}.mlp.up_proj"), model)


@pytest.mark.parametrize(
    "damage",
    [
        {"golden": 9},
        {"golden": True},
        {"golden": "1"},
        {"golden": [1]},
        {"golden": None},
        {"model": {}},
        {"model": None},
        {"model": {"name": 3}},
        {"settings": []},
        {"settings": {}},
        {"settings": {"sites": "model"}},
        {"settings": {"sites": []}},
        {"settings": {"site": 3, "sites": []}},
        {"facts": None},
    ],
)
def test_a_damaged_ranking(damage):
    model = tiny.model("llama")
    with pytest.raises(ResultError, match="the ranking is damaged"):
        easyedit_file(dataclasses.replace(rank(model), **damage), model)


@pytest.fixture
def file():
    model = tiny.model("llama")
    return easyedit_file(rank(model), model)


def test_save(file, tmp_path):
    path = file.save(tmp_path / "new" / "folder" / "x.yaml")
    assert path.read_text(encoding="ascii") == file.text()
    assert [p.name for p in path.parent.iterdir()] == ["x.yaml"]


@pytest.mark.parametrize("name", ["x", "x.yml", "x.yaml.txt", ".yaml", "x.YAML"])
def test_names_that_easyedit_would_not_find(file, tmp_path, name):
    # it opens NAME.yaml for any NAME that does not have .yaml in it
    with pytest.raises(SettingsError, match=r"expected a name that ends in \.yaml"):
        file.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there(file, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("kept", encoding="utf-8")
    with pytest.raises(SettingsError, match="there is such a file; --force replaces it"):
        file.save(path)
    assert path.read_text(encoding="utf-8") == "kept"
    assert file.save(path, force=True).read_text(encoding="utf-8") == file.text()
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SettingsError, match="a folder; expected the name of a file"):
        file.save(tmp_path / "folder.yaml", force=True)


def test_a_name_that_the_file_system_does_not_take(file, tmp_path):
    with pytest.raises(SettingsError, match="name too long"):
        file.save(tmp_path / ("x" * 5000 + ".yaml"))


def test_a_disk_that_is_full(file, tmp_path, monkeypatch):
    (tmp_path / "x.yaml").write_text("kept", encoding="utf-8")

    def fail(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(easyedit, "write_whole", fail)
    with pytest.raises(ResultError, match=r"x\.yaml: cannot be written: No space left"):
        file.save(tmp_path / "x.yaml", force=True)
    assert (tmp_path / "x.yaml").read_text(encoding="utf-8") == "kept"


def test_a_folder_that_is_read_only(file, tmp_path, read_only):
    read_only(tmp_path)
    with pytest.raises(ResultError, match="cannot be written: Permission denied"):
        file.save(tmp_path / "x.yaml")
