"""How many edits does a choice need? Staged, against brute force on the same proxy facts.

    python tools/research/sparse.py [FILE...] [--proxy 12]

Reads what comparisons kept (facts.csv; those of docs/results if no file is named: half a of four
data sets, and the bundled facts with six editors): what each test fact contributes to the score at
each layer. Of these facts `--proxy` are drawn; brute force chooses on all their edits, `staged` on
a share of them (goldenlayers.locators.close_in), and beside it as many edits are spent on fewer
facts at every layer. Both are judged on the facts that are left. Excess in points, with its 95 %
interval over facts and draws.
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

from goldenlayers.locators.close_in import close_in
from goldenlayers.sweep.objective import ties

Floats = NDArray[np.float64]
DOCS = Path(__file__).parents[2] / "docs" / "results"
SHARES = (0.05, 0.075, 0.2)


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
        p
        for pattern in ("data-sets/*/facts.csv", "editors/*-facts.csv")
        for p in DOCS.glob(pattern)
        if len(read(p)) > 2 * args.proxy
    )
    cells = {name_of(p): read(p) for p in paths}
    table = Table(title=f"excess over brute force on the same {args.proxy} facts, points (95 %)")
    table.add_column("edits")
    for name in (*cells, "mean"):
        table.add_column(name, justify="right")
    for share in SHARES:
        for what, chooser in (("staged", staged), ("fewer facts", fewer)):
            found = [
                excess(each, share, chooser, args.proxy, args.draws, args.resamples, args.seed)
                for each in cells.values()
            ]
            table.add_row(
                f"{share:.1%}, {what}", *(f"{100 * m:+.1f} ({100 * a:+.1f} to {100 * b:+.1f})"
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


def staged(each: Floats, share: float, rng: np.random.Generator) -> int:
    """Choose by a share of the edits, in rounds; (n, L) -> position."""
    n, depth = each.shape
    return close_in(
        n, depth, round(share * n * depth),
        lambda facts, layers: {"contribution": each[np.ix_(facts, layers)]},
        seed=int(rng.integers(2**31)),
    ).best  # fmt: skip


def fewer(each: Floats, share: float, rng: np.random.Generator) -> int:
    """Choose by edits of a share of the facts at every layer."""
    n = max(1, round(share * len(each)))
    return ties(each[rng.permutation(len(each))[:n]].mean(0))[0]


def excess(
    each: Floats, share: float, chooser: Chooser, proxy: int, draws: int, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Return the mean excess and its interval."""
    rng = np.random.default_rng(seed)
    n = len(each)
    mean = _mean(each, np.arange(n), share, chooser, proxy, draws, rng)
    again: Sequence[float] = [
        _mean(each, np.unique(rng.integers(n, size=n)), share, chooser, proxy, 4, rng)
        for _ in range(resamples)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    return mean, float(low), float(high)


def _mean(
    each: Floats, facts: NDArray[np.intp], share: float, chooser: Chooser, proxy: int, draws: int,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Mean over draws; of resampled facts, as large a share is drawn as of all."""
    size = max(1, min(len(facts) - 1, round(proxy * len(facts) / len(each))))
    lost = []
    for _ in range(draws):
        order = rng.permutation(facts)
        mine, left = each[order[:size]], each[order[size:]].mean(0)
        lost.append(left[ties(mine.mean(0))[0]] - left[chooser(mine, share, rng)])
    return float(np.mean(lost))


if __name__ == "__main__":
    main()
