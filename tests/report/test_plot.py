"""The picture says what the table says. Whether it looks well was seen by eye."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

import goldenlayers
from goldenlayers.report.plot import GOLD
from goldenlayers.report.table import ranking_table
from tests import tiny


@pytest.fixture(scope="module")
def ranking():
    return goldenlayers.find(tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS, method="lga")


def with_scores(ranking, scores, fences):
    """A copy with other scores, ranked and fenced by hand."""
    low, high = fences
    inside = [i for i, s in enumerate(scores) if low <= s <= high]
    order = sorted(inside, key=lambda i: -scores[i])
    layers = tuple(
        dataclasses.replace(
            layer, score=s, inside_fences=i in inside,
            rank=order.index(i) + 1 if i in inside else None,
            side=None if i in inside else "above" if s > high else "below",
        )
        for i, (layer, s) in enumerate(zip(ranking.layers, scores, strict=True))
    )  # fmt: skip
    return dataclasses.replace(ranking, layers=layers, golden=order[0], fences=fences)


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in (*axes.texts, axes.title, *_left(axes))]


def _left(axes):
    return [axes._left_title]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_every_format_is_written(ranking, tmp_path, suffix):
    path = tmp_path / f"scores.{suffix}"
    ranking.plot(path)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)


def test_the_golden_layer_is_named_and_golden(ranking):
    figure = ranking.plot()
    assert f"golden: {ranking.golden}" in texts(figure)
    assert any(f"Layer {ranking.golden} is the golden layer" in t for t in texts(figure))
    bars = figure.axes[0].patches[:4]
    from matplotlib.colors import to_hex

    assert [to_hex(b.get_facecolor()).upper() == GOLD for b in bars] == [
        s.layer == ranking.golden for s in ranking.layers
    ]


def test_a_bar_that_leaves_the_picture_says_how_far_it_goes(ranking):
    figure = with_scores(ranking, [1.0, 43_996.0, 2.0, -9.0], (-3.0, 5.0)).plot()
    low, high = figure.axes[0].get_ylim()
    assert -9 < low < -3
    assert 5 < high < 100
    assert "44k ▶" in texts(figure)
    assert "◀ -9" in texts(figure)


def test_negative_scores_only(ranking):
    figure = with_scores(ranking, [-4.0, -1.0, -2.0, -3.0], (-9.0, 9.0)).plot()
    low, high = figure.axes[0].get_ylim()
    assert low < -4
    assert high > 0
    assert "golden: 1" in texts(figure)


def test_one_fact_has_no_stability_panel():
    ranking = goldenlayers.find(
        tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[:1], method="lga"
    )
    assert all(s.stability is None for s in ranking.layers)
    assert len(ranking.plot().axes) == 1


def test_how_likely_each_layer_is_the_best_has_a_panel():
    ranking = goldenlayers.find(
        tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS, "staged",
        editor_settings={"steps": 2}, lga=None,
    )  # fmt: skip
    _, panel = ranking.plot().axes
    assert panel.get_ylabel().startswith("likely the best")
    shares = [100 * s.more["likely"] for s in ranking.layers]
    assert [b.get_height() for b in panel.patches] == pytest.approx(shares)
    assert sum(shares) == pytest.approx(100)


def test_the_table_has_a_row_per_layer_and_fits_eighty_columns(ranking):
    from rich.console import Console

    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    big = with_scores(ranking, [1.5e7, 43_996.123, 2.0, -9.0], (-3.0, 5.0))
    console.print(ranking_table(big))
    lines = console.export_text().splitlines()
    assert len(lines) == 5
    assert "…" not in "".join(lines)  # nothing is cut
    assert "★ golden" in lines[1 + big.golden]
    assert np.all([str(i) in lines[1 + i] for i in range(4)])
