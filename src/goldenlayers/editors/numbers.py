"""Settings that are numbers: what is none is refused, with what was found and what is expected."""

from __future__ import annotations

import math
from typing import Any

from goldenlayers.errors import SettingsError

# Adam divides it by 1 - 0.9 in its first step, and the result must be a float32.
MOST_LR = 1e30


def require_number(
    name: str, value: Any, *, above_zero: bool = False, most: float = math.inf
) -> None:
    """Refuse a setting that is no finite number of 0 or more.

    Raises:
        SettingsError: If it is not, or exceeds `most`.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    least = 0.0 if not above_zero else math.nextafter(0.0, 1.0)
    if number and least <= value < math.inf and value <= most:
        return
    bound = "above 0" if above_zero else "of 0 or more"
    # the bound is worth a word to nobody but who went beyond it
    if number and most < value < math.inf:
        bound += f", at most {most:g}"
    raise SettingsError(f"{name} {value!r}: expected a number {bound}")


def require_whole(name: str, value: Any, least: int = 1) -> None:
    """Refuse a setting that is no whole number of `least` or more.

    Raises:
        SettingsError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        bound = "above 0" if least == 1 else f"of {least} or more"
        raise SettingsError(f"{name} {value!r}: expected a whole number {bound}")
