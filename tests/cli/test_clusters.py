"""`--cluster`: each command hands its work to the workers that it describes.

The workers here are this process, counted; those of Ray are in tests/cluster.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager

import pytest

from goldenlayers.cli import clusters
from goldenlayers.cluster.engine import Here
from goldenlayers.cluster.settings import Cluster
from goldenlayers.covariance import compute
from goldenlayers.locators import find as finding
from goldenlayers.study import compare as comparing
from goldenlayers.study.run import run as running
from tests.cli.test_study import settings  # noqa: F401  a fixture
from tests.cli.test_sweeps import QUICK, SPLIT

ASKED = ("--cluster", "10.0.0.5:6379", "--workers", 3, "--gpus-per-worker", 2)


@pytest.fixture
def workers(monkeypatch):
    """Return the clusters that were asked for, and how many items of each task were done."""
    asked, done = [], Counter()

    class Counted:
        width = 1

        def __init__(self, *held):
            self.here = Here(*held)

        def run(self, task, items):
            done[type(task).__name__] += len(items)
            yield from self.here.run(task, items)

    real = {m: m.engine_of for m in (finding, comparing, compute, running)}
    for module, engine_of in real.items():

        @contextmanager
        def counted(cluster, model, tokenizer, say=None, engine_of=engine_of):
            if isinstance(cluster, Cluster):
                asked.append(cluster)
                cluster = Counted(model, tokenizer)
            with engine_of(cluster, model, tokenizer) as engine:
                yield engine

        monkeypatch.setattr(module, "engine_of", counted)
    monkeypatch.setattr("goldenlayers.cluster.settings.require_ray", lambda: None)
    return asked, done


@pytest.fixture
def facts(write_facts):
    return write_facts(SPLIT, "split.jsonl")


def test_find(cli, llama, facts, tmp_path, workers):
    asked, done = workers
    command = ("find", "--model", llama, "--facts", facts, "--method", "lga")
    alone = cli(*command, "--out", tmp_path / "alone")
    together = cli(*command, "--out", tmp_path / "together", *ASKED)
    assert (alone.status, together.status) == (0, 0), together.err
    assert asked == [Cluster("10.0.0.5:6379", 3, 2, 1)]
    assert done == {"ScoreBatch": 1}
    found = [json.loads((tmp_path / n / "ranking.json").read_text()) for n in ("alone", "together")]
    assert found[0]["layers"] == found[1]["layers"]


def test_compare(cli, llama, facts, tmp_path, workers):
    asked, done = workers
    result = cli(
        "compare", "--model", llama, "--facts", facts, *QUICK, "--proxy", 2, "--repeats", 1,
        "--methods", "lga,middle", "--out", tmp_path / "out", *ASKED, "--cpus-per-worker", 4,
    )  # fmt: skip
    assert result.status == 0, result.err
    assert asked == [Cluster("10.0.0.5:6379", 3, 2, 4)]
    assert done["EditPiece"] >= 1
    assert done["ScoreBatch"] == 1


def test_covariance(cli, llama, tmp_path, workers):
    asked, done = workers
    text = tmp_path / "text.txt"
    text.write_text("The town stands by the sea, and the sea is cold. " * 40)
    result = cli(
        "covariance", "--model", llama, "--text", text, "--tokens", 120, "--length", 16, *ASKED
    )
    assert result.status == 0, result.err
    assert asked == [Cluster("10.0.0.5:6379", 3, 2, 1)]
    assert done == {"SumKeys": 1}  # 120 tokens are one batch


def test_study(cli, settings, tmp_path, workers):  # noqa: F811
    asked, done = workers
    result = cli("study", settings, "--out", tmp_path / "run", *ASKED)
    assert result.status == 0, result.err
    assert asked == [Cluster("10.0.0.5:6379", 3, 2, 1)]  # one for all pieces of the model
    assert done.keys() == {"EditPiece", "ScoreBatch", "TraceFact"}


def test_workers_without_a_cluster_are_refused(cli, llama):
    for option in ("--workers", "--gpus-per-worker", "--cpus-per-worker"):
        message = cli("find", "--model", llama, option, 2).message
        assert message == f"{option} has no effect without --cluster (local, or an address)"


def test_numbers_that_make_no_sense_are_refused(cli, llama):
    for option in ("--workers", "--cpus-per-worker"):
        message = cli("find", "--model", llama, "--cluster", "local", option, 0).message
        assert "0: expected 1 or more" in message
    assert "expected local, auto" in cli("find", "--model", llama, "--cluster", " ").message


def test_ray_is_asked_for_before_the_model_is_loaded(cli, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    message = cli("find", "--model", "no/such/model", "--cluster", "local").message
    assert "pip install 'golden-layers[ray]'" in message


def test_the_panel_is_shown(cli):
    for command in ("find", "compare", "covariance", "study"):
        assert clusters.PANEL in cli(command, "--help").out
