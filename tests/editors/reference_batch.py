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


def pair_run(model, names, ids, at, deltas):
    """Return logits (T, V), and what each named module gave at `at` before its delta (d,)."""
    seen, handles = {}, []
    for name, delta in zip(names, deltas, strict=True):

        def hook(module, args, output, name=name, delta=delta):
            flat = output.reshape(len(ids), -1)
            seen[name] = flat[at].clone()
            rows = [x + delta if t == at else x for t, x in enumerate(flat)]
            return torch.stack(rows).reshape(output.shape)

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    return logits, [seen[name] for name in names]


def pair(
    model, tokenizer, fact, names, prefixes, *,
    lr, steps, weight_decay, clamp, kl_factor, stop_loss, until_likeliest,
):  # fmt: skip
    """PMET's value: deltas (d,) at the modules of `names`, and the losses of all steps."""
    rows = []
    for prefix in prefixes:
        prompt = prefix + fact.prompt.rstrip()
        text = f"{prompt} {fact.target_new}"
        ids = reference_rome.ids_of(tokenizer, text)
        start = reference_rome.answer_start(tokenizer, prompt, text)
        rows.append((ids, row(tokenizer, fact, prefix)[1], start))
    essence = f"{fact.subject} is a"
    kl_ids = reference_rome.ids_of(tokenizer, essence)
    kl_at = reference_rome.subject_position(tokenizer, essence, len(fact.subject))
    with torch.no_grad():
        ids, at, _ = rows[0]
        v0s = pair_run(model, names, ids[:-1], at, [0.0, 0.0])[1]
        kl_clean = pair_run(model, names, kl_ids, kl_at, [0.0, 0.0])[0][-1].log_softmax(-1)
    deltas = [torch.zeros_like(v0).requires_grad_() for v0 in v0s]
    adam = torch.optim.Adam(deltas, lr=lr)
    losses, weight = [], 1.0
    for step in range(steps):
        nlls, likeliest = [], True
        for ids, at, start in rows:
            logp = pair_run(model, names, ids[:-1], at, deltas)[0].log_softmax(-1)
            answer = range(start, len(ids))
            nlls.append(-sum(logp[t - 1, ids[t]] for t in answer) / len(answer))
            likeliest &= all(int(logp[t - 1].argmax()) == ids[t] for t in answer)
        nll = sum(nlls) / len(nlls)
        edited = pair_run(model, names, kl_ids, kl_at, deltas)[0][-1].log_softmax(-1)
        kl = kl_factor * (edited.exp() * (edited - kl_clean)).sum()
        decay = weight_decay * sum(
            d.norm() / v0.norm() ** 2 for d, v0 in zip(deltas, v0s, strict=True)
        )
        loss = weight * nll + kl + decay
        losses.append(tuple(float(x.detach()) for x in (loss, nll, kl, decay)))
        if loss < stop_loss or step == steps - 1:
            break
        if until_likeliest and likeliest and kl <= 0.01:
            break
        weight = 0.1 if until_likeliest and likeliest else 1.0
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            for d, v0 in zip(deltas, v0s, strict=True):
                if d.norm() > clamp * v0.norm():
                    d *= clamp * v0.norm() / d.norm()
    return [d.detach() for d in deltas], losses, v0s


def pmet(model, tokenizer, facts, sites, attention, prefixes, solve, *, value):
    """Return dW (d_out, d_in) by site, the values' deltas by fact and their losses.

    `sites` and `solve` as for `batch`; `attention` is the linear map that writes the attention's
    output in the last site's block.
    """
    model = copy.deepcopy(model)
    last = sites[-1][0]
    values = [pair(model, tokenizer, fact, (last, attention), prefixes, **value) for fact in facts]

    def written():
        with torch.no_grad():
            rows = [row(tokenizer, fact, "") for fact in facts]
            found = [reference_rome.run(model, last, ids, at, None)[2] for ids, at in rows]
        return torch.stack(found, dim=1)  # (d, n)

    wanted = written() + torch.stack([deltas[0] for deltas, _, _ in values], dim=1)
    updates = []
    for i, (name, _, transposed) in enumerate(sites):
        K = keys_of(model, tokenizer, name, facts, prefixes)
        dW = solve(i, (wanted - written()) / (len(sites) - i) ** 0.5, K)
        weight = model.get_submodule(name).weight
        with torch.no_grad():
            weight += dW.T if transposed else dW
        updates.append(dW)
    return updates, values
