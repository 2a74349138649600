"""A study's file of settings: what it means, and what is said about a wrong one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from goldenlayers.errors import SettingsError
from goldenlayers.models import bundled
from goldenlayers.study.run.read import read_study, settings_of
from goldenlayers.study.run.settings import (
    DataSpec,
    EditorSpec,
    ModelSpec,
    Sensitivity,
    StudySettings,
    Timing,
)

ROOT = Path(__file__).parents[3]

SMALL = {"models": ["bundled"], "data": ["bundled"]}


def test_a_short_file_and_its_defaults():
    found = settings_of(SMALL, "study.yaml")
    assert found == StudySettings((ModelSpec("bundled"),), (DataSpec("bundled"),))
    assert found.models[0].title == bundled.TITLE
    assert found.locators_of(found.models[0]) == found.locators


def test_a_long_one(tmp_path):
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "mine.jsonl").write_text("")
    path = tmp_path / "study.yaml"
    path.write_text(
        """
        name: long
        models:
          - {model: org/some-model, default_layer: 5, dtype: bfloat16}
        data:
          - {facts: facts/mine.jsonl, half: a, sample: 60, split: 0.5, test: 7, layers: 3-5}
          - hub:owner/facts
        editors: {editor: memit, settings: {window: 3}, templates: bare}
        locators: lga
        proxy: [8, 2]
        sensitivity: false
        timing: {tokens: 10}
        """
    )
    found = read_study(path)
    model, data = found.models[0], found.data[0]
    assert model.title == "some-model"
    assert found.locators_of(model) == ("lga", "fixed:5")
    assert data.facts == str(tmp_path / "facts" / "mine.jsonl")  # beside the settings
    assert data.title == "mine"
    assert found.proxy_of(data) == (2, 8)
    assert (found.of(data, "test"), found.of(data, "layers")) == (7, "3-5")
    assert found.data[1].facts == "hub:owner/facts"
    assert found.editors == (EditorSpec("memit", None, "bare", "model", {"window": 3}),)
    assert found.sensitivity is None
    assert found.timing == Timing(tokens=(10,))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "expected a mapping"),
        ({}, "models is missing"),
        ({**SMALL, "model": 3}, "'model' is unknown; did you mean models"),
        ({**SMALL, "models": []}, "models: none is named"),
        ({**SMALL, "models": [3]}, r"models\[0\]: 3; expected a mapping with fields among model"),
        ({**SMALL, "data": [{"fact": "x"}]}, r"data\[0\]: 'fact' is unknown; did you mean facts"),
        ({**SMALL, "data": [{"name": "x"}]}, r"data\[0\]: facts is missing"),
        ({**SMALL, "data": ["bundled", "bundled"]}, "two are called 'bundled'"),
        ({**SMALL, "data": [{"facts": "x", "half": "c"}]}, r"data\[0\]: half 'c' is unknown"),
        ({**SMALL, "data": [{"facts": "x", "format": "y"}]}, "format 'y' is unknown"),
        ({**SMALL, "data": [{"facts": "x", "split": 1.5}]}, "proxy=1.5"),
        ({**SMALL, "data": [{"facts": "x", "sample": 0}]}, "sample 0"),
        ({**SMALL, "locators": ["lgaa"]}, "method 'lgaa' is unknown"),
        ({**SMALL, "editors": ["roma"]}, r"editors\[0\]: .*'roma'"),
        ({**SMALL, "editors": [{"editor": "memit", "settings": {"windo": 3}}]}, "windo"),
        ({**SMALL, "editors": [{"editor": "memit", "settings": 3}]}, "expected names with values"),
        ({**SMALL, "proxy": "ten"}, r"proxy\[0\]: 'ten'; expected a whole number"),
        ({**SMALL, "proxy": [True]}, r"proxy\[0\]: True; expected a whole number"),
        ({**SMALL, "repeats": 0}, "repeats 0"),
        ({**SMALL, "seed": -1}, "seed -1"),
        ({**SMALL, "objective": "best"}, "objective 'best' is unknown"),
        ({**SMALL, "traced": "all"}, "traced 'all'"),
        ({**SMALL, "sensitivity": {"fence": [0]}}, "sensitivity: fence"),
        ({**SMALL, "sensitivity": {"scope": ["all"]}}, "scope 'all' is unknown"),
        ({**SMALL, "timing": {"tokens": ["x"]}}, r"timing: tokens\[0\]"),
        ({**SMALL, "heat_map": "yes please"}, "heat_map: 'yes please'; expected true or false"),
    ],
)
def test_what_is_wrong_is_named(data, message):
    with pytest.raises(SettingsError, match=message) as caught:
        settings_of(data, "study.yaml")
    assert str(caught.value).startswith("study.yaml: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"models: [", "is not YAML"),
        (b"\xff\xfe", "study.yaml"),
        (b"!!python/object/apply:os.system ['true']", "is not YAML"),
        (b"x" * 1_000_001, "over 1000000 bytes"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_none(tmp_path, content, message):
    path = tmp_path / "study.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        read_study(path)


def test_the_example_says_what_is_understood():
    found = read_study(ROOT / "examples" / "study.yaml")
    assert found.models[0].title == bundled.TITLE
    assert [d.title for d in found.data][:2] == ["bundled", "ZsRE"]
    assert all(d.optional for d in found.data[1:])


def test_every_setting_is_in_the_documents():
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    kinds = (StudySettings, ModelSpec, DataSpec, EditorSpec, Sensitivity, Timing)
    for name in {f.name for kind in kinds for f in fields(kind)}:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("name", ["study.yaml", "larger-study.yaml"])
def test_the_examples_are_read(name):
    study = read_study(Path(__file__).parents[3] / "examples" / name)
    assert study.data[0].title == "bundled"
    for data in study.data[1:]:
        assert data.optional
        assert data.half == "a"
        # the layer that people copy is judged on every set
        if data.layers is not None:
            assert str(study.models[0].default_layer) in data.layers.split(",")
