"""Second moments of the keys, sum of k k^T, of all wanted layers in one forward pass.

The key k is the input of the edit site. Source: ROME, arXiv 2202.05262, section 3.1, where
C = E[k k^T] over running text.

Operations: 2 d_in^2 flops per token and layer for a full k k^T; the sum is
symmetric, so only its upper blocks are formed, (1 + 1/n) / 2 of that with n blocks a side. Beside
them stands the model's own forward pass, 2 flops per token and weight of the blocks that run: it
ends where the last wanted key is seen, so neither later blocks nor the output head run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from goldenlayers.errors import ModelError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.room import Room
from goldenlayers.passes.transfers import fetched, on_device
from goldenlayers.progress import Say, quiet

BLOCKS = 8
MIN_BLOCK = 256  # narrower products are too small to run fast


class _AllSeenError(Exception):
    """Ends a forward pass after the last wanted key."""


class KeyMoments:
    """Adds up k k^T at several edit sites, batch by batch.

    The model must be frozen and in evaluation mode (`goldenlayers.models.guard.untouched`); this
    class leaves no hook behind.

    Args:
        model: A causal language model of transformers.
        sites: Edit sites, one or more.
        dtype: Dtype of keys and sums, torch.float32 or torch.float64; half precision is raised
            before the product.
        say: Called with a line when memory ran out and the windows are run in smaller batches.

    Attributes:
        sums: By name, (d_in, d_in) on the device of the site's weight. Only the part on and above
            the block diagonal is kept up; `whole` gives the symmetric matrix.
        tokens: Number of tokens seen.
    """

    def __init__(
        self,
        model: Any,
        sites: Sequence[EditSite],
        dtype: torch.dtype = torch.float32,
        say: Say = quiet,
    ):
        self._model = model
        self._room = Room(say=say)
        self._sites = {site.name: model.get_submodule(site.name) for site in sites}
        self._dtype = dtype
        self.tokens = 0
        self.sums = {
            site.name: torch.zeros(
                site.d_in, site.d_in, dtype=dtype, device=self._sites[site.name].weight.device
            )
            for site in sites
        }

    @torch.no_grad()
    def add(self, windows: Sequence[Sequence[int]]) -> None:
        """Run the model over windows of token ids and add the keys of every token.

        Shorter windows are padded on the right, where causal attention hides the padding from all
        real tokens; the padding's own keys are left out. Where memory runs out, the windows are run
        in halves; what was added to some of the sums before it did is not added again.

        Raises:
            ModelError: If a site does not run exactly once in a forward pass, or a key is not
                finite. The sums are then of no use.
            MemoryShortError: If memory does not suffice for one window. So they are then.
        """
        left: list[tuple[Sequence[Sequence[int]], dict[str, int]]] = [(windows, {})]
        while left:
            some, added = left.pop(0)
            tokens = len(some) * max(map(len, some))
            if len(some) > 1 and not self._room.holds(tokens):
                done = None
            else:
                done = self._room.attempt(
                    partial(self._add, some, added),
                    tokens,
                    least="one window alone" if len(some) == 1 else None,
                )
            if done is None:
                half = len(some) // 2
                left[:0] = [(some[:half], dict(added)), (some[half:], dict(added))]
        self.tokens += sum(map(len, windows))

    def _add(self, windows: Sequence[Sequence[int]], added: dict[str, int]) -> bool:
        """Run some windows, as far as they are not added yet.

        Args:
            windows: The windows.
            added: By site, how many rows of blocks of its sum hold their keys already; kept up to
                date.
        """
        lengths = [len(window) for window in windows]
        T = max(lengths)
        rows = [[*window, *[window[-1]] * (T - len(window))] for window in windows]
        device = self._model.device
        real = None
        if min(lengths) < T:
            # by number, not by a flag each: counting flags would wait for the device
            places = [r * T + t for r, n in enumerate(lengths) for t in range(n)]
            real = on_device(places, device)  # (N,)
        seen: set[str] = set()
        handles = [
            module.register_forward_pre_hook(partial(self._hook, name, real, seen, added))
            for name, module in self._sites.items()
        ]
        try:
            self._model(input_ids=on_device(rows, device), use_cache=False)  # (B, T)
        except _AllSeenError:
            pass
        finally:
            for handle in handles:
                handle.remove()
        if len(seen) < len(self._sites):
            missing = next(name for name in self._sites if name not in seen)
            raise ModelError(
                f"{missing!r} does not run in a forward pass of {type(self._model).__name__}, so "
                "it has no keys; golden-layers inspect MODEL shows the edit sites"
            )
        finite = fetched([self.sums[name].diagonal().sum().isfinite() for name in self._sites])
        if not all(finite):
            name = next(n for n, fine in zip(self._sites, finite, strict=True) if not fine)
            raise ModelError(
                f"{name!r}: a key is not finite, so neither is its second moment; "
                "load the model in float32 or bfloat16 (--dtype)"
            )
        return True

    def whole(self, name: str) -> Tensor:
        """Return the symmetric sum of one site, (d_in, d_in), exactly symmetric, on the CPU."""
        upper = self.sums[name].cpu().triu()
        return upper + upper.triu(1).T

    def reset(self) -> None:
        """Forget everything seen."""
        self.tokens = 0
        for total in self.sums.values():
            total.zero_()

    def _hook(
        self,
        name: str,
        real: Tensor | None,
        seen: set[str],
        added: dict[str, int],
        module: nn.Module,
        args: tuple[Any],
    ) -> None:
        if name in seen:
            raise ModelError(
                f"{name!r} runs more than once in a forward pass (shared weights), so its keys "
                "are not those of one layer"
            )
        seen.add(name)
        total = self.sums[name]
        if added.get(name, 0) < _rows(total):
            keys = args[0].detach().reshape(-1, args[0].shape[-1])  # (B * T, d_in); OPT sends it so
            if real is not None:
                keys = keys[real.to(keys.device)]  # (N, d_in)
            keys = keys.to(self._dtype)
            for row in range(added.get(name, 0), _rows(total)):
                _add_row(total, keys, row)
                added[name] = row + 1
        if len(seen) == len(self._sites):
            raise _AllSeenError


def add_outer(total: Tensor, keys: Tensor) -> None:
    """Add keys^T keys to the upper blocks of `total`, in place.

    Args:
        total: (d, d), float32 or float64.
        keys: (N, d), the same dtype.
    """
    for row in range(_rows(total)):
        _add_row(total, keys, row)


def _add_row(total: Tensor, keys: Tensor, row: int) -> None:
    """Do so for one row of blocks."""
    size = _size(total)
    start = row * size
    block = keys[:, start : start + size]  # (N, size)
    with _full_precision():
        total[start : start + size, start:].addmm_(block.T, keys[:, start:])


def _size(total: Tensor) -> int:
    """Return how wide a block of a sum is."""
    return max(MIN_BLOCK, -(-len(total) // BLOCKS))


def _rows(total: Tensor) -> int:
    """Return how many rows of blocks a sum has."""
    return -(-len(total) // _size(total))


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep float32 products in float32 where the user has allowed TF32 or bfloat16 for them."""
    allowed = torch.get_float32_matmul_precision()
    if allowed == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)
