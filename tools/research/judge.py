"""How far choosers are from brute force on the same facts: the tables of the study.

    python tools/research/judge.py docs/research/cells/*.npz [--proxy 20] [--json FILE]
    python tools/research/judge.py CELLS... --registered docs/research/registered.json
        --measured src/goldenlayers/locators/measured.json

Of each cell's facts `--proxy` (half of them, if nothing is said) are drawn at random, a layer is
chosen on them by each chooser and by brute force (the oracle floor), and the choices are judged on
the facts that are left. Regret: test score at the best layer less that at the chosen one, the best
layer of each half of the facts judged on the other; the floor is brute force's. Excess: the regret
less the floor, so that the best layer drops out of it. All in points, means over draws. Intervals
are over facts and draws: the facts are resampled, the draws made anew, and a fact that was drawn
twice is on one side. Differences from LGA and other baselines are taken draw by draw. With
--registered the verdict on the chooser that was registered is told, by the rule that was registered
with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))
from choosers import BASELINES, CANDIDATES, EDITING, RANDOM, TRUTH, Chooser, Floats, Seen, raced
from measured import write_measured
from page import told
from verdict import by_cell, over_cells, scores_by_layer, verdict

from goldenlayers.metrics.scores import MEAN_OF
from goldenlayers.sweep.objective import LayerScores, ties

QUANTILES = (0.025, 0.975)
FEW = 4  # draws of each resample
WIDTH = 230


@dataclass(frozen=True)
class Excess:
    """What a chooser loses in one cell, shares of one.

    Attributes:
        mean: Excess over brute force's choice on the same proxy facts.
        low: Lower end of the 95 % interval.
        high: Upper end.
        regret: Cross-fitted, of which `floor` is brute force's.
        floor: Regret of brute force on the same proxy facts.
        than: By baseline, the excess less the baseline's, and the ends of its interval.
        layers: By layer, the share of draws that chose it.
        resampled: (R,) the mean excess of each resample of the facts.
    """

    mean: float
    low: float
    high: float
    regret: float
    floor: float
    than: Mapping[str, tuple[float, float, float]]
    layers: Mapping[int, float]
    resampled: Floats

    def told(self) -> dict[str, Any]:
        """Return it for JSON, without the resamples."""
        return {k: v for k, v in vars(self).items() if k != "resampled"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("cells", nargs="+", type=Path, help="what collect.py wrote")
    parser.add_argument("--proxy", type=int, help="proxy facts; half of a cell's if not given")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--objective", default="mean")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--registered", type=Path, help="the choice and its rule")
    parser.add_argument("--json", type=Path, help="write all figures, cell by cell")
    parser.add_argument(
        "--measured", type=Path, help="write what the package says of its methods' choices"
    )
    parser.add_argument("--scores", action="store_true", help="print the scores by layer alone")
    args = parser.parse_args()
    if args.scores:
        for path in args.cells:
            Console().print(scores_by_layer(path.stem, _read(path)))
        return
    rule = json.loads(args.registered.read_text(encoding="utf-8")) if args.registered else None
    if rule is not None:
        cells = {path.stem for path in args.cells}
        if cells != set(rule["cells"]):
            parser.error(
                f"{args.registered} is about {', '.join(sorted(rule['cells']))}; "
                f"found {', '.join(sorted(cells))}"
            )
        for name in ("proxy", "draws", "resamples", "objective", "seed"):
            setattr(args, name, rule[name])
    found, spent, races, models = {}, {}, {}, {}
    for path in args.cells:
        seen = _read(path)
        proxy = args.proxy or len(seen["facts"]) // 2
        spent[path.stem] = share_of_time(seen)
        found[path.stem] = judge(
            seen, {**BASELINES, **CANDIDATES, **EDITING}, proxy, args.draws, args.resamples,
            args.objective, args.seed,
        )  # fmt: skip
        if args.measured:
            models[path.stem] = (str(seen["architecture"]), int(seen["parameters"]))
        races[path.stem] = edits_of_race(seen, proxy, args.seed)
    console = Console(width=WIDTH)
    console.print(over_cells(found))
    console.print(by_cell(found, [*BASELINES, RANDOM, *EDITING], spent))
    print(
        f"verified makes {np.mean(list(races.values())):.0%} of brute force's edits, "
        f"{min(races.values()):.0%} to {max(races.values()):.0%} by cell"
    )
    said = [] if rule is None else verdict(found, spent, rule)
    for line in said:
        print(line)
    if args.measured:
        write_measured(args.measured, found, models)
    if args.json:
        data = told(found, spent, races, said)
        args.json.write_text(json.dumps(data) + "\n", encoding="utf-8")


def _read(path: Path) -> Seen:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def judge(
    seen: Seen, choosers: Mapping[str, Chooser], proxy: int, draws: int, resamples: int,
    objective: str, seed: int,
) -> dict[str, Excess]:  # fmt: skip
    """Judge choosers in one cell, and a layer at random."""
    n = len(seen["facts"])
    if not 0 < proxy < n:
        raise SystemExit(f"--proxy {proxy}: the cell has {n} facts; some must be left to judge on")
    truth = LayerScores(
        tuple(map(str, seen["facts"])), tuple(map(int, seen["layers"])),
        {m: seen[TRUTH + m] for m in MEAN_OF},
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    once = np.ones(n, dtype=int)
    whole = _draws(seen, truth, choosers, once, proxy, draws, objective, rng)
    each = []
    for _ in range(resamples):
        counts = np.bincount(rng.integers(n, size=n), minlength=n)
        each.append(_draws(seen, truth, choosers, counts, proxy, FEW, objective, rng).means)
    floor = float(np.nanmean(whole.floors))
    out = {}
    for name, mean in whole.means.items():
        again = np.array([one[name] for one in each])  # (R,)
        low, high = np.quantile(again, QUANTILES)
        than = {
            base: (
                mean - whole.means[base],
                *(float(q) for q in np.quantile(again - [o[base] for o in each], QUANTILES)),
            )
            for base in (*BASELINES, RANDOM)
            if base in whole.means
        }
        layers, times = np.unique(whole.chosen.get(name, []), return_counts=True)
        out[name] = Excess(
            mean, float(low), float(high), floor + mean, floor, than,
            {int(seen["layers"][int(j)]): float(t / draws)
             for j, t in zip(layers, times, strict=True)},
            again,
        )  # fmt: skip
    return out


def share_of_time(seen: Seen) -> float:
    """Return what `staged` took of brute force's time on the same facts.

    What a run takes besides its edits (hashing the weights, templates) brute force takes too.
    """
    staged = float(seen["staged_seconds"])
    besides = staged - float(seen.get("staged_edit_seconds", staged))
    return staged / (float(seen["staged_sweep_seconds"]) + besides)


def edits_of_race(seen: Seen, proxy: int, seed: int, draws: int = 20) -> float:
    """Return the share of brute force's edits that `verified` makes on so many facts."""
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(draws):
        rows = rng.permutation(len(seen["facts"]))[:proxy]
        over = raced({name: x[rows] for name, x in seen.items() if x.ndim == 2})
        edits = sum(e.facts for e in over.entrants.values())
        shares.append(edits / (proxy * len(seen["layers"])))
    return float(np.mean(shares))


