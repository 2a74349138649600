"""A store that somebody edited, and a folder that two processes want: refused, and nothing lost."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from goldenlayers.errors import ResultError
from goldenlayers.study.run.folder import RunFolder
from goldenlayers.sweep.objective import LayerScores
from goldenlayers.sweep.rows import COLUMNS, MEANS_NAN, outcome_of
from goldenlayers.sweep.store import NAME, Store
from tests.study.test_compare import SPLIT
from tests.sweep.test_store import IDENTITY, outcome

VALUES = (
    None, "x", "", -1, 3.5, 9e999, b"\0\xff", "[]", "{}", "[" * 5000, '{"rewrite": "x"}',
    '{"rewrite": null}', '{"rewrite": 1e999}', '{"rewrite": -0.5}', '{"rewrite": 1.5}', '{"my": 1}',
)  # fmt: skip


def test_a_row_that_somebody_edited_is_refused_or_read_as_what_it_says(tmp_path, capsys):
    sound, edited = tmp_path / "sound.sqlite", tmp_path / "edited.sqlite"
    with Store(sound, IDENTITY) as store:
        store.add([outcome(fact, layer) for fact in "12" for layer in (3, 4)])
    refused = []
    for column, value in itertools.product(COLUMNS, VALUES):
        shutil.copy(sound, edited)
        with closing(sqlite3.connect(edited)) as database, database:
            database.execute("PRAGMA synchronous = OFF")
            database.execute(f"UPDATE outcomes SET {column} = ? WHERE rowid = 1", (value,))
        try:
            with Store(edited, IDENTITY, resume=True) as again:
                found = dict(again.outcomes)
        except ResultError as error:
            refused.append((column, str(error)))
            continue
        # a number for a number, a text for a text; a score that is gone is one less
        scores = LayerScores.of({**found, ("1", 3): next(iter(found.values()))}, "12", [3, 4])
        assert np.isfinite(scores.by_layer("mean")).all()
        json.dumps([[o.seconds, o.layer, o.scores] for o in found.values()], allow_nan=False)
    for column, message in refused:
        assert "damaged" in message
        assert column.rstrip("s") in message
        assert len(message) < 500
    tried = len(COLUMNS) * len(VALUES)
    with capsys.disabled():
        print(f"\nstore: {tried} edited rows, {len(refused)} refused in words, none did harm")
    assert len(refused) > tried // 2


def test_a_row_that_is_too_short_is_no_outcome():
    with pytest.raises(ValueError, match="a row of 2 values, expected 12"):
        outcome_of(("1", 3))
    assert set(MEANS_NAN) <= set(COLUMNS)


@pytest.fixture
def command(llama, write_facts, tmp_path):
    facts = [dataclasses.replace(f, id=f.id.replace(".", "-")) for f in SPLIT]
    path = write_facts(facts, "split.jsonl")
    edits = ("--layers", "0-1", "--steps", 1)
    return {
        "find": ("find", "--model", llama, "--facts", path, "--method", "brute-force", "--limit", 2,
                 *edits),
        "compare": ("compare", "--model", llama, "--facts", path, "--proxy", 2, "--test", 2,
                    "--repeats", 1, "--methods", "middle", *edits),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["find", "compare"])
def test_a_second_process_is_kept_out_of_a_store_that_is_written(name, command, runs, tmp_path):
    """This process holds the store; the command is another process."""
    out = tmp_path / "run" / "out"
    with Store(out / NAME, IDENTITY) as mine:
        mine.add([outcome()])
        ended = runs((*command[name], "--out", out, "--resume"), tmp_path / "run")
        assert ended.status == 2, ended.text
        assert "another process is writing into it; wait for it, or choose another" in ended.text
        mine.add([outcome("2")])  # the first one goes on undisturbed
    with Store(out / NAME, IDENTITY, resume=True) as again:
        assert len(again.outcomes) == 2
    # and it is free as soon as the first one has ended
    (out / NAME).unlink()
    assert runs((*command[name], "--out", out), tmp_path / "run").status == 0


def test_a_second_study_is_kept_out_of_the_folder(llama, write_facts, runs, tmp_path):
    facts = write_facts([dataclasses.replace(f, id=f.id.replace(".", "-")) for f in SPLIT])
    settings = tmp_path / "study.yaml"
    settings.write_text(f"models: [{llama}]\ndata: [{facts}]\n")
    out = tmp_path / "run" / "study"
    with RunFolder(out).opened():
        ended = runs(("study", settings, "--out", out), tmp_path / "run")
    assert ended.status == 2, ended.text
    assert "another process runs a study in it" in ended.text
