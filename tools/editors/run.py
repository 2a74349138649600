"""Does the golden layer hold for the other editors? The table of docs/editing.md.

    python tools/editors/run.py --out out/editors [--only memit,ft-m] [--keep docs/results/editors]

For each editor the bundled test facts are edited at every layer, each fact alone, and the layers
that LGA and CMA choose on bundled proxy facts, and the middle one, are held against the best of all
(`golden-layers compare`); these layers are then scored with fluency (`golden-layers evaluate`). Of
an editor that takes a window, a layer is the last of one. FT and LoRA get every third layer and
fewer facts. Every command is printed before it runs. Started again it goes on where it was stopped.
--keep copies the small part: the rows of the table, and each fact's scores by layer. An editor that
was not run to its end is left out of the table.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

# the methods that choose a layer, and the best layer of all, by their names in the table
METHODS = {"lga": "LGA", "cma": "CMA", "middle": "middle", "best": "best of all"}
FACTS, FEW_FACTS, PROXY = 30, 10, 40
CLOSED_FORM = ("r-rome", "rome", "memit", "pmet", "emmet", "alphaedit")
TRAINED = ("ft-l", "ft-m", "lora")
KEPT = "layer-choice.json"
EVERY_THIRD = ",".join(map(str, range(0, 30, 3)))
SINGLE = ("rewrite", "rephrase", "locality", "portability")
SCORES = (*SINGLE, "mean", "fluency")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/editors"))
    parser.add_argument("--only", default=",".join((*CLOSED_FORM, *TRAINED)), help="with commas")
    parser.add_argument("--keep", type=Path, help="folder for the small part")
    args = parser.parse_args()
    names = args.only.split(",")
    for editor in names:
        study(editor, args.out)
    made = keep(args.out, args.keep) if args.keep else rows(args.out)
    print("\n".join(table(made)))


def study(editor: str, out: Path) -> None:
    """Run what is not there yet of one editor."""
    few = editor in TRAINED
    facts = FEW_FACTS if few else FACTS
    compared, scored = out / editor, out / f"{editor}-scores"
    if not (compared / "comparison.json").is_file():
        golden_layers(
            "compare", "--editor", editor, "--test", str(facts), "--proxy", str(PROXY),
            "--repeats", "1", "--methods", "lga,cma,middle", "--resume", "--out", str(compared),
            *(("--layers", EVERY_THIRD) if few else ()),
        )  # fmt: skip
    layers = ",".join(map(str, sorted(set(chosen(compared).values()))))
    if not (scored / "layers.json").is_file():
        golden_layers(
            "evaluate", "--editor", editor, "--limit", str(facts), "--layers", layers,
            "--no-generate", "--out", str(scored),
        )  # fmt: skip


def chosen(folder: Path) -> dict[str, int]:
    """Return the layer by method, of those that could choose one, and the best of all."""
    found = read(folder / "comparison.json")
    layers = {m["method"]: m["choices"][0]["layer"] for m in found["methods"] if m["choices"]}
    return layers | {"best": found["golden"]}


def rows(out: Path) -> list[dict[str, Any]]:
    """Return the rows of the table, of all editors that were compared to the end.

    All scores but fluency come of the comparison's own edits; it is open until they are evaluated.
    """
    found = []
    for editor in (*CLOSED_FORM, *TRAINED):
        if not (out / editor / "comparison.json").is_file():
            continue
        layers = chosen(out / editor)
        by_layer = scores_of(out / editor, out / f"{editor}-scores/layers.json")
        for method in METHODS:
            if method in layers:
                row = {"editor": editor, "method": method}
                row["layers"] = in_words(editor, layers[method])
                found.append(row | by_layer[layers[method]])
    return found


def scores_of(compared: Path, evaluated: Path) -> dict[int, dict[str, Any]]:
    """Return by layer how many facts took, and means and standard errors of the scores."""
    fluency = {}
    if evaluated.is_file():
        for one in read(evaluated)["layers"]:
            told = one["scores"]["scores"]["fluency"]
            fluency[one["layer"]] = [told["after"], told["standard_error"]]
    comparison = read(compared / "comparison.json")
    with (compared / "edits.csv").open(encoding="utf-8", newline="") as file:
        edits = list(csv.DictReader(file))
    found = {}
    for j, layer in enumerate(comparison["layers"]):
        here = [edit for edit in edits if int(edit["layer"]) == layer]
        scores = {name: mean_of([edit[name] for edit in here]) for name in SINGLE}
        test = comparison["test"]
        scores["mean"] = [test["score"][j], test["standard_error"][j]]
        scores["fluency"] = fluency.get(layer, [None, None])
        took = sum(edit["status"] == "converged" for edit in here)
        found[layer] = {"facts": len(here), "took": took, "scores": scores}
    return found


def mean_of(values: list[str]) -> list[float | None]:
    """Return mean and standard error of the values that are there."""
    there = [float(value) for value in values if value]
    if len(there) < 2:
        return [there[0] if there else None, None]
    return [statistics.fmean(there), statistics.stdev(there) / len(there) ** 0.5]


def keep(out: Path, docs: Path) -> list[dict[str, Any]]:
    """Copy the small part; return all rows that are kept. Editors not run here stay as they are."""
    docs.mkdir(parents=True, exist_ok=True)
    made = rows(out)
    new = dict.fromkeys(row["editor"] for row in made)
    for editor in new:
        shutil.copyfile(out / editor / "facts.csv", docs / f"{editor}-facts.csv")
    if (docs / KEPT).is_file():
        made += [row for row in read(docs / KEPT) if row["editor"] not in new]
    made.sort(key=lambda row: (*CLOSED_FORM, *TRAINED).index(row["editor"]))  # methods keep theirs
    (docs / KEPT).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return made


def table(made: list[dict[str, Any]]) -> list[str]:
    """Return the table as lines of markdown: means over facts, in per cent, fluency in bits."""
    lines = [
        f"| editor | chosen by | layers | took | {' | '.join(SCORES)} |",
        f"| --- | --- | --: | --: |{' --: |' * len(SCORES)}",
    ]
    for row in made:
        scores = " | ".join(score(name, *row["scores"][name]) for name in SCORES)
        lines.append(
            f"| {row['editor']} | {METHODS[row['method']]} | {row['layers']} | "
            f"{row['took']}/{row['facts']} | {scores} |"
        )
    return lines


def in_words(editor: str, layer: int) -> str:
    """Return a layer, or the window that ends there."""
    from goldenlayers.editors.run import make_editor
    from goldenlayers.sweep.windows import width_of

    first = max(0, layer - width_of(make_editor(editor)) + 1)
    return str(layer) if first == layer else f"{first} to {layer}"


def score(name: str, mean: float | None, error: float | None) -> str:
    """Return a mean and its standard error."""
    if mean is None or error is None:
        return "–"
    if name == "fluency":
        return f"{mean:.2f} ± {error:.2f}"
    return f"{100 * mean:.1f} ± {100 * error:.1f}"


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def golden_layers(*arguments: str) -> None:
    print("$ golden-layers", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "goldenlayers.cli.main", *arguments], check=True)


if __name__ == "__main__":
    main()
