"""An evaluation on disk: evaluation.json, the scores by fact as CSV, the raw outputs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from goldenlayers.errors import ResultError
from goldenlayers.files import write_whole
from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.questions import SkippedProbe
from goldenlayers.metrics.scores import OF_A_FACT

FORMAT = "golden-layers evaluation"
FORMAT_VERSION = 1
JSON_NAME = "evaluation.json"
CSV_NAME = "scores.csv"
OUTPUTS_NAME = "outputs.jsonl"
COLUMNS = ("fact", *OF_A_FACT, *(f"before_{name}" for name in OF_A_FACT))


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
        raise ResultError(f"{folder}: cannot be written: {error.strerror or error}") from error


def load(path: str | Path) -> Evaluation:
    """Read an evaluation; see `Evaluation.load`."""
    path = Path(path)
    file = path / JSON_NAME if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(
            f"{file}: no such file; expected the folder that `golden-layers evaluate` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise ResultError(f"{file}: not readable as JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ResultError(
            f"{file}: not an evaluation; expected the evaluation.json of `golden-layers evaluate`"
        )
    if data.get("format_version") != FORMAT_VERSION:
        raise ResultError(
            f"{file}: format version {data.get('format_version')}; this golden-layers reads "
            f"{FORMAT_VERSION}"
        )
    try:
        # only the names count: a result from somebody else must not point outside its folder
        names = {key: Path(data["files"][key]).name for key in ("scores", "outputs")}
        evaluation = Evaluation(
            facts=_read_csv(file.parent / names["scores"]),
            outputs=_read_outputs(file.parent / names["outputs"]),
            skipped=tuple(SkippedProbe(**s) for s in data["skipped"]),
            settings=data["settings"],
            versions=data["versions"],
            seconds=data["seconds"],
        )
        same = evaluation.summary() == data["summary"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{file}: damaged: {type(error).__name__} {error}") from error
    if not same:
        raise ResultError(
            f"{file.parent / names['scores']}: does not belong to the evaluation.json beside it "
            "(its scores give another summary)"
        )
    return evaluation


def _json(evaluation: Evaluation, path: Path) -> None:
    text = json.dumps(to_dict(evaluation), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _csv(evaluation: Evaluation, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for fact in evaluation.facts:
            values = [of.get(name) for of in (fact.scores, fact.before) for name in OF_A_FACT]
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
        raise ResultError(f"{path}: the scores by fact cannot be read: {error}") from error
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise ResultError(
            f"{path}: expected the columns {', '.join(COLUMNS)} and a row of them per fact"
        )
    out = []
    for fact_id, *cells in rows:
        values = [float(cell) if cell else None for cell in cells]
        n = len(OF_A_FACT)
        after, before = (dict(zip(OF_A_FACT, v, strict=True)) for v in (values[:n], values[n:]))
        out.append(FactScores(fact_id, after, before))
    return tuple(out)


def _read_outputs(path: Path) -> tuple[dict[str, Any], ...]:
    try:
        # not splitlines(): it would also split at the line separators of Unicode inside a text
        lines = path.read_text(encoding="utf-8").split("\n")
        out = tuple(json.loads(line) for line in lines if line)
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: the raw outputs cannot be read: {error}") from error
    if not all(isinstance(record, dict) for record in out):
        raise ResultError(f"{path}: expected one JSON object a line")
    return out
