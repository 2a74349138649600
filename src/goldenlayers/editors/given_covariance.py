"""The covariance that a caller gives: is it of this model, and what does the editor make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goldenlayers.covariance.key import model_kind
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.protocol import Editor
from goldenlayers.editors.site_editor import SiteEditor
from goldenlayers.errors import SettingsError
from goldenlayers.models.sites import EditSite


def solvers_of(moments: Mapping[int, KeyMoment], editor: Editor) -> dict[int, Any]:
    """Make of each covariance what the editor needs, such as a factor of it."""
    if not isinstance(editor, SiteEditor):
        return {}
    return {n: editor.solver(m) for n, m in moments.items()}


def moments_of(
    covariance: Mapping[int, KeyMoment] | None,
    sites: Sequence[EditSite],
    model: Any,
    tokenizer: Any,
    editor: Editor,
) -> dict[int, KeyMoment]:
    """Return the moments of the sites' keys by layer; empty where no covariance is used.

    The moments of the unedited model serve its edited versions too, as published, so the weights
    are not compared; architecture, configuration, tokenizer and site are.

    Raises:
        SettingsError: If the covariance lacks a layer, is of another model, or is missing where the
            editor needs one.
    """
    if covariance is None and getattr(editor, "needs_covariance", False):
        raise SettingsError(
            f"{editor.name} needs the covariance of the keys; give "
            "covariance=goldenlayers.key_covariance(model, tokenizer, layers), or on the command "
            "line --covariance model"
        )
    if covariance is None:
        return {}
    if not isinstance(covariance, Mapping):
        raise SettingsError(
            f"covariance: found a {type(covariance).__name__}; expected None or a mapping from "
            "layer to its moment, as goldenlayers.key_covariance returns"
        )
    return {at.layer: _moment_of(covariance, at, model, tokenizer) for at in sites}


def _moment_of(
    covariance: Mapping[int, KeyMoment], at: EditSite, model: Any, tokenizer: Any
) -> KeyMoment:
    try:
        moment = covariance[at.layer]
    except KeyError:
        raise SettingsError(
            f"the covariance has no layer {at.layer}; compute it with "
            f"key_covariance(..., layers=[{at.layer}])"
        ) from None
    if moment.width != at.d_in:
        raise SettingsError(
            f"the covariance of layer {at.layer} is {moment.width} wide, the keys of {at.name!r} "
            f"{at.d_in}; it is of another model"
        )
    made_on, now = moment.key.get("model", {}), model_kind(model, tokenizer)
    other = [name for name, value in now.items() if made_on.get(name, value) != value]
    if moment.site != at.name or other:
        what = f"its {other[0]} differs" if other else f"it is of {moment.site!r}, not {at.name!r}"
        raise SettingsError(
            f"the covariance of layer {at.layer} is of another model: {what}; compute it with "
            "key_covariance on this one"
        )
    return moment
