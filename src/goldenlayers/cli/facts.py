"""`golden-layers facts`: what is in a source of facts, what a model knows of it, and subsets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from goldenlayers.cli import choosing, console, options
from goldenlayers.cli.terminal import for_machines
from goldenlayers.errors import FactError, SettingsError

if TYPE_CHECKING:
    from goldenlayers.facts import FactSet, Note
    from goldenlayers.facts.read import Item
    from goldenlayers.facts.summary import FactsSummary
    from goldenlayers.metrics.known import Known
    from goldenlayers.metrics.lengths import Lengths


def command(
    ctx: typer.Context,
    facts: Annotated[
        str,
        typer.Argument(
            help="'bundled', a published data set as it is (.json), your own facts (.jsonl, .csv), "
            "or hub:owner/name[@commit][:split]."
        ),
    ] = "bundled",
    format: options.Format = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Count tokens as this model does, and set aside what its context does not hold.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    chat: options.Chat = False,
    half: options.Half = None,
    known_by: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Let a model answer each prompt greedily, and count the old answers it gives; "
            "with --convert or --sample, keep those facts.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    sample: options.Sample = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="proxy=0.1 marks a tenth of the facts as proxy, by --seed, and the others as "
            "test; proxy=20 marks twenty.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Seed of --sample and --split.", rich_help_panel=options.WHAT),
    ] = 0,
    skip_bad: options.SkipBad = None,
    convert: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Write the facts to this new .jsonl file, in golden-layers' own format.",
            rich_help_panel=options.RESULT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON.", rich_help_panel=options.RESULT)
    ] = False,
) -> None:
    """Show what is in a source of facts, and take parts of it.

    Published data sets are read as they are, and recognised by their fields; --format overrides:
    zsre, wiki-counterfact, wiki-recent, wikibio (KnowEdit's), zsre-mend (MEND's), counterfact,
    counterfact-flat (EasyEdit's), known-facts (ROME's, for --method cma). Records that cannot be
    used are set aside, and each is listed with the reason.

    Your own facts, format golden-layers: JSON Lines, one fact a line. Required are id, subject,
    prompt (contains the subject) and target_new. Optional: target_old, aliases (of target_new),
    rephrase_prompts, locality {kind: [{prompt, answer}]}, portability {kind: [{prompt, answers}]},
    split (proxy or test):

      {"id": "1", "subject": "France", "prompt": "The capital of France is",
       "target_new": "Madrid", "target_old": "Paris"}

    CSV has the columns id, subject, prompt, target_new and, if wanted, target_old and split.

    Try:

      golden-layers facts ZsRE-test-all.json --model bundled

      golden-layers facts counterfact.json --half a --sample 100 --convert some.jsonl

      golden-layers facts counterfact.json --known-by gpt2-xl --convert known.jsonl
    """
    with console.working("starting"):
        from goldenlayers.facts.convert import check_place, write_facts
        from goldenlayers.facts.summary import FactsSummary
        from goldenlayers.report.facts_table import facts_lines, facts_table, lengths_table
    if split is not None and choosing.share(split) is None:
        raise SettingsError(f"--split {split!r}: expected proxy=0.1, or proxy= and a number")
    if convert is not None:
        check_place(convert)
    counting = None if model is None else _lengths(model, chat)
    known: list[Known] | None = None
    asked: FactSet | None = None
    if known_by is not None and convert is None and sample is None:
        if split is not None:
            raise SettingsError("--known-by with --split keeps facts: say where, by --convert")
        asked, known = _ask(ctx, known_by)
    items, origin = _items(ctx, asked)
    summary = FactsSummary()
    with console.StageProgress() as progress:
        through = _counted(items(progress), summary, counting)
        if convert is None:
            for _ in through:
                pass
        else:
            write_facts((item.fact for item in through if item.fact is not None), convert)
    told = origin() | summary.to_dict()
    if counting is not None:
        told["tokens"] = {"model": model, **counting.to_dict()}
    if known is not None:
        told["known_by"] = {
            "model": known_by,
            "asked": len(known),
            "known": sum(k.known for k in known),
            "facts": [{"id": k.id, "known": k.known, "answer": k.answer} for k in known],
        }
    if as_json:
        typer.echo(for_machines(told))
        _require_facts(told)
        return
    for name in ("source", "sha256"):  # not in the table: they may be wider than the terminal
        console.line(f"[bold]{name}[/]  {escape(str(told[name] or 'none: it is no file'))}")
    console.out.print(facts_table(told), highlight=False)
    if counting is not None:
        console.table(lengths_table(counting.to_dict(), str(model)))
    for text in facts_lines(told):
        console.line(text)
    if known is not None and asked is not None:
        _show_known(known, asked)
    _require_facts(told)
    if convert is not None:
        console.line(f"[dim]written[/] {escape(str(convert))}: {told['facts']} facts")


def _require_facts(told: dict[str, Any]) -> None:
    """End with an error, after what was set aside has been listed, if no fact is left."""
    if not told["facts"]:
        bad = len(told["bad_records"])
        why = f"; all {bad} records are set aside" if bad else ""
        raise FactError(f"{told['source']}: no facts in it{why}")


def _lengths(model: str, chat: bool) -> Lengths:
    from goldenlayers.metrics.lengths import Lengths
    from goldenlayers.models.chat import chat_tokenizer
    from goldenlayers.models.load import load_tokenizer

    with console.working(f"loading the tokenizer of {model}"):
        tokenizer, limit = load_tokenizer(model, say=console.say)
    return Lengths(chat_tokenizer(tokenizer) if chat else tokenizer, limit)


def _items(ctx: typer.Context, asked: FactSet | None) -> tuple[Any, Any]:
    """Return what yields the items, given a progress, and afterwards what says where they are from.

    A file goes by record by record, whatever its size, unless a subset needs all facts at once.
    """
    from goldenlayers.facts import subsets
    from goldenlayers.facts.formats import find_format
    from goldenlayers.facts.read import Item, Scan, accepted

    given = ctx.params
    whole = asked is not None or given["facts"] == "bundled"
    if whole or any(given[name] is not None for name in ("known_by", "sample", "split")):
        chosen = asked if asked is not None else choosing.known(ctx, choosing.read(ctx), None)
        notes: dict[str, list[Note]] = defaultdict(list)
        for note in chosen.notes:
            notes[note.id].append(note)

        def held(progress: Any) -> Iterator[Item]:
            for bad in chosen.bad:
                yield Item(bad=bad, line=bad.line, record=bad.record)
            for fact in chosen:
                yield Item(fact=fact, notes=tuple(notes.get(fact.id, ())))

        def origin() -> dict[str, Any]:
            name = chosen.format or "golden-layers"
            return {
                **chosen.origin(),
                "format": name,
                "format_title": find_format(name).title,
                "unused_fields": dict(chosen.unused),
            }

        return held, origin
    half = None if given["half"] is None else subsets.check_half(given["half"])
    scan = Scan(given["facts"], given["format"])

    def streamed(progress: Any) -> Iterator[Item]:
        scan.progress = progress
        for item in accepted(scan, given["skip_bad"]):
            if item.fact is None or half is None or subsets.half_of(item.fact) == half:
                yield item

    def scanned() -> dict[str, Any]:
        return {
            "source": scan.source,
            "sha256": scan.sha256(),
            "format": scan.format.name,
            "selection": [] if half is None else [f"half {half}"],
            "format_title": scan.format.title,
            "unused_fields": dict(scan.unused),
        }

    return streamed, scanned


def _counted(
    items: Iterable[Item], summary: FactsSummary, lengths: Lengths | None
) -> Iterator[Item]:
    for item in items if lengths is None else lengths.measured(items):
        if item.bad is not None:
            summary.bad.append(item.bad)
        elif item.fact is not None:
            summary.add(item.fact, item.notes)
        yield item


def _ask(ctx: typer.Context, name: str) -> tuple[FactSet, list[Known]]:
    from goldenlayers.metrics.known import known_facts

    facts = choosing.read(ctx)
    loaded = choosing.load(name, ctx.params["chat"])
    with console.StageProgress() as progress:
        return facts, known_facts(loaded.model, loaded.tokenizer, facts, progress=progress)


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
