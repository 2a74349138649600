"""The ways to choose a layer that `bench.paper_scale` times, each as one function."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

import goldenlayers as gl
from bench import lga as scores
from bench.brute_force import Kept, obvious, ours, spread
from bench.edit import SETTINGS
from bench.on_device import peak, timed
from bench.paper_shapes import PaperCase
from bench.sweep_counts import counts
from bench.swept import Swept, differences
from goldenlayers.covariance.estimate import groups_that_fit
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.templates import make_templates
from goldenlayers.locators.answers import old_and_new
from goldenlayers.locators.base import Request
from goldenlayers.locators.cma import CMA
from goldenlayers.locators.known import known_facts
from goldenlayers.locators.products import BATCH_TOKENS
from goldenlayers.locators.traced import noise_of, restorations
from goldenlayers.metrics.baseline import baseline
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.passes.batch_tokens import room_for
from goldenlayers.passes.batches import Batch, pair_batches
from goldenlayers.passes.dots import gradient_dots
from goldenlayers.passes.moments import KeyMoments
from goldenlayers.passes.restoring import find_restorable
from goldenlayers.passes.tracing import trace
from goldenlayers.sweep.engine import GROWING, Sweep


@dataclass
class Measured:
    """One way to choose, at one length of rows.

    Attributes:
        path: Its name.
        seconds: For all the facts, see `bench.on_device.clock`.
        of_facts: How many there are.
        scaled: From what the seconds are scaled; empty if all facts were run.
        operations: That must be done for all the facts, 2 for each weight and token.
        peak_bytes: Above what was there before it, the model among it.
        agrees: How it compares with the plain way, in words.
        more: Other numbers.
    """

    path: str
    seconds: float
    of_facts: int
    scaled: str = ""
    operations: float = 0.0
    peak_bytes: int = 0
    agrees: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return asdict(self)


def lga(case: PaperCase, rounds: int, checked: int) -> list[Measured]:
    """`find` as a user calls it; its passes alone; and the floor: one forward and backward."""
    device, n = case.model.device, len(case.facts)
    find = partial(gl.find, case.model, case.tokenizer, case.facts, "lga", cache=False)
    find()  # a warm-up
    with peak(device) as highest:
        find()
    whole = statistics.median(timed(find, device)[1] for _ in range(rounds))
    with untouched(case.model):
        pairs = old_and_new(case.model, case.tokenizer, case.facts).pairs
        most = room_for(case.model, None, BATCH_TOKENS).tokens or BATCH_TOKENS
        sites = find_sites(case.model)
        modules = [[case.model.get_submodule(s.name)] for s in sites]
        old, new = [p.old for p in pairs], [p.new for p in pairs]
        batches = pair_batches(old, new, device=device, max_tokens=most)
        runs: dict[str, Callable[[], Any]] = {
            "passes": lambda: [gradient_dots(case.model, modules, b).products for b in batches],
            "floor": lambda: [floor(case.model, b) for b in batches],
        }
        spent: dict[str, list[float]] = {name: [] for name in runs}
        for name in [*runs] * (rounds + 1):  # in turn; the first of each is a warm-up
            spent[name].append(timed(runs[name], device)[1])
    own, least = (statistics.median(spent[name][1:]) for name in runs)
    blocks = {p for s in sites for p in case.model.get_submodule(s.block).parameters()}
    inside = sum(p.numel() for p in blocks)
    head = case.model.get_output_embeddings().weight.numel()
    tokens = sum(len(r.ids) - 1 for r in (*old, *new))
    work = 4.0 * (inside * tokens + head * sum(len(r.answer) for r in (*old, *new)))
    weights = sum(p.numel() * p.element_size() for p in case.model.parameters())
    more = {"batches": len(batches), "batch_tokens": most, "model_bytes": weights}
    return [
        Measured("LGA", whole, n, "", work, highest.bytes, same_scores(case, checked), more),
        Measured("LGA's passes alone", own, n, "", work, more={"over_floor": own / least}),
        Measured("one forward and backward", least, n, "", work),
    ]


def floor(model: Any, batch: Batch) -> None:
    """A plain forward and a backward to the embeddings, weights frozen, over our batch."""
    embedded = model.get_input_embeddings()(batch.input_ids).detach().requires_grad_()
    with scores.answer_logits(model, batch.rows, batch.columns) as gathered:
        output = model(inputs_embeds=embedded, use_cache=False)
        losses = scores.row_losses(gathered.pick(output.logits), batch)
    torch.autograd.grad(losses.sum(), embedded)


def same_scores(case: PaperCase, checked: int) -> str:
    """Compare the scores of some facts with those of a loop over weight gradients."""
    if not checked:
        return ""
    facts = case.facts[:checked]
    found = gl.find(case.model, case.tokenizer, facts, "lga", cache=False, fence=None)
    with untouched(case.model):
        pairs = old_and_new(case.model, case.tokenizer, facts).pairs
    names = [s.name for s in find_sites(case.model)]
    expected = scores.loop(case, pairs, names, sites_only=True)  # (3, L, N)
    error = np.abs(found.fact_scores["score"].T - expected[1])
    error = float((error / np.sqrt(expected[0] * expected[2])).max())
    best = int(expected[1].sum(axis=1).argmax())
    return f"error {error:.0e}, golden " + ("same" if best == found.golden else "DIFFERENT")


def cma(case: PaperCase, some: int, checked: int) -> Measured:
    """Causal tracing of the model's own answers: what is known of a random model."""
    n, device = len(case.facts), case.model.device
    facts = case.facts[: some or n]
    find = partial(gl.find, case.model, case.tokenizer, method="cma", traced="own", cache=False)
    find(facts[:1])  # a warm-up
    with peak(device) as highest:
        ranking, seconds = timed(partial(find, facts), device)
    done = ranking.details["computed"]
    sites = find_sites(case.model)
    block = sum(p.numel() for p in case.model.get_submodule(sites[0].block).parameters())
    head = case.model.get_output_embeddings().weight.numel()
    work = 2.0 * block * (done["whole_tokens"] * len(sites) + done["token_layers"])
    work += 2.0 * head * done["restored_runs"]
    times = n / len(facts)
    return Measured(
        "CMA", seconds * times, n, told(len(facts), n), work * times, highest.bytes,
        same_effects(case, checked), {"plain_facts": done["plain_facts"]},
    )  # fmt: skip


