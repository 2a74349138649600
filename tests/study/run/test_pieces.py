"""What a study has to do."""

from __future__ import annotations

import pytest

from goldenlayers.errors import SettingsError
from goldenlayers.study.run.pieces import EDITS, TRACE, pieces_of
from goldenlayers.study.run.settings import DataSpec, ModelSpec, Sensitivity, StudySettings


def test_a_data_set_says_for_itself_what_costs_more_there():
    plain = DataSpec("some.json")
    short = DataSpec("long.json", heat_map=False, stories=2, side_effects=0)
    none = DataSpec("longer.json", stories=0, side_effects=0)
    study = StudySettings((ModelSpec("m"),), (plain, short, none), stories=1, side_effects=3)
    pieces = list(pieces_of(study, study.models[0], study.data))
    assert [p.data for p in pieces if p.kind == TRACE] == [plain, none]
    told = {p.data: (p.what["stories"], p.what["side_effects"]) for p in pieces if p.kind == EDITS}
    assert told == {plain: (1, 3), short: (2, 0)}


def test_templates_are_tried_on_the_sets_that_do_not_refuse_them():
    plain, none = DataSpec("some.json"), DataSpec("long.json", templates=())
    other = DataSpec("other.json", templates=("bare",))
    tried = Sensitivity(templates=("published",))
    study = StudySettings((ModelSpec("m"),), (plain, none, other), sensitivity=tried)
    kinds = [(p.data, p.variant) for p in pieces_of(study, study.models[0], study.data)
             if p.variant.startswith("templates")]  # fmt: skip
    assert kinds == [(plain, "templates-published"), (other, "templates-bare")]
    without = StudySettings(study.models, study.data, sensitivity=None)
    assert not [p for p in pieces_of(without, study.models[0], study.data)
                if p.variant.startswith("templates")]  # fmt: skip
    with pytest.raises(SettingsError, match="templates 'long' is unknown"):
        DataSpec("x", templates=("long",))
