"""Entropy of short texts, by hand."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenlayers.metrics.fluency import WORD, fluency, ngram_entropy, text_seed


def test_by_hand():
    # bigrams: ab ba ab ba (2, 2): 1 bit; trigrams: aba bab aba (2, 1)
    h3 = -(2 / 3) * math.log2(2 / 3) - (1 / 3) * math.log2(1 / 3)
    assert ngram_entropy(list("ababa"), 2) == pytest.approx(1.0)
    assert ngram_entropy(list("ababa"), 3) == pytest.approx(h3)
    assert fluency("a b a b a") == pytest.approx(1 / 3 + 2 / 3 * h3)


def rome_entropy(words):
    """ROME's published code: the mean over n of weighted entropies, weights 2/3 and 4/3."""
    entropies = []
    for n in (2, 3):
        freqs = Counter(zip(*(words[i:] for i in range(n)), strict=False)).values()
        shares = [f / sum(freqs) for f in freqs]
        entropies.append(sum(-p * math.log(p) / math.log(2) for p in shares))
    return (entropies[0] * 2 / 3 + entropies[1] * 4 / 3) / 2


@given(st.lists(st.sampled_from(["in", "the", "town", ",", "of"]), min_size=3, max_size=60))
def test_is_romes_definition_and_bounded(words):
    value = fluency(" ".join(words))
    assert value == pytest.approx(rome_entropy(words), abs=1e-9)
    bound = math.log2(len(words) - 1) / 3 + 2 * math.log2(max(1, len(words) - 2)) / 3
    assert -1e-12 <= value <= bound + 1e-9


def test_repetition_has_no_entropy_and_variety_has_all():
    assert fluency("the " * 50) == 0
    words = " ".join(map(str, range(10)))
    assert fluency(words) == pytest.approx(math.log2(9) / 3 + 2 * math.log2(8) / 3)


@pytest.mark.parametrize("text", ["", " ", "one", "!"])
def test_texts_without_ngrams(text):
    assert fluency(text) == 0


def test_two_words_have_one_bigram():
    assert fluency("one two") == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Paris, France.", ["Paris", ",", "France", "."]),
        ("It cost 1,250.50 in 1998.", ["It", "cost", "1,250.50", "in", "1998", "."]),
        ("a well-known 3rd man", ["a", "well-known", "3rd", "man"]),
        ("don't (stop)", ["don't", "(", "stop", ")"]),
        ("Süd-Öland’s 'best'", ["Süd-Öland’s", "'", "best", "'"]),
        ("end.\n\nNext", ["end", ".", "Next"]),
        ("v.2 e.g. x", ["v", ".", "2", "e", ".", "g", ".", "x"]),
        ("...", [".", ".", "."]),
    ],
)
def test_words(text, words):
    assert WORD.findall(text) == words


def test_seeds_depend_on_seed_and_fact_alone():
    seeds = {text_seed(seed, fact) for seed in range(3) for fact in ("a", "b", "1:a", "\ud800")}
    assert len(seeds) == 12
    assert all(0 <= s < 2**63 for s in seeds)
    assert text_seed(0, "a") == 5690829181965289459
