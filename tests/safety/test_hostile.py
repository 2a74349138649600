"""Files made to do harm: each is refused in words, before it is believed in anything."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

import goldenlayers as gl
from goldenlayers.editors.edit import Edit
from goldenlayers.errors import FactError, GoldenLayersError, ModelError, ResultError, SettingsError
from goldenlayers.facts.read import read_facts
from goldenlayers.models.load import load_empty, load_model, load_tokenizer
from goldenlayers.study.run.read import read_study
from tests import tiny
from tests.safety.gguf import write_gguf
from tests.safety.watch import at_most, kept_inside

SITE = "model.layers.1.mlp.down_proj"


@pytest.fixture(autouse=True)
def _watched(tmp_path):
    """Nothing here takes long, writes elsewhere, starts a process or reads a pickle."""
    with at_most(60), kept_inside(tmp_path):
        yield


@pytest.fixture
def model(tmp_path):
    tiny.model("llama", torch.float32).save_pretrained(tmp_path / "m")
    tiny.tokenizer("llama").save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def with_header(path, change):
    """Change the header of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def tensors_of(header):
    return [part for name, part in header.items() if name != "__metadata__"]


def first(**changed):
    return lambda header: tensors_of(header)[0].update(changed)


def overlapping(header):
    one, two, *_ = tensors_of(header)
    two["data_offsets"] = one["data_offsets"]


HEADERS = {
    "huge": first(shape=[1 << 40, 1 << 20]),
    "overflowing": first(shape=[1 << 62, 1 << 62]),
    "negative": first(shape=[-1, 2]),
    "out of range": first(data_offsets=[0, 1 << 50]),
    "backwards": first(data_offsets=[8, 0]),
    "overlapping": overlapping,
    "I8": first(dtype="I8"),
    "BOOL": first(dtype="BOOL"),
    "F8_E4M3": first(dtype="F8_E4M3"),
    "F16": first(dtype="F16"),
    "no such dtype": first(dtype="OBJECT"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies(name, delta, adapter, model):
    files = (delta, adapter / "adapter_model.safetensors", model / "model.safetensors")
    for path in files:
        with_header(path, HEADERS[name])
    with pytest.raises(ResultError, match=r"not readable as safetensors|expected .* as the record"):
        Edit.load(delta)
    with pytest.raises(ResultError, match=r"not readable as safetensors|expected .* as the record"):
        Edit.load(adapter)
    with pytest.raises(ModelError, match=r"cannot be loaded|is incomplete"):
        load_model(str(model))


def test_a_dtype_that_fits_its_bytes(delta, tmp_path):
    # as many bytes, so that the file itself is sound
    def narrow(header):
        for part in tensors_of(header):
            part.update(dtype="I8", shape=[part["shape"][0], 4 * part["shape"][1]])

    with_header(delta, narrow)
    with pytest.raises(ResultError, match=r"I8, expected .* F32"):
        Edit.load(delta)


def pickled():
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    return pickle.dumps(Bomb())


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped", b"\0" * 10_000_000)
    return out.getvalue()


def arrays():
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    return out.getvalue()


FOREIGN = {
    "a.pt": pickled, "a.bin": pickled, "a.pkl": pickled, "a.zip": zipped, "a.npz": arrays,
    "a.json.gz": lambda: gzip.compress(b"[" * 50_000_000),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_kinds(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FOREIGN[name]())
    with pytest.raises(FactError, match=r"the name ends in .*; expected one of \.jsonl, .*\.csv"):
        read_facts(path)
    with pytest.raises(ResultError, match="not readable as safetensors"):
        Edit.load(path)
    with pytest.raises(ModelError, match=r"safetensors and GGUF files alone"):
        load_model(str(path))
    with pytest.raises(ResultError):
        gl.LayerRanking.load(path)


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_under_a_name_that_is_read(name, suffix, tmp_path):
    path = tmp_path / f"facts{suffix}"
    path.write_bytes(FOREIGN[name]())
    for skip in (True, False, None):
        with pytest.raises(FactError):
            read_facts(path, skip_bad=skip)


def test_a_model_of_pickles_alone(model):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickled())
    for load in (load_model, load_empty, load_tokenizer):
        with pytest.raises(ModelError, match=r"pytorch_model\.bin, a kind of file that can run"):
            load(str(model))


def test_weights_are_asked_for_as_safetensors(model, monkeypatch):
    from transformers import AutoModelForCausalLM

    asked = []
    real = AutoModelForCausalLM.from_pretrained

    def spied(*args, **options):
        asked.append((options["use_safetensors"], options["trust_remote_code"]))
        return real(*args, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spied)
    (model / "pytorch_model.bin").write_bytes(pickled())  # beside the safetensors, never opened
    load_model(str(model))
    assert asked == [(True, False)]


def told(model, **changed):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    return str(model)


@pytest.mark.parametrize("layers", [-1, 1001, 4 * 10**9])
def test_a_model_that_would_take_for_ever_to_build(layers, model):
    for load in (load_empty, load_model, load_tokenizer):
        with pytest.raises(ModelError, match=r"num_hidden_layers = .*; expected 0 to 1000"):
            load(told(model, num_hidden_layers=layers))


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_a_configuration_that_names_code_on_the_hub(key, model):
    for load in (load_empty, load_model):
        with pytest.raises(ModelError, match="asks for code from the hub"):
            load(told(model, **{key: "someone/kernel"}))
    assert load_empty(told(model, **{key: "eager"})).config.num_hidden_layers == 4


def test_a_tokenizer_that_fails_at_the_first_word(model):
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": "many"}))
    for load in (load_tokenizer, load_model):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load(str(model))


def test_an_adapter_in_a_model(model):
    (model / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "someone/else"})
    )
    for load in (load_empty, load_model, load_tokenizer):
        with pytest.raises(ModelError, match=r"adapter_config\.json lies in it"):
            load(str(model))


