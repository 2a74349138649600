"""How far a method's choices were from the truth, where that was measured.

The figures are those of the study of choosers (docs/research): cells of a model, facts and an
editor that no method was made or tuned on. The excess is what a choice loses against brute force's
on the same facts, in points of the mean score; `tools/research/judge.py --measured` wrote the file
they are read from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from goldenlayers.locators.base import Locator
from goldenlayers.locators.registry import LOCATORS

FILE = Path(__file__).with_name("measured.json")
ALL = "all"  # models, whatever their class
ALIKE = 4.0  # a model of the same class is like a measured one up to this ratio of their parameters
TRUTH = "brute-force"
# what real edits are one flag away
LOOKS = (
    " Real edits tell how far on yours: golden-layers find --method staged, or verified, which "
    "races LGA's best."
)
RACES = " A race of LGA's best by real edits is golden-layers find --method verified."
WAYS = ("way", "layer")  # settings that make a method another one, as in robust-lga:rank


@dataclass(frozen=True)
class Measured:
    """What is known of a method's choices.

    Attributes:
        method: The method, with its way or layer.
        excess: What its choices lose against brute force's on the same facts, a share of one, and
            the ends of the 95 % interval; for brute force its own regret, without an interval. None
            where it was not measured.
        cells: In how many cells; 0 where it was not measured.
        like: Whether models of the same class and of similar size were measured, and the figures
            are of these alone.
        architecture: Class of the model that is asked about.
        parameters: Least and greatest number of parameters of the models that the figures are of.
    """

    method: str
    excess: tuple[float, ...] | None
    cells: int
    like: bool
    architecture: str
    parameters: tuple[int, int] | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON gives it back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def __str__(self) -> str:
        """Say it in one line."""
        looks = {TRUTH: "", "verified": "", "staged": RACES}.get(self.method, LOOKS)
        if self.excess is None or self.parameters is None:
            return (
                f"How far layers chosen by {self.method} are from the best was not measured on any "
                f"model yet.{looks}"
            )
        least, most = (f"{n / 1e6:.3g}" for n in self.parameters)
        size = least if least == most else f"{least} to {most}"
        cells = f"{self.cells} cell{'s' * (self.cells > 1)}"
        of = (
            f"Measured on models like this one ({self.architecture}, {size} million parameters; "
            f"{cells})"
            if self.like
            else f"Measured on other models, none like this one ({size} million parameters; "
            f"{cells})"
        )
        if self.method == TRUTH:
            lost = 100 * self.excess[0]
            how = (
                f"is {lost:.1f} points below the best layer"
                if lost > 0
                else "does as well as the best layer, as far as the test facts can tell"
            )
            what = f"brute force, choosing on other facts than it is judged on, {how}"
        else:
            mean, low, high = (100 * x for x in self.excess)
            what = (
                f"layers chosen by {self.method} with its defaults score {abs(mean):.1f} points "
                f"{'worse' if mean >= 0 else 'better'} in the mean than those that brute force "
                f"chooses on the same facts, which can err too "
                f"(95 %: {_signed(low)} to {_signed(high)})"
            )
        return f"{of}: {what}.{looks}"


def measured(locator: Locator, model: Mapping[str, Any]) -> Measured:
    """Return what is known of a method's choices on models like one.

    Args:
        locator: The method; settings other than its way are not told apart.
        model: Identity of the model, as in `LayerRanking.model`.
    """
    names = {kind: name for name, kind in LOCATORS.items()}
    name = names.get(type(locator), type(locator).__name__)
    for setting in WAYS:
        if (value := getattr(locator, setting, None)) is not None:
            name = f"{name}:{value}"
    return _of(name, str(model["architecture"]), int(model["parameters"]))


def _of(method: str, architecture: str, parameters: int) -> Measured:
    data = _read()
    ours = [c for c in data["cells"] if c["architecture"] == architecture]
    like = any(1 / ALIKE <= parameters / c["parameters"] <= ALIKE for c in ours)
    cells = ours if like else data["cells"]
    found = data["excess"][architecture if like else ALL].get(method)
    if found is None:
        return Measured(method, None, 0, like, architecture, None)
    sizes = [c["parameters"] for c in cells]
    return Measured(method, tuple(found), len(cells), like, architecture, (min(sizes), max(sizes)))


@cache
def _read() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−")
