"""`golden-layers check`: the table, the status, JSON, refusals."""

from __future__ import annotations

import json

import pytest

from goldenlayers.conformance import CHECKS, FAILS
from goldenlayers.conformance.result import Found
from tests import tiny


@pytest.fixture
def facts(write_facts):
    return write_facts(tiny.FACTS[:4])


def test_all_holds(cli, llama, facts, tmp_path):
    found = cli("check", llama, "--facts", facts, "--out", tmp_path / "out")
    assert found.status == 0, found.out
    for name in CHECKS:
        (line,) = [x for x in found.out.splitlines() if x.startswith(f"{name} ")]
        assert line.removeprefix(name).split()[0] == "holds"
    assert "golden-layers works on LlamaForCausalLM in float32 on cpu" in found.out
    data = json.loads((tmp_path / "out" / "conformance.json").read_text())
    assert data["ok"]
    assert data["settings"]["facts"] == [f.id for f in tiny.FACTS[:3]]
    assert data["model"]["files"]


def test_a_failure_ends_with_status_1(cli, llama, facts, monkeypatch):
    monkeypatch.setitem(CHECKS, "token spans", lambda case: Found(FAILS, "[red]off[/] by one"))
    found = cli("check", llama, "--facts", facts, "--json")
    assert found.status == 1
    data = json.loads(found.out)
    assert not data["ok"]
    assert "1 of 9 checks fail on LlamaForCausalLM in float32 on cpu: token spans" in found.err
    assert "[red]off[/] by one" in found.err


def test_refusals(cli, llama, write_facts, tmp_path):
    bare = write_facts([{"id": "1", "subject": "A", "prompt": "A is", "target_new": "B"}])
    assert "no facts to check with" in cli("check", llama, "--facts", bare).message
    assert "no such folder" in cli("check", tmp_path / "none").message
    assert "has no chat template" in cli("check", llama, "--facts", bare, "--chat").message