@dataclass
class Draws:
    """What was lost and chosen in each draw, by chooser, and brute force's own regret."""

    losses: dict[str, list[float]]
    chosen: dict[str, list[int]]
    floors: list[float]

    @property
    def means(self) -> dict[str, float]:
        """Mean excess by chooser."""
        return {name: float(np.mean(values)) for name, values in self.losses.items()}


def _draws(
    seen: Seen, truth: LayerScores, choosers: Mapping[str, Chooser], counts: Floats, proxy: int,
    draws: int, objective: str, rng: np.random.Generator,
) -> Draws:  # fmt: skip
    """Draw proxy facts and choose; facts count as often as they were resampled."""
    out = Draws({name: [] for name in (*choosers, RANDOM)}, {name: [] for name in choosers}, [])
    there = np.flatnonzero(counts)
    for _ in range(draws):
        order = rng.permutation(there)
        # so many of the different facts that those drawn twice fill the proxy set
        size = max(1, min(len(order) - 1, round(proxy * len(order) / counts.sum())))
        weights = np.zeros(len(counts))
        weights[order[:size]] = counts[order[:size]]
        rows = rng.permutation(np.repeat(np.arange(len(counts)), weights.astype(int)))
        test = truth.by_layer(objective, np.where(weights > 0, 0.0, counts))
        best = ties(truth.by_layer(objective, weights))[0]
        proxies = {name: x[rows] for name, x in seen.items() if x.ndim == 2}
        proxies["layers"] = seen["layers"]
        blind = {name: x for name, x in proxies.items() if not name.startswith(TRUTH)}
        for name, chooser in choosers.items():
            at = ties(chooser(proxies if name in EDITING else blind))[0]
            out.chosen[name].append(at)
            out.losses[name].append(float(test[best] - test[at]))
        out.losses[RANDOM].append(float(test[best] - np.nanmean(test)))
        out.floors.append(_regret(truth, objective, order[size:], counts, best))
    return out


def _regret(truth: LayerScores, objective: str, left: Floats, counts: Floats, at: int) -> float:
    """Return the cross-fitted regret of a layer on facts that are left, in random order."""
    halves = []
    for some in (left[: len(left) // 2], left[len(left) // 2 :]):
        weights = np.zeros(len(counts))
        weights[some] = counts[some]
        halves.append(truth.by_layer(objective, weights))
    ways = [(one[ties(other)[0]] - one[at]) for one, other in (halves, halves[::-1])
            if np.isfinite(one).any() and np.isfinite(other).any()]  # fmt: skip
    return float(np.mean(ways)) if ways else float("nan")


if __name__ == "__main__":
    main()
