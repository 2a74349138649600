"""Factors of several updates, put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from goldenlayers.editors.edit import Update


def side_by_side(*groups: Sequence[Update]) -> tuple[Update, ...]:
    """Join updates site by site: factors in the order of the groups, ranks add up.

    Returns:
        One update per site, shallow first.
    """
    by_name: dict[str, list[Update]] = {}
    for group in groups:
        for update in group:
            by_name.setdefault(update.name, []).append(update)
    joined = [
        replace(
            parts[0],
            left=torch.cat([u.left for u in parts], dim=1),  # (d_out, sum of ranks)
            right=torch.cat([u.right for u in parts], dim=1),  # (d_in, sum of ranks)
            keys=_keys(parts),
        )
        for parts in by_name.values()
    ]
    return tuple(sorted(joined, key=lambda u: (u.layer, u.name)))


def _keys(parts: Sequence[Update]) -> Tensor | None:
    """Return the keys that are kept, (d_in, sum of n), in the order of the parts."""
    kept = [u.keys for u in parts if u.keys is not None]
    return torch.cat(kept, dim=1) if kept else None
