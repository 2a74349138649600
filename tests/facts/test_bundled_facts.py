"""The facts that ship with the package: how many, of what kind, and made from their tables."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from goldenlayers.facts import bundled_facts

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"same_relation", "same_subject", "unrelated"}


@pytest.fixture(scope="module")
def facts():
    return bundled_facts()


def relation(fact):
    return fact.id.partition("-")[0]


def prompts(fact):
    yield fact.prompt
    yield from fact.rephrase_prompts
    for probes in (*fact.locality.values(), *fact.portability.values()):
        yield from (p.prompt for p in probes)


def test_source_is_named_and_hashed(facts):
    assert facts.source == "bundled"
    assert len(facts.sha256) == 64
    assert facts.bad == ()


def test_counts(facts):
    assert len(facts) >= 160
    assert len({relation(f) for f in facts}) >= 12
    assert len({f.id for f in facts}) == len(facts)
    splits = Counter(f.split for f in facts)
    assert set(splits) == {"proxy", "test"}
    assert splits["proxy"] >= 100
    assert splits["test"] >= 60


def test_both_splits_hold_every_relation(facts):
    splits = defaultdict(set)
    for f in facts:
        splits[relation(f)].add(f.split)
    assert {r: s for r, s in splits.items() if s != {"proxy", "test"}} == {}


def test_old_and_new_answer_differ(facts):
    same = [f.id for f in facts if f.target_old is None or f.target_old == f.target_new]
    assert same == []


def test_two_rephrasings_or_more(facts):
    assert [f.id for f in facts if len(set(f.rephrase_prompts) - {f.prompt}) < 2] == []


def test_every_kind_of_locality_probe(facts):
    wrong = [f.id for f in facts if set(f.locality) != KINDS or not all(f.locality.values())]
    assert wrong == []


def test_no_whitespace_after_prompts(facts):
    assert [(f.id, p) for f in facts for p in prompts(f) if p != p.rstrip()] == []


def test_file_is_what_its_tables_build():
    script = ROOT / "tools" / "bundled_facts" / "build.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
