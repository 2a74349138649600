"""How many edits does a choice need? Thin sweeps, against brute force on the same proxy facts.

    python tools/research/sparse.py [FILE...] [--proxy 12]

Reads what comparisons kept (facts.csv; those of docs/results/data-sets if no file is named): what
each test fact contributes to the score at each layer. Of these
facts `--proxy` are drawn; brute force chooses on all their edits, a thin sweep on some: every fact
at every k-th layer, each fact beginning at another one. What is missing is filled in: a number per
fact and a curve over the layers, smoothed along the depth. Both are judged on the facts that are
left. Beside it, as many edits spent on fewer facts at every layer. Excess in points, with its 95 %
interval over facts and draws. Half a only.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from goldenlayers.sweep.objective import ties

Floats = NDArray[np.float64]
DOCS = Path(__file__).parents[2] / "docs" / "results"
# of the smoothing: how far layers resemble each other, as a share of the depth; how much layers
# differ, and how much a fact's score varies around its own level, shares of one
REACH, SPREAD, NOISE = 0.1, 0.06, 0.25
STEPS = (30, 15, 10, 5, 3, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("cells", nargs="*", type=Path, help="facts.csv of comparisons")
    parser.add_argument("--proxy", type=int, default=12)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    paths = args.cells or sorted(
        p for p in DOCS.glob("data-sets/*/facts.csv") if len(read(p)) > 2 * args.proxy
    )
    cells = {name_of(p): read(p) for p in paths}
    table = Table(title=f"excess over brute force on the same {args.proxy} facts, points (95 %)")
    table.add_column("edits")
    for name in (*cells, "mean"):
        table.add_column(name, justify="right")
    for k in STEPS:
        for what, chooser in (("thin", thin), ("fewer facts", fewer)):
            found = [
                excess(each, k, chooser, args.proxy, args.draws, args.resamples, args.seed)
                for each in cells.values()
            ]
            table.add_row(
                f"1 in {k}, {what}", *(f"{100 * m:+.1f} ({100 * a:+.1f} to {100 * b:+.1f})"
                                       for m, a, b in found),
                f"{100 * float(np.mean([m for m, _, _ in found])):+.1f}",
            )  # fmt: skip
    Console(width=40 + 24 * len(cells)).print(table)


def name_of(path: Path) -> str:
    return path.parent.name if path.name == "facts.csv" else path.name.removesuffix("-facts.csv")


def read(path: Path) -> Floats:
    """Return what each fact contributes at each layer, (N, L)."""
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([[float(v) for v in row[1:]] for row in list(csv.reader(file))[1:]])


Chooser = Callable[[Floats, int, np.random.Generator], int]


def thin(each: Floats, k: int, rng: np.random.Generator) -> int:
    """Choose by edits of every fact at every k-th layer; (n, L) -> position."""
    n, depth = each.shape
    seen = np.full_like(each, np.nan)
    for i, first in enumerate(rng.permutation(max(n, k))[:n] % k):
        seen[i, first::k] = each[i, first::k]
    return ties(filled(seen, REACH * depth))[0]


def fewer(each: Floats, k: int, rng: np.random.Generator) -> int:
    """Choose by edits of a k-th of the facts at every layer."""
    n = max(1, round(len(each) / k))
    return ties(each[rng.permutation(len(each))[:n]].mean(0))[0]


def filled(seen: Floats, reach: float) -> Floats:
    """Return the curve over layers of facts that were edited at some, (n, L) -> (L,).

    A fact's score is a level of its own plus the layer's; the curve is a Gaussian process along
    the depth, with exponential covariance.
    """
    there = np.isfinite(seen)
    values = np.where(there, seen, 0.0)
    count = there.sum(0)
    level, curve = np.zeros(len(seen)), np.zeros(seen.shape[1])
    for _ in range(20):  # two-way fit by turns
        curve = np.where(there, values - level[:, None], 0.0).sum(0) / np.maximum(count, 1)
        level = np.where(there, values - curve, 0.0).sum(1) / np.maximum(there.sum(1), 1)
        level -= level.mean()
    known = np.flatnonzero(count)
    weights = count[known].astype(float)
    mean = float(np.average(curve[known], weights=weights))
    apart = np.abs(np.subtract.outer(np.arange(seen.shape[1]), known))
    prior = SPREAD**2 * np.exp(-apart / reach)  # (L, known)
    noisy = prior[known] + np.diag(NOISE**2 / weights)
    return np.asarray(mean + prior @ np.linalg.solve(noisy, curve[known] - mean))


def excess(
    each: Floats, k: int, chooser: Chooser, proxy: int, draws: int, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Return the mean excess and its interval."""
    rng = np.random.default_rng(seed)
    n = len(each)
    mean = _mean(each, np.arange(n), k, chooser, proxy, draws, rng)
    again: Sequence[float] = [
        _mean(each, np.unique(rng.integers(n, size=n)), k, chooser, proxy, 4, rng)
        for _ in range(resamples)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    return mean, float(low), float(high)


def _mean(
    each: Floats, facts: NDArray[np.intp], k: int, chooser: Chooser, proxy: int, draws: int,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Mean over draws; of resampled facts, as large a share is drawn as of all."""
    size = max(1, min(len(facts) - 1, round(proxy * len(facts) / len(each))))
    lost = []
    for _ in range(draws):
        order = rng.permutation(facts)
        mine, left = each[order[:size]], each[order[size:]].mean(0)
        lost.append(left[ties(mine.mean(0))[0]] - left[chooser(mine, k, rng)])
    return float(np.mean(lost))


if __name__ == "__main__":
    main()
