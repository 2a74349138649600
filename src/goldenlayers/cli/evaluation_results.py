"""What `golden-layers evaluate` has computed: where it is written, and how it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from goldenlayers.cli import console

if TYPE_CHECKING:
    from rich.console import Console


def require_place(out: Path, by_layer: bool, sequential: bool) -> None:
    """Refuse a folder whose index is somebody else's."""
    from goldenlayers.metrics import evaluation_files
    from goldenlayers.results import require_own
    from goldenlayers.study import each, sequence_files

    if sequential:
        require_own(out / sequence_files.INDEX, sequence_files.FORMAT)
    elif by_layer:
        require_own(out / each.INDEX, each.FORMAT)
    else:
        require_own(out / evaluation_files.JSON_NAME, evaluation_files.FORMAT)


def save(result: Any, out: Path) -> list[Path]:
    """Write an evaluation, edits by layer, or a list of sequences; all files or none."""
    from goldenlayers.results import put_together
    from goldenlayers.study.sequence_files import save_sequences

    if isinstance(result, list):
        return save_sequences(result, out)
    if hasattr(result, "layers"):
        saved: list[Path] = result.save(out)
        return saved
    with put_together(out) as stage:
        written = result.save(stage)
    return [out / path.name for path in written]


def summary(result: Any) -> Any:
    """Return what --json prints."""
    from goldenlayers.results import strict

    if isinstance(result, list):
        return [s.to_dict() for s in result]
    return result.to_dict() if hasattr(result, "to_dict") else strict(result.summary())


def show(result: Any, by_layer: bool, sequential: bool, to: Console) -> None:
    """Print the table."""
    from goldenlayers.report.evaluation_table import evaluation_table, members_line
    from goldenlayers.report.study_tables import layers_table, sequences_table
    from goldenlayers.sweep.windows import in_words

    if sequential:
        to.print(sequences_table(result, to.width))
        return
    if by_layer:
        to.print(layers_table(result, to.width))
        width = result.settings["edited_together"]
        if width > 1:
            console.line(f"[dim]{result.settings['editor']}{in_words(width)}[/]", to)
        result = result.layers[0].evaluation
    else:
        to.print(evaluation_table(result))
    console.line(f"[dim]{escape(members_line(result))}[/]", to)
