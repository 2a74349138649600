"""Corrupted rows, and what of the clean run is put back into them: the parts of causal tracing.

One batch holds the clean row and, below it, copies of it with noise on the subject's embeddings
(Meng et al., "Locating and Editing Factual Associations in GPT", arXiv 2202.05262, section 2.1).
Restoring means that at one position the output of a module of a corrupted row is the clean row's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goldenlayers.models.landmarks import find_landmarks
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.families import by_row, like

KINDS = ("mlp", "attention", "state")


@dataclass(frozen=True, slots=True)
class TracedRow:
    """A prompt that is traced.

    Attributes:
        ids: All token ids of the prompt; the answer is read from the last.
        first: Position of the subject's first token.
        last: Position of its last token.
        answer: The answer's first token.
    """

    ids: tuple[int, ...]
    first: int
    last: int
    answer: int


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is put back in one run.

    Attributes:
        kind: "state", the output of a block; "mlp", the outputs of the edit sites in a window of
            layers; "attention", those of the attention modules in a window.
        layer: The block, or the middle of the window.
        position: The token.
    """

    kind: str
    layer: int
    position: int


@dataclass(frozen=True)
class Restorable:
    """Names of the modules whose outputs can be put back.

    Attributes:
        blocks: Of every block of the decoder.
        modules: By kind, "mlp" and "attention": by layer, the module's name. A block that has no
            such module is left out of all windows.
        window: How many layers are restored together; "state" is one layer always.
    """

    blocks: tuple[str, ...]
    modules: Mapping[str, Mapping[int, str]]
    window: int

    def names(self, kind: str, layer: int) -> dict[int, str]:
        """Return the modules of one restoration by their layer, shallow first."""
        if kind == "state":
            return {layer: self.blocks[layer]}
        there = self.modules[kind]
        # ROME's window: the odd one out lies below
        low = max(0, layer - self.window // 2)
        high = min(len(self.blocks), layer - (-self.window // 2))
        return {i: there[i] for i in range(low, high) if i in there}


def find_restorable(
    model: Any, sites: Sequence[EditSite], kinds: Sequence[str], window: int
) -> Restorable:
    """Find the modules of some kinds of restoration.

    Args:
        model: A causal language model of transformers.
        sites: The edit sites of all its layers.
        kinds: Of `KINDS`.
        window: See `Restorable`.

    Raises:
        SiteError: If the attention is asked for and cannot be told.
    """
    prefix = sites[0].block.rpartition(".")[0]
    depth = len(list(model.get_submodule(prefix).children()))
    modules = {"mlp": {site.layer: site.name for site in sites}}
    if "attention" in kinds:
        pattern, known = find_landmarks(model, sites[0]).attention, dict(model.named_modules())
        modules["attention"] = {
            i: name for i in range(depth) if (name := pattern.format(i)) in known
        }
    return Restorable(tuple(f"{prefix}.{i}" for i in range(depth)), modules, window)


@torch.no_grad()
def noise_deviation(model: Any, rows: Sequence[TracedRow], times: float) -> float:
    """Return the standard deviation of the noise.

    Args:
        model: The model.
        rows: All rows that are traced.
        times: How many standard deviations of the embeddings (all values of all subject tokens).
    """
    ids = [token for row in rows for token in row.ids[row.first : row.last + 1]]
    embedded = model.get_input_embeddings()(torch.tensor([ids], device=model.device))  # (1, S, d)
    return times * float(embedded.to(torch.promote_types(embedded.dtype, torch.float32)).std())


def fixed_noise(
    row: TracedRow, width: int, *, draws: int, deviation: float, seed: int, name: str
) -> Tensor:
    """Return the noise of one fact, (draws, s, d) float64 on the CPU, s the subject's tokens.

    The same on every device, in every process and among whatever other facts.

    Args:
        row: The row.
        width: Width d of the embedding.
        draws: How many corrupted rows.
        deviation: Standard deviation.
        seed: The run's seed.
        name: The fact's identifier.
    """
    own = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:16], "big")
    size = (draws, row.last + 1 - row.first, width)
    return torch.from_numpy(np.random.default_rng(own).standard_normal(size) * deviation)


@contextmanager
def corrupted(model: Any, row: TracedRow, noise: Tensor) -> Iterator[None]:
    """While open, rows 1 to n of a batch of 1 + n get noise on the subject; row 0 stays clean.

    Args:
        model: The model.
        row: What all rows of the batch hold.
        noise: (n, s, d).
    """

    def add(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        output = output.clone()  # (1 + n, T, d)
        output[1:, row.first : row.last + 1] += noise.to(output)
        return output

    handle = model.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded(
    model: Any, names: Sequence[str], rows: int, start: int
) -> Iterator[dict[str, Tensor]]:
    """While open, keep what modules give to the clean row, by name: (T - start, d)."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, args: Any, output: Any) -> None:
        seen[name] = by_row(output, rows)[0, start:].clone()  # Falcon adds to it in place

    with ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_hook(partial(keep, name))
            stack.callback(handle.remove)
        yield seen


@contextmanager
def restored(model: Any, names: Sequence[str], rows: int, position: int) -> Iterator[None]:
    """While open, modules give all rows at one position what they give the first, clean one."""

    def restore(module: nn.Module, args: Any, output: Any) -> Any:
        out = by_row(output, rows).clone()
        out[1:, position] = out[0, position]
        return like(out, output)

    with ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_hook(restore)
            stack.callback(handle.remove)
        yield
