"""What the model as it stands gives at the subjects of facts: keys, and what was written there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.editors.fact_runs import longest_row, over_runs
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.rows import Clean, Reads, clean_pass
from goldenlayers.passes.transfers import on_device


@torch.no_grad()
def subjects(
    model: Any, site: EditSite, last: EditSite, facts: Sequence[FactRows], on_stream: bool
) -> tuple[Tensor, Tensor]:
    """Run facts through the model.

    Args:
        model: The model, in evaluation mode.
        site: Where the keys are taken.
        last: The last site of the window.
        facts: The facts' rows.
        on_stream: Whether the stream behind `last`'s block is wanted, or what `last` gives.

    Returns:
        (n, d_in) mean over templates of the keys at the subject's last token, and (n, d) what is
        wanted there for the bare prompt; float32 or wider.
    """
    sites = [site] if site.name == last.name else [site, last]
    keys: list[Tensor] = [torch.empty(0)] * len(facts)
    written = list(keys)

    def run_clean(run: list[int]) -> Clean:
        rows = [row for i in run for row in facts[i].fed[: facts[i].n_templates]]
        ends = on_device([len(row.ids) - 1 for row in rows], model.device)
        reads = Reads(torch.arange(len(rows), device=model.device), ends)
        return clean_pass(model, sites, rows, reads, keep_cache=False)

    for run, seen in over_runs(model, facts, longest_row, run_clean):
        wide = torch.promote_types(seen.keys[0].dtype, torch.float32)
        start = 0
        for i in run:
            here = slice(start, start + facts[i].n_templates)
            keys[i] = seen.keys[0][here].to(wide).mean(0)  # (d_in,)
            written[i] = (seen.streams if on_stream else seen.outputs)[-1][start].to(wide)  # (d,)
            start += facts[i].n_templates
    return torch.stack(keys), torch.stack(written)
