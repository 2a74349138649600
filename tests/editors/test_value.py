"""Values of several layers, trained side by side, against each trained alone."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.editors.fact_rows import fact_rows
from goldenlayers.editors.fact_value import fact_values
from goldenlayers.editors.value import ValueSettings
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from tests import tiny

PREFIXES = ("", "Blue Kite. ", "In the north, people say: ")
ROUNDED = dict.fromkeys(tiny.FLOAT32_INSIDE, 1e-5)
VALUE = ValueSettings(lr=0.05, steps=6, weight_decay=0.3, clamp=3.0, kl_factor=0.5)


def trained(model, sites, rows, settings, reuse=True):
    seen = []
    with untouched(model):
        (values,) = fact_values(
            model, sites, [rows], settings, value_from="prompt", prefix_reuse=reuse,
            on_step=lambda f, g, step, delta: seen.append((g, step, delta)),
        )  # fmt: skip
    return values, seen


@pytest.mark.parametrize("name", tiny.MODELS)
def test_side_by_side_equals_alone(name):
    tolerance = ROUNDED.get(name, 1e-9)
    model = tiny.model(name)
    rows = fact_rows(model, tiny.tokenizer(name), tiny.FACTS[0], PREFIXES)
    sites = find_sites(model)
    together, seen = trained(model, sites, rows, VALUE)
    for g, site in enumerate(sites):
        (alone,), steps = trained(model, [site], rows, VALUE, reuse=False)
        assert together[g].computed == "prefix reuse"
        assert together[g].value.reached == alone.value.reached
        own = [(step, delta) for k, step, delta in seen if k == g]
        assert len(own) == len(steps) == len(alone.value.steps)
        for (step, delta), (_, wanted, at) in zip(own, steps, strict=True):
            assert step.loss == pytest.approx(wanted.loss, abs=tolerance)
            torch.testing.assert_close(delta, at, rtol=0, atol=tolerance)
        torch.testing.assert_close(
            together[g].value.delta, alone.value.delta, rtol=0, atol=tolerance
        )


def test_layers_that_are_done_leave_and_the_others_go_on():
    model = tiny.model("llama")
    rows = fact_rows(model, tiny.tokenizer("llama"), tiny.FACTS[0], PREFIXES)
    sites = find_sites(model)
    losses = [v.value.steps[3].loss for v in trained(model, sites[:3], rows, VALUE)[0]]
    # a stop that only the layer with the smallest loss reaches by then
    settings = ValueSettings(**{**vars(VALUE), "stop_loss": min(losses) + 1e-6})
    together, seen = trained(model, sites, rows, settings)
    counts = [len(v.value.steps) for v in together]
    assert counts[3] == 1  # the last layer is not reached
    assert len({*counts[:3]}) > 1
    for g, site in enumerate(sites):
        (alone,), _ = trained(model, [site], rows, settings)
        assert counts[g] == len(alone.value.steps) == sum(k == g for k, _, _ in seen)
        torch.testing.assert_close(together[g].value.delta, alone.value.delta, rtol=0, atol=1e-9)


def test_a_layer_whose_loss_is_lost_does_not_stop_the_others():
    model = tiny.model("llama")
    rows = fact_rows(model, tiny.tokenizer("llama"), tiny.FACTS[0], PREFIXES)
    sites = find_sites(model)[:3]
    plain, _ = trained(model, sites, rows, VALUE)
    calls = {"n": 0}

    def broken(module, args, output):
        calls["n"] += 1
        if calls["n"] != 3:  # after the clean pass and the first step, once
            return output
        output = output.clone()
        output[: len(rows.fed)] = float("nan")  # the first layer's group, in the second block
        return output

    handle = model.get_submodule("model.layers.1.mlp.down_proj").register_forward_hook(broken)
    found, _ = trained(model, sites, rows, VALUE)
    handle.remove()
    assert "not finite" in found[0].value.error
    assert len(found[0].value.steps) == 2
    assert not found[1].value.error
    torch.testing.assert_close(found[2].value.delta, plain[2].value.delta, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "max_tokens"),
    [*((name, 60) for name in tiny.MODELS), ("llama", None), ("gemma3_text", 1), ("bloom", None)],
)
def test_several_facts_side_by_side_equal_each_alone(name, max_tokens):
    """Whatever there is room for: values that are done leave, others take their places."""
    tolerance = ROUNDED.get(name, 1e-9)
    model = tiny.model(name)
    sites = find_sites(model)
    facts = [
        fact_rows(model, tiny.tokenizer(name), fact, PREFIXES)
        for fact in (tiny.FACTS[0], tiny.FACTS[4], tiny.FACTS[6])
    ]
    seen = {}
    with untouched(model):
        found = fact_values(
            model, sites, facts, VALUE, value_from="mean", prefix_reuse=True,
            max_tokens=max_tokens,
            on_step=lambda f, g, step, delta: seen.setdefault((f, g), []).append(step.loss),
        )  # fmt: skip
        for f, rows in enumerate(facts):
            (alone,) = fact_values(
                model, sites, [rows], VALUE, value_from="mean", prefix_reuse=False
            )
            for g, (ours, plain) in enumerate(zip(found[f], alone, strict=True)):
                assert ours.computed == "prefix reuse"
                assert seen[f, g] == pytest.approx(
                    [s.loss for s in plain.value.steps], abs=tolerance
                )
                for name_of in ("keys", "outputs", "v0"):
                    torch.testing.assert_close(
                        getattr(ours, name_of), getattr(plain, name_of), rtol=0, atol=tolerance
                    )
                torch.testing.assert_close(
                    ours.value.delta, plain.value.delta, rtol=0, atol=tolerance
                )
