"""An evaluation on disk: evaluation.json, the scores by fact as CSV, the raw outputs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from goldenlayers.disk import not_written
from goldenlayers.errors import ResultError
from goldenlayers.files import write_whole
from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.questions import SkippedProbe
from goldenlayers.metrics.scores import OF_A_FACT, OF_SUBTYPES, split_name
from goldenlayers.results import DAMAGE, beside, damaged, read_json, shown, write_json

FORMAT = "golden-layers evaluation"
FORMAT_VERSION = 2
JSON_NAME = "evaluation.json"
CSV_NAME = "scores.csv"
OUTPUTS_NAME = "outputs.jsonl"
BEFORE = "before_"
# Those of every file; after them come the kinds that its facts have, then the same before the edit.
COLUMNS = ("fact", *OF_A_FACT, *(BEFORE + name for name in OF_A_FACT))
OUTDATED = "version 1 has no scores by kind, and its locality weighs kinds by their probes"


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return everything but the scores by fact and the raw outputs, ready for JSON."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "summary": evaluation.summary(),
        "settings": dict(evaluation.settings),
        "skipped": [s.to_dict() for s in evaluation.skipped],
        "versions": dict(evaluation.versions),
        "seconds": dict(evaluation.seconds),
        "files": {"scores": CSV_NAME, "outputs": OUTPUTS_NAME},
    }


def save(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Write the three files; see `Evaluation.save`."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # evaluation.json comes last: a folder that has it has the others, of the same run
        return [
            write_whole(folder / OUTPUTS_NAME, lambda path: _outputs(evaluation, path)),
            write_whole(folder / CSV_NAME, lambda path: _csv(evaluation, path)),
            write_whole(folder / JSON_NAME, lambda path: _json(evaluation, path)),
        ][::-1]
    except OSError as error:
        raise not_written(folder, error) from error


def load(path: str | Path) -> Evaluation:
    """Read an evaluation; see `Evaluation.load`."""
    path = Path(path)
    file = path / JSON_NAME if path.is_dir() else path
    data = read_json(file, "expected the folder that `golden-layers evaluate` wrote")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ResultError(
            f"{file}: not an evaluation; expected the evaluation.json of `golden-layers evaluate`"
        )
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        told = f" ({OUTDATED}); evaluate again" if version == 1 else ""
        raise ResultError(
            f"{file}: format version {version}; this golden-layers reads {FORMAT_VERSION}{told}"
        )
    try:
        scores, outputs = (beside(file, data["files"][key]) for key in ("scores", "outputs"))
        evaluation = Evaluation(
            facts=_read_csv(scores),
            outputs=_read_outputs(outputs),
            skipped=tuple(SkippedProbe(**s) for s in data["skipped"]),
            settings=data["settings"],
            versions=data["versions"],
            seconds=data["seconds"],
        )
        same = evaluation.summary() == data["summary"]
    except DAMAGE as error:
        raise damaged(file, error) from error
    if not same:
        raise ResultError(
            f"{scores}: does not belong to the evaluation.json beside it "
            "(its scores give another summary)"
        )
    return evaluation


def _json(evaluation: Evaluation, path: Path) -> None:
    write_json(path, to_dict(evaluation))


def _csv(evaluation: Evaluation, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        kinds = evaluation.kinds
        out.writerow([*COLUMNS, *kinds, *(BEFORE + name for name in kinds)])
        for fact in evaluation.facts:
            values = [of.get(name) for of in (fact.scores, fact.before) for name in OF_A_FACT]
            values += [of.get(name) for of in (fact.kinds, fact.kinds_before) for name in kinds]
            # repr of a float reads back to the same bits
            out.writerow([fact.id, *("" if v is None else repr(float(v)) for v in values)])


def _outputs(evaluation: Evaluation, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for output in evaluation.outputs:
            line = json.dumps(dict(output), ensure_ascii=False, allow_nan=False)
            file.write(line + "\n")


def _read_csv(path: Path) -> tuple[FactScores, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise ResultError(f"{path}: the scores by fact cannot be read: {shown(error)}") from error
    further = header[len(COLUMNS) :]
    kinds = further[: len(further) // 2]
    expected = [*COLUMNS, *kinds, *(BEFORE + name for name in kinds)]
    known = all(split_name(name)[0] in OF_SUBTYPES for name in kinds)
    if header != expected or not known or any(len(row) != len(header) for row in rows):
        raise ResultError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, then those of the kinds of "
            f"{', '.join(OF_SUBTYPES)} (as locality/KIND), the same with {BEFORE}, and a row of "
            "them per fact"
        )
    return tuple(_fact(row, kinds) for row in rows)


def _fact(row: Sequence[str], kinds: Sequence[str]) -> FactScores:
    fact_id, *cells = row
    values = iter([float(cell) if cell else None for cell in cells])
    after, before, by_kind, by_kind_before = (
        dict(zip(names, islice(values, len(names)), strict=True))
        for names in (OF_A_FACT, OF_A_FACT, kinds, kinds)
    )
    present, present_before = (
        {name: value for name, value in of.items() if value is not None}
        for of in (by_kind, by_kind_before)
    )
    return FactScores(fact_id, after, before, present, present_before)


def _read_outputs(path: Path) -> tuple[dict[str, Any], ...]:
    try:
        # not splitlines(): it would also split at the line separators of Unicode inside a text
        lines = path.read_text(encoding="utf-8").split("\n")
        out = tuple(json.loads(line) for line in lines if line)
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"{path}: the raw outputs cannot be read: {shown(error)}") from error
    if not all(isinstance(record, dict) for record in out):
        raise ResultError(f"{path}: expected one JSON object a line")
    return out
