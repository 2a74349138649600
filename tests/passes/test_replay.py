"""Prefix reuse against whole rows: values, gradients, what it leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from goldenlayers.editors.fact_rows import fact_rows
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.passes.replay import Group, Replay, add_at_start
from goldenlayers.passes.rows import Reads
from goldenlayers.passes.whole_rows import WholeRows
from tests import tiny

PREFIXES = ("", "Blue Kite. ", "In the north of Korvo, people say: ", "Vell. ")
ROUNDED = dict.fromkeys(tiny.FLOAT32_INSIDE, 1e-5)


def prepared(name, fact, layer, dtype=torch.float64):
    model = tiny.model(name, dtype)
    rows = fact_rows(model, tiny.tokenizer(name), fact, PREFIXES)
    return model, find_sites(model)[layer], rows


class Tails:
    """One fact at some layers, with a value added at the subject's last token."""

    def __init__(self, model, sites, rows, reads):
        self.sites = sites
        self.replay = Replay(model, sites, rows, reads)
        self.clean = self.replay.clean

    def logits(self, deltas, active=None):
        part = self.replay.part()
        chosen = range(len(self.sites)) if active is None else active
        return torch.stack(self.replay.logits([
            Group(self.sites[g].layer, part, {self.sites[g].name: add_at_start(delta)})
            for g, delta in zip(chosen, deltas, strict=True)
        ]))  # fmt: skip


class Whole:
    """The same by the plain way."""

    def __init__(self, model, sites, rows, reads):
        self.sites, self.rows = sites, WholeRows(model, sites, rows, reads)
        self.clean = self.rows.clean

    def logits(self, deltas):
        return torch.stack([
            self.rows.logits(site, delta) for site, delta in zip(self.sites, deltas, strict=True)
        ])  # fmt: skip


@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("name", tiny.MODELS)
def test_logits_and_gradients_equal_those_of_whole_rows(name, layer):
    tolerance = ROUNDED.get(name, 1e-9)
    for fact in (tiny.FACTS[0], tiny.FACTS[4], tiny.FACTS[6]):
        model, site, rows = prepared(name, fact, layer)
        torch.manual_seed(1)
        delta = torch.randn(site.d_out, dtype=torch.float64, requires_grad=True)
        with untouched(model):
            tails, whole = (k(model, [site], rows.fed, rows.reads) for k in (Tails, Whole))
            found, expected = tails.logits(delta[None]), whole.logits(delta[None])
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
            torch.testing.assert_close(
                torch.autograd.grad(found.square().sum(), delta),
                torch.autograd.grad(expected.square().sum(), delta),
                rtol=tolerance, atol=100 * tolerance,
            )  # fmt: skip
            torch.testing.assert_close(tails.clean.keys, whole.clean.keys, rtol=0, atol=tolerance)
            # the same again: nothing of the first run is kept
            torch.testing.assert_close(tails.logits(delta[None]), found, rtol=0, atol=1e-12)
            zero = tails.logits(torch.zeros_like(delta)[None])
        torch.testing.assert_close(zero[0], tails.clean.logits, rtol=0, atol=tolerance)
        assert not torch.allclose(zero, found, atol=1e-3) or layer == 3


@pytest.mark.parametrize("name", tiny.MODELS)
def test_all_layers_side_by_side_equal_each_alone(name):
    tolerance = ROUNDED.get(name, 1e-9)
    model, _, rows = prepared(name, tiny.FACTS[4], 0)
    sites = find_sites(model)
    torch.manual_seed(1)
    deltas = torch.randn(4, sites[0].d_out, dtype=torch.float64, requires_grad=True)
    with untouched(model):
        tails, whole = (k(model, sites, rows.fed, rows.reads) for k in (Tails, Whole))
        found, expected = tails.logits(deltas), whole.logits(deltas)
        some = tails.logits(deltas[[1, 3]], [1, 3])
        alone = [Tails(model, [s], rows.fed, rows.reads) for s in sites]
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(some, expected[[1, 3]], rtol=0, atol=tolerance)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), deltas),
        torch.autograd.grad(expected.square().sum(), deltas),
        rtol=tolerance, atol=100 * tolerance,
    )  # fmt: skip
    for g, one in enumerate(alone):
        torch.testing.assert_close(one.clean.keys[0], tails.clean.keys[g], rtol=0, atol=1e-12)
        torch.testing.assert_close(one.clean.outputs[0], tails.clean.outputs[g], rtol=0, atol=1e-12)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not any("forward" in m.__dict__ for m in model.modules())


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_multimodal", "bloom", "falcon"])
def test_the_model_is_as_it_was(name):
    model, site, rows = prepared(name, tiny.FACTS[0], 2)
    forwards = {n: m.__dict__.get("forward") for n, m in model.named_modules()}
    before = model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False).logits
    with untouched(model):
        tails = Tails(model, [site], rows.fed, rows.reads)
        delta = torch.zeros(site.d_out, dtype=torch.float64)
        tails.logits(delta[None])
        handle = model.get_submodule(site.block).register_forward_hook(broken)
        with pytest.raises(RuntimeError, match="stop here"):
            tails.logits(delta[None])
        handle.remove()
    assert {n: m.__dict__.get("forward") for n, m in model.named_modules()} == forwards
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    after = model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False).logits
    assert torch.equal(before, after)


def broken(*args):
    raise RuntimeError("stop here")


