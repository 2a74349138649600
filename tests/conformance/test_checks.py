"""No check that cannot fail: each one is shown a model, or a pass, in which its matter is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from goldenlayers.conformance import (
    FAILS,
    FALLS_BACK,
    HOLDS,
    SKIPPED,
    check_model,
    edits,
    fast_paths,
    structure,
)
from goldenlayers.conformance.case import Case
from goldenlayers.conformance.run import CHECKS
from goldenlayers.errors import FactError, ResultError
from goldenlayers.passes.dots import GradientDots
from goldenlayers.report.conformance_table import conformance_lines, conformance_table
from tests import tiny


@pytest.fixture
def case():
    return Case(tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[:3])


def test_sites_that_are_too_few(case, monkeypatch):
    sites = case.sites
    monkeypatch.setattr(Case, "sites", sites[:-1])
    found = structure.edit_sites(case)
    assert (found.status, found.detail) == (FAILS, "3 sites in a model of 4 layers")


def test_a_site_that_is_seen_too_early_or_not_at_all(case, monkeypatch):
    real = structure._with_noise
    monkeypatch.setattr(
        structure, "_with_noise", lambda c, name, ids, at: real(c, name, ids, at - 1)
    )
    assert "is seen before it" in structure.edit_sites(case).detail
    monkeypatch.setattr(structure, "_with_noise", lambda c, name, ids, at: c.model(ids).logits[0])
    found = structure.edit_sites(case)
    assert found.status == FAILS
    assert "has no effect" in found.detail


def test_spans_that_are_off_by_one(case, monkeypatch):
    real = structure.subject_rows
    monkeypatch.setattr(
        structure,
        "subject_rows",
        lambda *a: [replace(r, subject=r.subject + 1) for r in real(*a)],
    )
    found = structure.spans(case)
    assert found.status == FAILS
    assert "the subject's last token is number" in found.detail
    monkeypatch.setattr(
        structure,
        "subject_rows",
        lambda *a: [replace(r, n_prompt=r.n_prompt + 1) for r in real(*a)],
    )
    assert "the answer's tokens say" in structure.spans(case).detail


def test_texts_that_do_not_come_back(case):
    strange = [replace(f, target_new="鷹") for f in case.facts]
    found = structure.spans(replace(case, facts=[*strange, *case.facts]))
    assert found.status in (HOLDS, FALLS_BACK)  # byte fallback may know it
    unigram = Case(tiny.model("opt"), tiny.TOKENIZERS["unigram"](), strange)
    assert structure.spans(unigram).status == FALLS_BACK


def test_dots_that_are_wrong(case, monkeypatch):
    real = fast_paths.gradient_dots

    def off(*args):
        found = real(*args)
        return GradientDots(found.products * 1.001, found.losses, found.reached)

    monkeypatch.setattr(fast_paths, "gradient_dots", off)
    found = fast_paths.dots(case)
    assert found.status == FAILS
    assert found.error == pytest.approx(1e-3, rel=0.05)


def test_dots_of_quantised_weights_are_not_compared(case, monkeypatch):
    module = torch.nn.Module()
    module.weight = torch.zeros(2, dtype=torch.int8)
    sites = case.sites
    monkeypatch.setattr(Case, "sites", sites)
    names = {site.name: module for site in sites}
    monkeypatch.setattr(case.model, "named_modules", lambda: names.items())
    assert fast_paths.dots(case).status == SKIPPED


def test_prefixes_that_are_wrong_or_cannot_be_had(case, monkeypatch):
    real = fast_paths.Replay

    class Wrong(real):
        def logits(self, groups):
            return [x + 0.1 for x in super().logits(groups)]

    monkeypatch.setattr(fast_paths, "Replay", Wrong)
    assert fast_paths.prefix_reuse(case).status == FAILS

    def none(*args):
        raise TypeError("no cache")

    monkeypatch.setattr(fast_paths, "Replay", none)
    found = fast_paths.prefix_reuse(case)
    assert found.status == FALLS_BACK
    assert "TypeError: no cache" in found.detail


def test_a_growing_batch_that_is_wrong_or_falls_back(case, monkeypatch):
    real = fast_paths.Sweep.run

    def run(self, facts, change=lambda o: replace(o, nll_after=o.nll_after * 1.01)):
        made = real(self, facts)
        return made if self.plain else [change(o) for o in made]

    monkeypatch.setattr(fast_paths.Sweep, "run", run)
    assert fast_paths.growing_batch(case).status == FAILS
    monkeypatch.setattr(
        fast_paths.Sweep,
        "run",
        lambda self, facts: run(self, facts, lambda o: replace(o, computed="plain loop: because")),
    )
    found = fast_paths.growing_batch(case)
    assert (found.status, found.detail) == (FALLS_BACK, "plain loop: because")


def test_tracing_that_is_wrong_or_falls_back(case, monkeypatch):
    real = fast_paths.CMA.rank

    def wrong(self, request):
        found = real(self, request)
        scores = {k: v if self.plain else v + 0.01 for k, v in found.fact_scores.items()}
        return replace(found, fact_scores=scores)

    monkeypatch.setattr(fast_paths.CMA, "rank", wrong)
    assert fast_paths.tracing(case).status == FAILS
    note = "computed by the plain way: because"
    monkeypatch.setattr(fast_paths.CMA, "rank", lambda s, r: replace(real(s, r), notes=(note,)))
    found = fast_paths.tracing(case)
    assert (found.status, found.detail) == (FALLS_BACK, note)


def test_an_edit_that_stays_or_does_nothing(case, monkeypatch):
    hashes = iter("ab")
    with monkeypatch.context() as patch:
        patch.setattr(edits, "content_hash", lambda model: next(hashes))
        assert "not bit for bit" in edits.effect_and_revert(case).detail
    with monkeypatch.context() as patch:
        patch.setattr(edits, "_written", lambda *args: (torch.zeros(32).double(), 1.0))
        found = edits.effect_and_revert(case)
        assert (found.status, found.error) == (FAILS, pytest.approx(1.0))


def test_a_file_that_holds_another_edit(case, monkeypatch):
    other = edits._edit(replace(case, facts=case.facts[1:]))
    monkeypatch.setattr(edits.Edit, "load", lambda path: other)
    assert edits.export_and_reload(case).status == FAILS


def test_numbers_that_change_from_run_to_run(case, monkeypatch):
    real, seeds = edits.find, iter((0, 1))

    def shaken(*args, **options):
        found = real(*args, **options)
        found.fact_scores["score"][0, 0] += next(seeds)
        return found

    monkeypatch.setattr(edits, "find", shaken)
    found = edits.repeatable(case)
    assert (found.status, found.error) == (FAILS, pytest.approx(1.0))


def test_an_error_is_a_row_and_the_others_go_on(case, monkeypatch, tmp_path):
    def broken(case):
        """Break."""
        raise RuntimeError("[b]a new architecture[/b]")

    monkeypatch.setitem(CHECKS, "token spans", broken)
    found = check_model(case.model, case.tokenizer, case.facts)
    assert not found.ok
    assert found["token spans"].status == FAILS
    assert [c.found.status for c in found.checks].count(HOLDS) == len(CHECKS) - 1
    lines = "\n".join(conformance_lines(found))
    assert f"1 of {len(CHECKS)} checks fail" in lines
    assert conformance_table(found).row_count == len(CHECKS)
    (path,) = found.save(tmp_path)
    assert json.loads(path.read_text()) == found.to_dict()
    path.write_text("{}")
    with pytest.raises(ResultError, match="did not write it"):
        found.save(tmp_path)


def test_refusals(case):
    with pytest.raises(FactError, match="without an old answer"):
        check_model(case.model, case.tokenizer, [replace(case.facts[0], target_old=None)])
    with pytest.raises(FactError, match="no facts"):
        check_model(case.model, case.tokenizer, [])
