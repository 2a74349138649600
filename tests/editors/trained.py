"""What the tests of the editors that train a weight share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pytest
import torch

from goldenlayers.editors.base import base_of
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.protocol import Edited, EditRequest
from goldenlayers.editors.templates import Templates
from goldenlayers.errors import GoldenLayersError
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.editors.reference_training import fact_loss

# GPT-2's Conv1D, LLaMA's plain map, a norm behind it, (B*T, d), a block that adds in place
NAMES = ["gpt2", "llama", "gemma3_text", "opt", "falcon"]


def models(name: str, dtype: torch.dtype = torch.float64) -> tuple[Any, Any]:
    return tiny.model(name, dtype), tiny.tokenizer(name)


def teachable() -> tuple[Any, Any]:
    """Return a model whose logits can be large enough to be sure of an answer."""
    model, tokenizer = models("llama")
    with torch.no_grad():
        model.lm_head.weight *= 6
    return model, tokenizer


def edit(editor, model, tokenizer, facts, layer: int = 1, **more: Any) -> Edited:
    request = EditRequest(
        model, tokenizer, facts, [find_sites(model)[layer]], Templates("own", ("",)), **more
    )
    with untouched(model):
        return editor.edit(request)


def as_edit(editor, model, result: Edited) -> Edit:
    """Return the edit as `goldenlayers.edit` builds it."""
    return Edit(
        editor=editor.name,
        updates=result.updates,
        outcomes=result.outcomes,
        settings=asdict(editor),
        base=base_of(model, [u.name for u in result.updates]),
        versions={"torch": torch.__version__},
    )


def stored(model, update) -> torch.Tensor:
    """W + left @ right.T as the weight is stored."""
    change = update.left @ update.right.T
    weight = model.get_submodule(update.name).weight.detach()
    return weight + (change.T if update.transposed else change)


def agree(result: Edited, model, tokenizer, facts, expected) -> None:
    """Compare the weight, each loss and what the edit does with a reference."""
    (update,) = result.updates
    torch.testing.assert_close(stored(model, update), expected.weight, rtol=0, atol=1e-8)
    for i, outcome in enumerate(result.outcomes):
        losses = [losses[i] for losses in expected.losses]
        assert [s.loss for s in outcome.steps] == pytest.approx(losses, abs=1e-8)
        assert [s.nll for s in outcome.steps] == [s.loss for s in outcome.steps]
        assert outcome.steps[0].norm == 0
        assert outcome.details["steps"] == len(losses)
        assert outcome.details["updates"] == expected.updates
        assert outcome.details["loss"] == outcome.steps[-1].loss
        base = model.get_submodule(update.name).weight.detach()
        size = float((expected.weight - base).norm())
        assert outcome.details["update_norm"] == pytest.approx(size, rel=1e-8)
        with torch.no_grad():
            before = float(fact_loss(model, tokenizer, facts[i]))
            after = float(fact_loss(expected.model, tokenizer, facts[i]))
        assert outcome.nll_before == pytest.approx(before, abs=1e-8)
        assert outcome.nll_after == pytest.approx(after, abs=1e-8)
        assert after != pytest.approx(before, abs=1e-3)


def snapshot(model) -> tuple:
    """Everything that an editor could leave behind on a model."""
    modules = [
        (name, id(module), module.training, sorted(vars(module)), list(module._modules),
         len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ]  # fmt: skip
    parameters = [
        (name, id(p), p.data_ptr(), p.requires_grad, p.grad is None, p.dtype)
        for name, p in model.named_parameters()
    ]
    buffers = [(name, id(b)) for name, b in model.named_buffers()]
    numbers = {name: t.clone() for name, t in model.state_dict().items()}
    return modules, parameters, buffers, model.config.to_dict(), numbers


@contextmanager
def comes_back(model) -> Iterator[None]:
    """Check that a model is on leaving, bit for bit and object for object, what it was."""
    *before, numbers = snapshot(model)
    random = torch.get_rng_state()
    try:
        yield
    finally:
        *after, now = snapshot(model)
        assert after == before
        assert all(
            torch.equal(now[n].view(torch.uint8), numbers[n].view(torch.uint8)) for n in numbers
        )
        assert torch.equal(torch.get_rng_state(), random)


class EnoughError(Exception):
    pass


def stop_at(stage: str, count: int):
    """Return a progress that raises in the middle."""

    def progress(what: str, done: int, total: int) -> None:
        if (what, done) == (stage, count):
            raise EnoughError

    return progress


def goes_there_and_back(editor, name: str, path) -> None:
    """Save, load, apply, revert: the model is edited as it was trained, and then as it came."""
    model, tokenizer = models(name, torch.float32)
    fact = tiny.FACTS[0]
    result = edit(editor, model, tokenizer, [fact])
    made = as_edit(editor, model, result)
    for kind in ("delta", "adapter"):
        where = path / f"{kind}.safetensors" if kind == "delta" else path / kind
        made.save(where, kind)
        read = Edit.load(where)
        assert read.updates == made.updates
        assert read.outcomes == made.outcomes
        assert read.settings == made.settings
        with comes_back(model), read.applied(model):
            loss = float(fact_loss(model, tokenizer, fact).detach())
            assert loss == pytest.approx(made.outcomes[0].nll_after, abs=1e-5)
    weight = model.get_submodule(made.updates[0].name).weight
    base = weight.detach().clone()
    read.apply(model)
    assert not torch.equal(weight, base)
    with pytest.raises(GoldenLayersError, match="already"):
        read.apply(model)
    read.revert(model)
    assert torch.equal(weight, base)
