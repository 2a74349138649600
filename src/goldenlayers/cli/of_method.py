"""Which options of `find` go to which method; the others are refused, not passed over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import typer

from goldenlayers.cli import editing
from goldenlayers.errors import SettingsError

EDITS = ("objective", "editor", "templates", "covariance", "plain", "batch_tokens")
PROPOSAL = ("old_answer", "scope", "fence", "quartiles")
# every option that not all methods have; each by the name of the setting
CHOOSING = (
    *EDITS, *editing.EDITOR, "resume", *PROPOSAL, "confidence", "race", "share", "most_edits",
    "kind", "window", "draws", "noise", "traced", "heat_map", "statistic",
)  # fmt: skip


def settings_of(ctx: typer.Context, method: str, converted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a method; refuse options that it has no use for.

    Args:
        ctx: Of the command; an option that is None leaves the method its own default.
        method: Its name.
        converted: Options whose text means something else, None included.

    Raises:
        SettingsError: If an option was given that has no effect, or the method is unknown.
    """
    # here and not above: torch takes seconds, and --help must not
    from goldenlayers.locators.lga import LGA
    from goldenlayers.locators.registry import AUTO, CHOSEN, LOCATORS, settings_for

    known = settings_for(method)
    takes = _options(known)
    for name in editing.given(ctx, CHOOSING):
        if name not in takes:
            which = f"{method}, which is {CHOSEN}" if method == AUTO else method
            others = [
                other
                for other, kind in LOCATORS.items()
                if name in _options(kind.__dataclass_fields__)
            ]
            raise SettingsError(
                f"--{name.replace('_', '-')} has no effect with --method {which}; it has with "
                f"{', '.join(others)}"
            )
    values = {k: v for k, v in ctx.params.items() if v is not None} | dict(converted)
    chosen = {name: values[name] for name in CHOOSING if name in known and name in values}
    if "editor_settings" in known:
        own = editing.editor_settings(ctx)
        chosen["editor_settings"] = own
        chosen["covariance"] = editing.covariance_for(ctx, [ctx.params["editor"]])
    if "lga" in known:
        chosen["lga"] = LGA(**{k: values[k] for k in PROPOSAL})
    return chosen


def _options(settings: Iterable[str]) -> set[str]:
    """Return the options that a method with those settings takes."""
    takes = set(settings)
    if "editor_settings" in takes:
        takes |= {"resume", *editing.EDITOR}
    if "lga" in takes:
        takes |= set(PROPOSAL)
    return takes
