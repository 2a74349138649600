"""Checks of an edit: that it does what it says, comes off again, and survives a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from goldenlayers.conformance.case import Case, relative
from goldenlayers.conformance.fast_paths import STEPS
from goldenlayers.conformance.result import FAILS, HOLDS, Found
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.protocol import OnStep, ignore_step
from goldenlayers.editors.run import edit
from goldenlayers.locators.find import find
from goldenlayers.metrics.predict import predict
from goldenlayers.metrics.replies import nll
from goldenlayers.models.content import content_hash
from goldenlayers.models.subject import SubjectRow, subject_rows


def effect_and_revert(case: Case) -> Found:
    """With the edit on the site writes the trained value; with it off every bit is as before."""
    before = content_hash(case.model)
    deltas: list[torch.Tensor] = []
    made = _edit(case, lambda step, delta: deltas.append(delta.detach().clone()))
    fact, site = case.facts[0], case.two[0]
    (row,) = subject_rows(case.tokenizer, [""], fact.prompt, fact.subject, fact.target_new)
    clean, cost = _written(case, site.name, row)
    with made.applied(case.model):
        edited, new_cost = _written(case, site.name, row)
    if content_hash(case.model) != before:
        return Found(FAILS, "the weights are not bit for bit as before")
    # R-ROME with the bare prompt alone: the key's output moves by delta, no more and no less
    error = relative(edited - clean, deltas[-1])
    said = f"layer {site.layer}, {cost:.1f} → {new_cost:.1f} nats a token, off again bit for bit"
    return case.judged(error, said)


def _written(case: Case, name: str, row: SubjectRow) -> tuple[torch.Tensor, float]:
    """Return what the site writes at the subject's last token, (d,), and the answer's cost."""
    seen: list[torch.Tensor] = []

    def record(module: Any, inputs: Any, output: torch.Tensor) -> None:
        seen.append(output.detach().reshape(-1, output.shape[-1])[row.subject].double().cpu())

    handle = dict(case.model.named_modules())[name].register_forward_hook(record)
    try:
        (found,) = predict(case.model, [row])
    finally:
        handle.remove()
    return seen[0], nll(found.log_probs)


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
        find(case.model, case.tokenizer, facts, "lga", site=case.site, fence=None, cache=False,
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


def _edit(case: Case, on_step: OnStep = ignore_step) -> Edit:
    return edit(
        case.model, case.tokenizer, case.facts[0], case.two[0].layer, site=case.site,
        templates="bare", seed=case.seed, steps=STEPS, on_step=on_step,
    )  # fmt: skip