def same_effects(case: PaperCase, checked: int) -> str:
    """Compare the effects of some facts with those of whole runs of the model."""
    if not checked:
        return ""
    sites, settings = find_sites(case.model), CMA()
    with untouched(case.model):
        request = Request(case.model, case.tokenizer, case.facts[:checked], sites, sites)
        known, _ = known_facts(request, "own")
        noise = noise_of(request, known, settings.draws, settings.noise)
        places = find_restorable(case.model, sites, ["mlp", "state"], settings.window)
        error = largest = 0.0
        for fact in known:
            wanted = restorations(fact, "mlp", sites)
            fast, slow = (
                trace(case.model, sites, fact.row, noise.of(fact), wanted, places, plain=plain)
                for plain in (False, True)
            )
            error = max(error, float(np.abs(fast.effects - slow.effects).max()))
            largest = max(largest, float(np.abs(slow.effects).max()))
    return f"effects {error / largest:.0e} of the largest"


def brute_force(case: PaperCase, some: int, layers: int, steps: int) -> list[Measured]:
    """Every fact edited with R-ROME at every layer: the growing batch, and the obvious loop."""
    n, device, sites = len(case.facts), case.model.device, find_sites(case.model)
    facts = case.facts[: some or n]
    editor = Kept(**{**SETTINGS, "steps": steps})
    with untouched(case.model):
        templates = make_templates(case.model, case.tokenizer, "short")
    sweep = Sweep(case.model, case.tokenizer, sites, editor, templates)
    before = baseline(case.model, case.tokenizer, facts, generate=False, fluency=False)
    sweep.run(facts[:1], [len(sites) - 2], baseline=before)  # a warm-up
    with peak(device) as highest:
        made, seconds = timed(partial(ours, sweep, facts, before), device)
    rows = editor.prepare(EditRequest(case.model, case.tokenizer, facts, sites, templates, {}))
    work, loop_work = 0, 0
    for fact, own in zip(facts, rows, strict=True):
        size = counts(case, sites[0], len(sites), own, before.of(fact))
        taken = {s.layer: made.outcomes[fact.id, s.layer].steps for s in sites}
        edited = [layer for layer in taken if (fact.id, layer) in made.updates]
        work += sum(size.ours(taken, edited))
        loop_work += sum(size.loop(layer, taken[layer]) + size.loop_scoring() for layer in edited)
    edits = len(made.updates)
    fell_back = sum(o.computed != GROWING for o in made.outcomes.values())
    fast = Measured(
        "brute force, growing batch", seconds * n / len(facts), n, told(len(facts), n),
        2.0 * work * n / len(facts), highest.bytes,
        more={"edits": edits, "steps": steps, "fell_back": fell_back},
    )  # fmt: skip
    if layers < 0:
        return [fast]
    looped, plain = facts[0], Swept()
    could = [s.layer for s in sites if (looped.id, s.layer) in made.updates]
    run = partial(obvious, case, looped, sweep, row=rows[0].bare, before=before.of(looped))
    with untouched(case.model), peak(device) as loop_peak:
        run(site=sites[could[0]], into=Swept(), steps=1)  # a warm-up
        chosen = spread(could, layers)
        for layer in chosen:
            run(site=sites[layer], into=plain, steps=steps)
    spent = plain.both()  # as `clock` has it
    seconds = spent.wall if device.type == "cuda" else spent.cpu / torch.get_num_threads()
    each = seconds / len(chosen)
    apart = differences(made, plain)
    equal = "scores equal" if not apart.scores else f"{len(apart.scores)} scores DIFFERENT"
    fast.agrees = f"updates {apart.update:.0e}, {equal}"
    return [
        fast,
        Measured(
            "brute force, obvious loop", each * edits * n / len(facts), n,
            f"SCALED from {len(chosen)} edits of 1 fact", 2.0 * loop_work * n / len(facts),
            loop_peak.bytes, more={"seconds_of_an_edit": each},
        ),
    ]  # fmt: skip


