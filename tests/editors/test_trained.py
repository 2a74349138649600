"""What the editors that train a weight have in common: verdicts, settings, requests."""

from __future__ import annotations

import json

import pytest

from goldenlayers.editors import trained
from goldenlayers.editors.fine_tuning import FTL, FTM
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.templates import Templates
from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts import Fact
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.editors.trained import comes_back, edit, models

HOW = {"lr": 5e-3, "steps": 4}
BOTH = pytest.mark.parametrize("editor", [FTL, FTM], ids=["ft-l", "ft-m"])


def test_verdicts(monkeypatch):
    model, tokenizer = models("llama")
    for fit, status, reason in (
        ((0.1, True), "converged", "0.100 nats a token after 4 steps (all steps)"),
        ((0.1, False), "not converged", "after 4 steps the new answer costs 0.10 nats a token, "
         "but not each of its tokens is the most likely one"),
        ((0.7, True), "not converged", "after 4 steps the new answer still costs 0.70 nats a "
         "token (converged means under 0.69)"),
        ((float("nan"), False), "not converged", "still costs nan"),
    ):  # fmt: skip
        monkeypatch.setattr(trained, "answer_fit", lambda model, rows, fit=fit: fit)
        (outcome,) = edit(FTM(**HOW), model, tokenizer, tiny.FACTS[:1]).outcomes
        assert outcome.status == status
        assert reason in outcome.reason
    json.dumps(outcome.details, allow_nan=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0}, "lr 0: expected a number above 0"),
        ({"steps": 0}, "steps 0: expected a whole number above 0"),
        ({"steps": 2.5}, "steps 2.5"),
        ({"batch_size": True}, "batch_size True"),
        ({"stop_loss": -1}, "stop_loss -1"),
        ({"weight_decay": float("nan")}, "weight_decay nan"),
        ({"norm_bound": 0.0}, "norm_bound 0.0"),
        ({"norm_bound": "x"}, "norm_bound 'x'"),
        ({"converged_below": 0}, "converged_below 0"),
        ({"skip_below": 1}, "skip_below 1: expected True or False"),
    ],
)
@BOTH
def test_settings_are_checked(editor, settings, message):
    with pytest.raises(SettingsError, match=message):
        editor(**settings)


@BOTH
def test_requests_are_checked(editor):
    model, tokenizer = models("llama")
    sites = find_sites(model)
    with pytest.raises(SettingsError, match=f"{editor.name} edits one layer, 2 were given"):
        editor().edit(EditRequest(model, tokenizer, tiny.FACTS, sites[:2], Templates("own", ("",))))
    other = Fact("x", "Korvo", "Nothing of the kind", "mark", "crown")
    with comes_back(model), untouched(model), pytest.raises(FactError, match="Korvo"):
        editor().edit(
            EditRequest(model, tokenizer, [tiny.FACTS[0], other], sites[1:2],
                        Templates("own", ("",)))
        )  # fmt: skip
