"""A sequence of edits that is not finished: on disk after each milestone, to go on from there.

"state.json" names the file of the edits so far and the folders of the milestones' raw outputs. It
is replaced last, so that what it names is whole whenever the process or the machine stops.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goldenlayers.covariance.key import key_hash
from goldenlayers.disk import not_written
from goldenlayers.editors.edit import Edit
from goldenlayers.errors import ResultError
from goldenlayers.files import write_whole
from goldenlayers.metrics.evaluation import Evaluation
from goldenlayers.results import DAMAGE, beside, shown
from goldenlayers.study.milestone import Milestone

UNFINISHED = "unfinished"
STATE = "state.json"


class Unfinished:
    """The milestones of one sequence so far.

    Args:
        folder: Where they are kept; None keeps nothing.
        identity: What they belong to, ready for JSON: model, facts, settings.
        resume: Go on with what is there; without, a folder that holds a sequence is refused.

    Attributes:
        milestones: Those that were reached.
        edit: All edits of the last of them as one; None before the first edit.

    Raises:
        ResultError: If the folder cannot be used, or belongs to another sequence.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], *, resume: bool):
        self.folder = folder
        self.milestones: list[Milestone] = []
        self.edit: Edit | None = None
        self._identity = key_hash(identity)
        if folder is None or not (folder / STATE).exists():
            return
        if not resume:
            raise ResultError(
                f"{folder}: holds a sequence of edits that was not finished; go on with it "
                "(--resume, resume=True), remove it, or choose another folder"
            )
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            told = state["identity"]
            if told == self._identity:
                self._read(folder, state)
        except (OSError, *DAMAGE) as error:
            raise ResultError(
                f"{folder}: cannot be read as a sequence of edits: {shown(error)}; remove it to "
                "start anew"
            ) from error
        if told != self._identity:
            raise ResultError(
                f"{folder}: holds a sequence of other facts, another model or other settings; "
                "give the same ones to go on with it, or choose another folder"
            )

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        for kept in state["milestones"]:
            evaluation = Evaluation.load(folder / _outputs(kept["edits"]))
            self.milestones.append(Milestone(**kept, evaluation=evaluation))
        if state["edit"] is not None:
            self.edit = Edit.load(beside(folder / STATE, state["edit"]))

    def keep(self, milestones: Sequence[Milestone], edit: Edit | None) -> None:
        """Put down the milestones reached so far, the last of them new, and the edits of it.

        Raises:
            ResultError: If the folder cannot be written.
        """
        self.milestones, self.edit = list(milestones), edit
        folder, last = self.folder, self.milestones[-1]
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if last.evaluation is not None:
                last.evaluation.save(folder / _outputs(last.edits))
            name = None if edit is None else f"edits-{last.edits:04d}.safetensors"
            if edit is not None and name is not None:
                edit.save(folder / name)
            state = {
                "identity": self._identity,
                "milestones": [m.to_dict() for m in self.milestones],
                "edit": name,
            }
            # numbers that are not finite stay what they are: nobody but us reads this
            text = json.dumps(state, indent=1)
            write_whole(folder / STATE, lambda path: path.write_text(text, encoding="utf-8"))
            for old in folder.glob("edits-*.safetensors"):
                if old.name != name:
                    old.unlink()
        except OSError as error:
            raise not_written(folder, error) from error


def _outputs(edits: int) -> str:
    return f"edits-{edits:04d}"