def test_a_forward_of_its_own_is_put_back():
    """accelerate gives modules a forward of their own."""
    model, site, rows = prepared("llama", tiny.FACTS[0], 2)
    block = model.get_submodule("model.layers.0")
    own = block.forward
    block.forward = own
    with untouched(model):
        Tails(model, [site], rows.fed, rows.reads).logits(torch.zeros(1, 32, dtype=torch.float64))
    assert block.__dict__["forward"] is own


def test_blocks_below_are_not_run_and_only_the_tail_is():
    model, site, rows = prepared("llama", tiny.FACTS[6], 2)
    with untouched(model):
        tails = Tails(model, [site], rows.fed, rows.reads)
        widths = {}
        handles = [
            model.get_submodule(f"model.layers.{i}.mlp.down_proj").register_forward_hook(
                lambda m, a, o, i=i: widths.__setitem__(i, o.shape[:2])
            )
            for i in range(4)
        ]
        tails.logits(torch.zeros(1, 32, dtype=torch.float64))
        for handle in handles:
            handle.remove()
    longest = max(len(r.ids) - r.subject for r in rows.fed)
    assert widths == {2: (len(rows.fed), longest), 3: (len(rows.fed), longest)}
    assert tails.replay.part().tokens == len(rows.fed) * longest < tails.clean.tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model, site, rows = prepared("llama", tiny.FACTS[0], 1, dtype)
    delta = torch.full((32,), 0.1)
    with untouched(model):
        tails, whole = (k(model, [site], rows.fed, rows.reads) for k in (Tails, Whole))
        found, expected = tails.logits(delta[None]), whole.logits(delta[None])
    assert found.dtype == dtype
    scale = float(expected.abs().max())
    tolerance = {torch.float32: 1e-5}.get(dtype, 5e-2)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


def test_a_row_without_a_prefix():
    """The bare prompt starts with the subject, and the tokenizer adds no beginning token."""
    from goldenlayers.facts import Fact

    fact = Fact("v", "n", "n is the letter", "m", "k")
    model = tiny.model("gpt2")
    rows = fact_rows(model, tiny.tokenizer("gpt2"), fact, ("",))
    assert rows.fed[0].subject == 0
    site = find_sites(model)[1]
    delta = torch.ones(32, dtype=torch.float64)
    with untouched(model):
        found = Tails(model, [site], rows.fed, rows.reads).logits(delta[None])
        expected = Whole(model, [site], rows.fed, rows.reads).logits(delta[None])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", tiny.MODELS)
def test_several_facts_at_several_layers_in_one_run(name):
    """Groups of any rows, at any layers, against each fact alone run the plain way."""
    tolerance = ROUNDED.get(name, 1e-9)
    model = tiny.model(name)
    sites = find_sites(model)
    facts = [
        fact_rows(model, tiny.tokenizer(name), fact, PREFIXES[: 2 + i])
        for i, fact in enumerate((tiny.FACTS[0], tiny.FACTS[6], tiny.FACTS[4]))
    ]
    starts = [sum(len(f.fed) for f in facts[:i]) for i in range(len(facts))]
    reads = Reads(
        torch.cat([f.reads.rows + n for f, n in zip(facts, starts, strict=True)]),
        torch.cat([f.reads.columns for f in facts]),
    )
    torch.manual_seed(3)
    deltas = {
        (f, layer): torch.randn(sites[0].d_out, dtype=torch.float64, requires_grad=True)
        for layer, f in [(0, 2), (1, 0), (1, 1), (3, 2), (3, 0)]
    }
    with untouched(model):
        replay = Replay(model, sites, [row for f in facts for row in f.fed], reads)
        parts = [replay.part(range(n, n + len(f.fed))) for f, n in zip(facts, starts, strict=True)]
        found = replay.logits([
            Group(layer, parts[f], {sites[layer].name: add_at_start(delta)})
            for (f, layer), delta in deltas.items()
        ])  # fmt: skip
        for ((f, layer), delta), logits in zip(deltas.items(), found, strict=True):
            plain = WholeRows(model, sites, facts[f].fed, facts[f].reads)
            expected = plain.logits(sites[layer], delta)
            torch.testing.assert_close(logits, expected, rtol=0, atol=tolerance)
            torch.testing.assert_close(
                torch.autograd.grad(logits.square().sum(), delta, retain_graph=True),
                torch.autograd.grad(expected.square().sum(), delta),
                rtol=tolerance, atol=100 * tolerance,
            )  # fmt: skip


@pytest.mark.parametrize("name", tiny.MODELS)
def test_rows_from_their_first_token_with_a_change_at_every_position(name):
    """What a finished weight edit does: at its layer for all positions, with the plain model."""
    tolerance = ROUNDED.get(name, 1e-9)
    model = tiny.model(name)
    sites = find_sites(model)
    rows = fact_rows(model, tiny.tokenizer(name), tiny.FACTS[6], PREFIXES)
    fed = [replace(row, subject=0) for row in rows.fed]
    torch.manual_seed(4)
    with untouched(model), torch.no_grad():
        replay = Replay(model, sites, fed, rows.reads)
        assert replay.clean.cache is None
        part = replay.part()
        found = replay.logits([
            Group(s.layer, part, {s.name: lambda x, out: out + 0.1 * x.sum(-1, keepdim=True)})
            for s in sites
        ])  # fmt: skip
        for site, logits in zip(sites, found, strict=True):
            handle = model.get_submodule(site.name).register_forward_hook(
                lambda m, args, out: out + 0.1 * args[0].sum(-1, keepdim=True)
            )
            plain = WholeRows(model, sites, fed, rows.reads).clean.logits
            handle.remove()
            torch.testing.assert_close(logits, plain, rtol=0, atol=tolerance)
