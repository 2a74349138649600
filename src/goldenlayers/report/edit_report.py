"""What `golden-layers edit` tells: each fact before and after, the scores, the files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from goldenlayers.editors.edit import Edit, Outcome
from goldenlayers.editors.files.whole import MARK, require_free
from goldenlayers.errors import GoldenLayersError, ResultError
from goldenlayers.files import write_whole
from goldenlayers.locators.ranking_files import FORMAT as RANKING_FORMAT
from goldenlayers.locators.ranking_files import JSON_NAME as RANKING_JSON
from goldenlayers.metrics.evaluation_files import FORMAT as EVALUATION_FORMAT
from goldenlayers.metrics.evaluation_files import JSON_NAME as EVALUATION_JSON
from goldenlayers.report.before_after import BeforeAfter
from goldenlayers.report.evaluation_table import evaluation_table, members_line
from goldenlayers.report.printable import printable
from goldenlayers.report.table import is_there
from goldenlayers.results import put_together, require_own, strict, write_json

if TYPE_CHECKING:
    from goldenlayers.locators.ranking import LayerRanking
    from goldenlayers.metrics.evaluation import Evaluation

FORMAT = "golden-layers edit report"
FORMAT_VERSION = 1
SHOWN = 3  # facts that are shown in full
FAILURES_SHOWN = 10
NAMES = {"delta": "edit.safetensors", "adapter": "adapter", "model": "model"}
REPORT, EVALUATION, RANKING = "report.json", "evaluation", "ranking"
STYLES = {"converged": "green", "not converged": "red", "unreached": "red"}


@dataclass(frozen=True)
class EditReport:
    """An edit with its proof.

    Attributes:
        edit: The edit.
        facts: Each fact before and after.
        evaluation: Scores before and after.
        source: Where the facts came from.
        ranking: The ranking that was made to choose the layer, to be kept; None where there is one
            already, or none is needed.
    """

    edit: Edit
    facts: tuple[BeforeAfter, ...]
    evaluation: Evaluation
    source: str
    ranking: LayerRanking | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything that is shown, ready for strict JSON; what is not finite is null."""
        edit = self.edit
        found: dict[str, Any] = strict(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "editor": edit.editor,
                "layers": list(edit.layers),
                "rank": edit.rank,
                "norms": edit.norms,
                "settings": dict(edit.settings),
                "model": dict(edit.base.model),
                "source": self.source,
                "converged": sum(o.converged for o in edit.outcomes),
                "outcomes": [_outcome(o) for o in edit.outcomes],
                "facts": [f.to_dict() for f in self.facts],
                "scores": self.evaluation.summary(),
                "versions": dict(edit.versions),
                "seconds": dict(edit.seconds),
            }
        )
        return found

    def save(self, folder: Path, formats: Sequence[str], model: Any, tokenizer: Any) -> list[Path]:
        """Write the edit in each format, the report and the evaluation into a folder.

        All of it is put there together, or nothing. An edit that an earlier run left there in a
        format that this one does not write is removed, so that the report tells of all that is
        there.

        Raises:
            ResultError: If the folder cannot be written, or holds what golden-layers did not write.
            EditError: If the edit cannot be written in one of the formats.
        """
        require_place(folder, formats)
        if not self.edit.updates:  # a layer that cannot carry the edit leaves nothing to ship
            formats = ()
        outdated = [n for kind, n in NAMES.items() if kind not in formats and _is_ours(folder / n)]
        with put_together(folder, outdated) as stage:
            for kind in formats:
                self.edit.save(stage / NAMES[kind], kind, model=model, tokenizer=tokenizer)
            written = [stage / NAMES[kind] for kind in formats]
            if self.ranking is not None:
                written += self.ranking.save(stage / RANKING)
            written += self.evaluation.save(stage / EVALUATION)
            data = {**self.to_dict(), "files": [str(p.relative_to(stage)) for p in written]}
            written.append(write_whole(stage / REPORT, lambda path: write_json(path, data)))
        return [folder / path.relative_to(stage) for path in written]

    def show(self, console: Console, written: Sequence[Path]) -> None:
        """Print the report for a person."""

        def line(text: str = "") -> None:
            console.print(text, highlight=False, soft_wrap=True)

        edit = self.edit
        for one, outcome in list(zip(self.facts, edit.outcomes, strict=True))[:SHOWN]:
            _show_fact(console, one, outcome)
        if len(self.facts) > SHOWN:
            line(f"[dim]… and {_count(len(self.facts) - SHOWN, 'fact')} more, in {REPORT}[/]")
            line()
        console.print(evaluation_table(self.evaluation))
        line(f"[dim]{escape(members_line(self.evaluation))}[/]")
        line()
        failed = [o for o in edit.outcomes if not o.converged]
        for outcome in failed[:FAILURES_SHOWN]:
            line(
                f"[bold red]not edited as wanted[/] {_text(outcome.fact.id)}: "
                f"{_text(outcome.reason)}"
            )
        if len(failed) > FAILURES_SHOWN:
            line(f"[red]… and {len(failed) - FAILURES_SHOWN} more, in {REPORT}[/]")
        settings = edit.settings
        where = ", ".join(map(str, settings["layers"]))
        took = f", {edit.seconds['edit']:.1f} s" if "edit" in edit.seconds else ""
        line(
            f"[bold]{len(edit.outcomes) - len(failed)} of {_count(len(edit.outcomes), 'fact')} "
            f"took[/]  {escape(edit.editor)} at layer {where} (chosen by: "
            f"{_text(str(settings['layer_chosen_by']))}), rank {edit.rank}{took}"
        )
        if not edit.updates:
            line("[bold red]no edit was written[/]: nothing is changed; choose another layer")
        for path in written:
            line(f"[dim]written[/] {escape(str(path))}")
        delta = next((p for p in written if p.name == NAMES["delta"]), None)
        if delta is not None:
            name = str(edit.base.model.get("name", "MODEL"))
            line(
                f"next    golden-layers apply {escape(shlex.quote(str(delta)))} --model "
                f"{escape(shlex.quote(name))} --out edited-model"
            )


