"""LGA end to end against the slow reference, and what it does with facts that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import goldenlayers
from goldenlayers.errors import FactError, LocatorError, SettingsError
from goldenlayers.facts import Fact, FactSet
from goldenlayers.locators.fences import Fences
from goldenlayers.models.sites import find_sites
from goldenlayers.models.text import Row, encode_pairs
from tests import reference, tiny


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text", "opt"])
@pytest.mark.parametrize("old_answer", ["record", "model"])
def test_find_equals_the_slow_reference(name, old_answer):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    facts = [*tiny.FACTS, *tiny.LAST_TOKEN]
    ranking = goldenlayers.find(model, tokenizer, facts, method="lga", old_answer=old_answer)
    layers = [[s.name] for s in find_sites(model)]
    products = []
    for fact, answer in zip(facts, ranking.answers, strict=True):
        new = encode_pairs(tokenizer, [(fact.prompt, fact.target_new)])[0]
        if old_answer == "record":
            assert answer.old_answer == fact.target_old
            old = encode_pairs(tokenizer, [(fact.prompt, fact.target_old)])[0]
        else:
            assert 1 <= len(answer.old_ids) <= len(new.answer)
            old = Row(new.ids[: new.n_prompt] + answer.old_ids, new.n_prompt)
        products.append(reference.inner_products(model, old, new, layers))
        assert answer.old_loss == pytest.approx(reference.mean_nll(model, old).item(), rel=1e-9)
        assert answer.new_loss == pytest.approx(reference.mean_nll(model, new).item(), rel=1e-9)
    p = torch.stack(products, dim=2).numpy()  # (3, L, N)
    old_norm, new_norm = np.sqrt(p[0]), np.sqrt(p[2])
    cosine = p[1] / (old_norm * new_norm)
    for j, score in enumerate(ranking.layers):
        assert score.layer == j
        assert score.score == pytest.approx(p[1, j].sum(), rel=1e-8, abs=1e-9)
        assert score.mean_cosine == pytest.approx(cosine[j].mean(), abs=1e-9)
        assert score.old_norm == pytest.approx(old_norm[j].mean(), rel=1e-9)
        assert score.new_norm == pytest.approx(new_norm[j].mean(), rel=1e-9)
    np.testing.assert_allclose(ranking.fact_scores["score"], p[1].T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ranking.fact_scores["cosine"], cosine.T, atol=1e-9)
    assert ranking.golden == Fences().golden(p[1].sum(axis=1))
    assert ranking.order[0] == ranking.golden
    assert ranking[ranking.golden].rank == 1


def test_the_models_own_answer_is_its_greedy_continuation():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    ranking = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga", old_answer="model")
    for fact, answer in zip(tiny.FACTS, ranking.answers, strict=True):
        ids = torch.tensor([tokenizer(fact.prompt).input_ids])
        text = ""
        for k, token in enumerate(answer.old_ids):
            with torch.no_grad():
                order = model(input_ids=ids).logits[0, -1].argsort(descending=True).tolist()
            special = set(tokenizer.all_special_ids)
            if k == 0:
                order = [t for t in order if t not in special and tokenizer.decode([t]).strip()]
            assert token == order[0]
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
            text += tokenizer.decode([token])
        assert answer.old_source == "model"


def test_facts_without_an_old_answer_get_the_models():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    facts = [*tiny.FACTS[:3], Fact("none", "Vell", "The river through Vell is the", "Ashwater")]
    ranking = goldenlayers.find(model, tokenizer, facts, method="lga")
    assert [a.old_source for a in ranking.answers] == ["record"] * 3 + ["model"]
    assert ranking.facts["old_answers"] == {"record": 3, "model": 1}
    assert ranking.answers[0].old_ids is None


def test_equal_answers_and_long_prompts_are_skipped_and_counted():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    same = Fact("same", "Korvo", "Korvo uses the", "mark", "mark")
    long = Fact("long", "Korvo", "Korvo " * 130 + "uses the", "mark", "crown")
    long_unanswered = Fact("long too", "Korvo", "Korvo " * 130 + "uses the", "mark")
    ranking = goldenlayers.find(
        model, tokenizer, [*tiny.FACTS, same, long, long_unanswered], method="lga"
    )
    reasons = {s.id: s.reason for s in ranking.skipped}
    assert set(reasons) == {"same", "long", "long too"}
    assert reasons["same"] == "the old answer is the new answer, 'mark'"
    assert "the model's context is 128" in reasons["long"]
    assert "the model's context is 128" in reasons["long too"]
    assert (ranking.facts["used"], ranking.facts["skipped"]) == (7, 3)
    without = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga")
    assert [s.score for s in without.layers] == pytest.approx([s.score for s in ranking.layers])


def test_the_models_answer_equal_to_the_new_one_is_skipped():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    prompt = "Korvo uses the"
    probe = goldenlayers.find(
        model, tokenizer, [Fact("p", "Korvo", prompt, "m")], method="lga", old_answer="model"
    )
    own = tokenizer.decode(list(probe.answers[0].old_ids))
    twin = Fact("twin", "Korvo", prompt, own)
    ranking = goldenlayers.find(
        model, tokenizer, [*tiny.FACTS, twin], method="lga", old_answer="model"
    )
    tokens = tokenizer(f"{prompt} {own.strip()}").input_ids[len(tokenizer(prompt).input_ids) :]
    if tuple(tokens) == probe.answers[0].old_ids:  # the same tokens, so the gradients are equal
        assert [s.id for s in ranking.skipped] == ["twin"]
    else:
        assert "twin" in [a.id for a in ranking.answers]


def test_a_layer_that_no_gradient_reaches_never_wins():
    # All dots negative: a layer scored 0 would win. Old and new answers of one token that exclude
    # each other give negative dots at the top layer when both are likely, so force it by sign.
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    cut = model.model.layers[1].mlp
    hook = cut.register_forward_hook(lambda m, a, out: out.detach())
    ranking = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga")
    hook.remove()
    assert not ranking[1].reached
    assert ranking[1].score is None
    assert ranking[1].rank is None
    assert 1 not in ranking.order
    assert ranking.golden != 1
    assert ranking[1].stability is None
    assert sum(s.stability for s in ranking.layers if s.reached) == pytest.approx(1.0)


def test_zero_gradients_everywhere_count_as_unreached():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    model.model.layers[2].mlp.register_forward_hook(lambda m, a, out: out * 0.0)
    ranking = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga", fence=None)
    assert [s.reached for s in ranking.layers] == [True, True, False, True]


def test_a_fact_with_values_that_are_not_finite_is_skipped_with_its_layers():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    bad = Fact("bad", "Zanzibar Qux", "Zanzibar Qux is in", "mark", "crown")
    texts = [f"{f.prompt} {a}" for f in tiny.FACTS for a in (f.target_new, f.target_old)]
    used = {token for text in texts for token in tokenizer(text).input_ids}
    bad_token = next(t for t in tokenizer(bad.prompt).input_ids if t not in used)
    with torch.no_grad():
        model.model.embed_tokens.weight[bad_token] = float("nan")
    ranking = goldenlayers.find(model, tokenizer, [*tiny.FACTS, bad], method="lga")
    assert [s.id for s in ranking.skipped] == ["bad"]
    assert "not finite at layers 0-3" in ranking.skipped[0].reason
    with pytest.raises(LocatorError, match="none of the 1 facts could be scored; the first: bad"):
        goldenlayers.find(model, tokenizer, [bad], method="lga")


def test_layers_restrict_the_choice_and_the_fences():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    whole = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga", fence=None)
    part = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga", fence=None, layers="2-3")
    assert [s.layer for s in part.layers] == [2, 3]
    assert part.golden == max((2, 3), key=lambda layer: whole[layer].score)
    assert part[3].score == pytest.approx(whole[3].score, rel=1e-12)


def test_test_facts_are_not_seen_unless_asked_for():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    marked = [
        Fact(
            f.id,
            f.subject,
            f.prompt,
            f.target_new,
            f.target_old,
            split="test" if i % 2 else "proxy",
        )
        for i, f in enumerate(tiny.FACTS)
    ]
    ranking = goldenlayers.find(model, tokenizer, marked, method="lga")
    assert {a.id for a in ranking.answers} == {f.id for f in marked if f.split == "proxy"}
    assert ranking.facts["splits"] == {"proxy": 4}
    assert len(goldenlayers.find(model, tokenizer, marked, method="lga", split="all").answers) == 7
    assert (
        len(
            goldenlayers.find(model, tokenizer, marked, method="lga", split="test", limit=2).answers
        )
        == 2
    )


def many_facts(n):
    words = ["mark", "crown", "violin", "double bass", "Danish", "Vell", "Rivermouth", "Blue Kite"]
    return [
        Fact(
            f"{i}", f"Town {i}", f"The capital of Town {i} is", words[i % 8], words[(i * 3 + 1) % 8]
        )
        for i in range(n)
        if words[i % 8] != words[(i * 3 + 1) % 8]
    ]


def test_confidence_takes_facts_until_the_winner_is_stable():
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    facts = many_facts(80)
    easy = goldenlayers.find(model, tokenizer, facts, method="lga", confidence=0.01)
    assert len(easy.answers) == 20  # the first look
    assert easy[easy.golden].stability >= 0.01
    whole = goldenlayers.find(model, tokenizer, facts, method="lga")
    level = 1.0 if whole[whole.golden].stability < 1.0 else None
    if level is not None:  # a level that is never reached uses all facts
        hard = goldenlayers.find(model, tokenizer, facts, method="lga", confidence=level)
        assert len(hard.answers) == len(facts)
        assert [s.score for s in hard.layers] == pytest.approx([s.score for s in whole.layers])
    # it is the seeded order that decides, and it is the same each time
    again = goldenlayers.find(model, tokenizer, facts, method="lga", confidence=0.01)
    other = goldenlayers.find(model, tokenizer, facts, method="lga", confidence=0.01, seed=1)
    assert [a.id for a in easy.answers] == [a.id for a in again.answers]
    assert [a.id for a in easy.answers] != [a.id for a in other.answers]


def test_same_input_same_bits():
    model, tokenizer = tiny.model("gemma2", torch.float32), tiny.tokenizer("gemma2")
    first = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga")
    second = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga")
    assert [s.score for s in first.layers] == [s.score for s in second.layers]
    assert [s.stability for s in first.layers] == [s.stability for s in second.layers]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "x"}, "method 'x' is unknown; expected one of auto, lga"),
        ({"scope": "x"}, "scope 'x' is unknown; expected one of site, mlp"),
        ({"old_answer": "x"}, "old_answer 'x' is unknown"),
        ({"fence": -1.0}, "fence -1.0: expected"),
        ({"quartiles": "x"}, "quartiles 'x' is unknown"),
        ({"confidence": 0.0}, "confidence 0.0"),
        ({"batch_tokens": 0}, "batch_tokens 0"),
        ({"resamples": 0}, "resamples 0"),
        ({"limit": 0}, "limit 0"),
        ({"fences": 1.0}, "no setting 'fences'; it has"),
        ({"split": "x"}, "split 'x' is unknown"),
        ({"layers": "9"}, "layer 9 does not exist"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingsError, match=message):
        goldenlayers.find(
            tiny.model("llama"),
            tiny.tokenizer("llama"),
            tiny.FACTS,
            **{"method": "lga", **settings},
        )


def test_bad_facts_are_named():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    with pytest.raises(FactError, match="two facts have the id '1'"):
        goldenlayers.find(model, tokenizer, [tiny.FACTS[0], tiny.FACTS[0]], method="lga")
    with pytest.raises(FactError, match="no facts to choose on"):
        goldenlayers.find(model, tokenizer, [], method="lga")
    with pytest.raises(FactError, match="none of the 7 facts is in split 'test'"):
        goldenlayers.find(model, tokenizer, FactSet(tuple(tiny.FACTS)), method="lga", split="test")
