"""How a relation is written down, and how its table turns into records."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lookups import ALIASES

Row = dict[str, str]
Record = dict[str, Any]

PROXY_SHARE = 0.6
"""Share of each relation's facts that goes to the proxy split."""

SAME_RELATION_PROBES = 2
"""How many neighbouring subjects probe the same relation."""


@dataclass(frozen=True)
class Probe:
    """A cloze prompt and its answers, both templates over the columns.

    Several answers are separated by ``;`` in the column they come from.
    """

    prompt: str
    answer: str


@dataclass(frozen=True)
class Relation:
    """One kind of fact: a table of subjects and the sentences about them.

    The table's first line names its columns, which are separated by ``|``.
    ``subject``, ``old`` and ``new`` must be among them; an empty cell drops
    the optional probes that use it. A subject may be written with a leading
    lower-case "the": templates get it as ``{s}`` (inside a sentence) and
    ``{S}`` (at its start), while the record's subject goes without it.

    ``derive`` adds columns: name -> (source column, dictionary).
    """

    name: str
    table: str
    prompt: str
    rephrasings: tuple[str, ...]
    same_subject: tuple[Probe, ...]
    portability: Mapping[str, tuple[Probe, ...]] = field(default_factory=dict)
    derive: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)


def normalise(text: str) -> str:
    """Fold case, accents' encoding, punctuation and spaces away."""
    text = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(c)[0] in "PZ" else c for c in text)
    return re.sub(r"\s+", " ", kept).strip()


def bare(text: str) -> str:
    """Normalise a text and drop a leading article."""
    return re.sub(r"^(the|a|an) ", "", normalise(text))


def mentions(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text as whole words."""
    return f" {bare(phrase)} " in f" {normalise(text)} "


def slug(text: str) -> str:
    """Write a text in lower-case ascii with hyphens."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower().replace("'", "")).strip("-")


def parse_rows(relation: Relation) -> list[Row]:
    """Read a relation's table and add the derived columns."""
    lines = [line for line in relation.table.splitlines() if line.strip()]
    columns = [cell.strip() for cell in lines[0].split("|")]
    rows: list[Row] = []
    for line in lines[1:]:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != len(columns):
            raise ValueError(f"{relation.name}: wrong number of cells in {line!r}")
        row = dict(zip(columns, cells, strict=True))
        row["s"] = row["subject"]
        row["S"] = row["s"][0].upper() + row["s"][1:]
        row["subject"] = row["s"].removeprefix("the ")
        for name, (source, mapping) in relation.derive.items():
            if row[source] not in mapping:
                raise ValueError(f"{relation.name}: no {name} for {row[source]!r}")
            row[name] = mapping[row[source]]
        # Cells may themselves be templates over {s} and {S}.
        rows.append({k: v.format(s=row["s"], S=row["S"]) for k, v in row.items()})
    return rows


def fill(probe: Probe, row: Row) -> tuple[str, list[str]] | None:
    """Fill a probe's templates, or return None where a cell is empty."""
    used = re.findall(r"\{(\w+)\}", probe.prompt + probe.answer)
    if not all(row[name] for name in used):
        return None
    answers = [part.strip() for part in probe.answer.format(**row).split(";")]
    return probe.prompt.format(**row), answers


def neighbours(relation: Relation, rows: Sequence[Row], index: int) -> list[Record]:
    """Probe the same relation with the next subjects that fit."""
    row = rows[index]
    taken = {bare(row["old"]), bare(row["new"])}
    found: list[Record] = []
    for step in range(1, len(rows)):
        other = rows[(index + step) % len(rows)]
        prompt = relation.prompt.format(**other)
        if bare(other["old"]) in taken or row["subject"] in prompt:
            continue
        found.append({"prompt": prompt, "answer": other["old"]})
        taken.add(bare(other["old"]))
        if len(found) == SAME_RELATION_PROBES:
            break
    return found


def unrelated_probe(row: Row, pool: Sequence[tuple[str, str]], position: int) -> Record:
    """Pick a probe that has nothing to do with the fact."""
    words = [row["subject"], row["old"], row["new"]]
    for step in range(len(pool)):
        prompt, answer = pool[(position + step) % len(pool)]
        if not any(mentions(f"{prompt} {answer}", word) for word in words):
            return {"prompt": prompt, "answer": answer}
    raise ValueError(f"no unrelated probe fits {row['subject']!r}")


def portability(relation: Relation, row: Row) -> dict[str, list[Record]]:
    """Fill the portability probes for which the row has the columns."""
    result: dict[str, list[Record]] = {}
    for kind, probes in relation.portability.items():
        filled = [pair for probe in probes if (pair := fill(probe, row)) is not None]
        if filled:
            result[kind] = [{"prompt": p, "answers": a} for p, a in filled]
    return result


def same_subject(relation: Relation, row: Row) -> list[Record]:
    """Fill the probes about other relations of the same subject."""
    filled = [fill(probe, row) for probe in relation.same_subject]
    return [{"prompt": pair[0], "answer": pair[1][0]} for pair in filled if pair is not None]


def assign_splits(records: Sequence[Record]) -> None:
    """Fix each record's split by the order of the hashes of one relation's ids."""
    order = sorted(records, key=lambda r: hashlib.sha256(r["id"].encode()).hexdigest())
    proxies = round(PROXY_SHARE * len(order))
    for rank, record in enumerate(order):
        record["split"] = "proxy" if rank < proxies else "test"


def expand(relation: Relation, pool: Sequence[tuple[str, str]], offset: int) -> list[Record]:
    """Turn a relation's table into records; ``offset`` varies the unrelated probes."""
    rows = parse_rows(relation)
    records: list[Record] = []
    for index, row in enumerate(rows):
        records.append(
            {
                "id": f"{relation.name}-{slug(row['subject'])}",
                "subject": row["subject"],
                "prompt": relation.prompt.format(**row),
                "target_new": row["new"],
                "target_old": row["old"],
                "aliases": list(ALIASES.get(row["new"], ())),
                "rephrase_prompts": [text.format(**row) for text in relation.rephrasings],
                "locality": {
                    "same_relation": neighbours(relation, rows, index),
                    "same_subject": same_subject(relation, row),
                    "unrelated": [unrelated_probe(row, pool, offset + index)],
                },
                "portability": portability(relation, row),
                "split": "",
            }
        )
    assign_splits(records)
    return records
