"""Checks of an edit: that it does what it says, comes off again, and survives a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from goldenlayers.conformance.case import Case
from goldenlayers.conformance.fast_paths import STEPS, TEMPLATES
from goldenlayers.conformance.result import FAILS, HOLDS, Found
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.run import edit
from goldenlayers.locators.find import find
from goldenlayers.metrics.predict import predict
from goldenlayers.metrics.replies import nll
from goldenlayers.models.content import content_hash
from goldenlayers.models.text import encode_pairs


def effect_and_revert(case: Case) -> Found:
    """The new answer is likelier with the edit on; with it off every bit is as before."""
    before = content_hash(case.model)
    made = _edit(case)
    (row,) = encode_pairs(case.tokenizer, [(case.facts[0].prompt, case.facts[0].target_new)])
    (clean,) = predict(case.model, [row])
    with made.applied(case.model):
        (edited,) = predict(case.model, [row])
    if content_hash(case.model) != before:
        return Found(FAILS, "the weights are not bit for bit as before")
    old, new = nll(clean.log_probs), nll(edited.log_probs)
    said = f"layer {made.layers[0]}: {old:.2f} → {new:.2f} nats a token; off again bit for bit"
    return Found(HOLDS if new < old else FAILS, said)


def export_and_reload(case: Case) -> Found:
    """The edit, written to a file and read again, makes the same weights."""
    made = _edit(case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edit.safetensors"
        made.save(path)
        size = path.stat().st_size
        read = Edit.load(path)
    with made.applied(case.model):
        expected = content_hash(case.model)
    with read.applied(case.model):
        found = content_hash(case.model)
    if found != expected:
        return Found(FAILS, "the weights are others than those of the edit that was saved")
    return Found(HOLDS, f"{size / 1000:.0f} kB, the same weights bit for bit")


def repeatable(case: Case) -> Found:
    """The same input and seed give the same numbers."""
    facts = [f for f in case.facts if f.target_old is not None]
    first, second = (
        find(case.model, case.tokenizer, facts, site=case.site, fence=None, cache=False,
             seed=case.seed)
        for _ in range(2)
    )  # fmt: skip
    scores = [torch.tensor(r.fact_scores["score"]) for r in (first, second)]
    if torch.equal(*scores):
        return Found(HOLDS, f"LGA on {len(facts)} facts twice: every bit the same")
    apart = float((scores[0] - scores[1]).abs().max())
    where = case.model.device.type
    # kernels of a GPU may add in another order each time
    status = FAILS if where == "cpu" else HOLDS
    return Found(status, f"LGA twice on {where}: scores differ by up to {apart:.1e}", apart)


def _edit(case: Case) -> Edit:
    return edit(
        case.model, case.tokenizer, case.facts[0], case.two[0].layer, site=case.site,
        templates=TEMPLATES, seed=case.seed, steps=4 * STEPS,
    )  # fmt: skip
