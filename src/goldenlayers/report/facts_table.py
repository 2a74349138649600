"""What is in a source of facts, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

SHOWN = 20  # notes and names that are shown


def facts_table(summary: Mapping[str, Any]) -> Table:
    """Return the counts of `FactsSummary.to_dict`, with "format" and what else was found beside."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    rephrased = summary["with_rephrasings"]
    rows = [
        ("format", f"{summary['format']} ({summary['format_title']})"),
        ("selection", ", ".join(summary["selection"]) or "all"),
        ("facts", f"{summary['facts']} about {summary['subjects']} subjects"),
        ("splits", _counts(summary["splits"])),
        ("old answers", f"{summary['with_old_answer']} facts have one"),
        ("rephrasings", f"{summary['rephrasings']}, of {rephrased} facts" if rephrased else "none"),
        ("locality probes", _kinds(summary["locality"])),
        ("portability probes", _kinds(summary["portability"])),
        ("duplicates", _duplicates(summary)),
        ("fields not read", _counts(summary["unused_fields"])),
        ("left out", f"{summary['notes_in_all']} parts of records"),
        ("set aside", f"{len(summary['bad_records'])} records"),
    ]
    if summary["with_equal_answers"]:
        n = summary["with_equal_answers"]
        rows.insert(
            5, ("no change", f"{n} facts have one answer as old and new: only to be traced")
        )
    for name, value in rows:
        table.add_row(name, escape(value))
    return table


def facts_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of markup below the table: what was left out, set aside, said twice."""
    if summary["duplicate_ids"]:
        yield "  [dim]said before[/] " + escape(_some(summary["duplicate_ids"]))
    for note in summary["notes"][:SHOWN]:
        yield f"  [dim]left out[/] {escape(note['id'])}: {escape(note['text'])}"
    more = summary["notes_in_all"] - min(SHOWN, len(summary["notes"]))
    if more > 0:
        yield f"  [dim]left out[/] … {more} more (--json has the first 1000)"
    for bad in summary["bad_records"]:
        record = "" if bad["record"] is None else f", record {bad['record']}"
        yield f"  [dim]set aside[/] line {bad['line']}{record}: {escape(bad['reason'])}"


def lengths_table(lengths: Mapping[str, Mapping[str, float] | None], model: str) -> Table:
    """Return how many tokens prompts and answers have for a model."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(f"tokens for {escape(model)}")
    for name in ("facts", "least", "median", "95 %", "most", "mean"):
        table.add_column(name, justify="right")
    for name, spread in lengths.items():
        if spread is None:
            table.add_row(name, "0", *["–"] * 5)
            continue
        whole = [f"{spread[k]:.0f}" for k in ("facts", "least", "median", "p95", "most")]
        table.add_row(name, *whole, f"{spread['mean']:.1f}")
    return table


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _kinds(kinds: Mapping[str, Mapping[str, int]]) -> str:
    parts = []
    for name, kind in kinds.items():
        facts = f"{kind['facts']} fact" + ("s" if kind["facts"] != 1 else "")
        silent = f", {kind['unanswered']} without an answer" if kind["unanswered"] else ""
        parts.append(f"{kind['probes']} {name} ({facts}{silent})")
    return ", ".join(parts) or "none"


def _duplicates(summary: Mapping[str, Any]) -> str:
    same, other = summary["duplicates"], summary["conflicts"]
    if not same and not other:
        return "none"
    return f"{same} say what an earlier one says, {other} give its prompt another new answer"


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" … {more} more" if more > 0 else "")
