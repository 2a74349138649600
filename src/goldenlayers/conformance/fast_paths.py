"""Checks of the fast passes, each against the plain way on the same model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from goldenlayers.conformance.case import Case, relative
from goldenlayers.conformance.result import FALLS_BACK, HOLDS, SKIPPED, Found
from goldenlayers.editors.fact_rows import fact_rows
from goldenlayers.editors.fact_value import UNSUITED
from goldenlayers.editors.rome import RROME
from goldenlayers.editors.templates import Templates
from goldenlayers.locators.base import Request
from goldenlayers.locators.cma import CMA
from goldenlayers.models.guard import untouched
from goldenlayers.models.text import Row, encode_pairs
from goldenlayers.passes.batches import pair_batches
from goldenlayers.passes.dots import CROSS, NEW, OLD, gradient_dots
from goldenlayers.passes.replay import Group, Replay, add_at_start
from goldenlayers.passes.tracing import GROWING as TRACED_TOGETHER
from goldenlayers.passes.whole_rows import WholeRows
from goldenlayers.sweep.engine import GROWING, Sweep

STEPS = 5  # of the values: enough to see that two ways agree
TEMPLATES = Templates("own", ("", "It is said: "))


def dots(case: Case) -> Found:
    """Gradient dots of one batch against explicit gradients of two layers' weights."""
    modules = dict(case.model.named_modules())
    weights = [modules[site.name].weight for site in case.two]
    if any(not w.is_floating_point() or w.is_meta for w in weights):
        return Found(SKIPPED, "quantised or offloaded weights: no gradient to compare with")
    facts = [f for f in case.facts if f.target_old is not None]
    old = encode_pairs(case.tokenizer, [(f.prompt, f.target_old or "") for f in facts])
    new = encode_pairs(case.tokenizer, [(f.prompt, f.target_new) for f in facts])
    found = torch.zeros(3, len(weights), len(facts), dtype=torch.float64)
    linears = [[modules[site.name]] for site in case.two]
    with untouched(case.model):
        for batch in pair_batches(old, new, device=case.model.device, max_tokens=512):
            found[:, :, list(batch.index)] = gradient_dots(
                case.model, linears, batch
            ).products.cpu()
        worst = 0.0
        for i, pair in enumerate(zip(old, new, strict=True)):
            g_old, g_new = (_gradients(case.model, row, weights) for row in pair)
            for j, (a, b) in enumerate(zip(g_old, g_new, strict=True)):
                expected = (float((a * b).sum()), float((a * a).sum()), float((b * b).sum()))
                size = (expected[1] * expected[2]) ** 0.5 or 1.0
                for k, value in zip((CROSS, OLD, NEW), expected, strict=True):
                    own = size if k == CROSS else value or 1.0
                    worst = max(worst, abs(float(found[k, j, i]) - value) / own)
    return case.judged(worst, f"{len(facts)} facts at layers {_layers(case)}")


def _gradients(model: Any, row: Row, weights: list[Any]) -> list[torch.Tensor]:
    """Return explicit gradients of the answer's mean negative log-likelihood, on the CPU."""
    ids = torch.tensor([row.ids], device=model.device)
    flags = [w.requires_grad for w in weights]
    try:
        for w in weights:
            w.requires_grad_(True)
        logits = model(input_ids=ids, use_cache=False).logits[0]  # (T, V)
        logp = torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), -1)
        picked = [logp[t - 1, row.ids[t]] for t in range(row.n_prompt, len(row.ids))]
        loss = -torch.stack(picked).mean()
        return [g.double().cpu() for g in torch.autograd.grad(loss, weights)]
    finally:
        for w, flag in zip(weights, flags, strict=True):
            w.requires_grad_(flag)


def prefix_reuse(case: Case) -> Found:
    """Rows run again from the subject on, with a changed value, against whole rows."""
    site = case.two[-1]
    worst, reused = 0.0, 0
    with untouched(case.model), torch.no_grad():
        for fact in case.facts:
            rows = fact_rows(case.model, case.tokenizer, fact, TEMPLATES.prefixes)
            whole = WholeRows(case.model, [site], rows.fed, rows.reads)
            generator = torch.Generator().manual_seed(case.seed)
            delta = torch.randn(site.d_out, generator=generator, dtype=torch.float64)
            delta = (delta * float(whole.clean.outputs[0].double().std())).to(
                whole.clean.outputs[0]
            )
            expected = whole.logits(site, delta)
            try:
                replay = Replay(case.model, [site], rows.fed, rows.reads)
                group = Group(site.layer, replay.part(), {site.name: add_at_start(delta)})
                (found,) = replay.logits([group])
            except UNSUITED as error:
                reason = f"{type(error).__name__}: {error}"[:200]
                return Found(FALLS_BACK, f"whole rows are run instead ({reason})")
            worst = max(worst, relative(found, expected))
            reused += sum(row.subject for row in rows.fed)
    return case.judged(worst, f"layer {site.layer}, {reused} tokens not run again")


def growing_batch(case: Case) -> Found:
    """Edits of two layers side by side against one after another in the whole model."""
    # no weight may hide behind a clamp or an early stop
    editor = RROME(steps=STEPS, stop_loss=0.0)
    sweep = Sweep(case.model, case.tokenizer, case.two, editor, TEMPLATES)
    facts = list(case.facts[:1])
    together = sweep.run(facts)
    apart = replace(sweep, plain=True).run(facts)
    worst = 0.0
    for a, b in zip(together, apart, strict=True):
        for name in ("nll_before", "nll_after", "update_norm"):
            x, y = getattr(a, name), getattr(b, name)
            worst = max(worst, abs(x - y) / max(abs(y), 1e-3))
    how = {o.computed for o in together} - {GROWING}
    # after several steps of Adam small differences have grown
    found = case.judged(worst, f"layers {_layers(case)}", 10 * case.tolerance)
    if how and found.status == HOLDS:
        return replace(found, status=FALLS_BACK, detail=f"{'; '.join(sorted(how))[:200]}")
    return found


def tracing(case: Case) -> Found:
    """Causal tracing by the growing batch against one run per layer."""
    sites = case.sites
    locator = CMA(draws=2, window=max(1, len(sites) // 3), traced="own")
    with untouched(case.model):
        request = Request(case.model, case.tokenizer, case.facts[:1], case.two, sites, case.seed)
        fast = locator.rank(request)
        slow = replace(locator, plain=True).rank(request)
    worst = 0.0
    for name in fast.fact_scores:
        expected = slow.fact_scores[name]
        size = max(float(np.abs(expected).max()), 1e-3)
        worst = max(worst, float(np.abs(fast.fact_scores[name] - expected).max()) / size)
    found = case.judged(worst, f"layers {_layers(case)}, MLP and state", 10 * case.tolerance)
    fell = [n for n in fast.notes if n.startswith("computed by") and TRACED_TOGETHER not in n]
    if fell and found.status == HOLDS:
        return replace(found, status=FALLS_BACK, detail=fell[0][:200])
    return found


def _layers(case: Case) -> str:
    return " and ".join(str(site.layer) for site in case.two)
