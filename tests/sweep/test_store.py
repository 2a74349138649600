"""The store: whole or not at all, belongs to one thing, survives being killed."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from goldenlayers.errors import ResultError
from goldenlayers.sweep.outcome import SCORES, LayerOutcome, array
from goldenlayers.sweep.store import INSERT, Store

IDENTITY = {"model": {"weights": "abc"}, "facts": ["1", "2"], "settings": {"lr": 0.5}}


def outcome(fact="1", layer=3, **changes):
    made = LayerOutcome(
        fact, layer, "converged", "as it should", 4.5, 0.125, True, 7, 1.5,
        dict.fromkeys(SCORES) | {"rewrite": 1.0, "nll_new": 0.1}, 0.25, "growing batch",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def test_what_is_added_is_there_again(tmp_path):
    made = [outcome(), outcome("2", 4, rewritten=False), outcome("ü'; DROP TABLE outcomes", 0)]
    with Store(tmp_path / "deep" / "s.sqlite", IDENTITY) as store:
        store.add(made)
        assert store.outcomes == {(o.fact, o.layer): o for o in made}
    with Store(tmp_path / "deep" / "s.sqlite", IDENTITY, resume=True) as again:
        assert again.outcomes == {(o.fact, o.layer): o for o in made}


def test_the_statement_has_a_place_for_every_field():
    assert INSERT.count("?") == len(dataclasses.fields(LayerOutcome))


def test_an_edit_without_a_loss_comes_back_as_such(tmp_path):
    with Store(tmp_path / "s.sqlite", IDENTITY) as store:
        store.add([outcome(nll_before=math.nan, nll_after=math.nan)])
    with Store(tmp_path / "s.sqlite", IDENTITY, resume=True) as again:
        assert math.isnan(again.outcomes["1", 3].nll_after)


def test_without_a_path_nothing_is_written(tmp_path):
    store = Store()
    store.add([outcome()])
    assert list(store.outcomes) == [("1", 3)]
    assert list(tmp_path.iterdir()) == []


def test_a_store_with_outcomes_wants_to_be_resumed(tmp_path):
    with Store(tmp_path / "s.sqlite", IDENTITY):
        pass
    with Store(tmp_path / "s.sqlite", IDENTITY) as empty:  # nothing to lose
        empty.add([outcome()])
    with pytest.raises(ResultError, match="1 outcomes of a sweep are there; --resume goes on"):
        Store(tmp_path / "s.sqlite", IDENTITY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"w": 1}}, 'its model is {"weights": "abc"}, expected {"w": 1}'),
        ({"facts": ["1"]}, r'its facts is \["1", "2"\], expected \["1"\]'),
        ({"settings": {"lr": 0.25}}, 'its settings is {"lr": 0.5}, expected {"lr": 0.25}'),
        ({"settings": {"lr": 0.25, "long": "x" * 200}}, "differ in lr 0.5, expected 0.25; l"),
        ({"extra": 1}, "its extra is not known to both"),
    ],
)  # fmt: skip
def test_what_belongs_to_something_else_is_refused(tmp_path, change, said):
    with Store(tmp_path / "s.sqlite", IDENTITY) as store:
        store.add([outcome()])
    with pytest.raises(ResultError, match=said):
        Store(tmp_path / "s.sqlite", {**IDENTITY, **change}, resume=True)


def test_damage_is_named(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ResultError, match="cannot be used as the store of a sweep"):
        Store(path, IDENTITY)
    assert path.read_bytes().startswith(b"not a database")
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    with pytest.raises(ResultError, match="is not the store of a sweep"):
        Store(other, IDENTITY)
    cut = tmp_path / "cut.sqlite"
    with Store(cut, IDENTITY) as store:
        store.add([outcome(str(i), reason="long " * 200) for i in range(200)])
    cut.write_bytes(cut.read_bytes()[:40_000])
    with pytest.raises(ResultError, match="cut"):
        Store(cut, IDENTITY, resume=True)


def test_one_process_at_a_time(tmp_path):
    with (
        Store(tmp_path / "s.sqlite", IDENTITY),
        pytest.raises(ResultError, match="another process is writing into it"),
    ):
        Store(tmp_path / "s.sqlite", IDENTITY)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be used as the store"):
        Store(tmp_path / "file" / "s.sqlite", IDENTITY)


WRITER = """
import sys
from pathlib import Path
from tests.sweep.test_store import IDENTITY, outcome
from goldenlayers.sweep.store import Store
store = Store(Path(sys.argv[1]), IDENTITY, resume=True)
n = len(store.outcomes) // 30
while True:
    store.add([outcome(str(n), layer) for layer in range(30)])
    n += 1
    print(n, flush=True)
"""


def test_killed_at_any_moment_it_holds_whole_batches_and_goes_on(tmp_path):
    path = tmp_path / "s.sqlite"
    for delay in (0.0, 0.02, 0.05, 0.09):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
        )  # fmt: skip
        told = process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read()
        process.wait()
        with Store(path, IDENTITY, resume=True) as store:
            found = {fact for fact, _ in store.outcomes}
            assert len(store.outcomes) == 30 * len(found)  # whole batches
            assert int(told.split()[-1]) <= len(found)  # nothing that was reported is lost


def test_scores_as_arrays():
    made = {
        ("1", 3): outcome(),
        ("1", 4): outcome(layer=4, scores={"rewrite": 0.5, "nll_new": 2.0}),
        ("2", 3): outcome("2", scores={"rewrite": None}),
        ("2", 4): outcome("2", 4),
    }
    rewrite = array(made, ["1", "2"], [3, 4], "rewrite")
    assert rewrite.tolist()[0] == [1.0, 0.5]
    assert math.isnan(rewrite[1, 0])
    assert array(made, ["2"], [3, 4], "update_norm").tolist() == [[1.5, 1.5]]
    assert array(made, ["1"], [4], "converged").tolist() == [[1.0]]
