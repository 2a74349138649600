"""Fluency: entropy of the words that the model writes, low when it repeats itself.

    (1/3) * H2 + (2/3) * H3,   H_n = - sum over n-grams of p log2 p, bits

over the word n-grams of prompt and continuation together, 100 model tokens in all, drawn among the
5 most likely tokens with a seed (ROME, arXiv 2202.05262, section 3.3 and its published code, whose
weights 2/3 and 4/3 are averaged over the two n). Words are told apart by `WORD`, close to NLTK's
word_tokenize: numbers, hyphenated words and words with an apostrophe stay whole (NLTK would split
"don't"), punctuation marks stand alone.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence

TOKENS = 100  # prompt included
TOP_K = 5
WORD = re.compile(r"\w+(?:[-'’]\w+|(?<=\d)[.,]\d+)*|[^\w\s]")


def fluency(text: str) -> float:
    """Return the entropy of a text's word n-grams, bits.

    A text of fewer than n words has no n-grams, and an H_n of 0.
    """
    words = WORD.findall(text)
    return ngram_entropy(words, 2) / 3 + 2 * ngram_entropy(words, 3) / 3


def ngram_entropy(words: Sequence[str], n: int) -> float:
    """Return the entropy of the distribution of n-grams, bits."""
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    total = sum(counts.values())
    return sum(c / total * math.log2(total / c) for c in counts.values())


def text_seed(seed: int, fact_id: str) -> int:
    """Return the seed of one fact's text: of (seed, fact) alone, not of the facts beside it."""
    digest = hashlib.sha256(f"{seed}:{fact_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # 63 bits
