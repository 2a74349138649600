"""Texts become windows of token ids, and windows become batches, always the same ones in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from goldenlayers.passes.batches import plan

Window = tuple[int, ...]
# Windows are sorted by length within so many batches: little padding, and still a stream.
BATCHES_IN_A_GROUP = 4


def beginning(tokenizer: Any) -> Window:
    """Return the special tokens that the tokenizer puts before a text, often one or none."""
    bare = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    whole = tokenizer("a", verbose=False)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start])
    return ()


def cut(
    documents: Iterable[Iterable[str]], tokenizer: Any, length: int, begin: Window
) -> Iterator[Window]:
    """Tokenise documents and cut each into windows, as the windows are asked for.

    Args:
        documents: Each document is a series of pieces of text, so that none must fit in memory.
        tokenizer: A tokenizer of transformers.
        length: Most tokens in a window, those of `begin` counted.
        begin: Tokens that each window begins with, fewer than `length`.

    Yields:
        Windows; the last one of a document may be shorter, no window spans two documents.
    """
    room = length - len(begin)
    for document in documents:
        ids: list[int] = []
        for piece in document:
            ids += tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"]
            whole = len(ids) - len(ids) % room
            for start in range(0, whole, room):
                yield (*begin, *ids[start : start + room])
            del ids[:whole]
        if ids:
            yield (*begin, *ids)


def capped(windows: Iterable[Window], tokens: int) -> Iterator[Window]:
    """Stop after exactly `tokens` tokens, or where the windows end; the last window is cut."""
    if tokens < 1:
        return
    for window in windows:
        if not window:
            continue
        yield window[:tokens]
        tokens -= len(window)
        if tokens <= 0:
            return


def batches(windows: Iterable[Window], batch_tokens: int) -> Iterator[list[Window]]:
    """Group windows into batches of similar length.

    Args:
        windows: Windows of one token or more.
        batch_tokens: Bound on (windows in a batch) x (longest of them); one window may exceed it.

    Yields:
        Batches; which ones depends on the windows and the bound alone.
    """
    group: list[Window] = []
    tokens = 0
    for window in windows:
        group.append(window)
        tokens += len(window)
        if tokens >= BATCHES_IN_A_GROUP * batch_tokens:
            yield from _planned(group, batch_tokens)
            group, tokens = [], 0
    yield from _planned(group, batch_tokens)


def _planned(group: list[Window], batch_tokens: int) -> Iterator[list[Window]]:
    for members in plan([len(window) for window in group], batch_tokens) if group else ():
        yield [group[i] for i in members]
