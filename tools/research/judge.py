"""How far choosers are from brute force on the same facts: the table of the study.

    python tools/research/judge.py docs/research/cells/*.npz [--proxy 20] [--json FILE]
    python tools/research/judge.py CELLS... --registered docs/research/registered.json

Of each cell's facts `--proxy` (half of them, if nothing is said) are drawn at random, a layer is
chosen on them by each chooser and by brute force (the oracle floor), and the choices are judged on
the facts that are left. Excess: test score at brute force's layer less that at the chooser's, in
points; the mean over draws. Intervals are over facts and draws: the facts are resampled, the draws
made anew, and a fact that was drawn twice is on one side. The difference from LGA is taken draw by
draw. With --registered the verdict on the chooser that was registered is told, by the rule that was
registered with it.
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
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from choosers import BASELINES, CANDIDATES, EDITING, TRUTH, Chooser, Floats, Seen

from goldenlayers.metrics.scores import MEAN_OF
from goldenlayers.sweep.objective import LayerScores, ties


@dataclass(frozen=True)
class Excess:
    """What a chooser loses in one cell, shares of one.

    Attributes:
        mean: Excess over brute force's choice on the same proxy facts.
        low: Lower end of the 95 % interval.
        high: Upper end.
        than_lga: Mean excess less LGA's.
        than_lga_low: Lower end of its interval.
        than_lga_high: Upper end.
        layers: By layer, the share of draws that chose it, of those that were chosen.
        resampled: (R,) the mean excess of each resample of the facts.
        resampled_than_lga: (R,) the same less LGA's.
    """

    mean: float
    low: float
    high: float
    than_lga: float
    than_lga_low: float
    than_lga_high: float
    layers: Mapping[int, float]
    resampled: Floats
    resampled_than_lga: Floats

    def told(self) -> dict[str, Any]:
        """Return it for JSON, without the resamples."""
        return {k: v for k, v in vars(self).items() if not k.startswith("resampled")}


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
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    choosers = {**BASELINES, **CANDIDATES, **EDITING}
    found, spent = {}, {}
    for path in args.cells:
        with np.load(path, allow_pickle=False) as arrays:
            seen = {name: arrays[name] for name in arrays.files}
        proxy = args.proxy or len(seen["facts"]) // 2
        spent[path.stem] = float(seen["staged_seconds"] / seen["staged_sweep_seconds"])
        found[path.stem] = judge(
            seen, choosers, proxy, args.draws, args.resamples, args.objective, args.seed
        )
    for table in tables(found):
        Console(width=160).print(table)
    for cell, share in spent.items():
        print(f"{cell}: staged took {share:.1%} of brute force's time on the same facts")
    if args.registered:
        rule = json.loads(args.registered.read_text(encoding="utf-8"))
        print("\n".join(verdict(found, spent, rule)))
    if args.json:
        data = {c: {k: e.told() for k, e in one.items()} for c, one in found.items()}
        args.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def judge(
    seen: Seen, choosers: Mapping[str, Chooser], proxy: int, draws: int, resamples: int,
    objective: str, seed: int,
) -> dict[str, Excess]:  # fmt: skip
    """Judge choosers in one cell."""
    n = len(seen["facts"])
    if not 0 < proxy < n:
        raise SystemExit(f"--proxy {proxy}: the cell has {n} facts; some must be left to judge on")
    truth = LayerScores(
        tuple(map(str, seen["facts"])), tuple(map(int, seen["layers"])),
        {m: seen[TRUTH + m] for m in MEAN_OF},
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    once = np.ones(n, dtype=int)
    losses, chosen = _draws(seen, truth, choosers, once, proxy, draws, objective, rng)
    each = []
    for _ in range(resamples):
        counts = np.bincount(rng.integers(n, size=n), minlength=n)
        few, _ = _draws(seen, truth, choosers, counts, proxy, 4, objective, rng)
        each.append({name: values.mean() for name, values in few.items()})
    lga = np.array([one["lga"] for one in each])
    out = {}
    for name in choosers:
        boot = np.array([one[name] for one in each])
        low, high = np.quantile(boot, [0.025, 0.975])
        than_low, than_high = np.quantile(boot - lga, [0.025, 0.975])
        layers, times = np.unique(chosen[name], return_counts=True)
        out[name] = Excess(
            float(losses[name].mean()), float(low), float(high),
            float((losses[name] - losses["lga"]).mean()), float(than_low), float(than_high),
            {int(seen["layers"][j]): float(t / draws) for j, t in zip(layers, times, strict=True)},
            boot, boot - lga,
        )  # fmt: skip
    return out


def _draws(
    seen: Seen, truth: LayerScores, choosers: Mapping[str, Chooser], counts: Floats, proxy: int,
    draws: int, objective: str, rng: np.random.Generator,
) -> tuple[dict[str, Floats], dict[str, list[int]]]:  # fmt: skip
    """Excess and position of each choice; facts count as often as they were resampled."""
    losses: dict[str, list[float]] = {name: [] for name in choosers}
    chosen: dict[str, list[int]] = {name: [] for name in choosers}
    there = np.flatnonzero(counts)
    for _ in range(draws):
        order = rng.permutation(there)
        # so many of the different facts that those drawn twice fill the proxy set
        size = max(1, min(len(order) - 1, round(proxy * len(order) / counts.sum())))
        weights = np.zeros(len(counts))
        weights[order[:size]] = counts[order[:size]]
        rows = np.repeat(np.arange(len(counts)), weights.astype(int))
        left = np.where(weights > 0, 0, counts).astype(float)
        test = truth.by_layer(objective, left)
        best = ties(truth.by_layer(objective, weights))[0]
        proxies = {name: x[rows] for name, x in seen.items() if x.ndim == 2}
        blind = {name: x for name, x in proxies.items() if not name.startswith(TRUTH)}
        for name, chooser in choosers.items():
            at = ties(chooser(proxies if name in EDITING else blind))[0]
            chosen[name].append(at)
            losses[name].append(float(test[best] - test[at]))
    return {name: np.array(values) for name, values in losses.items()}, chosen


def verdict(
    found: Mapping[str, Mapping[str, Excess]], spent: Mapping[str, float], rule: Mapping[str, Any]
) -> list[str]:
    """Return what is to be said of the registered chooser, a line each.

    Args:
        found: By cell and chooser.
        spent: By cell, the time of `staged` as a share of brute force's on the same facts.
        rule: `chooser`, `mean_at_most`, `upper_at_most` and `time_at_most`, shares of one.
    """
    cells = {cell: one[rule["chooser"]] for cell, one in found.items()}
    whole = np.mean([e.resampled for e in cells.values()], axis=0)  # (R,)
    against = np.mean([e.resampled_than_lga for e in cells.values()], axis=0)
    mean = float(np.mean([e.mean for e in cells.values()]))
    than = float(np.mean([e.than_lga for e in cells.values()]))
    low, high = np.quantile(whole, [0.025, 0.975])
    than_low, than_high = np.quantile(against, [0.025, 0.975])
    time = float(np.mean(list(spent.values())))
    met = {
        f"mean excess {_points(mean)}, at most {_points(rule['mean_at_most'])}":
            mean <= rule["mean_at_most"],
        f"95 % interval {_points(low)} to {_points(high)}, its upper end at most "
        f"{_points(rule['upper_at_most'])}": high <= rule["upper_at_most"],
        f"less LGA's {_points(than)} ({_points(than_low)} to {_points(than_high)}), under zero":
            than_high < 0,
        f"time {time:.1%} of brute force's on the same facts, at most {rule['time_at_most']:.0%}":
            time <= rule["time_at_most"],
    }  # fmt: skip
    lines = [f"{rule['chooser']}, {len(cells)} cells"]
    lines += [f"{'met' if yes else 'NOT MET'}: {what}" for what, yes in met.items()]
    for cell, one in cells.items():
        decided = (
            "within" if one.high <= rule["upper_at_most"]
            else "beyond" if one.low > rule["upper_at_most"] else "undecided"
        )  # fmt: skip
        lines.append(
            f"{cell}: {decided} ({_points(one.low)} to {_points(one.high)}), time {spent[cell]:.1%}"
        )
    lines.append("confirmed" if all(met.values()) else "not confirmed")
    return lines


def tables(found: Mapping[str, Mapping[str, Excess]]) -> list[Table]:
    """Return the excess by chooser and cell, and the mean over cells."""
    excess = Table(title="excess over brute force on the same proxy facts, points (95 %)")
    against = Table(title="the same less LGA's")
    for table in (excess, against):
        table.add_column("chooser")
        for cell in (*found, "mean"):
            table.add_column(cell, justify="right")
    for name in next(iter(found.values())):
        row = [one[name] for one in found.values()]
        excess.add_row(
            name, *(f"{_points(e.mean)} ({_points(e.low)} to {_points(e.high)})" for e in row),
            _points(float(np.mean([e.mean for e in row]))),
        )  # fmt: skip
        against.add_row(
            name,
            *(f"{_points(e.than_lga)} ({_points(e.than_lga_low)} to {_points(e.than_lga_high)})"
              for e in row),
            _points(float(np.mean([e.than_lga for e in row]))),
        )  # fmt: skip
    return [excess, against]


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


if __name__ == "__main__":
    main()
