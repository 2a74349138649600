"""Whether the CPU and a GPU agree: the same weights, facts and seed on both, scores compared."""

from __future__ import annotations

import numpy as np
import torch

import goldenlayers as gl
from bench.paper_shapes import NAMES, build, facts_of

SCALE = 1 / 16
FACTS, TOKENS = 20, 20
# Largest difference of a fact's score, in units of |g_old||g_new|: products are summed in another
# order, and rounding in float32 is what the CPU's own batches differ by (docs/speed.md).
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}


def agreement_of_devices(shapes: list[str]) -> list[str]:
    """Return a line for each shape and dtype, or one that says that there is no GPU."""
    if not torch.cuda.is_available():
        return ["CPU and GPU agree: not looked at, there is no GPU here"]
    return [compared(shape, dtype) for shape in shapes for dtype in TOLERANCE]


def compared(shape: str, dtype: torch.dtype) -> str:
    """Score the same facts on both devices."""
    case = build(shape, SCALE, torch.device("cpu"), dtype)
    facts = facts_of(case, FACTS, TOKENS)
    found = []
    for device in ("cpu", "cuda"):
        model = case.model.to(device)
        found.append(gl.find(model, case.tokenizer, facts, "lga", cache=False))
    cpu, gpu = found
    scores, sizes = (cpu.fact_scores[name] for name in ("score", "old_norm"))
    scale = sizes * cpu.fact_scores["new_norm"]
    error = float((np.abs(gpu.fact_scores["score"] - scores) / scale).max())
    fine = error <= TOLERANCE[dtype] and cpu.golden == gpu.golden
    name = f"{NAMES[shape]} at {SCALE:g}, {str(dtype).removeprefix('torch.')}"
    return (
        f"CPU and GPU {'agree' if fine else 'DIFFER'}: {name}: scores by {error:.1e} of "
        f"|g_old||g_new| (tolerance {TOLERANCE[dtype]:.0e}), golden layer {cpu.golden} and "
        f"{gpu.golden}"
    )