def covariance(case: PaperCase, tokens: int) -> Measured:
    """Second moments of the keys of all layers over random tokens, as `key_covariance` makes."""
    model, device, sites = case.model, case.model.device, find_sites(case.model)
    vocabulary = model.get_input_embeddings().num_embeddings
    drawn = torch.randint(2, vocabulary, (max(1, tokens // 128), 128)).tolist()
    seconds = 0.0
    groups = groups_that_fit(model, sites, torch.float32, None)
    with untouched(model), peak(device) as highest:
        for group in groups:
            moments = KeyMoments(model, group)
            moments.add(drawn[:1])  # a warm-up

            def run(moments: KeyMoments = moments) -> None:
                for start in range(0, len(drawn), 16):  # the default: 2,048 tokens a batch
                    moments.add(drawn[start : start + 16])

            seconds += timed(run, device)[1]
            del moments, run
    inside = sum(p.numel() for p in model.get_submodule(sites[0].block).parameters()) * len(sites)
    work = (2.0 * inside + sum(9 / 8 * s.d_in**2 for s in sites)) * 128 * len(drawn)
    more = {"tokens": 128 * len(drawn), "passes": len(groups), "layers": len(sites)}
    return Measured("second moments", seconds, 0, "", work, highest.bytes, "", more)


def told(some: int, of: int) -> str:
    """Say from how many facts a time is scaled."""
    return "" if some == of else f"SCALED from {some} facts"
