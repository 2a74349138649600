"""The locators by name."""

from __future__ import annotations

from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.locators.attribution_patching import AttributionPatching
from goldenlayers.locators.base import Locator
from goldenlayers.locators.brute_force import BruteForce
from goldenlayers.locators.cma import CMA
from goldenlayers.locators.fixed import Fixed
from goldenlayers.locators.gradient_norm import GradientNorm
from goldenlayers.locators.lga import LGA
from goldenlayers.locators.middle import Middle
from goldenlayers.locators.predicted import Predicted
from goldenlayers.locators.random_layer import RandomLayer
from goldenlayers.locators.robust_lga import RobustLGA
from goldenlayers.locators.staged import Staged
from goldenlayers.locators.verified import Verified

# What `find` does when nothing is said: the method that a study of choosers has confirmed on cells
# that it was not made on (docs/research). The paper's is "lga".
AUTO, CHOSEN = "auto", "staged"
LOCATORS: dict[str, type[Locator]] = {
    "lga": LGA,
    "robust-lga": RobustLGA,
    "verified": Verified,
    "staged": Staged,
    "brute-force": BruteForce,
    "cma": CMA,
    "attribution-patching": AttributionPatching,
    "gradient-norm": GradientNorm,
    "predicted": Predicted,
    "middle": Middle,
    "random": RandomLayer,
    "fixed": Fixed,
}


def make_locator(method: str, **settings: Any) -> Locator:
    """Return the locator of that name with those settings.

    Args:
        method: Its name; "auto" stands for what is recommended, "fixed:5" for "fixed" with layer=5,
            and "robust-lga:median" for "robust-lga" with way="median".
        **settings: Its settings.

    Raises:
        SettingsError: If the method or a setting is unknown, or a value out of range.
    """
    name, colon, after = method.partition(":")
    name = CHOSEN if method == AUTO else name
    if name == "fixed":
        if not colon and "layer" in settings:
            after = str(settings.pop("layer"))
        if not after.isdecimal():
            raise SettingsError(f"method {method!r}: expected fixed:N, as in fixed:5")
        settings["layer"] = int(after)
    elif name in ("robust-lga", "predicted") and colon:
        settings["way"] = after
    elif colon or name not in LOCATORS:
        names = ", ".join("fixed:N" if n == "fixed" else n for n in (AUTO, *LOCATORS))
        raise SettingsError(f"method {method!r} is unknown; expected one of {names}")
    known = LOCATORS[name].__dataclass_fields__
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise SettingsError(
            f"method {method!r} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )
    return LOCATORS[name](**settings)


def settings_for(method: str) -> frozenset[str]:
    """Return the names of a method's settings.

    Raises:
        SettingsError: If the method is unknown.
    """
    return frozenset(type(make_locator(method)).__dataclass_fields__)
