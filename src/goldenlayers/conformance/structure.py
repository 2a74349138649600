"""Checks of structure: the edit sites, and where subjects and answers stand in tokens."""

from __future__ import annotations

from typing import Any

import torch

from goldenlayers.conformance.case import Case
from goldenlayers.conformance.result import FAILS, FALLS_BACK, HOLDS, Found
from goldenlayers.models.chat import plain
from goldenlayers.models.sites import text_config
from goldenlayers.models.subject import subject_rows
from goldenlayers.models.text import encode_pairs


def edit_sites(case: Case) -> Found:
    """A change at each of two sites, at one token, changes what follows and nothing before."""
    sites = case.sites
    depth = getattr(text_config(case.model), "num_hidden_layers", len(sites))
    if len(sites) != depth:
        return Found(FAILS, f"{len(sites)} sites in a model of {depth} layers")
    row = encode_pairs(case.tokenizer, [(case.facts[0].prompt, case.facts[0].target_new)])[0]
    ids = torch.tensor([row.ids], device=case.model.device)
    at = row.n_prompt - 1
    with torch.no_grad():
        clean = case.model(input_ids=ids, use_cache=False).logits[0]  # (T, V)
        for site in case.two:
            changed = _with_noise(case, site.name, ids, at)
            if not torch.equal(changed[:at], clean[:at]):
                return Found(FAILS, f"layer {site.layer}: a change at a token is seen before it")
            if torch.equal(changed[at], clean[at]):
                return Found(FAILS, f"layer {site.layer}: a change of {site.name} has no effect")
    first = sites[0]
    return Found(
        HOLDS, f"{len(sites)} of {first.name.replace('0', '{}', 1)}, {first.d_in} → {first.d_out}"
    )


def _with_noise(case: Case, name: str, ids: Any, at: int) -> torch.Tensor:
    """Return the logits (T, V) with the site's output at one token turned around and doubled."""
    module = dict(case.model.named_modules())[name]

    def change(module: Any, inputs: Any, output: Any) -> Any:
        changed = output.clone()
        flat = changed if changed.dim() == 3 else changed.view(*ids.shape, -1)  # OPT flattens
        flat[:, at] = -2 * flat[:, at] + 1
        return changed

    handle = module.register_forward_hook(change)
    try:
        return torch.as_tensor(case.model(input_ids=ids, use_cache=False).logits[0])
    finally:
        handle.remove()


def spans(case: Case) -> Found:
    """Tokens of subjects and answers, decoded one more at a time, against the texts."""
    exact = 0
    for fact in case.facts:
        (row,) = subject_rows(case.tokenizer, [""], fact.prompt, fact.subject, fact.target_new)
        tokenizer = plain(case.tokenizer)
        texts = [_squeezed(tokenizer.decode(list(row.ids[: i + 1]))) for i in range(len(row.ids))]
        prompt = _squeezed(fact.prompt)
        if prompt not in texts[row.n_prompt - 1] or _squeezed(fact.target_new) not in texts[-1]:
            continue  # normalised or unknown characters: decoding does not give the text back
        exact += 1
        wanted = prompt[: prompt.rindex(_squeezed(fact.subject)) + len(_squeezed(fact.subject))]
        first = next(i for i, text in enumerate(texts) if wanted in text)
        if row.subject != first:
            return Found(
                FAILS,
                f"fact {fact.id}: the subject's last token is number {row.subject} by its "
                f"characters and {first} by decoding",
            )
        answer = _squeezed(tokenizer.decode(list(row.answer)))
        if answer != _squeezed(fact.target_new):
            return Found(FAILS, f"fact {fact.id}: the answer's tokens say {answer!r}")
    if exact < len(case.facts):
        return Found(
            FALLS_BACK,
            f"{len(case.facts) - exact} of {len(case.facts)} texts do not come back by decoding "
            "(the tokenizer normalises them or lacks characters); character offsets are trusted",
        )
    return Found(HOLDS, f"{exact} facts, the same tokens by characters and by decoding")


def _squeezed(text: str) -> str:
    """Return a text without blanks, which tokenizers put in and leave out."""
    return "".join(text.split())
