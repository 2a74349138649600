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

    Attributes:
        sums: By name, (d_in, d_in) on the device of the site's weight. Only the part on and above
            the block diagonal is kept up; `whole` gives the symmetric matrix.
        tokens: Number of tokens seen.
    """

    def __init__(self, model: Any, sites: Sequence[EditSite], dtype: torch.dtype = torch.float32):
        self._model = model
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
        real tokens; the padding's own keys are left out.

        Raises:
            ModelError: If a site does not run exactly once in a forward pass, or a key is not
                finite. The sums are then of no use.
        """
        lengths = [len(window) for window in windows]
        T = max(lengths)
        rows = [[*window, *[window[-1]] * (T - len(window))] for window in windows]
        ids = torch.tensor(rows, device=self._model.device)  # (B, T)
        real = None
        if min(lengths) < T:
            ends = torch.tensor(lengths, device=ids.device).unsqueeze(1)  # (B, 1)
            real = (torch.arange(T, device=ids.device) < ends).reshape(-1)  # (B * T,)
        seen: set[str] = set()
        handles = [
            module.register_forward_pre_hook(partial(self._hook, name, real, seen))
            for name, module in self._sites.items()
        ]
        try:
            self._model(input_ids=ids, use_cache=False)
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
        self.tokens += sum(lengths)

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
        self, name: str, real: Tensor | None, seen: set[str], module: nn.Module, args: tuple[Any]
    ) -> None:
        if name in seen:
            raise ModelError(
                f"{name!r} runs more than once in a forward pass (shared weights), so its keys "
                "are not those of one layer"
            )
        seen.add(name)
        keys = args[0].detach().reshape(-1, args[0].shape[-1])  # (B * T, d_in); OPT sends it so
        if real is not None:
            keys = keys[real.to(keys.device)]  # (N, d_in)
        add_outer(self.sums[name], keys.to(self._dtype))
        if not self.sums[name].diagonal().sum().isfinite():
            raise ModelError(
                f"{name!r}: a key is not finite, so neither is its second moment; "
                "load the model in float32 or bfloat16 (--dtype)"
            )
        if len(seen) == len(self._sites):
            raise _AllSeenError


def add_outer(total: Tensor, keys: Tensor) -> None:
    """Add keys^T keys to the upper blocks of `total`, in place.

    Args:
        total: (d, d), float32 or float64.
        keys: (N, d), the same dtype.
    """
    d = len(total)
    size = max(MIN_BLOCK, -(-d // BLOCKS))
    with _full_precision():
        for start in range(0, d, size):
            block = keys[:, start : start + size]  # (N, size)
            total[start : start + size, start:].addmm_(block.T, keys[:, start:])


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
