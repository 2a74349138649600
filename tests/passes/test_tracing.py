"""Traces against whole runs with plain hooks, one restoration and one draw at a time."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.errors import MemoryShortError
from goldenlayers.models.guard import untouched
from goldenlayers.models.landmarks import find_landmarks
from goldenlayers.models.sites import find_sites
from goldenlayers.passes import tracing
from goldenlayers.passes.restoring import (
    Restoration,
    TracedRow,
    find_restorable,
    fixed_noise,
    noise_deviation,
)
from goldenlayers.passes.tracing import trace
from tests import tiny

ROUNDED = dict.fromkeys(tiny.FLOAT32_INSIDE, 1e-4)
ROW = TracedRow(ids=(5, 17, 300, 41, 42, 43, 8, 99, 260), first=2, last=4, answer=77)
DRAWS, WINDOW = 2, 3


def setting(name, window=WINDOW, row=ROW):
    model = tiny.model(name, torch.float64)
    sites = find_sites(model)
    places = find_restorable(model, sites, ["attention"], window)
    deviation = noise_deviation(model, [row], 3.0)
    width = model.get_input_embeddings().weight.shape[1]
    noise = fixed_noise(row, width, draws=DRAWS, deviation=deviation, seed=4, name="fact")
    return model, sites, places, noise


class Reference:
    """Whole rows of one, hooks on each module, and no code of the package but the names."""

    def __init__(self, model, noise, row=ROW):
        self.model, self.noise, self.row = model, noise, row
        marks = find_landmarks(model)
        self.depth = marks.layers
        self.pattern = {"mlp": marks.site, "attention": marks.attention, "state": marks.block}
        self.clean, self.outputs = self.run(None)

    def run(self, draw, put=()):
        """Return the probability, and every module's output; `put`: name, position, value."""
        row, seen, handles = self.row, {}, []

        def embedding(module, args, output):
            if draw is None:
                return None
            return output + torch.nn.functional.pad(
                self.noise[draw], (0, 0, row.first, len(row.ids) - 1 - row.last)
            )

        def at(name):
            def hook(module, args, output):
                out = output[0] if isinstance(output, tuple) else output
                flat = out.reshape(len(row.ids), -1).clone()
                for where, position, value in put:
                    if where == name:
                        flat[position] = value
                seen[name] = flat.clone()
                flat = flat.reshape(out.shape)
                return (flat, *output[1:]) if isinstance(output, tuple) else flat

            return hook

        handles.append(self.model.get_input_embeddings().register_forward_hook(embedding))
        for pattern in self.pattern.values():
            for i in range(self.depth):
                name = pattern.format(i)
                handles.append(self.model.get_submodule(name).register_forward_hook(at(name)))
        try:
            with torch.no_grad():
                logits = self.model(input_ids=torch.tensor([row.ids]), use_cache=False).logits
        finally:
            for handle in handles:
                handle.remove()
        return logits[0, -1].softmax(-1)[row.answer].item(), seen

    def restored(self, r, draw, window):
        pattern = self.pattern[r.kind]
        layers = [r.layer]
        if r.kind != "state":
            low, high = r.layer - window // 2, r.layer - (-window // 2)
            layers = [i for i in range(self.depth) if low <= i < high]
        names = [pattern.format(i) for i in layers]
        put = [(name, r.position, self.outputs[name][r.position]) for name in names]
        return self.run(draw, put)[0]


def check(name, found, wanted, reference, window=WINDOW):
    tolerance = ROUNDED.get(name, 1e-8)
    assert found.clean == pytest.approx(reference.clean, rel=tolerance)
    for draw in range(DRAWS):
        assert found.corrupted[draw] == pytest.approx(reference.run(draw)[0], rel=tolerance)
        for i, r in enumerate(wanted):
            if r.position < reference.row.first:
                assert found.effects[i, draw] == 0
                continue
            expected = reference.restored(r, draw, window)
            assert found.restored[i, draw] == pytest.approx(expected, rel=tolerance), r
    assert found.effects.shape == (len(wanted), DRAWS)


@pytest.mark.parametrize("name", tiny.MODELS)
def test_subjects_last_token_all_kinds_and_layers(name):
    model, sites, places, noise = setting(name)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    wanted = [
        Restoration(kind, layer, ROW.last)
        for kind in ("state", "mlp", "attention")
        for layer in range(4)
    ]
    with untouched(model):
        found = trace(model, sites, ROW, noise, wanted, places)
    assert found.computed == "growing batch"
    check(name, found, wanted, Reference(model, noise))
    assert len(set(found.effects.ravel())) > 8  # effects there are
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__


@pytest.mark.parametrize("name", tiny.MODELS)
def test_every_position_in_small_batches(name):
    model, sites, places, noise = setting(name)
    wanted = [
        Restoration(kind, layer, position)
        for kind, layer in (("state", 0), ("state", 3), ("mlp", 2), ("attention", 1))
        for position in range(len(ROW.ids))
    ]
    with untouched(model):
        found = trace(model, sites, ROW, noise, wanted, places, max_tokens=50)
    assert found.computed == "growing batch"
    check(name, found, wanted, Reference(model, noise))
    for r, effect in zip(wanted, found.effects, strict=True):
        if r.position < ROW.first:
            assert (effect == 0).all()
        if (r.kind, r.layer) == ("state", 3):
            last = r.position == len(ROW.ids) - 1
            assert (effect == (found.clean - found.corrupted if last else 0)).all()


