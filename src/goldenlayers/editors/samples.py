"""A few numbers of a weight: enough to know it again, in another dtype too."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

SAMPLES = 64
# Knuth's multiplicative hash: positions that follow neither rows nor columns
SCATTER = 2654435761


def positions(count: int) -> Tensor:
    """Return the flat positions that are sampled of `count` numbers: (n,) int64."""
    return torch.tensor([(i * SCATTER) % count for i in range(SAMPLES)])


def sample(weight: Tensor) -> Tensor:
    """Return the values of a weight at `positions`: (n,) float64, on the CPU."""
    where = positions(weight.numel()).to(weight.device)
    return torch.take(weight.detach(), where).cpu().double()


def short(values: Tensor) -> str:
    """Return a hash, 8 hex characters, of a sample, (n,), rounded to bfloat16."""
    return _hash(_rounded(values))


def shorts(parameters: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Return `short(sample(parameter))` by name, of many parameters at once.

    About 2 ms for 272 parameters. Those that hold no plain floating point numbers here (quantised,
    on the meta device, of a tensor class of their own, empty) are left out.
    """
    where: dict[tuple[int, torch.device], Tensor] = {}
    names: dict[torch.device, list[str]] = {}
    found: dict[torch.device, list[Tensor]] = {}
    for name, parameter in parameters:
        if not is_plain(parameter):
            continue
        device = parameter.device
        key = (parameter.numel(), device)
        if key not in where:
            where[key] = positions(parameter.numel()).to(device)
        names.setdefault(device, []).append(name)
        found.setdefault(device, []).append(torch.take(parameter.detach(), where[key]))
    hashes: dict[str, str] = {}
    for device, samples in found.items():
        # one copy and one rounding for all: a call for each would take longer than the numbers
        rows = _rounded(torch.cat(samples)).reshape(len(samples), SAMPLES)
        hashes |= {name: _hash(row) for name, row in zip(names[device], rows, strict=True)}
    return hashes


def is_plain(parameter: Any) -> bool:
    """Whether a parameter holds floating point numbers of 16 bits or more that can be read."""
    return (
        isinstance(parameter, Tensor)
        and type(parameter.data) is Tensor
        and parameter.is_floating_point()
        and parameter.element_size() > 1
        and not parameter.is_meta
        and parameter.numel() > 0
    )


def close(
    a: Tensor, b: Tensor, *dtypes: str, roundings: float = 2.0, slack: Tensor | float = 0.0
) -> bool:
    """Whether two samples, (n,) float64, agree within some roundings to the coarsest dtype.

    Args:
        a: One sample.
        b: The other.
        *dtypes: Names of the dtypes that the numbers went through.
        roundings: How many roundings, each half a unit in the last place, lie between them.
        slack: Further differences that are allowed, (n,).
    """
    coarse = max((torch.finfo(getattr(torch, d)) for d in dtypes), key=lambda info: info.eps)
    # a rounding is off by eps / 2 of the number, and by half a step where numbers are subnormal
    size = torch.maximum(a.abs(), b.abs())
    allowed = roundings * coarse.eps / 2 * (size + coarse.smallest_normal) + slack
    return bool(((a - b).abs() <= allowed).all())


def dtype_name(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype, such as "float32"."""
    return str(tensor.dtype).removeprefix("torch.")


def _rounded(values: Tensor) -> Any:
    """Return the bits of numbers in bfloat16, as a NumPy array; every NaN has the same."""
    # by way of float32, as torch rounds a float64 too
    plain = values.cpu().float().nan_to_num(0.0, math.inf, -math.inf)
    return plain.to(torch.bfloat16).view(torch.int16).numpy()


def _hash(bits: Any) -> str:
    return hashlib.sha256(bits.tobytes()).hexdigest()[:8]
