"""LGA beside the obvious ways to get the same scores, in one process, on the same facts.

    python -m bench.lga [--facts 16] [--rounds 3] [--cases bundled,gpt2,gemma3] [--float64]

ours  the product's path: one forward and one activation-only backward per batch
(a)   a loop, one backward through the whole model per fact and answer
(b)   the same loop with gradients for the edit sites' weights alone
(c)   the floor: a plain forward and activation-only backward over the same batches, no scores
      (logits at answer positions here too, so that (c) has no work that ours leaves out)

Rounds are interleaved (ours, a, b, c, ours, ...), the median is quoted. Also printed: agreement
with (a) in units of |g_old||g_new| per fact, the golden layer of both, peak memory above the model,
and how far the time is from the arithmetic that must be done at the machine's measured rate.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.memory import peak_memory
from bench.shapes import Case, cases
from goldenlayers.locators.answers import ScoredPair, old_and_new
from goldenlayers.locators.fences import Fences
from goldenlayers.locators.products import BATCH_TOKENS
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.batches import Batch, pair_batches
from goldenlayers.passes.dots import gradient_dots
from goldenlayers.passes.factor_pass import row_losses


def batches_of(pairs: list[ScoredPair], device: Any) -> list[Batch]:
    old, new = [p.old for p in pairs], [p.new for p in pairs]
    return pair_batches(old, new, device=device, max_tokens=BATCH_TOKENS)


def ours(case: Case, pairs: list[ScoredPair], names: list[str]) -> np.ndarray:
    """Scores, old norms and new norms by the product's path, (3, L, N)."""
    out = np.zeros((3, len(names), len(pairs)))
    modules = dict(case.model.named_modules())
    linears = [[modules[n]] for n in names]
    with untouched(case.model):
        for batch in batches_of(pairs, case.model.device):
            out[:, :, list(batch.index)] = gradient_dots(case.model, linears, batch).products.cpu()
    return out


def loop(case: Any, pairs: list[ScoredPair], names: list[str], *, sites_only: bool) -> np.ndarray:
    """The same by one backward pass per fact and answer, through the whole model or the sites."""
    out = np.zeros((3, len(names), len(pairs)))
    modules = dict(case.model.named_modules())
    weights = [modules[n].weight for n in names]
    with untouched(case.model):
        for p in weights if sites_only else case.model.parameters():
            p.requires_grad_(True)
        for i, pair in enumerate(pairs):
            grads = []
            for row in (pair.old, pair.new):
                case.model.zero_grad(set_to_none=True)
                ids = torch.tensor([row.ids], device=case.model.device)
                # not labels=: transformers' own loss rounds the logits to float32
                logits = case.model(input_ids=ids, use_cache=False).logits[0, row.n_prompt - 1 : -1]
                torch.nn.functional.cross_entropy(logits, ids[0, row.n_prompt :]).backward()
                grads.append([w.grad for w in weights])
            for j, (old, new) in enumerate(zip(*grads, strict=True)):
                old, new = wide(old), wide(new)
                out[:, j, i] = [
                    float((a * b).sum()) for a, b in ((old, old), (old, new), (new, new))
                ]
        case.model.zero_grad(set_to_none=True)
    return out


def wide(x: torch.Tensor) -> torch.Tensor:
    """In float32 or wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def floor(case: Case, pairs: list[ScoredPair], names: list[str]) -> None:
    """A plain forward and a backward to the embeddings, weights frozen, over our batches."""
    with untouched(case.model):
        for batch in batches_of(pairs, case.model.device):
            embedded = case.model.get_input_embeddings()(batch.input_ids).detach()
            embedded.requires_grad_()
            with answer_logits(case.model, batch.rows, batch.columns) as gathered:
                output = case.model(inputs_embeds=embedded, use_cache=False)
            losses = row_losses(gathered.pick(output.logits), batch)
            torch.autograd.grad(losses.sum(), embedded)


def operations(case: Case, pairs: list[ScoredPair]) -> float:
    """Floating-point operations that must be done: 2 per weight and token, forward and backward."""
    head = case.model.get_output_embeddings().weight.numel()
    inside = sum(p.numel() for p in case.model.model_blocks)
    tokens = sum(len(r.ids) - 1 for p in pairs for r in (p.old, p.new))
    answers = sum(len(r.answer) for p in pairs for r in (p.old, p.new))
    return 2.0 * 2.0 * (inside * tokens + head * answers)


def machine_rate() -> float:
    """Operations per second of a square float32 product, the best of five."""
    a = torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2.0 * 2048**3 / best


def golden(products: np.ndarray) -> int:
    """Position of the golden layer by the default fences."""
    return int(Fences().golden(products[1].sum(axis=1)))


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest error of a per-fact score over |g_old||g_new|."""
    scale = np.sqrt(expected[0] * expected[2])
    return float((np.abs(found[1] - expected[1]) / scale).max())


def run(case: Case, rounds: int, rate: float) -> list[str]:
    pairs = old_and_new(case.model, case.tokenizer, case.facts).pairs
    sites = find_sites(case.model)
    names = [s.name for s in sites]
    blocks = [case.model.get_submodule(s.block) for s in sites]
    case.model.model_blocks = [p for b in blocks for p in b.parameters()]
    paths: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(case, pairs, names),
        "a": lambda: loop(case, pairs, names, sites_only=False),
        "b": lambda: loop(case, pairs, names, sites_only=True),
        "c": lambda: floor(case, pairs, names),
    }
    with torch.no_grad():  # weights are read from disk when first touched; that is nobody's peak
        case.model(input_ids=torch.tensor([pairs[0].new.ids]))
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    result: dict[str, Any] = {}
    peaks: dict[str, float] = {}
    for name, path in paths.items():  # a warm-up, and the peak memory, which sampling would slow
        with peak_memory() as peak:
            result[name] = path()
        peaks[name] = peak.bytes / 2**20
    for _ in range(rounds):
        for name, path in paths.items():
            start = time.perf_counter()
            path()
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    same = golden(result["ours"]) == golden(result["a"])
    must = operations(case, pairs)
    return [
        case.name,
        str(case.model.dtype).removeprefix("torch."),
        str(len(pairs)),
        *(f"{median[n]:.2f}" for n in paths),
        f"{median['a'] / median['ours']:.1f}",
        f"{median['b'] / median['ours']:.1f}",
        f"{median['ours'] / median['c']:.2f}",
        f"{error(result['ours'], result['a']):.1e}",
        f"{golden(result['ours'])}" if same else "DIFFERENT",
        " / ".join(f"{peaks[n]:.0f}" for n in paths),
        f"{must / median['ours'] / rate:.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--facts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default="bundled,gpt2,gemma3")
    parser.add_argument("--float64", action="store_true", help="compare in float64")
    args = parser.parse_args()
    rate = machine_rate()
    table = Table(
        title=f"LGA, {args.facts} bundled facts; one product runs at {rate / 1e9:.0f} GFLOP/s"
    )
    for column in (
        "model", "dtype", "facts", "ours s", "(a) s", "(b) s", "(c) s", "(a)/ours", "(b)/ours",
        "ours/(c)", "error", "golden", "peak MiB ours/a/b/c", "of float32 rate",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for case in cases(args.cases.split(","), args.facts):
        if args.float64:
            case.model = case.model.double()
        table.add_row(*run(case, args.rounds, rate))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
