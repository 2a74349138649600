"""Rows run the plain way: every run computes all positions at all layers, one group by itself.

For a model that prefix reuse does not suit, and as what prefix reuse is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.families import by_row, like
from goldenlayers.passes.growing import Change
from goldenlayers.passes.rows import Reads, clean_pass, padded


class WholeRows:
    """The rows of one fact.

    Attributes:
        clean: What the first, clean pass saw.
    """

    def __init__(
        self, model: Any, sites: Sequence[EditSite], rows: Sequence[SubjectRow], reads: Reads
    ):
        self._model, self._reads = model, reads
        self._ids = padded([r.ids for r in rows], model.device)  # (R, T)
        self._at = torch.tensor([r.subject for r in rows], device=model.device)
        self.clean = clean_pass(model, sites, rows, reads, keep_cache=False)

    def logits(self, site: EditSite, delta: Tensor) -> Tensor:
        """Run the rows with `delta` (d_out,) added to the site at the subject's last token.

        Returns:
            (N, V) logits at the positions read.
        """
        T = self._ids.shape[1]
        where = torch.nn.functional.one_hot(self._at, T).bool().unsqueeze(-1)  # (R, T, 1)

        def add(inputs: Tensor, output: Tensor) -> Tensor:
            return torch.where(where.to(output.device), output + delta.to(output), output)

        return changed_logits(self._model, site.name, self._ids, self._reads, add)


def changed_logits(
    model: Any, name: str, ids: Tensor, reads: Reads, change: Change | None
) -> Tensor:
    """Run whole rows with one module's output changed.

    Args:
        model: The model.
        name: Qualified name of the module.
        ids: (R, T) token ids.
        reads: The positions read.
        change: What becomes of the output; None for nothing.

    Returns:
        (N, V) logits at the positions read.
    """
    R = len(ids)

    def hook(module: Any, args: Any, output: Any) -> Any:
        if change is None:
            return output
        return like(change(by_row(args[0], R), by_row(output, R)), output)

    handle = model.get_submodule(name).register_forward_hook(hook)
    try:
        with answer_logits(model, reads.rows, reads.columns) as gathered:
            return gathered.pick(model(input_ids=ids, use_cache=False).logits)
    finally:
        handle.remove()
