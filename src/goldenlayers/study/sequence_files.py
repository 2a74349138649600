"""Sequences of edits on disk: the index, a table, a picture, the raw outputs and the edits."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from goldenlayers.errors import SettingsError
from goldenlayers.files import write_whole
from goldenlayers.results import put_together, strict, write_json
from goldenlayers.study.milestone import EditSequence
from goldenlayers.study.unfinished import UNFINISHED

FORMAT = "golden-layers sequence of edits"
FORMAT_VERSION = 2  # 2: several layers, and the edits beside the scores
INDEX = "sequence.json"
EDIT = "edit.safetensors"


def save_sequences(sequences: Sequence[EditSequence], folder: Path) -> list[Path]:
    """Write sequence.json, sequence.csv, sequence.png, the raw outputs and the edits; all or none.

    Of each sequence there is a folder, such as r-rome-layer-004, with all its edits as one
    (edit.safetensors) and the raw outputs of each milestone (edits-0010).

    Raises:
        ResultError: If the folder cannot be written.
        SettingsError: If there is no sequence.
    """
    from goldenlayers.report.sequence_plot import plot_sequences

    if not sequences:
        raise SettingsError("no sequences to save; expected one or more")
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sequences": [s.to_dict() for s in sequences],
    }
    with put_together(folder, outdated=[UNFINISHED]) as stage:
        for sequence in sequences:
            for m in sequence.milestones:
                if m.evaluation is not None:
                    m.evaluation.save(stage / sequence.folder / f"edits-{m.edits:04d}")
            if sequence.edit is not None:
                (stage / sequence.folder).mkdir(exist_ok=True)
                sequence.edit.save(stage / sequence.folder / EDIT)
        written = [
            write_whole(stage / "sequence.png", lambda path: plot_sequences(sequences, path)),
            write_whole(stage / "sequence.csv", lambda path: write_csv(sequences, path)),
            write_whole(stage / INDEX, lambda path: write_json(path, data)),
        ]
    return [folder / path.name for path in written]


def write_csv(sequences: Sequence[EditSequence], path: Path) -> None:
    """Write a row per milestone: scores with standard errors, growth, what took, seconds."""
    names = list(dict.fromkeys(n for s in sequences for m in s.milestones for n in m.scores))
    columns = [c for name in names for c in (name, f"{name}_standard_error")]
    last = ["weight_growth", "largest_update", "converged", "seconds"]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["editor", "layers", "edits", *columns, *last])
        for s in sequences:
            for m in s.milestones:
                row: list[object] = [s.editor, " ".join(map(str, s.layers)), m.edits]
                for name in names:
                    row += [m.scores.get(name), m.standard_errors.get(name)]
                out.writerow(strict([*row, *(getattr(m, name) for name in last)]))
