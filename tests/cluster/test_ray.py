"""Workers of a Ray cluster: the same numbers, whoever works and whoever is lost.

One cluster of two nodes, here, stands for all tests; one of them adds a third and takes it away.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import ray
import torch
from ray.cluster_utils import Cluster as Nodes

from goldenlayers.cluster.engine import Here
from goldenlayers.cluster.settings import Cluster, engine_of
from goldenlayers.covariance.compute import key_covariance
from goldenlayers.errors import ClusterError, FactError, SettingsError
from goldenlayers.locators.find import find
from goldenlayers.models.sites import find_sites
from goldenlayers.study.compare import compare
from goldenlayers.sweep.pieces import pieces_of
from goldenlayers.sweep.run import fill, prepared, store_for
from tests import tiny
from tests.sweep.test_engine import FACTS, VALUE

MANY = [
    dataclasses.replace(f, id=f"{f.id}.{i}", split="proxy" if i % 2 else "test")
    for i in range(4) for f in FACTS
]  # fmt: skip
LAYERS = [0, 1, 2, 3]
MODEL, TOKENIZER = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
SWEEP = {"editor_settings": VALUE, "batch_tokens": 100}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker of one core has
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def nodes():
    # Ray lets workers give way to all other processes, which on a busy machine is to wait for ever
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    made = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=2)
    ray.init(made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def engine(nodes):
    with engine_of(Cluster("auto", workers=2), MODEL, TOKENIZER) as made:
        yield made


def numbers(ranking):
    told = ranking.to_dict()
    for name in ("seconds", "settings", "details"):
        told.pop(name)
    return told


@dataclasses.dataclass(frozen=True)
class Mark:
    """A task that leaves a mark for each time that an item was begun, and may go wrong."""

    folder: str
    wrong: str = ""

    def __call__(self, model, tokenizer, item):
        Path(self.folder, f"{item}-{os.getpid()}-{time.monotonic_ns()}").touch()
        if item == 3 and self.wrong == "raise":
            raise FactError("the third is bad")
        if item == 3 and self.wrong == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.wrong == "die once" and len(list(Path(self.folder).glob("3-*"))) == 1 and item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item

    def begun(self):
        return Counter(int(p.name.split("-")[0]) for p in Path(self.folder).iterdir())


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("lga", {"batch_tokens": 60}),
        ("robust-lga:rank", {"batch_tokens": 60}),
        ("cma", {"traced": "own", "draws": 2, "heat_map": MANY[0].id}),
        ("attribution-patching", {"traced": "own", "draws": 2}),
        ("gradient-norm", {"batch_tokens": 60}),
        ("brute-force", SWEEP),
        ("verified", SWEEP | {"race": 2}),
        ("staged", SWEEP | {"share": 0.3}),
    ],
)
def test_every_method_finds_the_same_numbers(engine, method, settings):
    how = {"split": "all", "cache": False, **settings}
    here = find(MODEL, TOKENIZER, MANY, method, **how)
    there = find(MODEL, TOKENIZER, MANY, method, cluster=engine, **how)
    assert numbers(here) == numbers(there)  # to the last bit


def test_a_comparison_is_the_same(engine, tmp_path):
    how = {"proxy": 3, "repeats": 2, "cache": False, **SWEEP}
    methods = ["lga", "verified", "brute-force", "middle"]
    here = compare(MODEL, TOKENIZER, MANY, methods, **how)
    there = compare(
        MODEL, TOKENIZER, MANY, methods, cluster=engine, store=tmp_path / "s.sqlite", **how
    )
    for name in ("golden", "test", "each", "floor", "ceiling"):
        assert getattr(here, name) == getattr(there, name)
    assert [[c.layer for c in m.choices] for m in here.methods] == [
        [c.layer for c in m.choices] for m in there.methods
    ]


def test_a_covariance_does_not_depend_on_the_number_of_workers(engine, nodes, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The town stands by the sea, and the sea is cold in winter. " * 60)
    how = {"text": text, "tokens": 600, "length": 16, "batch_tokens": 32, "cache": False,
           "dtype": "float64"}  # fmt: skip
    two = key_covariance(MODEL, TOKENIZER, **how, cluster=engine)
    here = key_covariance(MODEL, TOKENIZER, **how)

    class Backwards:  # parts that are done in another order
        width = 1

        def run(self, task, items):
            yield from reversed(list(Here(MODEL, TOKENIZER).run(task, items)))

    other = key_covariance(MODEL, TOKENIZER, **how, cluster=Backwards())
    for layer in LAYERS:
        assert torch.equal(two[layer].sum, other[layer].sum)
        torch.testing.assert_close(two[layer].sum, here[layer].sum, rtol=1e-9, atol=1e-9)
        assert two[layer].tokens == here[layer].tokens == 600


def test_each_item_is_done_once(engine, tmp_path):
    task = Mark(str(tmp_path))
    assert sorted(engine.run(task, range(9))) == [(i, i * i) for i in range(9)]
    assert task.begun() == dict.fromkeys(range(9), 1)
    assert not list(engine.run(task, []))


def test_what_a_task_raises_is_raised(engine, tmp_path):
    with pytest.raises(FactError, match="the third is bad"):
        list(engine.run(Mark(str(tmp_path), "raise"), range(9)))
    assert sorted(engine.run(Mark(str(tmp_path)), range(3))) == [(0, 0), (1, 1), (2, 4)]


def test_the_item_of_a_lost_worker_is_done_again(engine, tmp_path):
    task = Mark(str(tmp_path), "die once")
    assert sorted(engine.run(task, range(9))) == [(i, i * i) for i in range(9)]
    assert task.begun()[3] == 2


def test_an_item_that_kills_its_workers_ends_it(engine, tmp_path):
    task = Mark(str(tmp_path), "die")
    with pytest.raises(ClusterError, match="3 workers were lost over the same piece"):
        list(engine.run(task, range(9)))
    assert task.begun()[3] == 3


def test_stopping_early_leaves_workers_for_the_next(engine, tmp_path):
    running = engine.run(Mark(str(tmp_path)), range(9))
    next(running)
    running.close()
    assert sorted(engine.run(Mark(str(tmp_path)), range(3))) == [(0, 0), (1, 1), (2, 4)]


def test_workers_that_do_not_fit_are_refused(nodes):
    for wanted in (Cluster("auto", workers=4), Cluster("auto", gpus_per_worker=1)):
        with (
            pytest.raises(SettingsError, match="do not fit the cluster, which has 3 CPU cores"),
            engine_of(wanted, MODEL, TOKENIZER),
        ):
            pass


def test_a_sweep_loses_a_node_and_ends_as_if_nothing_had_been(nodes, engine, tmp_path):
    lost = nodes.add_node(num_cpus=1, resources={"extra": 1})
    nodes.wait_for_nodes()
    model = tiny.model("llama", torch.float64)
    sweep, identity = prepared(
        model, TOKENIZER, find_sites(model), "r-rome", settings=VALUE, batch_tokens=20
    )
    with store_for(None, identity, MANY, False) as store:
        fill(sweep, MANY, LAYERS, store)
        undisturbed = dict(store.outcomes)
        pieces = pieces_of(sweep, MANY, LAYERS, {})
    assert len(pieces) > 6
    told: list[str] = []
    begun = []

    def progress(stage, done, total):
        begun.append(done)
        if len(begun) == 2:  # the first piece is kept, others are under way
            nodes.remove_node(lost, allow_graceful=False)

    path = tmp_path / "sweep.sqlite"
    with (
        engine_of(Cluster("auto"), model, TOKENIZER, told.append) as workers,
        store_for(path, identity, MANY, False) as store,
    ):
        # two workers of the other tests hold a core each: one is left, and that of the third node
        assert fill(sweep, MANY, LAYERS, store, progress=progress, engine=workers) == 48
        swept = dict(store.outcomes)
    same = [
        {k: dataclasses.replace(o, seconds=0.0) for k, o in outcomes.items()}
        for outcomes in (undisturbed, swept)
    ]
    assert same[0] == same[1]
    assert any("a worker was lost" in line for line in told), told
