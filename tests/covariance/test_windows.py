"""Documents become windows and batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenlayers.covariance.windows import batches, beginning, capped, cut
from tests import tiny


@pytest.mark.parametrize(
    ("kind", "begin"), [("byte_level_bpe", ()), ("metaspace_bpe", (1,)), ("unigram", (1,))]
)
def test_beginning(kind, begin):
    assert beginning(tiny.TOKENIZERS[kind]()) == begin


def test_windows_hold_every_token_once_and_no_two_documents():
    tokenizer = tiny.byte_level_bpe()
    documents = [["The capital of ", "Norland is", " Bergstad."], [""], ["violin" * 9], ["a"]]
    windows = list(cut(documents, tokenizer, 5, (0,)))
    assert all(w[0] == 0 and 2 <= len(w) <= 5 for w in windows)
    expected = []
    for document in documents:
        ids = [i for piece in document for i in tokenizer(piece)["input_ids"]]
        expected += [(0, *ids[i : i + 4]) for i in range(0, len(ids), 4)]
    assert windows == expected


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 300), st.integers(1, 64))
def test_batches_hold_exactly_the_first_tokens(lengths, tokens, batch_tokens):
    windows = [(), *(tuple([i] * n) for i, n in enumerate(lengths, start=1))]
    found = list(batches(capped(windows, tokens), batch_tokens))
    flat = [token for window in windows for token in window][:tokens]
    assert sorted(t for batch in found for w in batch for t in w) == sorted(flat)
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= batch_tokens


def test_windows_are_read_no_further_than_needed():
    def endless():
        yield from ((n, n, n) for n in range(10))
        raise AssertionError("read too far")

    assert list(capped(endless(), 30))[-1] == (9, 9, 9)
    stream = batches(endless(), 2)
    assert next(stream)  # a batch comes before the stream ends
