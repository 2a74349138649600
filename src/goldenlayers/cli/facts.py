"""`golden-layers facts`: what is in a facts file, and what a model knows of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from goldenlayers.cli import console

if TYPE_CHECKING:
    from goldenlayers.facts.read import FactSet
    from goldenlayers.metrics.known import Known


def command(
    facts: Annotated[
        str, typer.Argument(help="'bundled', or a facts file (.jsonl or .csv).")
    ] = "bundled",
    known_by: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Let a model answer each prompt greedily and count the old answers it gives.",
        ),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Set bad records aside.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is in a facts file.

    JSON Lines, one fact a line. Required are id, subject, prompt (contains the subject) and
    target_new. Optional: target_old, aliases (of target_new), rephrase_prompts,
    locality {kind: [{prompt, answer}]}, portability {kind: [{prompt, answers}]},
    split (proxy or test):

      {"id": "1", "subject": "France", "prompt": "The capital of France is",
       "target_new": "Madrid", "target_old": "Paris"}

    CSV has the columns id, subject, prompt, target_new and, if wanted, target_old and split.
    """
    with console.working("reading"):
        from goldenlayers.facts import bundled_facts, read_facts

        chosen = bundled_facts() if facts == "bundled" else read_facts(facts, skip_bad=skip_bad)
    summary = _summary(chosen)
    known: list[Known] | None = None
    if known_by is not None:
        known = _ask(known_by, chosen)
        summary["known_by"] = {
            "model": known_by,
            "asked": len(known),
            "known": sum(k.known for k in known),
            "facts": [{"id": k.id, "known": k.known, "answer": k.answer} for k in known],
        }
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False, indent=1))
        return
    _show(summary, chosen)
    if known is not None:
        _show_known(known, chosen)


def _summary(facts: FactSet) -> dict[str, Any]:
    return {
        "source": facts.source,
        "sha256": facts.sha256,
        "facts": len(facts),
        "bad_records": [{"line": b.line, "reason": b.reason} for b in facts.bad],
        "splits": dict(Counter(f.split or "none" for f in facts)),
        "with_old_answer": sum(f.target_old is not None for f in facts),
        "rephrasings": sum(len(f.rephrase_prompts) for f in facts),
        "locality": dict(Counter(k for f in facts for k, ps in f.locality.items() for _ in ps)),
        "portability": dict(
            Counter(k for f in facts for k, ps in f.portability.items() for _ in ps)
        ),
    }


def _show(summary: dict[str, Any], facts: FactSet) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name in ("source", "sha256"):  # not in the table: they may be wider than the terminal
        console.line(f"[bold]{name}[/]  {escape(str(summary[name]))}")
    table.add_row("facts", str(summary["facts"]))
    table.add_row("splits", escape(_counts(summary["splits"])))
    table.add_row("old answers", f"{summary['with_old_answer']} facts have one")
    table.add_row("rephrasings", str(summary["rephrasings"]))
    table.add_row("locality probes", escape(_counts(summary["locality"])))
    table.add_row("portability probes", escape(_counts(summary["portability"])))
    table.add_row("set aside", str(len(facts.bad)))
    console.out.print(table, highlight=False)
    for bad in facts.bad:
        console.line(f"  line {bad.line}: {escape(bad.reason)}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _ask(name: str, facts: FactSet) -> list[Known]:
    from goldenlayers.metrics.known import known_facts
    from goldenlayers.models.load import load_model

    with console.working(f"loading {name}"):
        loaded = load_model(name, say=console.say)
    with console.StageProgress() as progress:
        return known_facts(loaded.model, loaded.tokenizer, facts, progress=progress)


def _show_known(known: list[Known], facts: FactSet) -> None:
    split_of = {f.id: f.split or "none" for f in facts}
    total = Counter(split_of[k.id] for k in known)
    right = Counter(split_of[k.id] for k in known if k.known)
    parts = ", ".join(f"{right[s]} of {total[s]} {s}" for s in total)
    unknown = [k for k in known if not k.known]
    for k in unknown:
        console.line(
            f"  [dim]not known[/] {escape(k.id)}: expected {escape(repr(k.expected))}, "
            f"the model writes {escape(repr(k.answer))}"
        )
    by_split = f" ({escape(parts)})" if set(total) != {"none"} else ""
    console.out.print(
        f"[bold]{sum(right.values())} of {len(known)} facts are known[/]{by_split}", highlight=False
    )
