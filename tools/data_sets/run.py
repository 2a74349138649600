"""Run the study of docs/data.md: LGA and a comparison on each data set, and all against all.

    python tools/data_sets/run.py FOLDER --out out/data-sets

FOLDER holds the published files, anywhere in it; which is which is told by their records. Every
command is printed before it runs. Started again it goes on where it was stopped. Half a only: half
b is kept back (CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from goldenlayers.errors import GoldenLayersError
from goldenlayers.facts.read import Scan

METHODS = "lga,verified,brute-force,cma,middle,fixed:5"
FACTS = ("--sample", "40", "--split", "proxy=10", "--proxy", "10", "--repeats", "1")
# by the format that is looked for: the name of the data set, and how its facts are compared
SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "zsre": ("zsre", FACTS),
    "counterfact-flat": ("counterfact", FACTS),
    "wiki-counterfact": ("wiki-counterfact", FACTS),
    "wiki-recent": ("wiki-recent", FACTS),
    # last, and fewer: prompts of a hundred tokens and answers of twenty
    "wikibio": (
        "wikibio",
        ("--sample", "14", "--split", "proxy=4", "--proxy", "4", "--repeats", "1"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds the published files")
    parser.add_argument("--out", type=Path, default=Path("out/data-sets"))
    parser.add_argument("--only", help="names of data sets, with commas")
    args = parser.parse_args()
    files = find_files(args.folder)
    only = args.only.split(",") if args.only else [name for name, _ in SETS.values()]
    for fmt, (name, options) in SETS.items():
        if name not in only:
            continue
        if fmt not in files:
            sys.exit(
                f"{args.folder}: no file of format {fmt}; expected one for each of {list(SETS)}"
            )
        facts = ("--facts", str(files[fmt]), "--half", "a")
        golden_layers("find", *facts, "--out", str(args.out / f"{name}-lga"))
        if name == "wikibio":
            options = (*options, "--layers", ",".join(map(str, layers_of_wikibio(args.out))))
        golden_layers(
            "compare", *facts, *options, "--methods", METHODS, "--traced", "own",
            "--resume", "--out", str(args.out / name),
        )  # fmt: skip
    folders = [args.out / name for name, _ in SETS.values()]
    made = [str(folder) for folder in folders if (folder / "comparison.json").is_file()]
    if len(made) > 1:
        golden_layers("transfer", *made, "--out", str(args.out / "transfer"))


def find_files(folder: Path) -> dict[str, Path]:
    """Return the first file of each format."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            found.setdefault(Scan(path).format.name, path)
        except GoldenLayersError:
            continue  # some other file
    return found


def layers_of_wikibio(out: Path) -> list[int]:
    """Return every third layer, and those that were chosen on the other data sets."""
    layers = set(range(0, 30, 3))
    for name, _ in SETS.values():
        path = out / name / "comparison.json"
        if name != "wikibio" and path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            layers |= {c["layer"] for m in found["methods"] for c in m["choices"]}
    return sorted(layers)


def golden_layers(*arguments: str) -> None:
    print("$ golden-layers", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "goldenlayers.cli.main", *arguments], check=True)


if __name__ == "__main__":
    main()