LAUGHS = "name: [&a0 x" + "".join(f", &a{i} [{f'*a{i - 1},' * 9}]" for i in range(1, 12)) + "]\n"
YAML = {
    "laughs": (LAUGHS, "an alias"),
    "itself": ("models: &m [{model: a}, *m]\n", "an alias"),
    "deep": ("name: " + "[" * 50_000, "nested more than 20 deep"),
    "deep mappings": ("name: " + "{a: " * 3000, "nested more than 20 deep"),
    "code": ('name: !!python/object/apply:os.system ["touch x"]', "could not determine a constr"),
    "large": ("# " + "x" * 2_000_000, "over 1000000 bytes"),
    "binary": ("name: \x00", "not YAML|not allowed"),
}


@pytest.mark.parametrize("name", YAML)
def test_settings_that_take_for_ever_or_run_code(name, tmp_path):
    text, message = YAML[name]
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with at_most(5), pytest.raises(SettingsError, match=message):
        read_study(path)


KEY = b"llama.context_length"
GGUF = {
    # of 2^40 numbers, in a file of 33 KB
    "array": lambda d: d.replace(
        KEY + struct.pack("<I", 4), KEY + struct.pack("<IIQ", 9, 4, 1 << 40)
    ),
    "fields": lambda d: d[:16] + struct.pack("<Q", 1 << 40) + d[24:],
    "tensors": lambda d: d[:8] + struct.pack("<Q", 1 << 60) + d[16:],
    "text": lambda d: d[:24] + struct.pack("<Q", 1 << 62) + d[32:],
    "version": lambda d: d[:4] + struct.pack("<I", 99) + d[8:],
    "cut": lambda d: d[:600],
    "empty": lambda d: d[:4],
    "blocks": lambda d: d.replace(
        b"llama.block_count" + struct.pack("<II", 4, 1),
        b"llama.block_count" + struct.pack("<II", 4, 40),
    ),
}


@pytest.mark.parametrize("name", GGUF)
def test_a_gguf_file_that_lies(name, tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    sound = path.read_bytes()
    path.write_bytes(GGUF[name](sound))
    assert path.read_bytes() != sound
    for load in (load_empty, load_tokenizer, load_model):
        with pytest.raises(ModelError, match="damaged or cut off"):
            load(str(path))


def test_links_that_point_out_of_a_folder(adapter, tmp_path):
    secret = tmp_path / "secret"
    weights = adapter / "adapter_model.safetensors"
    weights.rename(secret)
    for target in (secret, "../secret", weights):
        weights.unlink(missing_ok=True)
        weights.symlink_to(target)
        with pytest.raises(ResultError, match="a link that points out of the folder"):
            Edit.load(adapter)
    # the hub's cache: snapshots/COMMIT/file is a link to blobs/HASH
    snapshot = tmp_path / "snapshots" / "c0ffee"
    snapshot.parent.mkdir()
    adapter.rename(snapshot)
    (tmp_path / "blobs").mkdir()
    secret.rename(tmp_path / "blobs" / "0123")
    (snapshot / weights.name).unlink()
    (snapshot / weights.name).symlink_to("../../blobs/0123")
    assert Edit.load(snapshot).rank == 2


def test_a_ranking_whose_table_is_elsewhere(tmp_path):
    ranking = gl.find(
        tiny.model("llama", torch.float32), tiny.tokenizer("llama"), tiny.FACTS[:3], method="lga"
    )
    ranking.save(tmp_path / "r")
    table = tmp_path / "r" / "fact_scores.csv"
    table.rename(tmp_path / "table.csv")
    table.symlink_to(tmp_path / "table.csv")
    with pytest.raises(ResultError, match="a link that points out of the folder"):
        gl.LayerRanking.load(tmp_path / "r")


def as_json(text, tmp_path):
    folder = tmp_path / "json"
    folder.mkdir()
    for name in ("ranking.json", "evaluation.json", "golden_layers.json", "facts.json"):
        (folder / name).write_text(text)
    readers = (gl.LayerRanking.load, gl.Evaluation.load, Edit.load)
    return [*((read, folder) for read in readers), (read_facts, folder / "facts.json")]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000_000,
        '{"a":' * 1_000_000,
        '{"format": "golden-layers ranking", "format": "golden-layers edit"}',
        '{"format_version": NaN}',
        '{"format_version": -Infinity}',
        '{"format_version": 1e400}',
        '{"format_version": ' + "9" * 5000 + "}",
        '{"format_version": 1' + "0" * 4000 + "}",
        '"text"',
        "\x00",
        "",
    ],
    ids=lambda text: text[:40],
)
def test_json_that_is_none_of_ours(text, tmp_path):
    for read, path in as_json(text, tmp_path):
        with pytest.raises(GoldenLayersError) as error:
            read(path)
        assert len(str(error.value)) < 1200
