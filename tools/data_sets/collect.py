"""Keep the small part of the study of the data sets, and print it as the tables of docs/data.md.

    python tools/data_sets/collect.py out/data-sets docs/results/data-sets

Copies of each comparison its JSON and tables, of each LGA ranking the layers (the answers of a
thousand facts stay where they are), and the transfer; then prints the tables. A data set that has
not been compared yet has a row for LGA alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldenlayers.report.comparison_table import between, points

NAMES = ("zsre", "counterfact", "wiki-counterfact", "wiki-recent", "wikibio")
LAYERS = 30  # of the bundled model
LAYER_FIELDS = ("layer", "score", "rank", "inside_fences", "mean_cosine", "stability")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="what run.py wrote")
    parser.add_argument("docs", type=Path, help="where the small part shall be kept")
    args = parser.parse_args()
    collect(args.out, args.docs)
    for line in tables(args.docs):
        print(line)


def collect(out: Path, docs: Path) -> None:
    """Copy the small part."""
    for name in NAMES:
        if not (out / f"{name}-lga" / "ranking.json").is_file():
            continue  # not run yet
        place = docs / name
        place.mkdir(parents=True, exist_ok=True)
        if (out / name / "comparison.json").is_file():
            for file in ("layers.csv", "facts.csv"):
                shutil.copyfile(out / name / file, place / file)
            comparison = _load(out / name / "comparison.json")
            settings = comparison["settings"]
            settings["facts"] = Path(settings["facts"]).name  # where it lay is nobody's business
            _write(place / "comparison.json", comparison)
        ranking = _load(out / f"{name}-lga" / "ranking.json")
        kept = {key: ranking[key] for key in ("golden", "order", "facts", "settings", "versions")}
        kept["facts"]["source"] = Path(kept["facts"]["source"]).name
        _write(place / "lga.json", kept)
        with (place / "lga.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(LAYER_FIELDS)
            for layer in ranking["layers"]:
                table.writerow(["" if layer[f] is None else layer[f] for f in LAYER_FIELDS])
    for file in ("transfer.json", "transfer.csv"):
        shutil.copyfile(out / "transfer" / file, docs / file)


def tables(docs: Path) -> Iterator[str]:
    """Yield the lines of the tables, in Markdown."""
    yield from lga_table(docs)
    yield ""
    yield from scores_table(docs)
    yield ""
    yield from regret_table(docs)
    for method in _load(docs / "transfer.json")["methods"]:
        yield ""
        yield from transfer_table(docs, method)


def compared(docs: Path) -> list[str]:
    """Return the data sets that have been compared."""
    return [name for name in NAMES if (docs / name / "comparison.json").is_file()]


def lga_table(docs: Path) -> Iterator[str]:
    """Yield LGA's choices on all facts of half a."""
    yield "| data set | facts used | old answers | layer chosen | next | wins of the resamples |"
    yield "| --- | --: | --- | --: | --- | --: |"
    for name in NAMES:
        if not (docs / name / "lga.json").is_file():
            continue
        lga = _load(docs / name / "lga.json")
        with (docs / name / "lga.csv").open(encoding="utf-8", newline="") as file:
            layers = {int(row["layer"]): row for row in csv.DictReader(file)}
        stability = float(layers[lga["golden"]]["stability"])
        sources = ", ".join(f"{n} {where}" for where, n in lga["facts"]["old_answers"].items())
        runners = ", ".join(map(str, lga["order"][1:4]))
        used = f"{lga['facts']['used']} of {lga['facts']['chosen']}"
        yield (
            f"| {name} | {used} | {sources} | **{lga['golden']}** | {runners} | {stability:.0%} |"
        )


def scores_table(docs: Path) -> Iterator[str]:
    """Yield the scores at the golden layer, and what separates the layers."""
    scores = ("rewrite", "rephrase", "locality", "portability", "score")
    yield (
        "| data set | test facts | golden layer | "
        + " | ".join(scores[:4])
        + (" | mean | worst to best layer | each fact at its best |")
    )
    yield "| --- | --: | --: |" + " --: |" * 7
    for name in compared(docs):
        found = _load(docs / name / "comparison.json")
        at = found["layers"].index(found["golden"])
        cells = [_percent(found["test"].get(s), at) for s in scores]
        cells[4] += f" ± {100 * found['test']['standard_error'][at]:.1f}"
        facts = str(len(found["test_facts"]))
        if len(found["layers"]) < LAYERS:
            facts += f", at {len(found['layers'])} layers"
        span = f"{100 * min(found['test']['score']):.1f} to {100 * max(found['test']['score']):.1f}"
        yield (
            f"| {name} | {facts} | {found['golden']} | "
            + " | ".join(cells)
            + f" | {span} | {100 * found['ceiling']:.1f} |"
        )


def regret_table(docs: Path) -> Iterator[str]:
    """Yield regret and layer of each method by data set."""
    names = compared(docs)
    found = {name: _load(docs / name / "comparison.json") for name in names}
    methods = [m["method"] for m in found[names[0]]["methods"]]
    yield "| method | " + " | ".join(names) + " |"
    yield "| --- |" + " --- |" * len(names)
    for method in methods:
        cells = []
        for name in names:
            (result,) = (m for m in found[name]["methods"] if m["method"] == method)
            cells.append(_regret(result))
        yield f"| {method} | " + " | ".join(cells) + " |"
    floors = [found[name]["floor"] for name in names]
    cells = ["–" if f is None else points(f["mean"]) for f in floors]
    yield "| *oracle floor* | " + " | ".join(cells) + " |"


def transfer_table(docs: Path, method: str) -> Iterator[str]:
    """Yield the square table of a method."""
    found = _load(docs / "transfer.json")
    names = list(found["data_sets"])
    yield f"| {method}, chosen on | layer | " + " | ".join(names) + " |"
    yield "| --- | --: |" + " --: |" * len(names)
    cells = found["methods"][method]
    for i, name in enumerate(names):
        row = cells[i * len(names) : (i + 1) * len(names)]
        layers = ", ".join(map(str, sorted(set(row[0]["layers"]))))
        yield f"| {name} | {layers} | " + " | ".join(map(_transferred, row)) + " |"


def _regret(result: dict[str, Any]) -> str:
    if result["regret"] is None:
        return "–"
    layers = ", ".join(str(n) for n in sorted({c["layer"] for c in result["choices"]}))
    low, high = result["regret"]["low"], result["regret"]["high"]
    return f"{layers}: {points(result['regret']['mean'])} ({between(low, high)})"


def _transferred(cell: dict[str, Any]) -> str:
    if cell["score"] is None:
        return "–"
    text = f"{100 * cell['score']:.1f}"
    if cell["chosen_on"] == cell["judged_on"]:
        return f"*{text}*"
    error = cell["standard_error"]
    return f"{text} ({points(cell['difference'])}" + (
        ")" if error is None else f" ± {100 * error:.1f})"
    )


def _percent(values: list[float | None] | None, at: int) -> str:
    value = None if values is None else values[at]
    return "–" if value is None else f"{100 * value:.1f}"


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
