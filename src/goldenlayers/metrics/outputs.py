"""Raw outputs: what was asked and what was said, one record per probe, ready for JSON."""

from __future__ import annotations

from typing import Any

from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.counterfact import wins
from goldenlayers.metrics.fluency import fluency
from goldenlayers.metrics.generated import right
from goldenlayers.metrics.probes import LOCALITY
from goldenlayers.metrics.replies import Answered, Reply, Texts, share_equal


def probe_output(fact_id: str, answered: Answered, texts: Texts) -> dict[str, Any]:
    """Return everything about one probe.

    "score" is the teacher-forced share of tokens (for locality, of those that did not change),
    "right" whether the generated text is, "wins" whether the answer is likelier than its rival;
    null where there is nothing to say.
    """
    probe = answered.question.probe
    sides = {
        "before": Answered(answered.question, answered.before, answered.before),
        "after": answered,
    }
    out: dict[str, Any] = {
        "fact": fact_id,
        "kind": probe.kind,
        "subtype": probe.subtype,
        "prompt": probe.prompt,
        "answers": list(probe.answers),
        "prompt_ids": list(answered.question.prompt),
        "answer_ids": list(answered.answer),
        "answer_tokens": [texts.token(t) for t in answered.answer],
        "rival": answered.question.rival_text,
    }
    for side, of in sides.items():
        wanted = answered.before.argmax if probe.kind == LOCALITY else answered.answer
        out[f"score_{side}"] = share_equal(of.after.argmax, wanted)
        out[f"right_{side}"] = _truth(right(of))
        out[f"wins_{side}"] = _truth(wins(of))
        out |= {f"{name}_{side}": value for name, value in _reply(of.after, texts).items()}
    return out


def fluency_output(
    fact: Fact, n_prompt: int, ids: tuple[tuple[int, ...], tuple[int, ...]], texts: Texts
) -> dict[str, Any]:
    """Return the texts for fluency of one fact.

    Args:
        fact: The fact.
        n_prompt: Number of tokens of the prompt, which both texts begin with.
        ids: Token ids of the texts before and after the edit, prompt included.
        texts: Makes texts of token ids.
    """
    out: dict[str, Any] = {"fact": fact.id, "kind": "fluency", "subtype": "", "prompt": fact.prompt}
    out["prompt_ids"] = list(ids[0][:n_prompt])
    for side, tokens in zip(("before", "after"), ids, strict=True):
        text = texts.whole(tokens)
        out[f"score_{side}"] = fluency(text)
        out[f"generated_ids_{side}"] = list(tokens[n_prompt:])
        out[f"text_{side}"] = text
    return out


def _reply(reply: Reply, texts: Texts) -> dict[str, Any]:
    rival, generated = reply.rival_log_probs, reply.generated_ids
    return {
        "argmax_ids": list(reply.argmax),
        "argmax_tokens": [texts.token(t) for t in reply.argmax],
        "log_probs": list(reply.log_probs),
        "rival_log_probs": None if rival is None else list(rival),
        "generated_ids": None if generated is None else list(generated),
        "generated": reply.generated,
    }


def _truth(value: float | None) -> bool | None:
    return None if value is None else bool(value)
