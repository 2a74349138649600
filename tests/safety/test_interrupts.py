"""Ctrl-C once and twice, and memory that runs out: a word, a status, a readable store."""

from __future__ import annotations

import dataclasses
import json
import signal

import pytest
import torch

import goldenlayers as gl
from goldenlayers.sweep.engine import Sweep
from tests import tiny
from tests.safety.killing.found import final, rows_of
from tests.study.test_compare import SPLIT

FACTS = [dataclasses.replace(f, id=f.id.replace(".", "-")) for f in SPLIT]
EDITS = ("--method", "brute-force", "--limit", 5, "--batch-tokens", 150, "--layers", "0-2",
         "--steps", 2, "--lr", 0.3, "--clamp", 3)  # fmt: skip


@pytest.fixture
def find(runs, llama, write_facts, tmp_path):
    facts = write_facts(FACTS, "split.jsonl")

    def find(name, *more, **options):
        (tmp_path / name).mkdir(exist_ok=True)
        argv = (
            "find",
            "--model",
            llama,
            "--facts",
            facts,
            *EDITS,
            "--out",
            tmp_path / name / "out",
        )
        return runs((*argv, *more), tmp_path / name, **options)

    return find


def at(layer, signal_number):
    """A signal that the process sends itself when so many linear layers have been run."""
    return {"kind": "layer", "n": layer, "signal": signal_number}


def test_ctrl_c_twice_ends_at_once_and_what_was_finished_goes_on(find, tmp_path, capsys):
    whole = find("whole")
    assert whole.status == 0, whole.text
    expected, layers = final(tmp_path / "whole"), whole.counts["layer"]
    # in the first edits; between two; and with the last
    points, kept = [layers // 3, 2 * layers // 3, layers], 0
    for n in points:
        ended = find(str(n), kill={**at(n, signal.SIGINT), "again": True})
        assert ended.status == 130, ended.text
        assert "stopped at once; every edit that was finished is kept" in ended.text
        assert "Traceback" not in ended.text
        assert "rror" not in ended.text
        rows = rows_of(tmp_path / str(n) / "out" / "sweep.sqlite")
        assert len(rows) >= len(ended.told.get("outcome", ()))
        kept += len(rows)
        again = find(str(n), "--resume")
        assert again.status == 0, again.text
        assert final(tmp_path / str(n)) == expected
    assert kept
    with capsys.disabled():
        print(
            f"\nCtrl-C twice: {len(points)} of {len(points)} ended with status 130, without a "
            f"traceback; {kept} edits kept; completed {len(points)} of {len(points)} times"
        )


def test_ctrl_c_once_by_a_real_signal_ranks_what_is_done(find, tmp_path):
    whole = find("whole")
    ended = find("once", kill=at(2 * whole.counts["layer"] // 3, signal.SIGINT))
    assert ended.status == 130, ended.text
    assert "Stopped: these are the" in ended.text
    found = json.loads((tmp_path / "once" / "out" / "ranking.json").read_text())
    assert 0 < len(found["answers"]) < 5
    assert find("once", "--resume").status == 0
    assert final(tmp_path / "once") == final(tmp_path / "whole")


MESSAGES = {
    "gpu": (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": (RuntimeError, "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: "
                          "can't allocate memory: you tried to allocate 2 bytes."),
    "python": (MemoryError, ""),
}  # fmt: skip


@pytest.mark.parametrize("where", MESSAGES)
def test_out_of_memory_says_what_to_lower_and_keeps_what_was_finished(
    where, cli, llama, write_facts, tmp_path, monkeypatch
):
    facts = write_facts(FACTS, "split.jsonl")
    command = ("find", "--model", llama, "--facts", facts, *EDITS, "--out", tmp_path / "out")
    run, calls = Sweep.run, []

    def full(self, *args, **options):
        calls.append(1)
        if len(calls) == 2:
            kind, text = MESSAGES[where]
            raise kind(text)
        return run(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Sweep, "run", full)
        ended = cli(*command)
    assert ended.status == 2, ended.err
    # on a slow machine it has said before how long it would take
    message = next(line for line in ended.err.splitlines() if line.startswith("error: "))
    assert message.startswith("error: memory ran out")
    assert MESSAGES[where][1][:30] in message
    assert "--dtype bfloat16" in message
    assert "finished edits are kept" in message
    done = rows_of(tmp_path / "out" / "sweep.sqlite")
    assert done
    again = cli(*command, "--resume")
    assert again.status == 0, again.err
    assert done.items() <= rows_of(tmp_path / "out" / "sweep.sqlite").items()


def test_another_runtime_error_is_still_a_defect(cli, llama, write_facts, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(Sweep, "run", broken)
    facts = write_facts(FACTS, "split.jsonl")
    with pytest.raises(RuntimeError, match="shapes"):
        cli("find", "--model", llama, "--facts", facts, *EDITS, "--out", tmp_path / "out")


def test_from_python_the_error_is_one_of_ours(monkeypatch):
    """A caller may catch it, free memory and go on; the model comes back as it was."""
    model = tiny.model("llama", torch.float32)
    before = {n: p.clone() for n, p in model.named_parameters()}

    def full(*args, **options):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr("goldenlayers.sweep.engine.predict_edited", full)
    with pytest.raises(gl.MemoryShortError, match="full"):
        gl.find(model, tiny.tokenizer("llama"), FACTS[:2], "brute-force",
                editor_settings={"steps": 1})  # fmt: skip
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert all(p.requires_grad for p in model.parameters())
