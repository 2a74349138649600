"""The picture of a traced fact."""

from __future__ import annotations

import numpy as np
import pytest

from goldenlayers.report.heat_map import plot_heat_map


def heat_map(n_layers=6, **changed):
    effect = np.linspace(-0.02, 0.4, 4 * n_layers).reshape(4, n_layers)
    return {
        "fact": "1",
        "tokens": ["The", " $pace", " Need\n", "le"],
        "subject": [1, 2],
        "layers": list(range(3, 3 + n_layers)),
        "effect": effect.tolist(),
        "clean": 0.5,
        "corrupted": 0.125,
    } | changed


@pytest.mark.parametrize("kind", ["mlp", "attention", "state"])
def test_layers_across_tokens_down(kind, tmp_path):
    path = tmp_path / "heat.png"
    figure = plot_heat_map(heat_map(), kind, path)
    axes, bar = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["The", r"\$pace*", "Need*", "le"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["3", "4", "5", "6", "7", "8"]
    (image,) = axes.images
    assert np.allclose(image.get_array(), heat_map()["effect"])
    assert image.cmap(0.0)[:3] == (1.0, 1.0, 1.0)  # no effect is white
    assert image.get_clim() == pytest.approx((0.0, 0.4))
    assert bar.get_ylabel() == "clean 50.0%, with noise 12.5%"
    assert path.stat().st_size > 5000


def test_no_effect_at_all_and_many_layers():
    figure = plot_heat_map(heat_map(80, effect=np.zeros((4, 80)).tolist()), "mlp")
    assert len(figure.axes[0].get_xticklabels()) == 40
    figure.canvas.draw()


def test_blank_tokens_are_shown():
    figure = plot_heat_map(heat_map(tokens=["\n", " ", "a", ""]), "state")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["\\n", " *", "a*", ""]
