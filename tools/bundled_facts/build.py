"""Write the bundled facts, or check that the file on disk is up to date.

python tools/bundled_facts/build.py          writes the file
python tools/bundled_facts/build.py --check  exits 1 if the file differs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from checks import FactError, check_all
from nations import NATIONS
from nature import NATURE
from people import PEOPLE
from places import PLACES
from schema import Record, expand
from unrelated import UNRELATED
from works import WORKS

OUTPUT = Path(__file__).resolve().parents[2] / "src" / "goldenlayers" / "facts" / "bundled.jsonl"
RELATIONS = (*NATIONS, *PLACES, *PEOPLE, *WORKS, *NATURE)


def build() -> list[Record]:
    """Expand all relations, check the result, and take turns among the relations.

    Turns make the first N facts of the file (`--limit N`) a mixture of relations.
    """
    groups: list[list[Record]] = []
    for relation in RELATIONS:
        groups.append(expand(relation, UNRELATED, sum(map(len, groups))))
    check_all([record for group in groups for record in group])
    turns = zip_longest(*groups)
    return [record for turn in turns for record in turn if record is not None]


def render(records: Sequence[Record]) -> str:
    """Write one JSON object a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build the bundled facts.")
    parser.add_argument("--check", action="store_true", help="compare with the file on disk")
    args = parser.parse_args(argv)
    try:
        records = build()
    except (FactError, ValueError) as error:
        print(f"bundled facts are wrong: {error}", file=sys.stderr)
        return 1
    text = render(records)
    if args.check:
        on_disk = OUTPUT.read_text(encoding="utf-8") if OUTPUT.is_file() else None
        if on_disk != text:
            state = "is missing" if on_disk is None else "differs from its tables"
            print(f"{OUTPUT} {state}; run {Path(__file__).name} to write it", file=sys.stderr)
            return 1
        print(f"{OUTPUT.name} is up to date ({len(records)} facts)")
        return 0
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(text, encoding="utf-8", newline="\n")
    splits = Counter(record["split"] for record in records)
    print(f"{len(records)} facts written: {dict(sorted(splits.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
