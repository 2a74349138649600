"""Somebody else's edit is data: everything that is wrong with it is named, nothing is run."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from goldenlayers.editors.edit import Edit
from goldenlayers.errors import EditError, ResultError
from tests import tiny

SITE = "model.layers.1.mlp.down_proj"


def rewrite(path, change_record=lambda record: None, change_tensors=lambda tensors: None):
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["golden_layers"])
    tensors = load_file(path)
    record = change_record(record) or record
    change_tensors(tensors)
    text = record if isinstance(record, str) else json.dumps(record)
    save_file(tensors, path, {"golden_layers": text})


def inside(*keys):
    """Return a function that puts a value at a place of the record."""

    def put(value):
        def change(record):
            place = record
            for key in keys[:-1]:
                place = place[key]
            if value is inside:
                del place[keys[-1]]
            else:
                place[keys[-1]] = value

        return change

    return put


def described(key, value):
    return inside("updates", 0, key)(value)


RECORDS = {
    "version": (inside("format_version")(99), "format version 99; this golden-layers reads 1"),
    "version true": (inside("format_version")(True), "format version True"),
    "format": (inside("format")("x"), "'format' is 'x'; expected golden-layers edit"),
    "list": (lambda r: "[1]", "not an edit"),
    "no json": (lambda r: "{", "not readable as JSON"),
    "deep": (lambda r: "[" * 100_000, "not readable as JSON"),
    "digits": (lambda r: '{"format_version": ' + "1" * 5000 + "}", "not readable as JSON"),
    "editor": (inside("editor")(3), "'editor' is 3; expected a text"),
    "updates": (inside("updates")("x"), "'updates' is 'x'; expected a list of objects"),
    "no updates": (inside("updates")(inside), "'updates' is nothing"),
    "twice": (lambda r: r["updates"].append(r["updates"][0]), "expected each site once"),
    "name": (described("name", "../../etc"), "expected the dotted name of a module"),
    "long name": (described("name", "a." * 300 + "a"), "expected the dotted name of a module"),
    "dunder": (described("name", "model..mlp"), "expected the dotted name of a module"),
    "layer": (described("layer", -1), "'layer' is -1; expected an integer of 0 to"),
    "layer true": (described("layer", True), "'layer' is True"),
    "rank": (described("rank", 0), "'rank' is 0; expected an integer of 1 to"),
    "huge": (described("d_out", 1 << 40), "'d_out' is 1099511627776; expected an integer"),
    "other shape": (described("d_in", 49), r"right' is \(48, 2\) F32, expected \(49, 2\) F32"),
    "transposed": (described("transposed", "no"), "'transposed' is 'no'; expected true or false"),
    "flipped": (described("transposed", True), r"'shape' is \[32, 48\]; expected that of the"),
    "dtype": (described("dtype", "object"), "'dtype' is 'object'; expected float32 or float64"),
    "wider": (described("dtype", "float64"), "F32, expected .* F64"),
    "base": (inside("base")([]), r"'base' is \[\]; expected an object"),
    "weights": (inside("base", "weights")({}), "expected one fingerprint for each site"),
    "sha": (inside("base", "weights", SITE, "sha256")("x" * 64), "64 hexadecimal digits"),
    "sample": (inside("base", "weights", SITE, "sample")([0.0] * 3), "expected 64 finite numbers"),
    "sample nan": (inside("base", "weights", SITE, "sample")(["nan"] * 64), "64 finite numbers"),
    "base dtype": (inside("base", "weights", SITE, "dtype")("int8"), "expected float32, bfloat16"),
    "shape": (inside("base", "weights", SITE, "shape")([-1, 48]), "'shape' is .* integers of 0"),
    "others": (inside("base", "others")([]), r"'others' is \[\]; expected an object"),
    "other": (
        inside("base", "others", "lm_head.weight")("x"),
        "'lm_head.weight' is 'x'; expected 8",
    ),
    "other int": (inside("base", "others", "lm_head.weight")(7), "is 7; expected 8 hexadecimal"),
    "fact": (inside("outcomes", 0, "fact", "subject")("zzz"), "'zzz' is not in the prompt"),
    "no fact": (inside("outcomes", 0, "fact")(None), "'fact' is None; expected an object"),
    "nll": (inside("outcomes", 1, "nll_after")("x"), r"outcomes\[1\]: 'nll_after' is 'x'"),
    "steps": (inside("outcomes", 0, "steps", 0)({}), r"steps\[0\]: 'loss' is nothing"),
    "layers": (inside("outcomes", 0, "layers")(["1"]), "'layers' is .* a list of integers"),
    "settings": (inside("settings")(3), "'settings' is 3; expected an object"),
    "seconds": (inside("seconds")({"edit": []}), r"'edit' is \[\]; expected a number"),
    "huge number": (inside("seconds")({"edit": 10**400}), "expected a number"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_record(delta, name):
    change, message = RECORDS[name]
    rewrite(delta, change)
    with pytest.raises(ResultError, match=message) as error:
        Edit.load(delta)
    assert str(error.value).startswith(str(delta))
    assert len(str(error.value)) < 1000


def test_a_file_of_a_version_that_did_not_hash_the_other_parameters(edit, delta):
    rewrite(delta, lambda record: record["base"].pop("others") and None)
    older = Edit.load(delta)
    assert older == replace(edit, base=replace(edit.base, others={}))
    tuned = tiny.model("llama", torch.float32)
    torch.nn.init.zeros_(tuned.lm_head.weight)
    older.base.check(tuned)
    with pytest.raises(EditError, match="does not change"):
        edit.base.check(tuned)


def _set(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


TENSORS = {
    "extra": (_set("extra", torch.zeros(1)), "'extra' does not belong"),
    "missing": (lambda t: t.pop(f"{SITE}.left"), "down_proj.left' is missing"),
    "half": (_set(f"{SITE}.left", torch.zeros(32, 2).half()), r"\(32, 2\) F16, expected"),
    "integers": (_set(f"{SITE}.left", torch.zeros(32, 2).int()), r"I32, expected"),
    "rank": (_set(f"{SITE}.left", torch.zeros(32, 3)), r"\(32, 3\) F32, expected \(32, 2\)"),
    "flat": (_set(f"{SITE}.left", torch.zeros(64)), r"\(64,\) F32, expected"),
    "nan": (_set(f"{SITE}.left", torch.full((32, 2), float("nan"))), "hold NaN or infinity"),
    "inf": (_set(f"{SITE}.right", torch.full((48, 2), float("inf"))), "hold NaN or infinity"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(delta, name):
    change, message = TENSORS[name]
    rewrite(delta, change_tensors=change)
    with pytest.raises(ResultError, match=message):
        Edit.load(delta)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def _pickled(path):
    path.write_bytes(pickle.dumps(Bomb()))


def _torch_saved(path):
    torch.save({"golden_layers": Bomb()}, path)


FILES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "header of 8 EB": lambda path: path.write_bytes(struct.pack("<Q", 1 << 63) + b"{}"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "cut header": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "pickle": _pickled,
    "torch": _torch_saved,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_safetensors(delta, name):
    FILES[name](delta)
    with pytest.raises(ResultError, match="not readable as safetensors") as error:
        Edit.load(delta)
    assert str(delta) in str(error.value)


def test_a_file_of_another_kind(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ResultError, match="without an edit's record"):
        Edit.load(tmp_path / "x.safetensors")
    with pytest.raises(ResultError, match="no such file"):
        Edit.load(tmp_path / "none.safetensors")
    with pytest.raises(ResultError, match=r"a folder without golden_layers\.json"):
        Edit.load(tmp_path)
    with pytest.raises(ResultError, match=r"cannot be read|not readable"):
        Edit.load("x" * 5000)


def test_an_adapter_of_another_tool(adapter):
    (adapter / "golden_layers.json").unlink()
    with pytest.raises(ResultError, match="that golden-layers did not write"):
        Edit.load(adapter)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["updates"][0].pop("exponents"), "'exponents' is nothing"),
        (lambda r: r["updates"][0].update(exponents=[1]), "one integer for each rank"),
        (lambda r: r["updates"][0].update(exponents=[1, 5000]), "integers of -60 to 60"),
        (lambda r: r["updates"][0].update(rank=1), r"lora_A.weight' is \(2, 48\) F32, expected"),
        (lambda r: r["updates"][0].update(name="other"), "does not belong|is missing"),
        (lambda r: r.update(format="x"), "'format' is 'x'; expected 'golden-layers adapter' or"),
    ],
)
def test_adapter_record(adapter, change, message):
    file = adapter / "golden_layers.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
    with pytest.raises(ResultError, match=message):
        Edit.load(adapter)


def test_an_adapter_without_its_weights(adapter):
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ResultError, match=r"adapter_model\.safetensors: no such file"):
        Edit.load(adapter)


def test_a_model_folder_without_its_delta(edit, tmp_path):
    edit.save(tmp_path / "m", "model", model=tiny.model("llama", torch.float32))
    mark = tmp_path / "m" / "golden_layers.json"
    record = json.loads(mark.read_text())
    record["edits"] = "../../../../etc/passwd"  # where the delta lies is not for the file to say
    mark.write_text(json.dumps(record))
    assert Edit.load(tmp_path / "m") == edit
    shutil.rmtree(tmp_path / "m" / "golden_layers")
    with pytest.raises(ResultError, match=r"edit.safetensors: no such file"):
        Edit.load(tmp_path / "m")
    record["edits"] = None
    mark.write_text(json.dumps(record))
    with pytest.raises(ResultError, match="no edit is on this model any more"):
        Edit.load(tmp_path / "m")
    mark.write_bytes(b"\xff\xfe")
    with pytest.raises(ResultError, match="not readable as JSON"):
        Edit.load(tmp_path / "m")
