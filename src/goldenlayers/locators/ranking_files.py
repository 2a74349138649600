"""A ranking on disk: ranking.json, the per-fact scores as CSV, and the picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from goldenlayers.disk import not_written
from goldenlayers.errors import ResultError
from goldenlayers.files import write_whole
from goldenlayers.locators.ranking import FactAnswer, LayerRanking, LayerScore, Skipped
from goldenlayers.results import DAMAGE, beside, damaged, read_json, shown, write_json
from goldenlayers.typed import of_type

FORMAT = "golden-layers ranking"
FORMAT_VERSION = 1
JSON_NAME = "ranking.json"
CSV_NAME = "fact_scores.csv"
PICTURE_NAME = "scores.png"
HEAT_MAP_NAME = "heat_map.png"  # of a trace, where one was asked for


def to_dict(ranking: LayerRanking) -> dict[str, Any]:
    """Return everything but the per-fact arrays, ready for JSON."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "method": ranking.method,
        "golden": ranking.golden,
        "order": ranking.order,
        "layers": [asdict(s) for s in ranking.layers],
        "fences": list(ranking.fences) if ranking.fences else None,
        "legend": ranking.legend,
        "axis": ranking.axis,
        "shares": list(ranking.shares),
        "notes": list(ranking.notes),
        "details": dict(ranking.details),
        "settings": dict(ranking.settings),
        "seed": ranking.settings.get("seed"),
        "model": dict(ranking.model),
        "facts": dict(ranking.facts),
        "answers": [asdict(a) for a in ranking.answers],
        "skipped": [asdict(s) for s in ranking.skipped],
        "versions": dict(ranking.versions),
        "seconds": dict(ranking.seconds),
        "files": {"fact_scores": CSV_NAME, "picture": PICTURE_NAME}
        | ({"heat_map": HEAT_MAP_NAME} if ranking.details.get("heat_map") else {}),
    }


def save(ranking: LayerRanking, folder: str | Path) -> list[Path]:
    """Write the three files; see `LayerRanking.save`."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        heat_map = folder / HEAT_MAP_NAME
        heat_map.unlink(missing_ok=True)  # an earlier run's
        if (traced := ranking.details.get("heat_map")) is not None:
            from goldenlayers.report.heat_map import plot_heat_map

            kind = str(ranking.details["kind"])
            pictures = [write_whole(heat_map, lambda path: plot_heat_map(traced, kind, path))]
        else:
            pictures = []
        # ranking.json comes last: a folder that has it has the others, of the same run
        return [
            *pictures,
            write_whole(folder / PICTURE_NAME, lambda path: ranking.plot(path)),
            write_whole(folder / CSV_NAME, lambda path: _csv(ranking, path)),
            write_whole(folder / JSON_NAME, lambda path: _json(ranking, path)),
        ][::-1]
    except OSError as error:
        raise not_written(folder, error) from error


def load(path: str | Path) -> LayerRanking:
    """Read a ranking; see `LayerRanking.load`."""
    path = Path(path)
    file = path / JSON_NAME if path.is_dir() else path
    data = read_json(file, "expected the folder that `golden-layers find` wrote")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ResultError(
            f"{file}: not a ranking; expected the ranking.json of `golden-layers find`"
        )
    if data.get("format_version") != FORMAT_VERSION:
        raise ResultError(
            f"{file}: format version {data.get('format_version')}; this golden-layers reads "
            f"{FORMAT_VERSION}"
        )
    try:
        layers = of_type(data["layers"], tuple[LayerScore, ...], "layers")
        answers = of_type(data["answers"], tuple[FactAnswer, ...], "answers")
        table = beside(file, data["files"]["fact_scores"])
        ranking = LayerRanking(
            method=of_type(data["method"], str, "method"),
            golden=of_type(data["golden"], int, "golden"),
            layers=layers,
            answers=answers,
            fact_scores=_read_csv(table, answers, layers),
            skipped=of_type(data["skipped"], tuple[Skipped, ...], "skipped"),
            fences=of_type(data["fences"] or None, tuple[float, float] | None, "fences"),
            # a ranking of an earlier version does not have these
            legend=of_type(data.get("legend", ""), str, "legend"),
            axis=of_type(data.get("axis", "score"), str, "axis"),
            shares=of_type(data.get("shares", ()), tuple[str, ...], "shares"),
            notes=of_type(data.get("notes", ()), tuple[str, ...], "notes"),
            details=of_type(data.get("details", {}), Mapping[str, Any], "details"),
            settings=of_type(data["settings"], Mapping[str, Any], "settings"),
            model=of_type(data["model"], Mapping[str, Any], "model"),
            facts=of_type(data["facts"], Mapping[str, Any], "facts"),
            versions=of_type(data["versions"], Mapping[str, str], "versions"),
            seconds=of_type(data["seconds"], Mapping[str, float], "seconds"),
        )
        if ranking.golden not in [score.layer for score in layers]:
            raise ValueError(f"golden layer {ranking.golden} is none of the layers scored")
        return ranking
    except DAMAGE as error:
        raise damaged(file, error) from error


def _json(ranking: LayerRanking, path: Path) -> None:
    write_json(path, to_dict(ranking))


def _csv(ranking: LayerRanking, path: Path) -> None:
    names = list(ranking.fact_scores)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["fact", "layer", *names])
        for i, answer in enumerate(ranking.answers):
            for j, score in enumerate(ranking.layers):
                # repr of a float reads back to the same bits
                values = [repr(float(ranking.fact_scores[n][i, j])) for n in names]
                out.writerow([answer.id, score.layer, *values])


def _read_csv(
    path: Path, answers: tuple[FactAnswer, ...], layers: tuple[LayerScore, ...]
) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise ResultError(f"{path}: the per-fact scores cannot be read: {shown(error)}") from error
    expected = [(a.id, str(s.layer)) for a in answers for s in layers]
    whole = all(len(row) == len(header) for row in rows)
    if not whole or [tuple(row[:2]) for row in rows] != expected or header[:2] != ["fact", "layer"]:
        raise ResultError(
            f"{path}: does not belong to the ranking beside it (facts or layers differ)"
        )
    shape = (len(answers), len(layers))
    return {
        name: np.array([float(row[2 + i]) for row in rows]).reshape(shape)
        for i, name in enumerate(header[2:])
    }
