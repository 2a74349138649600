"""The updates of several facts at several layers or windows, their values trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from goldenlayers.editors.batch import BatchEditor
from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.editors.fact_value import FactValue
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.rank_one import Solution
from goldenlayers.editors.site_editor import SiteEditor
from goldenlayers.editors.update import Update
from goldenlayers.errors import EditError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.room import Room
from goldenlayers.sweep.windows import require_window, width_of


@dataclass(frozen=True)
class Solved:
    """One fact at one layer or window.

    Attributes:
        solution: What was found; its update is the last layer's.
        updates: One per layer that is edited, shallow first; none where there is no update.
    """

    solution: Solution
    updates: tuple[Update, ...]


def solve(
    editor: SiteEditor,
    request: EditRequest,
    facts: Sequence[FactRows],
    windows: Sequence[Sequence[EditSite]],
    max_tokens: int | Room,
) -> list[list[Solved]]:
    """Find the updates of each fact alone at each window, into the model as it stands.

    Args:
        editor: The editor.
        request: Of which the model and the solvers count.
        facts: Rows of the facts.
        windows: What is edited together, by the last site shallow first; each a single site unless
            the editor takes more.
        max_tokens: Bound on the tokens of one run, padding counted.

    Returns:
        Per fact, one per window; an error of one of them is told by it alone.

    Raises:
        SettingsError: If the editor cannot edit a window in this model, or a solver is missing.
    """
    request = replace(request, sites=[window[-1] for window in windows])
    if not isinstance(editor, BatchEditor) or width_of(editor) == 1:
        return [
            [Solved(one, () if one.update is None else (one.update,)) for one in of_fact]
            for of_fact in editor.solve(request, facts, max_tokens)
        ]
    require_window(request.model, editor, windows[0][0])
    editor.require(replace(request, sites=[site for window in windows for site in window]))
    return [
        [
            _spread(editor, replace(request, sites=window), rows, found)
            for window, found in zip(windows, of_fact, strict=True)
        ]
        for rows, of_fact in zip(facts, editor.values(request, facts, max_tokens), strict=True)
    ]


def _spread(
    editor: BatchEditor, request: EditRequest, rows: FactRows, found: FactValue | str
) -> Solved:
    """Spread one fact's value over the request's sites."""
    if isinstance(found, str):
        return Solved(Solution(None, None, {}, found), ())
    if not found.value.has_gradient:
        return Solved(Solution(None, found.value, found.details()), ())
    try:
        updates = editor.spread(request, [rows], [found])
    except EditError as error:  # of this fact at this window; the others go on
        return Solved(Solution(None, None, {}, str(error)), ())
    return Solved(Solution(updates[-1], found.value, found.details()), updates)
