"""Facts with every kind of probe, an edit that is none, and slow answers for both."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from goldenlayers.facts import LocalityProbe, PortabilityProbe
from goldenlayers.models.text import encode_pairs, encode_prompts
from tests import tiny

RICH = replace(
    tiny.FACTS[1],  # the new answer has several words
    aliases=("Harbour Town", "old harbor"),
    rephrase_prompts=("The birthplace of Ada Quill is", "Ada Quill, who came from"),
    locality={
        "same_relation": (
            LocalityProbe("M. O'Neil was born in the city of", "Bergstad"),
            LocalityProbe("Ines Marrow was born in", "Old Harbour Town"),  # the new answer itself
        ),
        "unrelated": (LocalityProbe("The maker of the game Tarnish is"), LocalityProbe("In", "k")),
    },
    portability={
        "alias": (PortabilityProbe("Miss Quill was born in", ("Old Harbour Town", "x")),),
        "reasoning": (
            PortabilityProbe("The river of Ada Quill's city is the", ("Long Mile",)),
            PortabilityProbe("Ada Quill's first language is", ("Ölandic", "Danish")),
        ),
    },
)
BARE = replace(tiny.FACTS[0], target_old=None)
PLAIN = tiny.FACTS[4]
FACTS = [RICH, BARE, PLAIN]


@dataclass
class Noise:
    """Stands for an edit: adds noise to the edit site of layer 1 while it is applied."""

    name: str
    scale: float = 1.0
    fail: bool = False
    applications: int = 0

    @contextmanager
    def applied(self, model):
        weight = dict(model.named_modules())[tiny.MODELS[self.name][1]].weight
        kept = weight.detach().clone()
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        self.applications += 1
        try:
            with torch.no_grad():
                weight.add_((self.scale * noise).to(weight.dtype))
            if self.fail:
                raise RuntimeError("the edit failed")
            yield
        finally:
            with torch.no_grad():
                weight.copy_(kept)


def state(model):
    """Everything that must come back as it was."""
    return (
        {n: t.detach().clone() for n, t in model.state_dict(keep_vars=True).items()},
        {n: p.requires_grad for n, p in model.named_parameters()},
        {n: m.training for n, m in model.named_modules()},
        {n: len(m._forward_hooks) + len(m._forward_pre_hooks) for n, m in model.named_modules()},
        {n: p.grad is None for n, p in model.named_parameters()},
    )


def assert_same_state(found, expected):
    assert found[1:] == expected[1:]
    assert found[0].keys() == expected[0].keys()
    for name, tensor in expected[0].items():
        assert torch.equal(found[0][name], tensor), name


@torch.no_grad()
def logits_of(model, ids):
    """(T, V) of one row, alone, unpadded, without a cache."""
    return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]


def slow_reply(model, row):
    """Argmax and log-probabilities at the answer's positions, one position at a time."""
    argmax, log_probs = [], []
    for t in range(row.n_prompt, len(row.ids)):
        last = logits_of(model, row.ids[:t])[-1]
        argmax.append(int(last.argmax()))
        log_probs.append(float(torch.log_softmax(last.double(), -1)[row.ids[t]]))
    return tuple(argmax), log_probs


def slow_greedy(model, prompt, n):
    """Greedy continuation, everything computed anew for each token."""
    ids = list(prompt)
    for _ in range(n):
        ids.append(int(logits_of(model, ids)[-1].argmax()))
    return tuple(ids[len(prompt) :])


def row_of(tokenizer, prompt, answer):
    return encode_pairs(tokenizer, [(prompt, answer)])[0]


def prompt_of(tokenizer, prompt):
    return encode_prompts(tokenizer, [prompt])[0]
