"""The picture of a traced fact: what each layer gives back at each token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from goldenlayers.report.plot import INK

WHAT = {
    "mlp": "the MLP's outputs around a layer are",
    "attention": "the attention's outputs around a layer are",
    "state": "a layer's output is",
}
# White is no effect. One hue per kind, dark at the other end, so that they read in grey too.
COLOURS = {
    "mlp": ("#FFFFFF", "#8FCBB4", "#009E73", "#00382A"),
    "attention": ("#FFFFFF", "#F0B48A", "#D55E00", "#4F2300"),
    "state": ("#FFFFFF", "#8CC4E8", "#0072B2", "#00283F"),
}
GRID = "#E4E4E4"


def plot_heat_map(heat_map: Mapping[str, Any], kind: str, path: str | Path | None = None) -> Figure:
    """Draw layers across and tokens down, the first token on top, the subject's starred.

    Args:
        heat_map: `LayerRanking.details["heat_map"]` of a CMA that was asked for one.
        kind: What was put back: "mlp", "attention" or "state".
        path: Where to write the picture too; the suffix decides the format.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    effect = np.asarray(heat_map["effect"], dtype=float)  # (tokens, layers)
    layers, (first, last) = heat_map["layers"], heat_map["subject"]
    n_tokens, n_layers = effect.shape
    width = max(6.5, min(16.0, 3.2 + 0.22 * n_layers))
    figure = Figure(figsize=(width, max(2.8, 1.5 + 0.27 * n_tokens)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    # what is below zero is white too; the bar says so
    top = max(float(effect.max()), 1e-9)
    colours = LinearSegmentedColormap.from_list(f"traced-{kind}", COLOURS[kind])
    image = axes.imshow(
        effect, cmap=colours, vmin=0.0, vmax=top, aspect="auto", interpolation="nearest"
    )
    axes.set_yticks(
        range(n_tokens),
        [
            _shown(token) + ("*" if first <= i <= last else "")
            for i, token in enumerate(heat_map["tokens"])
        ],
    )
    step = max(1, round(n_layers / 32))
    axes.set_xticks(range(0, n_layers, step), [str(layer) for layer in layers[::step]])
    axes.set_xlabel("layer")
    axes.tick_params(labelsize=9, length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(n_layers + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n_tokens + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.set_title(
        f"What p(answer) regains when {WHAT[kind]} clean again",
        loc="left",
        fontsize=11,
        fontweight="bold",
        color=INK,
    )
    below = bool((effect < 0).any())
    bar = figure.colorbar(image, ax=axes, extend="min" if below else "neither", fraction=0.05)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=1 if top < 0.05 else 0))
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    bar.set_label(
        f"clean {heat_map['clean']:.1%}, with noise {heat_map['corrupted']:.1%}", fontsize=8
    )
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _shown(token: str) -> str:
    """Return a token as one line of text that takes part in no formula."""
    text = token.strip() or repr(token)[1:-1]
    return text.replace("\n", "\\n").replace("$", r"\$")
