"""The piece that times the ways to choose, by length of the query and number of facts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.cma import CMA
from goldenlayers.locators.edits import EditSettings
from goldenlayers.locators.find import find
from goldenlayers.locators.lga import LGA
from goldenlayers.metrics.perplexity import FIXED, read_text
from goldenlayers.models.text import encode_prompts
from goldenlayers.study.ground import ground_of
from goldenlayers.study.run.at_work import AtWork
from goldenlayers.study.run.pieces import Piece

NAME = "times.json"
NAMES: dict[type, str] = {LGA: "lga", CMA: "cma"}
FAST, PLAIN = "brute force, growing batch", "brute force, plain loop"


def timed(at: AtWork, piece: Piece) -> None:
    """Time LGA, CMA and brute force, the fast way and the obvious one.

    LGA and CMA are run on all the facts. Brute force is run on few of them, and its obvious way at
    few layers; what it takes on more is in proportion, and marked as extrapolated.
    """
    assert piece.editor is None
    what = piece.what
    base = [f for f in at.facts_of(piece) if f.changes]
    editing = at.editing(at.study.editors[0])
    rows: list[dict[str, Any]] = []
    find(*_model(at), base[:2], "lga", split="all", cache=False)  # not timed: the first is slow
    for n, length in enumerate(what["tokens"]):
        at.progress("times", n, len(what["tokens"]))
        facts = of_length(at.loaded.tokenizer, base, length, max(what["proxy"]))
        mean = sum(map(len, encode_prompts(at.loaded.tokenizer, [f.prompt for f in facts]))) / len(
            facts
        )
        for size in what["proxy"]:
            for method in (LGA(), CMA(traced="own")):
                start = time.perf_counter()
                find(*_model(at), facts[:size], method, split="all", cache=False)
                took = time.perf_counter() - start
                rows.append(_row(NAMES[type(method)], mean, size, took, True, f"{size} facts"))
        rows += _brute_force(at, piece, editing, facts, mean)
    at.run.write(piece.place / NAME, {"rows": rows, "device": str(at.loaded.identity.device)})


def _model(at: AtWork) -> tuple[Any, Any]:
    return at.loaded.model, at.loaded.tokenizer


def _brute_force(
    at: AtWork, piece: Piece, editing: EditSettings, facts: Sequence[Fact], mean: float
) -> list[dict[str, Any]]:
    what = piece.what
    rows = []
    for name, plain in ((FAST, False), (PLAIN, True)):
        ground = ground_of(
            *_model(at), replace(editing, plain=plain), seed=what["seed"], say=at.say,
            progress=at.progress,
        )  # fmt: skip
        numbers = ground.numbers
        some = facts[:1] if plain else facts[: what["edited"]]
        layers = spread(numbers, what["plain_layers"]) if plain else numbers
        start = time.perf_counter()
        ground.sweep.run(some, layers)
        took = (time.perf_counter() - start) / len(some) * len(numbers) / len(layers)
        for size in what["proxy"]:
            whole = size <= len(some) and len(layers) == len(numbers)
            basis = f"{len(some)} fact{'s' * (len(some) > 1)} at {len(layers)} layers"
            rows.append(_row(name, mean, size, took * size, whole, basis))
    return rows


def _row(
    method: str, tokens: float, size: int, seconds: float, measured: bool, basis: str
) -> dict[str, Any]:
    return {
        "method": method, "tokens": tokens, "facts": size, "seconds": seconds,
        "measured": measured, "basis": basis,
    }  # fmt: skip


def spread(layers: Sequence[int], wanted: int) -> list[int]:
    """Return so many of the layers, from the first to the last, evenly."""
    n = len(layers)
    if wanted >= n:
        return list(layers)
    if wanted == 1:
        return [layers[n // 2]]
    return [layers[round(i * (n - 1) / (wanted - 1))] for i in range(wanted)]


def of_length(tokenizer: Any, facts: Sequence[Fact], tokens: int, wanted: int) -> list[Fact]:
    """Return facts whose prompts have about so many tokens: running text before each prompt.

    A prompt that is longer stays as it is.

    Args:
        tokenizer: The model's tokenizer.
        facts: Taken in turn, each time behind other text.
        tokens: Length of a prompt, tokens.
        wanted: How many facts.

    Raises:
        SettingsError: If there are no facts.
    """
    if not facts:
        raise SettingsError("timing: no fact asks for a change")
    words = read_text(FIXED).split()
    made: list[Fact] = []
    for n in count():
        if len(made) == wanted:
            return made
        fact = facts[n % len(facts)]
        start = (37 * n) % len(words)  # other words each time
        turned = words[start:] + words[:start]
        prompt, taken = fact.prompt, 0
        while len(encode_prompts(tokenizer, [prompt])[0]) < tokens and taken < len(words):
            taken += 1
            prompt = f"{' '.join(turned[:taken])} {fact.prompt}"
        made.append(replace(fact, id=f"{fact.id} #{n}", prompt=prompt, split=None))
    raise AssertionError
