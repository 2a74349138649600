"""ROME and R-ROME by the book: whole model, one row at a time, every term written out.

Nothing of goldenlayers' editors or passes is used; only a fact's texts go in. Spans are found by
decoding token by token, Adam is written out, the update is formed as a full matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass
class Reference:
    keys: torch.Tensor  # (templates, d_in)
    outputs: torch.Tensor  # (templates, d_out)
    losses: list[tuple[float, float, float, float]] = field(default_factory=list)
    deltas: list[torch.Tensor] = field(default_factory=list)
    update: torch.Tensor | None = None  # (d_out, d_in)


def subject_position(tokenizer, text: str, end: int) -> int:
    """Position of the token that holds the character before `end`."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    covering = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < end <= b]
    return covering[-1]


def ids_of(tokenizer, text: str) -> list[int]:
    ids = tokenizer(text)["input_ids"]
    special = set(tokenizer.all_special_ids)
    while ids[-1] in special:
        ids = ids[:-1]
    return ids


def answer_start(tokenizer, prompt: str, text: str) -> int:
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    return min(i for i, (_, b) in enumerate(spans) if b > len(prompt))


def run(model, name, ids, at, delta):
    """Return (logits (T, V), key (d_in,), output before delta (d_out,)) of one unpadded row."""
    seen = {}

    def hook(module, args, output):
        T = len(ids)
        flat = output.reshape(T, -1)
        seen["key"] = args[0].reshape(T, -1)[at]
        seen["output"] = flat[at].clone()  # Falcon adds to it in place
        if delta is None:
            return output
        rows = [flat[t] + delta if t == at else flat[t] for t in range(T)]
        return torch.stack(rows).reshape(output.shape)

    handle = model.get_submodule(name).register_forward_hook(hook)
    try:
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    finally:
        handle.remove()
    return logits, seen["key"], seen["output"]


def rome(
    model, tokenizer, fact, name, prefixes, *,
    lr, steps, weight_decay, clamp, kl_factor, stop_loss=0.05,
    averaged=True, value_from="prompt", covariance=None, norm=None,
) -> Reference:  # fmt: skip
    end = fact.prompt.rindex(fact.subject) + len(fact.subject)
    rows = []
    for prefix in prefixes:
        prompt = prefix + fact.prompt.rstrip()
        text = f"{prompt} {fact.target_new}"
        at = subject_position(tokenizer, text, len(prefix) + end)
        rows.append((ids_of(tokenizer, text), at, answer_start(tokenizer, prompt, text)))
    essence = f"{fact.subject} is a"
    kl_row = (
        ids_of(tokenizer, essence),
        subject_position(tokenizer, essence, len(fact.subject)),
    )
    with torch.no_grad():
        clean = [run(model, name, ids[:-1], at, None) for ids, at, _ in rows]
        kl_clean = run(model, name, kl_row[0], kl_row[1], None)[0][-1].log_softmax(-1)
    keys = torch.stack([key for _, key, _ in clean])
    outputs = torch.stack([output for _, _, output in clean])
    out = Reference(keys, outputs)
    v0 = outputs[0] if value_from == "prompt" else outputs.mean(0)
    norm = v0.norm() if norm is None else norm

    delta = torch.zeros_like(v0)
    m, v = torch.zeros_like(v0), torch.zeros_like(v0)
    for step in range(steps):
        leaf = delta.clone().requires_grad_()
        nlls = []
        for ids, at, start in rows:
            logp = run(model, name, ids[:-1], at, leaf)[0].log_softmax(-1)
            nlls.append(
                -sum(logp[t - 1, ids[t]] for t in range(start, len(ids))) / (len(ids) - start)
            )
        nll = sum(nlls) / len(nlls)
        edited = run(model, name, kl_row[0], kl_row[1], leaf)[0][-1].log_softmax(-1)
        kl = kl_factor * sum(
            edited[w].exp() * (edited[w] - kl_clean[w]) for w in range(len(edited))
        )
        size = torch.sqrt((leaf**2).sum()) if step else torch.zeros((), dtype=v0.dtype)
        decay = weight_decay * size / norm**2
        loss = nll + kl + decay
        out.losses.append(tuple(float(x.detach()) for x in (loss, nll, kl, decay)))
        out.deltas.append(delta.clone())
        if loss < stop_loss or step == steps - 1:
            break
        (g,) = torch.autograd.grad(loss, leaf)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        delta = delta - lr * (m / (1 - 0.9 ** (step + 1))) / (
            torch.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8
        )
        if delta.norm() > clamp * norm:
            delta = delta * (clamp * norm / delta.norm())
    mean = keys.mean(0)
    u = mean if covariance is None else torch.linalg.inv(covariance) @ mean
    k, o = (mean, outputs.mean(0)) if averaged else (keys[0], outputs[0])
    out.update = torch.outer(v0 + delta - o, u) / (u @ k)
    return out
