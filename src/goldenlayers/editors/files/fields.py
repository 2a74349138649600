"""Fields of a record that somebody else may have written: of the right kind, or a named refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import ResultError

NOT_FINITE = ("nan", "inf", "-inf")


@dataclass(frozen=True)
class Record:
    """A decoded JSON object.

    Attributes:
        data: The object.
        where: File and field, for messages.
    """

    data: Mapping[str, Any]
    where: str

    def wrong(self, key: str, expected: str) -> ResultError:
        """Return the error for a field that is not what it should be."""
        found = repr(self.data[key])[:60] if key in self.data else "nothing"
        return ResultError(f"{self.where}: '{key}' is {found}; expected {expected}")

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def flag(self, key: str) -> bool:
        """Return a truth value."""
        value = self.data.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def count(self, key: str, least: int, most: int = 1 << 53) -> int:
        """Return an integer in [least, most]."""
        value: Any = self.data.get(key)
        if not _is_count(value, least, most):
            raise self.wrong(key, f"an integer of {least} to {most}")
        return int(value)

    def number(self, key: str) -> float:
        """Return a number; "nan", "inf" and "-inf" are how JSON holds those that are not finite."""
        value: Any = self.data.get(key)
        if not _is_number(value):
            raise self.wrong(key, "a number")
        return float(value)

    def counts(self, key: str, least: int = 0, most: int = 1 << 53) -> list[int]:
        """Return a list of integers in [least, most]."""
        values = self.data.get(key)
        if not isinstance(values, list) or not all(_is_count(v, least, most) for v in values):
            raise self.wrong(key, f"a list of integers of {least} to {most}")
        return values

    def numbers(self, key: str) -> list[float]:
        """Return a list of numbers."""
        values = self.data.get(key)
        if not isinstance(values, list) or not all(map(_is_number, values)):
            raise self.wrong(key, "a list of numbers")
        return [float(value) for value in values]

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object as it is."""
        value = self.data.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return value

    def record(self, key: str) -> Record:
        """Return an object, to be read field by field."""
        return Record(self.mapping(key), f"{self.where}: {key[:80]}")

    def records(self, key: str) -> list[Record]:
        """Return a list of objects, to be read field by field."""
        values = self.data.get(key)
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise self.wrong(key, "a list of objects")
        return [Record(value, f"{self.where}: {key}[{i}]") for i, value in enumerate(values)]


def _is_count(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= 1 << 53
    return isinstance(value, float) or (isinstance(value, str) and value in NOT_FINITE)
