"""An outcome as a row of the store, and back: what somebody edited there is found out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, fields
from typing import Any

from goldenlayers.sweep.outcome import SCORES, LayerOutcome

COLUMNS = tuple(f.name for f in fields(LayerOutcome))
ROUNDING = 1e-6  # a mean of shares may exceed 1 by its last bits
MEANS_NAN = ("nll_before", "nll_after", "update_norm")  # SQLite keeps NaN as NULL


def row_of(outcome: LayerOutcome) -> tuple[Any, ...]:
    """Return the values of the columns."""
    return tuple(
        json.dumps(dict(v), sort_keys=True, ensure_ascii=False) if isinstance(v, Mapping) else v
        for v in astuple(outcome)
    )


def outcome_of(row: tuple[Any, ...]) -> LayerOutcome:
    """Return the outcome that `row_of` made a row of.

    Raises:
        ValueError: If it is no such row; says which column holds what.
    """
    if len(row) != len(COLUMNS):
        raise ValueError(f"a row of {len(row)} values, expected {len(COLUMNS)}")
    values = dict(zip(COLUMNS, row, strict=True))
    for name in MEANS_NAN:
        if values[name] is None:
            values[name] = math.nan
    for name, expected in EXPECTED.items():
        if not expected(values[name]):
            raise ValueError(f"{name} {str(values[name])[:40]!r} is not what it should be")
    values["rewritten"] = bool(values["rewritten"])
    try:
        values["scores"] = json.loads(values["scores"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"scores are no JSON: {error}") from None
    _check(values["scores"])
    return LayerOutcome(**values)


def _check(scores: Any) -> None:
    if not isinstance(scores, dict):
        raise ValueError(f"scores {str(scores)[:40]!r} are no mapping")
    for name, value in scores.items():
        most = math.inf if name == "nll_new" else 1.0 + ROUNDING
        known = name in SCORES and (value is None or (_number(value) and 0 <= value <= most))
        if not known or value == math.inf:
            raise ValueError(f"score {name[:40]!r} is {str(value)[:40]!r}")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _time(value: Any) -> bool:
    return _number(value) and 0 <= value < math.inf


EXPECTED: dict[str, Callable[[Any], bool]] = {
    "fact": _text, "layer": _count, "status": _text, "reason": _text, "nll_before": _number,
    "nll_after": _number, "rewritten": lambda v: v in (0, 1), "steps": _count,
    "update_norm": _number, "scores": _text, "seconds": _time, "computed": _text,
}  # fmt: skip
