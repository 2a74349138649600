"""Which options of `find` go to which method; the others are refused, not passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from goldenlayers.errors import SettingsError

# options that say how an edit is made, by the name of the editor's setting
EDITOR = (
    "lr", "steps", "weight_decay", "clamp", "kl_factor", "value_from", "ridge",
    "occurrence", "stop_loss", "converged_below",
)  # fmt: skip
# options that make real edits
EDITS = ("objective", "editor", "templates", "covariance", "plain", "resume", *EDITOR)
PROPOSAL = ("old_answer", "scope", "fence", "quartiles")


def given(ctx: typer.Context, names: Any) -> list[str]:
    """Return which options the user gave."""
    return [
        name
        for name in names
        if (found := ctx.get_parameter_source(name)) is not None and found.name == "COMMANDLINE"
    ]


def settings_of(
    ctx: typer.Context, method: str, values: Mapping[str, Any], optional: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a method; refuse options that it has no use for.

    Args:
        ctx: Of the command.
        method: Its name.
        values: Options by name, and what they are; those of `EDITOR` go to the editor.
        optional: The same, for options that have the method's own default where they are None.

    Raises:
        SettingsError: If an option was given that has no effect, or the method is unknown.
    """
    # here and not above: torch takes seconds, and --help must not
    from goldenlayers.locators.lga import LGA
    from goldenlayers.locators.registry import settings_for

    known = settings_for(method)
    edits = "editor_settings" in known
    takes = set(known) | (set(EDITS) if edits else set())
    takes |= set(PROPOSAL) if "lga" in known else set()
    for name in given(ctx, (*values, *optional, "resume")):
        if name not in takes:
            raise SettingsError(f"--{name.replace('_', '-')} has no effect with --method {method}")
    chosen = {k: v for k, v in values.items() if k in known}
    chosen |= {k: v for k, v in optional.items() if k in known and v is not None}
    if edits:
        chosen["editor_settings"] = {k: values[k] for k in EDITOR if values[k] is not None}
    if "lga" in known:
        chosen["lga"] = LGA(**{k: values[k] for k in PROPOSAL})
    return chosen
