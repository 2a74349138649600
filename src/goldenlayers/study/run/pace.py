"""How long a study will take: measured on one fact of each data set, whose edits are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from goldenlayers.facts.fact import Fact
from goldenlayers.locators.cma import CMA
from goldenlayers.locators.find import choose_facts, find
from goldenlayers.locators.lga import LGA
from goldenlayers.metrics.perplexity import read_text, read_with
from goldenlayers.models.text import encode_prompts
from goldenlayers.study.draws import draw, parts
from goldenlayers.study.ground import ground_of
from goldenlayers.study.run.at_work import AtWork
from goldenlayers.study.run.pieces import COMPARE, EDITS, RANK, TIME, TRACE, Piece
from goldenlayers.study.run.settings import DataSpec, EditorSpec
from goldenlayers.sweep.run import fill, store_for

# by what a step costs more than the one that was measured; rough, and only for the plan
MLP_SCOPE, HEAT_MAP, PLAIN_LOOP, ALONE = 1.3, 8.0, 4.0, 5.0
RACED = 0.6  # share of the edits of a full sweep that a race needs at most, mostly


@dataclass
class Pace:
    """What steps take on this machine, in seconds.

    Attributes:
        edit: By data set and editor, one edit of a fact at a layer.
        lga: By data set, LGA on one fact.
        cma: By data set, CMA on one fact.
        tokens: By data set, tokens of a prompt.
        reading: Of the fixed text.
        planned: By sweep, the facts and layers whose edits are there or planned already.
    """

    edit: dict[tuple[str, str], float] = field(default_factory=dict)
    lga: dict[str, float] = field(default_factory=dict)
    cma: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    reading: float = 0.0
    planned: dict[str, set[tuple[str, int]]] = field(default_factory=dict)

    def of(self, at: AtWork, piece: Piece) -> float:
        """Return about how long a piece will take, seconds.

        Pieces are asked for in the order in which they are done: what one has edited, the next
        finds.
        """
        what = piece.what
        name = piece.data.title if piece.data is not None else ""
        if piece.kind == RANK:
            pool, _ = parts(at.facts_of(piece), None)
            more = MLP_SCOPE if what["scope"] == "mlp" else 1.0
            return float(self.lga[name] * len(pool) * more)
        if piece.kind == TRACE:
            return float(self.cma[name] * (what["proxy"] + HEAT_MAP))
        if piece.kind == COMPARE:
            return self._comparison(at, piece)
        one = self.edit[name, (piece.editor or at.study.editors[0]).title]
        if piece.kind == EDITS:
            edits = 2 * what["stories"] + 2 * what["side_effects"]
            return float((ALONE * one + self.reading) * edits)
        assert piece.kind == TIME
        layers = at.loaded.model.config.num_hidden_layers
        total = 0.0
        for length in what["tokens"]:
            # less than in proportion: a prompt's own tokens are computed once
            longer = max(1.0, length / self.tokens[name]) ** 0.5
            traced = (self.lga[name] + self.cma[name]) * sum(what["proxy"])
            swept = one * (layers * what["edited"] + PLAIN_LOOP * what["plain_layers"])
            total += longer * (traced + swept)
        return total

    def _comparison(self, at: AtWork, piece: Piece) -> float:
        assert piece.data is not None
        assert piece.editor is not None
        what, name = piece.what, piece.data.title
        pool, tested = parts(at.facts_of(piece), what["test"])
        draws = draw(pool, what["proxy"], what["repeats"], what["seed"])
        proxies = list({f.id: f for chosen in draws for f in chosen}.values())
        ground = layers_of(at, piece.data)
        methods = what["locators"]
        planned = self.planned.setdefault(str(at.sweep(piece.data, piece.editor)), set())
        wanted = {(f.id, n) for f in tested for n in ground}
        share = 0.0
        if "brute-force" in methods:
            wanted |= {(f.id, n) for f in proxies for n in ground}
        elif "verified" in methods:
            share = RACED * len(proxies) * len(ground)
        edits = len(wanted - planned) + share
        planned |= wanted
        chosen = what["proxy"] * what["repeats"]
        located = chosen * (
            self.lga[name] * sum(m == "lga" or m.startswith("robust") for m in methods)
            + self.cma[name] * ("cma" in methods)
        )
        return float(edits * self.edit[name, piece.editor.title] + located)


def layers_of(at: AtWork, data: DataSpec) -> list[int]:
    """Return the layers that are edited with a data set."""
    from goldenlayers.models.sites import choose_layers, find_sites

    wanted = at.study.of(data, "layers")
    return [s.layer for s in choose_layers(find_sites(at.loaded.model), wanted)]


def measured(at: AtWork, data: Sequence[DataSpec], editors: Sequence[EditorSpec]) -> Pace:
    """Measure what the steps of a study take. The edits that are made for it are kept."""
    pace = Pace()
    model, tokenizer = at.loaded.model, at.loaded.tokenizer
    start = time.perf_counter()
    read_with(model, tokenizer, read_text(at.study.text))
    pace.reading = time.perf_counter() - start
    steps = len(data) * (len(editors) + 1)
    done = 0
    for one in data:
        facts = at.facts[one.title]
        at.progress("measuring the pace", done, steps)
        pool, tested = parts(choose_facts(facts, "all", None), at.study.of(one, "test"))
        some = list(pool[:8])
        if not done:
            _seconds(at, LGA(), some[:1])  # the first run of a model is slow
        prompts = encode_prompts(tokenizer, [f.prompt for f in pool])
        pace.tokens[one.title] = sum(map(len, prompts)) / len(prompts)
        pace.lga[one.title] = _seconds(at, LGA(), some)
        pace.cma[one.title] = _seconds(at, CMA(traced="own"), some[:1])
        done += 1
        for editor in editors:
            at.progress("measuring the pace", done, steps)
            pace.edit[one.title, editor.title] = _edit_seconds(at, one, editor, tested[0], pace)
            done += 1
    at.progress("measuring the pace", steps, steps)
    return pace


def _seconds(at: AtWork, method: LGA | CMA, facts: list[Fact]) -> float:
    start = time.perf_counter()
    find(at.loaded.model, at.loaded.tokenizer, facts, method, split="all")
    return (time.perf_counter() - start) / len(facts)


def _edit_seconds(at: AtWork, data: DataSpec, editor: EditorSpec, fact: Fact, pace: Pace) -> float:
    """Return the seconds of one edit: of those that are there, or of one fact's, made now."""
    ground = ground_of(
        at.loaded.model, at.loaded.tokenizer, at.editing(editor),
        layers=at.study.of(data, "layers"), seed=at.study.seed, say=at.say, progress=at.progress,
    )  # fmt: skip
    path = at.sweep(data, editor)
    everything = list(choose_facts(at.facts[data.title], "all", None))
    with store_for(path, ground.kind, everything, resume=True) as store:
        if not store.outcomes:
            fill(ground.sweep, [fact], ground.numbers, store)
        pace.planned[str(path)] = set(store.outcomes)
        return sum(o.seconds for o in store.outcomes.values()) / len(store.outcomes)
