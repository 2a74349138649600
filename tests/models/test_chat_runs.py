"""Finding, tracing, editing and scoring through a chat template stand on the user's subject."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import goldenlayers
from goldenlayers.editors.fact_rows import fact_rows
from goldenlayers.editors.templates import make_templates
from goldenlayers.locators.answers import old_and_new
from goldenlayers.locators.known import traced_row
from goldenlayers.metrics.baseline import baseline
from goldenlayers.models.chat import chat_tokenizer, plain
from goldenlayers.models.text import encode_pairs
from goldenlayers.report.before_after import look
from tests import tiny
from tests.models.chats import by_decoding, chat_model, models, raw, rendered, user


def test_running_text_stays_running_text():
    tokenizer = raw("byte_level_bpe", "chatml")
    model = tiny.model("qwen2")
    chat = chat_tokenizer(tokenizer)
    assert make_templates(model, chat, "published") == make_templates(model, tokenizer, "published")
    kept = [
        goldenlayers.key_covariance(model, t, [1], tokens=64, length=16, cache=False)[1]
        for t in (chat, tokenizer)
    ]
    assert kept[0].key == kept[1].key
    assert torch.equal(kept[0].sum, kept[1].sum)


@models
def test_tracing_and_editing_stand_on_the_users_subject(name, template):
    model, chat = chat_model(name, template)
    fact = tiny.FACTS[0]
    upto = chat.head + fact.prompt[: fact.prompt.index("Norland")]
    for old in (fact, replace(fact, target_old=None)):  # the record's answer, the model's own
        row = traced_row(chat, old_and_new(model, chat, [old]).pairs[0])
        assert row.ids == rendered(plain(chat), user(fact.prompt), generate=True)
        assert row.first == by_decoding(chat, row.ids, f"{upto}N")
        assert row.last == by_decoding(chat, row.ids, f"{upto}Norland")
    rows = fact_rows(model, chat, fact, ["", "In fact, "])
    assert rows.bare.subject == row.last
    prefixed = upto.replace(chat.head, f"{chat.head}In fact, ")
    assert rows.fed[1].subject == by_decoding(chat, rows.fed[1].ids, f"{prefixed}Norland")
    kl = rows.fed[-1]  # "Norland is a" is a message too
    assert kl.ids == rendered(plain(chat), user("Norland is a"), generate=True)
    assert kl.subject == by_decoding(chat, kl.ids, f"{chat.head}Norland")


@models
def test_find_edit_evaluate_through_the_template(name, template):
    model, chat = chat_model(name, template)
    fact = tiny.FACTS[0]
    ranking = goldenlayers.find(model, chat, tiny.FACTS[:3], method="lga")
    assert len(ranking.answers) == 3

    edit = goldenlayers.edit(model, chat, fact, layer=1, templates="bare")
    (outcome,) = edit.outcomes
    scored = goldenlayers.evaluate(model, chat, [fact], edit=edit).facts[0]
    assert scored.before["nll_new"] == pytest.approx(outcome.nll_before)
    assert scored.scores["nll_new"] == pytest.approx(outcome.nll_after)
    assert outcome.nll_after != outcome.nll_before

    # transformers' own rendering: the key edited is that of the user's subject, ...
    ids = rendered(plain(chat), user(fact.prompt), generate=True)
    at = by_decoding(chat, ids, chat.head + fact.prompt[: fact.prompt.index("Norland")] + "Norland")
    (update,) = edit.updates
    keys = []
    site = model.get_submodule(update.name)
    hook = site.register_forward_pre_hook(lambda _, given: keys.append(given[0][0, at]))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
    hook.remove()
    assert torch.allclose(update.right[:, 0].double(), keys[0] / keys[0].norm(), atol=1e-5)
    # ... and what changed is the answer's loss where the model replies
    (row,) = encode_pairs(chat, [(fact.prompt, fact.target_new)])
    fed = torch.tensor([[*ids, *row.answer[:-1]]])
    with edit.applied(model), torch.no_grad():
        said = model(input_ids=fed).logits[0, len(ids) - 1 :]
    nll = torch.nn.functional.cross_entropy(said, torch.tensor(row.answer))
    assert float(nll) == pytest.approx(outcome.nll_after, rel=1e-4)

    # the report, and the texts whose fluency is measured, start where the model replies
    assert look(model, chat, [fact])[0].top[0][0] == chat.decode([int(logits.argmax())])
    assert baseline(model, chat, [fact], generate=False).of(fact).prompt == ids
