"""Facts that a tiny random model knows: their old answer is what it says by itself."""

from __future__ import annotations

from dataclasses import replace

import torch

from goldenlayers.locators.answers import old_and_new
from goldenlayers.models.text import encode_pairs
from tests import tiny


def known(name: str, facts=tiny.FACTS):
    """Return those facts whose answer, as the model gives it, is tokenised as it was given."""
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    found = []
    for fact in facts:
        pairs = old_and_new(model, tokenizer, [fact], old_answer="model").pairs
        old = pairs[0].old_text
        if old:
            fact = replace(fact, target_old=old)
            (row,) = encode_pairs(tokenizer, [(fact.prompt, old)])
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([row.ids])).logits[0, row.n_prompt - 1 : -1]
            if tuple(logits.argmax(-1).tolist()) == row.answer:
                found.append(fact)
    return found
