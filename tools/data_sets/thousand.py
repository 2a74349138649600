"""Edit 1,000 CounterFact facts in batches of 100, by several editors: docs/editing.md.

    python tools/data_sets/thousand.py FOLDER --out out/thousand [--editor memit --limit 100]

FOLDER holds the published files, anywhere in it. Half a of CounterFact flattened, and of the
original records as many as lack to 1,000; the rest of these choose the layer. The command is
printed before it runs. Started again it goes on where it was stopped. Half a only
(CONTRIBUTING.md). In the end part of sequence.csv is printed as the table of docs/editing.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from run import find_files, golden_layers

from goldenlayers.facts import Fact
from goldenlayers.facts.read import read_facts

EDITORS = "memit,emmet,alphaedit,r-rome"
FILES = ("counterfact-flat", "counterfact")
FACTS = 1000
TOLD = (100, 200, 300, 500, 700, 1000)  # edits at which the table has a row
SCORES = ("rewrite", "rephrase", "locality")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds the published files")
    parser.add_argument("--out", type=Path, default=Path("out/thousand"))
    parser.add_argument("--editor", default=EDITORS, help="names, with commas")
    parser.add_argument("--limit", type=int, default=FACTS, help="edit the first so many")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "facts.jsonl"
    records = [json.dumps(fact.to_record(), ensure_ascii=False) for fact in chosen(args.folder)]
    path.write_text("\n".join(records) + "\n", encoding="utf-8")
    golden_layers(
        "evaluate", "--facts", str(path), "--limit", str(args.limit), "--layers", "auto",
        "--sequential", "--batch", "100", "--every", "100", "--editor", args.editor,
        "--resume", "--out", str(args.out),
    )  # fmt: skip
    print("\n".join(table(args.out / "sequence.csv")))


def chosen(folder: Path) -> list[Fact]:
    """Return the facts: 1,000 to edit, and the others to choose the layer on."""
    files = find_files(folder)
    facts = [
        replace(fact, id=f"{name}-{fact.id}")
        for name in FILES
        for fact in read_facts(files[name]).half("a")
    ]
    return [replace(f, split="test" if i < FACTS else "proxy") for i, f in enumerate(facts)]


def table(path: Path) -> list[str]:
    """Return the table as lines of markdown: scores in per cent, fluency in bits."""
    lines = [
        f"| editor | layers | edits | took | {' | '.join(SCORES)} | fluency | perplexity | "
        "weight's growth | seconds a fact |",
        f"| --- | --: | --: | --: |{' --: |' * (len(SCORES) + 4)}",
    ]
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            edits = int(row["edits"])
            if edits not in TOLD:
                continue
            layers = row["layers"].split()
            where = layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"
            scores = " | ".join(
                f"{100 * float(row[s]):.1f} ± {100 * float(row[f'{s}_standard_error']):.1f}"
                for s in SCORES
            )
            lines.append(
                f"| {row['editor']} | {where} | {edits:,} | {row['converged']} | {scores} | "
                f"{told(row['fluency'], '.2f')} | {told(row['perplexity'], ',.1f')} | "
                f"{told(row['weight_growth'], '.2f')} | {float(row['seconds']) / edits:.1f} |"
            )
    return lines


def told(value: str, form: str) -> str:
    """Return a number of the table; nothing stands there where it was not finite."""
    return format(float(value), form) if value else "not finite"


if __name__ == "__main__":
    main()
