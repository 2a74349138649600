"""MEMIT, EMMET and AlphaEdit by the book: one row at a time, full matrices, normal equations.

Values come from the reference of ROME; nothing of goldenlayers' editors or passes is used.
"""

from __future__ import annotations

import copy

import torch

from tests.editors import reference_rome


def stream(model, block, ids, at):
    """What a block hands on at one position of one row, (d,)."""
    seen = []

    def hook(module, args, output):
        out = output[0] if isinstance(output, tuple) else output
        seen.append(out.reshape(len(ids), -1)[at])

    handle = model.get_submodule(block).register_forward_hook(hook)
    try:
        with torch.no_grad():
            model(input_ids=torch.tensor([ids]), use_cache=False)
    finally:
        handle.remove()
    return seen[0]


def row(tokenizer, fact, prefix):
    prompt = prefix + fact.prompt.rstrip()
    text = f"{prompt} {fact.target_new}"
    end = len(prefix) + fact.prompt.rindex(fact.subject) + len(fact.subject)
    ids = reference_rome.ids_of(tokenizer, text)[:-1]
    return ids, reference_rome.subject_position(tokenizer, text, end)


def keys_of(model, tokenizer, name, facts, prefixes):
    """(d_in, n) mean keys."""
    columns = []
    for fact in facts:
        with torch.no_grad():
            rows = [row(tokenizer, fact, prefix) for prefix in prefixes]
            keys = [reference_rome.run(model, name, ids, at, None)[1] for ids, at in rows]
        columns.append(torch.stack(keys).mean(0))
    return torch.stack(columns, dim=1)


def memit(R, K, C, lam):
    return R @ K.T @ torch.linalg.inv(lam * C + K @ K.T)


def emmet(R, K, C, lam):
    inverse = torch.linalg.inv(C)
    system = K.T @ inverse @ K + lam * torch.eye(K.shape[1], dtype=K.dtype)
    return R @ torch.linalg.inv(system) @ K.T @ inverse


def alphaedit(R, K, C, threshold, l2, earlier=None):
    values, vectors = torch.linalg.eigh(C)
    free = vectors[:, values < threshold]
    P = free @ free.T
    A = K @ K.T if earlier is None else K @ K.T + earlier @ earlier.T
    eye = torch.eye(len(P), dtype=P.dtype)
    return torch.linalg.solve(P @ A + l2 * eye, P @ K @ R.T).T


def batch(model, tokenizer, facts, sites, prefixes, solve, *, value, on_stream=True):
    """Return dW (d_out, d_in) by site and the deltas (d, n).

    `sites` are (module, block, whether the weight is transposed); `solve(i, R, K)` is the closed
    form at the i-th of them.
    """
    model = copy.deepcopy(model)
    name, block, _ = sites[-1]
    deltas, targets = [], []
    for fact in facts:
        ids, at = row(tokenizer, fact, "")
        h = stream(model, block, ids, at)
        norm = h.norm() if on_stream else None
        trained = reference_rome.rome(model, tokenizer, fact, name, prefixes, norm=norm, **value)
        deltas.append(trained.deltas[-1])
        targets.append(h + trained.deltas[-1])
    updates = []
    for i, (name, _, transposed) in enumerate(sites):
        K = keys_of(model, tokenizer, name, facts, prefixes)
        now = [stream(model, block, *row(tokenizer, fact, "")) for fact in facts]
        R = torch.stack([z - h for z, h in zip(targets, now, strict=True)], dim=1)
        if not on_stream:
            R = torch.stack(deltas, dim=1)
        dW = solve(i, R / (len(sites) - i), K)
        weight = model.get_submodule(name).weight
        with torch.no_grad():
            weight += dW.T if transposed else dW
        updates.append(dW)
    return updates, torch.stack(deltas, dim=1)
