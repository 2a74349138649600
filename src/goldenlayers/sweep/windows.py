"""Which layers a sweep edits together, by an editor that takes a window of them.

Layer l of a sweep is then the window that ends at l, for behind its last layer the value is
trained. At the first layers it is clipped: layer 0 is a window of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goldenlayers.editors.batch import BatchEditor
from goldenlayers.editors.protocol import Editor
from goldenlayers.errors import SettingsError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.stream import adds_to_stream


def width_of(editor: Editor) -> int:
    """Return how many layers an editor edits together."""
    return editor.window if isinstance(editor, BatchEditor) and editor.takes_window else 1


def in_words(width: int) -> str:
    """Return what a layer stands for, to be added to a sentence; nothing for a layer alone."""
    return "" if width == 1 else f"; a layer stands for the {width} that end there"


def window_ending_at(
    site: EditSite, all_sites: Sequence[EditSite], width: int
) -> tuple[EditSite, ...]:
    """Return the sites of the window that ends at a site, shallow first.

    Args:
        site: The last one.
        all_sites: Among which the others are, shallow first.
        width: How many layers, if there are so many.

    Raises:
        SettingsError: If one of the others is missing.
    """
    first = max(0, site.layer - width + 1)
    window = tuple(s for s in all_sites if first <= s.layer <= site.layer)
    if [s.layer for s in window] != list(range(first, site.layer + 1)):
        raise SettingsError(
            f"layer {site.layer}: the window of {width} layers that ends there begins at layer "
            f"{first}, and not all of their edit sites were given"
        )
    return window


def windows_of(
    sites: Sequence[EditSite], all_sites: Sequence[EditSite], width: int
) -> list[EditSite]:
    """Return all sites of the windows that end at some sites, shallow first."""
    windows = [window_ending_at(site, all_sites, width) for site in sites]
    return list({site.layer: site for window in windows for site in window}.values())


def require_window(model: Any, editor: Editor, site: EditSite) -> None:
    """Refuse an editor's window in a model where it cannot be edited.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        editor: The editor.
        site: Any site of the model.

    Raises:
        SettingsError: If what a site writes is not what the stream gets.
    """
    width = width_of(editor)
    if width > 1 and not adds_to_stream(model, site):
        raise SettingsError(
            f"{editor.name}: in this model a norm stands between the edit site and the residual "
            f"stream, so that its window of {width} layers cannot be edited; give window=1 "
            "(--set window=1)"
        )
