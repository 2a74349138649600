"""The table of a comparison for the terminal, and what is said below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from goldenlayers.report.table import is_there, percent
from goldenlayers.sweep.run import duration

if TYPE_CHECKING:
    from goldenlayers.study.comparison import Comparison, MethodResult
    from goldenlayers.study.judge import Regret

COLUMNS = (
    "method", "layers", "test score", "regret", "95 % interval", "over draws", "rank corr.",
    "exact", "within 1", "time", "brute force = 1",
)  # fmt: skip


def comparison_table(comparison: Comparison) -> Table:
    """Return one row per method, the least regret first, and the oracle floor."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("method", "layers") else "right",
                         no_wrap=True)  # fmt: skip
    for result in sorted(
        comparison.methods,
        key=lambda m: m.regret.mean if m.regret and is_there(m.regret.mean) else float("inf"),
    ):
        table.add_row(*_row(result))
    floor = comparison.floor
    table.add_row(
        "oracle floor", "", "", points(floor.mean if floor else None), interval(floor),
        *[""] * 6, style="dim",
    )  # fmt: skip
    return table


def _row(result: MethodResult) -> list[str]:
    name = escape(result.method)
    if result.regret is None:
        return [name, "none chosen", *["–"] * 9]
    own = [c.regret for c in result.choices]
    chances = any(c.hit not in (0.0, 1.0) for c in result.choices)
    layers = ", ".join(
        f"{layer}" + (f" ×{n}" if n > 1 else "") for layer, n in result.layers().items()
    )
    correlation = result.mean("rank_correlation")
    relative = result.mean("relative")
    return [
        name,
        f"any ({layers} drawn)" if chances else layers,
        percent(result.mean("test_score")),
        points(result.regret.mean),
        interval(result.regret),
        between(min(own), max(own)),
        f"{correlation:+.2f}" if is_there(correlation) else "–",
        _probability(result.mean("hit")),
        _probability(result.mean("near")),
        _time(result.mean("seconds")),
        ratio(relative) if is_there(relative) else "–",
    ]


def _probability(value: float | None) -> str:
    return f"{value:.0%}" if is_there(value) else "–"


def _time(seconds: float | None) -> str:
    if not is_there(seconds):
        return "–"
    return "none" if seconds < 0.05 else f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def draws(comparison: Comparison) -> str:
    """Return how many draws of proxy facts there were, in words."""
    n = len(comparison.draws)
    return f"{n} draw" + ("s" if n != 1 else "")


def points(value: float | None) -> str:
    """Return a difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}" if is_there(value) else "–"


def between(low: float, high: float) -> str:
    """Return a range of differences in points; a dash where an end is NaN."""
    return f"{points(low)} to {points(high)}" if is_there(low) and is_there(high) else "–"


def interval(regret: Regret | None) -> str:
    """Return the interval of a regret, in points."""
    return "–" if regret is None else between(regret.low, regret.high)


def ratio(relative: float) -> str:
    """Return a time as a share of brute force's."""
    if relative >= 0.1:
        return f"{relative:.2f}"
    return f"1/{1 / relative:,.0f}" if relative > 1e-4 else "none"


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield what the numbers mean, in lines of rich markup."""
    c = comparison
    n, size = len(c.test_facts), len(c.draws[0])
    at = c.layers.index(c.golden)
    best = f"{percent(c.test['score'][at])} ± {percent(c.test['standard_error'][at])}"
    yield (
        f"[bold yellow]★ golden layer of the {n} test facts: {c.golden}[/]  {escape(c.made_of)} "
        f"{best} (standard error)"
    )
    if len(c.ties) > 1:
        yield f"  Layers {', '.join(map(str, c.ties))} tie exactly."
    low, high = min(c.test["score"]), max(c.test["score"])
    yield (
        f"  Layers differ from {percent(low)} to {percent(high)}; each test fact at its own best "
        f"layer: {percent(c.ceiling)} (ceiling)."
    )
    yield (
        f"[dim]Each method chose on {draws(c)} of {size} proxy facts. regret: points "
        "lost against the golden layer, found on one half of the test facts and measured on the "
        "other; its interval is over test facts, 'over draws' is the luck of the proxy facts. "
        "within 1: choices less than a point below the best. Nothing can be expected to beat the "
        f"oracle floor, brute force itself on {size} facts (from the {c.floor_from} facts).[/]"
    )
    for method in c.methods:
        if method.method == "random":
            scores = sorted(c.test["score"])
            yield (
                f"[dim]random: expected over all layers, which score {percent(scores[0])} "
                f"at worst, {percent(scores[len(scores) // 2])} in the middle, "
                f"{percent(scores[-1])} at best.[/]"
            )
        for reason in method.failed:
            yield f"[yellow]{escape(method.method)} could not choose: {escape(reason)}[/]"
