"""The command line, run in this process on tiny models in folders."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from goldenlayers.cli.main import main
from tests import tiny


@dataclass(frozen=True)
class Result:
    """What a command left behind; colours are taken out of the texts."""

    status: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line that a command which failed has written."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert self.status == 2, self.err
        assert self.out == ""
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    # a test that wants the bundled model by mistake must not fetch it into the user's cache
    monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def cli(monkeypatch, capfd):
    """Run the command line as the shell would; an exception that escapes fails the test."""

    def cli(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["golden-layers", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        # continuous integration may force colours
        out, err = (re.sub(r"\x1b\[[0-9;]*m", "", text) for text in capfd.readouterr())
        return Result(status, out, err)

    return cli


@pytest.fixture(scope="session")
def save_model(tmp_path_factory):
    """Return a function that puts a model and a tokenizer into a folder of their own."""

    def save(model: torch.nn.Module, tokenizer: str = "llama") -> Path:
        folder = tmp_path_factory.mktemp("model")
        model.save_pretrained(folder)
        tiny.tokenizer(tokenizer).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def llama(save_model) -> Path:
    return save_model(tiny.model("llama", torch.float32))


@pytest.fixture(scope="session")
def gpt2(save_model) -> Path:
    return save_model(tiny.model("gpt2", torch.float32), "gpt2")


@pytest.fixture
def write_facts(tmp_path):
    """Return a function that writes facts, records or lines of text as a facts file."""

    def write(facts, name: str = "facts.jsonl") -> Path:
        path = tmp_path / name
        lines = []
        for fact in facts:
            record = fact.to_record() if hasattr(fact, "to_record") else fact
            lines.append(record if isinstance(record, str) else json.dumps(record))
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def facts_file(write_facts) -> Path:
    return write_facts(tiny.FACTS, "tiny.jsonl")
