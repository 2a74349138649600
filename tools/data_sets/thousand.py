"""Edit 1,000 CounterFact facts in batches of 100, by several editors: docs/editing.md.

    python tools/data_sets/thousand.py FOLDER --out out/thousand [--only memit,r-rome --limit 100]
                                              [--keep docs/results/editors --picture FILE]

FOLDER holds the published files, anywhere in it. Half a of CounterFact flattened, and of the
original records as many as lack to 1,000; the rest of these choose the layer. Each command is
printed before it runs. Started again it goes on where it was stopped; with --limit 0 nothing is
run. In the end all that is there, whole or not, is printed as the table of docs/editing.md. What
--keep holds of runs that are not in --out stays, and is drawn too.
Half a only (CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from run import find_files, golden_layers

from goldenlayers.editors.edit import Edit
from goldenlayers.facts import Fact
from goldenlayers.facts.read import read_facts
from goldenlayers.report.sequence_plot import plot_sequences
from goldenlayers.study.milestone import EditSequence, Milestone, layers_in_words
from goldenlayers.study.sequence_files import write_csv
from goldenlayers.study.unfinished import STATE, UNFINISHED

# By name: the editor and its settings. AlphaEdit's published values for LLaMA-3 grow slowly: it is
# run with those of the others too (what MEMIT's and ROME's files say for LLaMA-2). R-ROME is run as
# EasyEdit sets it, without a covariance, and with one, as published.
AS_THE_OTHERS = ("--lr", "0.5", "--weight-decay", "0.001", "--clamp", "4")
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "memit": ("memit", ()),
    "emmet": ("emmet", ()),
    "alphaedit": ("alphaedit", ()),
    "alphaedit-values": ("alphaedit", AS_THE_OTHERS),
    "r-rome": ("r-rome", ()),
    "r-rome-covariance": ("r-rome", ("--covariance", "model")),
}
TITLES = {
    "alphaedit-values": "alphaedit with memit's values",
    "r-rome-covariance": "r-rome with a covariance",
}
FILES = ("counterfact-flat", "counterfact")
FACTS = 1000
KEPT = "thousand.csv"
TOLD = (100, 200, 300, 500, 700, 1000)  # edits at which the table has a row
SCORES = ("rewrite", "rephrase", "locality")
ERROR = "_standard_error"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds the published files")
    parser.add_argument("--out", type=Path, default=Path("out/thousand"))
    parser.add_argument("--only", default=",".join(RUNS), help="names of runs, with commas")
    parser.add_argument("--limit", type=int, default=FACTS, help="edit the first so many")
    parser.add_argument("--keep", type=Path, help="folder for the table's numbers")
    parser.add_argument("--picture", type=Path, help="file for the picture")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only.split(",") if args.limit else ():
        run(name, args.folder, args.out, args.limit)
    path = (args.keep or args.out) / KEPT
    before = kept(path) if args.keep and path.exists() else {}
    found = [
        s for name in RUNS
        if (s := sequence_of(name, args.out) or before.get(TITLES.get(name, name))) is not None
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(found, path)
    if args.picture:
        plot_sequences(found, args.picture)
    print("\n".join(table(path)))


def run(name: str, folder: Path, out: Path, limit: int) -> None:
    """Run what is not there yet."""
    if (out / name / "sequence.json").is_file():
        return
    path = out / "facts.jsonl"
    records = [json.dumps(fact.to_record(), ensure_ascii=False) for fact in chosen(folder)]
    path.write_text("\n".join(records) + "\n", encoding="utf-8")
    editor, settings = RUNS[name]
    golden_layers(
        "evaluate", "--facts", str(path), "--limit", str(limit), "--layers", "auto",
        "--sequential", "--batch", "100", "--every", "100", "--editor", editor, *settings,
        "--resume", "--out", str(out / name),
    )  # fmt: skip


def chosen(folder: Path) -> list[Fact]:
    """Return the facts: 1,000 to edit, and the others to choose the layer on."""
    files = find_files(folder)
    facts = [
        replace(fact, id=f"{name}-{fact.id}")
        for name in FILES
        for fact in read_facts(files[name]).half("a")
    ]
    return [replace(f, split="test" if i < FACTS else "proxy") for i, f in enumerate(facts)]


def sequence_of(name: str, out: Path) -> EditSequence | None:
    """Return what there is of a run, its outcomes left out; None if there is nothing."""
    editor, _ = RUNS[name]
    whole, part = out / name / "sequence.json", out / name / UNFINISHED / editor / STATE
    if whole.is_file():
        (found,) = read(whole)["sequences"]
        layers = found["layers"]
    elif part.is_file():
        found = read(part)
        if found["edit"] is None:
            return None
        layers = sorted({u.layer for u in Edit.load(part.parent / found["edit"]).updates})
    else:
        return None
    milestones = tuple(Milestone(**m) for m in found["milestones"])
    return EditSequence(TITLES.get(name, name), tuple(layers), milestones, ())


def kept(path: Path) -> dict[str, EditSequence]:
    """Return what a table of numbers holds, by the title of the run."""
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["editor"], []).append(row)
    return {
        title: EditSequence(
            title, tuple(int(n) for n in some[0]["layers"].split()), tuple(map(_milestone, some)),
            (),
        )
        for title, some in rows.items()
    }  # fmt: skip


def _milestone(row: dict[str, str]) -> Milestone:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    def growth(name: str) -> float:
        return math.nan if (value := number(name)) is None else value

    names = [c.removesuffix(ERROR) for c in row if c.endswith(ERROR)]
    return Milestone(
        int(row["edits"]), {n: number(n) for n in names}, growth("weight_growth"),
        growth("largest_update"), int(row["converged"]), {n: number(n + ERROR) for n in names},
        growth("seconds"),
    )  # fmt: skip


def table(path: Path) -> list[str]:
    """Return the table as lines of markdown: scores in per cent, fluency in bits."""
    lines = [
        f"| editor | edits | took | {' | '.join(SCORES)} | fluency | perplexity | "
        "weight's growth | seconds a fact |",
        f"| --- | --: | --: |{' --: |' * (len(SCORES) + 4)}",
    ]
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            edits = int(row["edits"])
            if edits not in TOLD:
                continue
            scores = " | ".join(
                f"{100 * float(row[s]):.1f} ± {100 * float(row[s + ERROR]):.1f}" for s in SCORES
            )
            where = layers_in_words([int(n) for n in row["layers"].split()])
            lines.append(
                f"| {row['editor']}, {where} | {edits:,} | {row['converged']} | {scores} | "
                f"{told(row['fluency'], '.2f')} | {told(row['perplexity'], ',.1f')} | "
                f"{told(row['weight_growth'], '.2f')} | {float(row['seconds']) / edits:.1f} |"
            )
    return lines


def told(value: str, form: str) -> str:
    """Return a number of the table; nothing stands there where it was not finite."""
    return format(float(value), form) if value else "not finite"


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
