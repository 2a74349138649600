"""`check_model`: every check on one model, none stopping the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from goldenlayers.conformance.case import Case
from goldenlayers.conformance.edits import effect_and_revert, export_and_reload, repeatable
from goldenlayers.conformance.fast_paths import dots, growing_batch, prefix_reuse, tracing
from goldenlayers.conformance.result import FAILS, SKIPPED, Check, Conformance, Found
from goldenlayers.conformance.structure import edit_sites, spans
from goldenlayers.errors import FactError, GoldenLayersError, MemoryShortError
from goldenlayers.facts.bundled import bundled_facts
from goldenlayers.facts.fact import Fact
from goldenlayers.models.causal import require_causal
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.identity import ModelIdentity, identify
from goldenlayers.passes.memory import ran_out
from goldenlayers.progress import Progress, silent
from goldenlayers.versions import versions

# In order: what comes later rests on what comes before.
CHECKS: dict[str, Callable[[Case], Found]] = {
    "edit sites": edit_sites,
    "token spans": spans,
    "gradient dots": dots,
    "prefix reuse": prefix_reuse,
    "growing batch": growing_batch,
    "causal tracing": tracing,
    "edit and revert": effect_and_revert,
    "export and reload": export_and_reload,
    "same again": repeatable,
}
EDITING = ("growing batch", "edit and revert", "export and reload")
FACTS = 3


def check_model(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact] | None = None,
    *,
    site: str | None = None,
    seed: int = 0,
    identity: ModelIdentity | None = None,
    progress: Progress = silent,
) -> Conformance:
    """Check everything that golden-layers does on a model, each fast path beside a slow one.

    Looks at two layers and a few facts, so it says whether the arithmetic is right on this
    architecture, tokenizer, dtype and device, and nothing about quality. The model is returned bit
    for bit as it came.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its fast tokenizer.
        facts: Facts to look at, each with an old answer; three bundled ones if not given.
        site: Name of the edit site with "{}" for the layer, if structure does not tell.
        seed: Of everything random.
        identity: Which model this is, if it is known better than from the model itself.
        progress: Called with the checks done.

    Returns:
        One row per check. An error of a check is a row that fails, not an exception.

    Raises:
        ModelError: If the model is not causal.
        FactError: If there are no facts, or one has no old answer.
    """
    chosen = list(bundled_facts()[:FACTS] if facts is None else facts)
    if not chosen or any(f.target_old is None for f in chosen):
        raise FactError("no facts to check with, or one without an old answer; give both answers")
    require_causal(model)
    case = Case(model, tokenizer, chosen, site, seed)
    made: list[Check] = []
    for n, (name, check) in enumerate(CHECKS.items()):
        progress(f"checking {name}", n, len(CHECKS))
        start = time.perf_counter()
        try:
            if made and made[0].found.status == FAILS:
                found = Found(SKIPPED, f"needs the {made[0].name}")
            elif name in EDITING and (why := case.not_editable) is not None:
                found = Found(SKIPPED, why)
            else:
                found = check(case)
        except Exception as error:  # the row of a table, whatever a new architecture raises
            short = ran_out(error) or isinstance(error, MemoryShortError)
            why = f"{type(error).__name__}: {error}"[:300]
            found = Found(FAILS, "out of memory; try another device or dtype" if short else why)
        what = next(iter((check.__doc__ or "").splitlines()), "")
        made.append(Check(name, what, found, time.perf_counter() - start))
    return Conformance(
        tuple(made),
        (identity or identify(model)).to_dict(),
        {
            "layers": _layers(case),
            "facts": [f.id for f in chosen],
            "site": site,
            "seed": seed,
            "tolerance": case.tolerance,
            "attention": getattr(model.config, "_attn_implementation", None),
        }
        | chat_setting(tokenizer),
        versions(),
    )


def _layers(case: Case) -> list[int]:
    try:
        return [s.layer for s in case.two]
    except GoldenLayersError:
        return []
