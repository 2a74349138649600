"""Answers compared as people would: case, articles and punctuation aside."""

from __future__ import annotations

import pytest

from goldenlayers.metrics.known import begins_with, normalise


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  The  U.S.A.! ", "u s a"),
        ("Rock'n'Roll, baby", "rocknroll baby"),
        ("1,000,000 people", "1000000 people"),
        ("1.5 million.", "1.5 million"),
        ("3. Next", "3 next"),
        ("-5 degrees - cold", "-5 degrees cold"),
        ("C++ and C#; F#.", "c++ and c# f#"),
        ("well-known", "well known"),
        ("Ｗｉｄｅ", "wide"),
        ("", ""),
    ],
)
def test_normalise(text, plain):
    assert normalise(text) == plain
    assert normalise(plain) == plain


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("Paris. The answer", "Paris", True),
        ("the Paris of", "Paris", True),
        ("Parisian", "Paris", False),
        ("1.5 million", "1", False),
        ("1. The", "1", True),
        ("C++ and", "C", False),
        ("C# and", "C#", True),
        ("-5", "5", False),
        ("", "Paris", False),
        ("Paris", "", False),
    ],
)
def test_begins_with(text, answer, right):
    assert begins_with(text, answer) is right
