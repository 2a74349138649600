"""`run_study`: plan, say how long it will take, do what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from goldenlayers.cluster.settings import Cluster, engine_of
from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts import bundled_facts, read_facts
from goldenlayers.facts.fact_set import FactSet
from goldenlayers.locators.fixed import Fixed
from goldenlayers.locators.registry import make_locator
from goldenlayers.models.chat import chat_tokenizer
from goldenlayers.models.load import LoadedModel, load_model
from goldenlayers.progress import Progress, Say, quiet, silent
from goldenlayers.study.run.at_work import AtWork, counted
from goldenlayers.study.run.compared import compared, ranked, traced
from goldenlayers.study.run.edited import edited
from goldenlayers.study.run.folder import FORMAT, FORMAT_VERSION, INDEX, RunFolder
from goldenlayers.study.run.pace import layers_of, measured
from goldenlayers.study.run.pieces import COMPARE, EDITS, RANK, TIME, TRACE, Piece, pieces_of
from goldenlayers.study.run.settings import DataSpec, EditorSpec, ModelSpec, StudySettings
from goldenlayers.study.run.timed import timed
from goldenlayers.versions import versions

WORK: dict[str, Callable[[AtWork, Piece], None]] = {
    COMPARE: compared, RANK: ranked, TRACE: traced, EDITS: edited, TIME: timed,
}  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """A piece, and how it stands.

    Attributes:
        piece: The piece.
        key: Of everything that has a say in it.
        seconds: What it took, if it is done; else about how long it will take.
        done: Whether it is there.
    """

    piece: Piece
    key: str
    seconds: float
    done: bool


Show = Callable[[ModelSpec, Sequence[Planned]], None]


def run_study(
    study: StudySettings,
    out: str | Path,
    *,
    plan_only: bool = False,
    command: str = "",
    show: Show = lambda model, plan: None,
    load: Callable[..., LoadedModel] = load_model,
    cluster: Cluster | None = None,
    say: Say = quiet,
    progress: Progress = silent,
) -> Path:
    """Do what is missing of a study; what is there already, by the same settings, stays.

    Every finished edit and every finished piece is kept at once, so that the study can be stopped
    at any time and goes on where it was.

    Args:
        study: The study.
        out: Its folder.
        plan_only: End when the plan is known; it takes one fact of each data set, whose edits are
            kept.
        command: What the user typed, for the report.
        show: Called with each model's plan.
        load: Loads a model, as `goldenlayers.load_model`.
        cluster: Workers that find and compare; None for this process. The plan's times, and those
            that the study takes, are of this process.
        say: Called with a line when something is worth knowing.
        progress: Called with stage, items done and their total.

    Returns:
        The folder.

    Raises:
        GoldenLayersError: If settings, models or facts cannot be used, or the folder cannot be
            written.
    """
    run = RunFolder(Path(out))
    data, facts, left_out = _facts(study, say, progress)
    with run.opened():
        index: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": study.name,
            "settings": asdict(study),
            "command": command,
            "data": {d.title: counted(facts[d.title]) for d in data},
            "left_out": left_out,
            "models": {},
            "pieces": [],
            "versions": versions(),
        }
        for model in study.models:
            at = AtWork(study, run, _loaded(model, load, say), facts, say, progress)
            _require_fixed(at, model, data)
            index["models"][model.title] = at.loaded.identity.to_dict()
            plan = _planned(at, model, data)
            show(model, plan)
            index["pieces"] += [_record(p) for p in plan if p.done]
            left = [p for p in plan if not p.done]
            if plan_only or not left:
                continue
            with engine_of(cluster, at.loaded.model, at.loaded.tokenizer, say) as engine:
                at = replace(at, engine=engine)
                for planned in left:
                    index["pieces"].append(_record(_work(at, planned)))
                    run.write(Path(INDEX), index)
        run.write(Path(INDEX), index)
    return run.path


def _facts(
    study: StudySettings, say: Say, progress: Progress
) -> tuple[tuple[DataSpec, ...], dict[str, FactSet], list[str]]:
    """Return the data sets that are there, their facts, and what was left out."""
    data, facts, left_out = [], {}, []
    for one in study.data:
        if one.optional and one.facts != "bundled" and not Path(one.facts).exists():
            left_out.append(one.title)
            say(f"{one.title}: {one.facts} is not there; left out, as the settings allow")
            continue
        found = (
            bundled_facts()
            if one.facts == "bundled"
            else read_facts(one.facts, format=one.format, progress=progress)
        )
        if one.half is not None:
            found = found.half(one.half)
        if one.sample is not None:
            found = found.sample(one.sample, study.seed)
        if one.split is not None:
            found = found.marked(one.split, study.seed)
        data.append(one)
        facts[one.title] = found
    if not data:
        raise FactError("none of the study's data sets is there; name one that is")
    return tuple(data), facts, left_out


def _loaded(model: ModelSpec, load: Callable[..., LoadedModel], say: Say) -> LoadedModel:
    loaded = load(
        model.model, device=model.device, dtype=model.dtype, revision=model.revision, say=say,
    )  # fmt: skip
    if model.chat:
        loaded = replace(loaded, tokenizer=chat_tokenizer(loaded.tokenizer))
    return replace(loaded, identity=replace(loaded.identity, title=model.title))


def _require_fixed(at: AtWork, model: ModelSpec, data: Sequence[DataSpec]) -> None:
    """Refuse a fixed layer that a data set does not edit, before hours of work end there."""
    fixed = [m for m in map(make_locator, at.study.locators_of(model)) if isinstance(m, Fixed)]
    for one in data:
        numbers = layers_of(at, one)
        for method in fixed:
            if method.layer not in numbers:
                raise SettingsError(
                    f"{one.title}: layer {method.layer} is judged for {model.title} (default_layer "
                    f"or fixed:{method.layer}), but layers {', '.join(map(str, numbers))} are "
                    f"edited; add {method.layer} to the layers of {one.title}"
                )


def _planned(at: AtWork, model: ModelSpec, data: Sequence[DataSpec]) -> list[Planned]:
    pieces = list(pieces_of(at.study, model, tuple(data)))
    keys = [at.key(piece) for piece in pieces]
    done = [at.run.done(p.place, k) for p, k in zip(pieces, keys, strict=True)]
    if all(seconds is not None for seconds in done):
        return [Planned(*each, True) for each in zip(pieces, keys, map(_known, done), strict=True)]
    missing = [p for p, seconds in zip(pieces, done, strict=True) if seconds is None]
    needed = [d for d in data if any(p.data == d for p in missing)]
    at.say("measuring how long the work takes, by one fact of each data set")
    pace = measured(at, needed, _editors(missing, at.study))
    return [
        Planned(p, key, pace.of(at, p) if seconds is None else seconds, seconds is not None)
        for p, key, seconds in zip(pieces, keys, done, strict=True)
    ]


def _known(seconds: float | None) -> float:
    assert seconds is not None
    return seconds


def _editors(pieces: Sequence[Piece], study: StudySettings) -> list[EditorSpec]:
    """Return the editors that are used, one of a name: others differ in templates alone."""
    used = {p.editor.title: p.editor for p in pieces[::-1] if p.editor is not None}
    return list({e.title: e for e in (study.editors[0], *used.values())}.values())


def _work(at: AtWork, planned: Planned) -> Planned:
    piece = planned.piece
    at.say(f"{piece.kind}: {piece.title}")
    at.run.unfinish(piece.place)
    start = time.perf_counter()
    WORK[piece.kind](at, piece)
    seconds = time.perf_counter() - start
    at.run.finish(piece.place, planned.key, seconds, piece.what)
    return replace(planned, seconds=seconds, done=True)


def _record(planned: Planned) -> dict[str, Any]:
    piece = planned.piece
    return {
        "kind": piece.kind,
        "model": piece.model.title,
        "data": None if piece.data is None else piece.data.title,
        "editor": None if piece.editor is None else piece.editor.title,
        "variant": piece.variant,
        "place": piece.place.as_posix(),
        "seconds": planned.seconds,
    }
