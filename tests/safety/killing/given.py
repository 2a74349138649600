"""What a command that will be killed is given: a tiny model, facts and a text."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch

from tests import tiny
from tests.study.test_compare import SPLIT

EDITS = ("--steps", 2, "--lr", 0.3, "--clamp", 3, "--layers", "0-2")
SWEEP = ("find", "--method", "brute-force", "--limit", 6, "--batch-tokens", 150, *EDITS)


def write_given(folder: Path) -> Path:
    """Write "model", "facts.jsonl" and "text.txt" into a folder, and return it."""
    tiny.model("llama", torch.float32).save_pretrained(folder / "model")
    tiny.tokenizer("llama").save_pretrained(folder / "model")
    facts = [dataclasses.replace(f, id=f.id.replace(".", "-")).to_record() for f in SPLIT]
    (folder / "facts.jsonl").write_text("".join(f"{json.dumps(f)}\n" for f in facts))
    (folder / "text.txt").write_text(" ".join(tiny.CORPUS[:30]))
    return folder
