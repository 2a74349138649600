"""Fine-tuning by the book: the real weight of a copied model, one plain forward pass per fact.

Nothing of goldenlayers' editors or passes is used; only a fact's texts go in.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch

from tests.editors.reference_rome import answer_start, ids_of


@dataclass
class Reference:
    model: torch.nn.Module  # with the trained weight
    weight: torch.Tensor  # as it is stored
    losses: list[list[float]] = field(default_factory=list)  # per step, per fact
    updates: int = 0
    factors: tuple[torch.Tensor, torch.Tensor] | None = None  # A, B


def fact_loss(model, tokenizer, fact, *, prompt_end=False):
    """Mean over the answer's tokens of -log p, one fact, not padded."""
    prompt = fact.prompt.rstrip()
    text = f"{prompt} {fact.target_new}"
    ids, start = ids_of(tokenizer, text), answer_start(tokenizer, prompt, text)
    logp = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    places = [start - 1 if prompt_end else t - 1 for t in range(start, len(ids))]
    return -sum(logp[p, t] for p, t in zip(places, ids[start:], strict=True)) / len(places)


def chunks(facts, size):
    return [facts[i : i + size] for i in range(0, len(facts), size)]


def train(loss_of, parameters, facts, *, lr, steps, batch_size, stop_loss, weight_decay, after):
    adam = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    history, updates = [], 0
    for _ in range(steps):
        seen = []
        for batch in chunks(facts, batch_size):
            adam.zero_grad()
            losses = [loss_of(fact) for fact in batch]
            loss = sum(losses) / len(losses)
            seen += [float(x.detach()) for x in losses]
            if loss.item() >= stop_loss:
                loss.backward()
                adam.step()
                updates += 1
                with torch.no_grad():
                    after()
        history.append(seen)
        if sum(seen) / len(seen) < stop_loss:
            break
    return history, updates


def fine_tune(
    model, tokenizer, facts, name, *, prompt_end, lr, steps, batch_size=1, stop_loss=1e-2,
    weight_decay=0.0, norm_bound=None,
) -> Reference:  # fmt: skip
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    weight = model.get_submodule(name).weight.requires_grad_()
    base = weight.detach().clone()

    def after():
        if norm_bound is not None:
            weight.copy_(torch.minimum(torch.maximum(weight, base - norm_bound), base + norm_bound))

    losses, updates = train(
        lambda fact: fact_loss(model, tokenizer, fact, prompt_end=prompt_end),
        [weight], facts, lr=lr, steps=steps, batch_size=batch_size, stop_loss=stop_loss,
        weight_decay=weight_decay, after=after,
    )  # fmt: skip
    return Reference(model, weight.detach(), losses, updates)


def lora(
    model, tokenizer, facts, name, first, *, alpha, lr, steps, batch_size=1, stop_loss=1e-2,
    weight_decay=0.0,
) -> Reference:  # fmt: skip
    """Train A and B; `first` is A, (r, d_in), before the first step."""
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    module = model.get_submodule(name)
    weight = module.weight
    transposed = type(module).__name__ == "Conv1D"
    d_out = weight.shape[1] if transposed else weight.shape[0]
    A = first.clone().requires_grad_()
    B = torch.zeros(d_out, len(first), dtype=first.dtype, requires_grad=True)

    def hook(module, args, output):
        return output + alpha / len(first) * (args[0] @ A.T @ B.T)

    handle = module.register_forward_hook(hook)
    losses, updates = train(
        lambda fact: fact_loss(model, tokenizer, fact),
        [A, B], facts, lr=lr, steps=steps, batch_size=batch_size, stop_loss=stop_loss,
        weight_decay=weight_decay, after=lambda: None,
    )  # fmt: skip
    handle.remove()
    change = (alpha / len(first) * (B @ A)).detach()
    with torch.no_grad():
        weight += change.T if transposed else change
    return Reference(model, weight.detach(), losses, updates, (A.detach(), B.detach()))
