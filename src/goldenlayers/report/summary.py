"""What is said below the table of a ranking, in lines of rich markup."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from goldenlayers.report.table import RUNNERS_UP

if TYPE_CHECKING:
    from goldenlayers.facts.fact_set import BadRecord
    from goldenlayers.locators.ranking import LayerRanking

IN_DOUBT = 0.02  # expected to be lost: more edits are what is wanted next
MOST = 5  # skipped facts and bad records that are named


def summary_lines(
    ranking: LayerRanking, bad: Sequence[BadRecord], written: Sequence[Path]
) -> Iterator[str]:
    """Yield the choice and how far to trust it, the facts used, time, files, and what comes next.

    Args:
        ranking: The ranking, as `find` returns it.
        bad: Records of the facts file that were set aside.
        written: The files written.
    """
    yield f"[dim]{escape(ranking.legend)}[/]\n"
    yield from _choice(ranking)
    yield from _facts(ranking, bad)
    seconds = ranking.seconds
    loading = f", {seconds['load']:.1f} s to load" if "load" in seconds else ""
    yield f"time   {seconds['find']:.1f} s for the layers{loading}"
    yield f"files  {', '.join(escape(str(p)) for p in written)}"
    yield f"next   {escape(_next(ranking))}"


def _choice(ranking: LayerRanking) -> Iterator[str]:
    best = ranking[ranking.golden]
    runners = ", ".join(map(str, ranking.order[1 : 1 + RUNNERS_UP])) or "none"
    yield f"[bold yellow]★ golden layer: {ranking.golden}[/]   runners-up: {runners}"
    if best.stability is not None:
        yield (
            f"  It wins {best.stability:.0%} of the resamples of these facts (selection stability; "
            "not the probability of being golden)."
        )
        if max(s.stability or 0.0 for s in ranking.layers) < 0.5:
            yield (
                "  No layer wins half of them: the choice owes much to the sample of facts. "
                "Take more facts, and treat the runners-up as equals."
            )
    yield from (f"  {escape(note)}" for note in ranking.notes)
    if outside := [s.layer for s in ranking.layers if s.side]:
        yield f"  Outside the fences, so not chosen: layers {', '.join(map(str, outside))}."
    if missing := [s.layer for s in ranking.layers if not s.reached]:
        yield f"  No gradient reached layers {', '.join(map(str, missing))}."


def _facts(ranking: LayerRanking, bad: Sequence[BadRecord]) -> Iterator[str]:
    info = ranking.facts
    splits = ", ".join(f"{n} {name}" for name, n in info["splits"].items() if name != "none")
    text = f"facts  {info['used']} used of {info['chosen']}" + (f" ({splits})" if splits else "")
    text += f", {info['skipped']} skipped"
    if bad:
        text += f", {len(bad)} bad record{'s' * (len(bad) > 1)} set aside"
    names = {"record": "the records", "model": "the model"}
    counts = info["old_answers"]
    if not ranking.answers:
        yield escape(f"facts  none looked at by this method; source: {info['source']}")
        return
    sources = [f"{counts[source]} from {names[source]}" for source in names if source in counts]
    if sources:
        text += f"; old answers: {', '.join(sources)}"
    yield escape(f"{text}; source: {info['source']}")
    for skipped in ranking.skipped[:MOST]:
        yield f"  {escape(skipped.id)}: {escape(skipped.reason)}"
    if len(ranking.skipped) > MOST:
        yield f"  … and {len(ranking.skipped) - MOST} more, all in ranking.json"
    for record in bad[:MOST]:
        yield f"  set aside, line {record.line}: {escape(record.reason)}"
    if len(bad) > MOST:
        yield f"  … and {len(bad) - MOST} more: golden-layers facts FILE --skip-bad lists them"
    by_gradients = ranking.method in ("lga", "robust-lga")
    confidence = ranking.settings.get("confidence") if by_gradients else None
    if confidence is not None:
        taken = info["used"] + info["skipped"]
        stability = ranking[ranking.golden].stability
        if stability is not None and stability >= confidence:
            yield f"confidence {confidence:g}: reached with {taken} facts"
        else:
            yield f"confidence {confidence:g}: not reached with all {taken} facts"


def _next(ranking: LayerRanking) -> str:
    """Return the command that answers the user's next question."""
    if ranking.method not in ("lga", "verified", "staged", "brute-force"):
        return "the same command with --method brute-force: is it so when the edits are made?"
    if ranking.method == "staged" and ranking.details["expected_loss"] > IN_DOUBT:
        return _more_edits(ranking)
    if ranking.facts["source"] == "bundled":
        model = str(ranking.model["name"])
        option = "" if model == "bundled" else f" --model {shlex.quote(model)}"
        return (
            f"golden-layers find{option} --facts YOUR_FACTS.jsonl "
            "(golden-layers facts --help shows the format)"
        )
    if ranking.method == "brute-force":
        return "golden-layers compare: how good would the cheaper ways to choose have been?"
    if ranking.method == "staged":
        return _more_edits(ranking)
    if ranking.method == "verified":
        return "the same command with --race all: is none of the other layers better?"
    if any(answer.old_source == "record" for answer in ranking.answers):
        return (
            "the same command with --old-answer model: "
            "does the choice hold for what the model says itself?"
        )
    return "the same command with --scope mlp: does the choice hold for all weights of the MLP?"


def _more_edits(ranking: LayerRanking) -> str:
    share, most = ranking.settings["share"], ranking.settings["most_edits"]
    more = f"--share {min(1.0, 2 * share):g}"
    if most is not None and share * ranking.details["full_sweep"] > most:
        more = f"--most-edits {2 * most}"  # this is the bound that holds
    return f"the same command with --resume {more}: does the choice hold with twice the edits?"
