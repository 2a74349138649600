"""Modules' outputs at the subject's last token of whole rows: kept, and added to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.families import by_row, like


@contextmanager
def hooked(
    model: Any, rows: Sequence[SubjectRow], names: Sequence[str], deltas: Sequence[Tensor] = ()
) -> Iterator[dict[str, Tensor]]:
    """While open, keep what modules give whole rows at the subject's last token, by name: (R, d).

    Args:
        model: The model.
        rows: The rows that it will be given, all of them.
        names: The modules.
        deltas: (d,), none or one of each module: what is added to its output there.
    """
    at = list(range(len(rows))), [row.subject for row in rows]
    added: Sequence[Tensor | None] = deltas or [None] * len(names)
    seen: dict[str, Tensor] = {}

    def hook(name: str, delta: Tensor | None, module: nn.Module, args: Any, output: Any) -> Any:
        out = by_row(output, len(rows)).clone()  # (R, T, d)
        seen[name] = out[at]  # (R, d)
        if delta is not None:
            out[at] = seen[name] + delta.to(out)
        return like(out, output)

    with ExitStack() as stack:
        for name, delta in zip(names, added, strict=True):
            handle = model.get_submodule(name).register_forward_hook(partial(hook, name, delta))
            stack.callback(handle.remove)
        yield seen
