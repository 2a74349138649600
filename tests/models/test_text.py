"""Spans of answers, from character offsets, for tokenizers of several kinds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from goldenlayers.errors import ModelError
from goldenlayers.models.text import encode_pairs, encode_prompts, joined
from tests import tiny


@pytest.mark.parametrize("kind", tiny.TOKENIZERS)
def test_the_answer_span_decodes_to_the_answer(kind):
    tokenizer = tiny.TOKENIZERS[kind]()
    pairs = [(f.prompt, a) for f in tiny.FACTS for a in (f.target_new, f.target_old)]
    for (prompt, answer), row in zip(pairs, encode_pairs(tokenizer, pairs), strict=True):
        assert tokenizer.decode(list(row.answer)).strip() == answer
        # the prompt's own tokens, none of the answer's: decoding them gives the prompt
        head = tokenizer.decode(list(row.ids[: row.n_prompt]), skip_special_tokens=True)
        assert head.strip() == prompt


@pytest.mark.parametrize("kind", tiny.TOKENIZERS)
def test_beginning_token_stays_end_token_goes(kind):
    tokenizer = tiny.TOKENIZERS[kind]()
    row = encode_pairs(tokenizer, [("The capital of Norland is", "Bergstad")])[0]
    begins = tokenizer.bos_token_id is not None
    assert (row.ids[0] == tokenizer.bos_token_id) == begins
    assert row.ids[-1] != tokenizer.eos_token_id
    assert (
        encode_prompts(tokenizer, ["The capital of Norland is  \n"])[0] == row.ids[: row.n_prompt]
    )


def test_whitespace_at_the_joint():
    assert joined("The capital is \n", "  Bergstad ") == (
        "The capital is Bergstad",
        "The capital is",
    )


def test_a_token_across_the_joint_belongs_to_the_answer():
    # WordLevel without a pre-tokenizer takes the whole text as one token: all of it is "answer",
    # nothing is left of the prompt, and that is an error, not a guess.
    tok = tiny._wrapped(Tokenizer(models.WordLevel({"a b": 0, "?": 1}, unk_token="?")))
    with pytest.raises(ModelError, match="no token of the prompt"):
        encode_pairs(tok, [("a", "b")])


def test_an_answer_without_tokens_is_named():
    # characters that the tokenizer drops without a trace
    tok = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    with pytest.raises(ModelError, match="no token of the answer in 'ab Я'"):
        encode_pairs(tiny._wrapped(tok), [("ab", "Я")])


def test_slow_tokenizers_are_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="Slow is not a fast one"):
        encode_pairs(Slow(), [("a", "b")])


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(
        str.strip
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(
        str.strip
    ),
)
def test_byte_level_spans_cut_where_the_texts_meet(prompt, answer):
    tokenizer = tiny.byte_level_bpe()
    text, head = joined(prompt, answer)
    if not answer.strip() or not head:
        return
    row = encode_pairs(tokenizer, [(prompt, answer)])[0]
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert all(end <= len(head) for _, end in offsets[: row.n_prompt])
    assert all(end > len(head) for _, end in offsets[row.n_prompt :])
