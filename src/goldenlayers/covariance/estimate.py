"""What a computation will cost, known before it starts."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from goldenlayers.errors import SettingsError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.memory import free_memory
from goldenlayers.passes.moments import KeyMoments

# Of the free memory, the share that sums may take; the rest is for the passes themselves.
FREE_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """What computing the missing layers will cost.

    Attributes:
        layers: Layers to compute.
        tokens: Tokens to run each pass over, at most.
        passes: Passes over the text; more than one where the sums of all layers do not fit.
        seconds: About how long it takes, measured on one window.
        memory_bytes: Sums held at once and a batch (of keys, or of text that the model samples),
            beside the model.
        disk_bytes: What is kept in the end.
    """

    layers: tuple[int, ...]
    tokens: int
    passes: int
    seconds: float
    memory_bytes: int
    disk_bytes: int

    def __str__(self) -> str:
        passes = "one pass" if self.passes == 1 else f"{self.passes} passes"
        layers = "1 layer" if len(self.layers) == 1 else f"{len(self.layers)} layers"
        return (
            f"{layers}, {self.tokens:,} tokens, {passes}: about "
            f"{duration(self.seconds)}, {size(self.memory_bytes)} of memory, "
            f"{size(self.disk_bytes)} on disk"
        )


def groups_that_fit(
    model: Any, sites: Sequence[EditSite], dtype: torch.dtype, max_memory: int | None
) -> list[list[EditSite]]:
    """Split layers into groups whose sums fit the free memory, as few as go.

    Args:
        model: The model; sums lie on the devices of the sites' weights.
        sites: Wanted sites, shallow first.
        dtype: Dtype of the sums.
        max_memory: Most bytes that sums may take, instead of a share of what is free.

    Raises:
        SettingsError: If the sum of one layer alone does not fit.
    """
    room: dict[torch.device, int] = {}
    groups: list[list[EditSite]] = [[]]
    used: dict[torch.device, int] = defaultdict(int)
    for site in sites:
        device = model.get_submodule(site.name).weight.device
        if device not in room:
            room[device] = int(free_memory(device) * FREE_SHARE)
            if max_memory is not None:
                room[device] = min(room[device], max_memory)
        need = moment_bytes(site, dtype)
        if need > room[device]:
            raise SettingsError(
                f"layer {site.layer}: its second moment takes {size(need)} ({site.d_in:,} x "
                f"{site.d_in:,} {str(dtype).removeprefix('torch.')}), {size(room[device])} of "
                f"{device} may be used; free some memory, allow more, or use float32"
            )
        if used[device] + need > room[device]:
            groups.append([])
            used.clear()
        groups[-1].append(site)
        used[device] += need
    return groups


def moment_bytes(site: EditSite, dtype: torch.dtype) -> int:
    """Return the size of one sum in bytes."""
    return site.d_in**2 * dtype.itemsize


def batch_bytes(sites: Sequence[EditSite], dtype: torch.dtype, batch_tokens: int) -> int:
    """Return about what a batch takes beside the sums: its keys, raised, and the MLP's widths."""
    return 4 * batch_tokens * max(site.d_in for site in sites) * dtype.itemsize


def trial_seconds(moments: KeyMoments, window: Sequence[int]) -> float:
    """Return seconds per token of the pass, from one window; `moments` is empty afterwards."""
    moments.add([window[:16]])  # the first pass is slower
    start = time.perf_counter()
    moments.add([window])
    _wait(moments)
    seconds = time.perf_counter() - start
    moments.reset()
    return seconds / len(window)


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Return a number of bytes as a person says it."""
    for unit, step in (("GB", 1e9), ("MB", 1e6)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _wait(moments: KeyMoments) -> None:
    for total in moments.sums.values():
        if total.is_cuda:
            torch.cuda.synchronize(total.device)
