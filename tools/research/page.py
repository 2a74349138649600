"""The study's results as they are kept and shown: what judge.py --json writes, and its tables.

    python tools/research/page.py docs/research/confirmation.json

prints the tables of docs/research/README.md in Markdown. Excesses in points, 95 % in parentheses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from choosers import BASELINES, EDITING, RANDOM, STAGED
from verdict import Found, less, points, ranged, whole


def told(
    found: Found, spent: Mapping[str, float], races: Mapping[str, float], verdict: list[str]
) -> dict[str, Any]:
    """Return what is kept of a judgement, ready for JSON.

    Args:
        found: By cell and chooser.
        spent: By cell, the time of `staged` as a share of brute force's on the same facts.
        races: By cell, the edits of `verified` as a share of brute force's.
        verdict: What was said of the registered chooser; empty where none was.
    """
    names = list(next(iter(found.values())))
    bases = next(iter(next(iter(found.values())).values())).than
    return {
        "cells": {c: {k: e.told() for k, e in one.items()} for c, one in found.items()},
        "over": {
            name: {
                "excess": whole(found, name)[:3],
                "worst": max(one[name].mean for one in found.values()),
                "less": {base: less(found, name, base) for base in bases if base != name},
            }
            for name in names
        },
        "time": dict(spent),
        "verified_edits": dict(races),
        "verdict": verdict,
    }


def lines(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables, in Markdown."""
    bases = [*BASELINES, RANDOM]
    yield f"| chooser | excess | worst cell | {' | '.join(f'less {b}' for b in bases)} |"
    yield f"| --- |{' --: |' * (2 + len(bases))}"
    for name, one in data["over"].items():
        than = [ranged(*one["less"][b]) if b in one["less"] else "" for b in bases]
        yield _row(name, ranged(*one["excess"]), points(one["worst"]), *than)
    yield ""
    shown = [*BASELINES, RANDOM, *EDITING]
    yield f"| cell | floor | {' | '.join(shown)} | staged's time | verified's edits |"
    yield f"| --- |{' --: |' * (3 + len(shown))}"
    for cell, one in data["cells"].items():
        each = [ranged(*(one[name][k] for k in ("mean", "low", "high"))) for name in shown]
        yield _row(
            cell, points(one[shown[0]]["floor"]), *each, f"{100 * data['time'][cell]:.1f} %",
            f"{100 * data['verified_edits'][cell]:.0f} %",
        )  # fmt: skip
    yield ""
    yield f"| cell | regret of {STAGED} | {' | '.join(f'less {b}' for b in bases)} |"
    yield f"| --- |{' --: |' * (1 + len(bases))}"
    for cell, one in data["cells"].items():
        mine = one[STAGED]
        yield _row(cell, points(mine["regret"]), *(ranged(*mine["than"][b]) for b in bases))


def _row(name: str, *values: str) -> str:
    figures = " | ".join(values).replace("-", "−")
    return f"| {name} | {figures} |".replace("|  |", "| |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path, help="what judge.py --json wrote")
    args = parser.parse_args()
    data = json.loads(args.results.read_text(encoding="utf-8"))
    print("\n".join([*lines(data), "", *data["verdict"]]))


if __name__ == "__main__":
    main()
