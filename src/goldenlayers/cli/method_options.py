"""Options of the ways to choose a layer: how layers are judged by edits, how facts are traced."""

from __future__ import annotations

from typing import Annotated

import typer

from goldenlayers.errors import SettingsError

_TRUTH = "How layers are judged by real edits (brute-force, verified, staged)"
Objective = Annotated[
    str,
    typer.Option(
        help="What makes a layer good: rewrite, rephrase, locality, portability, mean (of those "
        "that the facts have) or harmonic (their harmonic mean).",
        rich_help_panel=_TRUTH,
    ),
]
Race = Annotated[
    str | None,
    typer.Option(
        help="verified: how many layers race, the best by LGA, 6 where nothing is said; or all.",
        rich_help_panel=_TRUTH,
    ),
]
Share = Annotated[
    float,
    typer.Option(
        help="staged: share of the edits that brute force would make.", rich_help_panel=_TRUTH
    ),
]
MostEdits = Annotated[
    int,
    typer.Option(
        help="staged: edits at most, however many facts there are.", rich_help_panel=_TRUTH
    ),
]
Plain = Annotated[
    bool,
    typer.Option(
        "--plain",
        help="Make one edit after another in the whole model: slow, and the same.",
        rich_help_panel=_TRUTH,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the edits that are kept in the folder; refused if model, facts or "
        "settings differ.",
        rich_help_panel=_TRUTH,
    ),
]
_TRACING = "How facts are traced (cma, attribution-patching)"
Kind = Annotated[
    str,
    typer.Option(
        help="What is restored: state, mlp or attention (the last two in a window of layers).",
        rich_help_panel=_TRACING,
    ),
]
Window = Annotated[int, typer.Option(help="Layers in the window.", rich_help_panel=_TRACING)]
Draws = Annotated[int, typer.Option(help="Draws of the noise.", rich_help_panel=_TRACING)]
Traced = Annotated[
    str,
    typer.Option(
        help="known: the old answers of the facts that the model knows. own: the model's own "
        "answer to every fact.",
        rich_help_panel=_TRACING,
    ),
]
Noise = Annotated[
    float,
    typer.Option(
        help="Size of the noise, in standard deviations of the subjects' embeddings.",
        rich_help_panel=_TRACING,
    ),
]


def racers(text: str | None) -> int | None:
    """Return how many layers race, 0 for all."""
    if text is None:
        return None
    if text.strip().casefold() == "all":
        return 0
    if not text.strip().isdecimal() or int(text) < 2:
        raise SettingsError(f"--race {text!r}: expected a number of layers, 2 or more, or all")
    return int(text)
