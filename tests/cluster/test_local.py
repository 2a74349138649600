"""A cluster that is started on this machine, and ended."""

from __future__ import annotations

import pytest
import ray
import torch

from goldenlayers.cluster.settings import Cluster
from goldenlayers.errors import SettingsError
from goldenlayers.locators.find import find
from tests import tiny


def test_a_local_cluster_is_started_and_ended(monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")  # see test_ray.py
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    told = []
    try:
        here = find(model, tokenizer, tiny.FACTS, method="lga", cache=False, batch_tokens=60)
        there = find(
            model, tokenizer, tiny.FACTS, method="lga", cache=False, batch_tokens=60,
            cluster=Cluster(workers=1), say=told.append,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    assert here.layers == there.layers
    assert told == ["1 worker on 1 machine, 1 CPU core and 0 GPUs each"]
    assert not ray.is_initialized()


def test_a_cluster_that_is_not_there_is_told():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    with pytest.raises(SettingsError, match=r"'127\.0\.0\.1:1'.*ray status"):
        find(
            model, tokenizer, tiny.FACTS, method="lga", cache=False, cluster=Cluster("127.0.0.1:1")
        )
