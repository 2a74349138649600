"""The table of a ranking: what a layer lacks is a dash, never a zero or nan."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from rich.console import Console

import goldenlayers
from goldenlayers.locators.ranking import LayerScore
from goldenlayers.report.table import is_there, percent, ranking_table
from tests import tiny


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_what_is_missing_is_a_dash(nothing):
    ranking = goldenlayers.find(
        tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[:2], method="lga"
    )
    columns = {"rewrite": nothing, "facts": nothing, "standard_error": nothing}
    layers = (
        LayerScore(0, 0.5, 1, more={"rewrite": 0.0, "facts": 3.0, "standard_error": 0.0},
                   mean_cosine=0.5, old_norm=1.0, new_norm=1.0),
        LayerScore(1, nothing, None, more=columns, mean_cosine=nothing, old_norm=nothing,
                   new_norm=nothing),
    )  # fmt: skip
    shares = ("score", "rewrite", "standard_error")
    made = replace(ranking, layers=layers, golden=0, fences=None, shares=shares)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(ranking_table(made))
    _, full, empty = (line.split() for line in capture.get().splitlines())
    assert full[-4:] == ["1.00", "0.0", "3", "0.0"]  # a zero that was measured is a zero
    assert empty == ["1", *["–"] * 7]


def test_there_or_not():
    assert [is_there(v) for v in (None, math.nan, 0.0, math.inf)] == [False, False, True, True]
    assert [percent(v) for v in (None, math.nan, 0.0, 0.5)] == ["–", "–", "0.0", "50.0"]
