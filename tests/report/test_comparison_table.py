"""The table of a comparison: what is missing is a dash, never a zero or nan."""

from __future__ import annotations

import math

from rich.console import Console

from goldenlayers.report.comparison_table import comparison_table
from goldenlayers.study.comparison import Choice, Comparison, MethodResult
from goldenlayers.study.judge import Regret


def cells(regret, *choices):
    """The cells of the one method, and of the oracle floor."""
    method = MethodResult("[red]lga[/]", {}, choices, regret)
    other = MethodResult("random", {}, (), None, ("draw 0: no gradient",))
    comparison = Comparison(
        "mean", "mean of rewrite", (0, 1), {"score": (0.5, 0.25), "standard_error": (0.1, 0.1)},
        0, (0,), 0.75, None, "test", (other, method), (("a",),), ("b",),
    )  # fmt: skip
    console = Console(width=200)
    with console.capture() as capture:
        console.print(comparison_table(comparison))
    lines = capture.get().splitlines()
    assert len(lines) == 4
    (none,) = [line for line in lines if line.startswith("random")]
    assert none.split() == ["random", "none", "chosen", *["–"] * 9]
    floor = lines[3].split()
    assert floor == ["oracle", "floor", "–", "–"]
    (ours,) = [line for line in lines if line.startswith("[red]lga[/]")]
    return ours.split()[1:]


def test_a_method_with_every_number():
    choice = Choice(0, 1, 0.25, 0.25, 0.5, 0.0, 0.0, 1.25, 0.5)
    found = cells(Regret(0.25, 0.125, 0.375), choice)
    assert " ".join(found) == ("1 25.0 +25.0 +12.5 to +37.5 +25.0 to +25.0 +0.50 0% 0% 1.2 s 0.50")


def test_one_test_fact_tells_no_regret():
    nan = math.nan
    choice = Choice(0, 1, nan, nan, None, nan, nan, nan, None)
    found = cells(Regret(nan, nan, nan), choice)
    assert found[-9:] == ["–"] * 9
    assert not [cell for cell in found if "nan" in cell]
