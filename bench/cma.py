"""Causal tracing beside the obvious loop, in one process, with the same effects.

    python -m bench.cma [--facts 2] [--kinds mlp,state] [--window 10] [--draws 10] [--every-layer]

ours  `goldenlayers.passes.tracing.trace`: one pass over the clean and the corrupted rows, then all
      restored runs in a growing batch: positions from the subject's last token on, layers from the
      restored one up, the answer's logits alone
loop  ROME's way: per layer one forward pass of the whole model over the clean row and all corrupted
      ones, logits at all positions, hooks that put the clean outputs back

Both trace the same layers with the same noise; the effects are compared. The loop takes as long at
one layer as at another: unless --every-layer is given it is timed at three layers and scaled, and
the table says so. Multiply-adds count the weights of blocks and output head (no attention scores).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.lga import machine_rate
from bench.shapes import Case, cases
from goldenlayers.locators.base import Request
from goldenlayers.locators.traced import KnownFact, Noise, known_facts, noise_of
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.passes.restoring import Restorable, Restoration, find_restorable
from goldenlayers.passes.tracing import GROWING, trace


@torch.no_grad()
def loop(
    case: Case, fact: KnownFact, noise: torch.Tensor, kind: str, layers: list[int],
    places: Restorable,
) -> np.ndarray:  # fmt: skip
    """(layers, draws) probabilities of the answer's first token."""
    row = fact.row
    ids = torch.tensor([row.ids] * (1 + len(noise)))

    def corrupt(module, args, output):
        output = output.clone()
        output[1:, row.first : row.last + 1] += noise.to(output)
        return output

    def restore(module, args, output):
        out = output[0] if isinstance(output, tuple) else output
        out[1:, row.last] = out[0, row.last]
        return output

    found = []
    for layer in layers:
        handles = [case.model.get_input_embeddings().register_forward_hook(corrupt)]
        handles += [
            case.model.get_submodule(name).register_forward_hook(restore)
            for name in places.names(kind, layer).values()
        ]
        try:
            logits = case.model(input_ids=ids, use_cache=False).logits
        finally:
            for handle in handles:
                handle.remove()
        found.append(logits[1:, -1].softmax(-1)[:, row.answer].double().numpy())
    return np.stack(found)


def run(
    case: Case, known: list[KnownFact], noise: Noise, kind: str, window: int, every: bool,
    rate: float,
) -> list[str]:  # fmt: skip
    sites = find_sites(case.model)
    depth = len(sites)
    places = find_restorable(case.model, sites, [kind], window)
    layers = list(range(depth)) if every else [0, depth // 2, depth - 1]
    block = sum(p.numel() for p in case.model.get_submodule(sites[0].block).parameters())
    head = case.model.get_output_embeddings().weight.numel()
    seconds, loop_seconds, error, scale, ours_work, loop_work = 0.0, 0.0, 0.0, 0.0, 0, 0
    for fact in known:
        own, row = noise.of(fact), fact.row
        wanted = [Restoration(kind, layer, row.last) for layer in range(depth)]
        start = time.perf_counter()
        found = trace(case.model, sites, row, own, wanted, places)
        seconds += time.perf_counter() - start
        assert found.computed == GROWING, found.computed
        start = time.perf_counter()
        expected = loop(case, fact, own, kind, layers, places)
        loop_seconds += (time.perf_counter() - start) * depth / len(layers)
        error = max(error, float(np.abs(found.restored[layers] - expected).max()))
        scale = max(scale, float(np.abs(found.effects).max()))
        rows = 1 + len(own)
        ours_work += block * (found.whole_tokens * depth + found.token_layers)
        ours_work += head * (rows + len(own) * depth)
        loop_work += depth * rows * len(row.ids) * (block * depth + head)
    n = len(known)
    return [
        kind,
        f"{seconds / n:.2f}",
        f"{loop_seconds / n:.2f}" + ("" if every else f" (scaled from {len(layers)} layers)"),
        f"{loop_seconds / seconds:.1f}",
        f"{ours_work / n / 1e9:.0f} / {loop_work / n / 1e9:.0f}",
        f"{loop_work / ours_work:.1f}",
        f"{2e-9 * ours_work / seconds:.0f} / {2e-9 * loop_work / loop_seconds:.0f}",
        f"{2 * ours_work / seconds / rate:.0%}",
        f"{error:.1e} ({scale:.2f})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--facts", type=int, default=2)
    parser.add_argument("--kinds", default="mlp,state")
    parser.add_argument("--window", type=int, default=10)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--every-layer", action="store_true")
    args = parser.parse_args()
    (case,) = cases(["bundled"], args.facts)
    sites = find_sites(case.model)
    with untouched(case.model):
        request = Request(case.model, case.tokenizer, case.facts, sites, sites)
        known, _ = known_facts(request)
        noise = noise_of(request, known, args.draws, 3.0)
        rate = machine_rate()
        table = Table(
            title=f"Causal tracing, bundled model, {len(known)} known facts, {args.draws} draws, "
            f"window {args.window}; one product runs at {rate / 1e9:.0f} GFLOP/s"
        )
        for column in (
            "kind", "ours s/fact", "loop s/fact", "loop/ours", "G multiply-adds ours / loop",
            "their ratio", "GFLOP/s ours / loop", "of float32 rate", "error in p (largest effect)",
        ):  # fmt: skip
            table.add_column(column, justify="right")
        places = find_restorable(case.model, sites, [], 1)
        loop(case, known[0], noise.of(known[0]), "state", [0], places)  # a warm-up
        for kind in args.kinds.split(","):
            table.add_row(*run(case, known, noise, kind, args.window, args.every_layer, rate))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
