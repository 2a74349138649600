"""Invented names, each of which occurs once in a world."""

from __future__ import annotations

from random import Random

ONSETS = (
    "b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kr", "l", "m", "n", "p",
    "pr", "qu", "r", "s", "sh", "sk", "st", "t", "th", "tr", "v", "w", "y", "z",
)  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ie", "oa", "ou")
CODAS = ("", "", "", "l", "m", "n", "nd", "r", "rk", "s", "st", "th", "x")


class Names:
    """Draws names, none of which has occurred before.

    Args:
        rng: Where chance comes from; the same state gives the same names.
    """

    def __init__(self, rng: Random):
        self._rng = rng
        self._seen: set[str] = set()

    def word(self, syllables: int, ending: str = "") -> str:
        """Return a new word with a capital letter, such as "Brelvona"."""
        while True:
            parts = [self._syllable() for _ in range(syllables)]
            word = ("".join(parts) + ending).capitalize()
            if word not in self._seen:
                self._seen.add(word)
                return word

    def _syllable(self) -> str:
        return "".join(map(self._rng.choice, (ONSETS, VOWELS, CODAS)))
