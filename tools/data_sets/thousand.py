"""Edit 1,000 CounterFact facts in batches of 100, by several editors: docs/editing.md.

    python tools/data_sets/thousand.py FOLDER --out out/thousand [--editor memit --limit 100]

FOLDER holds the published files, anywhere in it. Half a of CounterFact flattened, and of the
original records as many as lack to 1,000; the rest of these choose the layer. The command is
printed before it runs. Started again it goes on where it was stopped. Half a only
(CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
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


def chosen(folder: Path) -> list[Fact]:
    """Return the facts: 1,000 to edit, and the others to choose the layer on."""
    files = find_files(folder)
    facts = [
        replace(fact, id=f"{name}-{fact.id}")
        for name in FILES
        for fact in read_facts(files[name]).half("a")
    ]
    return [replace(f, split="test" if i < FACTS else "proxy") for i, f in enumerate(facts)]


if __name__ == "__main__":
    main()
