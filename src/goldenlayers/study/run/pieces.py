"""The pieces of a study: what has to be done, each by itself and each only once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from goldenlayers.study.run.folder import folder_name
from goldenlayers.study.run.settings import (
    DataSpec,
    EditorSpec,
    ModelSpec,
    Sensitivity,
    StudySettings,
)

COMPARE, RANK, TRACE, TIME, EDITS = "comparisons", "rankings", "traces", "times", "edits"
# what is written of the truth alone: nothing is chosen by edits of proxy facts
CHEAP = ("lga", "middle")


@dataclass(frozen=True)
class Piece:
    """A piece of work.

    Attributes:
        kind: What is done; the name of the folder that such pieces lie in.
        model: The model.
        data: The data set; None for what needs none.
        editor: The editor; None for what edits nothing.
        variant: What tells it from others of the same model, data and editor.
        what: Every setting that has a say, ready for JSON.
    """

    kind: str
    model: ModelSpec
    data: DataSpec | None = None
    editor: EditorSpec | None = None
    variant: str = ""
    what: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """Its folder, within the study's."""
        names = [self.model.title, *(s.title for s in (self.data, self.editor) if s is not None)]
        return Path(self.kind, *map(folder_name, names), self.variant)

    @property
    def title(self) -> str:
        """What the plan calls it."""
        names = [self.model.title, *(s.title for s in (self.data, self.editor) if s is not None)]
        return ", ".join(n for n in (*names, self.variant.replace("-", " ")) if n)


def pieces_of(
    study: StudySettings, model: ModelSpec, data: tuple[DataSpec, ...]
) -> Iterator[Piece]:
    """Yield the pieces of one model, in the order in which they are worth having.

    Args:
        study: The study.
        model: The model.
        data: The data sets that are there.
    """
    for one in data:
        for editor in study.editors:
            for size in study.proxy_of(one):
                yield _comparison(study, model, one, editor, size)
    for one in data:
        yield from _rankings(study, model, one)
        if study.of(one, "heat_map"):
            what = {"kind": "mlp", **_common(study), "proxy": study.proxy_of(one)[-1]}
            yield Piece(TRACE, model, one, what=what)
    for one in data:
        for editor in study.editors:
            if study.of(one, "stories") or study.of(one, "side_effects"):
                yield Piece(EDITS, model, one, editor, what=_edits(study, one, editor))
    for one in data:
        for kind in study.templates_of(one):
            yield _templates(study, study.sensitivity, model, one, kind)
    if study.timing is not None:
        what = {**asdict(study.timing), "editor": asdict(study.editors[0]), "seed": study.seed}
        yield Piece(TIME, model, data[0], what=what)


def comparison_variant(size: int) -> str:
    """Return what tells the comparison on draws of a size from others."""
    return f"proxy-{size:04d}"


def _common(study: StudySettings) -> dict[str, Any]:
    return {"seed": study.seed, "repeats": study.repeats}


def _comparison(
    study: StudySettings, model: ModelSpec, data: DataSpec, editor: EditorSpec, size: int
) -> Piece:
    what = {
        **_common(study),
        "proxy": size,
        "test": study.of(data, "test"),
        "layers": study.of(data, "layers"),
        "objective": study.objective,
        "locators": list(study.locators_of(model)),
        "traced": study.of(data, "traced"),
        "editor": asdict(editor),
    }
    return Piece(COMPARE, model, data, editor, comparison_variant(size), what)


def _templates(
    study: StudySettings, tried: Sensitivity | None, model: ModelSpec, data: DataSpec, kind: str
) -> Piece:
    assert tried is not None
    editor = study.editors[0]
    changed = EditorSpec(editor.editor, editor.name, kind, editor.covariance, editor.settings)
    what = {
        **_common(study),
        "proxy": study.proxy_of(data)[-1],
        "test": tried.templates_test or study.of(data, "test"),
        "layers": study.of(data, "layers"),
        "objective": study.objective,
        "locators": list(CHEAP),
        "traced": study.of(data, "traced"),
        "editor": asdict(changed),
    }
    return Piece(COMPARE, model, data, changed, f"templates-{kind}", what)


def _rankings(study: StudySettings, model: ModelSpec, data: DataSpec) -> Iterator[Piece]:
    tried = study.sensitivity
    for scope in tried.scope if tried else ("site",):
        for old in tried.old_answer if tried else ("record",):
            what = {
                "scope": scope, "old_answer": old, "layers": study.of(data, "layers"),
                "seed": study.seed,
            }  # fmt: skip
            yield Piece(RANK, model, data, variant=f"lga-{scope}-{old}", what=what)


def _edits(study: StudySettings, data: DataSpec, editor: EditorSpec) -> dict[str, Any]:
    return {
        **_common(study),
        "objective": study.objective,
        "stories": study.of(data, "stories"),
        "side_effects": study.of(data, "side_effects"),
        "text": study.text,
        "proxy": study.proxy_of(data)[-1],
        "test": study.of(data, "test"),
        "editor": asdict(editor),
        "lm_eval": list(study.lm_eval),
        "lm_eval_limit": study.lm_eval_limit,
        "lm_eval_path": study.lm_eval_path,
    }
