"""`golden-layers evaluate` on a tiny model and three facts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from goldenlayers.facts import LocalityProbe
from tests import tiny

FACTS = [
    replace(
        f,
        rephrase_prompts=(f"They say that {f.prompt}",),
        locality={"same_relation": (LocalityProbe("The capital of Vell is", "Rivermouth"),)},
    )
    for f in tiny.FACTS[:3]
]
QUICK = ("--templates", "bare", "--no-fluency", "--steps", 2)


@pytest.fixture
def facts(write_facts):
    return write_facts(FACTS)


@pytest.fixture
def evaluate(cli, llama, facts, tmp_path):
    """Run `evaluate` on a tiny model, which must succeed."""

    def evaluate(*options, model=llama, facts=facts, out="out"):
        given = ("--model", model, "--facts", facts, "--out", tmp_path / out)
        result = cli("evaluate", *given, *options)
        assert result.status == 0, result.err
        return result

    return evaluate


@pytest.fixture
def refuse(cli, llama, facts, tmp_path):
    """Run `evaluate`, which must refuse; return its message."""

    def refuse(*options, **what):
        inputs = {"model": llama, "facts": facts, "out": tmp_path / "out"} | what
        given = [x for name, value in inputs.items() for x in (f"--{name}", value)]
        message = cli("evaluate", *given, *options).message
        assert not (tmp_path / "out").exists()
        return message

    return refuse


def read(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def names(folder):
    return sorted(p.name for p in folder.iterdir())