def test_each_position_computes_its_own_tail_alone():
    model, sites, places, noise = setting("llama")
    positions = (ROW.last, len(ROW.ids) - 1)
    wanted = [Restoration("mlp", layer, p) for layer in range(4) for p in positions]
    found = trace(model, sites, ROW, noise, wanted, places)
    alone = [
        trace(model, sites, ROW, noise, [r for r in wanted if r.position == p], places)
        for p in positions
    ]
    for p, one in zip(positions, alone, strict=True):
        index = [i for i, r in enumerate(wanted) if r.position == p]
        assert found.restored[index] == pytest.approx(one.restored, rel=1e-12)
    assert found.token_layers == sum(one.token_layers for one in alone)
    assert alone[1].token_layers * 5 == alone[0].token_layers  # tails of one and of five tokens


@pytest.mark.parametrize("window", [1, 2, 10])
def test_windows_and_a_subset_of_layers(window):
    model, sites, places, noise = setting("llama", window)
    wanted = [Restoration("mlp", layer, ROW.last) for layer in (1, 3)]
    found = trace(model, sites, ROW, noise, wanted, places)
    check("llama", found, wanted, Reference(model, noise), window)


def test_windows_are_romes():
    model = tiny.model("llama")
    names = find_restorable(model, find_sites(model), ["mlp"], 3).names
    assert [sorted(names("mlp", i)) for i in range(4)] == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]
    assert list(names("state", 2).values()) == ["model.layers.2"]


def test_nothing_to_run():
    model, sites, places, noise = setting("llama")
    for wanted in ([], [Restoration("state", 3, ROW.last)], [Restoration("mlp", 1, 0)]):
        found = trace(model, sites, ROW, noise, wanted, places)
        assert found.computed == "growing batch"
        check("llama", found, wanted, Reference(model, noise))


def test_a_subject_at_the_start_has_no_prefix():
    row = TracedRow(ROW.ids, 0, 0, 9)
    model, sites, places, noise = setting("gpt2", row=row)
    wanted = [Restoration(kind, layer, 0) for kind in ("mlp", "state") for layer in range(4)]
    found = trace(model, sites, row, noise, wanted, places)
    assert found.computed == "growing batch"
    check("gpt2", found, wanted, Reference(model, noise, row))


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "falcon", "bloom"])
def test_plain_loop_is_the_same(name):
    model, sites, places, noise = setting(name)
    wanted = [
        Restoration(kind, layer, position)
        for kind in ("state", "mlp", "attention")
        for layer in (0, 3)
        for position in (0, ROW.last, len(ROW.ids) - 1)
    ]
    found = trace(model, sites, ROW, noise, wanted, places, plain=True)
    assert found.computed == "plain loop"
    check(name, found, wanted, Reference(model, noise))


def test_a_model_that_the_batch_does_not_suit_falls_back_and_says_so(monkeypatch):
    model, sites, places, noise = setting("llama")
    wanted = [Restoration("mlp", layer, ROW.last) for layer in range(4)]
    expected = trace(model, sites, ROW, noise, wanted, places)

    class Broken(tracing.Replay):
        def logits(self, groups):
            return [logits + 1e-2 for logits in super().logits(groups)]

    monkeypatch.setattr(tracing, "Replay", Broken)
    found = trace(model, sites, ROW, noise, wanted, places)
    assert found.computed.startswith("plain loop: the growing batch failed: MismatchError logits")
    assert found.restored == pytest.approx(expected.restored, rel=1e-9)
    assert found.token_layers > expected.token_layers
    assert not any(m._forward_hooks for m in model.modules())


def test_running_out_of_memory_is_not_taken_for_an_unsuited_model(monkeypatch):
    model, sites, places, noise = setting("llama")

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(tracing, "Replay", full)
    with pytest.raises(MemoryShortError, match="the clean and 2 corrupted rows of one fact"):
        trace(model, sites, ROW, noise, [Restoration("mlp", 1, ROW.last)], places)


def test_noise_is_fixed_by_seed_and_fact():
    def noise(**changed):
        settings = {"draws": 2, "deviation": 1.0, "seed": 0, "name": "1"} | changed
        return fixed_noise(ROW, 32, **settings)

    assert noise().shape == (2, 3, 32)
    assert torch.equal(noise(), noise())
    assert torch.allclose(noise(deviation=3.0), 3 * noise())
    assert not torch.equal(noise(), noise(seed=1))
    assert not torch.equal(noise(), noise(name="2"))
    assert noise(draws=400).std() == pytest.approx(1.0, abs=0.02)


def test_deviation_is_of_the_subject_tokens():
    model = tiny.model("llama", torch.float64)
    other = TracedRow((9, 8, 7), 0, 0, 1)
    values = model.get_input_embeddings().weight[[300, 41, 42, 9]]
    assert noise_deviation(model, [ROW, other], 2.0) == pytest.approx(2 * values.std().item())