def require_place(folder: Path, formats: Sequence[str]) -> None:
    """Refuse a folder that holds something else under the names of a report, before any work.

    Raises:
        ResultError: If golden-layers did not write what would be replaced.
    """
    require_own(folder / REPORT, FORMAT)
    for name, index, format in (
        (EVALUATION, EVALUATION_JSON, EVALUATION_FORMAT),
        (RANKING, RANKING_JSON, RANKING_FORMAT),
    ):
        if (folder / name).exists() and not (folder / name).is_dir():
            raise ResultError(f"{folder / name}: a file; choose another folder")
        require_own(folder / name / index, format)
    for kind in formats:
        path = folder / NAMES[kind]
        if kind != "delta":
            require_free(path, True)
        elif path.exists() and not _is_ours(path):
            raise ResultError(
                f"{path}: exists, and is no edit that golden-layers wrote; choose another folder"
            )


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return (path / MARK).is_file()
    try:
        return path.is_file() and bool(Edit.load(path))
    except GoldenLayersError:
        return False


def _show_fact(console: Console, one: BeforeAfter, outcome: Outcome) -> None:
    style = STYLES.get(outcome.status, "bold")
    console.print(
        f"[bold]{_text(one.fact.prompt)}[/] → [bold]{_text(one.fact.target_new)}[/]  "
        f"[{style}]{escape(outcome.status)}[/]: {_text(outcome.reason)}",
        highlight=False,
        soft_wrap=True,
    )
    tokens = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("next token before", "", "after", ""):
        tokens.add_column(name, justify="right" if not name else "left", no_wrap=True)
    for (before, p), (after, q) in zip(one.before.top, one.after.top, strict=True):
        tokens.add_row(escape(repr(before)), _share(p), escape(repr(after)), _share(q))
    console.print(Padding(tokens, (0, 0, 0, 2)))
    texts = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("prompt", "goes on before", "after"):
        texts.add_column(name, overflow="fold")
    prompts = (one.fact.prompt, *one.fact.rephrase_prompts)
    for row in zip(prompts, one.before.continuations, one.after.continuations, strict=True):
        texts.add_row(*map(_text, row))
    console.print(Padding(texts, (0, 0, 0, 2)))
    console.print()


def _text(text: str) -> str:
    """Return text that is not ours fit for a terminal: no markup, no control characters."""
    return escape(printable(text))


def _share(probability: float) -> str:
    # an edit that breaks the model leaves it without probabilities
    return f"{probability:.1%}" if is_there(probability) else "–"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    last = outcome.steps[-1] if outcome.steps else None
    return {
        "id": outcome.fact.id,
        "status": outcome.status,
        "reason": outcome.reason,
        "layers": list(outcome.layers),
        "nll_before": outcome.nll_before,
        "nll_after": outcome.nll_after,
        "rewritten": outcome.rewritten,
        "steps": len(outcome.steps),
        "loss": None if last is None else last.loss,
        "losses": [step.loss for step in outcome.steps],
        "details": dict(outcome.details),
    }
