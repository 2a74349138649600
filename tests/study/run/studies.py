"""A small study on tiny models, run once for all tests that look at it."""

from __future__ import annotations

import dataclasses
import json

import torch

from goldenlayers.models.identity import identify
from goldenlayers.models.load import LoadedModel
from goldenlayers.study.run.read import settings_of
from goldenlayers.study.run.run import run_study
from tests import tiny
from tests.sweep.test_engine import FACTS, VALUE

NAMES = {"llama": "llama", "little gpt2": "gpt2"}


def load(name, **options):
    model = tiny.model(NAMES[name], torch.float32)
    return LoadedModel(model, tiny.tokenizer(NAMES[name]), identify(model, name))


def facts_file(path, ids="f", subject=None):
    facts = [
        dataclasses.replace(f, id=f"{ids}-{split}.{f.id}.{i}", split=split)
        for split, times in (("proxy", 3), ("test", 2))
        for i in range(times)
        for f in FACTS
    ]
    records = [f.to_record() for f in facts]
    if subject is not None:
        for record in records:
            record["prompt"] = record["prompt"].replace(record["subject"], subject)
            record["subject"] = subject
    path.write_text("".join(f"{json.dumps(r)}\n" for r in records), encoding="utf-8")
    return path


def settings(folder, **changed):
    data = {
        "name": "tiny study",
        "models": [{"model": "llama", "default_layer": 1}, {"model": "little gpt2"}],
        "data": [
            {"facts": str(facts_file(folder / "one.jsonl"))},
            {"facts": str(facts_file(folder / "two.jsonl", "g", "<script>alert(1)</script>")),
             "test": 3},
        ],
        "editors": [{"editor": "r-rome", "settings": VALUE}],
        "locators": ["lga", "cma", "brute-force", "middle", "random"],
        "proxy": [2, 4],
        "repeats": 2,
        "traced": "own",
        "sensitivity": {"templates": ["bare"], "templates_test": 2},
        "timing": {"tokens": [12, 24], "proxy": [1, 2], "plain_layers": 2},
        "side_effects": 2,
    }  # fmt: skip
    return settings_of(data | changed, "study.yaml")


def run(folder, study, **options):
    return run_study(study, folder, load=load, command="golden-layers study study.yaml", **options)
