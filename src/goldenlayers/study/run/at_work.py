"""What the work on one model's pieces shares: the model, the facts, the folder, the keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldenlayers.cluster.engine import Engine
from goldenlayers.covariance.key import key_hash
from goldenlayers.editors.run import make_editor
from goldenlayers.facts.fact_set import FactSet
from goldenlayers.locators.edits import EditSettings
from goldenlayers.models.load import LoadedModel
from goldenlayers.progress import Progress, Say, quiet, silent
from goldenlayers.study.run.folder import RunFolder, folder_name
from goldenlayers.study.run.pieces import Piece
from goldenlayers.study.run.settings import DataSpec, EditorSpec, StudySettings

SWEEPS = "sweeps"


@dataclass(frozen=True)
class AtWork:
    """One model's share of a study.

    Attributes:
        study: The study.
        run: Its folder.
        loaded: The model.
        facts: By title, the data sets, drawn and parted.
        say: Called with a line when something is worth knowing.
        progress: Called with stage, items done and their total.
        engine: Who finds and compares; None for this process, which alone takes times.
    """

    study: StudySettings
    run: RunFolder
    loaded: LoadedModel
    facts: Mapping[str, FactSet]
    say: Say = quiet
    progress: Progress = silent
    engine: Engine | None = None

    def facts_of(self, piece: Piece) -> FactSet:
        """Return the facts of a piece that has a data set."""
        assert piece.data is not None
        return self.facts[piece.data.title]

    def place(self, piece: Piece) -> Path:
        """Return where the results of a piece shall be."""
        return self.run.path / piece.place

    def key(self, piece: Piece) -> str:
        """Return the key of everything that has a say in a piece."""
        return key_hash(
            {
                "kind": piece.kind,
                "what": dict(piece.what),
                "facts": None if piece.data is None else _facts_hash(self.facts_of(piece)),
                "model": self._model,
            }
        )

    def sweep(self, data: DataSpec, editor: EditorSpec) -> Path:
        """Return the file that keeps the edits of a data set by an editor.

        Whatever has a say in an edit is in its name, so that other settings never meet it.
        """
        told = key_hash(
            {
                "facts": _facts_hash(self.facts[data.title]),
                "model": self._model,
                "editor": [editor.editor, editor.templates, editor.covariance],
                "settings": dict(editor.settings),
                "seed": self.study.seed,
            }
        )
        names = map(folder_name, (self.loaded_title, data.title))
        return self.run.path.joinpath(
            SWEEPS, *names, f"{folder_name(editor.title)}-{told[:8]}.sqlite"
        )

    @property
    def loaded_title(self) -> str:
        """What the study calls the model."""
        return self.loaded.identity.title

    def editing(self, editor: EditorSpec) -> EditSettings:
        """Return how an editor edits."""
        return EditSettings(**self.edit_settings(editor))

    def edit_settings(self, editor: EditorSpec) -> dict[str, Any]:
        """Return the same as settings of `goldenlayers.compare`."""
        make_editor(editor.editor, **dict(editor.settings))  # refuses what is wrong
        return {
            "objective": self.study.objective,
            "editor": editor.editor,
            "templates": editor.templates,
            "covariance": editor.covariance or "none",
            "editor_settings": dict(editor.settings),
        }

    @property
    def _model(self) -> dict[str, Any]:
        told = self.loaded.identity.to_dict()
        # the same model on another machine, or under another path, is the same
        return {k: v for k, v in told.items() if k not in ("name", "title", "device")}


def counted(facts: FactSet) -> dict[str, Any]:
    """Return where facts come from and how many there are, ready for JSON."""
    return {**facts.origin(), "splits": dict(Counter(f.split or "none" for f in facts))}


def _facts_hash(facts: FactSet) -> str:
    return key_hash([f.to_record() for f in facts])
